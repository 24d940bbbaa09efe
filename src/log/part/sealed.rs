//! A part whose index is a file: a sealed segment, or what a clean close indexed of the active one.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::event::Scope;
use crate::log::format::SymbolBody;
use crate::log::index::{IndexFile, StreamRow};
use crate::log::segment::{Block, Segment};
use crate::log::{ReadError, RecordKind};
use crate::sync::RwLock;
use bytestring::ByteString;

/// A sealed segment with its index.
#[derive(Debug)]
pub(crate) struct SealedPart {
    pub(crate) segment: Arc<Segment>,
    pub(crate) index: Arc<IndexFile>,
    scopes: RwLock<HashMap<u32, Arc<Scope>>>,
    types: RwLock<HashMap<u32, ByteString>>,
    /// By number of the kind.
    kinds: Box<[OnceLock<EventKind>]>,
}

/// Scope and type of an event.
#[derive(Clone, Debug)]
pub(crate) struct EventKind {
    pub(crate) scope: Arc<Scope>,
    pub(crate) event_type: ByteString,
    pub(crate) type_symbol: u32,
}

impl SealedPart {
    pub(crate) fn new(segment: Arc<Segment>, index: Arc<IndexFile>) -> Self {
        let kinds = (0..index.kinds()).map(|_| OnceLock::new()).collect();
        Self { segment, index, scopes: RwLock::default(), types: RwLock::default(), kinds }
    }

    /// What the kind with this number stands for.
    pub(crate) fn kind(&self, number: u32, block: &mut Block) -> Result<&EventKind, ReadError> {
        let place = self.kinds.get(number as usize);
        let place = place.ok_or_else(|| self.segment.corrupt(0, "an event of a kind that the index doesn't hold"))?;
        if let Some(kind) = place.get() {
            return Ok(kind);
        }
        let (scope, type_symbol) = self.index.kind(number)?;
        let (scope, event_type) = (self.scope(scope, block)?, self.event_type(type_symbol, block)?);
        Ok(place.get_or_init(|| EventKind { scope, event_type, type_symbol }))
    }

    fn symbol(&self, number: u32, block: &mut Block) -> Result<Bytes, ReadError> {
        let offset = self.index.symbol_offset(number)?;
        let (header, body) = self.segment.record(offset, self.index.summary.end, block)?;
        if header.kind != RecordKind::Symbol as u8 || header.stream_symbol != number {
            return Err(self.segment.corrupt(offset, "expected the symbol that the index says is here"));
        }
        Ok(body)
    }

    pub(crate) fn scope(&self, number: u32, block: &mut Block) -> Result<Arc<Scope>, ReadError> {
        if let Some(scope) = self.scopes.read().get(&number) {
            return Ok(scope.clone());
        }
        let body = self.symbol(number, block)?;
        let scope = match SymbolBody::decode(&body) {
            Ok(SymbolBody::Scope { tenant, application }) => Scope::new(tenant, application).ok(),
            _ => None,
        };
        let scope = Arc::new(scope.ok_or_else(|| self.segment.corrupt(0, "expected the symbol of a scope"))?);
        self.scopes.write().insert(number, scope.clone());
        Ok(scope)
    }

    pub(crate) fn event_type(&self, number: u32, block: &mut Block) -> Result<ByteString, ReadError> {
        if let Some(text) = self.types.read().get(&number) {
            return Ok(text.clone());
        }
        let body = self.symbol(number, block)?;
        let text = match SymbolBody::decode(&body) {
            Ok(SymbolBody::Type(text)) => ByteString::from(text),
            _ => return Err(self.segment.corrupt(0, "expected the symbol of an event type")),
        };
        self.types.write().insert(number, text.clone());
        Ok(text)
    }

    /// Name and scope symbol of a stream's symbol.
    pub(crate) fn stream_name(&self, number: u32, block: &mut Block) -> Result<(u32, u32, ByteString), ReadError> {
        let body = self.symbol(number, block)?;
        match SymbolBody::decode(&body) {
            Ok(SymbolBody::Stream { scope, previous_segment, id }) => {
                let id = ByteString::try_from(body.slice(body.len() - id.len()..)).unwrap_or_default();
                Ok((scope, previous_segment, id))
            }
            _ => Err(self.segment.corrupt(0, "expected the symbol of a stream")),
        }
    }

    /// A stream's row and its number, where this segment names it.
    pub(crate) fn find_stream(
        &self,
        hash: u64,
        scope: &Scope,
        stream: &str,
    ) -> Result<Option<(u32, StreamRow)>, ReadError> {
        let mut block = Block::default();
        for number in self.index.streams_hashed(hash)? {
            let number = number?;
            let row = self.index.stream(number)?;
            if row.hash != hash {
                continue;
            }
            let (scope_symbol, _, id) = self.stream_name(row.symbol, &mut block)?;
            if *id == *stream && *self.scope(scope_symbol, &mut block)? == *scope {
                return Ok(Some((number, row)));
            }
        }
        Ok(None)
    }
}
