//! The file outside the database that the audit's checkpoints are written to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::model::accounts::checkpoints::{self, Checkpoint, End, digest};
use crate::store::checkpoints::Kept;

/// How much of a file's end is read at first; twice as much each time no checkpoint is in it.
const TAIL: u64 = 64 * 1024;

/// Why a checkpoint could not be written down.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
    #[error("{0}: a sync failed, and what a file says after that is not to be trusted; restart")]
    Unsynced(String),
    #[error(
        "{0}: checkpoint {1} of the database does not follow from the last one in the file; \
         verify, keep the file, and let a new one begin"
    )]
    Parted(String, i64),
}

/// A file that is only ever added to. Several processes can have the same one.
#[derive(Debug)]
pub struct Sink {
    path: PathBuf,
    unsynced: bool,
}

impl Sink {
    pub fn new(path: PathBuf) -> Self {
        Self { path, unsynced: false }
    }

    /// The number of the last checkpoint in the file.
    pub fn last(&self) -> Result<i64, SinkError> {
        let opened = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened,
        };
        let end = opened.and_then(|mut file| end(&mut file)).map_err(|error| self.failed(error))?;
        Ok(end.last.map_or(0, |(number, _)| number))
    }

    /// Adds those of the checkpoints that the file does not have; they begin with one that it has, or with the one that
    /// comes next. Returns once they are on the disk.
    pub fn add(&mut self, kept: &[Kept]) -> Result<(), SinkError> {
        if self.unsynced {
            return Err(SinkError::Unsynced(self.path.display().to_string()));
        }
        let (mut file, is_new) = self.open().map_err(|error| self.failed(error))?;
        // Whoever else writes has written all of a checkpoint before it is looked where the file ends.
        file.lock().map_err(|error| self.failed(error))?;
        let end = end(&mut file).map_err(|error| self.failed(error))?;
        let mut text = String::new();
        if end.torn {
            text.push('\n');
        }
        if end.unfinished {
            text.push_str(&checkpoints::abandoned());
            text.push('\n');
        }
        let mut last = end.last;
        for row in kept {
            if last.as_ref().is_some_and(|(number, _)| row.number <= *number) {
                continue;
            }
            if !follows(row, last.as_ref()) {
                return Err(SinkError::Parted(self.path.display().to_string(), row.number));
            }
            text.push_str(&row.heads);
            text.push_str(&row.line);
            text.push('\n');
            last = Some((row.number, row.line.clone()));
        }
        file.write_all(text.as_bytes()).map_err(|error| self.failed(error))?;
        let synced = file.sync_data().and_then(|()| if is_new { sync_folder(&self.path) } else { Ok(()) });
        self.unsynced = synced.is_err();
        synced.map_err(|error| self.failed(error))
    }

    fn open(&self) -> io::Result<(File, bool)> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600);
        match options.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok((options.create(true).open(&self.path)?, true))
            }
            opened => Ok((opened?, false)),
        }
    }

    fn failed(&self, error: io::Error) -> SinkError {
        SinkError::Io(self.path.display().to_string(), error)
    }
}

/// Whether a row is the checkpoint that comes after the last.
fn follows(row: &Kept, last: Option<&(i64, String)>) -> bool {
    let (number, before) = last.map_or((0, String::new()), |(number, line)| (*number, digest(line)));
    Checkpoint::parse(&row.line).is_some_and(|checkpoint| {
        (checkpoint.number, row.number, &checkpoint.before) == (number + 1, number + 1, &before)
    })
}

/// How the file ends.
fn end(file: &mut File) -> io::Result<End> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut part = TAIL;
    loop {
        let from = size.saturating_sub(part);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(part).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // The first line of a part that begins within one is no whole line.
        let whole = if from == 0 { &*text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
        match checkpoints::end(whole) {
            Some(end) => return Ok(end),
            None if from == 0 => {
                let unfinished = !text.trim_matches('\n').is_empty();
                return Ok(End { last: None, unfinished, torn: unfinished && !text.ends_with('\n') });
            }
            None => part *= 2,
        }
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use crate::model::accounts::checkpoints::{Head, heads, read};
    use crate::model::ids::{AccountId, RequestId};

    /// Checkpoints that follow one another.
    fn rows(count: i64) -> Vec<Kept> {
        let mut before = String::new();
        let row = |number| {
            let told: Vec<_> = (0..50)
                .map(|sequence| Head { account_id: AccountId::new(), sequence, hash: "0".repeat(64) })
                .collect();
            let heads = heads(&told);
            let checkpoint = Checkpoint {
                number,
                time: Time::EPOCH,
                heads: told.len() as u64,
                root: digest(&heads),
                before: before.clone(),
                key: String::new(),
                signature: String::new(),
            };
            let line = checkpoint.line();
            before = digest(&line);
            Kept { number, made_at: Time::EPOCH, heads, line, kept: false }
        };
        (1..=count).map(row).collect()
    }

    fn sink() -> (Sink, PathBuf) {
        let path = std::env::temp_dir().join(format!("{}.ndjson", RequestId::new().bare()));
        (Sink::new(path.clone()), path)
    }

    fn numbers(path: &Path) -> Vec<i64> {
        let found = read(io::BufReader::new(File::open(path).unwrap())).unwrap();
        assert!(found.iter().all(|found| found.fits));
        found.into_iter().map(|found| found.checkpoint.number).collect()
    }

    /// AUD-3: cut off at any byte, it goes on without a gap and without a double.
    #[test]
    fn a_file_that_was_cut_off_anywhere_is_gone_on_with() {
        let (mut whole, whole_path) = sink();
        let rows = rows(3);
        whole.add(&rows).unwrap();
        let text = std::fs::read(&whole_path).unwrap();
        let (mut sink, path) = sink();
        for cut in (0..text.len()).step_by(101).chain([text.len() - 1, text.len()]) {
            std::fs::write(&path, &text[..cut]).unwrap();
            let last = sink.last().unwrap();
            let missing: Vec<_> = rows.iter().filter(|row| row.number > last).cloned().collect();
            sink.add(&missing).unwrap();
            assert_eq!(numbers(&path), [1, 2, 3], "cut at {cut}");
            sink.add(&rows).unwrap();
            assert_eq!((numbers(&path), sink.last().unwrap()), (vec![1, 2, 3], 3));
        }
        for path in [path, whole_path] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn what_does_not_follow_is_not_written() {
        let (mut sink, path) = sink();
        let (rows, others) = (rows(3), rows(3));
        sink.add(&rows[..2]).unwrap();
        assert!(matches!(sink.add(&others[2..]).unwrap_err(), SinkError::Parted(_, 3)));
        assert!(matches!(Sink::new("/nowhere/at/all".into()).add(&rows).unwrap_err(), SinkError::Io(..)));
        assert_eq!(numbers(&path), [1, 2]);
        std::fs::remove_file(path).unwrap();
    }
}
