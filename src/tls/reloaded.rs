//! What was made of a directory, made again when it changes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;

use crate::{Certificate, FileError, Files, Identity, IdentityError};

/// How often files are looked at. A mounted Secret changes by the swap of a link, of which a watch on a file is not told.
pub const POLL: Duration = Duration::from_secs(1);

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is not there.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files do not fit.
    #[error("{directory}: {source}", directory = directory.display())]
    Identity {
        /// The directory.
        directory: PathBuf,
        /// What is wrong; it names the file, and is part of the sentence.
        source: IdentityError,
    },
    /// TLS cannot be set up from them.
    #[error("{directory}: {reason}", directory = directory.display())]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// What is made of an identity: the settings of one side of connections.
pub trait Side: Send + Sync + Sized + 'static {
    /// What else it is made from.
    type Name: Send + Sync + 'static;

    /// Makes it.
    ///
    /// # Errors
    ///
    /// A sentence: what is missing.
    fn make(files: &Files, identity: &Identity, name: &Self::Name) -> Result<Self, String>;

    /// The certificate that is shown.
    fn certificate(&self) -> &Certificate;
}

/// What was made of a directory, made again when it changes. Connections that are open stay as they are; new ones get
/// what is there then.
pub struct Reloaded<T: Side> {
    directory: PathBuf,
    name: T::Name,
    current: ArcSwapOption<T>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What `current` was made of.
    used: Option<Files>,
    /// What is wrong now, and whether that was told.
    wrong: Option<(String, bool)>,
}

impl<T: Side> Reloaded<T> {
    /// Loads a directory. Where it cannot be used yet there is nothing in it until it can; the reason is logged.
    pub fn open(directory: &Path, name: T::Name) -> Arc<Self> {
        let (current, seen) = (ArcSwapOption::empty(), Mutex::default());
        let this = Arc::new(Self { directory: directory.to_owned(), name, current, seen });
        this.look(true);
        this
    }

    /// Loads a directory, which must be usable.
    ///
    /// # Errors
    ///
    /// [`LoadError`], which names the file and what is wrong with it.
    pub fn load(directory: &Path, name: T::Name) -> Result<Arc<Self>, LoadError> {
        let (current, seen) = (ArcSwapOption::empty(), Mutex::default());
        let this = Self { directory: directory.to_owned(), name, current, seen };
        let files = Files::read(&this.directory)?;
        this.current.store(Some(Arc::new(this.made(&files)?)));
        this.seen.lock().unwrap_or_else(PoisonError::into_inner).used = Some(files);
        Ok(Arc::new(this))
    }

    /// What is to be used for a new connection; none where the files were never right.
    #[must_use]
    pub fn current(&self) -> Option<Arc<T>> {
        self.current.load_full()
    }

    /// Where it comes from.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is wrong with the files, where something is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).wrong.as_ref().map(|(reason, _)| reason.clone())
    }

    /// Looks at the files every second, until it is dropped.
    pub async fn keep_up(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let this = self.clone();
            // Files of a volume may be slow.
            if tokio::task::spawn_blocking(move || this.look(false)).await.is_err() {
                tracing::warn!(directory = %self.directory.display(), "the certificate was not looked at");
            }
        }
    }

    /// Looks at the files now, and takes them where they changed and are right. What is wrong is told when it is seen a
    /// second time: files that are replaced one by one do not fit for a moment.
    fn look(&self, tell_at_once: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = self.directory.display();
        let made = match Files::read(&self.directory) {
            Ok(files) if seen.used.as_ref() == Some(&files) => {
                seen.wrong = None;
                return;
            }
            Ok(files) => self.made(&files).map(|made| (files, made)),
            Err(error) => Err(error.into()),
        };
        match made {
            Ok((files, made)) => {
                let certificate = made.certificate();
                let (serial, expires) = (&certificate.serial, until(certificate.not_after));
                tracing::info!(%directory, serial, expires, "a certificate is in use for new connections");
                self.current.store(Some(Arc::new(made)));
                *seen = Seen { used: Some(files), wrong: None };
            }
            Err(error) => {
                let reason = reason(&error);
                let (again, told) = match &seen.wrong {
                    Some((before, told)) if *before == reason => (true, *told),
                    _ => (false, false),
                };
                let tell = !told && (again || tell_at_once);
                if tell {
                    let keeps = match &seen.used {
                        Some(_) => "a new certificate cannot be used, and the one before goes on serving",
                        None => "there is no certificate to serve with; connections are refused until there is",
                    };
                    tracing::error!(%directory, reason, "{keeps}");
                }
                seen.wrong = Some((reason, told || tell));
            }
        }
    }

    fn made(&self, files: &Files) -> Result<T, LoadError> {
        let directory = || self.directory.clone();
        let identity = Identity::check(files, SystemTime::now())
            .map_err(|source| LoadError::Identity { directory: directory(), source })?;
        T::make(files, &identity, &self.name).map_err(|reason| LoadError::Unusable { directory: directory(), reason })
    }
}

/// An error, with what it came from.
fn reason(error: &LoadError) -> String {
    match error {
        LoadError::File(FileError::Read { path, source }) => format!("{}: {source}", path.display()),
        other => other.to_string(),
    }
}

/// How long something is good yet, for people.
fn until(time: SystemTime) -> String {
    match time.duration_since(SystemTime::now()) {
        Ok(left) if left.as_secs() >= 172_800 => format!("in {} days", left.as_secs() / 86_400),
        Ok(left) => format!("in {} minutes", left.as_secs() / 60),
        Err(_) => "has expired".to_owned(),
    }
}
