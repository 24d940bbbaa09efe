//! The `atlas` command line: one file for each command in `commands/`, around them what they share. Results go to
//! stdout, progress and messages to stderr; the exit code is 0 for done, 1 for refused or failed, 2 for wrong usage.

mod arguments;
mod cloudevents;
mod commands;
mod directory;
mod failure;
mod lines;
mod output;
mod panics;
mod pipeline;
mod progress;
mod sizes;
mod table;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use failure::{Failure, Outcome};
use output::Output;

const REFUSED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are results; a stdout that nobody reads is no error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG_USAGE } else { 0 });
        }
    };
    match panics::caught(|| run(arguments)) {
        Ok(()) | Err(Failure::BrokenPipe) => return ExitCode::SUCCESS,
        Err(Failure::Message(text)) => output::error(text),
        Err(Failure::Located(text)) => output::message(text),
        Err(Failure::Usage(text)) => {
            output::error(text);
            return ExitCode::from(WRONG_USAGE);
        }
        Err(Failure::Said) => {}
    }
    ExitCode::from(REFUSED)
}

fn run(arguments: Arguments) -> Outcome {
    let mut output = Output::new(arguments.json);
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let result = runtime.block_on(commands::run(arguments.command, &arguments.dir, &mut output));
    // What was found before a failure is shown all the same.
    let flushed = output.flush();
    result.and(flushed)
}
