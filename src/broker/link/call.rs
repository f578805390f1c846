//! What nodes ask and tell each other. Postcard, by position: variants and fields are only ever added at the end; what
//! carries messages is written by hand, so that bodies are not copied.

use bytes::{Bytes, BytesMut};
use ferrymq_core::LogPosition;
use ferrymq_queue::{ConsumerKey, Holding, Outcome, QueueId, Request, Window};
use ferrymq_wire::{Malformed, Reader, Write};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::archiving::ShardBackup;

/// Asked, and answered by a [`Reply`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// Be this node of the cluster that is being formed.
    Adopt { cluster_id: String, node: u64, uuid: String, peers: Vec<(u64, u32)> },
    /// Take me in.
    Join { ordinal: u32, uuid: String, zone: Option<String>, version: String },
    /// Propose a command of the catalogue.
    Propose { command: Vec<u8> },
    /// How many messages and consumers do these queues of a shard that you lead have?
    Count { shard: u32, queues: Vec<u64> },
    /// Attach a consumer.
    Attach { shard: u32, attachment: Attachment },
    /// Hand out one message to the get of this number; the same one where it asks again.
    Get { shard: u32, queue: u64, number: u64, again: bool },
    /// Remove every message that is ready.
    Purge { shard: u32, queue: u64 },
    /// What of the shards that you lead?
    Report,
    /// Up to where have you applied the catalogue's log?
    CatalogueIndex,
    /// Which message is at this position of a log of a shard that you lead?
    FindInLog { shard: u32, queue: u64, position: LogPosition },
    /// What follows in a log of a shard of which you have a replica? Waits so many milliseconds while there is nothing.
    /// Answered by a [`LogBatch`](crate::shard::LogBatch).
    ReadLog { shard: u32, queue: u64, from: u64, wait: u32 },
    /// Am I no member any more of a shard that you lead?
    Leave { shard: u32 },
    /// How far is a shard that you lead in this backup? It is begun where it is not.
    BackUpShard { shard: u32, backup: String },
}

/// Answers a [`Call`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    /// This node is in no cluster.
    NotFormed,
    /// You are this node of this cluster; these are its nodes.
    Joined {
        cluster_id: String,
        node: u64,
        peers: Vec<(u64, u32)>,
    },
    /// This node does not lead what was asked for.
    NotLeader,
    /// A command was applied, at this index.
    Answer {
        index: u64,
        answer: Vec<u8>,
    },
    /// In the order in which they were asked for.
    Counts(Vec<QueueCounts>),
    /// Whether the consumer is attached; where not, another has the queue for itself.
    Attached(bool),
    Got(Option<GetReply>),
    Purged(u64),
    Report {
        shards: Vec<ShardReport>,
        version: String,
    },
    /// Applied up to this index.
    Index(u64),
    /// The message of this number.
    Found(u64),
    /// Whether the one who asked is no member of the shard, and is not to be one.
    Left(bool),
    /// How far a shard is in a backup.
    ShardBackup(ShardBackup),
}

/// A consumer, as it is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) queue: u64,
    pub(crate) consumer: u64,
    pub(crate) prefetch: Option<u16>,
    pub(crate) window: Window,
    pub(crate) priority: i32,
    pub(crate) exclusive: bool,
}

/// A queue, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueCounts {
    pub(crate) ready: u64,
    pub(crate) messages: u64,
    pub(crate) consumers: u32,
}

/// A message that a get took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GetReply {
    /// The leader's term.
    pub(crate) term: u64,
    pub(crate) holding: Holding,
    pub(crate) bytes: Vec<u8>,
    pub(crate) remaining: u64,
}

/// A shard, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardReport {
    pub(crate) shard: u32,
    pub(crate) voters: Vec<u64>,
    pub(crate) in_sync: Vec<u64>,
    pub(crate) messages: u64,
}

/// What a node's consumers hold of a shard: told to each new leader, and to one that doubts what it knows of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The epoch of that leader that this answers.
    pub(crate) epoch: u64,
    pub(crate) attachments: Vec<Attachment>,
    /// By queue, and consumer or get.
    pub(crate) held: Vec<(u64, u64, Vec<Claimed>)>,
    /// Gets that are under way.
    pub(crate) getting: Vec<u64>,
}

/// A message that a consumer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claimed {
    pub(crate) holding: Holding,
    /// The consumer gave it back since, and it is not known whether it is back.
    pub(crate) given_back: bool,
}

