//! An object as it lies there.
//!
//! ```text
//!   head     magic 8 | version 2 | encrypted 1 | zero 1 | id of the key 8 | salt 16 | length of the content 8
//!   body     the content: compressed (zstd, RFC 8878), then encrypted where there is a key; head and name are checked with it
//!   checksum CRC-64/NVME of the name's length 4, the name, head and body: 8
//! ```
//!
//! Integers are little-endian. In every version the checksum is the last 8 bytes, so that damage is never taken for a newer
//! version. Salt and id of the key are zeros where nothing is encrypted.

use aws_lc_rs::rand;
use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use ferrymq_wire::Malformed;
use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, ParamSwitch, compress_bound},
};

use crate::key::{ID_BYTES, Key, SALT_BYTES};

const MAGIC: [u8; 8] = *b"FERRYARC";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 8 + 2 + 1 + 1 + ID_BYTES + SALT_BYTES + 8;
const CHECKSUM_BYTES: usize = 8;
/// Quick, and as small as makes a difference for what was not compressed before.
const LEVEL: i32 = 1;
/// Level 1, quicker by a quarter and as small for messages: a table of matches that stays in the processor's first cache, and
/// larger steps over what matches nothing, of which the letters are still compressed.
const PARAMETERS: [CParameter; 3] =
    [CParameter::HashLog(12), CParameter::TargetLength(2), CParameter::LiteralCompressionMode(ParamSwitch::Enable)];

/// The most bytes of an object's content. What is archived together ends long before; one entry of a log alone fits.
pub const MOST_BYTES: usize = 128 << 20;

/// An object cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object {name}: {problem}")]
pub struct ObjectError {
    /// Its name.
    pub name: String,
    /// What is the matter with it.
    pub problem: Problem,
}

/// What is the matter with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not what was written, or not under this name.
    #[error("it is damaged: it is not what was written under this name")]
    Damaged,
    /// It is of another program.
    #[error("it is no object of an archive of FerryMQ")]
    Foreign,
    /// It is of a later version of this program.
    #[error("it is of version {found}, and this program reads up to {VERSION}; read it with a newer one")]
    Newer {
        /// Its version.
        found: u16,
    },
    /// It is encrypted, and there is no key.
    #[error("it is encrypted, and no key was given")]
    NoKey,
    /// It is encrypted with another key.
    #[error("it is encrypted with another key than the one that was given")]
    OtherKey,
    /// It is more than is read at once.
    #[error("it has {bytes} bytes, and the most is {MOST_BYTES}")]
    TooLarge {
        /// How many it has.
        bytes: u64,
    },
    /// What is in it makes no sense.
    #[error("what is in it makes no sense: {0}")]
    Malformed(#[from] Malformed),
    /// What is in it cannot be understood.
    #[error("what is in it cannot be understood: {0}")]
    Incomprehensible(String),
    /// What is in it is of something else than its name says.
    #[error("what is in it is not what its name says: {0}")]
    Misplaced(String),
    /// The library for compression or encryption failed.
    #[error("{0} failed")]
    Failed(&'static str),
}

/// Bytes of room of each kind that are kept for the next object.
const KEPT_BYTES: usize = 4 << 20;

/// What it takes to make objects, kept from one to the next.
#[derive(Default)]
pub(crate) struct Tools {
    compressor: Option<Compressor<'static>>,
    content: BytesMut,
    compressed: Vec<u8>,
    /// Room for objects: that of one serves again when whoever has that object lets go of it.
    objects: BytesMut,
}

impl Tools {
    /// Compresses what is given.
    fn compress(&mut self, content: &[u8]) -> std::io::Result<()> {
        let compressor = match self.compressor.take() {
            Some(compressor) => compressor,
            None => compressor()?,
        };
        let compressor = self.compressor.insert(compressor);
        self.compressed.clear();
        self.compressed.reserve(compress_bound(content.len()));
        compressor.compress_to_buffer(content, &mut self.compressed)?;
        Ok(())
    }
}

fn compressor() -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    PARAMETERS.into_iter().try_for_each(|parameter| compressor.set_parameter(parameter))?;
    Ok(compressor)
}

/// An object of what is packed, to be written under this name.
pub(crate) fn seal(
    name: &str,
    pack: impl FnOnce(&mut BytesMut),
    key: Option<&Key>,
    tools: &mut Tools,
) -> Result<Bytes, ObjectError> {
    let mut content = std::mem::take(&mut tools.content);
    content.clear();
    pack(&mut content);
    let object = seal_content(name, &content, key, tools);
    if content.capacity() <= KEPT_BYTES {
        tools.content = content;
    }
    object
}

