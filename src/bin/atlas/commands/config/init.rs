//! `atlas config init`: a first tree, from a file of events or from a catalogue.

use std::path::Path;

use atlas::config::{self, ConfigError, Initialised};

use super::Init;
use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::lines::Input;
use crate::output::Output;
use crate::table::{counted, thousands};

pub(super) async fn run(arguments: &Init, dir: &Path, output: &mut Output) -> Outcome {
    match (&arguments.from, &arguments.application) {
        (Some(file), _) => of_events(arguments, file, output),
        (None, Some(application)) => {
            directory::work(dir, Opening::Existing, async |atlas| {
                let written = atlas.catalog().init(&arguments.folder, application)?;
                told(arguments, &written, format_args!("of the catalogue of {application}"), output)
            })
            .await
        }
        (None, None) => Err(Failure::Usage("expected --from FILE or --application A".to_owned())),
    }
}

fn of_events(arguments: &Init, file: &Path, output: &mut Output) -> Outcome {
    let input = Input::open(file)?;
    let name = input.name.clone();
    let written = config::init(&arguments.folder, input.into_reader()).map_err(|error| match error {
        ConfigError::Line { line, why } => Failure::at(format_args!("{name}:{line}"), why),
        other => other.into(),
    })?;
    let events = thousands(written.events);
    told(arguments, &written, format_args!("of {}, from {events} events", written.application), output)
}

fn told(arguments: &Init, written: &Initialised, source: std::fmt::Arguments<'_>, output: &mut Output) -> Outcome {
    if output.json {
        return output.json_line(written);
    }
    let folder = arguments.folder.display();
    let types = counted(written.types.len() as u64, "type", "types");
    output.line(format_args!("{folder}: a tree of {types} {source}"))?;
    output.line("nothing is handled yet; add handlers to its documents, then:")?;
    output.line(format_args!("  atlas config import {folder} --scope TENANT/{} --activate", written.application))
}
