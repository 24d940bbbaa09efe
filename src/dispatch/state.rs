//! Where a delivery stands: the fold of its records. The same fold serves the scheduler, the derived database, and
//! `status` read straight from the log.

use serde::{Deserialize, Serialize};

use super::Outcome;
use super::record::{Calls, DeliveryRecord};

/// What a delivery waits for, as far as its records tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Its turn.
    #[default]
    Pending,
    /// An attempt was started and its end is not on record: it runs, or died with its process.
    Started,
    /// The next attempt, due at this time in microseconds since the Unix epoch.
    Waiting(i64),
    /// An operator.
    Parked,
    /// Nothing any more.
    Complete(Outcome),
}

/// Where a delivery stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeliveryState {
    pub(super) stage: Stage,
    /// Attempts started since the beginning or the last release.
    pub(super) attempts: u32,
    /// Fixed by the first attempt.
    pub(super) calls: Option<Calls>,
    /// How many calls, from the first on, have succeeded.
    pub(super) calls_done: u32,
    /// The first attempt has ended: the next handler of the event may start.
    pub(super) attempted: bool,
}

impl DeliveryState {
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete(_))
    }

    /// Takes a record in. Complete is final: what comes after it changes nothing.
    pub(super) fn apply(&mut self, record: &DeliveryRecord) {
        if self.is_complete() {
            return;
        }
        match record {
            DeliveryRecord::Started { attempt, calls } => {
                self.stage = Stage::Started;
                self.attempts = self.attempts.max(*attempt);
                self.calls.get_or_insert(*calls);
            }
            DeliveryRecord::CallDone { call, .. } => self.calls_done = self.calls_done.max(*call),
            DeliveryRecord::Retry { attempt, next_at, .. } => {
                self.stage = Stage::Waiting(*next_at);
                self.attempts = self.attempts.max(*attempt);
                self.attempted = true;
            }
            DeliveryRecord::Parked { attempts, .. } => {
                self.stage = Stage::Parked;
                self.attempts = self.attempts.max(*attempts);
                self.attempted = true;
            }
            DeliveryRecord::Released { .. } => {
                if self.stage == Stage::Parked {
                    self.stage = Stage::Pending;
                    self.attempts = 0;
                }
            }
            DeliveryRecord::Dropped { .. } => self.stage = Stage::Complete(Outcome::Failure),
            DeliveryRecord::Completed { outcome, attempts, .. } => {
                self.stage = Stage::Complete(*outcome);
                self.attempts = self.attempts.max(*attempts);
                self.attempted = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released() -> DeliveryRecord {
        DeliveryRecord::Released { actor: None, reason: None }
    }

    fn parked() -> DeliveryRecord {
        DeliveryRecord::Parked { attempts: 3, error: String::new() }
    }

    #[test]
    fn complete_is_final() {
        let mut state = DeliveryState::default();
        state.apply(&DeliveryRecord::Dropped { actor: None, reason: "no use".into() });
        let dropped = state.clone();
        for late in [
            parked(),
            released(),
            DeliveryRecord::Completed {
                outcome: Outcome::Success,
                attempts: 1,
                output: None,
                error: None,
                emitted: vec![],
            },
        ] {
            state.apply(&late);
            assert_eq!(state, dropped);
        }
    }

    #[test]
    fn a_release_starts_counting_anew_and_keeps_what_is_done() {
        let calls = Calls { count: 3, data_hash: [7; 32] };
        let mut state = DeliveryState::default();
        state.apply(&released());
        assert_eq!(state, DeliveryState::default(), "only what is parked can be released");
        state.apply(&DeliveryRecord::Started { attempt: 1, calls });
        state.apply(&DeliveryRecord::CallDone { call: 1, output: None, emitted: vec![] });
        state.apply(&parked());
        assert_eq!((state.stage, state.attempts, state.attempted), (Stage::Parked, 3, true));
        state.apply(&released());
        assert_eq!((state.stage, state.attempts, state.calls_done), (Stage::Pending, 0, 1));
        assert_eq!(state.calls, Some(calls));
    }
}
