//! Guards and transforms: a compiled, restricted jq filter over an event's envelope.

use std::sync::Arc;

use bytes::Bytes;
use jaq_core::load::parse::Def;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars};
use jaq_json::Val;
use thiserror::Error;

use super::jq::meter::{Counted, Meter, Running};
use super::jq::rewrite::{CONSTANTS, Rewriter};
use super::jq::syntax::{self, Wrong};
use super::jq::{functions, json, stack};
use crate::config::{self, ExpressionFault};
use crate::event::excerpt;
use crate::log::RecordedEvent;

/// The most outputs that one evaluation of `data` may have.
pub const MAX_OUTPUTS: usize = 1000;
/// The most that all outputs of one evaluation may be together, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 32 << 20;
/// How much of a value that an expression met stands in its error, in bytes.
const MAX_VALUE_IN_ERROR: usize = 200;

/// What is wrong with an expression, or what went wrong in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// The text is no expression that can be run.
    #[error("expression, line {line}, column {column}: {what}; expected {expected}")]
    Invalid {
        /// The line in the expression, from 1.
        line: u32,
        /// The column in the line, in characters from 1.
        column: u32,
        /// In bytes from the start of the expression.
        offset: usize,
        /// What is wrong.
        what: String,
        /// What would be right.
        expected: String,
    },
    /// The expression fails on this event.
    #[error("expression {expression:?} fails{place}: {message}", place = at(.place))]
    Failed {
        /// The expression, or its beginning.
        expression: String,
        /// The line and column, both from 1, of the part that fails, where that can be told.
        place: Option<(u32, u32)>,
        /// What went wrong, with the value that was met.
        message: String,
    },
    /// The expression did more on this event than it may.
    #[error("expression {expression:?} goes beyond {limit} = {value}")]
    Limit {
        /// The expression, or its beginning.
        expression: String,
        /// The limit's name.
        limit: &'static str,
        /// Its value.
        value: u64,
    },
    /// The event can't be given to an expression.
    #[error("the event can't be read by an expression: {why}")]
    Input {
        /// Why.
        why: String,
    },
}

/// An event's envelope as expressions see it, read once for all expressions of its handlers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Input {
    envelope: Val,
    constants: Val,
}

/// The constants of a tree as expressions see them, `$const`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Constants {
    values: Val,
    /// About how much memory they take, in bytes.
    weight: usize,
}

impl Constants {
    /// Constants given as the text of a JSON object.
    ///
    /// # Errors
    /// [`ExpressionError::Input`] where it is no JSON, or as for [`Input::of`].
    pub fn from_json(json: &[u8]) -> Result<Self, ExpressionError> {
        let values = json::parse(json).map_err(|why| ExpressionError::Input { why })?;
        // A value takes more than its text; `{}` takes nothing worth counting.
        Ok(Self { values, weight: 8 * json.len().saturating_sub(2) })
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }
}

impl Default for Constants {
    fn default() -> Self {
        Self { values: Val::Obj(Default::default()), weight: 0 }
    }
}

impl Input {
    /// The envelope of a recorded event, beside the constants of the tree that it is routed by.
    ///
    /// # Errors
    /// [`ExpressionError::Input`] where it holds a number of more than 1,000 digits, or text with half a surrogate pair.
    pub fn of(event: &RecordedEvent, constants: &Constants) -> Result<Self, ExpressionError> {
        let json = serde_json::to_vec(&event.envelope()).map_err(|e| ExpressionError::Input { why: e.to_string() })?;
        match json::parse_valid(&json) {
            Ok(envelope) => Ok(Self { envelope, constants: constants.values.clone() }),
            Err(why) => Err(ExpressionError::Input { why }),
        }
    }

    /// An envelope given as JSON text, without constants.
    ///
    /// # Errors
    /// [`ExpressionError::Input`] where it is no JSON or as for [`of`](Self::of).
    pub fn from_json(json: &[u8]) -> Result<Self, ExpressionError> {
        match json::parse(json) {
            Ok(envelope) => Ok(Self { envelope, constants: Constants::default().values }),
            Err(why) => Err(ExpressionError::Input { why }),
        }
    }
}

