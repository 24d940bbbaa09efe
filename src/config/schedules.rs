//! `schedules.json` of a tree: events that come in by the calendar.

use std::collections::BTreeMap;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use serde::Serialize;

use super::fault::Fault;
use super::json::{Node, Source, Value};
use super::read::{array, name, object, string, vocabulary, wrong_kind};
use super::root_files::{Read, read};
use crate::event::{EventType, Name, Scope, excerpt};

const KEYS: [&str; 7] = ["cron", "time_zone", "type", "stream", "data", "missed", "scopes"];
/// The longest stream id, as the log has it by default.
const MAX_STREAM: usize = 255;

/// An event that comes in by the calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Schedule {
    /// When: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// In which time zone, by its IANA name. Default UTC.
    pub time_zone: String,
    /// The type of the event.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// Its stream.
    pub stream: String,
    /// Its data, JSON. Default `{}`.
    pub data: String,
    /// What becomes of what was due while nobody served the store.
    pub missed: Missed,
    /// Of a default tree: the scopes that it holds for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
}

/// What becomes of occurrences that were due while nobody served the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// The first of them comes in at the next open, the others don't.
    #[default]
    Once,
    /// None of them comes in.
    Skip,
}

/// The schedules of a tree, by name, and what to say of each where it can't be.
pub(super) type Schedules = BTreeMap<Name, (Schedule, Fault)>;

impl Schedule {
    fn crontab(cron: &str, time_zone: &str) -> Result<Crontab, cronexpr::Error> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::None;
        cronexpr::parse_crontab_with(&format!("{cron} {time_zone}"), options)
    }

    /// The first occurrence after a time, both in microseconds since the Unix epoch; `None` where there is none.
    pub(crate) fn next_after(&self, time: i64) -> Option<i64> {
        let crontab = Self::crontab(&self.cron, &self.time_zone).ok()?;
        let start = MakeTimestamp::from_microsecond(time).ok()?;
        Some(crontab.find_next(start).ok()?.timestamp().as_microsecond())
    }
}

/// Reads `schedules.json`: an object of names and schedules.
pub(super) fn schedules(file: &str, bytes: &[u8]) -> Read<Schedules> {
    read(file, bytes, |source, node| {
        let Value::Object(entries) = &node.value else {
            wrong_kind(source, node, "the list of schedules", "an object of names and schedules");
            return None;
        };
        let mut schedules = Schedules::new();
        for (key, node) in entries {
            let name = name(source, key.offset, "schedule", &key.text);
            let place = source.fault_at(key.offset, "", "");
            if let (Some(name), Some(schedule)) = (name, schedule(source, node)) {
                schedules.insert(name, (schedule, place));
            }
        }
        Some(schedules)
    })
}

