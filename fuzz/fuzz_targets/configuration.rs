//! Configuration files: any bytes are refused with faults that have their place, or read; what is accepted reads the same
//! again, and its expressions end within their counted limits.

#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use atlas::config::{Fault, MAX_HANDLERS, fuzzing};
use atlas::routing::{Constants, Expression, Input, MAX_OUTPUT_BYTES, MAX_OUTPUTS};
use libfuzzer_sys::fuzz_target;

const ENVELOPE: &str = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","type":"LOAN_OFFER_SENT_COMPLETE_1",
"tenant":"dutch-bank","application":"loans","stream":"loan-1","version":3,"position":17,
"time":"2011-10-01T00:38:44.546+02:00","data":{"resource":null,"amount":20000,"rate":4.25,
"tags":["a","b",[1,{"c":true}]],"text":"täxt"}}"#;

#[derive(Arbitrary, Debug)]
enum File<'a> {
    Document(&'a [u8]),
    /// A document whose guard and transform are these.
    Handler {
        when: &'a str,
        data: &'a str,
        rest: &'a str,
    },
    Types(&'a [u8]),
    Queues(&'a [u8]),
    Constants(&'a [u8]),
    Tree(&'a [u8]),
    Path([&'a str; 5]),
}

fn faults(bytes: &[u8], faults: &[Fault]) {
    assert!(!faults.is_empty(), "refused, and nothing is wrong");
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    for fault in faults {
        assert_eq!(fault.file, "file");
        let line = (fault.line as usize).checked_sub(1).and_then(|line| lines.get(line));
        let line = line.unwrap_or_else(|| panic!("{fault}: no such line"));
        assert!((1..=line.chars().count() + 1).contains(&(fault.column as usize)), "{fault}: no such column");
        assert!(!fault.what.is_empty() && !fault.expected.is_empty());
        assert!(fault.what.len() + fault.expected.len() < 8 << 10, "a fault that is longer than anybody reads");
    }
}

fn run(source: &str) {
    let expression = Expression::compile(source).expect("what an import accepts compiles");
    let input = Input::from_json(ENVELOPE.as_bytes()).expect("the envelope is JSON");
    let Ok(outputs) = expression.outputs(&input) else { return };
    assert!(outputs.len() <= MAX_OUTPUTS);
    assert!(outputs.iter().map(|output| output.len()).sum::<usize>() <= MAX_OUTPUT_BYTES);
}

fn document(bytes: &[u8]) {
    let queues = fuzzing::queues("queues.json", br#"{"mail": {}, "letters": {"max_depth": 5}}"#).expect("queues");
    let functions = BTreeSet::from(["scoring.score".to_owned()]);
    for functions in [None, Some(&functions)] {
        match fuzzing::document("file", bytes, &queues, functions) {
            Err(wrong) => faults(bytes, &wrong),
            Ok(document) => {
                assert_eq!(fuzzing::imported("file", bytes).as_ref(), Ok(&document));
                assert!(document.handlers.len() <= MAX_HANDLERS);
                for handler in &document.handlers {
                    handler.when.iter().chain(&handler.data).for_each(|source| run(source));
                }
            }
        }
    }
}

fuzz_target!(|file: File<'_>| {
    match file {
        File::Document(bytes) => document(bytes),
        File::Handler { when, data, rest } => {
            let quoted = |text| serde_json::to_string(text).expect("text is JSON");
            let (when, data) = (quoted(when), quoted(data));
            let text = format!(
                "{{\"handlers\": [{{\"name\": \"h\", \"target\": {{\"queue\": \"mail\"}}, \"when\": {when},\n \
                 \"data\": {data}{rest}}}]}}"
            );
            document(text.as_bytes());
        }
        File::Types(bytes) => {
            if let Err(wrong) = fuzzing::types("file", bytes) {
                faults(bytes, &wrong);
            }
        }
        File::Constants(bytes) => match fuzzing::constants("file", bytes) {
            Ok(json) => drop(Constants::from_json(json.as_bytes())),
            Err(wrong) => faults(bytes, &wrong),
        },
        File::Queues(bytes) => {
            if let Err(wrong) = fuzzing::queues("file", bytes) {
                faults(bytes, &wrong);
            }
        }
        File::Tree(bytes) => {
            if let Err(wrong) = fuzzing::tree("file", bytes) {
                faults(bytes, &wrong);
            }
        }
        File::Path(parts) => {
            if let Ok(event_type) = fuzzing::type_of(&parts.map(str::to_owned)) {
                assert_eq!(event_type.as_str().parse(), Ok(event_type));
            }
        }
    }
});
