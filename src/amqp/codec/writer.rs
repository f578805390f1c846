//! Writes the elementary types, section 4.2.5.

use bytes::{BufMut, BytesMut};

/// Appends fields to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    /// Bits of the octet that ends the buffer; 0 where the next bit begins a new one.
    bits: u8,
}

impl<'a> Writer<'a> {
    /// At the end of the buffer.
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self { out, bits: 0 }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bits = 0;
        self.out.put_u8(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bits = 0;
        self.out.put_u16(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bits = 0;
        self.out.put_u32(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bits = 0;
        self.out.put_u64(value);
    }

    /// Bits that follow each other share an octet.
    pub(crate) fn bit(&mut self, value: bool) {
        if self.bits == 0 || self.bits == 8 {
            self.bits = 0;
            self.out.put_u8(0);
        }
        if let Some(octet) = self.out.last_mut() {
            *octet |= u8::from(value) << self.bits;
        }
        self.bits += 1;
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bits = 0;
        self.out.put_slice(bytes);
    }

    /// Cut off, at a character, where it is longer than the 255 bytes that there is room for.
    pub(crate) fn short_string(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(255)];
        self.u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.raw(text.as_bytes());
    }

    pub(crate) fn long_string(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.raw(bytes);
    }

    /// Writes something behind its own length.
    pub(crate) fn with_length(&mut self, write: impl FnOnce(&mut Self)) {
        self.u32(0);
        let from = self.out.len();
        write(self);
        self.bits = 0;
        let length = u32::try_from(self.out.len() - from).unwrap_or(u32::MAX);
        if let Some(place) = self.out.get_mut(from - 4..from) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
}
