//! What goes wrong, and when it ends.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, timeout};

use crate::{Flaw, coverage::Coverage, world::World};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Fault {
    /// `kill -9` of one broker.
    KillOne,
    /// `kill -9` of a broker that leads something.
    KillLeader,
    /// `kill -9` of all brokers.
    KillAll,
    /// SIGSTOP, and SIGCONT some time later.
    Pause,
    /// One host loses its power, and what was not synced.
    PowerLossOne,
    /// All hosts lose their power.
    PowerLossAll,
    /// The power fails within a write or a sync.
    TornWrite,
    /// All hosts lose their power within a write or a sync.
    TornWriteAll,
    /// The next sync fails, and all after it.
    FailingSync,
    /// No space is left on a disk.
    FullDisk,
    /// A disk is slow.
    SlowDisk,
    /// A bit of the journal is not what it was.
    FlipInJournal,
    /// A bit of a snapshot is not what it was.
    FlipInSnapshot,
    /// A bit of a broker's identity is not what it was.
    FlipInIdentity,
    /// A bit of the pages that a broker has put on its disk is not what it was, while it runs.
    FlipInPages,
    /// A broker comes back with an empty volume.
    VolumeLost,
    /// A broker comes back with an empty volume, and is cut off as it is taken in.
    ReplacedWhileCutOff,
    /// Nothing comes from one broker to another; the other way all does.
    CutOneWay,
    /// One broker is cut off from all others.
    CutOff,
    /// The cluster is cut in two.
    Split,
    /// A link is slow.
    Delay,
    /// Connections are lost at one end only; what is under way still comes.
    Reset,
    /// A broker's clock is wrong.
    ClockJump,
    /// A broker is stopped in order, and started again.
    Restart,
    /// A broker is to be emptied, or to have its share again.
    Drain,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 25] = [
        Self::KillOne,
        Self::KillLeader,
        Self::KillAll,
        Self::Pause,
        Self::PowerLossOne,
        Self::PowerLossAll,
        Self::TornWrite,
        Self::TornWriteAll,
        Self::FailingSync,
        Self::FullDisk,
        Self::SlowDisk,
        Self::FlipInJournal,
        Self::FlipInSnapshot,
        Self::FlipInIdentity,
        Self::FlipInPages,
        Self::VolumeLost,
        Self::ReplacedWhileCutOff,
        Self::CutOneWay,
        Self::CutOff,
        Self::Split,
        Self::Delay,
        Self::Reset,
        Self::ClockJump,
        Self::Restart,
        Self::Drain,
    ];

    /// Those under which a promise that is broken on purpose can show. Where none is broken, all are thrown.
    #[must_use]
    pub fn that_show(flaw: Flaw) -> &'static [Self] {
        use Fault::*;
        match flaw {
            Flaw::ConfirmBeforeSync => &[PowerLossOne, PowerLossAll, TornWrite, TornWriteAll, FailingSync],
            Flaw::ForgetVote => &[KillLeader, KillAll, PowerLossAll, Restart, CutOff, Split],
            Flaw::ServeWhenDeposed => &[Pause, CutOneWay, CutOff, Split, Delay],
            Flaw::DropSettlement => &Self::ALL,
            Flaw::DamagedSnapshotIsNone => &[FlipInSnapshot, KillOne, Restart],
        }
    }

    /// It takes from a disk what was on it for good: to be thrown at a minority, while the others have everything.
    #[must_use]
    pub fn destroys(self) -> bool {
        matches!(
            self,
            Self::FlipInJournal
                | Self::FlipInSnapshot
                | Self::FlipInIdentity
                | Self::VolumeLost
                | Self::ReplacedWhileCutOff
        )
    }
}

/// What is under way, and ends by itself.
pub(crate) struct UnderWay {
    pub(crate) until: Instant,
    end: End,
}

enum End {
    GoOn(u32),
    Heal(Vec<u32>, u64, Fault),
    Mend(u32, u64, Fault),
    Torn(Vec<u32>, u64, Fault),
    Kill(u32),
}

