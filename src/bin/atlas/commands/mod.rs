//! One file for each command.

pub(crate) mod cascade;
pub(crate) mod config;
pub(crate) mod deliveries;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod queue;
pub(crate) mod rebuild;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod streams;
pub(crate) mod timer;
pub(crate) mod trail;
pub(crate) mod types;
pub(crate) mod verify;
pub(crate) mod what_if;

use std::path::Path;

use crate::arguments::Command;
use crate::failure::Outcome;
use crate::output::Output;

/// Runs a command on the data directory `dir`.
pub(crate) async fn run(command: Command, dir: &Path, output: &mut Output) -> Outcome {
    match command {
        Command::Import(arguments) => import::run(arguments, dir, output).await,
        Command::Export(arguments) => export::run(&arguments, dir, output),
        Command::Streams(arguments) => streams::run(&arguments, dir, output),
        Command::Stream(arguments) => stream::run(&arguments, dir, output),
        Command::State(arguments) => state::run(&arguments, dir, output),
        Command::Get(arguments) => get::run(&arguments, dir, output).await,
        Command::Status(arguments) => status::run(arguments, dir, output).await,
        Command::Trail(arguments) => trail::run(arguments, dir, output).await,
        Command::Cascade(arguments) => cascade::run(arguments, dir, output).await,
        Command::Types(command) => types::run(command, dir, output).await,
        Command::Queue(command) => queue::run(command, dir, output).await,
        Command::Timer(command) => timer::run(command, dir, output).await,
        Command::Config(command) => config::run(command, dir, output).await,
        Command::Explain(arguments) => explain::run(arguments, dir, output).await,
        Command::WhatIf(arguments) => what_if::run(&arguments, dir, output).await,
        Command::Deliveries(arguments) => deliveries::run(arguments, dir, output).await,
        Command::Release(arguments) => deliveries::release::run(arguments, dir, output).await,
        Command::Drop(arguments) => deliveries::drop::run(arguments, dir, output).await,
        Command::Stats(arguments) => stats::run(&arguments, dir, output),
        Command::Verify(arguments) => verify::run(&arguments, dir, output),
        Command::Rebuild(arguments) => rebuild::run(&arguments, dir, output),
    }
}
