//! The scheduler against a model: random events, outcomes, operators, full queues, small windows, crashes. Every start
//! is checked against the log so far, and when all is quiet each open delivery must have a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::dispatch::Outcome;
use crate::dispatch::record::Calls;
use crate::dispatch::state::DeliveryState;
use crate::log::Address;

const RELEASED: DeliveryRecord = DeliveryRecord::Released { actor: None, reason: None };

/// A shelf in memory; a clone is what a crash leaves of it.
#[derive(Clone, Debug, Default)]
struct MapShelf {
    rows: BTreeMap<(Scope, u64), OpenEvent>,
    lanes: BTreeSet<(Scope, Name, Arc<str>, u64)>,
    alarms: BTreeSet<(i64, Scope, u64)>,
}

fn lane_entry(event: &OpenEvent, slot: &Slot) -> (Scope, Name, Arc<str>, u64) {
    (event.scope.clone(), slot.handler.clone(), event.stream.clone(), event.position)
}

impl Shelf for MapShelf {
    type Error = Infallible;

    fn put(&mut self, event: &OpenEvent) -> Result<(), Infallible> {
        let mut row = event.clone();
        for slot in &mut row.slots {
            (slot.run, slot.head) = (Run::Held, false);
            let entry = lane_entry(event, slot);
            if slot.is_open() {
                self.lanes.insert(entry)
            } else {
                self.lanes.remove(&entry)
            };
        }
        self.rows.insert((event.scope.clone(), event.position), row);
        Ok(())
    }

    fn remove(&mut self, event: &OpenEvent) -> Result<(), Infallible> {
        self.rows.remove(&(event.scope.clone(), event.position));
        for slot in &event.slots {
            self.lanes.remove(&lane_entry(event, slot));
        }
        Ok(())
    }

    fn leave_lane(&mut self, lane: &LaneKey, position: u64) -> Result<(), Infallible> {
        self.lanes.remove(&(lane.scope.clone(), lane.handler.clone(), lane.stream.clone(), position));
        Ok(())
    }

    fn get(&mut self, scope: &Scope, position: u64) -> Result<Option<OpenEvent>, Infallible> {
        Ok(self.rows.get(&(scope.clone(), position)).cloned())
    }

    fn rows(&mut self, scope: &Scope, from: u64, count: usize) -> Result<Vec<OpenEvent>, Infallible> {
        let range = (scope.clone(), from)..=(scope.clone(), u64::MAX);
        Ok(self.rows.range(range).take(count).map(|(_, event)| event.clone()).collect())
    }

    fn first_in_lane(&mut self, lane: &LaneKey) -> Result<Option<u64>, Infallible> {
        let of = |position| (lane.scope.clone(), lane.handler.clone(), lane.stream.clone(), position);
        Ok(self.lanes.range(of(0)..=of(u64::MAX)).next().map(|entry| entry.3))
    }

    fn heads(
        &mut self,
        scope: &Scope,
        handler: &Name,
        after: &str,
        count: usize,
    ) -> Result<Vec<(String, u64)>, Infallible> {
        let mut heads: Vec<(String, u64)> = Vec::new();
        for (_, _, stream, position) in self.lanes.iter().filter(|e| e.0 == *scope && e.1 == *handler) {
            if &**stream > after && heads.last().is_none_or(|(last, _)| **last != **stream) {
                heads.push((stream.to_string(), *position));
            }
        }
        heads.truncate(count);
        Ok(heads)
    }

    fn set_alarm(&mut self, at: i64, scope: &Scope, position: u64) -> Result<(), Infallible> {
        self.alarms.insert((at, scope.clone(), position));
        Ok(())
    }

    fn clear_alarm(&mut self, at: i64, scope: &Scope, position: u64) -> Result<(), Infallible> {
        self.alarms.remove(&(at, scope.clone(), position));
        Ok(())
    }