#[cfg(test)]
impl Input {
    /// The same envelope beside other constants.
    pub(super) fn beside(&self, constants: &Constants) -> Self {
        Self { envelope: self.envelope.clone(), constants: constants.values.clone() }
    }
}

/// A compiled expression. Cheap to clone, and can be run by many threads at once.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    filter: Filter<Counted>,
    /// In units of `MAX_EXPRESSION_DEPTH`.
    depth: usize,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.0.source).finish()
    }
}

/// Checks an expression without keeping it: what an import needs.
///
/// # Errors
/// What is wrong with it, with its place in the text.
pub(crate) fn check_expression(source: &str, constants: Option<&config::Constants>) -> Result<(), ExpressionFault> {
    let fault = |wrong: Wrong| ExpressionFault { offset: wrong.offset, what: wrong.what, expected: wrong.expected };
    compile(source, constants).map(drop).map_err(fault)
}

/// The compiled filter, and how deep the expression is. It may use these constants; any where they aren't known.
fn compile(source: &str, constants: Option<&config::Constants>) -> Result<(Filter<Counted>, usize), Wrong> {
    let compiled = stack::run(source.len() > stack::SHORT, || compile_here(source, constants, false));
    compiled.unwrap_or_else(|| Err(Wrong::new(0, "there is no thread to compile it on", "a host that can start one")))
}

fn compile_here(
    source: &str,
    constants: Option<&config::Constants>,
    marks: bool,
) -> Result<(Filter<Counted>, usize), Wrong> {
    /// No name of an expression has a space in it.
    const MAIN: &str = "the expression";
    let arena = Arena::default();
    let (term, depth) = syntax::parse(source)?;
    let body = Rewriter { source, arena: &arena, constants, marks }.term(term)?;
    let main = Def { name: MAIN, args: Vec::new(), body };
    let definitions = functions::needed(source).into_iter().chain([main]);
    let unreadable = || Wrong::new(0, "the expression can't be compiled", "jq");
    let call = "_main";
    let entry = Def { name: call, args: Vec::new(), body: jaq_core::load::parse::Term::Call(MAIN, Vec::new()) };
    let modules = Loader::new(definitions.chain([entry]))
        .load(&arena, File { code: call, path: () })
        .map_err(|_| unreadable())?;
    let compiled = Compiler::default().with_funs(functions::filters()).with_global_vars([CONSTANTS]).compile(modules);
    let compiled = compiled.map(|filter| (filter, depth));
    compiled.map_err(|errors| match errors.into_iter().flat_map(|(_, errors)| errors).next() {
        Some((name, undefined)) => {
            let expected = match undefined.as_str() {
                "variable" => "a variable bound before with `as`",
                _ => "a name that is available",
            };
            Wrong::at(source, name, format!("the {} {name} is not defined", undefined.as_str()), expected)
        }
        None => unreadable(),
    })
}

/// A place in an expression, in words.
fn at(place: &Option<(u32, u32)>) -> String {
    place.map(|(line, column)| format!(" at line {line}, column {column}")).unwrap_or_default()
}