impl World {
    /// Throws a fault at the cluster.
    pub(crate) async fn throw(&mut self, fault: Fault, coverage: &mut Coverage) -> Option<UnderWay> {
        let up = self.ordinals_up();
        let ordinal = *self.chance.pick(&up)?;
        let others: Vec<u32> = (0..).take(self.brokers.len()).filter(|other| *other != ordinal).collect();
        let other = *self.chance.pick(&others)?;
        let everyone: Vec<u32> = (0..).take(self.brokers.len()).collect();
        let lasting = self.chance.millis(300, 6000);
        let back = Some(self.chance.millis(50, 4000));
        coverage.thrown(fault);
        let tell = |world: &Self, what: &str| world.story.tell(format_args!("{fault:?}: broker {ordinal} {what}"));
        match fault {
            Fault::KillOne => {
                tell(self, "is killed");
                coverage.hit(fault);
                self.kill(ordinal, back);
            }
            Fault::KillLeader => {
                let leader = self.leader().unwrap_or(ordinal);
                self.story.tell(format_args!("{fault:?}: broker {leader}, which leads, is killed"));
                coverage.hit(fault);
                self.kill(leader, back);
            }
            Fault::KillAll => {
                self.story.tell(format_args!("{fault:?}: all brokers are killed"));
                coverage.hit(fault);
                for ordinal in everyone {
                    let back = self.chance.millis(50, 3000);
                    self.kill(ordinal, Some(back));
                }
            }
            Fault::Pause => {
                tell(self, &format!("is stopped for {lasting:?}"));
                coverage.hit(fault);
                self.reach.disturb(ordinal);
                self.broker(ordinal).process()?.stop();
                return ends(lasting, End::GoOn(ordinal));
            }
            Fault::PowerLossOne => {
                tell(self, "loses its power");
                coverage.hit_where(fault, self.broker(ordinal).disk.is_unsynced());
                self.lose_power(ordinal, back);
            }
            Fault::PowerLossAll => {
                self.story.tell(format_args!("{fault:?}: all brokers lose their power"));
                coverage.hit_where(fault, self.brokers.iter().any(|broker| broker.disk.is_unsynced()));
                for ordinal in everyone {
                    let back = self.chance.millis(50, 3000);
                    self.lose_power(ordinal, Some(back));
                }
            }
            Fault::TornWrite | Fault::TornWriteAll => {
                let at = if fault == Fault::TornWrite { vec![ordinal] } else { up };
                let before = self.torn();
                for ordinal in &at {
                    let change = 1 + self.chance.below(8);
                    self.story
                        .tell(format_args!("{fault:?}: broker {ordinal} will lose its power, {change} changes on"));
                    self.broker(*ordinal).disk.lose_power_at(change);
                }
                return ends(lasting, End::Torn(at, before, fault));
            }
            Fault::FailingSync => {
                tell(self, "will see its syncs fail");
                let sync = 1 + self.chance.below(4);
                let broker = self.broker(ordinal);
                broker.failing = true;
                broker.disk.fail_syncs_from(sync);
                let before = broker.failed;
                return ends(lasting, End::Mend(ordinal, before, fault));
            }
            Fault::FullDisk => {
                tell(self, &format!("has no space left for {lasting:?}"));
                let room = self.chance.below(100_000);
                let broker = self.broker(ordinal);
                broker.failing = true;
                broker.disk.set_capacity(Some(broker.disk.used() + room));
                let before = broker.behaviour.refused.load(Ordering::Relaxed);
                return ends(lasting, End::Mend(ordinal, before, fault));
            }
            Fault::SlowDisk => {
                let slowest = 50 + self.chance.below(1500);
                tell(self, &format!("has a disk that takes up to {slowest} ms, for {lasting:?}"));
                coverage.hit(fault);
                self.broker(ordinal).behaviour.slowest.store(slowest, Ordering::Relaxed);
                return ends(lasting, End::Mend(ordinal, 0, fault));
            }
            Fault::FlipInJournal => self.flip(ordinal, ".journal", fault, coverage, back),
            Fault::FlipInSnapshot => self.flip(ordinal, ".snapshot", fault, coverage, back),
            Fault::FlipInIdentity => self.flip(ordinal, "node.json", fault, coverage, back),
            Fault::FlipInPages => {
                let disk = &self.broker(ordinal).disk;
                let files = disk.files();
                let pages = files.into_iter().find(|(path, length)| path.ends_with("pages") && *length > 0);
                let Some((path, length)) = pages else {
                    tell(self, "has put no pages on its disk");
                    return None;
                };
                let (offset, bit) = (self.chance.below(length), self.chance.below(8) as u8);
                coverage.hit_where(fault, self.broker(ordinal).disk.flip_bit(&path, offset, bit));
                tell(self, &format!("runs on, and bit {bit} of byte {offset} of its pages flips"));
            }
            Fault::VolumeLost => {
                tell(self, "loses its volume");
                coverage.hit(fault);
                self.kill(ordinal, back);
                self.new_volume(ordinal);
            }
            Fault::ReplacedWhileCutOff => {
                tell(self, &format!("loses its volume, and is cut off as it comes back, for {lasting:?}"));
                coverage.hit(fault);
                self.kill(ordinal, back);
                self.new_volume(ordinal);
                let after = self.chance.millis(0, 3000);
                return self.cut_off(ordinal, &others, after + lasting, fault);
            }
            Fault::CutOneWay => {
                self.story
                    .tell(format_args!("{fault:?}: nothing comes from broker {ordinal} to {other}, for {lasting:?}"));
                self.reach.disturb(ordinal);
                self.reach.disturb(other);
                self.links.cut(ordinal, other);
                return ends(lasting, End::Heal(vec![ordinal, other], self.links.touched(), fault));
            }
            Fault::CutOff => {
                tell(self, &format!("is cut off from all others for {lasting:?}"));
                return self.cut_off(ordinal, &others, lasting, fault);
            }
            Fault::Split => {
                let (one, two): (Vec<u32>, Vec<u32>) = everyone.iter().partition(|_| self.chance.one_in(2));
                self.story
                    .tell(format_args!("{fault:?}: {one:?} and {two:?} are cut off from each other for {lasting:?}"));
                for (one, two) in one.iter().flat_map(|one| two.iter().map(move |two| (*one, *two))) {
                    self.links.cut(one, two);
                    self.links.cut(two, one);
                }
                everyone.iter().for_each(|ordinal| self.reach.disturb(*ordinal));
                return ends(lasting, End::Heal(everyone, self.links.touched(), fault));
            }
            Fault::Delay => {
                let by = self.chance.millis(20, 900);
                self.story
                    .tell(format_args!("{fault:?}: {ordinal} to {other} takes up to {by:?} longer, for {lasting:?}"));
                self.reach.disturb(ordinal);
                self.reach.disturb(other);
                self.links.slow_down(ordinal, other, by);
                return ends(lasting, End::Heal(vec![ordinal, other], self.links.touched(), fault));
            }
            Fault::Reset => {
                let count = self.links.reset(ordinal, other);
                self.story.tell(format_args!("{fault:?}: broker {ordinal} loses its connections with {other}"));
                coverage.hit_where(fault, count > 0);
                self.reach.disturb(ordinal);
                self.reach.disturb(other);
                return ends(Duration::from_millis(1), End::Heal(vec![ordinal, other], self.links.touched(), fault));
            }
            Fault::ClockJump => {
                let by = i64::try_from(self.chance.below(7_200_000)).unwrap_or(0) - 3_600_000;
                tell(self, &format!("has a clock that is {by} ms off"));
                coverage.hit(fault);
                self.broker(ordinal).clock = by;
                self.broker(ordinal).process()?.set_clock(by);
            }
            Fault::Restart => {
                tell(self, "is stopped in order");
                coverage.hit(fault);
                let place = self.up_at(ordinal)?;
                let stopping = place.0.spawn(async move { place.1.stop().await });
                drop(stopping);
                return ends(lasting, End::Kill(ordinal));
            }
            Fault::Drain => {
                let draining = !self.draining.contains(&ordinal);
                tell(self, if draining { "is to be emptied" } else { "is to have its share again" });
                let asked = *self.chance.pick(&up)?;
                let (process, node) = self.up_at(asked)?;
                let asked = process.spawn(async move { node.drain(ordinal, draining).await });
                let done = matches!(timeout(Duration::from_secs(5), asked).await, Ok(Ok(Ok(()))));
                coverage.hit_where(fault, done);
                if done && !self.draining.remove(&ordinal) {
                    self.draining.insert(ordinal);
                }
            }
        }
        None
    }

