//! A made-up log of the same shape as a real bank's: the same 36 event types, the same fields, runs of 3 to about 100
//! events that overlap in time. The same seed gives the same log, byte for byte.

use atlas::Timestamp;
use serde_json::{Value, json};

use crate::{APPLICATION, TENANT};

/// The stream of the long run.
pub(crate) const LONG_RUN: &str = "loan-long-run";

/// 2011-10-01T00:00:00+02:00, in microseconds since the Unix epoch: when the first application comes in.
const START: i64 = 1_317_420_000_000_000;
const SECOND: i64 = 1_000_000;
const OFFSET_MINUTES: i16 = 120;

/// A kind of work: the part of the event type, and the activity as the bank calls it.
type Work = (&'static str, &'static str);
const FOLLOW_UP_LEAD: Work = ("AFHANDELENLEADS", "W_Afhandelen leads");
const ASSESS_FRAUD: Work = ("BEOORDELENFRAUDE", "W_Beoordelen fraude");
const COMPLETE_APPLICATION: Work = ("COMPLETERENAANVRAAG", "W_Completeren aanvraag");
const CALL_ABOUT_PAPERS: Work = ("NABELLENINCOMPLETEDOSSIERS", "W_Nabellen incomplete dossiers");
const CALL_ABOUT_OFFER: Work = ("NABELLENOFFERTES", "W_Nabellen offertes");
const VALIDATE: Work = ("VALIDERENAANVRAAG", "W_Valideren aanvraag");
const CHANGE_CONTRACT: Work = ("WIJZIGENCONTRACTGEGEVENS", "W_Wijzigen contractgegevens");

/// The lines of `count` loan applications, in order of time.
pub(crate) fn applications(seed: u64, count: u32) -> Vec<String> {
    let mut chance = Chance(seed);
    let mut lines = Vec::new();
    for number in 0..count {
        let start = START + i64::from(number) * 600 * SECOND;
        let mut run = Run { stream: format!("loan-{}", 200_000 + number * 3), now: start, chance: &mut chance };
        run.application(&mut lines);
    }
    lines.sort_by_key(|(time, _)| *time);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// The lines of one run of exactly `events` events, all in the stream [`LONG_RUN`].
pub(crate) fn long_run(seed: u64, events: usize) -> Vec<String> {
    let mut chance = Chance(seed);
    let mut run = Run { stream: LONG_RUN.to_owned(), now: START, chance: &mut chance };
    let mut lines = Vec::new();
    run.submit(&mut lines);
    while lines.len() < events {
        let work = if run.chance.percent(1) { VALIDATE } else { COMPLETE_APPLICATION };
        run.turn(&mut lines, work);
    }
    lines.truncate(events);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Lines with their time in microseconds.
type Lines = Vec<(i64, String)>;

/// One loan application on its way through the bank.
struct Run<'a> {
    stream: String,
    now: i64,
    chance: &'a mut Chance,
}

impl Run<'_> {
    fn application(&mut self, lines: &mut Lines) {
        self.submit(lines);
        if self.chance.percent(26) {
            return self.decide(lines, "DECLINED");
        }
        if self.chance.percent(2) {
            self.work(lines, ASSESS_FRAUD);
        }
        if self.chance.percent(36) {
            self.work(lines, FOLLOW_UP_LEAD);
            if self.chance.percent(40) {
                return self.decide(lines, "DECLINED");
            }
        }
        self.decide(lines, "PREACCEPTED");
        self.work(lines, COMPLETE_APPLICATION);
        if self.chance.percent(30) {
            let end = if self.chance.percent(50) { "CANCELLED" } else { "DECLINED" };
            return self.decide(lines, end);
        }
        self.decide(lines, "ACCEPTED");
        self.decide(lines, "FINALIZED");
        self.make_offer(lines);
        while self.chance.percent(28) {
            self.offer(lines, "CANCELLED");
            self.make_offer(lines);
        }
        self.work(lines, CALL_ABOUT_OFFER);
        if self.chance.percent(30) {
            self.offer(lines, "CANCELLED");
            return self.decide(lines, "CANCELLED");
        }
        self.offer(lines, "SENTBACK");
        self.work(lines, VALIDATE);
        if self.chance.percent(40) {
            self.work(lines, CALL_ABOUT_PAPERS);
        }
        if self.chance.percent(25) {
            self.offer(lines, "DECLINED");
            return self.decide(lines, "DECLINED");
        }
        self.offer(lines, "ACCEPTED");
        for step in ["REGISTERED", "ACTIVATED", "APPROVED"] {
            self.decide(lines, step);
        }
        if self.chance.percent(1) {
            self.work_item(lines, CHANGE_CONTRACT, "SCHEDULE");
        }
    }

    fn submit(&mut self, lines: &mut Lines) {
        // The smaller of two draws: most loans are small.
        let steps = self.chance.below(100).min(self.chance.below(100));
        let registered_at = self.wait();
        let data = json!({
            "resource": "112", "activity": "A_SUBMITTED", "lifecycle": "COMPLETE",
            "amount_requested": 1_000 + 500 * steps, "registered_at": registered_at,
        });
        self.write(lines, "LOAN_APPLICATION_SUBMITTED_COMPLETE_1", &data);
        self.decide(lines, "PARTLYSUBMITTED");
    }

    fn make_offer(&mut self, lines: &mut Lines) {
        for operation in ["SELECTED", "CREATED", "SENT"] {
            self.offer(lines, operation);
        }
    }

    /// Planned, then done in some turns.
    fn work(&mut self, lines: &mut Lines, work: Work) {
        self.work_item(lines, work, "SCHEDULE");
        self.turn(lines, work);
        while self.chance.percent(60) {
            self.turn(lines, work);
        }
    }

    fn turn(&mut self, lines: &mut Lines, work: Work) {
        self.work_item(lines, work, "START");
        self.work_item(lines, work, "COMPLETE");
    }

    fn decide(&mut self, lines: &mut Lines, operation: &str) {
        let data = self.step(&format!("A_{operation}"), "COMPLETE", false);
        self.write(lines, &format!("LOAN_APPLICATION_{operation}_COMPLETE_1"), &data);
    }

    fn offer(&mut self, lines: &mut Lines, operation: &str) {
        let activity = if operation == "SENTBACK" { "SENT_BACK" } else { operation };
        let data = self.step(&format!("O_{activity}"), "COMPLETE", false);
        self.write(lines, &format!("LOAN_OFFER_{operation}_COMPLETE_1"), &data);
    }

    fn work_item(&mut self, lines: &mut Lines, (part, activity): Work, lifecycle: &str) {
        let unowned = self.chance.percent(10);
        let data = self.step(activity, lifecycle, unowned);
        self.write(lines, &format!("LOAN_WORKITEM_{part}_{lifecycle}_1"), &data);
    }

    /// The data of one step, by some employee or (`unowned`) by nobody.
    fn step(&mut self, activity: &str, lifecycle: &str, unowned: bool) -> Value {
        self.wait();
        let employee = (10_100 + self.chance.below(60)).to_string();
        let resource = if unowned { None } else { Some(employee) };
        json!({ "resource": resource, "activity": activity, "lifecycle": lifecycle })
    }

    /// From a millisecond to three hours go by.
    fn wait(&mut self) -> Timestamp {
        self.now += SECOND / 1_000 * (1 + self.chance.below(3 * 60 * 60 * 1_000)) as i64;
        Timestamp::new(self.now, OFFSET_MINUTES)
    }

    fn write(&self, lines: &mut Lines, event_type: &str, data: &Value) {
        let time = Timestamp::new(self.now, OFFSET_MINUTES);
        let line = json!({
            "type": event_type, "stream": self.stream, "tenant": TENANT, "application": APPLICATION,
            "time": time, "data": data,
        });
        lines.push((self.now, line.to_string()));
    }
}

