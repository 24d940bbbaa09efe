//! How an event is routed and why, for people: the trees that were tried, the one that serves, its document, the plan.

use serde::Serialize;

use super::expression::Input;
use super::plan::Plan;
use super::router::{RouteError, Router};
use super::trial::Trial;
use crate::config::{Document, DocumentId, HandlerSpec};
use crate::event::{Name, Scope, TreeScope};
use crate::log::RecordedEvent;

/// Why an event has the plan it has.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The event type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The trees in the order of look-up; empty for an event that names its revision.
    pub tried: Vec<Tried>,
    /// The tree that serves.
    pub tree: TreeScope,
    /// Its revision.
    pub revision: u32,
    /// The document in it.
    pub document: DocumentId,
    /// The document's file in the tree.
    pub file: String,
    /// What the document says about the type.
    pub description: Option<String>,
    /// The handlers by weight, then by name.
    pub handlers: Vec<ExplainedHandler>,
}

/// A tree that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The tree.
    pub tree: TreeScope,
    /// Its active revision, where it has one.
    pub active: Option<u32>,
}

/// A handler of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedHandler {
    /// The handler with all defaults filled in.
    #[serde(flatten)]
    pub spec: HandlerSpec,
    /// Whether its target can be called here: a queue always can, a function where the host has it,
    /// an endpoint where http is called.
    pub bound: bool,
    /// The line of the document that it begins on, from 1.
    pub line: u32,
    /// What it does with the recorded event that is explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

impl Router {
    /// Explains how an event of `scope`, `variant` and `event_type` is routed by what is active now.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub fn explain(&self, scope: &Scope, variant: Option<&str>, event_type: &str) -> Result<Explanation, RouteError> {
        let snapshot = self.catalog().snapshot();
        let plan = self.look_up(&snapshot, scope, variant, event_type)?;
        let variant = variant.map(|variant| Name::parse("variant", variant)).transpose()?;
        let tried = |tree: TreeScope| Tried { active: snapshot.revision(&tree), tree };
        self.explanation(&plan, event_type, TreeScope::candidates(scope, variant.as_ref()).map(tried).collect())
    }

    /// Explains how a recorded event was routed by the revision that it states, with each guard's result and each
    /// transform's outputs.
    ///
    /// # Errors
    /// As [`plan_of`](Self::plan_of).
    pub fn explain_recorded(&self, event: &RecordedEvent, revision: u32) -> Result<Explanation, RouteError> {
        let plan = self.plan_of(revision, event.event_type())?;
        let mut explanation = self.explanation(&plan, event.event_type(), Vec::new())?;
        let input = Input::of(event, &plan.constants);
        for (explained, handler) in explanation.handlers.iter_mut().zip(plan.handlers.iter()) {
            explained.trial = Some(Trial::of(handler, &input));
        }
        Ok(explanation)
    }

    fn explanation(&self, plan: &Plan, event_type: &str, tried: Vec<Tried>) -> Result<Explanation, RouteError> {
        let document = self.catalog().parsed(plan.document)?;
        let lines = self.catalog().handler_lines(plan.document)?;
        let Document { description, handlers } = (*document).clone();
        let mut handlers: Vec<(HandlerSpec, u32)> = handlers.into_iter().zip(lines).collect();
        handlers.sort_by(|(a, _), (b, _)| (a.weight, &a.name).cmp(&(b.weight, &b.name)));
        let explained = |(spec, line): (HandlerSpec, u32)| ExplainedHandler {
            line,
            trial: None,
            bound: self.catalog().is_bound(&spec.target),
            spec,
        };
        Ok(Explanation {
            event_type: event_type.to_owned(),
            tried,
            tree: plan.tree.clone(),
            revision: plan.revision,
            document: plan.document,
            file: self.catalog().file_of(plan.revision, event_type)?.unwrap_or_default(),
            description,
            handlers: handlers.into_iter().map(explained).collect(),
        })
    }
}