    /// What was under way is over.
    pub(crate) fn end_of(&mut self, under_way: UnderWay, coverage: &mut Coverage) {
        match under_way.end {
            End::GoOn(ordinal) => {
                self.story.tell(format_args!("broker {ordinal} goes on"));
                if let Some(process) = self.broker(ordinal).process() {
                    process.go_on();
                }
                self.reach.calm(ordinal);
            }
            End::Heal(ordinals, before, fault) => {
                self.story.tell("the links are whole");
                coverage.hit_where(fault, fault != Fault::Reset && self.links.touched() > before);
                self.links.heal();
                ordinals.into_iter().for_each(|ordinal| self.reach.calm(ordinal));
            }
            End::Mend(ordinal, before, fault) => {
                self.story.tell(format_args!("the disk of broker {ordinal} is well"));
                let broker = self.broker(ordinal);
                let now = match fault {
                    Fault::FailingSync => broker.failed,
                    Fault::FullDisk => broker.behaviour.refused.load(Ordering::Relaxed),
                    _ => before,
                };
                coverage.hit_where(fault, now > before);
                broker.mend_disk();
            }
            End::Torn(ordinals, before, fault) => {
                coverage.hit_where(fault, self.torn() > before);
                ordinals.into_iter().for_each(|ordinal| self.broker(ordinal).disk.mend());
            }
            End::Kill(ordinal) => {
                self.story.tell(format_args!("broker {ordinal} is started again"));
                self.kill(ordinal, Some(Duration::from_millis(100)));
            }
        }
    }

