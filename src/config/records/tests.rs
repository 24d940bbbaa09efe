use super::*;
use crate::config::declaration::SchemaFormat;
use proptest::prelude::*;

fn examples() -> Vec<Record> {
    let declaration = |text: &str| TypeDeclaration {
        description: Some("d".to_owned()),
        schema: Some(SchemaRef {
            format: SchemaFormat::Avro,
            document: DocumentId::of(b"schema"),
            name: Some("loan.Sent".to_owned()),
        }),
        upcast: Some(Upcast::Jq(".data".to_owned())),
        ..TypeDeclaration::of(text.parse().unwrap())
    };
    let application = Name::parse("application", "loans").unwrap();
    let placed = |path: Option<&str>| Placed { id: DocumentId::of(b"x"), path: path.map(str::to_owned) };
    let by = By { actor: Some("desk 7".to_owned()), reason: Some("a new queue".to_owned()) };
    vec![
        Record::Document(Bytes::from_static(b"{\"handlers\": []}")),
        Record::Revision(Box::new(Revision {
            number: 7,
            by: by.clone(),
            tree: "_/loans/pilot".parse().unwrap(),
            identity: [7; 32],
            extends: Some("_/loans".parse().unwrap()),
            base: Some(6),
            documents: BTreeMap::from([
                ("A_B_C_D_1".parse().unwrap(), placed(None)),
                ("A_BC_C_D_1".parse().unwrap(), placed(Some("1/a/b_c/c/d.json"))),
            ]),
            removed: BTreeSet::from(["A_B_C_D_2".parse().unwrap()]),
            files: BTreeMap::from([("queues.json".to_owned(), DocumentId::of(b"{}"))]),
            inline: Vec::new(),
        })),
        Record::Activation {
            by,
            trees: vec![("bank/loans".parse().unwrap(), 7)],
            added: vec![(application.clone(), TypeDeclaration::of("A_B_C_D_1".parse().unwrap()))],
        },
        Record::Declared { actor: None, application: application.clone(), types: vec![declaration("A_B_C_D_2")] },
        Record::Retired { actor: None, application, types: vec!["A_B_C_D_2".parse().unwrap()] },
    ]
}

#[test]
fn records_round_trip_and_every_cut_is_found() {
    for record in examples() {
        let body = Bytes::from(record.encode());
        assert_eq!(Record::decode(&body).unwrap(), record);
        if !matches!(record, Record::Document(_)) {
            for cut in 0..body.len() {
                assert!(Record::decode(&body.slice(..cut)).is_err(), "{record:?} cut at {cut}");
            }
            assert!(Record::decode(&[&body[..], b"x"].concat().into()).is_err());
        }
    }
}

/// The bytes are part of the log's format: a change here is a change of the format.
#[test]
fn the_bytes_stay_as_they_are() {
    let hex = |record: &Record| record.encode().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let examples = examples();
    assert_eq!(
        hex(&examples[2]),
        "0203\
         01060000006465736b2037010b00000061206e6577207175657565\
         010000000a00000062616e6b2f6c6f616e7307000000\
         01000000050000006c6f616e7309000000415f425f435f445f31000000"
    );
    assert_eq!(hex(&examples[4]), "020500050000006c6f616e730100000009000000415f425f435f445f32");
    assert_eq!(examples[1].key(), "rev:7");
    assert_eq!(examples[3].key(), "types:loans");
}

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// What version 1 wrote is read for ever.
#[test]
fn records_of_version_1_are_read() {
    let activation = bytes(
        "01030001000000 0a00000062616e6b2f6c6f616e7307000000
         01000000050000006c6f616e7309000000415f425f435f445f31010100000064",
    );
    let Record::Activation { by, trees, added } = Record::decode(&activation).unwrap() else { panic!() };
    assert_eq!((by, trees[0].1, added[0].1.description.as_deref()), (By::default(), 7, Some("d")));
    let revision = bytes(&format!(
        "0102 07000000 00 0a00000062616e6b2f6c6f616e73 00
         01000000 09000000415f425f435f445f31 {}
         01000000 09000000415f425f435f445f31 010100000064
         01000000 040000006d61696c 01 0500000000000000",
        "11".repeat(32)
    ));
    let Record::Revision(revision) = Record::decode(&revision).unwrap() else { panic!() };
    assert_eq!((revision.number, revision.documents.len(), revision.base), (7, 1, None));
    let text = |file: &str| {
        let id = revision.files[file];
        let found = revision.inline.iter().find(|bytes| DocumentId::of(bytes) == id).unwrap();
        serde_json::from_slice::<serde_json::Value>(found).unwrap()
    };
    assert_eq!(text("types.json"), serde_json::json!([{ "type": "A_B_C_D_1", "description": "d" }]));
    assert_eq!(text("queues.json"), serde_json::json!({ "mail": { "max_depth": 5 } }));
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), version in 1u8..3, what in 0u8..7) {
        bytes.splice(0..0, [version, what]);
        let _ = Record::decode(&bytes.into());
    }
}
