//! Rows come out of a page as they went in, and no bytes make the readers panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::hostile::{disk_file, file_of, read_all};
use super::page::Builder;
use super::rows::Row;
use super::{PAGE, PackedFile};
use crate::log::format::{RECORD_HEADER_LEN, RecordHeader, Salt, check_record, crc_of_body, put_record};
use crate::storage::DiskFile;

const DICTIONARY: &[u8] = b"{\"amount\":\"12.50\",\"currency\":\"EUR\",\"note\":\"the customer returned the voucher\"}";

/// A record of a kind with a body, as it stands in a segment.
fn record(kind: u8, symbols: (u32, u32), version: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_record(&mut bytes, &Salt::new(9), kind, symbols, version, body, crc_of_body(body));
    bytes
}

/// The pages of rows next to each other, which begin behind the segment header, and the plain bytes.
fn pages(records: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (salt, mut builder, mut pages, mut plain) = (Salt::new(9), Builder::default(), Vec::new(), vec![0; 64]);
    for bytes in records {
        while pages.len() < plain.len() / PAGE {
            pages.push(builder.finish(pages.len() as u32, plain.len(), &salt).unwrap());
        }
        let row = match check_record(bytes, &salt) {
            Ok((header, body)) => Row::record(&header, body, DICTIONARY, !body.len().is_multiple_of(3)),
            Err(_) => Row::between(bytes, DICTIONARY),
        };
        builder.push(plain.len(), row);
        plain.extend_from_slice(bytes);
    }
    while pages.len() < plain.len().div_ceil(PAGE) {
        pages.push(builder.finish(pages.len() as u32, plain.len(), &salt).unwrap());
    }
    (pages, plain)
}

fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::collection::vec("[a-z ]{1,9}", 0..40).prop_map(|words| words.concat().into_bytes());
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        text.clone(),
        // Of events, with ids of version 7 and without, with a time and without.
        (any::<bool>(), any::<bool>(), any::<i64>(), any::<[u8; 16]>(), text).prop_map(
            |(v7, time, micros, mut id, text)| {
                id[6] = if v7 { 0x70 } else { 0x40 };
                let time = if time { [&micros.to_le_bytes()[..], &[120, 0]].concat() } else { Vec::new() };
                [&[u8::from(!time.is_empty()), 0][..], &id, &time, &text].concat()
            }
        ),
        Just(vec![7; 3 * PAGE]),
    ];
    let kind = prop_oneof![4 => Just(1u8), 1 => Just(2), 1 => any::<u8>()];
    let of_record = (kind, 0u32..1 << 24, any::<u32>(), any::<u64>(), body);
    prop_oneof![
        8 => of_record.prop_map(|(kind, of_type, stream, version, body)| record(kind, (of_type, stream), version, &body)),
        1 => prop::collection::vec(any::<u8>(), 1..60),
    ]
}

proptest! {
    #[test]
    fn rows_come_out_as_they_went_in(records in prop::collection::vec(any_record(), 1..60)) {
        let (pages, plain) = pages(&records);
        let pages: Vec<&[u8]> = pages.iter().map(Vec::as_slice).collect();
        let file = file_of(plain.len() as u32, DICTIONARY, &pages);
        for is_mapped in [false, true] {
            let packed = PackedFile::open(disk_file(&file), is_mapped).unwrap().unwrap();
            let mut read = vec![0; plain.len()];
            packed.read_exact_at(0, &mut read).unwrap();
            prop_assert!(read[64..] == plain[64..]);
            // Each alone, from its first byte and from a later one.
            let mut at = 64;
            for record in &records {
                for from in [at, at + record.len() / 2] {
                    let found = packed.unpack(from, from + 1).unwrap();
                    prop_assert!(found.start == at && found.bytes == *record);
                }
                at += record.len();
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        records in prop::collection::vec(any_record(), 1..20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        junk in prop::collection::vec(any::<u8>(), 0..300),
        in_file in any::<bool>(),
    ) {
        read_all(&junk);
        let (mut pages, plain) = pages(&records);
        if !in_file {
            // CRCs are made right after the change.
            for (at, byte) in &changes {
                let page = pages.iter_mut().find(|page| !page.is_empty()).unwrap();
                let at = at.index(page.len());
                page[at] = *byte;
            }
        }
        let pages: Vec<&[u8]> = pages.iter().map(Vec::as_slice).chain([&junk[..]]).collect();
        let mut file = file_of(plain.len() as u32, DICTIONARY, &pages);
        if in_file {
            for (at, byte) in &changes {
                let at = at.index(file.len());
                file[at] = *byte;
            }
        }
        read_all(&file);
    }
}

/// A page whose rows begin beyond any segment.
#[test]
fn the_largest_numbers_are_refused() {
    let mut page = [0xff; 400];
    page[4..8].copy_from_slice(&[2, 0, 1, 0]);
    for bits in [0, 1, 64] {
        (0..9).for_each(|column| page[12 + 13 * column + 12] = bits);
        for plain_len in [65, PAGE as u32 + 65, 2 * PAGE as u32] {
            read_all(&file_of(plain_len, DICTIONARY, &[&page, &page]));
        }
    }
}

/// A page that says of a few bytes that they stand for very many is refused before they are made.
#[test]
fn few_bytes_never_become_very_many() {
    let header = RecordHeader { body_len: 40 << 20, crc: 0, kind: 1, type_symbol: 0, stream_symbol: 0, version: 1 };
    let (salt, mut builder) = (Salt::new(9), Builder::default());
    builder.push(64, Row::record(&header, b"few", DICTIONARY, false));
    let end = 64 + RECORD_HEADER_LEN + (40 << 20);
    let page = builder.finish(0, end, &salt).unwrap();
    let file = file_of(end as u32, DICTIONARY, &[&page]);
    let packed = PackedFile::open(disk_file(&file), true).unwrap().unwrap();
    let error = packed.unpack(64, end).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}
