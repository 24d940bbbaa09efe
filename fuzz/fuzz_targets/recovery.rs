//! A store whose files were damaged: an open says what is wrong, or gives a store of which all that is read is what was
//! written. Opening again gives the same. With CRCs made right after the damage, anything may be read, but nothing
//! panics or goes on for ever.

#![no_main]

use arbitrary::Arbitrary;
use atlas::EventStore;
use atlas::log::OpenError;
use atlas_fuzz::damage::{Damage, is_another_store, mend};
use atlas_fuzz::reads::{everything, said};
use atlas_fuzz::stores::{disk, environment, files, options, templates};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    template: u8,
    mended: bool,
    /// Only segments, or any file.
    segments_only: bool,
    damages: Vec<Damage>,
}

fuzz_target!(|input: Input| {
    let template = &templates()[input.template as usize % templates().len()];
    let mut damaged = template.files.clone();
    let wanted = |name: &str| !input.segments_only || name.ends_with(".seg");
    for damage in input.damages.iter().take(8) {
        damage.apply(&mut damaged, &wanted);
    }
    if input.mended {
        mend(&mut damaged);
    }
    let expected = (!input.mended && !is_another_store(template, &damaged)).then_some(template);

    let looked_at = disk(&damaged);
    if let Ok(store) = atlas::log::fuzzing::open_read_only(environment(&looked_at, 9), options()) {
        everything(&store, expected, &template.ids);
    }
    assert_eq!(files(&looked_at), damaged, "a look writes nothing");

    let opened = disk(&damaged);
    let open = || EventStore::open_with(environment(&opened, 9), options());
    let first = match open() {
        Ok(store) => everything(&store, expected, &template.ids),
        Err(error) => {
            said(&error);
            if matches!(error, OpenError::Corrupt { .. }) {
                for (name, bytes) in files(&opened).iter().filter(|(name, _)| name.ends_with(".seg")) {
                    assert_eq!(damaged.get(name), Some(bytes), "damage was reported, and {name} is changed");
                }
            }
            assert!(open().is_err(), "it could not be opened, and now it can");
            return;
        }
    };
    let lock_is_whole = damaged.get("LOCK") == template.files.get("LOCK");
    if expected.is_some() && lock_is_whole && first.failed == 0 {
        assert!(first.events.len() >= template.durable, "{} of {} are lost", first.events.len(), template.durable);
    }
    match open() {
        Ok(store) => {
            let second = everything(&store, expected, &template.ids);
            if expected.is_some() && first.failed == 0 {
                assert_eq!(second.events, first.events, "recovered twice");
            }
        }
        Err(error) => assert!(first.failed > 0 || expected.is_none(), "it could be opened, and now: {error}"),
    }
});
