//! Damage of a packed segment: of any page it is reported with segment and offset, and salvage gives all else; of one of the
//! heads, by which pages are found, it harms nothing and is reported.

use std::collections::BTreeSet;
use std::sync::Arc;

use atlas::log::{Compress, Depth, Loss, OpenError, OpenMode, Query, ReadError, Report, verify_disk};

use crate::world::{Files, disk_of, open, options, packed, text, told, twins};

const PAGE: usize = 16 << 10;

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Where each page begins in the file, and the last one ends; by the format as `docs/design.md` draws it.
fn table(file: &[u8]) -> Vec<usize> {
    let (plain, dictionary) = (number(file, 64), number(file, 68));
    (0..=plain.div_ceil(PAGE)).map(|page| number(file, 72 + dictionary + 4 * page)).collect()
}

fn verify(files: &Files) -> Report {
    verify_disk(Arc::new(disk_of(files)), &Depth::Structure, |_, _| {}).unwrap()
}

/// What can be read before the first error, from position `after` on.
fn read(files: &Files, after: u64) -> (Vec<String>, Option<ReadError>) {
    let mut read = Vec::new();
    let store = match open(&disk_of(files), OpenMode::Read, options(64 << 10, Compress::None)) {
        Ok(store) => store,
        Err(OpenError::Read(error) | OpenError::Corrupt { source: error, .. }) => return (read, Some(error)),
        Err(error) => panic!("{error}"),
    };
    for event in store.read(Query::new().after(after)).unwrap() {
        match event {
            Ok(event) => read.push(text(&event)),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

fn flipped(files: &Files, name: &str, at: usize, bit: usize) -> Files {
    let mut files = files.clone();
    files.get_mut(name).unwrap()[at] ^= 1 << bit;
    files
}

/// The positions whose records, frames or symbols touch bytes of the plain segment.
fn lost(losses: &[Loss]) -> BTreeSet<u64> {
    losses.iter().filter_map(|loss| loss.positions.clone()).flatten().collect()
}

/// The positions of a plain segment that damage of its bytes `from..to` may take: of records that begin there, those that
/// refer to a symbol that does, by themselves or through their stream.
fn may_be_lost(segment: &[u8], from: usize, to: usize) -> BTreeSet<u64> {
    let (mut frame, mut may, mut symbols) = (64, BTreeSet::new(), BTreeSet::new());
    while frame < segment.len() {
        let mut position = u64::from_le_bytes(segment[frame + 8..frame + 16].try_into().unwrap());
        let mut record = frame + 48;
        for _ in 0..number(segment, frame + 24) {
            let (kind, begins_there) = (segment[record + 8], (from..to).contains(&record));
            let named = number(segment, record + 12);
            // Of a stream: its scope's symbol follows.
            let of_scope = segment[record + 24] == 3 && symbols.contains(&number(segment, record + 25));
            if kind == 2 && (begins_there || of_scope) {
                symbols.insert(named);
            }
            if kind == 1 {
                let type_symbol = number(segment, record + 8) >> 8;
                if begins_there || symbols.contains(&named) || symbols.contains(&type_symbol) {
                    may.insert(position);
                }
                position += 1;
            }
            record += 24 + number(segment, record);
        }
        frame += number(segment, frame);
    }
    may
}

#[test]
fn each_page_that_is_damaged_is_reported_and_the_rest_is_salvaged() {
    let (plain, small) = twins(Compress::All);
    let whole = told(&open(&disk_of(&plain), OpenMode::Read, options(64 << 10, Compress::None)).unwrap());
    let mut tried = 0;
    for name in packed(&small) {
        let table = table(&small[&name]);
        for (page, place) in table.windows(2).enumerate().filter(|(_, place)| place[0] < place[1]) {
            let (length, offset) = (place[1] - place[0], page * PAGE);
            for at in [0, length / 2, length - 1] {
                let files = flipped(&small, &name, place[0] + at, at % 8);
                let about = format!("{name}, page {page} of {}, byte {at}", table.len() - 1);
                let problems = verify(&files).problems;
                let is_it = |file: &str, at: u64| file == name && at == offset as u64;
                assert!(problems.iter().any(|p| is_it(&p.file, p.offset)), "{about}: {problems:?}");
                // What stands before is read, and then the error says where.
                let (found, error) = read(&files, 0);
                assert!(whole[..found.len()] == found, "{about}");
                match error {
                    Some(ReadError::Corrupt { file, offset, .. }) if is_it(&file, offset) => {}
                    other => panic!("{about}: {other:?}"),
                }
                let salvaged = open(&disk_of(&files), OpenMode::Salvage, options(64 << 10, Compress::None)).unwrap();
                let losses = salvaged.losses().to_vec();
                assert!(losses.iter().any(|loss| loss.file == name), "{about}: {losses:?}");
                let lost = lost(&losses);
                for (position, whole) in (1..).zip(&whole) {
                    match salvaged.event_at(position) {
                        Ok(Some(event)) => assert!(text(&event) == *whole, "{about}: {position}"),
                        _ => assert!(lost.contains(&position), "{about}: {position} of {losses:?}"),
                    }
                }
                assert!(lost.is_subset(&may_be_lost(&plain[&name], offset, offset + PAGE)), "{about}: {lost:?}");
                let outside = losses.iter().filter(|loss| loss.file != name && loss.positions.is_some()).count();
                assert_eq!(outside, 0, "{about}: {losses:?}");
                tried += 1;
            }
        }
    }
    println!("{tried} bits flipped");
    assert!(tried > 100);
}

#[test]
fn a_damaged_head_harms_nothing_and_is_reported() {
    let (plain, small) = twins(Compress::All);
    let whole = told(&open(&disk_of(&plain), OpenMode::Read, options(64 << 10, Compress::None)).unwrap());
    let name = packed(&small)[1].clone();
    let (bytes, table) = (&small[&name], table(&small[&name]));
    let (front, copy) = (table[0], *table.last().unwrap());
    let places = (0..80)
        .chain((80..front).step_by(97))
        .chain((copy..bytes.len()).step_by(89))
        .chain(bytes.len() - 8..bytes.len());
    for (number, at) in places.enumerate() {
        let files = flipped(&small, &name, at, number % 8);
        let problems = verify(&files).problems;
        assert!(problems.len() == 1 && problems[0].file == name, "byte {at}: {problems:?}");
        assert!(problems[0].what.contains("head"), "byte {at}: {problems:?}");
        if number % 9 == 0 {
            assert!(read(&files, 0).0 == whole, "byte {at}");
        }
        // A file that is cut short, or both heads damaged: the segment can't be read, and the error names it.
        let mut files = flipped(&files, &name, if at < front { copy + 8 } else { 8 }, 3);
        let (_, error) = read(&files, 0);
        assert!(matches!(&error, Some(ReadError::Corrupt { file, .. }) if *file == name), "byte {at}: {error:?}");
        files.get_mut(&name).unwrap().truncate(at);
        let (_, error) = read(&files, 0);
        assert!(matches!(&error, Some(ReadError::Corrupt { file, .. }) if *file == name), "byte {at}: {error:?}");
    }
}
