//! The dictionary of a segment: whole records of it, taken where those before help least.

use super::lz4;

/// Most bytes of a dictionary. The library's encoder remembers 4,096 places of it, each third byte one.
pub(super) const MAX_DICTIONARY: usize = 12 << 10;
/// How many records are looked at.
pub(super) const SAMPLES: usize = 2048;
/// Most bytes of a record that are looked at.
pub(super) const MAX_SAMPLE: usize = 2048;

/// What a record may still take in its packed form before it is taken into the dictionary: less on each pass.
const BARS_PERCENT: [usize; 8] = [80, 60, 45, 35, 28, 22, 17, 13];

/// A dictionary for records like `samples`, of which a segment has `plain_len` bytes: it is
/// at most one in 128 of these.
pub(super) fn of(samples: &[Vec<u8>], plain_len: usize) -> Vec<u8> {
    let most = MAX_DICTIONARY.min(plain_len / 128);
    let mut dictionary: Vec<u8> = Vec::new();
    for bar in BARS_PERCENT {
        for sample in samples {
            if dictionary.len() + sample.len() > most {
                continue;
            }
            let packed = lz4::compress(sample, &dictionary).map_or(sample.len(), |packed| packed.len());
            if packed * 100 > bar * sample.len() {
                dictionary.extend_from_slice(sample);
            }
        }
    }
    dictionary
}
