//! What goes in comes out: in the order of the file, with versions and positions without gaps.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::sandbox::{SENT, SUBMITTED, Sandbox, event, events, ndjson};

/// The exported events are `given`, in order, at positions 1, 2, 3 and with versions 1, 2, 3 in each stream.
#[track_caller]
pub(crate) fn assert_exported(exported: &[Value], given: &[Value]) {
    assert!(exported.len() >= given.len(), "{} of {} events are there", exported.len(), given.len());
    let mut versions = BTreeMap::new();
    for (index, event) in exported.iter().enumerate() {
        assert_eq!(event["position"], json!(index + 1));
        let version = versions.entry(event["stream"].to_string()).or_insert(0);
        *version += 1;
        assert_eq!(event["version"], json!(*version));
    }
    for (event, given) in exported.iter().zip(given) {
        for (field, value) in given.as_object().unwrap() {
            assert_eq!(&event[field], value, "{field} of {event}");
        }
    }
}

#[test]
fn an_export_gives_back_what_was_imported_in_its_order() {
    let sandbox = Sandbox::with_tree();
    let given = events(5_000);
    let summary = sandbox.import(&given).done().stdout;
    assert!(summary.contains("5,000 lines: 5,000 events written (7 new streams), 0 repeated, 0 skipped"), "{summary}");
    let exported = sandbox.export();
    assert_eq!(exported.len(), given.len());
    assert_exported(&exported, &given);
    assert!(exported.iter().all(|event| event["revision"].is_u64() && event["recorded_at"].is_string()));
}

#[test]
fn lines_without_ids_are_new_each_time_and_lines_with_ids_only_once() {
    let sandbox = Sandbox::with_tree();
    let given = events(500);
    sandbox.import(&given).done();
    sandbox.import(&given).done();
    let export = sandbox.atlas(["export"]).done().stdout;
    assert_eq!(export.lines().count(), 1_000);

    sandbox.write("export.ndjson", &export);
    let summary = sandbox.atlas(["--json", "import", "export.ndjson"]).done().json();
    assert_eq!(
        (&summary["lines"], &summary["events"], &summary["repeated"]),
        (&json!(1_000), &json!(0), &json!(1_000))
    );
    assert_eq!(sandbox.atlas(["export"]).done().stdout, export);
}

#[test]
fn an_id_twice_in_one_file_is_written_once() {
    let sandbox = Sandbox::with_tree();
    let mut given = event(SENT, "loan-1", json!({}));
    given["id"] = json!("01932f6e-0000-7000-8000-000000000001");
    let summary = sandbox.import(&[given.clone(), given.clone(), given.clone()]).done().stdout;
    assert!(summary.contains("1 event written (1 new stream), 2 repeated"), "{summary}");
    let mut other = given.clone();
    other["data"] = json!({ "other": true });
    let after = event(SENT, "loan-2", json!({}));
    let message = sandbox.import(&[given, other, after]).refused();
    assert!(message.starts_with("import.ndjson:2: "), "{message}");
    assert!(message.ends_with("(1 line before it is durable)"), "{message}");
    assert_eq!(sandbox.export().len(), 1);
}

#[test]
fn imported_as_recorded_an_export_gives_an_equal_export() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&events(300)).done();
    let export = sandbox.atlas(["export"]).done().stdout;
    sandbox.write("export.ndjson", &export);
    sandbox.atlas(["--dir", "copy", "import", "--as-recorded", "export.ndjson"]).done();
    assert_eq!(sandbox.atlas(["--dir", "copy", "export"]).done().stdout, export);

    let id = sandbox.export()[0]["id"].as_str().unwrap().to_owned();
    let status = sandbox.atlas(["--dir", "copy", "--json", "status", &id]).done().json();
    assert_eq!((&status["phase"], &status["imported"]), (&json!("Complete"), &json!(true)));
    assert_eq!(sandbox.atlas(["--dir", "copy", "--json", "deliveries"]).done().json(), json!([]));
    assert!(sandbox.atlas(["--dir", "copy", "--json", "queue", "list"]).done().json().as_array().unwrap().is_empty());

    let message = sandbox.atlas(["--dir", "copy", "import", "--as-recorded", "export.ndjson"]).refused();
    assert!(message.contains("empty"), "{message}");
    sandbox.write("gap.ndjson", export.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>());
    let message = sandbox.atlas(["--dir", "gap", "import", "--as-recorded", "gap.ndjson"]).refused();
    assert!(message.contains("gap.ndjson:1: "), "{message}");
    assert_eq!(sandbox.atlas(["--dir", "gap", "export"]).stdout, "");
}

