//! The key-encryption key: what all that is sealed in the database hangs on. It lies outside the database.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use zeroize::Zeroizing;

use super::random;

/// 256 bits under which data keys are wrapped and from which the program's other keys are derived.
#[derive(Debug)]
pub struct Kek(SecretBox<[u8; 32]>);

/// The key-encryption keys of an installation. There is more than one while secrets move from one to the next.
#[derive(Debug)]
pub struct Keks {
    /// The first in the text: the one that a rotation moves to.
    pub newest: Kek,
    /// Those that texts may still lie under.
    pub older: Vec<Kek>,
}

/// A text that is no key-encryption key.
#[derive(Debug, thiserror::Error)]
#[error(
    "a key-encryption key is 32 bytes in base64, as `openssl rand -base64 32` makes one; from one to {MOST}, the newest first"
)]
pub struct Malformed;

/// How many keys there may be at once.
pub const MOST: usize = 4;
/// More than so many keys take, with their lines' ends.
const LONGEST: u64 = 1024;

impl Kek {
    /// A key from the system's generator.
    pub fn generate() -> Self {
        Self(SecretBox::init_with(random::bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

/// Reads keys from their base64 texts, which are separated by blanks or ends of lines.
pub fn parse(text: &SecretString) -> Result<Keks, Malformed> {
    let mut keys = text.expose_secret().split_ascii_whitespace().map(one);
    let newest = keys.next().ok_or(Malformed)??;
    let older = keys.collect::<Result<Vec<_>, _>>()?;
    if older.len() >= MOST { Err(Malformed) } else { Ok(Keks { newest, older }) }
}

fn one(text: &str) -> Result<Kek, Malformed> {
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| Malformed)?);
    let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| Malformed)?;
    Ok(Kek(SecretBox::init_with(|| *bytes)))
}

/// Reads the keys in the file, which nobody but its owner may read; where there is no file, makes one with a new key.
/// Of two programs that start at once, both get the same key.
pub fn load_or_create(path: &Path) -> io::Result<Keks> {
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

/// Reads the keys that are in a file; the file must be readable by its owner alone.
pub fn load(path: &Path) -> io::Result<Keks> {
    let (_, text) = read(path)?;
    parse(&text)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}

/// Puts a new key above those in the file, for a rotation to move to. Whoever reads the file meanwhile finds it as it
/// was or as it will be.
pub fn add(path: &Path) -> io::Result<()> {
    let (_, known) = read(path)?;
    if known.expose_secret().split_ascii_whitespace().count() >= MOST {
        let text = format!("{} has {MOST} keys already; drop those that are no longer used", path.display());
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize));
    text.push_str(&Zeroizing::new(STANDARD.encode(Kek::generate().bytes())));
    text.push('\n');
    text.push_str(known.expose_secret());
    replace(path, &text)
}

/// Leaves the newest key alone in the file; says how many there were beside it.
pub fn keep_newest(path: &Path) -> io::Result<usize> {
    let (_, known) = read(path)?;
    let mut keys = known.expose_secret().split_ascii_whitespace();
    let newest = Zeroizing::new(format!("{}\n", keys.next().unwrap_or_default()));
    let dropped = keys.count();
    if dropped > 0 {
        replace(path, &newest)?;
    }
    Ok(dropped)
}

fn read(path: &Path) -> io::Result<(Metadata, SecretString)> {
    let file = File::open(path).map_err(|error| told(path, "cannot be read", error))?;
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & 0o077 != 0 {
        let text = format!("{} is open to others than its owner: chmod 600 it", path.display());
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    // Room for the whole text, so that no copy of it is left behind when the buffer grows.
    let mut text = String::with_capacity(LONGEST as usize + 1);
    let read = file.take(LONGEST).read_to_string(&mut text);
    let text = SecretString::from(text);
    read.map_err(|error| told(path, "cannot be read", error))?;
    Ok((metadata, text))
}

/// Writes a new key under a name of its own, and then gives it the name that was asked for, unless that is taken.
fn create(path: &Path) -> io::Result<()> {
    let text = Zeroizing::new(format!("{}\n", &*Zeroizing::new(STANDARD.encode(Kek::generate().bytes()))));
    let draft = draft(path);
    let made = write(&draft, &text).and_then(|_| {
        fs::hard_link(&draft, path)?;
        File::open(folder(path))?.sync_all()
    });
    let removed = fs::remove_file(&draft);
    made.and(removed)
}

/// Puts another text in the place of a file's, with the same owner and rights.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (before, _) = read(path)?;
    let draft = draft(path);
    let made = write(&draft, text).and_then(|file| {
        fchown(&file, Some(before.uid()), Some(before.gid()))?;
        file.set_permissions(before.permissions())?;
        fs::rename(&draft, path)?;
        File::open(folder(path))?.sync_all()
    });
    if made.is_err() {
        let _ = fs::remove_file(&draft);
    }
    made.map_err(|error| told(path, "cannot be written", error))
}

fn write(draft: &Path, text: &str) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(file)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn draft(path: &Path) -> PathBuf {
    folder(path).join(format!(".{}.new", random::base62(16)))
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
        let made = load_or_create(&path).unwrap().newest;
        assert_eq!(load_or_create(&path).unwrap().newest.bytes(), made.bytes());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[test]
    fn programs_that_start_at_once_get_the_same_key() {
        let folder = Folder::new();
        let path = folder.0.join("kek");
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let started: Vec<_> =
                (0..8).map(|_| scope.spawn(|| *load_or_create(&path).unwrap().newest.bytes())).collect();
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

    /// CFG-1, SEC-4
    #[test]
    fn only_32_bytes_are_a_key_and_none_is_ever_shown() {
        let kek = Kek::generate();
        let text = STANDARD.encode(kek.bytes());
        assert_eq!(parse(&SecretString::from(format!(" {text}\n"))).unwrap().newest.bytes(), kek.bytes());
        assert!(parse(&SecretString::from(STANDARD.encode([7; 31]))).is_err());
        assert!(parse(&SecretString::from(STANDARD.encode([7; 33]))).is_err());
        assert_eq!(format!("{kek:?}"), "Kek(SecretBox<[u8; 32]>([REDACTED]))");
    }

    /// SEC-2
    #[test]
    fn a_key_is_put_above_the_others_and_those_below_can_be_dropped() {
        let folder = Folder::new();
        let path = folder.0.join("kek");
        let first = load_or_create(&path).unwrap().newest;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        add(&path).unwrap();
        let both = load(&path).unwrap();
        assert_ne!(both.newest.bytes(), first.bytes());
        assert_eq!(both.older.iter().map(Kek::bytes).collect::<Vec<_>>(), [first.bytes()]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        add(&path).unwrap();
        add(&path).unwrap();
        assert!(add(&path).unwrap_err().to_string().contains("4 keys already"));
        let newest = *load(&path).unwrap().newest.bytes();
        assert_eq!(keep_newest(&path).unwrap(), 3);
        assert_eq!(keep_newest(&path).unwrap(), 0);
        let left = load(&path).unwrap();
        assert_eq!((left.newest.bytes(), left.older.len()), (&newest, 0));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
        let keys = |count: usize| SecretString::from(vec![STANDARD.encode([7; 32]); count].join(" "));
        assert!(parse(&keys(MOST)).is_ok() && parse(&keys(MOST + 1)).is_err() && parse(&keys(0)).is_err());
    }
}
