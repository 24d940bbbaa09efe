//! A host may change its working directory: a store that was opened by a relative path goes on where it is. A process of its
//! own, as the working directory is all threads'.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use atlas::Event;
use atlas::log::{Append, EventStore};

#[test]
fn a_host_that_changes_its_working_directory_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    let store = EventStore::open("data").unwrap();
    let append = || store.append(Append::to(&"t/a".parse().unwrap()).event(Event::new("A_B_C_D_1", "s")));
    append().unwrap();
    std::env::set_current_dir("/").unwrap();
    append().unwrap();
}
