//! A cache of bounded size in two halves: what is used moves to the young half; when that is full it becomes the old one,
//! and what stood there unused is dropped. So a look-up touches no list, and what is in use stays.

use std::hash::Hash;

use hashbrown::{Equivalent, HashMap};

/// Values with a weight in bytes each, of which the newest or used ones stay.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_bytes: usize,
    max_bytes: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// An empty cache of at most `max_bytes`, as far as the weights say.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, max_bytes }
    }

    /// A value that is in the young half: the way that needs no writing.
    pub(super) fn peek<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&V> {
        self.young.get(key).map(|(value, _)| value)
    }

    /// A value, which moves to the young half.
    pub(super) fn get<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.insert(key, value.clone(), weight);
        Some(value)
    }

    /// Puts a value in.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        if self.young_bytes + weight > self.max_bytes / 2 && !self.young.is_empty() {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if let Some((_, before)) = self.young.remove(&key) {
            self.young_bytes -= before;
        }
        self.old.remove(&key);
        if weight <= self.max_bytes / 2 {
            self.young.insert(key, (value, weight));
            self.young_bytes += weight;
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.young_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_used_stays() {
        let mut cache = Cache::new(100);
        cache.insert(0, 0, 10);
        for i in 1..100 {
            cache.insert(i, i, 10);
            assert_eq!(cache.get(&0), Some(0), "after {i}");
        }
        assert_eq!(cache.get(&1), None);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bytes_and_never_lies(
            steps in proptest::collection::vec((0u8..20, 1usize..60, any::<bool>()), 0..200)
        ) {
            let mut cache = Cache::new(100);
            let mut newest = std::collections::HashMap::new();
            for (key, weight, put) in steps {
                if put {
                    cache.insert(key, weight, weight);
                    newest.insert(key, weight);
                } else if let Some(found) = cache.get(&key) {
                    prop_assert_eq!(Some(&found), newest.get(&key));
                }
                let held = |half: &HashMap<u8, (usize, usize)>| half.values().map(|(_, w)| *w).sum::<usize>();
                prop_assert!(held(&cache.young) + held(&cache.old) <= 100);
            }
        }
    }
}
