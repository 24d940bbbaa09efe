//! Who stands in line for a start: scopes are served in turn, and of each scope its handlers in turn. So what one tenant has
//! waiting, in however many handlers, keeps no other waiting longer than its own turn.

use std::collections::VecDeque;

use hashbrown::HashMap as FastMap;

use super::super::open_event::Slot;
use crate::event::{Name, Scope};

/// Functions, http endpoints and queues have separate limits, so separate lines: calls that hang take no function's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::dispatch) enum Class {
    Function,
    Http,
    Queue,
}

impl Class {
    pub(in crate::dispatch) fn of(slot: &Slot) -> Self {
        match slot {
            Slot { queue: Some(_), .. } => Self::Queue,
            Slot { is_http: true, .. } => Self::Http,
            _ => Self::Function,
        }
    }
}

pub(super) type HandlerKey = (Scope, Name);

/// How many may run at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) per_handler: usize,
    pub(super) per_scope: usize,
}

/// The deliveries of one handler that stand in line.
#[derive(Debug, Default)]
struct Group {
    ready: VecDeque<(u64, usize)>,
    running: usize,
    in_rotation: bool,
}

/// What stands in line of one scope.
#[derive(Debug, Default)]
struct Turn {
    groups: FastMap<Name, Group>,
    /// Handlers with deliveries that may start.
    rotation: VecDeque<Name>,
    running: usize,
    in_rotation: bool,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    scopes: FastMap<Scope, Turn>,
    /// Scopes with handlers in their rotation that may start something.
    rotation: VecDeque<Scope>,
    running: usize,
    limits: Limits,
}

impl Turn {
    /// Puts a handler into the rotation, where it has something that may start.
    fn rotate(&mut self, handler: &Name, limits: Limits) {
        if let Some(group) = self.groups.get_mut(handler)
            && !group.in_rotation
            && !group.ready.is_empty()
            && group.running < limits.per_handler
        {
            group.in_rotation = true;
            self.rotation.push_back(handler.clone());
        }
    }

    fn pop(&mut self, limits: Limits) -> Option<(Name, (u64, usize))> {
        loop {
            let handler = self.rotation.pop_front()?;
            let Some(group) = self.groups.get_mut(&handler) else { continue };
            group.in_rotation = false;
            if group.running >= limits.per_handler {
                continue;
            }
            let Some(first) = group.ready.pop_front() else {
                self.tidy(&handler);
                continue;
            };
            self.rotate(&handler, limits);
            return Some((handler, first));
        }
    }

    fn tidy(&mut self, handler: &Name) {
        if self.groups.get(handler).is_some_and(|g| g.running == 0 && g.ready.is_empty() && !g.in_rotation) {
            self.groups.remove(handler);
        }
    }
}

impl Line {
    pub(super) fn new(limits: Limits) -> Self {
        Self { scopes: FastMap::new(), rotation: VecDeque::new(), running: 0, limits }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Whether nothing runs and nothing stands in line.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.rotation.is_empty()
    }

    pub(super) fn push(&mut self, (scope, handler): HandlerKey, position: u64, slot: usize) {
        let limits = self.limits;
        let turn = self.scopes.entry(scope.clone()).or_default();
        turn.groups.entry(handler.clone()).or_default().ready.push_back((position, slot));
        turn.rotate(&handler, limits);
        self.rotate(&scope);
    }

    /// The next delivery in line, with its handler. The scope goes to the end of the rotation, the handler to that of the
    /// scope's.
    pub(super) fn pop(&mut self) -> Option<(HandlerKey, u64, usize)> {
        loop {
            let scope = self.rotation.pop_front()?;
            let Some(turn) = self.scopes.get_mut(&scope) else { continue };
            turn.in_rotation = false;
            if turn.running >= self.limits.per_scope {
                continue;
            }
            match turn.pop(self.limits) {
                Some((handler, (position, slot))) => {
                    self.rotate(&scope);
                    return Some(((scope, handler), position, slot));
                }
                None => self.tidy(&scope),
            }
        }
    }

    pub(super) fn started(&mut self, (scope, handler): HandlerKey) {
        self.running += 1;
        let turn = self.scopes.entry(scope).or_default();
        turn.running += 1;
        turn.groups.entry(handler).or_default().running += 1;
    }

    pub(super) fn ended(&mut self, (scope, handler): HandlerKey) {
        self.running = self.running.saturating_sub(1);
        let limits = self.limits;
        if let Some(turn) = self.scopes.get_mut(&scope) {
            turn.running = turn.running.saturating_sub(1);
            if let Some(group) = turn.groups.get_mut(&handler) {
                group.running = group.running.saturating_sub(1);
            }
            turn.tidy(&handler);
            turn.rotate(&handler, limits);
        }
        self.tidy(&scope);
        self.rotate(&scope);
    }

    fn tidy(&mut self, scope: &Scope) {
        if self.scopes.get(scope).is_some_and(|turn| turn.groups.is_empty() && !turn.in_rotation) {
            self.scopes.remove(scope);
        }
    }

    /// Puts a scope into the rotation, where it has something that may start.
    fn rotate(&mut self, scope: &Scope) {
        if let Some(turn) = self.scopes.get_mut(scope)
            && !turn.in_rotation
            && !turn.rotation.is_empty()
            && turn.running < self.limits.per_scope
        {
            turn.in_rotation = true;
            self.rotation.push_back(scope.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scope: &str, handler: &str) -> HandlerKey {
        (scope.parse().unwrap(), Name::parse("handler", handler).unwrap())
    }

    /// Starts so many, and gives the scopes and handlers in the order in which they started.
    fn start(line: &mut Line, count: usize) -> Vec<String> {
        let mut started = Vec::new();
        while started.len() < count
            && let Some((key, ..)) = line.pop()
        {
            started.push(format!("{}/{}", key.0.tenant(), key.1));
            line.started(key);
        }
        started
    }

    #[test]
    fn scopes_are_served_in_turn_however_many_handlers_they_have() {
        let mut line = Line::new(Limits { per_handler: 9, per_scope: 9 });
        for position in 0..3 {
            for handler in ["f", "g", "h"] {
                line.push(key("flood/a", handler), position, 0);
            }
        }
        line.push(key("small/a", "f"), 9, 0);
        line.push(key("small/a", "f"), 10, 0);
        assert_eq!(start(&mut line, 5), ["flood/f", "small/f", "flood/g", "small/f", "flood/h"]);
        assert_eq!(start(&mut line, 9).len(), 6, "all that is left");
    }

    #[test]
    fn limits_hold_and_what_ends_makes_room() {
        let mut line = Line::new(Limits { per_handler: 2, per_scope: 3 });
        for position in 0..9 {
            for handler in ["f", "g"] {
                line.push(key("flood/a", handler), position, 0);
            }
        }
        assert_eq!(start(&mut line, 9), ["flood/f", "flood/g", "flood/f"], "three of the scope, two of a handler");
        line.push(key("small/a", "f"), 9, 0);
        assert_eq!(start(&mut line, 9), ["small/f"]);
        line.ended(key("flood/a", "f"));
        assert_eq!(start(&mut line, 9).len(), 1);
        for handler in ["f", "g", "f"] {
            line.ended(key("flood/a", handler));
        }
        line.ended(key("small/a", "f"));
        assert_eq!((start(&mut line, 99).len(), line.running()), (3, 3));
        assert!(!line.is_idle() && !line.scopes.contains_key(&key("small/a", "f").0), "nothing is kept of who is done");
    }
}