fn schedule(source: &mut Source<'_>, node: &Node) -> Option<Schedule> {
    let entries = object(source, node, "a schedule", &KEYS)?;
    for key in ["cron", "type", "stream"] {
        if entries.get(key).is_none() {
            source.fault(node.offset, format!("the key {key:?} of a schedule is missing"), format!("{key:?}: ..."));
        }
    }
    let zone = entries.get("time_zone").and_then(|node| Some((node, string(source, node, "time_zone")?)));
    let cron = entries.get("cron").and_then(|node| Some((node, string(source, node, "cron")?)));
    let time_zone = zone.map_or("UTC", |(_, zone)| zone);
    let is_name =
        |zone: &str| zone.starts_with(|c: char| c.is_ascii_alphabetic()) && !zone.contains(char::is_whitespace);
    if let Some((zone_node, zone)) = zone
        && (!is_name(zone) || Schedule::crontab("0 0 * * *", zone).is_err())
    {
        let what = format!("unknown time zone {:?}", excerpt(zone));
        source.fault(zone_node.offset, what, "an IANA name, such as Europe/Amsterdam");
    } else if let Some((cron_node, cron)) = cron
        && cron.split_ascii_whitespace().count() != 5
    {
        let what = format!("cron has {} fields", cron.split_ascii_whitespace().count());
        source.fault(cron_node.offset, what, "five: minute, hour, day of the month, month and day of the week");
    } else if let Some((cron_node, cron)) = cron
        && let Err(error) = Schedule::crontab(cron, time_zone)
    {
        // Its last line points to the place in the text, and says what is wrong there.
        let error = error.to_string();
        let (before, why) = error.lines().last().and_then(|line| line.split_once("^ ")).unwrap_or(("", error.as_str()));
        let offset = source.inside_string(cron_node.offset, before.len().min(cron.len()));
        let what = format!("cron: {}", excerpt(why));
        source.fault(offset, what, "minute, hour, day of the month, month and day of the week");
    }
    if let Some((cron_node, cron)) = cron
        && let Ok(crontab) = Schedule::crontab(cron, time_zone)
        && MakeTimestamp::from_microsecond(0).is_ok_and(|start| crontab.find_next(start).is_err())
    {
        let what = format!("cron {:?} never occurs", excerpt(cron));
        source.fault(cron_node.offset, what, "days that there are");
    }
    let event_type = entries.get("type").and_then(|node| {
        let parsed = string(source, node, "type")?.parse::<EventType>();
        parsed.map_err(|error| vocabulary(source, node.offset, &error)).ok()
    });
    let stream = entries.get("stream").and_then(|node| {
        let text = string(source, node, "stream")?;
        if text.is_empty() || text.len() > MAX_STREAM || text.contains(char::is_control) {
            let what = format!("stream is {:?}", excerpt(text));
            source.fault(node.offset, what, "1 to 255 bytes of text without control characters");
            return None;
        }
        Some(text.to_owned())
    });
    let missed = match entries.get("missed").map(|node| (node, &node.value)) {
        None => Missed::default(),
        Some((_, Value::String(text))) if text == "once" => Missed::Once,
        Some((_, Value::String(text))) if text == "skip" => Missed::Skip,
        Some((node, _)) => {
            source.fault(node.offset, "missed is neither \"once\" nor \"skip\"", "\"once\" or \"skip\"");
            Missed::default()
        }
    };
    let mut scopes = Vec::new();
    for node in entries.get("scopes").and_then(|node| array(source, node, "scopes")).unwrap_or_default() {
        let Some(text) = string(source, node, "a scope") else { continue };
        match text.parse() {
            Ok(scope) => scopes.push(scope),
            Err(error) => vocabulary(source, node.offset, &error),
        }
    }
    let data = entries.get("data").map_or_else(|| "{}".to_owned(), |node| source.slice(node).to_owned());
    let (cron, time_zone) = (cron?.1.to_owned(), time_zone.to_owned());
    Some(Schedule { cron, time_zone, event_type: event_type?, stream: stream?, data, missed, scopes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_and_know_their_next_occurrence() {
        let text = br#"{"nightly": {"cron": "30 2 * * *", "time_zone": "Europe/Amsterdam", "type": "A_B_C_D_1",
            "stream": "nightly", "data": {"a": 1.10}, "missed": "skip"},
            "hourly": {"cron": "0 * * * *", "type": "A_B_C_D_1", "stream": "s", "scopes": ["bank/loans"]}}"#;
        let read = schedules("schedules.json", text).whole().unwrap();
        let of = |name: &str| read[&Name::parse("schedule", name).unwrap()].0.clone();
        let (nightly, hourly) = (of("nightly"), of("hourly"));
        assert_eq!(
            (nightly.data.as_str(), nightly.missed, hourly.missed),
            ("{\"a\": 1.10}", Missed::Skip, Missed::Once)
        );
        let at = |text: &str| text.parse::<crate::event::Timestamp>().unwrap().micros();
        assert_eq!(nightly.next_after(at("2026-01-01T00:00:00Z")), Some(at("2026-01-01T01:30:00Z")));
        assert_eq!(nightly.next_after(at("2026-07-01T00:00:00Z")), Some(at("2026-07-01T00:30:00Z")));
        assert_eq!(hourly.next_after(at("2026-07-01T05:00:00Z")), Some(at("2026-07-01T06:00:00Z")));
    }

    #[test]
    fn every_fault_has_its_place() {
        let text = br#"{
"a b": {}, "b": {"cron": "61 * * * *", "type": "A_B", "stream": ""},
"c": {"cron": "* * * * *", "time_zone": "Mars/Base", "type": "A_B_C_D_1", "stream": "s", "missed": 1, "scopes": ["x"]},
"d": {"corn": "* * * * *"}, "e": 5}"#;
        let faults: Vec<String> = schedules("schedules.json", text).faults.iter().map(ToString::to_string).collect();
        let all = faults.join("\n");
        for expected in [
            "2:1: schedule \"a b\" is not a name",
            "2:8: the key \"cron\" of a schedule is missing",
            "2:27: cron: value must be in range 0..=59; found 61",
            "2:48: event type \"A_B\" has 2 parts",
            "2:65: stream is \"\"",
            "3:41: unknown time zone \"Mars/Base\"",
            "3:100: missed is neither",
            "3:114: \"x\" is not a scope",
            "4:7: unknown key \"corn\" in a schedule",
            "4:34: a schedule is a number",
        ] {
            assert!(all.contains(expected), "{expected}\nnot in\n{all}");
        }
        let fault = |cron: &str, zone: &str| {
            let text =
                format!(r#"{{"a": {{"cron": "{cron}", "time_zone": "{zone}", "type": "A_B_C_D_1", "stream": "s"}}}}"#);
            schedules("f", text.as_bytes()).faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(fault("0 0 29 2 *", "Europe/Amsterdam"), "");
        for (cron, zone, expected) in [
            ("* * * * * *", "UTC", "cron has 6 fields; expected five"),
            ("0 0 30 2 *", "UTC", "cron \"0 0 30 2 *\" never occurs"),
            ("0 0 31 4,6 *", "UTC", "never occurs"),
            ("0 0 * * *", " UTC ", "unknown time zone"),
            ("0 0 * * *", "+02:00", "unknown time zone"),
        ] {
            assert!(fault(cron, zone).contains(expected), "{cron} {zone}: {}", fault(cron, zone));
        }
    }
}
