//! The command line: what can be asked, and how an answer is given back to the shell.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use crate::config::LogFormat;
use crate::model::accounts::accounts::Environment;
use crate::model::ids::AccountId;
use crate::model::scopes::{Bundle, Scope};

/// What the process tells its parent when it ends; the numbers above 1 are those of sysexits.h.
pub mod exit {
    pub const OK: u8 = 0;
    /// It failed, and the last line on stderr says why.
    pub const FAILED: u8 = 1;
    /// The command line was not understood.
    pub const USAGE: u8 = 64;
    /// The disk failed to keep what it was given.
    pub const IO: u8 = 74;
    /// The data folder is in use by another process.
    pub const IN_USE: u8 = 75;
    /// The settings have faults; each is a line on stderr.
    pub const CONFIG: u8 = 78;
    /// It was told to stop a second time and did so at once.
    pub const INTERRUPTED: u8 = 130;
}

/// A provisioning API for companies that sell hosted services.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Try it, in a folder of its own:\n  tenantry demo\n\n\
    Every setting can stand in a TOML file, in the environment (TENANTRY_SERVER__LISTEN for server.listen) \
    or, for a few, in a flag; the later wins.")]
pub struct Cli {
    #[command(flatten)]
    pub flags: Flags,
    #[command(subcommand)]
    pub command: Command,
}

/// The flags that every command takes; they win over the environment and the file.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Read the settings from this file [default: tenantry.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = "TENANTRY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Keep the data in this folder (data.dir)
    #[arg(long, global = true, value_name = "DIR", visible_alias = "data")]
    pub data_dir: Option<PathBuf>,
    /// Use this database (database.url); other users of the machine can see flags, so a URL with a
    /// password belongs in TENANTRY_DATABASE__URL
    #[arg(long, global = true, value_name = "URL", value_parser = secret)]
    pub database_url: Option<SecretString>,
    /// Serve the API on this address and port (server.listen)
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Write logs in this form (log.format)
    #[arg(long, global = true, value_name = "FORMAT", value_parser = words::<LogFormat>(LogFormat::ALL.iter().map(|it| it.as_str())))]
    pub log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and work through its operations
    #[command(after_help = "Example:\n  tenantry serve --config /etc/tenantry.toml")]
    Serve {
        /// Serve only; `tenantry work` does the work elsewhere
        #[arg(long)]
        no_workers: bool,
    },
    /// Work through operations and deliveries without serving the API
    #[command(after_help = "Example:\n  TENANTRY_DATABASE__URL=postgres://… tenantry work")]
    Work,
    /// Bring the database to the form this version needs
    #[command(after_help = "Example:\n  tenantry migrate --status && tenantry migrate")]
    Migrate {
        /// Tell what would be done, and do nothing
        #[arg(long)]
        status: bool,
    },
    /// Tell the story of a first order over HTTP, in a folder of its own, and go on serving
    #[command(after_help = "Example:\n  tenantry demo --data /tmp/try --listen 127.0.0.1:9000")]
    Demo {
        /// End with the story: 0 if all came as told, 1 if not
        #[arg(long)]
        exit: bool,
    },
    /// Write the OpenAPI document to stdout
    #[command(after_help = "Example:\n  tenantry openapi > openapi.json")]
    Openapi,
    /// Manage API keys from the server itself, which is how the first one is made
    #[command(subcommand)]
    Key(KeyCommand),
    /// Examine the audit, the list of who did what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Move the database's secrets from one key-encryption key to another
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Change the keys that access tokens are signed with
    #[command(subcommand)]
    Signing(SigningCommand),
    /// Look for what is wrong with settings, database, keys and connections
    #[command(after_help = "Example:\n  tenantry doctor --config /etc/tenantry.toml")]
    Doctor,
    /// Look at the settings
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Follow the chain of every account's lines and hold it against the checkpoints outside the database: tells the
    /// first line of each that was changed, put in, moved or taken away, and then ends with 1
    #[command(after_help = "Examples:\n  tenantry audit verify --config /etc/tenantry.toml\n  \
        tenantry audit verify --checkpoints /mnt/worm/one.ndjson --checkpoints /mnt/worm/two.ndjson")]
    Verify {
        /// Read the checkpoints from this file; can be repeated [default: the one that this installation writes]
        #[arg(long, value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// Trust this public key rather than the database's own
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
    },
    /// Forget from where an account acted, in all audits; their chains stay whole
    #[command(after_help = "Example:\n  tenantry audit shred --account acc_01jq3v8z0kf5n9d2t7x4m6c1ab")]
    Shred {
        /// The account whose addresses are forgotten
        #[arg(long, value_name = "ID")]
        account: AccountId,
    },
    /// Write the public key of the checkpoints to stdout; keep it where nobody who has the database can change it
    #[command(after_help = "Example:\n  tenantry audit key > audit.pub")]
    Key,
}

