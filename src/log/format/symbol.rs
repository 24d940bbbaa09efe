//! Symbols: names that records of the same segment refer to by number.
//!
//! ```text
//!  0  what: 1 scope, 2 event type, 3 stream     1
//!  1  scope:  length of the tenant 1, tenant, application to the end
//!     type:   text to the end
//!     stream: symbol number of its scope 4, the segment before this one that names the stream or 0 4, id to the end
//! ```
//!
//! Symbols are numbered 1, 2, 3 along their segment, and stand before the first record that refers to them.

use super::{Bad, Reader, put_str_u8, put_u32};
use crate::event::Scope;

const SCOPE: u8 = 1;
const TYPE: u8 = 2;
const STREAM: u8 = 3;

/// A symbol's body, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SymbolBody<'a> {
    Scope { tenant: &'a str, application: &'a str },
    Type(&'a str),
    Stream { scope: u32, previous_segment: u32, id: &'a str },
}

impl<'a> SymbolBody<'a> {
    /// The symbol of a scope.
    pub(crate) fn of_scope(scope: &'a Scope) -> Self {
        Self::Scope { tenant: scope.tenant().as_str(), application: scope.application().as_str() }
    }

    /// Decodes a body whose CRC was checked.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, Bad> {
        Self::fields(body).ok_or("the symbol is not well formed")
    }

    fn fields(body: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(body);
        match fields.u8()? {
            SCOPE => {
                let tenant = fields.str_u8()?;
                Some(Self::Scope { tenant, application: std::str::from_utf8(fields.rest()).ok()? })
            }
            TYPE => Some(Self::Type(std::str::from_utf8(fields.rest()).ok()?)),
            STREAM => {
                let (scope, previous_segment) = (fields.u32()?, fields.u32()?);
                Some(Self::Stream { scope, previous_segment, id: std::str::from_utf8(fields.rest()).ok()? })
            }
            _ => None,
        }
    }
}

/// Encodes a symbol's body.
pub(crate) fn encode_symbol(symbol: &SymbolBody<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    match symbol {
        SymbolBody::Scope { tenant, application } => {
            out.push(SCOPE);
            put_str_u8(&mut out, tenant);
            out.extend_from_slice(application.as_bytes());
        }
        SymbolBody::Type(text) => {
            out.push(TYPE);
            out.extend_from_slice(text.as_bytes());
        }
        SymbolBody::Stream { scope, previous_segment, id } => {
            out.push(STREAM);
            put_u32(&mut out, *scope);
            put_u32(&mut out, *previous_segment);
            out.extend_from_slice(id.as_bytes());
        }
    }
    out
}
