//! From scope and event type to a plan: which handlers an event has, with their guards and transforms compiled.

mod cache;
mod explain;
mod expression;
mod jq;
mod plan;
mod router;

pub use explain::{ExplainedHandler, Explanation, Tried};
pub(crate) use expression::check_expression;
pub use expression::{Expression, ExpressionError, Input, MAX_OUTPUT_BYTES, MAX_OUTPUTS};
pub use jq::json::MAX_NUMBER_DIGITS;
pub use jq::meter::{MAX_NUMBER_BITS, MAX_VALUE_DEPTH, MAX_WORK};
pub use jq::syntax::{MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_LEN};
pub use plan::{Handler, Plan};
pub use router::{MAX_CACHED_BYTES, RouteError, Router};

#[cfg(test)]
mod tests;
