//! Bad input: one clear line that names the place and what was expected, exit code 1, and nothing half-applied.

use serde_json::{Value, json};

use crate::sandbox::{SENT, SUBMITTED, Sandbox, event, events, ndjson, snapshot};

/// A line that is bad, and what its message must hold.
struct Bad {
    line: String,
    says: &'static str,
}

fn bad(line: impl ToString, says: &'static str) -> Bad {
    Bad { line: line.to_string(), says }
}

fn without(field: &str) -> Value {
    let mut event = event(SENT, "loan-1", json!({}));
    event.as_object_mut().unwrap().remove(field);
    event
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut event = event(SENT, "loan-1", json!({}));
    event[field] = value.into();
    event
}

fn bad_lines() -> Vec<Bad> {
    vec![
        bad("{\"type\":", "EOF while parsing a value; expected one JSON object"),
        bad("not json", "expected one JSON object"),
        bad("[1, 2]", "expected one JSON object"),
        bad(" 17", "expected one JSON object"),
        bad(json!([null, SENT, "bank", "loans", null, "loan-1", null]), "expected one JSON object"),
        bad(with(&"x".repeat(3 << 20), json!({})), "unknown field `xxx"),
        bad("{} {}", "expected"),
        bad(with("Data", json!({})), "unknown field `Data`"),
        bad(with(&"x \n".repeat(1 << 20), json!({})), "unknown field `x "),
        bad(without("tenant"), "tenant is missing"),
        bad(without("application"), "application is missing"),
        bad(without("stream"), "missing field `stream`"),
        bad(without("type"), "missing field `type`"),
        bad(without("data"), "data is missing"),
        bad(with("tenant", "a b"), "tenant \"a b\" is not a name"),
        bad(with("tenant", "_"), "tenant \"_\" is not a name"),
        bad(with("tenant", "nobody"), "nobody/loans"),
        bad(with("type", "LOAN_OFFER_SENT_1"), "has 4 parts; expected five parts"),
        bad(with("type", "LOAN_OFFER_sent_COMPLETE_1"), "the operation part \"sent\""),
        bad(with("type", "LOAN_OFFER_LOST_COMPLETE_1"), "LOAN_OFFER_LOST_COMPLETE_1"),
        bad(with("stream", ""), "stream id"),
        bad(with("stream", "x".repeat(256)), "max_stream_id"),
        bad(with("metadata", "x".repeat(70_000)), "max_metadata"),
        bad(with("id", "17"), "expected"),
        bad(with("time", "yesterday"), "expected RFC 3339"),
        bad(with("data_base64", "aGk="), "both data and data_base64"),
        bad(with("content_type", "text/plain"), "content_type goes with data_base64"),
        bad(with("data", json!("x".repeat(17 << 20))), "max_data"),
        bad("x".repeat(33 << 20), "MAX_LINE_BYTES"),
    ]
}

#[test]
fn an_import_stops_at_the_first_bad_line_and_says_what_is_durable() {
    let sandbox = Sandbox::with_tree();
    let good = event(SENT, "loan-1", json!({}));
    let mut expected = 0;
    for bad in bad_lines() {
        let shown: String = bad.line.chars().take(80).collect();
        sandbox.write("bad.ndjson", format!("{good}\n\n{}\n{good}\n", bad.line));
        let message = sandbox.atlas(["import", "bad.ndjson"]).refused();
        assert!(message.starts_with("bad.ndjson:3: "), "{shown}: {message}");
        assert!(message.contains(bad.says), "{shown}: {message}");
        assert!(message.len() < 1_000 && !message.contains("struct"), "{shown}: {} bytes", message.len());
        assert!(message.ends_with("(1 line before it is durable)"), "{shown}: {message}");
        expected += 1;
        assert_eq!(sandbox.export().len(), expected, "{shown}: the line before, and nothing after");
    }
}