/// What a node has too little of, so that publishers wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shortage {
    Memory,
    Disk,
}

impl Shortage {
    /// As RabbitMQ calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// Told, and not answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Notice {
    /// I lead these shards, in these terms.
    /// `epoch` counts how often what you hold was released or doubted: tell anew what your consumers hold where it changes.
    Leads { shards: Vec<(u32, u64)>, alarm: Option<Shortage>, accepts: bool, epoch: u64 },
    /// What became of the requests of your run.
    Outcomes { shard: u32, run: u64, outcomes: Vec<(u64, Option<u64>)> },
    /// What my consumers hold, for the leader of this term.
    Claims { shard: u32, term: u64, claims: Claims },
    /// A consumer goes.
    Detach { shard: u32, queue: u64, consumer: u64 },
    /// A consumer has passed on so many.
    Grant { shard: u32, queue: u64, consumer: u64, deliveries: u32 },
    /// A consumer's queue is gone.
    Gone { consumer: u64 },
    /// It is not known what a get took: doubt what you know of me.
    Doubt,
    /// The first entry of each of these groups that is not archived: I lead them.
    Archived { shards: Vec<(u32, u64)> },
}

impl Notice {
    /// An outcome, as it is told: what is wanted instead, where it came too early.
    pub(crate) fn outcome(sequence: u64, outcome: Outcome) -> (u64, Option<u64>) {
        match outcome {
            Outcome::Applied => (sequence, None),
            Outcome::OutOfOrder { expected } => (sequence, Some(expected)),
        }
    }
}

/// Told, and not answered: with messages, or without.
#[derive(Debug)]
pub(crate) enum Tell {
    /// A request for a shard that you lead.
    Submit { shard: u32, request: Request },
    /// Messages for a consumer of yours.
    Deliver { shard: u32, term: u64, to: ConsumerKey, queue: QueueId, messages: Vec<(Holding, Bytes)> },
    /// The rest.
    Notice(Notice),
}

const SUBMIT: u8 = 1;
const DELIVER: u8 = 2;
const NOTICE: u8 = 3;

impl Tell {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Submit { shard, request } => {
                out.reserve(64 + request.commands.len());
                out.write_u8(SUBMIT);
                out.write_u32(*shard);
                ferrymq_queue::encode_request(request, &mut out);
            }
            Self::Deliver { shard, term, to, queue, messages } => {
                out.reserve(64 + messages.iter().map(|(_, bytes)| bytes.len() + 16).sum::<usize>());
                out.write_u8(DELIVER);
                out.write_u32(*shard);
                out.write_u64(*term);
                out.write_u64(to.node);
                out.write_u64(to.consumer);
                out.write_u64(queue.get());
                for (holding, bytes) in messages {
                    out.write_u64(holding.message);
                    out.write_u32(holding.returns);
                    out.write_bytes(bytes);
                }
            }
            Self::Notice(notice) => {
                out.write_u8(NOTICE);
                out.extend_from_slice(&encode(notice));
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes);
        match from.u8("message")? {
            SUBMIT => {
                let shard = from.u32("shard")?;
                let request = Request {
                    node: from.u64("node")?,
                    session: from.u64("session")?,
                    sequence: from.u64("sequence")?,
                    commands: from.bytes("commands")?,
                };
                Ok(Self::Submit { shard, request })
            }
            DELIVER => {
                let shard = from.u32("shard")?;
                let term = from.u64("term")?;
                let to = ConsumerKey { node: from.u64("node")?, consumer: from.u64("consumer")? };
                let queue = QueueId::new(from.u64("queue")?).ok_or(Malformed::Unknown { field: "queue", value: 0 })?;
                let mut messages = Vec::new();
                while !from.is_empty() {
                    let holding = Holding { message: from.u64("number")?, returns: from.u32("returns")? };
                    messages.push((holding, from.bytes("message")?));
                }
                Ok(Self::Deliver { shard, term, to, queue, messages })
            }
            NOTICE => decode(&from.rest()).map(Self::Notice),
            value => Err(Malformed::Unknown { field: "message", value: value.into() }),
        }
    }
}

pub(crate) fn encode(value: &impl Serialize) -> Bytes {
    // Only what cannot be held in memory would fail here; an empty answer is refused by whoever reads it.
    postcard::to_allocvec(value).map(Bytes::from).unwrap_or_default()
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    postcard::from_bytes(bytes).map_err(|_| Malformed::Unknown { field: "message from another node", value: 0 })
}
