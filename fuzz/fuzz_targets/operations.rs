//! Operations on a disk that fails, with crashes, chosen by the bytes: the simulation of the log, held against its model.

#![no_main]

use atlas::simulation::{Settings, run_choices};
use libfuzzer_sys::fuzz_target;

const SETTINGS: Settings = Settings { lives: 3, steps: 50, trace: false };

fuzz_target!(|choices: &[u8]| {
    if run_choices(choices, &SETTINGS).is_err() {
        let told = run_choices(choices, &Settings { trace: true, ..SETTINGS });
        panic!("{}", told.expect_err("the same choices again"));
    }
});