#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Tell which keys there are, how many secrets lie under each, and what to do next
    #[command(after_help = "Example:\n  tenantry secrets status --config /etc/tenantry.toml")]
    Status,
    /// Put a new key above the one in the key file; give the file to every replica and start each again
    #[command(after_help = "Example:\n  tenantry secrets add-kek --config /etc/tenantry.toml")]
    AddKek,
    /// Wrap every secret under the newest key while replicas serve; can be cut off anywhere and run again
    #[command(after_help = "Example:\n  tenantry secrets rotate-kek --config /etc/tenantry.toml")]
    RotateKek,
    /// Take the keys that no secret lies under any more out of the key file
    #[command(after_help = "Example:\n  tenantry secrets drop-kek --config /etc/tenantry.toml")]
    DropKek,
}

#[derive(Debug, Subcommand)]
pub enum SigningCommand {
    /// Tell which keys there are, and what each is for now
    #[command(after_help = "Example:\n  tenantry signing status --config /etc/tenantry.toml")]
    Status,
    /// Make the next key: it is told at once, and signed with a day later
    #[command(after_help = "Example:\n  tenantry signing add --config /etc/tenantry.toml")]
    Add,
    /// Take back the key that waits and has signed nothing yet
    #[command(after_help = "Example:\n  tenantry signing drop --config /etc/tenantry.toml")]
    Drop,
    /// After a leak: put a new key in the place of all, at once; every access token ends
    #[command(after_help = "Example:\n  tenantry signing replace --config /etc/tenantry.toml")]
    Replace,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and show its secret, this once
    #[command(
        after_help = "Examples:\n  tenantry key create --bundle operator_admin --name \"First key\"\n  \
        tenantry key create --account acc_01jq3v8z0kf5n9d2t7x4m6c1ab --scope services:read --scope events:read"
    )]
    Create(KeyOrder),
}

/// A key as it is asked for on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group = clap::ArgGroup::new("reach").required(true).args(["bundle", "scopes"]))]
pub struct KeyOrder {
    /// The account the key acts for [default: the operator's]
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,
    /// What people call the key
    #[arg(long, default_value = "Made on the command line")]
    pub name: String,
    /// Give the key this set of scopes
    #[arg(long, value_parser = words::<Bundle>(Bundle::ALL.iter().map(|it| it.as_str())))]
    pub bundle: Option<Bundle>,
    /// Give the key this scope; can be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = words::<Scope>(Scope::ALL.iter().map(|it| it.as_str())))]
    pub scopes: Vec<Scope>,
    /// Whether the key reaches live accounts or test accounts
    #[arg(long, value_name = "ENV", default_value = "live", value_parser = words::<Environment>(Environment::ALL.iter().map(|it| it.as_str())))]
    pub env: Environment,
    /// Refuse the key after so many days
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub expires_days: u32,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write the settings in effect to stdout, secrets as ***, or each of their faults to stderr
    #[command(after_help = "Example:\n  tenantry config check --config /etc/tenantry.toml")]
    Check,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// A parser that knows all words there are, so that help lists them and a slip is answered with the nearest.
fn words<T>(all: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.collect::<Vec<_>>())
        .try_map(|word| word.parse::<T>().map_err(io::Error::other))
}

impl Cli {
    /// Reads the process's arguments. Help and mistakes are told to the user; then there is only a code to exit with.
    pub fn from_arguments() -> Result<Self, u8> {
        Self::try_parse().map_err(|error| {
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            match error.print() {
                Ok(()) => code,
                Err(broken) if broken.kind() == io::ErrorKind::BrokenPipe => code,
                Err(_) => exit::FAILED,
            }
        })
    }
}

