//! The data folder, which belongs to one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder that holds the SQLite file, the key-encryption key and the connectors' files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// The right to use the folder, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
#[must_use = "the folder is free again as soon as this is dropped"]
pub struct FolderLock {
    _file: File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the data folder {} is in use by another tenantry process{}; stop it, or give --data-dir another folder", .0.display(), by(.1))]
    InUse(PathBuf, Option<u32>),
    #[error("the data folder {} cannot be used: {}", .0.display(), .1)]
    Unusable(PathBuf, #[source] io::Error),
}

fn by(process: &Option<u32>) -> String {
    process.map(|id| format!(" (process {id})")).unwrap_or_default()
}

impl Folder {
    /// Makes the folder, for its owner's eyes only, unless it is there already.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        match made {
            Ok(()) => Ok(Self(path.to_owned())),
            Err(error) => Err(FolderError::Unusable(path.to_owned(), error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Claims the folder for this process, or says who has it.
    pub fn lock(&self) -> Result<FolderLock, FolderError> {
        let unusable = |error| FolderError::Unusable(self.0.clone(), error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join("lock"))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(unusable)?;
                writeln!(file, "{}", std::process::id()).map_err(unusable)?;
                Ok(FolderLock { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                let process = read.ok().and_then(|_| holder.trim().parse().ok());
                Err(FolderError::InUse(self.0.clone(), process))
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::model::ids::RequestId;

    fn somewhere() -> PathBuf {
        std::env::temp_dir().join(RequestId::new().to_string()).join("data")
    }

    #[test]
    fn a_folder_is_made_for_its_owner_only() {
        let path = somewhere();
        let folder = Folder::open(&path).unwrap();
        assert_eq!(std::fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(Folder::open(&path).unwrap(), folder);
    }

    #[test]
    fn a_folder_serves_one_holder_at_a_time_and_the_second_is_told_who_has_it() {
        let path = somewhere();
        let folder = Folder::open(&path).unwrap();
        let held = folder.lock().unwrap();
        let refusal = folder.lock().unwrap_err();
        assert!(
            matches!(&refusal, FolderError::InUse(_, Some(id)) if *id == std::process::id()),
            "{refusal}"
        );
        assert!(refusal.to_string().contains(&path.display().to_string()));
        drop(held);
        let _again = folder.lock().unwrap();
    }

    #[test]
    fn a_file_in_the_folders_place_is_named() {
        let path = somewhere();
        Folder::open(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        let refusal = Folder::open(&path).unwrap_err();
        assert!(matches!(&refusal, FolderError::Unusable(..)));
        assert!(refusal.to_string().contains(&path.display().to_string()));
    }
}
