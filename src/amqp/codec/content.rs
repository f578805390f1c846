//! The content header, section 4.2.6.1.

use bytes::Bytes;

use super::{BASIC_CLASS, DecodeError, Reader, table::scan_table};

/// What precedes a message's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentHeader {
    /// Bytes of the body, over all of its frames.
    pub body_size: u64,
    /// Property flags, then the property list, as they came. Not looked into: see [`scan_properties`].
    pub properties: Bytes,
}

impl ContentHeader {
    /// Reads the payload of a header frame.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] where it is too short, or of a class that has no content.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let class = reader.u16()?;
        if class != BASIC_CLASS {
            return Err(DecodeError::NoContent(class));
        }
        let _weight = reader.u16()?;
        let body_size = reader.u64()?;
        let properties = reader.shared(reader.left())?;
        Ok(Self { body_size, properties })
    }
}

/// What a broker must know of a message's properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropertyScan {
    /// There are none at all.
    pub none: bool,
    /// The user who published it, as the publisher says.
    pub user: Option<Bytes>,
    /// It says when it expires.
    pub expires: bool,
    /// A header names more keys to be routed by: `CC` or `BCC`.
    pub copies: bool,
}

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const TYPE: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;

/// Checks that properties are well formed, so that no consumer is handed what it cannot read, and allocates nothing.
///
/// # Errors
///
/// [`DecodeError`] where they are not.
pub fn scan_properties(properties: &Bytes) -> Result<PropertyScan, DecodeError> {
    let mut reader = Reader::new(properties);
    let flags = reader.u16()?;
    let mut scan = PropertyScan { none: flags == 0, ..PropertyScan::default() };
    if flags & 0b11 != 0 {
        return Err(DecodeError::UnknownProperties(flags));
    }
    let short_string = |reader: &mut Reader<'_>| {
        let length = reader.u8()?;
        reader.shared(length.into())
    };
    let step_over = |reader: &mut Reader<'_>, flag: u16| -> Result<(), DecodeError> {
        if flags & flag != 0 {
            let length = reader.u8()?;
            reader.take(length.into())?;
        }
        Ok(())
    };
    step_over(&mut reader, CONTENT_TYPE)?;
    step_over(&mut reader, CONTENT_ENCODING)?;
    if flags & HEADERS != 0 {
        scan_table(&mut reader, &mut |name| scan.copies |= name == b"CC" || name == b"BCC")?;
    }
    if flags & DELIVERY_MODE != 0 {
        reader.u8()?;
    }
    if flags & PRIORITY != 0 {
        reader.u8()?;
    }
    step_over(&mut reader, CORRELATION_ID)?;
    step_over(&mut reader, REPLY_TO)?;
    step_over(&mut reader, EXPIRATION)?;
    scan.expires = flags & EXPIRATION != 0;
    step_over(&mut reader, MESSAGE_ID)?;
    if flags & TIMESTAMP != 0 {
        reader.u64()?;
    }
    step_over(&mut reader, TYPE)?;
    if flags & USER_ID != 0 {
        scan.user = Some(short_string(&mut reader)?);
    }
    step_over(&mut reader, APP_ID)?;
    step_over(&mut reader, CLUSTER_ID)?;
    reader.finish()?;
    Ok(scan)
}
