//! One NDJSON line: any bytes are refused or read, and what is read comes out of its own output again.

#![no_main]

use atlas::event::{Envelope, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let Ok(envelope) = Envelope::from_json(line) else { return };
    let scope = envelope.scope();
    let checked = envelope.to_event().map(|event| event.check(&Limits::default()).map(drop));

    let again = serde_json::to_vec(&envelope).expect("what was read can be written");
    let envelope = Envelope::from_json(&again).expect("what was written can be read");
    assert_eq!(envelope.scope(), scope);
    assert_eq!(envelope.to_event().map(|event| event.check(&Limits::default()).map(drop)), checked);
    assert_eq!(serde_json::to_vec(&envelope).expect("what was read can be written"), again);
});
