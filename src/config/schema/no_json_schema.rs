//! Without the feature `schema`, no schema can be used: neither declared nor held against an event.

use super::{Unusable, Violation};
use crate::config::declaration::SchemaRef;

/// Nothing: there is none in this build.
#[derive(Debug)]
pub(crate) enum Validator {}

impl Validator {
    pub(crate) fn compile(_: &SchemaRef, _: &[u8]) -> Result<Self, Unusable> {
        let what = "schemas are not in this build of Atlas";
        Err(Unusable::new(what, "the crate's feature `schema`, or a type without a schema"))
    }

    pub(crate) fn size(&self) -> usize {
        match *self {}
    }

    pub(crate) fn validate(&self, _: &[u8]) -> Result<(), Violation> {
        match *self {}
    }
}
