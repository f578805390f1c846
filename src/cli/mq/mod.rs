//! `kubectl mq`: what a person asks of a cluster, as a plugin of kubectl.
//!
//! ```text
//!   API server --resources--> Cluster (access.rs) --> View (view.rs) --> status.rs, topics.rs --> text, or JSON
//!                                  |
//!                                  +--port-forward (forward.rs)--> admin API of a broker --> drain.rs, bundle/
//! ```
//!
//! kubectl runs the program `kubectl-mq` for `kubectl mq`: it is the one binary under that name.
//!
//! | folder, file | what is in it |
//! |---|---|
//! | `arguments.rs` | what is typed |
//! | `access.rs` | `Access`: the resources of one cluster, and a broker that answers |
//! | `forward.rs` | a broker's admin port, on this machine |
//! | `view.rs` | a cluster as its status has it, and what comes next |
//! | `status.rs`, `topics.rs` | pictures and tables: pure |
//! | `follow.rs` | the picture, again and again, until there is nothing to do |
//! | `drain.rs` | a broker is emptied, or has its share again |
//! | `bundle/` | everything that helps somebody who cannot look: one file, without Secrets |
//! | `paint.rs` | colours, on a terminal only |

mod access;
mod arguments;
mod bundle;
mod drain;
mod error;
mod follow;
mod forward;
mod paint;
mod status;
mod topics;
mod view;

use std::io::Write;

pub use arguments::{Arguments, Command, Format};
pub use error::PluginError;

use crate::mq::{access::Access, paint::Paint, view::View};

/// The name under which kubectl looks for the plugin.
pub const PROGRAM: &str = "kubectl-mq";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Well,
    /// The cluster needs a person.
    Stalled,
}

/// Does what was typed, and writes what is to be seen to `out`; `terminal` says whether a person looks at it.
///
/// # Errors
///
/// [`PluginError`], with what to do.
pub async fn run(arguments: &Arguments, out: &mut impl Write, terminal: bool) -> Result<Ended, PluginError> {
    let access = Access::new(arguments).await?;
    let paint = Paint::new(terminal);
    match &arguments.command {
        Command::Status { name, output } => {
            let view = View::of(&access.cluster(name).await?);
            write(out, &output.written(&view, |view| status::draw(view, paint))?)?;
        }
        Command::Topics { name, output } => {
            let topics = topics::Row::all(&access.topics(name.as_deref()).await?);
            write(out, &output.written(&topics, |topics| topics::draw(topics))?)?;
        }
        Command::Drain { broker } => drain::drain(&access, broker, out).await?,
        Command::Undrain { broker } => drain::undrain(&access, broker, out).await?,
        Command::Follow { name } => return follow::run(&access, name, out, paint).await,
        Command::SupportBundle { name, file } => write(out, &bundle::run(&access, name, file.as_deref()).await?)?,
    }
    Ok(Ended::Well)
}

fn write(out: &mut impl Write, text: &str) -> Result<(), PluginError> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(PluginError::Output)
}
