//! `atlas state`: what a stream has come to.

use std::path::Path;
use std::str::FromStr;

use atlas::log::At;
use atlas::{Scope, Timestamp};
use serde::Serialize;

use crate::commands::stream::no_such_stream;
use crate::directory;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::table::counted;

/// Show a stream's state at any version or time
///
/// The state is the data of the stream's events, merged in order as JSON Merge Patch (RFC 7396) does. It is read from
/// the newest keyframe and the events after it.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas state bank/loans loan-1                                        now
  atlas state bank/loans loan-1 --at 7                                 at version 7
  atlas state bank/loans loan-1 --at 2011-10-01T00:39:00+02:00         as recorded at that time
  atlas state bank/loans loan-1 --at 2011-10-01T00:39:00+02:00 --occurred
  atlas --json state bank/loans loan-1 | jq .keyframe"
)]
pub(crate) struct Arguments {
    /// The stream's scope, TENANT/APPLICATION
    scope: Scope,
    /// The stream's id
    stream: String,
    /// At a version, or at a time (RFC 3339): before the first event that was recorded later
    #[arg(long, value_name = "VERSION|TIME")]
    at: Option<Moment>,
    /// With a time: before the first event that happened later, by its `time`
    #[arg(long, requires = "at")]
    occurred: bool,
    /// Read all events from the first, without keyframes
    #[arg(long)]
    no_keyframes: bool,
}

#[derive(Clone, Copy, Debug)]
enum Moment {
    Version(u64),
    Time(Timestamp),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        text.parse().map(Self::Time).map_err(|_| {
            format!("{text:?} is neither a version nor a time; expected a whole number, or RFC 3339 with an offset such as 2011-10-01T00:38:44+02:00")
        })
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    version: u64,
    state: &'a serde_json::Value,
    keyframe: Option<Keyframe>,
    events_read: u64,
}

#[derive(Serialize)]
struct Keyframe {
    version: u64,
}

pub(crate) fn run(arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    let at = match (arguments.at, arguments.occurred) {
        (None, _) => At::Now,
        (Some(Moment::Version(version)), false) => At::Version(version),
        (Some(Moment::Version(_)), true) => {
            let what = "--occurred goes with a time; expected --at TIME, such as 2011-10-01T00:38:44+02:00";
            return Err(Failure::Usage(what.to_owned()));
        }
        (Some(Moment::Time(time)), false) => At::Recorded(time.micros()),
        (Some(Moment::Time(time)), true) => At::Occurred(time.micros()),
    };
    directory::look(dir, |store| {
        let (scope, stream) = (&arguments.scope, &arguments.stream);
        let last = store.version(scope, stream)?;
        if last == 0 {
            return Err(no_such_stream(scope, stream));
        }
        if let At::Version(version) = at
            && version > last
        {
            return Err(Failure::new(format!("stream {stream:?} is at version {last}; expected --at {last} or lower")));
        }
        let state = store.state(scope, stream, at, !arguments.no_keyframes)?;
        if output.json {
            return output.json_line(&Shown {
                version: state.version,
                state: &state.state,
                keyframe: state.keyframe.map(|version| Keyframe { version }),
                events_read: state.events_read,
            });
        }
        output.json_pretty(&state.state)?;
        output.flush()?;
        let events = counted(state.events_read, "event", "events");
        let from = match state.keyframe {
            Some(version) => format!("from the keyframe at version {version} and {events} after it"),
            None => format!("from {events}, without a keyframe"),
        };
        message(format_args!("version {}, {from}", state.version));
        Ok(())
    })
}