    fn alarms(&mut self, now: i64, count: usize) -> Result<Vec<(i64, Scope, u64)>, Infallible> {
        Ok(self.alarms.iter().take_while(|(at, ..)| *at <= now).take(count).cloned().collect())
    }

    fn next_alarm(&mut self) -> Result<Option<i64>, Infallible> {
        Ok(self.alarms.first().map(|(at, ..)| *at))
    }

    fn scopes(&mut self) -> Result<Vec<Scope>, Infallible> {
        Ok(self.rows.keys().map(|(scope, _)| scope.clone()).collect::<BTreeSet<_>>().into_iter().collect())
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Event(OpenEvent),
    Record(Scope, u64, Name, DeliveryRecord),
}

/// What may happen. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Op {
    /// Scope, stream, and for each handler: takes part, stops on failure.
    Event(u8, u8, [(bool, bool); 4]),
    Fold(u8),
    Start,
    /// Which running attempt ends, and how.
    End(prop::sample::Index, u8),
    /// Which running attempt's function returns.
    Return(prop::sample::Index),
    Operator(prop::sample::Index, bool),
    Later(u8),
    Refill,
    Sweep,
    Acknowledge,
    Checkpoint,
    Crash,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..2u8, 0..3u8, any::<[(bool, bool); 4]>()).prop_map(|(scope, stream, parts)| Op::Event(scope, stream, parts)),
        6 => (1..5u8).prop_map(Op::Fold),
        6 => Just(Op::Start),
        6 => (any::<prop::sample::Index>(), 0..8u8).prop_map(|(which, how)| Op::End(which, how)),
        3 => any::<prop::sample::Index>().prop_map(Op::Return),
        2 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, release)| Op::Operator(which, release)),
        2 => (0..30u8).prop_map(Op::Later),
        2 => Just(Op::Refill),
        1 => Just(Op::Sweep),
        1 => Just(Op::Acknowledge),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::Crash),
    ];
    proptest::collection::vec(op, 1..200)
}

const MAX_DEPTH: usize = 2;
const BOUNDS: Bounds = Bounds { events: 6, events_per_scope: 4, running_per_handler: 2, running_per_scope: 3 };
/// By weight: a function, a queue, a function that isn't bound, an http endpoint.
const HANDLERS: [&str; 4] = ["a", "q", "unbound", "z"];

struct World {
    log: Vec<Entry>,
    folded: usize,
    lanes: Lanes<MapShelf>,
    /// What a crash goes back to: the shelf, and how much of the log it reflects.
    kept: (MapShelf, usize),
    running: Vec<Start>,
    /// Where each delivery stands by the whole log.
    truth: BTreeMap<(u64, Name), (OpenEvent, DeliveryState)>,
    acknowledged: [usize; 2],
    now: i64,
}

fn scope(number: usize) -> Scope {
    format!("t{number}/app").parse().unwrap()
}

impl World {
    fn new() -> Self {
        let mut lanes = Lanes::new(MapShelf::default(), BOUNDS, 0).unwrap();
        lanes.serve();
        Self {
            log: Vec::new(),
            folded: 0,
            lanes,
            kept: (MapShelf::default(), 0),
            running: Vec::new(),
            truth: BTreeMap::new(),
            acknowledged: [0; 2],
            now: 1,
        }
    }

    fn event_of(&self, position: u64) -> &OpenEvent {
        &self.truth.iter().find(|((at, _), _)| *at == position).unwrap().1.0
    }

    fn append(&mut self, entry: Entry) {
        match &entry {
            Entry::Event(event) => {
                for slot in &event.slots {
                    let key = (event.position, slot.handler.clone());
                    self.truth.insert(key, (event.clone(), DeliveryState::default()));
                }
            }
            Entry::Record(_, position, handler, record) => {
                self.truth.get_mut(&(*position, handler.clone())).unwrap().1.apply(record);
            }
        }
        self.log.push(entry);
    }

