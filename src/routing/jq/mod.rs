//! The restricted jq behind guards and transforms, over the `jaq` crates. What ends is allowed and what may not end is
//! left out ([`functions`]); what is left is counted while it runs ([`meter`]), because nesting a few generators is enough
//! to run for ever in practice. jaq has no fuel of its own, so an expression is rewritten before it is compiled
//! ([`rewrite`]): every generator and everything that builds a value passes through a filter that counts.

pub(super) mod functions;
pub(super) mod json;
pub(super) mod meter;
pub(super) mod natives;
pub(super) mod rewrite;
mod search;
pub(super) mod stack;
pub(super) mod syntax;
