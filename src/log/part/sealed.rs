//! A part whose index is a file: a sealed segment, or what a clean close indexed of the active one.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::EventRow;
use crate::event::Scope;
use crate::log::format::SymbolBody;
use crate::log::index::{IndexFile, StreamRow};
use crate::log::memo::Memo;
use crate::log::segment::{Segment, Window};
use crate::log::{ReadError, RecordKind};
use crate::sync::RwLock;
use bytestring::ByteString;

/// How many kinds' types are kept in memory; those beyond are read again by each reader.
const MAX_TYPES_KEPT: u32 = 1024;

/// A sealed segment with its index.
#[derive(Debug)]
pub(crate) struct SealedPart {
    pub(crate) segment: Arc<Segment>,
    pub(crate) index: Arc<IndexFile>,
    scopes: RwLock<Memo<Arc<Scope>>>,
    /// The types by symbol, but for those that can't be read and where there are very many.
    types: OnceLock<Arc<Memo<ByteString>>>,
}

impl SealedPart {
    pub(crate) fn new(segment: Arc<Segment>, index: Arc<IndexFile>) -> Self {
        Self { segment, index, scopes: RwLock::default(), types: OnceLock::new() }
    }

    fn symbol(&self, number: u32, window: &mut Window) -> Result<Bytes, ReadError> {
        let offset = self.index.symbol_offset(number)?;
        let (header, body) = self.segment.record(offset, self.index.summary.end, window)?;
        if header.kind != RecordKind::Symbol as u8 || header.stream_symbol != number {
            return Err(self.segment.corrupt(offset, "expected the symbol that the index says is here"));
        }
        Ok(body)
    }

    pub(crate) fn scope(&self, number: u32, window: &mut Window) -> Result<Arc<Scope>, ReadError> {
        if let Some(scope) = self.scopes.read().get(number) {
            return Ok(scope.clone());
        }
        let body = self.symbol(number, window)?;
        let scope = match SymbolBody::decode(&body) {
            Ok(SymbolBody::Scope { tenant, application }) => Scope::new(tenant, application).ok(),
            _ => None,
        };
        let scope = Arc::new(scope.ok_or_else(|| self.segment.corrupt(0, "expected the symbol of a scope"))?);
        self.scopes.write().insert(number, scope.clone());
        Ok(scope)
    }

    /// Its types by symbol, as far as they are kept.
    pub(super) fn types(&self) -> &Arc<Memo<ByteString>> {
        match self.types.get() {
            Some(types) => types,
            // Two may read them at once, and neither waits for the other.
            None => {
                let types = self.read_types();
                self.types.get_or_init(|| types)
            }
        }
    }

    fn read_types(&self) -> Arc<Memo<ByteString>> {
        let mut types = Memo::default();
        let mut window = Window::default();
        for number in 0..self.index.kinds().min(MAX_TYPES_KEPT) {
            // A name that can't be read is the error of the events that need it, and of no other.
            if let Ok((_, symbol)) = self.index.kind(number)
                && types.get(symbol).is_none()
                && let Ok(event_type) = self.event_type(symbol, &mut window)
            {
                types.insert(symbol, event_type);
            }
        }
        Arc::new(types)
    }

    pub(crate) fn event_type(&self, number: u32, window: &mut Window) -> Result<ByteString, ReadError> {
        let body = self.symbol(number, window)?;
        match SymbolBody::decode(&body) {
            Ok(SymbolBody::Type(text)) => Ok(ByteString::from(text)),
            _ => Err(self.segment.corrupt(0, "expected the symbol of an event type")),
        }
    }

    /// Name and scope symbol of a stream's symbol.
    pub(crate) fn stream_name(&self, number: u32, window: &mut Window) -> Result<(u32, u32, ByteString), ReadError> {
        let body = self.symbol(number, window)?;
        match SymbolBody::decode(&body) {
            Ok(SymbolBody::Stream { scope, previous_segment, id }) => {
                let id = ByteString::try_from(body.slice(body.len() - id.len()..)).unwrap_or_default();
                Ok((scope, previous_segment, id))
            }
            _ => Err(self.segment.corrupt(0, "expected the symbol of a stream")),
        }
    }

    /// The rows of events by ordinal and offset, in ascending order.
    pub(super) fn rows(
        &self,
        events: impl Iterator<Item = (u32, u32)>,
        out: &mut Vec<EventRow>,
    ) -> Result<(), ReadError> {
        let mut frames = self.index.frames_of();
        for (ordinal, offset) in events {
            out.push(EventRow { ordinal, offset, recorded_at: frames.recorded_at(ordinal)? });
        }
        Ok(())
    }

    /// A stream's row and its number, where this segment names it.
    pub(crate) fn find_stream(
        &self,
        hash: u64,
        scope: &Scope,
        stream: &str,
    ) -> Result<Option<(u32, StreamRow)>, ReadError> {
        let mut window = Window::default();
        for number in self.index.streams_hashed(hash)? {
            let number = number?;
            let row = self.index.stream(number)?;
            if row.hash != hash {
                continue;
            }
            let body = self.symbol(row.symbol, &mut window)?;
            if let Ok(SymbolBody::Stream { scope: scope_symbol, id, .. }) = SymbolBody::decode(&body)
                && id == stream
                && *self.scope(scope_symbol, &mut window)? == *scope
            {
                return Ok(Some((number, row)));
            }
        }
        Ok(None)
    }
}