    fn fold_one(&mut self) -> bool {
        let Some(entry) = self.log.get(self.folded).cloned() else { return false };
        self.folded += 1;
        match entry {
            Entry::Event(event) => self.lanes.enter(event).unwrap(),
            Entry::Record(scope, position, handler, record) => {
                self.lanes.record(&scope, position, handler.as_str(), &record).unwrap();
                // One that was on its way may have ended without a message.
                if handler.as_str() == "q" {
                    self.lanes.room(&scope, &Name::parse("queue", "mail").unwrap(), 1).unwrap();
                }
            }
        }
        true
    }

    /// Messages in the queue of a scope, by the log.
    fn depth(&self, number: usize) -> usize {
        let to_queue = self.truth.iter().filter(|((_, handler), (event, state))| {
            handler.as_str() == "q" && event.scope == scope(number) && state.stage == Stage::Complete(Outcome::Success)
        });
        to_queue.count() - self.acknowledged[number]
    }

    fn on_its_way(&self, number: usize) -> usize {
        let to_queue = |start: &&Start| {
            let event = self.event_of(start.position);
            event.scope == scope(number) && event.slots[start.slot].queue.is_some()
        };
        self.running.iter().filter(to_queue).count()
    }

    fn has_room(&self, number: usize) -> bool {
        self.depth(number) + self.on_its_way(number) < MAX_DEPTH
    }

    fn earlier_open(&self, event: &OpenEvent, handler: &Name) -> bool {
        self.truth.iter().any(|((position, other), (of, state))| {
            *position < event.position
                && other == handler
                && of.scope == event.scope
                && of.stream == event.stream
                && !state.is_complete()
        })
    }

    fn start(&mut self) -> bool {
        let room = [self.has_room(0), self.has_room(1)];
        let has_room = |of: &Scope, _: &Name| room[usize::from(*of == scope(1))];
        // A full queue lets others go ahead, so they are asked again after queues.
        let mut classes = [Class::Function, Class::Http, Class::Queue, Class::Function, Class::Http].into_iter();
        let Some(start) = classes.find_map(|class| self.lanes.next(class, has_room)) else { return false };
        self.check_start(&start);
        self.running.push(start);
        true
    }

    fn check_start(&self, start: &Start) {
        let event = self.event_of(start.position);
        let slot = &event.slots[start.slot];
        let state = &self.truth[&(start.position, slot.handler.clone())].1;
        assert!(!self.running.contains(start), "started twice: {start:?}");
        assert!(slot.bound, "unbound");
        match state.stage {
            Stage::Pending | Stage::Started => {}
            Stage::Waiting(until) => assert!(until <= self.now, "started before its retry is due"),
            Stage::Parked | Stage::Complete(_) => panic!("started in {state:?}"),
        }
        let key = (&event.scope, &slot.handler);
        let beside = self.lanes.events.values().flat_map(|event| event.slots.iter().map(move |slot| (event, slot)));
        let class = Class::of(slot);
        let of_class =
            beside.filter(|(of, slot)| of.scope == *key.0 && Class::of(slot) == class && slot.run == Run::Running);
        let running: Vec<&Name> = of_class.map(|(_, slot)| &slot.handler).collect();
        let of_handler = running.iter().filter(|handler| **handler == key.1).count();
        assert!(class == Class::Queue || of_handler <= BOUNDS.running_per_handler, "more than may run of {key:?}");
        assert!(class == Class::Queue || running.len() <= BOUNDS.running_per_scope, "more than may run of {}", key.0);
        assert!(!self.earlier_open(event, &slot.handler), "order of the lane: {start:?}");
        for other in &self.running {
            let of = self.event_of(other.position);
            let same = of.scope == event.scope && of.stream == event.stream;
            assert!(!same || of.slots[other.slot].handler != slot.handler, "two run in one lane");
        }
        for before in &event.slots[..start.slot] {
            let state = &self.truth[&(event.position, before.handler.clone())].1;
            if before.stop_on_failure {
                assert_eq!(state.stage, Stage::Complete(Outcome::Success), "stop_on_failure");
            }
            let had_predecessor = self.truth.values().any(|(of, _)| {
                of.position < event.position
                    && of.scope == event.scope
                    && of.stream == event.stream
                    && of.slot_of(before.handler.as_str()).is_some()
            });
            if before.bound && before.queue.is_none() && !had_predecessor {
                assert!(state.attempted || state.is_complete(), "order of weights: {start:?}");
            }
        }
    }

