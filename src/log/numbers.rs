//! Finds entries of a small list by hash: the first few by looking at each, without a table.

use hashbrown::HashTable;

/// As long as a list has no more entries than this, it needs no table.
const FEW: usize = 8;

/// The numbers of the entries of a list whose entries all differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(HashTable<u32>);

impl Numbers {
    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        if !self.0.is_empty() {
            self.0.clear();
        }
    }

    /// The number of the entry for which `is_it` holds, in a list of `count`; `hash` is computed only where it is needed.
    pub(crate) fn find(
        &self,
        count: usize,
        hash: impl FnOnce() -> u64,
        is_it: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if count <= FEW {
            return (0..count).find(|number| is_it(*number));
        }
        self.0.find(hash(), |number| is_it(*number as usize)).map(|number| *number as usize)
    }

    /// Takes in the entry that makes the list `count` long; `hash_of` is asked for the hashes of its entries.
    pub(crate) fn added(&mut self, count: usize, hash_of: impl Fn(usize) -> u64) {
        let new = match count.checked_sub(FEW + 1) {
            None => return,
            Some(0) => 0..count,
            Some(_) => count - 1..count,
        };
        for number in new {
            self.0.insert_unique(hash_of(number), number as u32, |number| hash_of(*number as usize));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_before_and_after_there_is_a_table() {
        let (mut list, mut numbers) = (Vec::new(), Numbers::default());
        for value in 0..100u64 {
            assert_eq!(numbers.find(list.len(), || value, |number| list[number] == value), None);
            list.push(value);
            // Hashes that collide.
            numbers.added(list.len(), |number| list[number] / 3);
            for known in 0..=value {
                let found = numbers.find(list.len(), || known / 3, |number| list[number] == known);
                assert_eq!(found, Some(known as usize));
            }
        }
    }
}
