//! Records of queues come back as they were written, and keep their bytes for ever.

use super::*;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

fn of(group: Option<&str>) -> QueueGroup {
    QueueGroup { scope: "dutch-bank/loans".parse().unwrap(), queue: name("mail"), group: group.map(name) }
}

fn happenings(text: &str) -> Vec<Happening> {
    let said = || Some(text.to_owned());
    vec![
        Happening::Leased { until: -5 },
        Happening::Acknowledged,
        Happening::Nacked { then: Then::Free, reason: text.to_owned() },
        Happening::Nacked { then: Then::Waits(7), reason: text.to_owned() },
        Happening::Nacked { then: Then::Dead, reason: text.to_owned() },
        Happening::Extended { until: 9 },
        Happening::Dead,
        Happening::Requeued { actor: said(), reason: None },
        Happening::Requeued { actor: None, reason: said() },
        Happening::Dropped { actor: said(), reason: text.to_owned() },
        Happening::Ingested { event: Uuid::from_u128(7 << 120) },
        Happening::Refused { error: text.to_owned() },
    ]
}

fn messages(data: &[u8], number: u64) -> Vec<QueueRecord> {
    let event = Uuid::from_u128(u128::from(number) << 3);
    let message = |origin: &Origin, stream, groups: &[&str]| {
        QueueRecord::Message(Message {
            scope: of(None).scope,
            queue: name("mail"),
            origin: origin.clone(),
            data: data.to_vec().into(),
            stream,
            groups: groups.iter().copied().map(name).collect(),
        })
    };
    let call = Origin::Call { event, handler: name("post"), call: 2 };
    let outside = |actor: Option<&str>| Origin::Outside { actor: actor.map(str::to_owned) };
    vec![
        message(&call, None, &[]),
        message(&call, Some(number), &[]),
        message(&call, None, &["a", "b"]),
        message(&call, Some(3), &["a"]),
        message(&outside(None), None, &[]),
        message(&outside(Some("desk 7")), Some(number), &["a"]),
    ]
}

fn happened(group: Option<&str>, number: u64, what: Happening) -> QueueRecord {
    QueueRecord::Happened { of: of(group), message: Address::from_u64(number), what }
}

proptest! {
    #[test]
    fn records_come_back_as_they_were_written(data in any::<Vec<u8>>(), text in ".*", number in any::<u64>()) {
        let of_groups = [None, Some("a")].into_iter().flat_map(|group| {
            happenings(&text).into_iter().map(move |what| happened(group, number, what))
        });
        for record in messages(&data, number).into_iter().chain(of_groups) {
            let body = record.encode();
            prop_assert_eq!(QueueRecord::decode(&body[..body.len() - 1]), None);
            prop_assert_eq!(QueueRecord::decode(&[&body[..], &[0]].concat()), None);
            prop_assert_eq!(QueueRecord::decode(&body), Some(record));
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), tag in 0u8..17) {
        let _ = QueueRecord::decode(&bytes);
        // Past the scope and the queue.
        let head = happened(None, 1, Happening::Acknowledged).encode();
        let body = [&[1, tag], &head[2..30], &bytes[..]].concat();
        let _ = QueueRecord::decode(&body);
    }
}

/// What has a tag keeps its bytes for ever.
#[test]
fn the_layouts_stay() {
    let body = |tag: u8, rest: &[u8]| [&[1, tag], &b"\x10\0\0\0dutch-bank/loans\x04\0\0\0mail"[..], rest].concat();
    let put = b"\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0post\x02\0\0\0\x02\0\0\0{}";
    let put: Vec<u8> = [&[0; 15][..], &put[..1], &put[16..]].concat();
    let [plain, ordered, grouped, _, outside, of_desk] = &messages(b"{}", 1)[..] else { panic!("six messages") };
    assert_eq!(plain.encode(), body(1, &put));
    assert_eq!(ordered.encode(), body(4, &[&put[..], b"\x01\x01\0\0\0\0\0\0\0\0\0\0\0"].concat()));
    assert_eq!(grouped.encode(), body(4, &[&put[..], b"\0\x02\0\0\0\x01\0\0\0a\x01\0\0\0b"].concat()));

    assert_eq!(outside.encode(), body(12, b"\0\x02\0\0\0{}\0\0\0\0\0"));
    let actor = b"\x01\x06\0\0\0desk 7\x02\0\0\0{}";
    assert_eq!(of_desk.encode(), body(12, &[&actor[..], b"\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0a"].concat()));

    let message = b"\x01\x02\0\0\0\0\0\0";
    let until = (-5i64).to_le_bytes();
    let encoded = |group, what| happened(group, 0x0201, what).encode();
    assert_eq!(encoded(None, Happening::Leased { until: -5 }), body(2, &[&message[..], &until].concat()));
    assert_eq!(encoded(None, Happening::Acknowledged), body(3, message));
    let with_group = |rest: &[u8]| [b"\x01\0\0\0a", &message[..], rest].concat();
    let expected: [(u8, &[u8]); 12] = [
        (5, &until),
        (6, b""),
        (7, b"\0\x02\0\0\0no"),
        (7, b"\x01\x07\0\0\0\0\0\0\0\x02\0\0\0no"),
        (7, b"\x02\x02\0\0\0no"),
        (8, b"\x09\0\0\0\0\0\0\0"),
        (9, b""),
        (10, b"\x01\x02\0\0\0no\0"),
        (10, b"\0\x01\x02\0\0\0no"),
        (11, b"\x01\x02\0\0\0no\x02\0\0\0no"),
        (13, b"\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        (14, b"\x02\0\0\0no"),
    ];
    for (what, (tag, rest)) in happenings("no").into_iter().zip(expected) {
        assert_eq!(encoded(Some("a"), what), body(tag, &with_group(rest)));
    }
    let unnamed = [&b"\0\0\0\0"[..], message].concat();
    assert_eq!(encoded(None, Happening::Dead), body(9, &unnamed), "the group without a name");
    assert_eq!(stream_hash("loan-1"), 0x1e08_6189_9c29_ab4c, "as recorded with messages");
}
