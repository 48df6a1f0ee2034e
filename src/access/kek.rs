//! The key-encryption key: what all that is sealed in the database hangs on. It lies outside the database.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use zeroize::{Zeroize, Zeroizing};

use super::random;

/// 256 bits under which data keys are wrapped and from which the program's other keys are derived.
#[derive(Debug)]
pub struct Kek(SecretBox<[u8; 32]>);

/// A text that is no key-encryption key.
#[derive(Debug, thiserror::Error)]
#[error("a key-encryption key is 32 bytes in base64; `openssl rand -base64 32` makes one")]
pub struct Malformed;

impl Kek {
    /// A key from the system's generator.
    pub fn generate() -> Self {
        Self(SecretBox::init_with(random::bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

/// Reads a key from its base64 text, as it stands in a file or in the environment.
pub fn parse(text: &SecretString) -> Result<Kek, Malformed> {
    let bytes = Zeroizing::new(STANDARD.decode(text.expose_secret().trim()).map_err(|_| Malformed)?);
    let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| Malformed)?;
    Ok(Kek(SecretBox::init_with(|| *bytes)))
}

/// Reads the key in the file, which nobody but its owner may read; where there is no file, makes one with a new key.
/// Of two programs that start at once, both get the same key.
pub fn load_or_create(path: &Path) -> io::Result<Kek> {
    match load(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    match create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(told(path, "cannot be written", error)),
        Ok(()) => {}
    }
    load(path)
}

/// Reads the key that is in a file; the file must be readable by its owner alone.
pub fn load(path: &Path) -> io::Result<Kek> {
    let file = File::open(path).map_err(|error| told(path, "cannot be read", error))?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        let text = format!("{} is open to others than its owner: chmod 600 it", path.display());
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    // Room for the whole text, so that no copy of it is left behind when the buffer grows.
    let mut text = String::with_capacity(256);
    let read = file.take(255).read_to_string(&mut text);
    let text = SecretString::from(text);
    read.map_err(|error| told(path, "cannot be read", error))?;
    parse(&text)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}

/// Writes a new key under a name of its own, and then gives it the name that was asked for, unless that is taken.
fn create(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let draft = folder.join(format!(".{}.new", random::base62(16)));
    let mut text = STANDARD.encode(Kek::generate().bytes());
    text.push('\n');
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::hard_link(&draft, path)?;
            File::open(folder)?.sync_all()
        });
    text.zeroize();
    let removed = fs::remove_file(&draft);
    made.and(removed)
}

fn told(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes when the test ends.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("tenantry-kek-{}", random::base62(12)));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_read_again() {
        let folder = Folder::new();
        let path = folder.0.join("kek");
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().bytes(), made.bytes());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[test]
    fn programs_that_start_at_once_get_the_same_key() {
        let folder = Folder::new();
        let path = folder.0.join("kek");
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let started: Vec<_> =
                (0..8).map(|_| scope.spawn(|| *load_or_create(&path).unwrap().bytes())).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_by_name() {
        let folder = Folder::new();
        let path = folder.0.join("kek");
        load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = load_or_create(&path).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
            assert!(refused.to_string().contains("kek is open to others"), "{refused}");
        }
    }

    #[test]
    fn a_file_that_holds_no_key_is_left_as_it_is() {
        let folder = Folder::new();
        let path = folder.0.join("kek");
        fs::write(&path, "c2hvcnQ=").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let refused = load_or_create(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidData);
        assert!(!refused.to_string().contains("c2hvcnQ="), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "c2hvcnQ=");
        assert_eq!(load_or_create(&folder.0.join("no/kek")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn only_32_bytes_are_a_key_and_none_is_ever_shown() {
        let kek = Kek::generate();
        let text = STANDARD.encode(kek.bytes());
        assert_eq!(parse(&SecretString::from(format!(" {text}\n"))).unwrap().bytes(), kek.bytes());
        assert!(parse(&SecretString::from(STANDARD.encode([7; 31]))).is_err());
        assert!(parse(&SecretString::from(STANDARD.encode([7; 33]))).is_err());
        assert_eq!(format!("{kek:?}"), "Kek(SecretBox<[u8; 32]>([REDACTED]))");
    }
}
