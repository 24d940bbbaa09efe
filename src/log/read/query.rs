//! What a read of the log is to give.

use super::Direction;
use crate::event::Scope;
use crate::log::EventRef;

/// Which events of the log, and in which order. By default all, oldest first.
///
/// ```
/// use atlas::log::Query;
/// let query = Query::new().type_prefix("LOAN_OFFER_").after(1_000);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub(super) after: Option<u64>,
    pub(super) direction: Direction,
    pub(super) scope: Option<Scope>,
    pub(super) stream: Option<String>,
    pub(super) type_prefix: String,
    pub(super) recorded_from: Option<i64>,
    pub(super) recorded_before: Option<i64>,
    /// Of a single stream: only events from this version on.
    pub(super) since_version: u64,
    /// No event after this position.
    pub(super) until: Option<u64>,
}

impl Query {
    /// All events, oldest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events past this position: greater forwards, smaller backwards.
    #[must_use]
    pub fn after(mut self, position: u64) -> Self {
        self.after = Some(position);
        self
    }

    /// Newest first.
    #[must_use]
    pub fn backward(mut self) -> Self {
        self.direction = Direction::Backward;
        self
    }

    /// Only events of a scope.
    #[must_use]
    pub fn scope(mut self, scope: &Scope) -> Self {
        self.scope = Some(scope.clone());
        self
    }

    /// Only events of streams with this id.
    #[must_use]
    pub fn stream(mut self, stream: &str) -> Self {
        self.stream = Some(stream.to_owned());
        self
    }

    /// Only events whose type begins so, such as `LOAN_OFFER_`.
    #[must_use]
    pub fn type_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.type_prefix);
        self
    }

    /// Only events recorded at or after the first and before the second, in microseconds since the Unix epoch.
    #[must_use]
    pub fn recorded(mut self, from: Option<i64>, before: Option<i64>) -> Self {
        (self.recorded_from, self.recorded_before) = (from, before);
        self
    }

    pub(crate) fn forward(mut self) -> Self {
        self.direction = Direction::Forward;
        self
    }

    pub(crate) fn since_version(mut self, version: u64) -> Self {
        self.since_version = version;
        self
    }

    /// Nothing that became durable later: `position` was the newest when the read began.
    pub(crate) fn until(mut self, position: u64) -> Self {
        self.until = Some(self.until.map_or(position, |until| until.min(position)));
        self
    }

    pub(super) fn wants_kind(&self, scope: &Scope, event_type: &str) -> bool {
        self.scope.as_ref().is_none_or(|wanted| wanted == scope) && event_type.starts_with(&self.type_prefix)
    }

    pub(super) fn wants(&self, event: &EventRef<'_>) -> bool {
        let past = self.after.is_none_or(|after| match self.direction {
            Direction::Forward => event.position() > after,
            Direction::Backward => event.position() < after,
        });
        past && self.stream.as_ref().is_none_or(|stream| stream == event.stream())
            && self.recorded_from.is_none_or(|from| event.recorded_at() >= from)
            && self.recorded_before.is_none_or(|before| event.recorded_at() < before)
    }
}
