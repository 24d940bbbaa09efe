//! Any bytes as a packed segment, and as the pages of one whose head and CRCs are right: what they say is read, or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| atlas::log::fuzzing::packed(bytes));
