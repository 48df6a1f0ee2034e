//! The one folder that all of an installation's files are in: how they are named, locked, written and known
//! as ours.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, fchown, lchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::model::Time;
use crate::model::connector::{Fault, ResourceGoal, ServiceGoal, Target};
use crate::model::ids::ServiceId;

/// How long a call waits for another that writes the same file.
const PATIENCE: Duration = Duration::from_secs(10);
/// Files share this many locks, so that locks need not be removed with the files they guard.
const LOCKS: u32 = 256;
const LOCK_FOLDER: &str = "locks";

/// The folder and who may read what is in it.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    root: PathBuf,
    /// The group that reads the files with password hashes.
    pub readers: Option<u32>,
    /// The user and group that mail belongs to.
    pub mail_owner: (Option<u32>, Option<u32>),
}

impl Disk {
    pub fn of(target: &Target) -> Result<Self, Fault> {
        let root = target.text("root")?;
        let unfit = |c: char| c.is_control() || c.is_whitespace() || "\"'\\$;{}".contains(c);
        if !root.starts_with('/') || root.split('/').any(|part| part == "..") || root.contains(unfit) {
            let why = "the server's setting `root` must be an absolute path without blanks and quotes";
            return Err(Fault::Denied(why.into()));
        }
        let number = |name: &str| match target.settings.get(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) => Ok(Some(number)),
                None => Err(Fault::Denied(format!("the server's setting `{name}` must be a number"))),
            },
        };
        Ok(Self {
            root: PathBuf::from(root),
            readers: number("users_gid")?,
            mail_owner: (number("mail_uid")?, number("mail_gid")?),
        })
    }

    /// Where something of a name is, in one of our own folders; the only place where names become paths.
    pub fn path(&self, folder: &str, name: &str) -> Result<PathBuf, Fault> {
        let unfit = |c: char| c.is_control() || c.is_whitespace() || "/\\:\"'".contains(c);
        if name.is_empty() || name.starts_with('.') || name.contains("..") || name.contains(unfit) {
            return Err(Fault::Invalid(format!("{name:?} cannot be the name of a file")));
        }
        Ok(self.root.join(folder).join(name))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folders, which only the first calls to a server do: one that has gone missing since is a
    /// disk that is not mounted, and nothing is to be written in its place.
    pub fn prepare(&self, folders: &[&str]) -> Result<(), Fault> {
        for folder in [LOCK_FOLDER].iter().chain(folders) {
            let path = self.root.join(folder);
            fs::create_dir_all(&path).map_err(|error| fault("make", &path, &error))?;
        }
        Ok(())
    }

    /// Whether files can be made and kept here.
    pub fn check(&self) -> Result<(), Fault> {
        let probe = self.root.join(LOCK_FOLDER).join("probe");
        write_synced(&probe, b"", 0o600, None, |_| Ok(None))
            .map_err(|error| fault("write", &probe, &error))?;
        fs::remove_file(&probe).map_err(|error| fault("remove", &probe, &error))
    }

    /// A file that nobody else writes, in any process, for as long as this is held.
    pub fn hold(&self, folder: &str, name: &str) -> Result<Held, Fault> {
        let path = self.path(folder, name)?;
        let slot = crc32fast::hash(format!("{folder}/{name}").as_bytes()) % LOCKS;
        let lock_path = self.root.join(LOCK_FOLDER).join(format!("{slot:02x}"));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&lock_path).map_err(|error| fault("open", &lock_path, &error))?;
        let started = std::time::Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Fault::unavailable(format!("{} is being written by others", path.display())));
                }
                Err(TryLockError::Error(error)) => return Err(fault("lock", &lock_path, &error)),
            }
        }
        let mut last = String::new();
        lock.read_to_string(&mut last).map_err(|error| fault("read", &lock_path, &error))?;
        Ok(Held { path, lock, last: last.trim().parse().unwrap_or(0) })
    }

    /// The names of the files in a folder that have this service's mark.
    pub fn marked(&self, folder: &str, comment: &str, service: ServiceId) -> Result<Vec<String>, Fault> {
        let folder = self.root.join(folder);
        let lost = |error| fault("read", &folder, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(lost)? {
            let entry = entry.map_err(lost)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.starts_with('.')
                && first_line(&entry.path()).is_some_and(|line| owns(&line, comment, service))
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether a file is there that has not this service's mark.
    pub fn is_anothers(&self, path: &Path, comment: &str, service: ServiceId) -> Result<bool, Fault> {
        Ok(read(path)?.is_some_and(|text| !owns(&text, comment, service)))
    }

    /// Takes a data folder for the service, or finds that it has it. The mark is beside the folder, out of
    /// reach of those who write in it.
    pub fn claim(&self, parent: &str, name: &str, service: ServiceId, mode: u32) -> Result<PathBuf, Fault> {
        let (folder, mark) = (self.path(parent, name)?, self.owner_of(parent, name));
        match read(&mark)? {
            Some(owner) if owns(&owner, "#", service) => {}
            Some(_) => return Err(foreign(&folder)),
            None if folder.exists() => return Err(foreign(&folder)),
            None => write_synced(&mark, mark_line("#", service).as_bytes(), 0o644, None, |_| Ok(None))
                .map_err(|error| fault("write", &mark, &error))?,
        }
        match fs::DirBuilder::new().mode(mode).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(fault("make", &folder, &error)),
            _ => Ok(folder),
        }
    }

    /// Removes the data folder if it is the service's.
    pub fn release(&self, parent: &str, name: &str, service: ServiceId) -> Result<(), Fault> {
        let (folder, mark) = (self.path(parent, name)?, self.owner_of(parent, name));
        if !read(&mark)?.is_some_and(|owner| owns(&owner, "#", service)) {
            return Ok(());
        }
        remove_tree(&folder)?;
        gone(fs::remove_file(&mark)).map_err(|error| fault("remove", &mark, &error))
    }

    fn owner_of(&self, parent: &str, name: &str) -> PathBuf {
        self.root.join(parent).join(format!(".{name}.owner"))
    }

    /// Adds a line to the record of what was done here.
    pub fn record(
        &self,
        at: Time,
        did: &str,
        name: &str,
        service: &ServiceGoal,
        resource: Option<&ResourceGoal>,
    ) -> Result<(), Fault> {
        let path = self.root.join("ledger.jsonl");
        let entry = json!({
            "at": at,
            "did": did,
            "name": name,
            "access": service.access,
            "account": service.account_id,
            "service": service.id,
            "resource": resource.map(|resource| resource.id),
        });
        let mut options = File::options();
        let ledger = options.append(true).create(true).mode(0o640).open(&path);
        ledger
            .and_then(|mut ledger| ledger.write_all(format!("{entry}\n").as_bytes()))
            .map_err(|error| fault("write", &path, &error))
    }
}

/// A file of ours while nobody else may write it.
#[derive(Debug)]
pub(super) struct Held {
    pub path: PathBuf,
    lock: File,
    /// The latest modification time, in seconds, of any file under this lock.
    last: u64,
}

impl Held {
    /// The file's text if it is the service's, nothing if there is none, a fault if it is another's.
    pub fn ours(&self, comment: &str, service: ServiceId) -> Result<Option<String>, Fault> {
        match read(&self.path)? {
            Some(text) if !owns(&text, comment, service) => Err(foreign(&self.path)),
            text => Ok(text),
        }
    }

    /// The file's text whoever it belongs to.
    pub fn text(&self) -> Result<Option<String>, Fault> {
        read(&self.path)
    }

    /// The disk's own time, by which other machines on it go as well.
    pub fn now(&mut self) -> Result<Time, Fault> {
        let now = self.note(self.last).and_then(|()| self.lock.metadata()?.modified());
        let now = now.map_err(|error| fault("write", &self.path, &error))?;
        let micros = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        Ok(Time::from_micros(micros).unwrap_or(Time::EPOCH))
    }

    /// Puts the text in place of the file's, whole or not at all. Its modification time is in a later second
    /// than that of every version before: a server that compares whole seconds sees each.
    pub fn write(&mut self, text: &str, mode: u32, group: Option<u32>) -> Result<(), Fault> {
        let before = fs::metadata(&self.path).and_then(|old| old.modified()).map_or(0, seconds);
        let last = self.last.max(before);
        let mut stamp = 0;
        write_synced(&self.path, text.as_bytes(), mode, group, |now| {
            stamp = seconds(now).max(last + 1);
            self.note(stamp)?;
            Ok(Some(UNIX_EPOCH + Duration::from_secs(stamp)))
        })
        .map_err(|error| fault("write", &self.path, &error))?;
        self.last = stamp;
        Ok(())
    }

    /// Removes the file, if it is there, for good.
    pub fn remove(&self) -> Result<(), Fault> {
        gone(fs::remove_file(&self.path))
            .and_then(|()| sync_folder(&self.path))
            .map_err(|error| fault("remove", &self.path, &error))
    }

    fn note(&self, stamp: u64) -> io::Result<()> {
        let mut lock = &self.lock;
        lock.rewind()?;
        // Ten digits always: a shorter text would leave the end of a longer one.
        lock.write_all(format!("{stamp:010}").as_bytes())
    }
}

/// The line by which a file is known as the service's.
pub(super) fn mark_line(comment: &str, service: ServiceId) -> String {
    format!("{comment} tenantry service={service}\n")
}

fn owns(text: &str, comment: &str, service: ServiceId) -> bool {
    text.lines().next() == Some(mark_line(comment, service).trim_end())
}

pub(super) fn foreign(path: &Path) -> Fault {
    Fault::Foreign(format!("{} is there and is not this service's", path.display()))
}

/// Removes a folder with all that is in it; what stands under its name is gone at once.
pub(super) fn remove_tree(folder: &Path) -> Result<(), Fault> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.with_file_name(format!(".{name}.gone"));
    gone(fs::remove_dir_all(&aside)).map_err(|error| fault("remove", &aside, &error))?;
    gone(fs::rename(folder, &aside)).map_err(|error| fault("remove", folder, &error))?;
    gone(fs::remove_dir_all(&aside)).map_err(|error| fault("remove", &aside, &error))
}