    /// The records of a failure or a drop, with those of the handlers that it stops.
    fn give_up(&mut self, event: &OpenEvent, slot: usize, record: DeliveryRecord) {
        let of = |slot: &Slot, record| Entry::Record(event.scope.clone(), event.position, slot.handler.clone(), record);
        self.append(of(&event.slots[slot], record));
        if event.slots[slot].stop_on_failure {
            for later in &event.slots[slot + 1..] {
                self.append(of(later, completed(Outcome::Failure)));
            }
        }
    }

    fn end(&mut self, which: usize, how: u8) {
        let start = self.running.remove(which);
        let event = self.event_of(start.position).clone();
        let handler = event.slots[start.slot].handler.clone();
        let state = self.truth[&(start.position, handler.clone())].1.clone();
        let of = |record| Entry::Record(event.scope.clone(), event.position, handler.clone(), record);
        let attempt = state.attempts + 1;
        if event.slots[start.slot].queue.is_none() {
            self.append(of(DeliveryRecord::Started { attempt, calls: Calls { count: 1, data_hash: [0; 32] } }));
        }
        match how {
            0 => self.append(of(DeliveryRecord::Parked { attempts: attempt, error: String::new() })),
            1 => self.give_up(&event, start.slot, completed(Outcome::Failure)),
            2 | 3 if event.slots[start.slot].queue.is_none() => {
                let next_at = self.now + if how == 2 { 1_000_000 } else { 60_000_000 };
                self.append(of(DeliveryRecord::Retry { attempt, next_at, error: String::new() }));
            }
            4 if self.folded == self.log.len() && event.slots[start.slot].queue.is_some() => {
                self.lanes.give_back(start.position, start.slot);
                self.lanes.room(&event.scope, &Name::parse("queue", "mail").unwrap(), 1).unwrap();
            }
            _ => self.append(of(completed(Outcome::Success))),
        }
    }

    fn operator(&mut self, which: prop::sample::Index, release: bool) {
        while self.fold_one() {}
        let parked = |((_, handler), (event, state)): (&(u64, Name), &(OpenEvent, DeliveryState))| {
            let is_running = self
                .running
                .iter()
                .any(|start| start.position == event.position && event.slots[start.slot].handler == *handler);
            let chosen = if release { state.stage == Stage::Parked } else { !state.is_complete() && !is_running };
            chosen.then(|| (event.clone(), handler.clone()))
        };
        let parked: Vec<_> = self.truth.iter().filter_map(parked).collect();
        if parked.is_empty() {
            return;
        }
        let (event, handler) = &parked[which.index(parked.len())];
        if release {
            self.append(Entry::Record(event.scope.clone(), event.position, handler.clone(), RELEASED));
        } else {
            let slot = event.slot_of(handler.as_str()).unwrap();
            let reserved = self.lanes.reserve(&event.scope, event.position, handler.as_str()).unwrap();
            assert_ne!(reserved, Reserved::Runs);
            self.give_up(event, slot, DeliveryRecord::Dropped { actor: None, reason: String::new() });
        }
    }

    fn acknowledge(&mut self) {
        while self.fold_one() {}
        for number in 0..2 {
            if self.depth(number) > 0 {
                self.acknowledged[number] += 1;
                if self.has_room(number) {
                    let queue = Name::parse("queue", "mail").unwrap();
                    self.lanes.room(&scope(number), &queue, 1).unwrap();
                }
            }
        }
    }

    fn later(&mut self, seconds: i64) {
        self.now += seconds * 1_000_000;
        self.lanes.due(self.now).unwrap();
    }