fn seal_content(name: &str, content: &[u8], key: Option<&Key>, tools: &mut Tools) -> Result<Bytes, ObjectError> {
    let fails = |problem| ObjectError { name: name.to_owned(), problem };
    if content.len() > MOST_BYTES {
        return Err(fails(Problem::TooLarge { bytes: content.len() as u64 }));
    }
    let mut salt = [0; SALT_BYTES];
    if key.is_some() {
        rand::fill(&mut salt).map_err(|_| fails(Problem::Failed("the source of random numbers")))?;
    }
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend(MAGIC);
    head.extend(VERSION.to_le_bytes());
    head.extend([u8::from(key.is_some()), 0]);
    head.extend(key.map_or([0; ID_BYTES], Key::id));
    head.extend(salt);
    head.extend((content.len() as u64).to_le_bytes());
    tools.compress(content).map_err(|_| fails(Problem::Failed("compression")))?;
    let Tools { compressed: body, objects: room, .. } = tools;
    if let Some(key) = key {
        key.seal(&salt, &beside(name, &head), body).map_err(|_| fails(Problem::Failed("encryption")))?;
    }
    let checksum = checksum_of(name, &head, body);
    let parts = [&head, &**body, &checksum];
    let bytes = parts.iter().map(|part| part.len()).sum();
    let mut large = BytesMut::new();
    let objects = if bytes <= KEPT_BYTES { room } else { &mut large };
    objects.reserve(bytes);
    parts.iter().for_each(|part| objects.extend_from_slice(part));
    body.clear();
    body.shrink_to(KEPT_BYTES);
    Ok(objects.split().freeze())
}

/// The content of an object that was written under this name.
pub(crate) fn open(name: &str, object: &[u8], key: Option<&Key>) -> Result<Bytes, ObjectError> {
    content_of(name, object, key).map_err(|problem| ObjectError { name: name.to_owned(), problem })
}

fn content_of(name: &str, object: &[u8], key: Option<&Key>) -> Result<Bytes, Problem> {
    let (rest, checksum) = object.split_last_chunk().ok_or(Problem::Damaged)?;
    let (head, body) = rest.split_at_checked(HEAD_BYTES).ok_or(Problem::Damaged)?;
    if checksum_of(name, head, body) != *checksum {
        return Err(Problem::Damaged);
    }
    let mut from = head;
    if take::<8>(&mut from)? != MAGIC {
        return Err(Problem::Foreign);
    }
    let found = u16::from_le_bytes(take(&mut from)?);
    if found != VERSION {
        return Err(Problem::Newer { found });
    }
    let [encrypted, _zero] = take(&mut from)?;
    let id = take::<ID_BYTES>(&mut from)?;
    let salt = take::<SALT_BYTES>(&mut from)?;
    let bytes = u64::from_le_bytes(take(&mut from)?);
    let length =
        usize::try_from(bytes).ok().filter(|length| *length <= MOST_BYTES).ok_or(Problem::TooLarge { bytes })?;
    let mut body = body.to_vec();
    let compressed: &[u8] = match (encrypted == 1, key) {
        (false, _) => &body,
        (true, None) => return Err(Problem::NoKey),
        (true, Some(key)) if key.id() != id => return Err(Problem::OtherKey),
        (true, Some(key)) => key.open(&salt, &beside(name, head), &mut body).map_err(|_| Problem::OtherKey)?,
    };
    let content = zstd::bulk::decompress(compressed, length).map_err(|_| Problem::Damaged)?;
    if content.len() == length { Ok(content.into()) } else { Err(Problem::Damaged) }
}

fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], Problem> {
    let (part, rest) = from.split_first_chunk().ok_or(Problem::Damaged)?;
    *from = rest;
    Ok(*part)
}

/// What is checked with an encrypted content: another name or head makes it unreadable.
fn beside(name: &str, head: &[u8]) -> Vec<u8> {
    [&length_of(name)[..], name.as_bytes(), head].concat()
}

/// Finds every damage of up to eight bytes in a row, and any other but for one in 2^64. Where it has to hold against somebody
/// who wants to change an object, there is encryption.
fn checksum_of(name: &str, head: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut checksum = Digest::new(CrcAlgorithm::Crc64Nvme);
    for part in [&length_of(name)[..], name.as_bytes(), head, body] {
        checksum.update(part);
    }
    checksum.finalize().to_le_bytes()
}

