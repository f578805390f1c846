//! Entries, votes and messages as bytes. These are on disks and between versions: numbers never change their meaning, and
//! what is new gets a new number.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Malformed, Reader, Write};
use openraft::{
    EmptyNode,
    raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse},
};

use crate::types::{
    Command, Entry, LogId, Membership, Payload, SnapshotMeta, StoredMembership, Types, Vote, log_id, vote,
};

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

pub(crate) fn put_vote(out: &mut impl Write, value: &Vote) {
    out.write_u64(value.leader_id.term);
    out.write_u64(value.leader_id.voted_for);
    out.write_u8(u8::from(value.committed));
}

pub(crate) fn take_vote(from: &mut Reader) -> Result<Vote, Malformed> {
    Ok(vote(from.u64("vote term")?, from.u64("vote node")?, from.u8("vote committed")? == 1))
}

pub(crate) fn put_log_id(out: &mut impl Write, value: Option<&LogId>) {
    match value {
        None => out.write_u8(0),
        Some(id) => {
            out.write_u8(1);
            out.write_u64(id.leader_id.term);
            out.write_u64(id.index);
        }
    }
}

pub(crate) fn take_log_id(from: &mut Reader) -> Result<Option<LogId>, Malformed> {
    match from.u8("log id")? {
        0 => Ok(None),
        _ => Ok(Some(log_id(from.u64("log term")?, from.u64("log index")?))),
    }
}

fn put_membership(out: &mut impl Write, value: &Membership) {
    let configs = value.get_joint_config();
    put_count(out, configs.len());
    for config in configs {
        put_count(out, config.len());
        config.iter().for_each(|id| out.write_u64(*id));
    }
    let nodes: Vec<u64> = value.nodes().map(|(id, _)| *id).collect();
    put_count(out, nodes.len());
    nodes.iter().for_each(|id| out.write_u64(*id));
}

fn take_membership(from: &mut Reader) -> Result<Membership, Malformed> {
    let mut configs = Vec::new();
    for _ in 0..from.u32("configs")? {
        let mut config = BTreeSet::new();
        for _ in 0..from.u32("voters")? {
            config.insert(from.u64("voter")?);
        }
        configs.push(config);
    }
    let mut nodes = std::collections::BTreeMap::new();
    for _ in 0..from.u32("nodes")? {
        nodes.insert(from.u64("node")?, EmptyNode {});
    }
    Ok(Membership::new_with_defaults(configs, nodes.into_keys()))
}

fn put_count(out: &mut impl Write, count: usize) {
    out.write_u32(u32::try_from(count).unwrap_or(u32::MAX));
}

/// The front of an entry, and its command's bytes, which follow it: so that they need not be copied together.
pub(crate) fn entry_parts(entry: &Entry) -> (Bytes, Bytes) {
    let mut head = BytesMut::with_capacity(32);
    head.write_u64(entry.log_id.leader_id.term);
    let body = match &entry.payload {
        Payload::Blank => {
            head.write_u8(BLANK);
            Bytes::new()
        }
        Payload::Normal(command) => {
            head.write_u8(NORMAL);
            head.write_u64(command.time);
            command.bytes.clone()
        }
        Payload::Membership(membership) => {
            head.write_u8(MEMBERSHIP);
            put_membership(&mut head, membership);
            Bytes::new()
        }
    };
    (head.freeze(), body)
}

/// The entry at this index, from the two parts one after the other.
pub(crate) fn take_entry(index: u64, bytes: Bytes) -> Result<Entry, Malformed> {
    let mut from = Reader::new(bytes);
    let term = from.u64("entry term")?;
    let payload = match from.u8("entry kind")? {
        BLANK => Payload::Blank,
        NORMAL => Payload::Normal(Command { time: from.u64("entry time")?, bytes: from.rest() }),
        MEMBERSHIP => Payload::Membership(take_membership(&mut from)?),
        value => return Err(Malformed::Unknown { field: "entry kind", value: value.into() }),
    };
    Ok(Entry { log_id: log_id(term, index), payload })
}

