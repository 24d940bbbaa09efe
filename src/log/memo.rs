//! A small table of what was looked up lately, by number: direct-mapped, so that a look-up is one comparison, and bounded.

/// The most slots.
const MAX: usize = 1 << 14;

/// What was looked up lately. Grows only where two numbers want one slot.
#[derive(Clone, Debug)]
pub(super) struct Memo<T> {
    /// The one slot that there is at first, without a table.
    first: Option<(u32, T)>,
    slots: Vec<Option<(u32, T)>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { first: None, slots: Vec::new() }
    }
}

impl<T> Memo<T> {
    /// What is known of `number`.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        match self.slot(number) {
            Some((known, value)) if *known == number => Some(value),
            _ => None,
        }
    }

    /// Remembers what `number` stands for.
    pub(super) fn insert(&mut self, number: u32, value: T) {
        let is_taken = |memo: &Self| memo.slot(number).is_some_and(|(known, _)| *known != number);
        while is_taken(self) && self.slots.len() < MAX {
            let double = usize::max(self.slots.len() * 2, 2);
            let old = std::mem::take(&mut self.slots);
            self.slots.resize_with(double, || None);
            for (known, value) in self.first.take().into_iter().chain(old.into_iter().flatten()) {
                self.put(known, value);
            }
        }
        self.put(number, value);
    }

    #[inline]
    fn slot(&self, number: u32) -> Option<&(u32, T)> {
        match self.slots.get(number as usize & self.slots.len().wrapping_sub(1)) {
            Some(slot) => slot.as_ref(),
            None => self.first.as_ref(),
        }
    }

    fn put(&mut self, number: u32, value: T) {
        let place = number as usize & self.slots.len().wrapping_sub(1);
        match self.slots.get_mut(place) {
            Some(slot) => *slot = Some((number, value)),
            None => self.first = Some((number, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_what_was_put_in_last_and_the_table_stays_bounded() {
        let mut memo = Memo::default();
        assert_eq!(memo.get(0), None);
        for number in 1..100_000u32 {
            memo.insert(number, number * 3);
            assert_eq!(memo.get(number), Some(&(number * 3)));
            assert!(memo.get(number / 2).is_none_or(|value| *value == number / 2 * 3));
        }
        assert!(memo.slots.len() <= MAX);
        assert_eq!((90_000..100_000).filter(|number| memo.get(*number).is_some()).count(), 10_000);
    }
}
