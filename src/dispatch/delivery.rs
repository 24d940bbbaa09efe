//! What a host's function is given, and what it answers.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::prepare::envelope_json;
use super::stateful::{self, Bound, StatefulFunction, Surroundings};
use crate::config::Target;
use crate::event::{Event, Name, Scope, Timestamp};
use crate::log::RecordedEvent;

/// One call of a handler: the event and the data that the handler's `data` made of it.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub(super) event: RecordedEvent,
    pub(super) handler: Name,
    /// Of an envelope, once it has been asked for.
    pub(super) data: OnceLock<Bytes>,
    pub(super) call: u32,
    pub(super) calls: u32,
    pub(super) attempt: u32,
}

impl Delivery {
    /// The event, as stored.
    pub fn event(&self) -> &RecordedEvent {
        &self.event
    }

    /// The handler's name in the configuration tree.
    pub fn handler(&self) -> &Name {
        &self.handler
    }

    /// The data, as JSON: an output of the handler's `data`, or the whole envelope where it has none.
    pub fn json(&self) -> &[u8] {
        self.data.get_or_init(|| envelope_json(&self.event))
    }

    /// The data, as a value of your own.
    ///
    /// # Errors
    /// What serde_json says. It turns into a [`HandlerError::Fatal`] with [`HandlerError::fatal`], or with `?` into a
    /// [`HandlerError::Retry`].
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.json())
    }

    /// Which of the calls that this delivery makes it is, from 1.
    pub fn call(&self) -> u32 {
        self.call
    }

    /// How many calls this delivery makes: one for each output of the handler's `data`.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Which attempt it is, from 1; an operator's release starts anew.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The same for every attempt of this call, and for no other call: hand it to what you call, so that an attempt that
    /// is made again has its effect once.
    pub fn idempotency_key(&self) -> String {
        idempotency_key(self.event.scope(), self.event.id(), &self.handler, self.call)
    }
}

/// `<tenant>/<application>:<event id>:<handler>:<call>`.
pub(super) fn idempotency_key(scope: &Scope, event: Uuid, handler: &Name, call: u32) -> String {
    format!("{scope}:{event}:{handler}:{call}")
}

/// What a call gives: events that it sets off, and an output that is kept with the delivery.
#[derive(Debug, Default)]
pub struct Emit {
    pub(super) events: Vec<Event>,
    pub(super) timers: Vec<(When, Event)>,
    pub(super) output: Option<Result<Bytes, String>>,
}

impl Emit {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds an event. It goes to the stream that it names, or to the stream of its cause where it names none (`""`).
    /// Its scope, variant, correlation, causation and actor are those of its cause, its id follows from the
    /// [idempotency key](Delivery::idempotency_key), and its time is when the cause was recorded unless stated: so
    /// however often the call is made, the events are there once.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Sets a timer: the event comes in at a time, as if it were emitted then. What holds for an emitted event holds for
    /// it; its time is when it is due unless stated. The timer is there once the call's success is on record, and only
    /// then.
    #[must_use]
    pub fn at(mut self, due: Timestamp, event: Event) -> Self {
        self.timers.push((When::At(due), event));
        self
    }

    /// As [`at`](Self::at), a while after the call's success is recorded.
    #[must_use]
    pub fn after(mut self, wait: Duration, event: Event) -> Self {
        self.timers.push((When::After(wait), event));
        self
    }

    /// States the output, as JSON; `status` shows it. At most [`Options::max_output`](super::Options::max_output) bytes.
    #[must_use]
    pub fn output(mut self, output: impl Serialize) -> Self {
        self.output = Some(serde_json::to_vec(&output).map(Bytes::from).map_err(|error| error.to_string()));
        self
    }
}

/// When a timer is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    At(Timestamp),
    After(Duration),
}

impl From<()> for Emit {
    fn from((): ()) -> Self {
        Self::none()
    }
}

impl From<Event> for Emit {
    fn from(event: Event) -> Self {
        Self::none().event(event)
    }
}

/// A call failed. Every other error turns into [`Retry`](Self::Retry) with `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerError {
    /// It may work another time: the next attempt is made as the handler's `retry` says.
    Retry(String),
    /// As `Retry`, but not before this time has passed, whatever `retry` says; at most a year.
    RetryAfter(Duration, String),
    /// It won't work however often it is tried: no attempt is left.
    Fatal(String),
}

impl HandlerError {
    /// `error`, and that no other attempt is worth its while.
    pub fn fatal(error: impl std::error::Error) -> Self {
        Self::Fatal(chain(&error))
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(why) | Self::RetryAfter(_, why) | Self::Fatal(why) => f.write_str(why),
        }
    }
}

// Not an `Error` itself, or this conversion would overlap with `From<T> for T`; as with `anyhow::Error`.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::Retry(chain(&error))
    }
}

/// An error and all that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Errors that show their cause themselves aren't told twice.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Emit, HandlerError>> + Send>>;

/// A registered function.
#[derive(Clone)]
enum Kind {
    Plain(Function),
    Stateful(Bound),
}

/// A host's function.
pub(crate) type Function = Arc<dyn Fn(Delivery) -> Answer + Send + Sync>;

/// What a host has for handlers to call: the functions that it registered, by name, and whether it calls http.
#[derive(Clone, Default)]
pub(crate) struct Functions {
    by_name: HashMap<String, Kind>,
    pub(crate) http: bool,
}

impl Functions {
    pub(crate) fn insert<F, A, E>(&mut self, name: String, function: F)
    where
        F: Fn(Delivery) -> A + Send + Sync + 'static,
        A: Future<Output = Result<E, HandlerError>> + Send + 'static,
        E: Into<Emit>,
    {
        let boxed = move |delivery: Delivery| -> Answer {
            let answer = function(delivery);
            Box::pin(async move { answer.await.map(Into::into) })
        };
        self.by_name.insert(name, Kind::Plain(Arc::new(boxed)));
    }

    pub(crate) fn insert_stateful(&mut self, name: String, function: impl StatefulFunction) {
        let bound = stateful::bound(name.clone(), function);
        self.by_name.insert(name, Kind::Stateful(bound));
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Whether a target can be called here.
    pub(super) fn is_bound(&self, target: &Target) -> bool {
        match target {
            Target::Function(name) => self.by_name.contains_key(name),
            Target::Queue(_) => true,
            Target::Http(_) => self.http,
        }
    }

    /// A function, ready to be called.
    pub(super) fn get(&self, name: &str, surroundings: impl FnOnce() -> Surroundings) -> Option<Function> {
        Some(match self.by_name.get(name)? {
            Kind::Plain(function) => function.clone(),
            Kind::Stateful(bound) => bound(surroundings()),
        })
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_retry_that_tells_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("asking the bureau")]
        struct Asking(#[source] std::io::Error);
        let failed = || -> Result<(), HandlerError> { Err(Asking(std::io::Error::other("no route")))? };
        assert_eq!(failed(), Err(HandlerError::Retry("asking the bureau: no route".into())));
        let fatal = HandlerError::fatal(Asking(std::io::Error::other("no route")));
        assert_eq!(fatal, HandlerError::Fatal("asking the bureau: no route".into()));
    }
}
