//! What the tests share: a small store, its events, and hands on the bytes of its files.

use atlas::log::{Append, Durability, OpenError, Options, Query};
use atlas::storage::{Disk, Environment, MemoryDisk};
use atlas::{Event, EventStore, Scope, Uuid};

pub(crate) fn options() -> Options {
    Options { segment_size: 64 << 10, ..Options::default() }
}

pub(crate) fn open(disk: impl Disk) -> Result<EventStore, OpenError> {
    EventStore::open_with(Environment::new(disk), options())
}

pub(crate) fn scope() -> Scope {
    "bank/loans".parse().unwrap()
}

pub(crate) fn event(number: u128) -> Event {
    Event::new("LOAN_OFFER_SENT_COMPLETE_1", format!("loan-{}", number % 7))
        .id(Uuid::from_u128(number))
        .data(&serde_json::json!({ "n": number as u64, "text": "x".repeat(200) }))
}

pub(crate) fn append(store: &EventStore, number: u128) {
    store.append(Append::to(&scope()).event(event(number))).unwrap();
}

pub(crate) fn append_deferred(store: &EventStore, number: u128) {
    let append = Append::to(&scope()).event(event(number)).durability(Durability::Deferred);
    assert!(!store.append(append).unwrap().durable);
}

pub(crate) fn ids(store: &EventStore) -> Vec<u128> {
    store.read(Query::new()).unwrap().map(|event| event.unwrap().id().as_u128()).collect()
}

/// Every byte of a file.
pub(crate) fn bytes(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn flip(disk: &MemoryDisk, name: &str, offset: u64) {
    let file = disk.open(name, true).unwrap();
    let mut byte = [0];
    file.read_exact_at(offset, &mut byte).unwrap();
    file.write_all_at(offset, &[byte[0] ^ 0x40]).unwrap();
}

pub(crate) fn zero(disk: &MemoryDisk, name: &str, offset: u64, length: usize) {
    disk.open(name, true).unwrap().write_all_at(offset, &vec![0; length]).unwrap();
}

/// Where the last byte stands that isn't zero.
pub(crate) fn end_of_data(disk: &MemoryDisk, name: &str) -> u64 {
    bytes(disk, name).iter().rposition(|byte| *byte != 0).unwrap() as u64
}

/// Where the frames of a segment begin.
pub(crate) fn frames(disk: &MemoryDisk, name: &str) -> Vec<u64> {
    let segment = bytes(disk, name);
    let mut at = 64;
    let mut frames = Vec::new();
    while let Some(length) = segment.get(at..at + 4).map(|b| u32::from_le_bytes(b.try_into().unwrap()) as usize) {
        if length == 0 {
            break;
        }
        frames.push(at as u64);
        at += length;
    }
    frames
}

pub(crate) const SEGMENT: &str = "log/00000001.seg";
