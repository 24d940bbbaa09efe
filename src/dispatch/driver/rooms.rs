//! How much each queue holds and is about to hold, and which messages somebody is doing something with.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap as FastMap;

use crate::config::Catalog;
use crate::dispatch::database::{Counts, Shift};
use crate::dispatch::queue_record::QueueGroup;
use crate::event::{Name, Scope};
use crate::log::Address;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Rooms(FastMap<(Scope, Name), Room>);

#[derive(Debug, Default)]
struct Room {
    groups: BTreeMap<Option<Name>, Counts>,
    /// Deliveries that are about to put something in.
    on_its_way: u64,
    /// Messages that are about to be put in from outside, of those for which room was reserved.
    reserved: u64,
    /// The limit, and the generation of the configuration that says so.
    max_depth: Option<(u64, Option<u64>)>,
    /// Messages that are held: something is about to be recorded of them.
    held: BTreeSet<(Option<Name>, Address)>,
}

impl Rooms {
    pub(super) fn new(counts: Vec<(QueueGroup, Counts)>) -> Self {
        let mut rooms = Self::default();
        for (of, counts) in counts {
            rooms.room(&of.scope, &of.queue).groups.insert(of.group, counts);
        }
        rooms
    }

    fn room(&mut self, scope: &Scope, queue: &Name) -> &mut Room {
        self.0.entry((scope.clone(), queue.clone())).or_default()
    }

    /// Changes the counts of a group. Returns what they are then.
    pub(super) fn shift(&mut self, of: &QueueGroup, by: Shift) -> Counts {
        let counts = self.room(&of.scope, &of.queue).groups.entry(of.group.clone()).or_default();
        counts.shift(by);
        *counts
    }

    /// All groups that have messages, by scope, queue and group.
    pub(super) fn counts(&self) -> BTreeMap<QueueGroup, Counts> {
        let of = |(scope, queue): &(Scope, Name), group: &Option<Name>| QueueGroup {
            scope: scope.clone(),
            queue: queue.clone(),
            group: group.clone(),
        };
        let groups = |(key, room): (_, &'_ Room)| -> Vec<_> {
            room.groups.iter().map(|(group, counts)| (of(key, group), *counts)).collect()
        };
        self.0.iter().flat_map(groups).filter(|(_, counts)| *counts != Counts::default()).collect()
    }

    /// The queues that have messages, or are about to.
    pub(super) fn in_use(&self) -> Vec<(Scope, Name)> {
        let is_in_use = |room: &Room| {
            room.on_its_way + room.reserved > 0 || room.groups.values().any(|counts| *counts != Counts::default())
        };
        self.0.iter().filter(|(_, room)| is_in_use(room)).map(|(queue, _)| queue.clone()).collect()
    }

    pub(super) fn has_messages(&self, of: &QueueGroup) -> bool {
        let room = self.0.get(&(of.scope.clone(), of.queue.clone()));
        room.and_then(|room| room.groups.get(&of.group)).is_some_and(|counts| *counts != Counts::default())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &(Scope, Name)> {
        self.0.keys()
    }

    /// Holds a message for somebody; `false` where somebody else holds it.
    pub(super) fn hold(&mut self, of: &QueueGroup, message: Address) -> bool {
        self.room(&of.scope, &of.queue).held.insert((of.group.clone(), message))
    }

    pub(super) fn let_go(&mut self, of: &QueueGroup, messages: &[Address]) {
        let room = self.room(&of.scope, &of.queue);
        for message in messages {
            room.held.remove(&(of.group.clone(), *message));
        }
    }

    /// A delivery is about to put something in.
    pub(super) fn starts(&mut self, scope: &Scope, queue: &Name) {
        self.room(scope, queue).on_its_way += 1;
    }

    /// A delivery has put something in, or won't.
    pub(super) fn ended(&mut self, scope: &Scope, queue: &Name) {
        let room = self.room(scope, queue);
        room.on_its_way = room.on_its_way.saturating_sub(1);
    }

    /// So many are about to be put in from outside.
    pub(super) fn reserve(&mut self, scope: &Scope, queue: &Name, count: u64) {
        self.room(scope, queue).reserved += count;
    }

    /// So many were put in from outside, or won't be; room for them may have been reserved.
    pub(super) fn unreserve(&mut self, scope: &Scope, queue: &Name, count: u64) {
        let room = self.room(scope, queue);
        room.reserved = room.reserved.saturating_sub(count);
    }

    /// The most that a queue may hold, as it was found when its room was last looked at.
    pub(super) fn max_depth(&mut self, scope: &Scope, queue: &Name) -> Option<u64> {
        self.room(scope, queue).max_depth.and_then(|(_, max_depth)| max_depth)
    }

    /// How many more may be put in: as many as the group has room for that holds most.
    pub(super) fn left(&mut self, scope: &Scope, queue: &Name, catalog: &Catalog) -> u64 {
        let generation = catalog.generation();
        let room = self.room(scope, queue);
        let max_depth = match room.max_depth {
            Some((of, max_depth)) if of == generation => max_depth,
            _ => catalog.queue_options(scope, queue.as_str()).and_then(|options| options.max_depth),
        };
        room.max_depth = Some((generation, max_depth));
        let depth = room.groups.values().map(|counts| counts.depth).max().unwrap_or_default();
        max_depth.map_or(u64::MAX, |max| max.saturating_sub(depth + room.on_its_way + room.reserved))
    }
}
