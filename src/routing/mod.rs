//! From scope and event type to a plan: which handlers an event has, with their guards and transforms compiled.

mod admission;
mod cache;
mod explain;
mod expression;
mod jq;
mod lift;
mod plan;
mod router;
mod trial;
mod what_if;

pub use explain::{ExplainedHandler, Explanation, Tried};
pub(crate) use expression::check_expression;
pub use expression::{Constants, Expression, ExpressionError, Input, MAX_OUTPUT_BYTES, MAX_OUTPUTS};
pub use jq::json::MAX_NUMBER_DIGITS;
pub use jq::meter::{MAX_NUMBER_BITS, MAX_VALUE_DEPTH, MAX_WORK};
pub use jq::syntax::{MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_LEN};
pub use lift::{Lifted, Upcaster};
pub use plan::{Handler, Plan};
pub use router::{MAX_CACHED_BYTES, RouteError, Router};
pub use trial::Trial;
pub use what_if::{
    Against, Attempted, Compared, Counts, Differing, DifferingHandler, MAX_THREADS, WhatIf, WhatIfOutcome,
};

#[cfg(test)]
mod tests;
