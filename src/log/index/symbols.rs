//! What symbol numbers stand for.

use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashMap as FastMap;

use crate::event::Scope;

/// What a symbol number stands for.
#[derive(Clone, Debug)]
pub(crate) enum Symbol {
    Scope(Arc<Scope>),
    Type(ByteString),
    /// Index into [`MemoryIndex::streams`](super::MemoryIndex::streams).
    Stream(u32),
}

/// Symbols by number: those named from some number on, without gaps, in a list; any others in a table.
#[derive(Clone, Debug)]
pub(crate) struct Symbols {
    first: u32,
    list: Vec<Symbol>,
    others: FastMap<u32, Symbol>,
}

impl Symbols {
    /// None yet; those that are named next are numbered from `first` on.
    pub(super) fn from(first: u32) -> Self {
        Self { first, list: Vec::new(), others: FastMap::new() }
    }

    fn place(&self, number: u32) -> Option<usize> {
        number.checked_sub(self.first).map(|place| place as usize)
    }

    /// What a number stands for.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Symbol> {
        let listed = self.place(number).and_then(|place| self.list.get(place));
        listed.or_else(|| self.others.get(&number))
    }

    /// Whether a number stands for anything.
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.get(number).is_some()
    }

    /// States what a number stands for.
    pub(super) fn insert(&mut self, number: u32, symbol: Symbol) {
        match self.place(number) {
            Some(place) if place == self.list.len() => self.list.push(symbol),
            Some(place) if place < self.list.len() => {
                if let Some(listed) = self.list.get_mut(place) {
                    *listed = symbol;
                }
            }
            _ => drop(self.others.insert(number, symbol)),
        }
    }

    /// As [`insert`](Self::insert), where it doesn't stand for anything yet.
    pub(super) fn insert_new(&mut self, number: u32, symbol: Symbol) {
        if !self.contains(number) {
            self.insert(number, symbol);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_found_in_whatever_order_they_are_stated() {
        let mut symbols = Symbols::from(10);
        let numbers = [12, 10, 3, 11, 12, 13, 20];
        for (stream, number) in numbers.iter().enumerate() {
            symbols.insert(*number, Symbol::Stream(stream as u32));
        }
        symbols.insert_new(20, Symbol::Stream(99));
        symbols.insert_new(21, Symbol::Stream(21));
        let stream = |number| match symbols.get(number) {
            Some(Symbol::Stream(stream)) => Some(*stream),
            _ => None,
        };
        let found = [3, 10, 11, 12, 13, 14, 20, 21].map(stream);
        assert_eq!(found, [Some(2), Some(1), Some(3), Some(4), Some(5), None, Some(6), Some(21)]);
    }
}