#[test]
fn stdin_and_gzip_are_read_whatever_the_name() {
    let sandbox = Sandbox::with_tree();
    let given = events(30);
    sandbox.atlas_with_input(["import", "-"], ndjson(&given[..10]).as_bytes()).done();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(ndjson(&given[10..20]).as_bytes()).unwrap();
    let zipped = encoder.finish().unwrap();
    sandbox.write("zipped.ndjson", &zipped);
    sandbox.atlas(["import", "zipped.ndjson"]).done();
    encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(ndjson(&given[20..]).as_bytes()).unwrap();
    sandbox.atlas_with_input(["import", "-"], &encoder.finish().unwrap()).done();
    assert_exported(&sandbox.export(), &given);
}

#[test]
fn lines_are_acknowledged_while_the_file_goes_on() {
    let sandbox = Sandbox::with_tree();
    let mut command = sandbox.command(["import", "-", "--ack-every", "2"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let given = events(7);
    for pair in given.chunks(2).take(3) {
        stdin.write_all(ndjson(pair).as_bytes()).unwrap();
        stdin.flush().unwrap();
        let mut acked = String::new();
        stdout.read_line(&mut acked).unwrap();
        assert!(["acked 2\n", "acked 4\n", "acked 6\n"].contains(&acked.as_str()), "{acked:?}");
    }
    stdin.write_all(ndjson(&given[6..]).as_bytes()).unwrap();
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("7 lines: 7 events written"), "{rest}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_import_goes_on_when_nobody_reads_its_acknowledgements() {
    let sandbox = Sandbox::with_tree();
    sandbox.write("events.ndjson", ndjson(&events(2_000)));
    let mut command = sandbox.command(["import", "events.ndjson", "--ack-every", "1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut messages = String::new();
    child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
    assert_eq!((child.wait().unwrap().code(), messages.as_str()), (Some(0), ""));
    assert_eq!(sandbox.export().len(), 2_000);
}

#[test]
fn an_export_that_nobody_reads_to_its_end_is_no_error() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&events(3_000)).done();
    let mut child = sandbox.command(["export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"position\":1,"), "{line}");
    let mut messages = String::new();
    child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
    assert_eq!((child.wait().unwrap().code(), messages.as_str()), (Some(0), ""));
}

#[test]
fn exports_can_be_narrowed() {
    let sandbox = Sandbox::with_tree();
    sandbox.atlas(["config", "import", "tree", "--scope", "other/loans", "--activate"]).done();
    sandbox.import(&events(60)).done();
    let mut other = event(SENT, "loan-0", json!({}));
    other["tenant"] = json!("other");
    sandbox.import(&[other]).done();

    let positions = |arguments: &[&str]| -> Vec<u64> {
        let run = sandbox.atlas([&["export"], arguments].concat()).done();
        run.lines().iter().map(|event| event["position"].as_u64().unwrap()).collect()
    };
    assert_eq!(positions(&["--after", "58"]), [59, 60, 61]);
    assert_eq!(positions(&["--after", "61"]), [0_u64; 0]);
    assert_eq!(positions(&["--scope", "other/loans"]), [61]);
    assert_eq!(positions(&["--stream", "loan-6", "--scope", "bank/loans"]).len(), 8);
    assert_eq!(positions(&["--type", "LOAN_OFFER_"]).len(), 21);
    assert_eq!(positions(&["--type", "LOAN_OFFER_", "--scope", "bank/loans", "--after", "30"]).len(), 10);
}

#[test]
fn cloudevents_have_the_attributes_of_the_standard() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&[event(SUBMITTED, "loan-1", json!({ "amount": 5 }))]).done();
    let exported = sandbox.atlas(["export", "--format", "cloudevents"]).done().json();
    assert_eq!(exported["specversion"], "1.0");
    assert_eq!(exported["source"], "/bank/loans");
    assert_eq!(exported["type"], SUBMITTED);
    assert_eq!(exported["subject"], "loan-1");
    assert_eq!(exported["data"], json!({ "amount": 5 }));
    assert_eq!(exported["id"], sandbox.export()[0]["id"]);
}

#[test]
fn segments_are_as_small_as_asked_for() {
    let sandbox = Sandbox::with_tree();
    let wide: Vec<Value> =
        (0..7).map(|n| event(SENT, "loan-1", json!({ "n": n, "pad": "x".repeat(50_000) }))).collect();
    sandbox.write("events.ndjson", ndjson(&wide));
    // Each import is larger than a segment, however many of its lines one commit takes.
    for _ in 0..3 {
        sandbox.atlas(["import", "--segment-size", "256KiB", "events.ndjson"]).done();
    }
    let stats = sandbox.atlas(["--json", "stats"]).done().json();
    assert!(stats["segments"].as_u64().unwrap() >= 3, "{stats}");
    assert_exported(&sandbox.export(), &[&wide[..], &wide[..], &wide[..]].concat());
}
