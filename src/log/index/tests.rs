//! Names and keys are told apart by themselves, whatever their hashes: here all hashes are one.

use uuid::Uuid;

use super::*;
use crate::event::{Data, Event, Scope};
use crate::log::format::{FrameHeader, RecordHeader, SymbolBody, encode_room, encode_symbol, put_event};
use crate::log::{Address, RecordKind};
use crate::storage::MemoryDisk;

/// An index of two streams `a` and `b`, their events alternating, and two records of other rooms.
fn colliding(segment: u32, first_position: u64, versions: u64) -> MemoryIndex {
    let mut index = MemoryIndex::new(KeyHash::colliding(), 64, 1, first_position);
    let header = FrameHeader {
        length: 4096,
        crc: 1,
        first_position,
        recorded_at: 0,
        records: 1,
        events: 0,
        previous_crc: 0,
        body_len: 0,
        synced_to: Address::START,
    };
    index.begin_frame(64, &header).unwrap();
    let scope: Scope = "t/a".parse().unwrap();
    let mut offset = 112;
    let mut add = |kind: RecordKind, symbols: (u32, u32), version: u64, body: Vec<u8>| {
        let header = RecordHeader {
            body_len: body.len() as u32,
            crc: 0,
            kind: kind as u8,
            type_symbol: symbols.0,
            stream_symbol: symbols.1,
            version,
        };
        index.add(offset, &header, &body).unwrap();
        offset += header.record_len() as u32;
    };
    let previous_segment = segment - 1;
    add(RecordKind::Symbol, (0, 1), 0, encode_symbol(&SymbolBody::of_scope(&scope)));
    add(RecordKind::Symbol, (0, 2), 0, encode_symbol(&SymbolBody::Type("A_B_C_D_1")));
    for (symbol, id) in [(3, "a"), (4, "b")] {
        let body = encode_symbol(&SymbolBody::Stream { scope: 1, previous_segment, id });
        add(RecordKind::Symbol, (0, symbol), versions, body);
    }
    for number in 0..10u64 {
        let data = Data { content_type: None, bytes: "{}".into() };
        let id = Uuid::from_u128(u128::from(first_position + number));
        let mut body = Vec::new();
        put_event(&mut body, &Event::new("A_B_C_D_1", ""), id, &data, None);
        add(RecordKind::Event, (2, 3 + (number % 2) as u32), versions + number / 2 + 1, body);
    }
    for key in [&b"k"[..], b"l"] {
        add(RecordKind::Queue, (0, 0), 0, encode_room(key, b"body"));
    }
    index
}

#[test]
fn colliding_names_are_told_apart_in_memory() {
    let index = colliding(1, 1, 0);
    let find = |scope: &str, stream: &str| {
        let scope: Scope = scope.parse().unwrap();
        index.find_stream(index.hash().stream(&scope, stream), &scope, stream)
    };
    let (a, b) = (find("t/a", "a").unwrap(), find("t/a", "b").unwrap());
    assert_eq!(index.streams[a as usize].events, [0, 2, 4, 6, 8]);
    assert_eq!(index.streams[b as usize].events, [1, 3, 5, 7, 9]);
    assert_eq!(find("t/a", "c"), None);
    assert_eq!(find("t/b", "a"), None);
    assert_eq!(index.find_id(Uuid::from_u128(4)).collect::<Vec<_>>(), [3]);
}

