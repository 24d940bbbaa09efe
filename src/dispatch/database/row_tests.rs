//! Rows that stand in the file and rows that aren't written yet are told as one.

use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::config::{Bindings, Catalog};
use crate::dispatch::Outcome;
use crate::dispatch::delivery::Functions;
use crate::dispatch::open_event::{LaneKey, OpenEvent, Slot};
use crate::dispatch::shelf::Shelf;
use crate::dispatch::state::Stage;
use crate::event::Name;
use crate::routing::{Router, check_expression};
use crate::storage::MemoryDisk;

fn database(max_open_events: usize) -> DispatchDatabase {
    let store = EventStore::in_memory().unwrap();
    let catalog = Catalog::open(&store, Bindings::default(), check_expression).unwrap();
    let plans = Plans { router: Router::new(catalog), functions: Arc::new(Functions::default()) };
    let options = Options { max_open_events, ..Options::default() };
    DispatchDatabase::open_on(&MemoryDisk::new(), &options, plans).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse("handler", text).unwrap()
}

fn event(position: u64) -> OpenEvent {
    OpenEvent {
        position,
        address: Address::START,
        id: Uuid::from_u128(u128::from(position)),
        scope: "bank/loans".parse().unwrap(),
        stream: "loan-1".into(),
        event_type: "A_B_C_D_1".into(),
        revision: 1,
        slots: vec![Slot::new(name("a")), Slot::new(name("b"))],
        shelved: false,
        changed: false,
    }
}

fn lane(event: &OpenEvent, handler: &str) -> LaneKey {
    LaneKey { scope: event.scope.clone(), handler: name(handler), stream: event.stream.clone() }
}

#[test]
fn a_lane_that_was_left_before_the_row_was_written_is_left() {
    let mut database = database(8);
    let mut first = event(1);
    Shelf::put(&mut database, &first).unwrap();
    Shelf::put(&mut database, &event(2)).unwrap();
    database.leave_lane(&lane(&first, "a"), 1).unwrap();
    assert_eq!(database.first_in_lane(&lane(&first, "a")).unwrap(), Some(2));
    assert_eq!(database.first_in_lane(&lane(&first, "b")).unwrap(), Some(1));
    // Put again after it was written, and removed before it is written again.
    (first.shelved, first.slots[0].state.stage) = (true, Stage::Complete(Outcome::Success));
    Shelf::put(&mut database, &first).unwrap();
    assert_eq!(database.first_in_lane(&lane(&first, "a")).unwrap(), Some(2));
    Shelf::put(&mut database, &first).unwrap();
    database.remove(&first).unwrap();
    assert_eq!(database.first_in_lane(&lane(&first, "b")).unwrap(), Some(2));
}

#[test]
fn unwritten_rows_are_bounded_and_none_is_lost() {
    let mut database = database(4);
    for position in 1..=20 {
        Shelf::put(&mut database, &event(position)).unwrap();
        let unwritten = database.unwritten.from(&event(1).scope, 0).count();
        assert!(unwritten <= 4, "{unwritten} rows aren't written");
    }
    for position in 1..=20 {
        assert_eq!(database.first_in_lane(&lane(&event(1), "a")).unwrap(), Some(position));
        database.remove(&OpenEvent { shelved: true, ..event(position) }).unwrap();
    }
    assert_eq!(database.scopes().unwrap(), []);
}
