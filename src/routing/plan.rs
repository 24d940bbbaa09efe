//! What a document comes to once its guards and transforms are compiled.

use std::sync::Arc;
use std::time::Duration;

use super::expression::{Constants, Expression, ExpressionError};
use crate::config::{Document, DocumentId, OutOfAttempts, Retry, Target};
use crate::event::{Name, TreeScope};

/// The handlers of an event type in a revision of a tree.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The revision; events are recorded with it.
    pub revision: u32,
    /// The tree that the revision is of.
    pub tree: TreeScope,
    /// The document.
    pub document: DocumentId,
    /// The handlers by weight, then by name: the order of first attempts.
    pub handlers: Arc<[Handler]>,
    /// What `$const` is in their guards and transforms.
    pub constants: Constants,
}

/// A handler, ready to be run.
#[derive(Clone, Debug)]
pub struct Handler {
    /// Its name.
    pub name: Name,
    /// Lower first.
    pub weight: i64,
    /// The guard; `None`: always.
    pub when: Option<Expression>,
    /// The transform; `None`: the whole envelope.
    pub data: Option<Expression>,
    /// What it calls.
    pub target: Target,
    /// When a failed attempt is made again.
    pub retry: Retry,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Whether later handlers wait for its success.
    pub stop_on_failure: bool,
    /// What becomes of a delivery that is out of attempts.
    pub out_of_attempts: OutOfAttempts,
}

/// Compiles the handlers of a document, in the order of first attempts.
pub(super) fn compile(document: &Document) -> Result<Vec<Handler>, ExpressionError> {
    let expression = |source: &Option<String>| source.as_deref().map(Expression::compile).transpose();
    let mut handlers = Vec::with_capacity(document.handlers.len());
    for spec in &document.handlers {
        handlers.push(Handler {
            name: spec.name.clone(),
            weight: spec.weight,
            when: expression(&spec.when)?,
            data: expression(&spec.data)?,
            target: spec.target.clone(),
            retry: spec.retry.clone(),
            timeout: spec.timeout,
            stop_on_failure: spec.stop_on_failure,
            out_of_attempts: spec.out_of_attempts,
        });
    }
    handlers.sort_by(|a, b| (a.weight, &a.name).cmp(&(b.weight, &b.name)));
    Ok(handlers)
}

/// About how much memory compiled handlers take, in bytes: what the cache counts.
pub(super) fn weight(handlers: &[Handler]) -> usize {
    /// Of a plan or a handler without its expressions.
    const FIXED: usize = 512;
    /// The definitions that each compiled expression carries.
    const EXPRESSION: usize = 8 << 10;
    let expression =
        |expression: &Option<Expression>| expression.as_ref().map_or(0, |e| EXPRESSION + 64 * e.source().len());
    FIXED + handlers.iter().map(|h| FIXED + expression(&h.when) + expression(&h.data)).sum::<usize>()
}
