//! `ferrymq ctl`: one call to the admin API of a broker, and its answer as people read it; a look at the data of one that
//! does not run; a look into an archive, a cluster made of one; or a move from RabbitMQ.
//!
//! | file | what is in it |
//! |---|---|
//! | `arguments.rs` | what is typed |
//! | `target.rs` | which broker is meant, and its token |
//! | `print.rs` | answers as tables |
//! | `drain.rs` | what `ctl drain` and `ctl remove` do |
//! | `journal.rs` | what `ctl journal` does |
//! | `backup/` | what `ctl backup` does, which asks an archive |
//! | `restore/` | what `ctl restore` does, which runs a broker for it |
//! | `import/` | what `ctl import` does, which asks no admin API |

mod arguments;
mod backup;
mod drain;
mod import;
mod journal;
mod print;
mod restore;
mod target;

use ferrymq_admin_api::{CallError, Client, Formation, Reason};

pub use arguments::{Arguments, Command, Journal};
pub use backup::{ArchiveArguments, BackupArguments, BackupCommand, BackupError, Moment};
pub use import::{Hidden, ImportArguments, ImportError, Side};
pub use restore::{RestoreArguments, RestoreError};
pub use target::TargetError;

use crate::told::told;

/// Why a command of `ctl` did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// It is not known which broker is meant.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The broker did not do it. What it came from is part of the sentence, because this is the last one that is read.
    #[error("{0}")]
    Call(String),
    /// The file with the formation cannot be read.
    #[error("cannot read the formation from {file}: {reason}")]
    Formation {
        /// The file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// A broker's data cannot be looked at. What that came from is part of the sentence.
    #[error("{0}")]
    Look(String),
    /// An archive cannot be looked at.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Nothing is restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Nothing was imported, or not all.
    #[error(transparent)]
    Import(#[from] ImportError),
}

impl CtlError {
    /// The exit code of the process that ends with it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            // What 1 says is that something was found.
            Self::Look(_) | Self::Backup(_) => 2,
            Self::Restore(error) if !error.is_of_the_archive() => 2,
            _ => 1,
        }
    }
}

/// What a command of `ctl` gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What is to be printed.
    pub text: String,
    /// The exit code of the process: 0, unless what was asked for is not so.
    pub exit_code: u8,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, exit_code: 0 }
    }
}

impl From<CallError> for CtlError {
    fn from(error: CallError) -> Self {
        Self::Call(told(&error))
    }
}

/// Does what was typed, and gives what is to be printed.
///
/// # Errors
///
/// [`CtlError`].
pub async fn run(arguments: &Arguments) -> Result<Answer, CtlError> {
    let client = || target::client(arguments);
    Ok(match &arguments.command {
        Command::Node => print::node(&client()?.node().await?).into(),
        Command::Cluster => print::cluster(&client()?.cluster().await?).into(),
        Command::Topics => print::topics(&client()?.topics().await?.topics).into(),
        Command::Users => print::users(&client()?.users().await?).into(),
        Command::SafeToStop => print::safety(&client()?.safe_to_stop().await?).into(),
        Command::HandOver => hand_over(&client()?).await?.into(),
        Command::Drain { ordinal, undo, no_wait } => drain::run(&client()?, *ordinal, *undo, *no_wait).await?.into(),
        Command::Remove { ordinal } => drain::remove(&client()?, *ordinal).await?.into(),
        Command::Form { file } => form(&client()?, file).await?.into(),
        Command::Journal(command) => journal::run(command).await?,
        Command::Backup(arguments) => match &arguments.command {
            BackupCommand::Verify { backup: Some(backup), restore_in: Some(directory), archive } => {
                restore::drill(archive, backup, directory).await?
            }
            _ => backup::run(arguments).await?,
        },
        Command::Restore(arguments) => restore::run(arguments).await?,
        Command::Import(arguments) => import::run(arguments).await?,
    })
}

/// Called before the pod stops. A node without a cluster has nothing to hand over, and may stop.
async fn hand_over(client: &Client) -> Result<String, CtlError> {
    match client.hand_over().await {
        Ok(()) => Ok("this broker leads nothing any more\n".to_owned()),
        Err(error) if error.refusal().is_some_and(|refusal| refusal.reason == Reason::NotFormed) => {
            Ok("this broker belongs to no cluster: it leads nothing\n".to_owned())
        }
        Err(error) => Err(error.into()),
    }
}

async fn form(client: &Client, file: &str) -> Result<String, CtlError> {
    let wrong = |reason: String| CtlError::Formation { file: file.to_owned(), reason };
    let text = if file == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let formation: Formation = serde_json::from_str(&text.map_err(|error| wrong(error.to_string()))?)
        .map_err(|error| wrong(error.to_string()))?;
    client.form(&formation).await?;
    Ok(format!("cluster {} is formed\n", formation.cluster_id))
}

#[cfg(test)]
mod tests;
