//! The checksum of one record.

use std::hint::black_box;
use std::time::Instant;

use super::{Way, compare};
use crate::peer::Result;

const RECORD: usize = 300;
const RECORDS: usize = 100_000;

pub fn run() -> Result<()> {
    let bytes: Vec<u8> = (0..RECORD * 1_000).map(|at| (at * 31 % 251) as u8).collect();
    let bytes = &bytes;
    let way = |name, sum: fn(&[u8]) -> u32| {
        Way::new(name, move || {
            let begin = Instant::now();
            for number in 0..RECORDS {
                let at = number % 1_000 * RECORD;
                black_box(sum(black_box(&bytes[at..at + RECORD])));
            }
            Ok(begin.elapsed().as_secs_f64() * 1e9 / RECORDS as f64)
        })
    };
    compare(
        "checksum of a record of 300 bytes",
        "ns",
        vec![
            way("CRC-32 by crc32fast (what Atlas does)", crc32fast::hash),
            way("CRC-32C by crc32c, the processor's instruction", crc32c::crc32c),
        ],
    )
}
