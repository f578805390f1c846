//! Moves or copies the messages of one queue: read, published, confirmed, written down, acknowledged; slice by slice.
//!
//! ```text
//!   RabbitMQ --slice--> Publishing --FerryMQ confirms--> Confirmed --RabbitMQ took the acknowledgement--> Settled
//!                          |                                |                                               |
//!                          +------- stopped, or a connection lost: `catch_up` looks what became of it ------+
//! ```
//!
//! Invariant: a message is acknowledged in RabbitMQ only once it is written down that FerryMQ confirmed it.

use std::time::Duration;

use lapin::{
    message::Delivery,
    options::{BasicAckOptions, BasicQosOptions},
};

use super::{
    Errand, ImportError,
    digest::Digest,
    link::Link,
    links::Links,
    message::{Message, Without},
    plan::NewQueue,
    reader::Reader,
    state::{Reached, Stage},
    walk::walk,
    window::Window,
    writer::Writer,
};

/// Connections that may be lost one after the other without a message in between.
const TRIES: u32 = 5;
/// Before the first new one; doubled before each one after it.
const PAUSE: Duration = Duration::from_millis(500);

/// Moves the messages of a queue until those are moved that it has now, or it is empty.
///
/// # Errors
///
/// Where a side refuses, is silent, or is lost again and again.
pub(super) async fn run(errand: &Errand, links: &mut Links, queue: &NewQueue) -> Result<Reached, ImportError> {
    let mut goal = None;
    let (mut tries, mut reached_before) = (0, None);
    loop {
        let error = match attempt(errand, links, queue, &mut goal).await {
            Ok(reached) => return Ok(reached),
            Err(error) => error,
        };
        let reached = errand.folder.read(&errand.of, &queue.name)?.map(|reached| reached.moved);
        tries = if reached == reached_before { tries + 1 } else { 1 };
        reached_before = reached;
        if !error.is_passing() || tries > TRIES {
            return Err(error);
        }
        errand.progress.say(&format!("{error}; connecting again ({tries} of {TRIES})"));
        tokio::time::sleep(PAUSE * 2u32.pow(tries - 1)).await;
        links.forget().await;
    }
}

async fn attempt(
    errand: &Errand,
    links: &mut Links,
    queue: &NewQueue,
    goal: &mut Option<u64>,
) -> Result<Reached, ImportError> {
    links.open(errand).await?;
    let (from, to) = links.both()?;
    let window = Window::new(errand.window, queue.mean_bytes);
    let reader = Reader::new(from, &queue.name).await?;
    let writer = Writer::new(to, &queue.name).await?;
    let (reached, left) = match errand.folder.read(&errand.of, &queue.name)? {
        // What it held when it was stopped is on its way back.
        Some(reached) => (reached, from.settled_count(reader.channel(), &queue.name).await?.messages),
        None => {
            let left = from.count(reader.channel(), &queue.name).await?.messages;
            let there = to.count(&to.channel().await?, &queue.name).await?.messages;
            (Reached::begun(&errand.of, &queue.name, left, there), left)
        }
    };
    let limit = queue.delivery_limit.filter(|_| errand.of.copy);
    let mut mover = Mover { errand, to, reader, writer, window, reached, limit };
    mover.catch_up(left).await?;
    if !errand.of.copy {
        // A copy ends where it was to end at first, however often it is begun.
        let known = u64::try_from(mover.reached.known.len()).unwrap_or(u64::MAX);
        let now = mover.reached.moved + left.saturating_sub(known);
        mover.reached.goal = *goal.get_or_insert(now);
    }
    mover.carry_on().await
}

/// A queue that is being moved.
struct Mover<'a> {
    errand: &'a Errand,
    to: &'a Link,
    reader: Reader<'a>,
    writer: Writer<'a>,
    window: Window,
    reached: Reached,
    /// How often RabbitMQ hands out a message that is given back, before it drops it.
    limit: Option<u64>,
}

