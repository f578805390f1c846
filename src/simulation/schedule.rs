//! One seed, from a cluster that is formed to one that is healed, drained and checked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ferrymq_replication::simulation::Flaw;
use ferrymq_testkit::{Broken, Chance, Event, History};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    Coverage, Failure, Fault, Story,
    clients::Clients,
    entropy,
    faults::UnderWay,
    reach::Reach,
    world::{LOOK, World, lock},
};

/// The cluster is to serve again within this time after all is healed.
const HEAL_WITHIN: Duration = Duration::from_secs(120);
const DRAIN_WITHIN: Duration = Duration::from_secs(120);
/// Replicas are to agree within this time when nothing is asked of them.
const AGREE_WITHIN: Duration = Duration::from_secs(60);
/// Queues whose messages have one consumer at a time, and those that have several.
const ORDERED: [u32; 2] = [0, 1];
const SHARED: [u32; 2] = [2, 3];

/// What came of a seed.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was wrong; nothing where all promises were kept.
    pub failure: Option<Failure>,
    /// What happened.
    pub story: Vec<String>,
    /// The same for every run of the seed.
    pub trace: u64,
    /// What was thrown.
    pub coverage: Coverage,
    /// Messages that were confirmed.
    pub confirmed: usize,
    /// Milliseconds that passed in the cluster.
    pub simulated: u64,
}

/// Simulates a seed on a thread of its own. With a flaw, one of the promises is broken on purpose.
///
/// # Errors
///
/// The thread cannot be started, or panicked.
pub fn simulate(seed: u64, flaw: Option<Flaw>) -> Result<Outcome, String> {
    let run = move || {
        entropy::follow(seed);
        Flaw::set(flaw);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| format!("no runtime: {error}"))?;
        Ok(runtime.block_on(schedule(seed)))
    };
    let thread = std::thread::Builder::new().name(format!("seed-{seed}")).stack_size(8 << 20).spawn(run);
    let thread = thread.map_err(|error| format!("no thread: {error}"))?;
    thread.join().map_err(|panic| format!("seed {seed} panicked: {}", text_of(&*panic)))?
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

async fn schedule(seed: u64) -> Outcome {
    let story = Story::new(Instant::now());
    let mut coverage = Coverage::default();
    let history = Arc::new(Mutex::new(History::new(ORDERED)));
    let failure = run(Chance::new(seed), &story, &history, &mut coverage).await.err();
    let history = lock(&history);
    let is_confirmed = |event: &&(u64, Event)| matches!(event, (_, Event::Confirmed { .. }));
    story.note(history.events().len());
    Outcome {
        seed,
        failure,
        trace: story.trace(),
        simulated: story.now(),
        story: story.lines(),
        coverage,
        confirmed: history.events().iter().filter(is_confirmed).count(),
    }
}

async fn run(
    mut chance: Chance,
    story: &Story,
    history: &Arc<Mutex<History>>,
    coverage: &mut Coverage,
) -> Result<(), Failure> {
    let reach = Reach::new(history.clone());
    let brokers = *chance.pick(&[3, 3, 3, 4, 5]).unwrap_or(&3);
    let mut world = World::form(brokers, chance.branch(1), story.clone(), reach.clone()).await?;
    let clients = Clients::new(world.directory.clone(), history.clone(), reach);
    let mut programs = JoinSet::new();
    let all: Vec<u32> = ORDERED.into_iter().chain(SHARED).collect();
    for number in 0..2 {
        programs.spawn(clients.clone().publish(all.clone(), chance.branch(10 + number)));
    }
    for (number, queue) in (0..).zip(ORDERED.into_iter().chain(SHARED).chain(SHARED)) {
        programs.spawn(clients.clone().consume(queue, chance.branch(20 + number)));
    }
    break_things(&mut world, &mut chance, coverage).await?;
    clients.stop();
    heal(&mut world).await?;
    let ended = async { while programs.join_next().await.is_some() {} };
    wait(&mut world, HEAL_WITHIN, "the clients did not end", ended).await?;
    drain(&mut world, &clients, &mut chance, &all).await?;
    agree(&mut world).await?;
    check(&world, history)
}

/// Throws faults of a few kinds for a while.
async fn break_things(world: &mut World, chance: &mut Chance, coverage: &mut Coverage) -> Result<(), Failure> {
    let of = Flaw::ALL.into_iter().find(|flaw| flaw.is_set()).map_or(&Fault::ALL[..], Fault::that_show);
    let kinds: Vec<Fault> = (0..=chance.below(4)).filter_map(|_| chance.pick(of).copied()).collect();
    let faults = 2 + chance.below(7);
    let mut under_way: Vec<UnderWay> = Vec::new();
    pass(world, chance.millis(200, 2000), &mut under_way, coverage).await?;
    for _ in 0..faults {
        let Some(fault) = chance.pick(&kinds).copied() else { continue };
        if !fault.destroys() || (under_way.is_empty() && world.is_whole().await) {
            under_way.extend(world.throw(fault, coverage).await);
        }
        pass(world, chance.millis(0, 4000), &mut under_way, coverage).await?;
    }
    for ended in under_way {
        world.end_of(ended, coverage);
    }
    Ok(())
}