    fn torn(&self) -> u64 {
        self.brokers.iter().map(|broker| broker.torn).sum()
    }

    fn cut_off(&mut self, ordinal: u32, others: &[u32], lasting: Duration, fault: Fault) -> Option<UnderWay> {
        let touched = self.links.touched();
        for other in others {
            self.links.cut(ordinal, *other);
            self.links.cut(*other, ordinal);
        }
        self.reach.disturb(ordinal);
        ends(lasting, End::Heal(vec![ordinal], touched, fault))
    }

    /// Kills a broker, and changes a bit of one of its files before it comes back.
    fn flip(&mut self, ordinal: u32, suffix: &str, fault: Fault, coverage: &mut Coverage, back: Option<Duration>) {
        let node = self.up_at(ordinal).and_then(|(_, node)| node.membership()).map(|(_, node)| node);
        self.kill(ordinal, back);
        let files = self.broker(ordinal).disk.files();
        let files: Vec<_> = files.into_iter().filter(|(path, _)| path.to_string_lossy().ends_with(suffix)).collect();
        let Some((path, length)) = self.chance.pick(&files).cloned() else {
            self.story.tell(format_args!("{fault:?}: broker {ordinal} is killed, and has no such file"));
            return;
        };
        // Journals are long and mostly empty: where something was written is more likely to matter.
        let within = if self.chance.one_in(2) { length.min(4096) } else { length };
        let (offset, bit) = (self.chance.below(within), self.chance.below(8) as u8);
        let flipped = self.broker(ordinal).disk.flip_bit(&path, offset, bit);
        let group = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (".snapshot", Some(node), Some(group)) = (suffix, node, group) {
            self.had_snapshot.insert((node, group));
        }
        coverage.hit_where(fault, flipped);
        let path = path.display();
        self.story.tell(format_args!(
            "{fault:?}: broker {ordinal} is killed, and bit {bit} of byte {offset} of {path} flips"
        ));
    }

    /// The broker that leads most.
    fn leader(&self) -> Option<u32> {
        let up = self.ordinals_up().into_iter().filter_map(|ordinal| Some((ordinal, self.up_at(ordinal)?.1)));
        let leads = |node: &ferrymq_broker::Node| node.replica_states().iter().filter(|state| state.leading).count();
        up.max_by_key(|(_, node)| leads(node)).map(|(ordinal, _)| ordinal)
    }
}

fn ends(after: Duration, end: End) -> Option<UnderWay> {
    Some(UnderWay { until: Instant::now() + after, end })
}