#[test]
fn files_and_directory_give_every_candidate_of_a_hash() {
    let disk = MemoryDisk::new();
    let store_id = [7; 16];
    let mut directory = Directory::default();
    for segment in 1..=5u32 {
        let before = u64::from(segment - 1);
        let index = colliding(segment, before * 10 + 1, before * 5);
        let file = IndexFile::write(&disk, segment, store_id, &index).unwrap();
        assert!(file.says(store_id, &index).unwrap());
        assert_eq!(file.streams_hashed(7).unwrap().map(Result::unwrap).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(file.ids_hashed(7).unwrap().count(), 10);
        assert_eq!(file.rooms_hashed(7).unwrap().count(), 2);
        directory = directory.with(&disk, store_id, &file).unwrap();
        while let Some((merged, old)) = directory.merged(&disk, store_id).unwrap() {
            directory = merged;
            old.iter().for_each(|name| crate::storage::Disk::remove(&disk, name).unwrap());
        }
    }
    let names = crate::storage::Disk::list(&disk, "log").unwrap();
    assert_eq!(names.iter().filter(|name| name.ends_with(".dir")).count(), 2, "4 segments in one run, 1 in another");
    let reopened = Directory::open(&disk, store_id, &names, 5, false).unwrap();
    for directory in [directory, reopened] {
        let places: Vec<_> = directory.streams(7).unwrap().iter().map(|p| (p.segment, p.base_version)).collect();
        assert_eq!(places, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5].map(|s| (s, u64::from(s - 1) * 5)));
        let newest: Vec<_> = directory.newest_streams(7).map(|p| p.unwrap().segment).collect();
        assert_eq!(newest, [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]);
        assert_eq!(directory.keys(7).unwrap(), [1, 2, 3, 4, 5]);
        assert!(directory.streams(8).unwrap().is_empty() && directory.keys(6).unwrap().is_empty());
        assert_eq!(directory.summary(4).unwrap().unwrap().first_position, 31);
        assert_eq!(directory.first_not(|summary| summary.next_position() <= 31).unwrap(), 4);
        directory.check_all().unwrap();
    }
}

#[test]
fn sorted_tables_are_searched_right() {
    let disk = MemoryDisk::new();
    let mut rows: Vec<u64> = (0..5000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (n % 3 * 20)).collect();
    rows.sort_unstable();
    let mut writer = checked_file::CheckedWriter::create(&disk, "t").unwrap();
    rows.iter().for_each(|row| writer.put(&row.to_le_bytes()).unwrap());
    writer.finish(b"TESTTEST").unwrap();
    let file = checked_file::CheckedFile::open(&disk, "t", b"TESTTEST").unwrap();
    let section = checked_file::Section { offset: 0, count: 5000 };
    let probes = rows.iter().flat_map(|row| [row.saturating_sub(1), *row, row.saturating_add(1)]);
    for probe in probes.chain([0, u64::MAX]) {
        let found = section.lower_bound::<8>(&file, probe, |row| u64::from_le_bytes(*row)).unwrap();
        assert_eq!(found as usize, rows.partition_point(|row| *row < probe));
    }
}

#[test]
fn ids_are_found_whatever_their_order_and_kind() {
    let v7 = |millis: u64, rest: u64| Uuid::from_u128(u128::from(millis) << 80 | 7 << 76 | 2 << 62 | u128::from(rest));
    // Out of order, from the far future, of no version, and above all of version 7.
    let ids = [v7(50, 3), v7(40, 9), v7(1 << 40, 1), Uuid::from_u128(55), v7(50, 2), Uuid::from_u128(u128::MAX >> 1)];
    let others = [v7(50, 4), v7((1 << 40) + 1, 0), v7(1 << 40, 0), Uuid::from_u128(66), Uuid::from_u128(u128::MAX)];
    let mut index = colliding(1, 1, 0);
    for (number, id) in ids.into_iter().enumerate() {
        let (offset, version) = (10_000 + number as u32 * 100, 6 + number as u64);
        let (correlation_id, causation_id) = (None, None);
        let new = NewEvent { offset, stream: 0, type_symbol: 2, version, id, correlation_id, causation_id };
        index.push_event(&new).unwrap();
        for (before, id) in ids[..=number].iter().enumerate() {
            assert_eq!(index.find_id(*id).collect::<Vec<_>>(), [10 + before as u32], "{id}");
        }
        assert!(!index.holds_any(ids[number + 1..].iter().chain(&others).copied()));
        assert!(index.holds_any(others.iter().chain([&id]).copied()));
    }
}
