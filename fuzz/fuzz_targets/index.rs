//! Damaged `.idx` and `.dir` files beside good segments: each answer is right or says what is damaged, and once the store
//! was closed they are made anew. With CRCs made right after the damage, nothing panics or goes on for ever.

#![no_main]

use arbitrary::Arbitrary;
use atlas::EventStore;
use atlas_fuzz::damage::{Damage, mend};
use atlas_fuzz::reads::{everything, said};
use atlas_fuzz::stores::{disk, environment, files, options, templates};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    template: u8,
    mended: bool,
    damages: Vec<Damage>,
}

/// Each round finds a damaged block of a file at least: more rounds than files mean that it never ends.
const ROUNDS: usize = 12;

fuzz_target!(|input: Input| {
    let template = &templates()[input.template as usize % templates().len()];
    let mut damaged = template.files.clone();
    for damage in input.damages.iter().take(8) {
        damage.apply(&mut damaged, &|name: &str| name.ends_with(".idx") || name.ends_with(".dir"));
    }
    if input.mended {
        mend(&mut damaged);
    }
    let expected = (!input.mended).then_some(template);
    let looked_at = disk(&damaged);
    match atlas::log::fuzzing::open_read_only(environment(&looked_at, 9), options()) {
        Ok(store) => drop(everything(&store, expected, &template.ids)),
        Err(error) => drop(said(&error)),
    }
    assert_eq!(files(&looked_at), damaged, "a look writes nothing");

    let opened = disk(&damaged);
    for round in 0..ROUNDS {
        let store = match EventStore::open_with(environment(&opened, 9), options()) {
            Ok(store) => store,
            Err(error) => {
                assert!(expected.is_none(), "round {round}: {}", said(&error));
                return;
            }
        };
        let outcome = everything(&store, expected, &template.ids);
        let closed = store.close();
        if expected.is_none() {
            return;
        }
        assert!(closed.is_ok(), "round {round}: {closed:?}");
        if outcome.failed == 0 {
            assert_eq!(outcome.events, template.events);
            return;
        }
    }
    panic!("a damaged index is not made anew");
});