/// Data that break the schema of their type are a bad line like any other.
#[test]
fn data_that_break_a_schema_are_a_bad_line() {
    let sandbox = Sandbox::with_tree();
    let types = json!([{ "type": SENT, "schema": { "required": ["amount"] } }]);
    sandbox.write("types.json", types.to_string());
    sandbox.atlas(["types", "declare", "types.json", "--application", "loans"]).done();
    let (good, bad) = (event(SENT, "loan-1", json!({ "amount": 1 })), event(SENT, "loan-1", json!({})));
    sandbox.write("mixed.ndjson", ndjson(&[good.clone(), bad, good]));
    let message = sandbox.atlas(["import", "mixed.ndjson"]).refused();
    assert!(message.starts_with("mixed.ndjson:2: ") && message.contains("\"amount\" is a required"), "{message}");
    let before = sandbox.export().len();
    let run = sandbox.atlas(["import", "--skip-bad", "mixed.ndjson"]).done();
    assert!(run.stderr.starts_with("mixed.ndjson:2: ") && run.stderr.lines().count() == 1, "{}", run.stderr);
    assert_eq!(sandbox.export().len(), before + 2);
}

#[test]
fn skipping_lists_each_bad_line_and_takes_the_good_ones() {
    let sandbox = Sandbox::with_tree();
    let good = event(SENT, "loan-1", json!({}));
    let all = bad_lines();
    let file: String = all.iter().map(|bad| format!("{}\n{good}\n", bad.line)).collect();
    sandbox.write("bad.ndjson", file);
    let run = sandbox.atlas(["import", "--skip-bad", "bad.ndjson"]).done();
    let listed: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(listed.len(), all.len(), "{}", run.stderr);
    for (index, (bad, message)) in all.iter().zip(listed).enumerate() {
        assert!(message.starts_with(&format!("bad.ndjson:{}: ", 2 * index + 1)), "{message}");
        assert!(message.contains(bad.says) && message.ends_with("; skipped"), "{message}");
    }
    let summary = format!("{} skipped", all.len());
    assert!(run.stdout.contains(&summary), "{}", run.stdout);
    assert_eq!(sandbox.export().len(), all.len());
}

#[test]
fn a_bad_line_far_down_is_found_with_all_before_it_durable() {
    let sandbox = Sandbox::with_tree();
    let mut lines = events(20_000);
    lines[12_345]["type"] = json!("LOAN_OFFER_LOST_COMPLETE_1");
    let message = sandbox.import(&lines).refused();
    assert!(message.starts_with("import.ndjson:12346: "), "{message}");
    assert!(message.ends_with("(12,345 lines before it are durable)"), "{message}");
    assert_eq!(sandbox.export().len(), 12_345, "nothing after the bad line");
}

#[test]
fn an_id_that_is_known_with_other_content_is_a_bad_line() {
    let sandbox = Sandbox::with_tree();
    let mut first = event(SENT, "loan-1", json!({ "a": 1 }));
    first["id"] = json!("01932f6e-0000-7000-8000-000000000001");
    sandbox.import(&[first.clone()]).done();
    first["data"] = json!({ "a": 2 });
    let message = sandbox.import(&[first.clone(), event(SENT, "loan-2", json!({}))]).refused();
    assert!(message.starts_with("import.ndjson:1: ") && message.contains("another data"), "{message}");
    assert_eq!(sandbox.export().len(), 1);
}

#[test]
fn a_file_that_cannot_be_imported_leaves_no_directory_behind() {
    let sandbox = Sandbox::new();
    sandbox.write("folder/file", "");
    for file in ["missing.ndjson", "folder"] {
        let message = sandbox.atlas(["import", file]).refused();
        assert!(message.starts_with(&format!("{file}: ")), "{message}");
    }
    sandbox.write("no-tree.ndjson", ndjson(&events(2)));
    let message = sandbox.atlas(["import", "no-tree.ndjson"]).refused();
    assert!(message.starts_with("no-tree.ndjson:1: ") && message.contains("no active configuration tree"), "{message}");
    assert!(!sandbox.dir().exists());
}