/// Makes a folder that belongs to such a user, if it is not there.
pub(super) fn make_owned(folder: &Path, owner: (Option<u32>, Option<u32>)) -> Result<(), Fault> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => lchown(folder, owner.0, owner.1).map_err(|error| fault("give away", folder, &error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(fault("make", folder, &error)),
    }
}

fn read(path: &Path) -> Result<Option<String>, Fault> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(foreign(path)),
        Err(error) => Err(fault("read", path, &error)),
    }
}

fn first_line(path: &Path) -> Option<String> {
    let mut start = String::new();
    File::open(path).ok()?.take(256).read_to_string(&mut start).ok()?;
    start.lines().next().map(str::to_owned)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Writes beside the file, to disk, and renames: a crash leaves the old version or the new. `stamp` turns the
/// time of writing into the modification time the new version gets.
fn write_synced(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    group: Option<u32>,
    stamp: impl FnOnce(SystemTime) -> io::Result<Option<SystemTime>>,
) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, for `acme.example.new` is a domain as well.
    let beside = path.with_file_name(format!(".{name}.new"));
    gone(fs::remove_file(&beside))?;
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&beside)?;
    if group.is_some() {
        fchown(&file, None, group)?;
    }
    file.write_all(bytes)?;
    if let Some(time) = stamp(file.metadata()?.modified()?)? {
        file.set_modified(time)?;
    }
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn fault(doing: &str, path: &Path, error: &io::Error) -> Fault {
    let text = format!("cannot {doing} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => Fault::Denied(text),
        _ => Fault::unavailable(text),
    }
}
