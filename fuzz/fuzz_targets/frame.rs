//! Frames of the log: any bytes are a frame or say why not.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| atlas::log::fuzzing::frame(bytes));
