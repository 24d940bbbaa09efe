//! Functions with a state of their own for each stream. The state is a fold over the events that the handler's deliveries
//! took, up to the one at hand: it follows from the log, keyframes make it quick, and working it out again has no effect.

use std::cell::RefCell;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::delivery::{Answer, Function};
use super::{Delivery, Emit, HandlerError};
use crate::event::Name;
use crate::log::{At, EventRef, EventStore, Fold, ReadError, RecordedEvent};
use crate::routing::{Input, RouteError, Router};

/// A function with a state of its own for each stream of each handler that calls it.
///
/// A tree binds it as any `function`, and the handler's `when` says which events it takes. For each of them, in the order of
/// the stream, [`evolve`](Self::evolve) takes the event into the state; then [`react`](Self::react) is called with that state,
/// as a function is: tracked, with retries, in order. The state is never lost and never ahead: it is folded from the log, of
/// which keyframes save most.
pub trait StatefulFunction: Send + Sync + 'static {
    /// The state; `Default` is that of a stream of which nothing was taken.
    type State: Serialize + DeserializeOwned + Default + Clone + Send + 'static;

    /// What tells this state and this `evolve` from others of the same name: change it with them, and states are folded anew.
    const VERSION: u32;

    /// Takes an event into the state. Runs again whenever the state is worked out, so it has no effect but that, and gives
    /// the same each time.
    fn evolve(&self, state: &mut Self::State, event: &RecordedEvent);

    /// Reacts to an event, with the state after it. Has effects; never runs on replay.
    fn react(&self, delivery: Delivery, state: Self::State) -> impl Future<Output = Result<Emit, HandlerError>> + Send;
}

/// What a state is worked out from.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) store: EventStore,
    pub(super) router: Router,
    /// Up to this position events are history without deliveries.
    pub(super) imported: u64,
    pub(super) runtime: Handle,
}

/// A function that needs surroundings to be called.
pub(super) type Bound = Arc<dyn Fn(Surroundings) -> Function + Send + Sync>;

/// A function with state as one that can be called.
pub(super) fn bound<F: StatefulFunction>(name: String, function: F) -> Bound {
    let (name, function) = (Arc::<str>::from(name), Arc::new(function));
    Arc::new(move |surroundings| {
        let (name, function) = (name.clone(), function.clone());
        Arc::new(move |delivery: Delivery| -> Answer {
            let (name, function, surroundings) = (name.clone(), function.clone(), surroundings.clone());
            Box::pin(async move {
                let (of, event, handler) = (function.clone(), delivery.event().clone(), delivery.handler().clone());
                let runtime = surroundings.runtime.clone();
                let folded = runtime.spawn_blocking(move || state(&*of, &name, &handler, &event, &surroundings)).await;
                match folded {
                    Ok(state) => function.react(delivery, state?).await,
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        // The runtime is going, and takes this with it.
                        Err(_) => std::future::pending().await,
                    },
                }
            })
        })
    })
}

/// The state of a handler's stream after an event.
fn state<F: StatefulFunction>(
    function: &F,
    name: &str,
    handler: &Name,
    event: &RecordedEvent,
    surroundings: &Surroundings,
) -> Result<F::State, HandlerError> {
    let digest = Sha256::new().chain_update(format!("{name}\0{}", F::VERSION)).finalize();
    let fingerprint = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    let fold = StateFold {
        function,
        handler,
        name: format!("handler {handler}"),
        fingerprint,
        surroundings,
        failed: RefCell::default(),
    };
    let folded = surroundings.store.fold(event.scope(), event.stream(), &fold, At::Version(event.version()), true);
    let failed = |why: String| HandlerError::Retry(format!("the state of {handler} can't be worked out: {why}"));
    if let Some(why) = fold.failed.take() {
        return Err(failed(why));
    }
    Ok(folded.map_err(|error: ReadError| failed(error.to_string()))?.state)
}

struct StateFold<'a, F> {
    function: &'a F,
    handler: &'a Name,
    name: String,
    fingerprint: u64,
    surroundings: &'a Surroundings,
    /// Why an event could not be judged: the state isn't right from there on.
    failed: RefCell<Option<String>>,
}

impl<F> StateFold<'_, F> {
    /// Whether the handler has a delivery of the event.
    fn takes(&self, event: &RecordedEvent) -> Result<bool, RouteError> {
        let Some(revision) = event.revision().filter(|_| event.position() > self.surroundings.imported) else {
            return Ok(false);
        };
        let plan = self.surroundings.router.plan_of(revision, event.event_type())?;
        let Some(handler) = plan.handlers.iter().find(|handler| handler.name == *self.handler) else {
            return Ok(false);
        };
        // A guard that fails is a delivery that fails, and takes nothing.
        Ok(match &handler.when {
            Some(when) => {
                let input = Input::of(event, &plan.constants);
                input.is_ok_and(|input| when.first_is_true(&input).unwrap_or(false))
            }
            None => true,
        })
    }
}

impl<F: StatefulFunction> Fold for StateFold<'_, F> {
    type State = F::State;

    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn start(&self) -> F::State {
        F::State::default()
    }

    fn apply(&self, state: &mut F::State, event: &EventRef<'_>) {
        if self.failed.borrow().is_some() {
            return;
        }
        let event = event.to_recorded();
        match self.takes(&event) {
            Ok(true) => self.function.evolve(state, &event),
            Ok(false) => {}
            Err(error) => *self.failed.borrow_mut() = Some(format!("event {}: {error}", event.id())),
        }
    }

    /// Nothing, which is passed over, where the state isn't right.
    fn encode(&self, state: &F::State) -> Vec<u8> {
        if self.failed.borrow().is_some() {
            return Vec::new();
        }
        serde_json::to_vec(state).unwrap_or_else(|error| {
            tracing::warn!(%error, fold = self.name, "a state can't be serialised: no keyframe is kept of it");
            Vec::new()
        })
    }

    fn decode(&self, bytes: &[u8]) -> Option<F::State> {
        serde_json::from_slice(bytes).ok()
    }
}
