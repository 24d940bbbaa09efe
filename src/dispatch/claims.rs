//! Ids under which somebody is about to put a message or to set a timer: nobody else does meanwhile, so that what is found to
//! be new is new, and the same id with other content is refused. Whether it is new the log tells, so a claim lasts until the
//! record is in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::event::Scope;

/// What an id is claimed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClaimOf {
    Message,
    Timer,
}

/// An id of a scope.
pub(super) type Id = (ClaimOf, Scope, Uuid);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claimed: Mutex<BTreeSet<Id>>,
    freed: Notify,
}

/// Ids that are claimed until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Arc<Claims>,
    ids: BTreeSet<Id>,
}

impl Claims {
    /// Claims ids: all of them, once nobody else has any.
    pub(super) async fn claim(self: &Arc<Self>, ids: BTreeSet<Id>) -> Claim {
        loop {
            // Before it is looked, so that nothing that is freed meanwhile is missed.
            let freed = self.freed.notified();
            {
                let mut claimed = self.claimed.lock();
                if claimed.is_disjoint(&ids) {
                    claimed.extend(ids.iter().cloned());
                    return Claim { claims: self.clone(), ids };
                }
            }
            freed.await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = self.claims.claimed.lock();
        self.ids.iter().for_each(|id| _ = claimed.remove(id));
        drop(claimed);
        self.claims.freed.notify_waiters();
    }
}