/// Writes a line to stdout; a reader that has gone away is no fault.
pub fn say(text: impl std::fmt::Display) -> io::Result<()> {
    say_to(&mut io::stdout().lock(), text)
}

fn say_to(out: &mut impl Write, text: impl std::fmt::Display) -> io::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("tenantry").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_well_formed_and_every_command_shows_an_example() {
        Cli::command().debug_assert();
        let mut left: Vec<clap::Command> = Cli::command().get_subcommands().cloned().collect();
        while let Some(command) = left.pop() {
            if command.has_subcommands() {
                left.extend(command.get_subcommands().cloned());
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("tenantry "), "{} has no example", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_is_understood() {
        assert!(matches!(parse("serve").unwrap().command, Command::Serve { no_workers: false }));
        assert!(matches!(parse("serve --no-workers").unwrap().command, Command::Serve { no_workers: true }));
        assert!(matches!(parse("work").unwrap().command, Command::Work));
        assert!(matches!(parse("migrate --status").unwrap().command, Command::Migrate { status: true }));
        assert!(matches!(parse("openapi").unwrap().command, Command::Openapi));
        assert!(matches!(parse("doctor").unwrap().command, Command::Doctor));
        assert!(matches!(parse("signing add").unwrap().command, Command::Signing(SigningCommand::Add)));
        assert!(matches!(parse("config check").unwrap().command, Command::Config(ConfigCommand::Check)));
        let demo = parse("demo --data /tmp/x --exit --listen 127.0.0.1:9000").unwrap();
        assert!(matches!(demo.command, Command::Demo { exit: true }));
        assert_eq!(demo.flags.data_dir, Some("/tmp/x".into()));
        assert_eq!(demo.flags.listen, Some("127.0.0.1:9000".parse().unwrap()));
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in ["--config a.toml --log-format json serve", "serve --config a.toml --log-format json"] {
            let flags = parse(line).unwrap().flags;
            assert_eq!(flags.config, Some("a.toml".into()));
            assert_eq!(flags.log_format, Some(LogFormat::Json));
        }
    }

    #[test]
    fn a_key_is_asked_for_with_a_bundle_or_with_scopes() {
        let account = AccountId::new();
        let line = format!(
            "key create --account {account} --scope services:read --scope events:read --env test --expires-days 7"
        );
        let Command::Key(KeyCommand::Create(order)) = parse(&line).unwrap().command else { panic!("no key") };
        assert_eq!(order.account, Some(account));
        assert_eq!(order.scopes, [Scope::ServicesRead, Scope::EventsRead]);
        assert_eq!((order.bundle, order.env, order.expires_days), (None, Environment::Test, 7));
        let Command::Key(KeyCommand::Create(order)) = parse("key create --bundle crm").unwrap().command
        else {
            panic!("no key")
        };
        assert_eq!(
            (order.bundle, order.env, order.expires_days),
            (Some(Bundle::Crm), Environment::Live, 365)
        );
    }

    #[test]
    fn what_is_wrong_on_the_command_line_is_refused() {
        let table = [
            ("key create", ErrorKind::MissingRequiredArgument),
            ("key create --bundle crm --scope services:read", ErrorKind::ArgumentConflict),
            ("key create --bundle everything", ErrorKind::InvalidValue),
            ("key create --bundle crm --account svc_x", ErrorKind::ValueValidation),
            ("key create --bundle crm --expires-days 0", ErrorKind::ValueValidation),
            ("serve --listen localhost", ErrorKind::ValueValidation),
            ("serve --log-format xml", ErrorKind::InvalidValue),
            ("serve --workers", ErrorKind::UnknownArgument),
            ("sevre", ErrorKind::InvalidSubcommand),
        ];
        for (line, kind) in table {
            assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
        }
    }

    #[test]
    fn a_database_url_does_not_show_in_debug_output() {
        let cli = parse("serve --database-url postgres://u:hunter2@db/x").unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"));
    }

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_fault_and_a_full_disk_is() {
        assert!(say_to(&mut Failing(io::ErrorKind::BrokenPipe), "x").is_ok());
        assert!(say_to(&mut Failing(io::ErrorKind::StorageFull), "x").is_err());
    }
}