    /// A sweep leaves no event in memory that can't go on soon, though it looks only at what it has noted.
    fn sweep(&mut self) {
        for number in 0..2 {
            self.lanes.sweep(&scope(number)).unwrap();
            let of_scope = self.lanes.events.values().filter(|event| event.scope == scope(number));
            for event in of_scope.cloned().collect::<Vec<_>>() {
                let waiting = self.lanes.waiting_slots(event.position).unwrap().len();
                let open = event.slots.iter().filter(|slot| slot.is_open()).count();
                assert!(waiting < open, "a sweep left {event:?}");
            }
        }
    }

    fn checkpoint(&mut self) {
        self.lanes.put_all().unwrap();
        self.kept = (self.lanes.shelf().clone(), self.folded);
    }

    fn crash(&mut self) {
        self.running.clear();
        let (shelf, folded) = self.kept.clone();
        self.folded = folded;
        self.lanes = Lanes::new(shelf, BOUNDS, 0).unwrap();
        while self.fold_one() {}
        self.lanes.due(self.now).unwrap();
        self.lanes.serve();
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Event(of, stream, parts) => {
                let event = self.new_event(of, stream, parts);
                if !event.slots.is_empty() {
                    self.append(Entry::Event(event));
                }
            }
            Op::Fold(count) => _ = (0..count).all(|_| self.fold_one()),
            Op::Start => _ = self.start(),
            Op::End(which, how) if !self.running.is_empty() => self.end(which.index(self.running.len()), how),
            Op::Return(which) if !self.running.is_empty() => {
                let start = &self.running[which.index(self.running.len())];
                self.lanes.function_returned(start.position, start.slot);
            }
            Op::End(..) | Op::Return(_) => {}
            Op::Operator(which, release) => self.operator(which, release),
            Op::Later(seconds) => self.later(i64::from(seconds)),
            Op::Refill => _ = self.lanes.refill(false).unwrap(),
            Op::Sweep => self.sweep(),
            Op::Acknowledge => self.acknowledge(),
            Op::Checkpoint => self.checkpoint(),
            Op::Crash => self.crash(),
        }
        assert!(self.running.is_empty() || !self.lanes.is_settled().unwrap(), "settled while something runs");
        let in_memory = self.lanes.events.len();
        // Besides the window: what came back to be served, one for each that was released, dropped or made room for.
        assert!(in_memory <= BOUNDS.events + self.truth.len() / 2 + 2, "{in_memory} events in memory");
    }

    fn new_event(&self, of: u8, stream: u8, parts: [(bool, bool); 4]) -> OpenEvent {
        let position = self.log.iter().filter(|entry| matches!(entry, Entry::Event(_))).count() as u64 + 1;
        let mut slots = Vec::new();
        for (handler, (takes_part, stops)) in HANDLERS.iter().zip(parts) {
            if takes_part {
                let mut slot = Slot::new(Name::parse("handler", handler).unwrap());
                slot.stop_on_failure = stops;
                slot.bound = *handler != "unbound";
                slot.is_http = *handler == "z";
                slot.queue = (*handler == "q").then(|| Name::parse("queue", "mail").unwrap());
                slots.push(slot);
            }
        }
        OpenEvent {
            position,
            address: Address::START,
            id: Uuid::from_u128(u128::from(position)),
            scope: scope(usize::from(of)),
            stream: format!("s{stream}").into(),
            event_type: "A_B_C_D_1".into(),
            revision: 1,
            slots,
            shelved: false,
            changed: false,
        }
    }

    /// Runs all that can run, each attempt with success.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "never settles");
            while self.fold_one() {}
            let started = self.start();
            let ended = !self.running.is_empty();
            if ended {
                self.end(0, 9);
            }
            let refilled = self.lanes.refill(!started && !ended).unwrap();
            if started || ended || refilled || self.folded < self.log.len() {
                continue;
            }
            match self.lanes.next_due().unwrap() {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.lanes.due(self.now).unwrap();
                }
                None => break,
            }
        }
        assert!(self.lanes.is_settled().unwrap(), "settled");
    }

    /// What is open has a reason of its own, or is behind something that is open; and the scheduler says the same.
    fn check_reasons(&mut self) {
        let mut by_event: BTreeMap<u64, Vec<(Name, Obstacle)>> = BTreeMap::new();
        for ((position, handler), (event, state)) in &self.truth {
            by_event.entry(*position).or_default();
            if state.is_complete() {
                continue;
            }
            let index = event.slot_of(handler.as_str()).unwrap();
            let slot = &event.slots[index];
            let number = usize::from(event.scope == scope(1));
            let held = event.slots[..index].iter().any(|before| {
                let state = &self.truth[&(*position, before.handler.clone())].1;
                before.stop_on_failure && state.stage != Stage::Complete(Outcome::Success)
            });
            let reason = match state.stage {
                Stage::Parked => Obstacle::Parked,
                Stage::Waiting(_) => panic!("a retry was forgotten: {position} {handler}"),
                _ if !slot.bound => Obstacle::Unbound,
                _ if self.earlier_open(event, handler) || held => Obstacle::Behind,
                _ if slot.queue.is_some() && !self.has_room(number) => Obstacle::QueueFull,
                _ => panic!("forgotten: {position} {handler} {state:?}"),
            };
            by_event.entry(*position).or_default().push((handler.clone(), reason));
        }
        for (position, mut expected) in by_event {
            let of = self.event_of(position).scope.clone();
            let Some(said) = self.lanes.blocked(&of, position).unwrap() else {
                panic!(
                    "event {position} is said to go on; expected {expected:?}: {:?}",
                    self.lanes.events.get(&position)
                );
            };
            let mut said: Vec<_> = said.into_iter().map(|b| (b.handler, b.obstacle)).collect();
            said.sort_by(|a, b| a.0.cmp(&b.0));
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(said, expected, "event {position}");
        }
    }
}