impl Mover<'_> {
    /// Finds out what became of what was under way when this was stopped; RabbitMQ has `left` messages.
    async fn catch_up(&mut self, left: u64) -> Result<(), ImportError> {
        match self.reached.stage.clone() {
            Stage::Settled => {}
            Stage::Publishing { count } => {
                let stored = self.stored(count).await?;
                for (digest, bytes) in &stored {
                    self.reached.add(digest, *bytes, Without::default());
                }
                if !self.errand.of.copy {
                    self.reached.known.add_stored(stored.into_iter().map(|(digest, _)| digest));
                }
            }
            Stage::Confirmed { messages } => {
                let known = u64::try_from(messages.len() + self.reached.known.len()).unwrap_or(u64::MAX);
                let unless_taken = (self.reached.goal + known).saturating_sub(self.reached.moved);
                let doubled = self.reached.known.add_confirmed(messages, left, unless_taken);
                self.reached.doubled += u64::try_from(doubled).unwrap_or(u64::MAX);
            }
        }
        self.settled()?;
        if self.errand.of.copy { self.pass_over_copied().await } else { Ok(()) }
    }

    /// What FerryMQ stored of `count` messages that it did not confirm.
    async fn stored(&mut self, count: u64) -> Result<Vec<(Digest, u64)>, ImportError> {
        let Reached { queue, there_before, moved, .. } = &self.reached;
        let now = self.to.settled_count(&self.to.channel().await?, queue).await?;
        let confirmed = there_before + moved;
        if now.consumers == 0 && now.messages == confirmed {
            return Ok(Vec::new());
        }
        if now.consumers == 0 && now.messages > confirmed {
            let window = Window::new(self.errand.window, 0);
            let found = walk(self.to, &self.reached, self.errand.user(), window, count).await?;
            if found.holds(&self.reached) {
                return Ok(found.behind);
            }
        }
        let line = format!(
            "queue '{queue}' in FerryMQ is in use, so that up to {count} messages cannot be told from those that are there: \
             they may come twice"
        );
        self.errand.progress.say(&line);
        self.reached.doubled += count;
        Ok(Vec::new())
    }

    /// Reads again what was copied before, as RabbitMQ has kept it.
    async fn pass_over_copied(&mut self) -> Result<(), ImportError> {
        let (mut passed, mut digest) = (0, Digest::default());
        let changed = |reached: &Reached| ImportError::Changed { queue: reached.queue.clone(), copied: reached.moved };
        while passed < self.reached.moved {
            let most = usize::try_from(self.reached.moved - passed).unwrap_or(usize::MAX);
            let messages = self.read(most.min(self.window.size().into())).await?;
            if messages.is_empty() {
                return Err(changed(&self.reached));
            }
            for message in messages {
                digest = digest.followed_by(&message.digest);
                passed += 1;
            }
        }
        if digest == self.reached.digest { Ok(()) } else { Err(changed(&self.reached)) }
    }

    /// Moves messages until the goal is reached, or there are no more.
    async fn carry_on(mut self) -> Result<Reached, ImportError> {
        loop {
            let left = usize::try_from(self.reached.goal.saturating_sub(self.reached.moved)).unwrap_or(usize::MAX);
            let most = left.saturating_add(self.reached.known.len()).min(self.window.size().into());
            let messages = self.read(most).await?;
            if messages.is_empty() {
                break;
            }
            self.carry(&messages).await?;
        }
        self.reached.known.forget();
        self.settled()?;
        self.writer.finish().await?;
        self.reader.give_back().await;
        Ok(self.reached)
    }

    /// Moves one slice.
    async fn carry(&mut self, messages: &[Message]) -> Result<(), ImportError> {
        let mut known = self.reached.known.clone();
        let is_new = |message: &&Message| !known.take(&message.digest, message.redelivered);
        let new: Vec<&Message> = messages.iter().filter(is_new).collect();
        if !new.is_empty() {
            self.reached.stage = Stage::Publishing { count: u64::try_from(new.len()).unwrap_or(u64::MAX) };
            self.errand.folder.write(&self.reached, false)?;
            self.writer.publish(&new).await?;
        }
        for message in new {
            self.reached.add(&message.digest, message.bytes(), message.without);
        }
        if !self.errand.of.copy {
            let messages = messages.iter().map(|message| message.digest).collect();
            self.reached.stage = Stage::Confirmed { messages };
            self.reached.known = known;
            self.errand.folder.write(&self.reached, true)?;
        }
        self.acknowledge(messages).await?;
        self.settled()?;
        let Reached { queue, moved, goal, bytes, .. } = &self.reached;
        self.errand.progress.at(queue, *moved, *goal, *bytes);
        Ok(())
    }

    /// Acknowledges these and all before them at once, and waits until RabbitMQ took it; a copy acknowledges nothing.
    async fn acknowledge(&self, messages: &[Message]) -> Result<(), ImportError> {
        let Some(last) = messages.last().filter(|_| !self.errand.of.copy) else { return Ok(()) };
        let channel = self.reader.channel();
        let done = async {
            channel.basic_ack(last.tag, BasicAckOptions { multiple: true }).await?;
            // Answered in its turn, unlike the acknowledgement.
            channel.basic_qos(1, BasicQosOptions::default()).await
        };
        done.await.map_err(|error| self.reader.fault("acknowledgements", &error))
    }

    fn settled(&mut self) -> Result<(), ImportError> {
        self.reached.stage = Stage::Settled;
        self.errand.folder.write(&self.reached, false)
    }

    async fn read(&mut self, most: usize) -> Result<Vec<Message>, ImportError> {
        let slice = self.reader.slice(u16::try_from(most).unwrap_or(u16::MAX)).await?;
        let user = self.errand.user();
        let messages: Vec<_> = slice.into_iter().map(|delivery: Delivery| Message::new(delivery, user)).collect();
        self.window.learn(messages.len(), messages.iter().map(Message::bytes).sum());
        // At half of it, as to see this is one time more.
        let deliveries = messages.iter().map(|message| message.deliveries).max().unwrap_or(0);
        match self.limit {
            Some(limit) if deliveries >= limit.div_ceil(2) => {
                Err(ImportError::WornOut { queue: self.reached.queue.clone(), deliveries, limit })
            }
            _ => Ok(messages),
        }
    }
}
