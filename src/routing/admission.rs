//! Whether an event may come in: it has a plan, and its data follow the schema of its type where that has one. Whether a
//! message may enter its queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::plan::Plan;
use super::router::{RouteError, Router};
use crate::config::{SchemaRef, Validator, Violation};
use crate::event::{Event, Scope};

impl Router {
    /// As [`route`](Self::route), and holds the event's data against the schema of its type.
    ///
    /// # Errors
    /// As [`route`](Self::route), and [`RouteError::Schema`].
    pub fn admit(&self, scope: &Scope, event: &Event) -> Result<Arc<Plan>, RouteError> {
        loop {
            let snapshot = self.catalog().snapshot();
            let plan = self.route(scope, event.stated_variant(), event.event_type())?;
            // Plan and schema must be of one moment; an activation in between is rare.
            if self.catalog().generation() == snapshot.generation() {
                if let Some(schema) = snapshot.schema(scope.application(), event.event_type()) {
                    self.check_data(schema, event)?;
                }
                return Ok(plan);
            }
        }
    }

    fn check_data(&self, schema: &SchemaRef, event: &Event) -> Result<(), RouteError> {
        let refused = |violation| RouteError::Schema { event_type: event.event_type().to_owned(), violation };
        // Data that can't be serialised are the append's to refuse.
        let Ok(data) = &event.data else { return Ok(()) };
        if let Some(content_type) = &data.content_type {
            let found = format!("the data are {content_type}, not JSON");
            return Err(refused(Violation { path: String::new(), rule: String::new(), found }));
        }
        validate(&*self.validator(schema)?, &data.bytes).map_err(refused)
    }

    /// Whether a message follows the schema of its queue.
    pub(crate) fn check_message(
        &self,
        schema: &SchemaRef,
        message: &[u8],
    ) -> Result<Result<(), Violation>, RouteError> {
        Ok(validate(&*self.validator(schema)?, message))
    }

    fn validator(&self, schema: &SchemaRef) -> Result<Arc<Validator>, RouteError> {
        if let Some(validator) = self.validators().read().peek(schema) {
            return Ok(validator.clone());
        }
        if let Some(validator) = self.validators().write().get(schema) {
            return Ok(validator);
        }
        let validator = Arc::new(self.catalog().validator(schema)?);
        self.validators().write().insert(schema.clone(), validator.clone(), validator.size());
        Ok(validator)
    }
}

/// A panic of the validator is a violation: it must take nobody with it, now and whenever the data are looked at again.
fn validate(validator: &Validator, data: &[u8]) -> Result<(), Violation> {
    catch_unwind(AssertUnwindSafe(|| validator.validate(data))).unwrap_or_else(|_| {
        let found = "holding them against the schema panicked".to_owned();
        Err(Violation { path: String::new(), rule: String::new(), found })
    })
}