fn length_of(name: &str) -> [u8; 4] {
    u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal(name: &str, content: &[u8], key: Option<&Key>) -> Result<Bytes, ObjectError> {
        super::seal(name, |out| out.extend_from_slice(content), key, &mut Tools::default())
    }

    #[test]
    fn tools_serve_for_one_object_after_the_other() {
        let mut tools = Tools::default();
        let large = vec![7; KEPT_BYTES * 2];
        for content in [&b"a"[..], b"", &large, b"content"] {
            let pack = |out: &mut BytesMut| out.extend_from_slice(content);
            let object = super::seal("a", pack, Some(&key("a")), &mut tools).unwrap();
            assert_eq!(open("a", &object, Some(&key("a"))).unwrap(), content);
            assert!(tools.compressed.is_empty());
            for kept in [tools.compressed.capacity(), tools.content.capacity(), tools.objects.capacity()] {
                assert!(kept <= KEPT_BYTES, "{kept}");
            }
        }
    }

    fn key(secret: &str) -> Key {
        Key::new(format!("{secret}, and sixteen bytes").as_bytes()).unwrap()
    }

    fn problem(name: &str, object: &[u8], key: Option<&Key>) -> Problem {
        let error = open(name, object, key).unwrap_err();
        assert_eq!(error.name, name);
        error.problem
    }

    #[test]
    fn what_is_flipped_or_cut_off_anywhere_is_found() {
        let content = b"what was confirmed is never lost ".repeat(20);
        for key in [None, Some(key("a"))] {
            let object = seal("a", &content, key.as_ref()).unwrap();
            assert_eq!(open("a", &object, key.as_ref()).unwrap(), content);
            for at in 0..object.len() {
                let mut flipped = object.to_vec();
                flipped[at] ^= 1 << (at % 8);
                assert_eq!(problem("a", &flipped, key.as_ref()), Problem::Damaged, "a bit of byte {at}");
                assert_eq!(problem("a", &object[..at], key.as_ref()), Problem::Damaged, "cut at {at}");
            }
        }
    }

    #[test]
    fn an_object_under_another_name_is_refused() {
        let object = seal("a", b"content", None).unwrap();
        assert_eq!(problem("b", &object, None), Problem::Damaged);
    }

    #[test]
    fn keys_are_told_apart() {
        let object = seal("a", b"content", Some(&key("a"))).unwrap();
        assert_eq!(problem("a", &object, None), Problem::NoKey);
        assert_eq!(problem("a", &object, Some(&key("b"))), Problem::OtherKey);
        assert_eq!(open("a", &seal("a", b"content", None).unwrap(), Some(&key("b"))).unwrap(), "content");
        let again = seal("a", b"content", Some(&key("a"))).unwrap();
        assert_ne!(object, again, "each object has a salt of its own");
    }

    #[test]
    fn what_is_encrypted_does_not_show() {
        let object = seal("a", b"hunter2 hunter2", Some(&key("a"))).unwrap();
        assert!(!object.windows(7).any(|window| window == b"hunter2"));
    }

    /// Made whole again after a change, as somebody else's program or a later version would.
    fn resealed(name: &str, object: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut object = object.to_vec();
        change(&mut object);
        let end = object.len() - CHECKSUM_BYTES;
        let checksum = checksum_of(name, &object[..HEAD_BYTES], &object[HEAD_BYTES..end]);
        object[end..].copy_from_slice(&checksum);
        object
    }

    #[test]
    fn what_is_of_somebody_else_or_of_a_later_version_is_said() {
        let object = seal("a", b"content", None).unwrap();
        let foreign = resealed("a", &object, |object| object[0] = b'f');
        assert_eq!(problem("a", &foreign, None), Problem::Foreign);
        let newer = resealed("a", &object, |object| object[8] = 2);
        assert_eq!(problem("a", &newer, None), Problem::Newer { found: 2 });
    }

    #[test]
    fn a_length_is_not_believed() {
        let object = seal("a", b"content", None).unwrap();
        let huge = resealed("a", &object, |object| object[36..44].copy_from_slice(&u64::MAX.to_le_bytes()));
        assert_eq!(problem("a", &huge, None), Problem::TooLarge { bytes: u64::MAX });
        for wrong in [0_u64, 6, 8] {
            let wrong = resealed("a", &object, |object| object[36..44].copy_from_slice(&wrong.to_le_bytes()));
            assert_eq!(problem("a", &wrong, None), Problem::Damaged);
        }
        let error = seal("a", &vec![0; MOST_BYTES + 1], None).unwrap_err();
        assert_eq!(error.problem, Problem::TooLarge { bytes: MOST_BYTES as u64 + 1 });
    }

    proptest! {
        #[test]
        fn any_content_comes_back(content: Vec<u8>, name: String, encrypted: bool) {
            let key = encrypted.then(|| key("a"));
            let object = seal(&name, &content, key.as_ref()).unwrap();
            prop_assert_eq!(open(&name, &object, key.as_ref()).unwrap(), content);
        }

        #[test]
        fn what_is_no_object_is_refused(object: Vec<u8>) {
            prop_assert!(open("a", &object, None).is_err());
        }
    }
}