#[test]
fn a_gzip_that_is_cut_short_is_named_and_the_lines_before_are_durable() {
    use std::io::Write;
    let sandbox = Sandbox::with_tree();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(ndjson(&events(2_000)).as_bytes()).unwrap();
    let mut zipped = encoder.finish().unwrap();
    zipped.truncate(zipped.len() / 2);
    sandbox.write("cut.ndjson.gz", zipped);
    let message = sandbox.atlas(["import", "cut.ndjson.gz"]).refused();
    assert!(message.starts_with("cut.ndjson.gz:") && message.contains("cannot be read on"), "{message}");
    let durable = sandbox.export().len();
    assert!(durable > 0 && durable < 2_000, "{durable}");
}

#[test]
fn commands_that_create_nothing_refuse_a_missing_directory() {
    let sandbox = Sandbox::new();
    let id = "01932f6e-0000-7000-8000-000000000001";
    sandbox.write("not-a-store/file", "");
    sandbox.write_tree();
    let delivery = format!("{id}/tell");
    for arguments in [
        vec!["export"],
        vec!["streams"],
        vec!["stream", "bank/loans", "loan-1"],
        vec!["state", "bank/loans", "loan-1"],
        vec!["get", id],
        vec!["status", id],
        vec!["cascade", id],
        vec!["types", "list", "--application", "loans"],
        vec!["types", "retire", SENT, "--application", "loans"],
        vec!["queue", "list"],
        vec!["queue", "peek", "mail", "--scope", "bank/loans"],
        vec!["queue", "take", "mail", "--scope", "bank/loans"],
        vec!["queue", "ack", id],
        vec!["config", "check", "tree", "--scope", "bank/loans"],
        vec!["config", "activate", "bank/loans@1"],
        vec!["config", "show", "--scope", "bank/loans"],
        vec!["config", "history", "--scope", "bank/loans"],
        vec!["explain", SENT, "--scope", "bank/loans"],
        vec!["deliveries"],
        vec!["release", &delivery],
        vec!["drop", &delivery],
        vec!["stats"],
        vec!["verify"],
    ] {
        for dir in ["missing", "not-a-store"] {
            let message = sandbox.atlas([&["--dir", dir], &arguments[..]].concat()).refused();
            assert!(message.contains(dir) && message.contains("no Atlas store"), "{arguments:?}: {message}");
        }
    }
    assert!(!sandbox.path("missing").exists());
    assert_eq!(snapshot(&sandbox.path("not-a-store")).len(), 1);
}

#[test]
fn a_directory_that_is_held_can_be_read_and_not_written() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&events(30)).done();
    let id = sandbox.export()[0]["id"].as_str().unwrap().to_owned();
    let holder = atlas::log::EventStore::open(sandbox.dir()).unwrap();
    let process = format!("process {}", std::process::id());
    let delivery = format!("{id}/tell");
    sandbox.write("more.ndjson", ndjson(&events(1)));
    let before = snapshot(&sandbox.dir());
    for arguments in [
        vec!["import", "more.ndjson"],
        vec!["config", "import", "tree", "--scope", "bank/loans"],
        vec!["config", "activate", "bank/loans@1"],
        vec!["types", "retire", SENT, "--application", "loans"],
        vec!["queue", "take", "mail", "--scope", "bank/loans"],
        vec!["release", &delivery],
        vec!["drop", &delivery],
    ] {
        let message = sandbox.atlas(&arguments).refused();
        assert!(message.contains(&process), "{arguments:?}: {message}");
    }
    for arguments in [
        vec!["export"],
        vec!["stream", "bank/loans", "loan-1"],
        vec!["state", "bank/loans", "loan-1"],
        vec!["get", &id],
        vec!["status", &id],
        vec!["stats"],
        vec!["verify"],
    ] {
        let run = sandbox.atlas(&arguments).done();
        assert!(!run.stdout.is_empty(), "{arguments:?}");
    }
    let status = sandbox.atlas(["--json", "status", &id]).done().json();
    assert_eq!((&status["revision"], &status["skipped"]), (&json!(1), &json!(["tell"])), "routing is known");
    assert_eq!(snapshot(&sandbox.dir()), before, "looking writes nothing");
    assert_eq!(sandbox.export().len(), 30);
    holder.close().unwrap();
    sandbox.atlas(["import", "more.ndjson"]).done();
    assert_eq!(sandbox.export().len(), 31);
}