/// Numbers drawn from a seed: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use atlas::event::{Envelope, Limits};

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_log_and_another_seed_another() {
        assert_eq!(applications(7, 50), applications(7, 50));
        assert_ne!(applications(7, 50), applications(8, 50));
        assert_eq!(long_run(7, 500), long_run(7, 500));
    }

    #[test]
    fn every_line_is_an_event_of_the_scope_and_times_never_run_backwards() {
        let mut last = i64::MIN;
        for line in applications(1, 200) {
            let envelope = Envelope::from_json(line.as_bytes()).unwrap();
            assert_eq!(envelope.scope().unwrap().to_string(), "dutch-bank/loans");
            envelope.to_event().unwrap().check(&Limits::default()).unwrap();
            let time = envelope.time.unwrap().micros();
            assert!(time >= last, "{line}");
            last = time;
        }
    }

    #[test]
    fn the_default_log_has_every_type_of_the_tree_but_the_follow_ups() {
        let declared: Vec<serde_json::Value> = serde_json::from_str(include_str!("config/types.json")).unwrap();
        let mut declared: BTreeSet<String> =
            declared.iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect();
        assert!(declared.remove("LOAN_RISK_SCORED_COMPLETE_1"));
        assert_eq!(declared.len(), 36);
        let lines = applications(crate::DEFAULT_SEED, crate::DEFAULT_APPLICATIONS);
        let types: BTreeSet<String> =
            lines.iter().map(|line| Envelope::from_json(line.as_bytes()).unwrap().event_type.into_owned()).collect();
        assert_eq!(types, declared);
    }

    #[test]
    fn runs_are_of_three_to_some_hundred_events_and_overlap() {
        let mut lengths = BTreeMap::new();
        let mut changes = 0;
        let mut last = String::new();
        let lines = applications(1, 500);
        for line in &lines {
            let stream = Envelope::from_json(line.as_bytes()).unwrap().stream.into_owned();
            changes += usize::from(stream != last);
            *lengths.entry(stream.clone()).or_insert(0) += 1;
            last = stream;
        }
        assert_eq!(lengths.len(), 500);
        assert_eq!(lengths.values().min(), Some(&3));
        assert!(lengths.values().all(|length| *length < 200), "{lengths:?}");
        assert!(changes > lines.len() / 2, "streams follow one another instead of overlapping");
    }

    #[test]
    fn the_long_run_is_as_long_as_asked() {
        let lines = long_run(1, 1_001);
        assert_eq!(lines.len(), 1_001);
        assert!(lines.iter().all(|line| line.contains(LONG_RUN)));
    }
}