/// Line and column, in characters, of a byte offset; both from 1.
fn place(source: &str, offset: usize) -> (u32, u32) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// [`ExpressionError::Invalid`]: no jq, a function that is not available, an unbound variable, or an expression that
    /// is too long or nested too deep.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        match compile(source, None) {
            Ok((filter, depth)) => Ok(Self(Arc::new(Compiled { source: source.into(), filter, depth }))),
            Err(Wrong { offset, what, expected }) => {
                let (line, column) = place(source, offset);
                Err(ExpressionError::Invalid { line, column, offset, what, expected })
            }
        }
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether the first output is neither null nor false; `false` where there is no output. What `when` means.
    ///
    /// # Errors
    /// [`ExpressionError::Failed`], also where a deep expression finds no thread to run on; [`ExpressionError::Limit`].
    pub fn first_is_true(&self, envelope: &Input) -> Result<bool, ExpressionError> {
        let mut first = false;
        self.run(envelope, |value, _| {
            first = !matches!(value, Val::Null | Val::Bool(false));
            Ok(false)
        })?;
        Ok(first)
    }

    /// All outputs, each as JSON text. What `data` means.
    ///
    /// # Errors
    /// [`ExpressionError::Failed`], [`ExpressionError::Limit`]: more than [`MAX_OUTPUTS`] outputs, or more than
    /// [`MAX_OUTPUT_BYTES`].
    pub fn outputs(&self, envelope: &Input) -> Result<Vec<Bytes>, ExpressionError> {
        let mut outputs: Vec<Bytes> = Vec::new();
        let mut room = MAX_OUTPUT_BYTES;
        self.run(envelope, |value, expression| {
            if outputs.len() == MAX_OUTPUTS {
                return Err(expression.limit("MAX_OUTPUTS", MAX_OUTPUTS as u64));
            }
            let mut out = Vec::new();
            json::write(&value, &mut out, room).map_err(|error| match error {
                json::WriteError::TooLarge => expression.limit("MAX_OUTPUT_BYTES", MAX_OUTPUT_BYTES as u64),
                json::WriteError::TooDeep => {
                    expression.limit("MAX_VALUE_DEPTH", super::jq::meter::MAX_VALUE_DEPTH as u64)
                }
                json::WriteError::Key => expression.failed("an object's keys must be strings".to_owned()),
            })?;
            room = room.saturating_sub(out.len());
            outputs.push(out.into());
            Ok(true)
        })?;
        Ok(outputs)
    }

    /// Gives each output to `each` until it answers `false`.
    fn run(
        &self,
        envelope: &Input,
        each: impl FnMut(Val, &Self) -> Result<bool, ExpressionError> + Send,
    ) -> Result<(), ExpressionError> {
        let deep = self.0.depth > stack::SHALLOW;
        let ran = stack::run(deep, || self.run_counted(envelope, &Meter::new(), each));
        ran.unwrap_or_else(|| Err(self.failed("there is no thread to run it on".to_owned())))
    }

    fn run_counted(
        &self,
        envelope: &Input,
        meter: &Meter,
        mut each: impl FnMut(Val, &Self) -> Result<bool, ExpressionError>,
    ) -> Result<(), ExpressionError> {
        let lut = &self.0.filter.lut;
        let context = Ctx::<Counted>::new(Running { lut, meter }, Vars::new([envelope.constants.clone()]));
        for output in self.0.filter.id.run((context, envelope.envelope.clone())) {
            if let Some(limit) = meter.exceeded() {
                return Err(self.limit(limit.name, limit.value));
            }
            match output {
                Ok(value) => {
                    if !each(value, self)? {
                        return Ok(());
                    }
                }
                Err(exception) => {
                    let message = match exception.get_err() {
                        Ok(error) => json::bounded(&error, MAX_VALUE_IN_ERROR),
                        Err(_) => "it was ended".to_owned(),
                    };
                    let (place, expression) = (self.locate(envelope), excerpt(&self.0.source));
                    return Err(ExpressionError::Failed { expression, place, message });
                }
            }
        }
        match meter.exceeded() {
            Some(limit) => Err(self.limit(limit.name, limit.value)),
            None => Ok(()),
        }
    }

    /// Where it fails: the expression is run once more with marks around its parts, which takes longer and gives the same.
    fn locate(&self, envelope: &Input) -> Option<(u32, u32)> {
        // Marks double the nesting: what is nested deeper isn't asked for a place.
        if 2 * self.0.depth > syntax::MAX_EXPRESSION_DEPTH {
            return None;
        }
        let located = stack::run(true, || {
            let (filter, _) = compile_here(&self.0.source, None, true).ok()?;
            let meter = Meter::new();
            let running = Running { lut: &filter.lut, meter: &meter };
            let context = Ctx::<Counted>::new(running, Vars::new([envelope.constants.clone()]));
            let failed = filter.id.run((context, envelope.envelope.clone())).any(|output| output.is_err());
            meter.marked().filter(|_| failed)
        });
        Some(place(&self.0.source, located??))
    }

    fn failed(&self, message: String) -> ExpressionError {
        ExpressionError::Failed { expression: excerpt(&self.0.source), place: None, message }
    }

    fn limit(&self, limit: &'static str, value: u64) -> ExpressionError {
        ExpressionError::Limit { expression: excerpt(&self.0.source), limit, value }
    }
}

#[cfg(test)]
mod tests;