/// An entry's record with another command in it.
pub(crate) fn with_command(index: u64, record: Bytes, change: impl FnOnce(Bytes) -> Bytes) -> Result<Bytes, Malformed> {
    let mut entry = take_entry(index, record)?;
    if let Payload::Normal(command) = &mut entry.payload {
        command.bytes = change(std::mem::take(&mut command.bytes));
    }
    let (head, body) = entry_parts(&entry);
    let mut out = BytesMut::with_capacity(head.len() + body.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(&body);
    Ok(out.freeze())
}

/// The term of an entry of which only the front is at hand.
pub(crate) fn entry_term(front: &[u8]) -> Result<u64, Malformed> {
    let short = Malformed::Short { field: "entry term", wanted: 8, left: front.len() };
    front.first_chunk().map(|term| u64::from_le_bytes(*term)).ok_or(short)
}

pub(crate) fn put_append(out: &mut BytesMut, request: &AppendEntriesRequest<Types>) {
    put_vote(out, &request.vote);
    put_log_id(out, request.prev_log_id.as_ref());
    put_log_id(out, request.leader_commit.as_ref());
    put_count(out, request.entries.len());
    for entry in &request.entries {
        let (head, body) = entry_parts(entry);
        out.write_u64(entry.log_id.index);
        put_count(out, head.len() + body.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(&body);
    }
}

pub(crate) fn take_append(from: &mut Reader) -> Result<AppendEntriesRequest<Types>, Malformed> {
    let vote = take_vote(from)?;
    let prev_log_id = take_log_id(from)?;
    let leader_commit = take_log_id(from)?;
    let count = from.u32("entries")? as usize;
    let mut entries = Vec::with_capacity(count.min(from.left() / 12));
    for _ in 0..count {
        let index = from.u64("entry index")?;
        entries.push(take_entry(index, from.bytes("entry")?)?);
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

pub(crate) fn append_response(value: &AppendEntriesResponse<Types>) -> Bytes {
    let mut out = BytesMut::with_capacity(24);
    match value {
        AppendEntriesResponse::Success => out.write_u8(0),
        AppendEntriesResponse::PartialSuccess(id) => {
            out.write_u8(1);
            put_log_id(&mut out, id.as_ref());
        }
        AppendEntriesResponse::Conflict => out.write_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.write_u8(3);
            put_vote(&mut out, vote);
        }
    }
    out.freeze()
}

pub(crate) fn take_append_response(bytes: Bytes) -> Result<AppendEntriesResponse<Types>, Malformed> {
    let mut from = Reader::new(bytes);
    Ok(match from.u8("append response")? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(take_log_id(&mut from)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(take_vote(&mut from)?),
        value => return Err(Malformed::Unknown { field: "append response", value: value.into() }),
    })
}

pub(crate) fn put_vote_request(out: &mut BytesMut, request: &VoteRequest<Types>) {
    put_vote(out, &request.vote);
    put_log_id(out, request.last_log_id.as_ref());
    out.write_u8(u8::from(request.leadership_transfer));
}

pub(crate) fn take_vote_request(from: &mut Reader) -> Result<VoteRequest<Types>, Malformed> {
    let mut request = VoteRequest::new(take_vote(from)?, take_log_id(from)?);
    request.leadership_transfer = from.u8("leadership transfer")? == 1;
    Ok(request)
}

pub(crate) fn vote_response(value: &VoteResponse<Types>) -> Bytes {
    let mut out = BytesMut::with_capacity(40);
    put_vote(&mut out, &value.vote);
    out.write_u8(u8::from(value.vote_granted));
    put_log_id(&mut out, value.last_log_id.as_ref());
    out.freeze()
}

pub(crate) fn take_vote_response(bytes: Bytes) -> Result<VoteResponse<Types>, Malformed> {
    let mut from = Reader::new(bytes);
    let vote = take_vote(&mut from)?;
    let granted = from.u8("vote granted")? == 1;
    Ok(VoteResponse::new(vote, take_log_id(&mut from)?, granted))
}

pub(crate) fn put_transfer(out: &mut BytesMut, request: &TransferLeaderRequest<Types>) {
    put_vote(out, request.from_leader());
    out.write_u64(*request.to_node_id());
    put_log_id(out, request.last_log_id());
}

pub(crate) fn take_transfer(from: &mut Reader) -> Result<TransferLeaderRequest<Types>, Malformed> {
    Ok(TransferLeaderRequest::new(take_vote(from)?, from.u64("transfer to")?, take_log_id(from)?))
}

pub(crate) fn put_snapshot_meta(out: &mut impl Write, meta: &SnapshotMeta) {
    put_log_id(out, meta.last_log_id.as_ref());
    put_log_id(out, meta.last_membership.log_id().as_ref());
    put_membership(out, meta.last_membership.membership());
}

pub(crate) fn take_snapshot_meta(from: &mut Reader) -> Result<SnapshotMeta, Malformed> {
    let last_log_id = take_log_id(from)?;
    let membership_log_id = take_log_id(from)?;
    let membership = take_membership(from)?;
    Ok(SnapshotMeta { last_log_id, last_membership: StoredMembership::new(membership_log_id, membership) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(entry: Entry) -> Entry {
        let (head, body) = entry_parts(&entry);
        take_entry(entry.log_id.index, Bytes::from([head, body].concat())).unwrap()
    }

    #[test]
    fn entries_of_every_kind_are_read_as_they_were_written() {
        let membership = Membership::new_with_defaults(vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 3, 4])], [5]);
        for payload in [
            Payload::Blank,
            Payload::Normal(Command { time: 17, bytes: Bytes::from_static(b"command") }),
            Payload::Membership(membership),
        ] {
            let entry = Entry { log_id: log_id(4, 9), payload };
            assert_eq!(there_and_back(entry.clone()), entry);
        }
    }

    #[test]
    fn an_append_that_claims_more_entries_than_it_has_is_refused() {
        let mut out = BytesMut::new();
        put_vote(&mut out, &vote(1, 1, true));
        put_log_id(&mut out, None);
        put_log_id(&mut out, None);
        out.write_u32(u32::MAX);
        assert!(take_append(&mut Reader::new(out.freeze())).is_err());
    }
}
