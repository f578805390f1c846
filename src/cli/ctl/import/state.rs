//! How far a queue is, on the disk: what makes it safe to stop an import at any moment.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{ImportError, digest::Digest, message::Without, resume::Known};

/// The layout of these files.
const VERSION: u32 = 1;

/// The folder with how far each queue is. Only one import at a time has it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held as long as this is.
    _lock: File,
}

/// What this is about, as it was when it was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Move {
    pub(super) version: u32,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) copy: bool,
}

impl Move {
    pub(super) fn new(from: String, to: String, copy: bool) -> Self {
        Self { version: VERSION, from, to, copy }
    }
}

/// How far a queue is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reached {
    #[serde(rename = "move")]
    pub(super) of: Move,
    pub(super) queue: String,
    /// Messages that RabbitMQ had for us when it was begun.
    pub(super) found: u64,
    /// Messages that FerryMQ had when it was begun; those that are imported come behind them.
    pub(super) there_before: u64,
    /// Where this run, or the last one, is to end: messages in all.
    pub(super) goal: u64,
    /// Messages that FerryMQ confirmed.
    pub(super) moved: u64,
    /// Bytes of their bodies.
    pub(super) bytes: u64,
    /// The digest of all of them, in their order.
    pub(super) digest: Digest,
    /// What is under way.
    pub(super) stage: Stage,
    /// Messages that are counted as moved, and that RabbitMQ has all the same.
    pub(super) known: Known,
    /// Messages that may be in FerryMQ twice.
    pub(super) doubled: u64,
    pub(super) without: Without,
}

/// What is under way, and in doubt where this is found by the next run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub(super) enum Stage {
    /// Nothing: RabbitMQ took all acknowledgements.
    Settled,
    /// So many messages go to FerryMQ, which may have any first part of them.
    Publishing {
        /// How many at most.
        count: u64,
    },
    /// FerryMQ has these, which are counted as moved, and RabbitMQ has taken their acknowledgement or not.
    Confirmed {
        /// Their digests.
        messages: Vec<Digest>,
    },
}

impl Folder {
    /// # Errors
    ///
    /// Where it cannot be made, or another import has it.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let wrong = |error: io::Error| ImportError::State {
            path: path.to_owned(),
            reason: format!("cannot be used to keep how far this is: {error}; name another folder by --state"),
        };
        fs::create_dir_all(path).map_err(wrong)?;
        let lock = File::create(path.join("lock")).map_err(wrong)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(ImportError::State {
                path: path.to_owned(),
                reason: "is used by another import; wait for its end, or stop it".to_owned(),
            }),
            Err(fs::TryLockError::Error(error)) => Err(wrong(error)),
        }
    }

    /// How far a queue is; nothing where it was not begun.
    ///
    /// # Errors
    ///
    /// Where its file is damaged, or is about another move.
    pub(super) fn read(&self, of: &Move, queue: &str) -> Result<Option<Reached>, ImportError> {
        let path = self.file(queue);
        let wrong = |reason: String| ImportError::State { path: path.clone(), reason };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
        };
        let reached: Reached = serde_json::from_slice(&text).map_err(|error| {
            wrong(format!("does not say how far queue '{queue}' is: {error}; without it, messages may come twice"))
        })?;
        if reached.of != *of || reached.queue != queue {
            let Move { from, to, copy, .. } = &reached.of;
            let how = if *copy { "a copy" } else { "a move" };
            return Err(wrong(format!(
                "is about {how} from {from} to {to}; name another folder by --state, one for each"
            )));
        }
        Ok(Some(reached))
    }

    /// Writes how far a queue is, in place of what was there; `synced` where it must outlive this machine's power.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub(super) fn write(&self, reached: &Reached, synced: bool) -> Result<(), ImportError> {
        let path = self.file(&reached.queue);
        let part = path.with_extension("part");
        let write = || {
            let mut file = File::create(&part)?;
            file.write_all(&serde_json::to_vec(reached)?)?;
            if synced {
                file.sync_data()?;
            }
            fs::rename(&part, &path)
        };
        write().map_err(|error: io::Error| ImportError::State {
            path: path.clone(),
            reason: format!("cannot be written: {error}; make room, and run the same command again"),
        })
    }

    /// By its digest, as a queue may have any name.
    fn file(&self, queue: &str) -> PathBuf {
        self.path.join(format!("{}.json", Digest::of(&[queue.as_bytes()]).short()))
    }
}

impl Reached {
    /// A queue that is about to be begun.
    pub(super) fn begun(of: &Move, queue: &str, found: u64, there_before: u64) -> Self {
        Self {
            of: of.clone(),
            queue: queue.to_owned(),
            found,
            there_before,
            goal: found,
            moved: 0,
            bytes: 0,
            digest: Digest::default(),
            stage: Stage::Settled,
            known: Known::default(),
            doubled: 0,
            without: Without::default(),
        }
    }

    /// One message more that FerryMQ has.
    pub(super) fn add(&mut self, digest: &Digest, bytes: u64, without: Without) {
        self.moved += 1;
        self.bytes += bytes;
        self.digest = self.digest.followed_by(digest);
        self.without.add(without);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(to: &str) -> Move {
        Move::new("rabbit:5672".to_owned(), to.to_owned(), false)
    }

    #[test]
    fn what_was_written_is_read() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path()).unwrap();
        assert_eq!(folder.read(&of("ferry"), "a/b").unwrap(), None);
        let mut reached = Reached::begun(&of("ferry"), "a/b", 10, 2);
        reached.add(&Digest::of(&[b"1"]), 5, Without::default());
        reached.stage = Stage::Confirmed { messages: vec![Digest::of(&[b"1"])] };
        folder.write(&reached, true).unwrap();
        assert_eq!(folder.read(&of("ferry"), "a/b").unwrap(), Some(reached));
    }

    #[test]
    fn what_is_about_another_move_is_refused_and_so_is_what_is_damaged() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path()).unwrap();
        folder.write(&Reached::begun(&of("ferry"), "q", 10, 2), false).unwrap();
        let told = folder.read(&of("other"), "q").unwrap_err().to_string();
        assert!(told.contains("a move from rabbit:5672 to ferry"), "{told}");
        fs::write(folder.file("q"), "{").unwrap();
        assert!(folder.read(&of("ferry"), "q").unwrap_err().to_string().contains("does not say how far"));
    }

    #[test]
    fn only_one_import_has_a_folder() {
        let home = tempfile::tempdir().unwrap();
        let first = Folder::open(home.path()).unwrap();
        assert!(Folder::open(home.path()).unwrap_err().to_string().contains("is used by another import"));
        drop(first);
        assert!(Folder::open(home.path()).is_ok());
    }
}
