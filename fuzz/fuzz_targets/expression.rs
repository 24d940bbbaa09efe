//! Guards and transforms: what compiles ends within its counted limits, gives JSON, and gives the same again.

#![no_main]

use arbitrary::Arbitrary;
use atlas::routing::{Expression, Input, MAX_OUTPUT_BYTES, MAX_OUTPUTS};
use libfuzzer_sys::fuzz_target;

/// What an event looks like to an expression; `$DATA` stands for the data.
const ENVELOPE: &str = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","type":"LOAN_OFFER_SENT_COMPLETE_1",
"tenant":"dutch-bank","application":"loans","stream":"loan-1","version":3,"position":17,
"time":"2011-10-01T00:38:44.546+02:00","data":$DATA}"#;
const DATA: &str = r#"{"resource":null,"amount":20000,"rate":4.25,"tags":["a","b",[1,{"c":true}]],"text":"täxt"}"#;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    expression: &'a str,
    data: Option<&'a str>,
}

fuzz_target!(|run: Run<'_>| {
    let Ok(expression) = Expression::compile(run.expression) else { return };
    let envelope = |data| Input::from_json(ENVELOPE.replace("$DATA", data).as_bytes());
    let input = run.data.and_then(|data| envelope(data).ok());
    let input = input.unwrap_or_else(|| envelope(DATA).expect("the envelope is JSON"));

    let outputs = expression.outputs(&input);
    assert_eq!(expression.outputs(&input), outputs);
    let Ok(outputs) = outputs else { return };
    assert!(outputs.len() <= MAX_OUTPUTS);
    assert!(outputs.iter().map(|output| output.len()).sum::<usize>() <= MAX_OUTPUT_BYTES);
    for output in &outputs {
        serde_json::from_slice::<serde::de::IgnoredAny>(output).expect("each output is JSON");
    }
    // NaN counts as true and is written as null, so null alone says nothing.
    if outputs.first().is_none_or(|first| &first[..] != b"null") {
        let is_true = outputs.first().is_some_and(|first| &first[..] != b"false");
        assert_eq!(expression.first_is_true(&input), Ok(is_true));
    }
});