#[test]
fn an_id_in_several_scopes_needs_the_scope() {
    let sandbox = Sandbox::with_tree();
    sandbox.atlas(["config", "import", "tree", "--scope", "other/loans", "--activate"]).done();
    let id = "01932f6e-0000-7000-8000-000000000001";
    let mut one = event(SUBMITTED, "loan-1", json!({ "amount": 2_000 }));
    one["id"] = json!(id);
    let mut two = one.clone();
    two["tenant"] = json!("other");
    sandbox.import(&[one, two]).done();
    for command in ["get", "status", "cascade"] {
        let message = sandbox.atlas([command, id]).refused();
        assert!(message.contains("bank/loans, other/loans"), "{command}: {message}");
        sandbox.atlas([command, id, "--scope", "other/loans"]).done();
    }
    let delivery = format!("{id}/tell");
    for command in ["release", "drop"] {
        let message = sandbox.atlas([command, &delivery]).refused();
        assert!(message.contains("bank/loans, other/loans"), "{command}: {message}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&events(3)).done();
    let id = "01932f6e-0000-7000-8000-000000000001";
    for (arguments, says) in [
        (vec!["get", id], id),
        (vec!["get", id, "--scope", "bank/loans"], id),
        (vec!["status", id], id),
        (vec!["cascade", id], id),
        (vec!["stream", "bank/loans", "loan-99"], "loan-99"),
        (vec!["state", "bank/loans", "loan-99"], "loan-99"),
        (vec!["state", "bank/loans", "loan-0", "--at", "2"], "is at version 1"),
        (vec!["queue", "peek", "fax", "--scope", "bank/loans"], "fax"),
        (vec!["queue", "take", "fax", "--scope", "bank/loans"], "fax"),
        (vec!["queue", "ack", id], id),
        (vec!["release", "01932f6e-0000-7000-8000-000000000001/tell"], id),
        (vec!["drop", "01932f6e-0000-7000-8000-000000000001/tell"], id),
        (vec!["explain", "LOAN_OFFER_LOST_COMPLETE_1", "--scope", "bank/loans"], "LOAN_OFFER_LOST_COMPLETE_1"),
        (vec!["explain", "LOAN_OFFER_SENT_1", "--scope", "bank/loans"], "4 parts"),
        (vec!["explain", SENT, "--scope", "nobody/loans"], "nobody/loans"),
        (vec!["config", "activate", "bank/loans@99"], "99"),
        (vec!["config", "show", "--scope", "nobody/loans"], "nobody/loans"),
        (vec!["types", "retire", "LOAN_OFFER_LOST_COMPLETE_1", "--application", "loans"], "LOAN_OFFER_LOST_COMPLETE_1"),
    ] {
        let message = sandbox.atlas(&arguments).refused();
        assert!(message.contains(says), "{arguments:?}: {message}");
    }
}

#[test]
fn a_damaged_database_is_named_and_comes_back() {
    use std::fs;
    let sandbox = Sandbox::with_tree();
    sandbox.import(&events(30)).done();
    let queues = sandbox.atlas(["--json", "queue", "list"]).done().stdout;
    for file in ["catalog.redb", "dispatch.redb"] {
        let path = sandbox.dir().join(file);
        let mut bytes = fs::read(&path).unwrap();
        // All but the header: redb can only find out by reading on.
        bytes[4096..].iter_mut().for_each(|byte| *byte ^= 0xff);
        fs::write(&path, &bytes).unwrap();
        let run = sandbox.atlas(["--json", "verify"]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        let problem = &run.json()["problems"][0];
        assert_eq!((&problem["file"], &problem["offset"]), (&json!(file), &json!(0)));
        assert!(problem["what"].as_str().unwrap().contains("`atlas rebuild` makes it anew"), "{problem}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "verifying writes nothing");
        // The next to hold the directory makes it anew.
        assert_eq!(sandbox.atlas(["--json", "queue", "list"]).done().stdout, queues);
        sandbox.atlas(["verify"]).done();
    }
}
