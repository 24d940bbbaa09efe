//! Lifting: an event's data as the newest version of its type has them, by the upcasts of the catalogue, one version after
//! the other. On read alone: what is recorded stays as it is.

use std::sync::Arc;

use bytes::Bytes;

use super::expression::{Expression, ExpressionError, Input};
use super::router::{RouteError, Router};
use crate::config::{Upcast, after};
use crate::event::EventType;
use crate::log::RecordedEvent;

/// An event's data as a later version of its type has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// The type, with that version.
    pub event_type: EventType,
    /// The data, JSON.
    pub data: Bytes,
}

/// What a host's upcast is: data of one version in, data of the next out.
type UpcastFn = dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync;

/// A function of the host that lifts data by one version: JSON in, JSON out, always the same for the same data.
#[derive(Clone)]
pub struct Upcaster(Arc<UpcastFn>);

impl Upcaster {
    /// An upcaster that runs `lift`.
    pub fn new(lift: impl Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lift))
    }
}

impl std::fmt::Debug for Upcaster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upcaster")
    }
}

impl Router {
    /// The event's data as the newest version of its type has them. An event whose type has no later version with an upcast
    /// is as it is.
    ///
    /// # Errors
    /// [`RouteError::Lift`] where the data aren't JSON, an upcast fails or gives other than one output, or a function is
    /// one that this host doesn't have; [`RouteError::Vocabulary`].
    pub fn lift(&self, event: &RecordedEvent) -> Result<Lifted, RouteError> {
        let snapshot = self.catalog().snapshot();
        let application = event.scope().application();
        let mut lifted = Lifted { event_type: event.event_type().parse()?, data: Bytes::copy_from_slice(event.data()) };
        while let Some(next) = after(&lifted.event_type)
            && let Some(upcast) = snapshot.upcast(application, next.as_str())
        {
            let failed = |why: String| RouteError::Lift { event: event.id(), event_type: next.clone(), why };
            if event.content_type().is_some() {
                return Err(failed("the data are not JSON".to_owned()));
            }
            let data = match upcast {
                Upcast::Jq(source) => {
                    self.lift_by(source, event, &lifted).map_err(|error| failed(error.to_string()))?.map_err(failed)?
                }
                Upcast::Function(name) => {
                    let Some(Upcaster(lift)) = self.upcaster(name) else {
                        return Err(failed(format!("this host has no upcast function {name:?}")));
                    };
                    let data = lift(&lifted.data).map_err(failed)?;
                    let json = serde_json::from_slice::<serde::de::IgnoredAny>(&data);
                    json.map_err(|error| failed(format!("function {name:?} gives no JSON: {error}")))?;
                    data.into()
                }
            };
            lifted = Lifted { event_type: next, data };
        }
        Ok(lifted)
    }

    fn lift_by(
        &self,
        source: &str,
        event: &RecordedEvent,
        from: &Lifted,
    ) -> Result<Result<Bytes, String>, ExpressionError> {
        let expression = Expression::compile(source)?;
        let input = |why: serde_json::Error| ExpressionError::Input { why: why.to_string() };
        let mut envelope = event.envelope();
        envelope.event_type = from.event_type.as_str().into();
        envelope.data = Some(serde_json::from_slice(&from.data).map_err(input)?);
        let envelope = serde_json::to_vec(&envelope).map_err(input)?;
        let mut outputs = expression.outputs(&Input::from_json(&envelope)?)?;
        Ok(match (outputs.pop(), outputs.len()) {
            (Some(data), 0) => Ok(data),
            (data, more) => Err(format!("it gives {} outputs; expected one", more + usize::from(data.is_some()))),
        })
    }
}
