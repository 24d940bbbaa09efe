//! The bytes stay what they are, and no bytes make the readers panic.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::event::{Data, Event, Timestamp};
use crate::log::{Address, RecordKind};

fn frame_of(records: &[(u8, Vec<u8>)], salt: &Salt) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEADER_LEN];
    let mut crcs = Vec::new();
    for (kind, body) in records {
        crcs.push(put_record(&mut frame, salt, *kind, (1, 2), 3, body, crc_of_body(body)));
    }
    let events = records.iter().filter(|(kind, _)| *kind == RecordKind::Event as u8).count();
    let header = FrameHeader {
        length: 0,
        crc: 0,
        first_position: 7,
        recorded_at: 1_700_000_000_000_000,
        records: records.len() as u32,
        events: events as u32,
        previous_crc: 0xdead_beef,
        body_len: 0,
        synced_to: Address::new(1, 64),
    };
    seal_frame(&mut frame, header, &crcs, salt);
    frame
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Written by format version 1, to be read by every later version.
#[test]
fn golden_bytes_of_version_1() {
    let header = SegmentHeader {
        store_id: [0xab; 16],
        number: 5,
        salt: 0x0123_4567_89ab_cdef,
        before: SegmentEnd { last_crc: 0x0a0b_0c0d, offset: 0x0102_0304 },
    };
    assert_eq!(
        hex(&header.encode()),
        "41544c41534547000100000000000000abababababababababababababababab0500000000000000efcdab89674523010d0c0b0a0403020100000000".to_owned()
            + &hex(&crc32fast::hash(&header.encode()[..60]).to_le_bytes())
    );
    assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    let event = Event::new("A_B_C_D_1", "s")
        .time(Timestamp::new(1_317_422_324_546_000, 120))
        .correlation_id(Uuid::from_u128(2))
        .actor("me");
    let data = Data { content_type: None, bytes: "{\"a\":1}".into() };
    let mut body = Vec::new();
    put_event(&mut body, &event, Uuid::from_u128(1), &data, Some(b"[]"));
    assert_eq!(
        hex(&body),
        "a30000000000000000000000000000000001d079ac4930ae04007800\
         00000000000000000000000000000002026d65020000005b5d7b2261223a317d"
    );
    let symbol = encode_symbol(&SymbolBody::Stream { scope: 1, previous_segment: 4, id: "loan-1" });
    assert_eq!(hex(&symbol), "0301000000040000006c6f616e2d31");
    let frame = frame_of(&[(RecordKind::Symbol as u8, symbol)], &Salt::new(header.salt));
    assert_eq!(
        hex(&frame),
        "5800000044275ecf070000000000000000401e18240a06000100000000000000efbeadde2700000040000000010000000f000000\
         2df03a1a0201000002000000030000000000000003010000000400\
         00006c6f616e2d3100"
    );
}

#[test]
fn what_is_encoded_decodes() {
    let event = Event::new("A_B_C_D_1", "s").variant("v").causation_id(Uuid::from_u128(9));
    let data = Data { content_type: Some("text/plain".to_owned()), bytes: "x".into() };
    let mut bytes = Vec::new();
    put_event(&mut bytes, &event, Uuid::from_u128(1), &data, None);
    let body = EventBody::decode(&bytes).unwrap();
    assert_eq!((body.variant, body.content_type, body.data), (Some("v"), Some("text/plain"), &b"x"[..]));
    assert_eq!((body.causation_id, body.correlation_id, body.time), (Some(Uuid::from_u128(9)), None, None));
    let keyframe = KeyframeBody { fingerprint: 1, recorded_at: 2, latest_time: 3, fold: "merge", state: b"{}" };
    assert_eq!(KeyframeBody::decode(&encode_keyframe(&keyframe)).unwrap(), keyframe);
    let room = RoomBody { key: b"key", bytes: b"bytes" };
    assert_eq!(RoomBody::decode(&encode_room(room.key, room.bytes)).unwrap(), room);
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let mut header = SegmentHeader { store_id: [1; 16], number: 1, salt: 2, before: SegmentEnd::default() }.encode();
    header[8] = 9;
    assert_eq!(SegmentHeader::decode(&header), Err(BadHeader::Bad("the segment header's CRC doesn't match")));
    let crc = crc32fast::hash(&header[..60]).to_le_bytes();
    header[60..].copy_from_slice(&crc);
    assert_eq!(SegmentHeader::decode(&header), Err(BadHeader::Newer(9)));
}

proptest! {
    #[test]
    fn every_flipped_bit_of_a_frame_is_found(
        bodies in prop::collection::vec((16u8..20, prop::collection::vec(any::<u8>(), 2..40)), 1..5),
        bit in any::<prop::sample::Index>(),
        salt in any::<u64>(),
    ) {
        let salt = Salt::new(salt);
        let mut frame = frame_of(&bodies, &salt);
        prop_assert!(check_frame(&frame, &salt).is_ok());
        let bit = bit.index(frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check_frame(&frame, &salt).is_err());
    }

    #[test]
    fn a_frame_of_another_segment_is_never_taken(body in prop::collection::vec(any::<u8>(), 2..40), a in any::<u64>(), b in any::<u64>()) {
        prop_assume!(a != b);
        let frame = frame_of(&[(16, body)], &Salt::new(a));
        prop_assert!(check_frame(&frame, &Salt::new(b)).is_err());
    }

    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let salt = Salt::new(0);
        let _ = check_frame(&bytes, &salt);
        let _ = SegmentHeader::decode(&bytes);
        let _ = EventBody::decode(&bytes);
        let _ = SymbolBody::decode(&bytes);
        let _ = KeyframeBody::decode(&bytes);
        let _ = RoomBody::decode(&bytes);
        let _ = check_record(&bytes, &salt);
    }
}
