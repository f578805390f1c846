//! Field tables, section 4.2.5.5, with the types that RabbitMQ and its clients use.

use bytes::Bytes;
use bytestring::ByteString;

use super::{DecodeError, Reader, Writer};

/// How deep tables and arrays may lie within each other.
pub const MAX_DEPTH: usize = 32;

/// Names and values, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table(pub Vec<(ByteString, Value)>);

/// A value of a field table.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `t`
    Boolean(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `L`
    U64(u64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`
    LongString(Bytes),
    /// `x`
    ByteArray(Bytes),
    /// `T`, seconds since 1970.
    Timestamp(u64),
    /// `A`
    Array(Vec<Value>),
    /// `F`
    Table(Table),
    /// `V`
    Void,
}

impl Value {
    /// The text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::LongString(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The whole number, where it is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        Some(match *self {
            Self::I8(value) => value.into(),
            Self::U8(value) => value.into(),
            Self::I16(value) => value.into(),
            Self::U16(value) => value.into(),
            Self::I32(value) => value.into(),
            Self::U32(value) => value.into(),
            Self::I64(value) => value,
            Self::U64(value) => i64::try_from(value).ok()?,
            _ => return None,
        })
    }

    fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            b't' => Self::Boolean(reader.u8()? != 0),
            b'b' => Self::I8(reader.u8()?.cast_signed()),
            b'B' => Self::U8(reader.u8()?),
            b's' => Self::I16(reader.u16()?.cast_signed()),
            b'u' => Self::U16(reader.u16()?),
            b'I' => Self::I32(reader.u32()?.cast_signed()),
            b'i' => Self::U32(reader.u32()?),
            b'l' => Self::I64(reader.u64()?.cast_signed()),
            b'L' => Self::U64(reader.u64()?),
            b'f' => Self::F32(f32::from_bits(reader.u32()?)),
            b'd' => Self::F64(f64::from_bits(reader.u64()?)),
            b'D' => Self::Decimal { scale: reader.u8()?, value: reader.u32()? },
            b'S' => Self::LongString(reader.long_string()?),
            b'x' => Self::ByteArray(reader.long_string()?),
            b'T' => Self::Timestamp(reader.u64()?),
            b'A' => Self::Array(read_array(reader, deeper(depth)?)?),
            b'F' => Self::Table(Table::read(reader, deeper(depth)?)?),
            b'V' => Self::Void,
            unknown => return Err(DecodeError::UnknownType(unknown)),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Boolean(value) => {
                writer.u8(b't');
                writer.u8((*value).into());
            }
            Self::I8(value) => {
                writer.u8(b'b');
                writer.u8(value.cast_unsigned());
            }
            Self::U8(value) => {
                writer.u8(b'B');
                writer.u8(*value);
            }
            Self::I16(value) => {
                writer.u8(b's');
                writer.u16(value.cast_unsigned());
            }
            Self::U16(value) => {
                writer.u8(b'u');
                writer.u16(*value);
            }
            Self::I32(value) => {
                writer.u8(b'I');
                writer.u32(value.cast_unsigned());
            }
            Self::U32(value) => {
                writer.u8(b'i');
                writer.u32(*value);
            }
            Self::I64(value) => {
                writer.u8(b'l');
                writer.u64(value.cast_unsigned());
            }
            Self::U64(value) => {
                writer.u8(b'L');
                writer.u64(*value);
            }
            Self::F32(value) => {
                writer.u8(b'f');
                writer.u32(value.to_bits());
            }
            Self::F64(value) => {
                writer.u8(b'd');
                writer.u64(value.to_bits());
            }
            Self::Decimal { scale, value } => {
                writer.u8(b'D');
                writer.u8(*scale);
                writer.u32(*value);
            }
            Self::LongString(bytes) => {
                writer.u8(b'S');
                writer.long_string(bytes);
            }
            Self::ByteArray(bytes) => {
                writer.u8(b'x');
                writer.long_string(bytes);
            }
            Self::Timestamp(seconds) => {
                writer.u8(b'T');
                writer.u64(*seconds);
            }
            Self::Array(values) => {
                writer.u8(b'A');
                writer.with_length(|writer| values.iter().for_each(|value| value.write(writer)));
            }
            Self::Table(table) => {
                writer.u8(b'F');
                table.write(writer);
            }
            Self::Void => writer.u8(b'V'),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::LongString(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Table> for Value {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl Table {
    /// The first value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// With one value more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((ByteString::from_static(name), value.into()));
        self
    }

    pub(crate) fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, DecodeError> {
        let length = reader.u32()?;
        let outer = reader.narrow(usize::try_from(length).unwrap_or(usize::MAX))?;
        let table = Self::read_entries(reader, depth)?;
        reader.widen(outer);
        Ok(table)
    }

    /// The entries of a table whose length is not written before it, up to where the reader ends.
    pub(crate) fn read_entries(reader: &mut Reader<'_>, depth: usize) -> Result<Self, DecodeError> {
        let mut entries = Vec::new();
        while reader.left() > 0 {
            entries.push((reader.short_string()?, Value::read(reader, depth)?));
        }
        Ok(Self(entries))
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.with_length(|writer| {
            for (name, value) in &self.0 {
                writer.short_string(name);
                value.write(writer);
            }
        });
    }
}

fn read_array(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Value>, DecodeError> {
    let length = reader.u32()?;
    let outer = reader.narrow(usize::try_from(length).unwrap_or(usize::MAX))?;
    let mut values = Vec::new();
    while reader.left() > 0 {
        values.push(Value::read(reader, depth)?);
    }
    reader.widen(outer);
    Ok(values)
}

fn deeper(depth: usize) -> Result<usize, DecodeError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(DecodeError::TooDeep) }
}

/// Walks over a table without keeping any of it, and tells of each name at its top.
pub(crate) fn scan_table(reader: &mut Reader<'_>, each: &mut dyn FnMut(&[u8])) -> Result<(), DecodeError> {
    let length = reader.u32()?;
    let outer = reader.narrow(usize::try_from(length).unwrap_or(usize::MAX))?;
    while reader.left() > 0 {
        each(scan_entry(reader)?);
    }
    reader.widen(outer);
    Ok(())
}

/// Walks over one name and its value, and gives the name.
pub(crate) fn scan_entry<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = reader.u8()?;
    let name = reader.take(length.into())?;
    scan_value(reader, 1)?;
    Ok(name)
}

fn scan_value(reader: &mut Reader<'_>, depth: usize) -> Result<(), DecodeError> {
    let bytes = match reader.u8()? {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' => usize::try_from(reader.u32()?).unwrap_or(usize::MAX),
        kind @ (b'A' | b'F') => {
            let depth = deeper(depth)?;
            let length = reader.u32()?;
            let outer = reader.narrow(usize::try_from(length).unwrap_or(usize::MAX))?;
            while reader.left() > 0 {
                if kind == b'F' {
                    let length = reader.u8()?;
                    reader.take(length.into())?;
                }
                scan_value(reader, depth)?;
            }
            reader.widen(outer);
            0
        }
        unknown => return Err(DecodeError::UnknownType(unknown)),
    };
    reader.take(bytes).map(drop)
}
