//! Who stands in line for a start: deliveries by handler, the handlers served in turn.

use std::collections::VecDeque;

use hashbrown::HashMap as FastMap;

use super::super::open_event::Slot;
use crate::event::{Name, Scope};

/// Functions and queues have separate limits, so separate lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::dispatch) enum Class {
    Function,
    Queue,
}

impl Class {
    pub(in crate::dispatch) fn of(slot: &Slot) -> Self {
        if slot.queue.is_some() { Self::Queue } else { Self::Function }
    }
}

pub(super) type HandlerKey = (Scope, Name);

/// The deliveries of one handler that stand in line.
#[derive(Debug, Default)]
struct Group {
    ready: VecDeque<(u64, usize)>,
    running: usize,
    in_rotation: bool,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    groups: FastMap<HandlerKey, Group>,
    /// Handlers with deliveries that may start.
    rotation: VecDeque<HandlerKey>,
    running: usize,
    running_per_handler: usize,
}

impl Line {
    pub(super) fn new(running_per_handler: usize) -> Self {
        Self { groups: FastMap::new(), rotation: VecDeque::new(), running: 0, running_per_handler }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Whether nothing runs and nothing stands in line.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.rotation.is_empty()
    }

    pub(super) fn push(&mut self, key: HandlerKey, position: u64, slot: usize) {
        self.groups.entry(key.clone()).or_default().ready.push_back((position, slot));
        self.rotate(key);
    }

    /// The next delivery in line, with its handler. The handler goes to the end of the rotation.
    pub(super) fn pop(&mut self) -> Option<(HandlerKey, u64, usize)> {
        loop {
            let key = self.rotation.pop_front()?;
            let Some(group) = self.groups.get_mut(&key) else { continue };
            group.in_rotation = false;
            if group.running >= self.running_per_handler {
                continue;
            }
            let Some((position, slot)) = group.ready.pop_front() else {
                self.tidy(&key);
                continue;
            };
            self.rotate(key.clone());
            return Some((key, position, slot));
        }
    }

    pub(super) fn started(&mut self, key: HandlerKey) {
        self.running += 1;
        self.groups.entry(key).or_default().running += 1;
    }

    pub(super) fn ended(&mut self, key: HandlerKey) {
        self.running = self.running.saturating_sub(1);
        if let Some(group) = self.groups.get_mut(&key) {
            group.running = group.running.saturating_sub(1);
        }
        self.tidy(&key);
        self.rotate(key);
    }

    fn tidy(&mut self, key: &HandlerKey) {
        if self.groups.get(key).is_some_and(|g| g.running == 0 && g.ready.is_empty() && !g.in_rotation) {
            self.groups.remove(key);
        }
    }

    fn rotate(&mut self, key: HandlerKey) {
        if let Some(group) = self.groups.get_mut(&key)
            && !group.in_rotation
            && !group.ready.is_empty()
            && group.running < self.running_per_handler
        {
            group.in_rotation = true;
            self.rotation.push_back(key);
        }
    }
}