fn completed(outcome: Outcome) -> DeliveryRecord {
    DeliveryRecord::Completed { outcome, attempts: 1, output: None, error: None, emitted: Vec::new() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn order_weights_and_reasons_hold_whatever_happens(ops in ops()) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        world.settle();
        world.check_reasons();
        world.checkpoint();
        world.crash();
        world.settle();
        world.check_reasons();
        // Operators release all that is parked and readers empty the queues: only what is unbound may stay.
        for _ in 0..200 {
            let parked: Vec<_> = world
                .truth
                .iter()
                .filter(|(_, (_, state))| state.stage == Stage::Parked)
                .map(|((position, handler), (event, _))| (event.scope.clone(), *position, handler.clone()))
                .collect();
            for (scope, position, handler) in parked {
                world.append(Entry::Record(scope, position, handler, RELEASED));
            }
            world.acknowledge();
            world.settle();
        }
        world.check_reasons();
        for ((position, handler), (event, state)) in &world.truth {
            let before_unbound = event.slots.iter().any(|slot| slot.stop_on_failure && !slot.bound);
            let behind = world.earlier_open(event, handler);
            prop_assert!(
                state.is_complete() || handler.as_str() == "unbound" || before_unbound || behind,
                "{position} {handler} {state:?}"
            );
        }
    }
}

#[test]
fn a_sweep_finds_what_is_behind_a_delivery_that_an_operator_has_in_hand() {
    let mut world = World::new();
    let first_handler = [(true, false), (false, false), (false, false), (false, false)];
    (0..3).for_each(|_| world.apply(Op::Event(1, 1, first_handler)));
    world.apply(Op::Fold(3));
    world.apply(Op::Start);
    // The first is parked, and the second about to be dropped: the third waits for the first.
    world.end(0, 0);
    while world.fold_one() {}
    assert!(matches!(world.lanes.reserve(&scope(1), 2, "a").unwrap(), Reserved::Kept(_)));
    world.sweep();
    assert_eq!(world.lanes.events.keys().collect::<Vec<_>>(), [&2]);
}
