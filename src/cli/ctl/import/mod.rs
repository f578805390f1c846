//! `ferrymq ctl import`: copies definitions and messages of a running RabbitMQ into a running FerryMQ.
//!
//! ```text
//!   management API --definitions--> plan --declare--> FerryMQ
//!                                    |
//!                                    v  a queue at a time
//!   RabbitMQ --reader--> mover --writer--> FerryMQ
//!                          |
//!                          v
//!                        state, on the disk                       how far it is; `resume` goes on from it
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `arguments.rs`, `side.rs` | what is typed; where both sides are |
//! | `management.rs`, `definitions.rs` | what RabbitMQ says is declared |
//! | `plan.rs`, `rest.rs`, `declare.rs` | what is to be made of that, and what not; makes it |
//! | `link.rs`, `links.rs` | connections, and the lock that goes with each |
//! | `reader.rs`, `writer.rs`, `window.rs` | reads slices of a queue; publishes them; how large they are |
//! | `message.rs`, `digest.rs` | a message as FerryMQ takes it; digests |
//! | `mover.rs` | moves the messages of a queue |
//! | `state.rs`, `resume.rs`, `walk.rs` | how far it is; what became of what was under way; what FerryMQ has |
//! | `progress.rs`, `report.rs` | what is told meanwhile, and at the end |
//!
//! Invariants: no message is acknowledged in RabbitMQ before FerryMQ confirmed it, and that is on the disk; memory is
//! bounded by one slice; no password is printed.

mod arguments;
mod declare;
mod definitions;
mod digest;
mod error;
mod link;
mod links;
mod management;
mod message;
mod mover;
mod plan;
mod progress;
mod reader;
mod report;
mod rest;
mod resume;
mod side;
mod state;
mod walk;
mod window;
mod writer;

use std::time::{Duration, Instant};

pub use arguments::{Hidden, ImportArguments};
pub use error::ImportError;
pub use side::Side;

use self::{
    link::{Count, Link},
    links::Links,
    management::Management,
    plan::Plan,
    progress::Progress,
    report::Row,
    side::Endpoint,
    state::{Folder, Move, Reached},
    walk::walk,
    window::Window,
};
use super::Answer;

/// The longest that messages that were given back may take to be there again.
const COMING_BACK: Duration = Duration::from_secs(5);

/// What it takes to move messages.
struct Errand {
    of: Move,
    folder: Folder,
    from: Endpoint,
    to: Endpoint,
    window: u16,
    patience: Duration,
    verify: bool,
    progress: Progress,
}

impl Errand {
    /// Who publishes.
    fn user(&self) -> &str {
        self.to.user()
    }
}

/// Does what was typed, and gives what is to be printed; its exit code is 1 where FerryMQ has not what it should.
///
/// # Errors
///
/// [`ImportError`].
pub(super) async fn run(arguments: &ImportArguments) -> Result<Answer, ImportError> {
    let from = Endpoint::new(Side::RabbitMq, &arguments.from, arguments.from_password_file.as_deref())?;
    let to = Endpoint::new(Side::FerryMq, &arguments.to, arguments.to_password_file.as_deref())?;
    let base = arguments.from_management.clone().unwrap_or_else(|| from.management());
    let management = Management::new(&base, &from, arguments.from_management_ca_file.as_deref())?;
    let definitions = management.definitions(from.virtual_host()).await?;
    if let Some(name) =
        arguments.queues.iter().find(|name| !definitions.queues.iter().any(|queue| queue.name == **name))
    {
        return Err(ImportError::NoQueue { name: name.clone(), virtual_host: from.virtual_host().to_owned() });
    }
    let plan = plan::plan(&definitions, &arguments.queues);
    if arguments.dry_run {
        return Ok(report::plan(&plan).into());
    }
    let errand = Errand {
        of: Move::new(from.to_string(), to.to_string(), arguments.copy),
        folder: Folder::open(&arguments.state)?,
        from,
        to,
        window: arguments.window,
        patience: Duration::from_secs(arguments.patience),
        verify: arguments.verify,
        progress: Progress::start(),
    };
    let mut links = Links::default();
    links.open(&errand).await?;
    declare::declare(links.both()?.1, &plan).await?;
    if arguments.definitions_only {
        links.forget().await;
        return Ok(report::plan(&plan).into());
    }
    let rows = messages(&errand, &mut links, &plan).await?;
    links.forget().await;
    let text = format!("{}\n{}", report::left(&plan.left), report::queues(&rows));
    Ok(Answer { text, exit_code: u8::from(!report::is_well(&rows)) })
}

async fn messages(errand: &Errand, links: &mut Links, plan: &Plan) -> Result<Vec<Row>, ImportError> {
    let mut rows = Vec::new();
    for queue in plan.queues.iter().filter(|queue| queue.has_messages) {
        let reached = mover::run(errand, links, queue).await?;
        let (from, to) = links.both()?;
        let left = still_there(from, &reached).await?;
        let now = all_there(to, &reached.queue, reached.there_before + reached.moved, false).await?;
        let verified = if errand.verify { Some(verify(errand, to, &reached, now).await?) } else { None };
        rows.push(Row { reached, left, now, verified });
    }
    Ok(rows)
}

/// What RabbitMQ still has of a queue.
async fn still_there(from: &Link, reached: &Reached) -> Result<u64, ImportError> {
    let expected = if reached.of.copy { reached.moved } else { 0 };
    Ok(all_there(from, &reached.queue, expected, true).await?.messages)
}

/// What a queue has, once that is as many as expected: what was held comes back a moment after it is given back, and a
/// broker that leads a queue may be a moment ahead of the one that is asked. Where programs consume from it, what there is.
async fn all_there(link: &Link, queue: &str, expected: u64, whoever_consumes: bool) -> Result<Count, ImportError> {
    let (channel, began) = (link.channel().await?, Instant::now());
    loop {
        let now = link.count(&channel, queue).await?;
        if now.messages >= expected || (now.consumers > 0 && !whoever_consumes) || began.elapsed() >= COMING_BACK {
            return Ok(now);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is wrong with what FerryMQ has; an empty text where nothing is.
async fn verify(errand: &Errand, to: &Link, reached: &Reached, now: Count) -> Result<String, ImportError> {
    if now.consumers > 0 {
        let consumers = now.consumers;
        return Ok(format!(
            "it has {consumers} consumers in FerryMQ, who take what is to be read; stop them, and run this again"
        ));
    }
    let expected = reached.there_before + reached.moved;
    if now.messages < expected {
        return Ok(format!("FerryMQ has {} messages of it, and not {expected}; was something consumed?", now.messages));
    }
    let found = walk(to, reached, errand.user(), Window::new(errand.window, 0), 0).await?;
    // They are back before anybody looks.
    all_there(to, &reached.queue, expected, false).await?;
    if found.holds(reached) {
        return Ok(String::new());
    }
    Ok(format!(
        "what FerryMQ has behind the first {} messages has the digest {}, and what was read from RabbitMQ {}; was something \
         published, consumed, or doubled meanwhile?",
        reached.there_before,
        found.digest.short(),
        reached.digest.short()
    ))
}
