//! The content header, section 4.2.6.1.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    BASIC_CLASS, DecodeError, Reader, Table, Value, Writer,
    table::{scan_entry, scan_table},
};

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
    /// A header names the partition that it is to go to: [`PARTITION_HEADER`].
    pub partition: bool,
}

/// The header that names the partition of a topic that a message is to go to, counted from 0.
pub const PARTITION_HEADER: &str = "x-partition";

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
    let step_over = |reader: &mut Reader<'_>, flag: u16| step_over(reader, flags & flag != 0);
    step_over(&mut reader, CONTENT_TYPE)?;
    step_over(&mut reader, CONTENT_ENCODING)?;
    if flags & HEADERS != 0 {
        scan_table(&mut reader, &mut |name| {
            scan.copies |= name == b"CC" || name == b"BCC";
            scan.partition |= name == PARTITION_HEADER.as_bytes();
        })?;
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

fn step_over(reader: &mut Reader<'_>, is_there: bool) -> Result<(), DecodeError> {
    if is_there {
        let length = reader.u8()?;
        reader.take(length.into())?;
    }
    Ok(())
}

/// Reads the flags, and steps over what comes before the headers.
fn before_headers(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let flags = reader.u16()?;
    step_over(reader, flags & CONTENT_TYPE != 0)?;
    step_over(reader, flags & CONTENT_ENCODING != 0)?;
    Ok(flags)
}

/// The value of a header, where there is one of this name.
///
/// # Errors
///
/// [`DecodeError`] where the properties are malformed.
pub fn header(properties: &Bytes, name: &str) -> Result<Option<Value>, DecodeError> {
    let mut reader = Reader::new(properties);
    if before_headers(&mut reader)? & HEADERS == 0 {
        return Ok(None);
    }
    Ok(Table::read(&mut reader, 1)?.get(name).cloned())
}

/// Properties with one more header, a 64-bit integer, in the place of any other of that name.
///
/// # Errors
///
/// [`DecodeError`] where the properties are malformed.
pub fn with_header(properties: &Bytes, name: &str, value: u64) -> Result<BytesMut, DecodeError> {
    let mut out = BytesMut::with_capacity(properties.len() + name.len() + 16);
    let mut reader = Reader::new(properties);
    let flags = if properties.is_empty() { 0 } else { before_headers(&mut reader)? };
    out.put_u16(flags | HEADERS);
    let place = properties.len() - reader.left();
    out.put_slice(properties.get(2..place).unwrap_or_default());
    let headers = if flags & HEADERS == 0 {
        Bytes::new()
    } else {
        let length = reader.u32()?;
        reader.shared(usize::try_from(length).unwrap_or(usize::MAX))?
    };
    let mut entries = Reader::new(&headers);
    let mut writer = Writer::new(&mut out);
    let mut wrong = Ok(());
    writer.with_length(|writer| {
        while entries.left() > 0 && wrong.is_ok() {
            let from = headers.len() - entries.left();
            match scan_entry(&mut entries) {
                Ok(known) if known == name.as_bytes() => {}
                Ok(_) => writer.raw(headers.get(from..headers.len() - entries.left()).unwrap_or_default()),
                Err(error) => wrong = Err(error),
            }
        }
        writer.short_string(name);
        writer.u8(b'l');
        writer.u64(value);
    });
    wrong?;
    let left = reader.left();
    out.put_slice(reader.take(left)?);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(content_type: &str, headers: &Table, app_id: &str) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u16(CONTENT_TYPE | HEADERS | APP_ID);
        let mut writer = Writer::new(&mut out);
        writer.short_string(content_type);
        headers.write(&mut writer);
        writer.short_string(app_id);
        out.freeze()
    }

    #[test]
    fn a_header_is_added_in_its_place_among_the_properties() {
        let headers = Table::default().with("kind", "paid").with("x-stream-offset", "of another log");
        let wanted = Table::default().with("kind", "paid");
        let wanted = Table(wanted.0.into_iter().chain([("x-stream-offset".into(), Value::I64(7))]).collect());
        let with = with_header(&properties("text/plain", &headers, "shop"), "x-stream-offset", 7).unwrap();
        assert_eq!(with.freeze(), properties("text/plain", &wanted, "shop"));
    }

    #[test]
    fn properties_without_headers_get_some() {
        let mut bare = BytesMut::new();
        bare.put_u16(CONTENT_ENCODING | DELIVERY_MODE);
        Writer::new(&mut bare).short_string("gzip");
        bare.put_u8(2);
        for properties in [bare.freeze(), Bytes::new()] {
            let with = with_header(&properties, "x-stream-offset", 9).unwrap().freeze();
            assert_eq!(header(&with, "x-stream-offset"), Ok(Some(Value::I64(9))));
            scan_properties(&with).unwrap();
        }
        assert_eq!(header(&Bytes::from_static(&[0, 0]), "x"), Ok(None));
    }

    #[test]
    fn headers_that_are_cut_off_are_no_headers() {
        let whole = properties("t", &Table::default().with("kind", "paid"), "shop");
        for end in 1..whole.len() {
            assert!(with_header(&whole.slice(..end), "x", 1).is_err() || end > 12, "{end}");
        }
    }
}
