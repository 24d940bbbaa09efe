//! A first tree, from a file of events or from a catalogue: a document that handles nothing for each type, to be filled in by
//! hand.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::Path;

use super::catalog::Catalog;
use super::fault::ConfigError;
use super::tree::canonical_path;
use crate::event::{Envelope, EventType, Name, excerpt};

/// The longest line that is read, in bytes: the largest event with room for escapes and envelope.
const MAX_LINE: u64 = 64 << 20;

/// The longest that is said of a line whole, in bytes.
const MAX_SAID: usize = 600;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Initialised {
    /// The application of all events.
    pub application: Name,
    /// How many events were read; 0 for a catalogue.
    pub events: u64,
    /// The types that have a document now.
    pub types: Vec<EventType>,
}

/// Writes a first tree into the folder `dir`, which must be empty or new: `types.json`, and for each event type in
/// `lines` (NDJSON) a document with no handlers. Nothing is written where a line can't be used.
///
/// # Errors
/// [`ConfigError::Line`]: a line that is no event, has no application, or has another application than those before;
/// also a file without any event. [`ConfigError::NotEmpty`], [`ConfigError::Io`].
pub fn init(dir: &Path, lines: impl BufRead) -> Result<Initialised, ConfigError> {
    check_empty(dir)?;
    let (application, events, types) = scan(lines)?;
    write_documents(dir, &types)?;
    let list: Vec<String> = types.iter().map(|event_type| format!("  \"{event_type}\"")).collect();
    let file = dir.join("types.json");
    std::fs::write(&file, format!("[\n{}\n]\n", list.join(",\n"))).map_err(ConfigError::io(&file))?;
    Ok(Initialised { application, events, types: types.into_iter().collect() })
}

impl Catalog {
    /// Writes a first tree into the folder `dir`, which must be empty or new: for each type of the application's catalogue that
    /// isn't retired a document with no handlers. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::NoTypes`], [`ConfigError::NotEmpty`], [`ConfigError::Io`], or an error of the store.
    pub fn init(&self, dir: &Path, application: &Name) -> Result<Initialised, ConfigError> {
        check_empty(dir)?;
        let known = self.types_list(application)?.into_iter().filter(|known| known.retired_at.is_none());
        let types: BTreeSet<EventType> = known.map(|known| known.declaration.event_type).collect();
        if types.is_empty() {
            return Err(ConfigError::NoTypes { application: application.clone() });
        }
        write_documents(dir, &types)?;
        Ok(Initialised { application: application.clone(), events: 0, types: types.into_iter().collect() })
    }
}

fn write_documents(dir: &Path, types: &BTreeSet<EventType>) -> Result<(), ConfigError> {
    for event_type in types {
        let file = dir.join(canonical_path(event_type));
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(ConfigError::io(folder))?;
        }
        std::fs::write(&file, "{\n  \"handlers\": []\n}\n").map_err(ConfigError::io(&file))?;
    }
    Ok(())
}

/// Refuses a folder to write a tree into that has something in it. One that isn't there is made later.
pub(super) fn check_empty(dir: &Path) -> Result<(), ConfigError> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(ConfigError::NotEmpty { path: dir.to_owned() }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ConfigError::io(dir)(error)),
    }
}

fn scan(mut lines: impl BufRead) -> Result<(Name, u64, BTreeSet<EventType>), ConfigError> {
    let (mut application, mut types) = (None::<Name>, BTreeSet::<EventType>::new());
    let (mut number, mut events, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        number += 1;
        let bad = |why: String| ConfigError::Line { line: number, why };
        let read = std::io::Read::take(&mut lines, MAX_LINE).read_until(b'\n', &mut line);
        match read {
            Ok(0) => break,
            Ok(length) if length as u64 == MAX_LINE => {
                return Err(bad(format!("the line is longer than MAX_LINE = {MAX_LINE} bytes")));
            }
            Ok(_) => {}
            Err(error) => return Err(bad(error.to_string())),
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if line.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(bad("the line is no JSON object; expected one event in JSON".to_owned()));
        }
        let event = Envelope::from_json(&line).map_err(|error| {
            let text = error.to_string();
            // A field's name out of the line may be of any length.
            let what = if text.len() > MAX_SAID { excerpt(&text) } else { text };
            bad(format!("{what}; expected one event in JSON"))
        })?;
        let scope = event.scope().map_err(|error| bad(error.to_string()))?;
        match &application {
            None => application = Some(scope.application().clone()),
            Some(known) if known == scope.application() => {}
            Some(known) => {
                let why =
                    format!("the application is {}; expected {known}, as in the lines before", scope.application());
                return Err(bad(why));
            }
        }
        if !types.contains(event.event_type.as_ref()) {
            types.insert(
                event.event_type.parse().map_err(|error: crate::event::VocabularyError| bad(error.to_string()))?,
            );
        }
        events += 1;
    }
    let none = || ConfigError::Line { line: number, why: "there are no events; expected at least one".to_owned() };
    Ok((application.ok_or_else(none)?, events, types))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree;

    fn line(application: &str, event_type: &str) -> String {
        format!(
            "{{\"type\":\"{event_type}\",\"stream\":\"s\",\"tenant\":\"t\",\"application\":\"{application}\",\"data\":{{}}}}\n"
        )
    }

    #[test]
    fn what_is_written_is_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let lines = line("loans", "LOAN_OFFER_SENT_COMPLETE_1") + "\n" + &line("loans", "LOAN_OFFER_SENT_COMPLETE_2");
        let written = init(&dir.path().join("new"), lines.as_bytes()).unwrap();
        assert_eq!((written.events, written.types.len(), written.application.as_str()), (2, 2, "loans"));
        assert!(dir.path().join("new/1/loan/offer/sent/complete.json").is_file());
        let tree = tree::read(&dir.path().join("new"), tree::ALONE).unwrap();
        assert_eq!(tree.documents.keys().cloned().collect::<Vec<_>>(), written.types);
        assert_eq!(tree.declarations.types.len(), 2);
        let again = init(&dir.path().join("new"), lines.as_bytes()).unwrap_err();
        assert!(matches!(again, ConfigError::NotEmpty { .. }));
    }

    #[test]
    fn nothing_is_written_where_a_line_is_bad() {
        let dir = tempfile::tempdir().unwrap();
        let good = line("loans", "LOAN_OFFER_SENT_COMPLETE_1");
        for (lines, expected) in [
            (
                good.clone() + &line("cards", "LOAN_OFFER_SENT_COMPLETE_1"),
                "line 2: the application is cards; expected loans",
            ),
            (good.clone() + "{", "line 2: EOF"),
            (good.clone() + "[1]", "line 2: the line is no JSON object; expected one event"),
            (
                good.clone() + &line("loans", "LOAN_OFFER_SENT_1"),
                "line 2: event type \"LOAN_OFFER_SENT_1\" has 4 parts",
            ),
            (line("", "LOAN_OFFER_SENT_COMPLETE_1"), "line 1: the field application is missing"),
            (String::new(), "there are no events"),
        ] {
            let error = init(dir.path(), lines.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
