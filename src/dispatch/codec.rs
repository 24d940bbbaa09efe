//! Little-endian reading and writing of record bodies: numbers, and texts and bytes with their length in front.

use bytes::Bytes;
use uuid::Uuid;

/// A body being written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A body that starts with its format version and what it is.
    pub(super) fn new(version: u8, tag: u8) -> Self {
        // Most bodies fit.
        let mut body = Vec::with_capacity(64);
        body.extend([version, tag]);
        Self(body)
    }

    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Bytes of a length that the layout fixes.
    pub(super) fn fixed(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        // What is written here is far below 4 GiB: each field has a limit where it is made.
        self = self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.fixed(value)
    }

    pub(super) fn optional(self, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.u8(1).bytes(value),
            None => self.u8(0),
        }
    }

    pub(super) fn text(self, value: Option<&str>) -> Self {
        self.optional(value.map(str::as_bytes))
    }

    pub(super) fn ids(mut self, ids: &[Uuid]) -> Self {
        self = self.u32(u32::try_from(ids.len()).unwrap_or(u32::MAX));
        for id in ids {
            self = self.fixed(id.as_bytes());
        }
        self
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }
}

/// A body being read. Every method gives `None` where the body is too short or not what it should be.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*value)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.fixed::<1>().map(|[value]| value)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.fixed().map(i64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    pub(super) fn optional_text(&mut self) -> Option<Option<String>> {
        match self.optional()? {
            Some(text) => Some(Some(std::str::from_utf8(text).ok()?.to_owned())),
            None => Some(None),
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub(super) fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        match self.u8()? {
            0 => Some(None),
            1 => Some(Some(self.bytes()?)),
            _ => None,
        }
    }

    pub(super) fn ids(&mut self) -> Option<Vec<Uuid>> {
        let count = usize::try_from(self.u32()?).ok()?;
        // The count is checked against what is there before room is made for it.
        if count.checked_mul(16)? > self.0.len() {
            return None;
        }
        (0..count).map(|_| self.fixed().map(Uuid::from_bytes)).collect()
    }

    /// `value`, where nothing is left over.
    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}
