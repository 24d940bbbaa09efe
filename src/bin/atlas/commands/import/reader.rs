//! Reading and parsing on a thread of its own, so that decompression and JSON overlap with appending.

use atlas::event::Envelope;
use atlas::{Event, Scope};
use tokio::sync::mpsc::{Receiver, channel};

use crate::failure::{Failure, Outcome};
use crate::lines::{Input, Line, MAX_LINE_BYTES};

/// How many lines travel together, at most.
const BATCH_LINES: usize = 256;
/// From how many bytes on a batch travels, in bytes.
const BATCH_BYTES: usize = 1 << 20;
/// How many batches may wait.
const BATCHES_WAITING: usize = 4;

/// A line that was read.
pub(super) struct ParsedLine {
    /// Its number in the file, from 1.
    pub(super) number: u64,
    /// Its length in bytes.
    pub(super) bytes: usize,
    /// The event, or what is wrong with the line.
    pub(super) event: Result<(Scope, Event), String>,
}

/// What the thread sends: lines, or why it can read no further.
pub(super) type Batch = Outcome<Vec<ParsedLine>>;

/// How reading goes on after a batch.
enum After {
    More,
    End,
    Failed(Failure),
}

/// Begins to read `input`. The thread ends with the file, after an error, or when the receiver is gone.
pub(super) fn start(mut input: Input) -> Outcome<Receiver<Batch>> {
    let (sender, receiver) = channel(BATCHES_WAITING);
    std::thread::Builder::new().name("atlas-read".to_owned()).spawn(move || {
        loop {
            let (lines, after) = next_batch(&mut input);
            if !lines.is_empty() && sender.blocking_send(Ok(lines)).is_err() {
                return;
            }
            match after {
                After::More => {}
                After::End => return,
                After::Failed(failure) => {
                    // A receiver that is gone doesn't want to know.
                    let _ = sender.blocking_send(Err(failure));
                    return;
                }
            }
        }
    })?;
    Ok(receiver)
}

/// The next lines: as many as can be had without waiting, within bounds.
fn next_batch(input: &mut Input) -> (Vec<ParsedLine>, After) {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    loop {
        match input.next_line() {
            Ok(Some((number, line))) => {
                let line = parsed(number, &line);
                bytes += line.bytes;
                lines.push(line);
            }
            Ok(None) => return (lines, After::End),
            Err(failure) => return (lines, After::Failed(failure)),
        }
        if lines.len() >= BATCH_LINES || bytes >= BATCH_BYTES || !input.has_buffered_line() {
            return (lines, After::More);
        }
    }
}

fn parsed(number: u64, line: &Line) -> ParsedLine {
    match line {
        Line::Whole(bytes) => ParsedLine { number, bytes: bytes.len(), event: event_of(bytes) },
        Line::TooLong => ParsedLine { number, bytes: 0, event: Err(too_long()) },
    }
}

pub(super) fn too_long() -> String {
    format!("the line is too long; expected at most {MAX_LINE_BYTES} bytes (MAX_LINE_BYTES)")
}

fn event_of(line: &[u8]) -> Result<(Scope, Event), String> {
    let envelope = envelope_of(line)?;
    let scope = envelope.scope().map_err(|error| error.to_string())?;
    let event = envelope.to_event().map_err(|error| error.to_string())?;
    Ok((scope, event))
}

/// Reads a line as an event's envelope.
pub(super) fn envelope_of(line: &[u8]) -> Result<Envelope<'_>, String> {
    // Without this an array would be taken for the fields in their order.
    match line.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Envelope::from_json(line).map_err(|error| not_an_event(&error)),
        _ => Err(format!("the line is no JSON object; {EXPECTED}")),
    }
}

/// The longest that is said of a line whole, in characters, and to how many it is cut otherwise.
const MAX_SAID: usize = 600;
const CUT_TO: usize = 200;
const EXPECTED: &str = "expected one JSON object with type, stream, tenant, application and data";

/// What serde_json says, without the line number (it is always 1) and with what was expected.
fn not_an_event(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    // A field's name out of the line, of any length and of any characters.
    let what = match what.char_indices().nth(MAX_SAID) {
        Some(_) => what.chars().take(CUT_TO).chain(['…']).collect(),
        None => what.to_owned(),
    };
    let what = what.replace(char::is_control, "\u{fffd}");
    let expected = if what.contains("expected") { String::new() } else { format!("; {EXPECTED}") };
    match error.column() {
        0 => format!("{what}{expected}"),
        column => format!("column {column}: {what}{expected}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_says_where_it_is_bad_and_what_was_expected() {
        let message = |line: &str| event_of(line.as_bytes()).unwrap_err();
        let line = r#"{"type":"A_B_C_D_1","stream":"s","tenant":"t","application":"a","data":{}}"#;
        assert!(event_of(line.as_bytes()).is_ok());
        assert!(message("{\"type\":").contains("column 8: EOF"), "{}", message("{\"type\":"));
        assert!(message("[1]").contains("expected"), "{}", message("[1]"));
        assert!(message(&line.replace("data", "dat")).contains("unknown field `dat`, expected one of"));
        let missing = message(&line.replace("\"stream\":\"s\",", ""));
        assert!(missing.contains("missing field `stream`; expected one JSON object"), "{missing}");
        assert!(message(&line.replace("\"tenant\":\"t\",", "")).contains("tenant is missing; expected"));
        assert!(message(&line.replace("\"t\"", "\"a b\"")).contains("expected 1 to 64 characters"));
        for line in ["{\"type\":", "[1]", "", "nul", "{} {}"] {
            assert!(!message(line).contains("line 1"), "{}", message(line));
        }
    }
}
