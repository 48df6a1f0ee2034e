//! Where the demo keeps everything and at which addresses it listens. It has settings of its own, so that it
//! never touches an installation that a settings file or the environment points to.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::{Flags, exit};
use crate::config::Config;
use crate::program::Stop;

/// Settings by which `tenantry serve` goes on with what the demo made.
const SETTINGS: &str = "tenantry.toml";
/// How often the story was told in this folder.
const TELLINGS: &str = "tellings";

/// The demo's folder.
pub struct Place {
    pub dir: PathBuf,
    /// Whether it goes when the demo ends.
    pub temporary: bool,
    /// The how-manieth time it is that the story is told here.
    pub telling: u32,
}

/// The address to listen on.
pub struct Address {
    pub api: SocketAddr,
    /// The address that would have been taken had it been free.
    pub taken: Option<SocketAddr>,
}

impl Place {
    /// The folder that was named, or a new one among the system's temporary folders.
    pub fn choose(named: Option<&Path>) -> Result<Self, Stop> {
        let (dir, temporary) = match named {
            Some(dir) => (dir.to_owned(), false),
            None => (new_folder(&std::env::temp_dir())?, true),
        };
        let unusable = |error: io::Error| {
            Stop::because(exit::IO, format!("the folder {} cannot be used: {error}", dir.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(unusable)?;
        let dir = dir.canonicalize().map_err(unusable)?;
        let told = std::fs::read_to_string(dir.join(TELLINGS)).unwrap_or_default();
        let telling = told.trim().parse::<u32>().unwrap_or_default().saturating_add(1);
        let place = Self { dir, temporary, telling };
        let text = place.dir.to_string_lossy();
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'\\$;{}".contains(c)) {
            let reason = format!(
                "the folder {text} has a blank, a quote or one of \\ $ ; {{ }} in its path, which Dovecot's and name servers' files cannot take; give --data another folder"
            );
            place.leave()?;
            return Err(Stop::because(exit::USAGE, reason));
        }
        Ok(place)
    }

    /// Where the hosted things are made.
    pub fn hosting(&self) -> PathBuf {
        self.dir.join("hosting")
    }

    /// The settings that the demo runs with; `hook` is the only host and port webhooks may go to in clear.
    pub fn config(&self, flags: &Flags, hook: &str) -> Result<Config, Stop> {
        let file = self.write_settings(hook, flags.listen)?;
        let flags = Flags { config: Some(file), log_format: flags.log_format, ..Flags::default() };
        let environment = std::iter::empty::<(OsString, OsString)>();
        let mut config = Config::from_sources(&flags, environment).map_err(|faults| Stop {
            code: exit::CONFIG,
            reasons: faults.iter().map(ToString::to_string).collect(),
        })?;
        // Beside the demo there may be others, even of its own kind.
        config.server.admin_listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        // The story is on stdout; beside it only what is wrong.
        config.log.filter = "warn".to_owned();
        Ok(config)
    }

    /// Has the next telling use other names, and `serve` listen where the demo does.
    pub fn remember(&self, hook: &str, listen: SocketAddr) -> Result<(), Stop> {
        self.write_settings(hook, Some(listen))?;
        let text = format!("{}\n", self.telling);
        std::fs::write(self.dir.join(TELLINGS), text).map_err(|error| Stop::because(exit::IO, error))
    }

    fn write_settings(&self, hook: &str, listen: Option<SocketAddr>) -> Result<PathBuf, Stop> {
        let listen = listen.unwrap_or_else(|| Config::default().server.listen);
        let settings = json!({
            "server": {"listen": listen.to_string(), "drain_delay_seconds": 0},
            "data": {"dir": self.dir},
            "webhooks": {"allow_http": true, "allow_hosts": [hook]},
        });
        let text = toml::to_string(&settings).map_err(Stop::failed)?;
        let text = format!(
            "# Made by `tenantry demo`; `tenantry serve --config` this file goes on with it.\n{text}"
        );
        let file = self.dir.join(SETTINGS);
        std::fs::write(&file, text).map_err(|error| Stop::because(exit::IO, error))?;
        Ok(file)
    }

    /// Removes a temporary folder with all that is in it.
    pub fn leave(&self) -> Result<(), Stop> {
        match self.temporary {
            true => std::fs::remove_dir_all(&self.dir).map_err(|error| Stop::because(exit::IO, error)),
            false => Ok(()),
        }
    }
}

/// A folder that was not there before, for its owner only.
fn new_folder(parent: &Path) -> Result<PathBuf, Stop> {
    let mut number = 0_u32;
    loop {
        let dir = parent.join(format!("tenantry-demo-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => {
                let reason =
                    format!("no folder can be made in {}: {error}; name one with --data", parent.display());
                return Err(Stop::because(exit::IO, reason));
            }
        }
    }
}

impl Address {
    /// The address that was asked for, or the usual one, or, where that is taken, a free one. It is to be listened
    /// on at once, before others take it.
    pub fn choose(asked: Option<SocketAddr>) -> Result<Self, Stop> {
        let usual = Config::default().server.listen;
        let (api, taken) = match asked {
            Some(asked) if asked.port() == 0 => (free(asked.ip())?, None),
            Some(asked) => (asked, None),
            None if TcpListener::bind(usual).is_ok() => (usual, None),
            None => (free(usual.ip())?, Some(usual)),
        };
        Ok(Self { api, taken })
    }
}

fn free(ip: IpAddr) -> Result<SocketAddr, Stop> {
    TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).map_err(Stop::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_asked_for_is_kept_and_port_0_stands_for_any_that_is_free() {
        let asked = SocketAddr::from(([127, 0, 0, 1], 8081));
        let address = Address::choose(Some(asked)).unwrap();
        assert_eq!((address.api, address.taken), (asked, None));
        let any = Address::choose(Some(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        assert!(any.api.port() != 0 && any.taken.is_none());
    }

    #[test]
    fn a_folder_that_the_files_could_not_name_is_refused() {
        let dir = new_folder(&std::env::temp_dir()).unwrap();
        let refused = Place::choose(Some(&dir.join("my data"))).err().unwrap();
        assert_eq!(refused.code, exit::USAGE);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn each_telling_in_a_kept_folder_is_a_new_one_and_a_temporary_folder_goes() {
        let dir = new_folder(&std::env::temp_dir()).unwrap();
        let first = Place::choose(Some(&dir)).unwrap();
        first.remember("127.0.0.1:9", SocketAddr::from(([127, 0, 0, 1], 9000))).unwrap();
        assert_eq!((first.telling, Place::choose(Some(&dir)).unwrap().telling), (1, 2));
        first.leave().unwrap();
        assert!(dir.exists());
        Place { temporary: true, ..first }.leave().unwrap();
        assert!(!dir.exists());
    }
}
