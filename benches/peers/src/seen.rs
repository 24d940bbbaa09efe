//! The check of what was read, the same for every peer and for the limit: a running hash of which events were seen and in
//! which order. It reads every byte of the data once, as a sum, as whoever replays would; cheap enough not to be what is
//! measured.

use crate::work::{KEYFRAME_LEN, NUMBER_AT, Names, Plan, TYPE_LEN, TYPE_NUMBER_AT, write_data};

/// What was read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub count: u64,
    hash: u64,
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn two(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, |two| u64::from(u16::from_le_bytes(two)))
}

/// Of all words; what is left at the end doesn't count, as the length does.
fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

impl Seen {
    fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.count += 1;
    }

    /// An event was read.
    #[inline]
    pub fn event(&mut self, version: u64, event_type: &[u8], data: &[u8]) {
        let lens = ((data.len() as u64) << 8) ^ event_type.len() as u64;
        let kind = two(event_type, TYPE_NUMBER_AT);
        self.mix(
            eight(data, NUMBER_AT) ^ sum(data).rotate_left(17) ^ (version << 20) ^ (kind << 40) ^ lens.rotate_right(8),
        );
    }

    /// A keyframe was read.
    #[inline]
    pub fn keyframe(&mut self, state: &[u8]) {
        self.mix(eight(state, 20) ^ ((state.len() as u64) << 50));
    }
}

/// An event with this number was read.
pub fn event_of(seen: &mut Seen, names: &Names, version: u64, number: u64) {
    let mut data = Vec::new();
    write_data(number, &mut data);
    let event_type = names.event_type(number);
    debug_assert_eq!(event_type.len(), TYPE_LEN);
    seen.event(version, event_type.as_bytes(), &data);
}

/// What a read of versions of a stream of the loaded store must have seen.
pub fn of_stream(names: &Names, plan: &Plan, stream: usize, versions: std::ops::RangeInclusive<u64>) -> Seen {
    let mut seen = Seen::default();
    seen_of_stream(&mut seen, names, plan, stream, versions);
    seen
}

/// Adds what a read of versions of a stream of the loaded store must see.
pub fn seen_of_stream(
    seen: &mut Seen,
    names: &Names,
    plan: &Plan,
    stream: usize,
    versions: std::ops::RangeInclusive<u64>,
) {
    for version in versions {
        event_of(seen, names, version, u64::from(plan.events[stream][version as usize - 1]));
    }
}

/// What a scan of the loaded store must have seen.
pub fn of_log(names: &Names, plan: &Plan) -> Seen {
    let (mut seen, mut versions) = (Seen::default(), vec![0; plan.streams()]);
    for (number, stream) in plan.order.iter().enumerate() {
        versions[*stream as usize] += 1;
        event_of(&mut seen, names, versions[*stream as usize], number as u64);
    }
    seen
}

/// What a read of a keyframe of a version must have seen.
pub fn of_keyframe(version: u64) -> Seen {
    let mut seen = Seen::default();
    let mut state = [0; KEYFRAME_LEN];
    state[12..28].copy_from_slice(format!("{version:016}").as_bytes());
    seen.keyframe(&state);
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_seen() {
        let of = |events: &[(u64, &[u8], &[u8])]| {
            let mut seen = Seen::default();
            events.iter().for_each(|(version, event_type, data)| seen.event(*version, event_type, data));
            seen
        };
        let names = Names::leak(1);
        let event_type = |number| names.event_type(number).as_bytes();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        write_data(1, &mut a);
        write_data(2, &mut b);
        let right = of(&[(1, event_type(1), &a), (2, event_type(2), &b)]);
        let mut damaged = a.clone();
        damaged[200] ^= 1;
        for wrong in [
            of(&[(1, event_type(1), &a)]),
            of(&[(2, event_type(2), &b), (1, event_type(1), &a)]),
            of(&[(1, event_type(1), &a), (3, event_type(2), &b)]),
            of(&[(1, event_type(2), &a), (2, event_type(2), &b)]),
            of(&[(1, event_type(1), &damaged), (2, event_type(2), &b)]),
            of(&[(1, event_type(1), &a[..255]), (2, event_type(2), &b)]),
        ] {
            assert_ne!(right, wrong);
        }
        assert_eq!(right, of(&[(1, event_type(1), &a), (2, event_type(2), &b)]));
    }
}
