//! `atlas config init`: a first tree from a file of events.

use atlas::config::{self, ConfigError};

use super::Init;
use crate::failure::{Failure, Outcome};
use crate::lines::Input;
use crate::output::Output;
use crate::table::{counted, thousands};

pub(super) fn run(arguments: &Init, output: &mut Output) -> Outcome {
    let input = Input::open(&arguments.from)?;
    let name = input.name.clone();
    let written = config::init(&arguments.folder, input.into_reader()).map_err(|error| match error {
        ConfigError::Line { line, why } => Failure::at(format_args!("{name}:{line}"), why),
        other => other.into(),
    })?;
    if output.json {
        return output.json_line(&written);
    }
    let folder = arguments.folder.display();
    let types = counted(written.types.len() as u64, "type", "types");
    let events = thousands(written.events);
    output.line(format_args!("{folder}: a tree of {types} of {}, from {events} events", written.application))?;
    output.line("nothing is handled yet; add handlers to its documents, then:")?;
    output.line(format_args!("  atlas config import {folder} --scope TENANT/{} --activate", written.application))
}
