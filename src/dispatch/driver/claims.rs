//! Ids under which somebody is about to put a message or to set a timer: nobody else does meanwhile, so that what is found to
//! be new is new, and the same id with other content is refused. Whether it is new the log tells, so a claim lasts until the
//! record is in it.

use std::collections::BTreeSet;

use super::{Driver, Message};
use crate::dispatch::hold::Hold;
use crate::event::Scope;
use uuid::Uuid;

/// What an id is claimed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dispatch) enum ClaimOf {
    Message,
    Timer,
}

/// An id of a scope that is claimed.
pub(in crate::dispatch) type Claim = (ClaimOf, Scope, Uuid);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeSet<Claim>);

impl Claims {
    pub(super) fn end(&mut self, claim: &Claim) {
        self.0.remove(claim);
    }
}

impl Driver {
    /// Claims ids for somebody: all of them, once nobody else has any.
    pub(super) fn claim(&mut self, claims: &[Claim]) -> Option<Hold> {
        if claims.iter().any(|claim| self.claims.0.contains(claim)) {
            return None;
        }
        self.claims.0.extend(claims.iter().cloned());
        Some(Hold::of_claim(&self.context, Message::Unclaim(claims.to_vec())))
    }
}