/// Lets time go by.
async fn pass(
    world: &mut World,
    time: Duration,
    under_way: &mut Vec<UnderWay>,
    coverage: &mut Coverage,
) -> Result<(), Failure> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        pass_by(world, LOOK).await?;
        while let Some(at) = under_way.iter().position(|fault| fault.until <= Instant::now()) {
            let ended = under_way.remove(at);
            world.end_of(ended, coverage);
        }
    }
    Ok(())
}

/// Lets so much time go by that ends nothing.
async fn pass_by(world: &mut World, time: Duration) -> Result<(), Failure> {
    tokio::time::sleep(time).await;
    world.look()
}

async fn wait<T>(
    world: &mut World,
    limit: Duration,
    what: &str,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    let until = Instant::now() + limit;
    let mut future = std::pin::pin!(future);
    loop {
        match timeout(LOOK, &mut future).await {
            Ok(done) => return Ok(done),
            Err(_) if Instant::now() > until => return Err(world.failure(what)),
            Err(_) => world.look()?,
        }
    }
}

/// Ends all faults, and waits until the cluster is whole.
async fn heal(world: &mut World) -> Result<(), Failure> {
    world.story.tell("all is healed");
    world.heal();
    let until = Instant::now() + HEAL_WITHIN;
    while !world.is_whole().await {
        if Instant::now() > until {
            let state = world.describe().await;
            return Err(world.failure(format_args!("the cluster is not whole in time: {state}")));
        }
        pass_by(world, Duration::from_millis(100)).await?;
    }
    world.story.tell("the cluster is whole");
    Ok(())
}

async fn drain(world: &mut World, clients: &Clients, chance: &mut Chance, queues: &[u32]) -> Result<(), Failure> {
    let until = Instant::now() + DRAIN_WITHIN;
    let mut left: Vec<u32> = queues.to_vec();
    while !left.is_empty() {
        if Instant::now() > until {
            return Err(world.failure(format_args!("the queues {left:?} are not drained in time")));
        }
        let mut still = Vec::new();
        for queue in left {
            let drained = clients.drain(queue, chance, 8);
            let drained = wait(world, DRAIN_WITHIN, "a queue was not drained in time", drained).await?;
            if drained != Some(0) {
                still.push(queue);
            }
        }
        let missing = lock(&clients.history).missing();
        if still.is_empty() && !missing.is_empty() {
            // Once more: what was just given back may be on its way.
            still = queues.iter().copied().filter(|queue| missing.iter().any(|(of, _)| of == queue)).collect();
            if Instant::now() + DRAIN_WITHIN / 2 > until {
                return Ok(());
            }
        }
        left = still;
        if !left.is_empty() {
            // What is refused at once would be asked for again at once, for ever.
            pass_by(world, LOOK).await?;
        }
    }
    world.story.tell("all queues are empty");
    Ok(())
}

/// Every replica of a shard has applied the same, and has the same state.
async fn agree(world: &mut World) -> Result<(), Failure> {
    let until = Instant::now() + AGREE_WITHIN;
    loop {
        let (agreed, apart) = world.compare();
        if let Some(apart) = apart {
            return Err(world.failure(apart));
        }
        if agreed {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(world.failure("the replicas have not applied the same in time"));
        }
        pass_by(world, LOOK).await?;
    }
}

fn check(world: &World, history: &Mutex<History>) -> Result<(), Failure> {
    let is_confirmed = |(_, event): &(u64, Event)| matches!(event, Event::Confirmed { .. });
    if !lock(history).events().iter().any(is_confirmed) {
        return Err(world.failure("nothing was confirmed in all that time: no promise was ever made"));
    }
    let broken = lock(history).check();
    match broken.first() {
        None => Ok(()),
        Some(first) => {
            for (queue, message) in first.about() {
                world.story.tell(format_args!("what happened to {message} of queue {queue}:"));
                for line in lock(history).story_of(queue, message) {
                    world.story.tell(line);
                }
            }
            let shown: Vec<String> = broken.iter().take(5).map(Broken::to_string).collect();
            Err(world.failure(format_args!("{} promises broken: {}", broken.len(), shown.join("; "))))
        }
    }
}
