//! Looking at a store: the shapes of `--json`, which others rely on, and what people see.

use serde_json::{Value, json};

use crate::sandbox::{SCORED, SENT, SUBMITTED, Sandbox, event, events, snapshot};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A loan that is asked for, offered, and offered again.
fn loan() -> Sandbox {
    let sandbox = Sandbox::with_tree();
    let mut first = event(SUBMITTED, "loan-1", json!({ "amount": 2_000, "purpose": "boat" }));
    first["time"] = json!("2011-10-01T10:00:00Z");
    let mut second = event(SENT, "loan-1", json!({ "offer": { "rate": 3, "years": 5 } }));
    second["time"] = json!("2011-10-01T12:00:00Z");
    let mut third = event(SENT, "loan-1", json!({ "offer": { "rate": 2 }, "purpose": null }));
    third["time"] = json!("2011-10-01T11:00:00Z");
    sandbox.import(&[first, second, third, event(SENT, "loan-2", json!({}))]).done();
    sandbox
}

#[test]
fn a_state_can_be_had_at_any_version_and_time() {
    let sandbox = loan();
    let state = |arguments: &[&str]| {
        sandbox.atlas([&["--json", "state", "bank/loans", "loan-1"], arguments].concat()).done().json()
    };
    let now = state(&[]);
    assert_eq!(keys(&now), ["events_read", "keyframe", "state", "version"]);
    assert_eq!(
        (&now["version"], &now["state"]),
        (&json!(3), &json!({ "amount": 2000, "offer": { "rate": 2, "years": 5 } }))
    );
    assert_eq!(state(&["--no-keyframes"])["state"], now["state"]);
    assert_eq!(state(&["--no-keyframes"])["events_read"], 3);
    assert_eq!(state(&["--at", "1"])["state"], json!({ "amount": 2000, "purpose": "boat" }));
    assert_eq!(state(&["--at", "0"])["version"], 0);

    // By the time of the events: version 2 happened at 12, and what stands after it in the stream isn't reached.
    let occurred = |time: &str| state(&["--occurred", "--at", time])["version"].clone();
    assert_eq!(occurred("2011-10-01T09:59:59Z"), 0);
    assert_eq!(occurred("2011-10-01T10:00:00Z"), 1);
    assert_eq!(occurred("2011-10-01T13:30:00+02:00"), 1);
    assert_eq!(occurred("2011-10-01T12:00:00Z"), 3);

    // By the time of recording.
    let recorded: Vec<String> =
        sandbox.export().iter().map(|event| event["recorded_at"].as_str().unwrap().to_owned()).collect();
    assert_eq!(state(&["--at", "2011-10-01T12:00:00Z"])["version"], 0);
    assert_eq!(state(&["--at", &recorded[2]])["version"], 3);

    let text = sandbox.atlas(["state", "bank/loans", "loan-1"]).done();
    assert_eq!(serde_json::from_str::<Value>(&text.stdout).unwrap(), now["state"]);
    assert!(text.stderr.starts_with("version 3, from "), "{}", text.stderr);
}

#[test]
fn a_long_stream_is_read_from_its_keyframe() {
    let sandbox = Sandbox::with_tree();
    let long: Vec<Value> = (0..3_000).map(|n| event(SENT, "loan-1", json!({ format!("k{}", n % 50): n }))).collect();
    sandbox.import(&long).done();
    let state = |arguments: &[&str]| {
        sandbox.atlas([&["--json", "state", "bank/loans", "loan-1"], arguments].concat()).done().json()
    };
    let whole = state(&["--no-keyframes"]);
    assert_eq!((&whole["keyframe"], &whole["events_read"]), (&Value::Null, &json!(3_000)));
    state(&[]);
    let quick = state(&[]);
    let (keyframe, read) = (quick["keyframe"]["version"].as_u64().unwrap(), quick["events_read"].as_u64().unwrap());
    assert_eq!(keyframe + read, 3_000);
    assert!(read < 3_000, "{quick}");
    assert_eq!(quick["state"], whole["state"]);
    let early = state(&["--at", "7"]);
    assert_eq!((&early["version"], &early["keyframe"]), (&json!(7), &Value::Null));
}

#[test]
fn streams_and_their_events_are_listed() {
    let sandbox = loan();
    let streams = sandbox.atlas(["--json", "streams"]).done().json();
    let expected = json!([
        { "scope": "bank/loans", "stream": "loan-1", "version": 3 },
        { "scope": "bank/loans", "stream": "loan-2", "version": 1 },
    ]);
    let mut streams: Vec<Value> = streams.as_array().unwrap().clone();
    streams.sort_by_key(|stream| stream["stream"].to_string());
    assert_eq!(json!(streams), expected);
    assert_eq!(sandbox.atlas(["--json", "streams", "--limit", "1"]).done().json().as_array().unwrap().len(), 1);
    assert_eq!(sandbox.atlas(["--json", "streams", "--prefix", "loan-2"]).done().json(), json!([expected[1]]));
    assert_eq!(sandbox.atlas(["--json", "streams", "--scope", "other/loans"]).done().json(), json!([]));
    assert!(sandbox.atlas(["streams"]).done().stdout.starts_with("SCOPE"));

    let versions = |arguments: &[&str]| -> Vec<u64> {
        let all = [&["--json", "stream", "bank/loans", "loan-1"], arguments].concat();
        let events = sandbox.atlas(all).done().json();
        events.as_array().unwrap().iter().map(|event| event["version"].as_u64().unwrap()).collect()
    };
    assert_eq!(versions(&[]), [1, 2, 3]);
    assert_eq!(versions(&["--backward"]), [3, 2, 1]);
    assert_eq!(versions(&["--from", "2"]), [2, 3]);
    assert_eq!(versions(&["--backward", "--from", "2"]), [2, 1]);
    assert_eq!(versions(&["--limit", "1"]), [1]);
    assert_eq!(versions(&["--backward", "--limit", "2"]), [3, 2]);
    let text = sandbox.atlas(["stream", "bank/loans", "loan-1"]).done().stdout;
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains("2011-10-01T12:00:00.000Z"), "{text}");
}

#[test]
fn an_event_is_shown_by_its_id() {
    let sandbox = loan();
    let exported = sandbox.export();
    let id = exported[1]["id"].as_str().unwrap();
    assert_eq!(sandbox.atlas(["--json", "get", id]).done().json(), exported[1]);
    assert_eq!(sandbox.atlas(["get", id, "--scope", "bank/loans"]).done().json(), exported[1]);
}

#[test]
fn a_status_lists_deliveries_and_what_was_skipped() {
    let sandbox = Sandbox::with_tree();
    let given = [
        event(SUBMITTED, "loan-1", json!({ "amount": 2_000 })),
        event(SUBMITTED, "loan-2", json!({ "amount": 10 })),
        event(SCORED, "loan-1", json!({})),
    ];
    sandbox.import(&given).done();
    let ids: Vec<String> = sandbox.export().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let status = |id: &str| sandbox.atlas(["--json", "status", id]).done().json();

    let told = status(&ids[0]);
    for key in ["id", "phase", "outcome", "revision", "deliveries", "skipped"] {
        assert!(told.get(key).is_some(), "{key}: {told}");
    }
    assert_eq!((&told["phase"], &told["outcome"]), (&json!("Complete"), &json!("Success")));
    let delivery = &told["deliveries"][0];
    for key in ["id", "handler", "phase", "outcome", "attempts", "parked", "output", "error"] {
        assert!(delivery.get(key).is_some(), "{key}: {delivery}");
    }
    assert_eq!(delivery["id"], format!("{}/tell", ids[0]));
    assert_eq!((&delivery["phase"], &delivery["outcome"]), (&json!("Complete"), &json!("Success")));

    let quiet = status(&ids[1]);
    assert_eq!((&quiet["phase"], &quiet["skipped"]), (&json!("Complete"), &json!(["tell"])));

    let waiting = status(&ids[2]);
    assert_eq!((&waiting["phase"], &waiting["outcome"]), (&json!("Pending"), &Value::Null));
    assert_eq!(waiting["deliveries"][0]["phase"], "Pending");
    let text = sandbox.atlas(["status", &ids[2]]).done().stdout;
    assert!(text.contains("Pending") && text.contains("score"), "{text}");
}

#[test]
fn a_cascade_is_a_tree() {
    let sandbox = Sandbox::with_tree();
    let id = |n: u8| format!("01932f6e-0000-7000-8000-00000000000{n}");
    let caused = |n: u8, cause: u8| {
        let mut event = event(SENT, "loan-1", json!({}));
        event["id"] = json!(id(n));
        event["correlation_id"] = json!(id(1));
        if cause > 0 {
            event["causation_id"] = json!(id(cause));
        }
        event
    };
    sandbox.import(&[caused(1, 0), caused(2, 1), caused(3, 2), caused(4, 1)]).done();
    let text = sandbox.atlas(["cascade", &id(1)]).done().stdout;
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(SENT)).collect();
    assert_eq!(lines.len(), 4, "{text}");
    let depth = |line: &str| line.chars().take_while(|c| !c.is_ascii_alphanumeric()).count();
    let depths: Vec<usize> = lines.iter().map(|line| depth(line)).collect();
    assert!(depths[0] < depths[1] && depths[1] < depths[2] && depths[3] == depths[1], "{text}");
    let json = sandbox.atlas(["--json", "cascade", &id(1)]).done().stdout;
    for n in 1..=4 {
        assert!(json.contains(&id(n)), "{json}");
    }
    let dot = sandbox.atlas(["cascade", &id(1), "--dot"]).done().stdout;
    assert!(dot.starts_with("digraph cascade {\n") && dot.ends_with("}\n"), "{dot}");
    for (cause, caused) in [(1, 2), (2, 3), (1, 4)] {
        assert!(dot.contains(&format!("  \"{}\" -> \"{}\";\n", id(cause), id(caused))), "{dot}");
    }
    assert_eq!(dot.matches(" -> ").count(), 3, "{dot}");
}

#[test]
fn stats_and_verify_have_their_shapes_and_change_nothing() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&events(1_000)).done();
    let before = snapshot(&sandbox.dir());
    let stats = sandbox.atlas(["--json", "stats"]).done().json();
    assert_eq!(keys(&stats), ["events", "open_us", "sealed", "segments", "streams", "tail_bytes"]);
    assert_eq!((&stats["events"], &stats["streams"]), (&json!(1_000), &json!(7)));
    assert!(sandbox.atlas(["stats"]).done().stdout.contains("1,000  events"));
    let verified = sandbox.atlas(["--json", "verify"]).done().json();
    assert_eq!(keys(&verified), ["checked", "ok", "problems"]);
    assert_eq!((&verified["ok"], &verified["problems"]), (&json!(true), &json!([])));
    let deep = sandbox.atlas(["--json", "verify", "--deep"]).done().json();
    assert_eq!((&deep["ok"], &deep["problems"]), (&json!(true), &json!([])));
    let checked = &deep["checked"];
    assert_eq!((&checked["deep"], &checked["events"], &checked["streams"]), (&json!(true), &json!(1_000), &json!(7)));
    assert_eq!(checked["databases"], json!(["catalog.redb", "dispatch.redb"]));
    let told = sandbox.atlas(["verify", "--deep"]).done().stdout;
    assert!(told.starts_with("ok: 1 segment, 1,000 events, 7 streams, "), "{told}");
    sandbox.atlas(["export"]).done();
    assert_eq!(snapshot(&sandbox.dir()), before, "a look that changed nothing wrote nothing");
}

#[test]
fn verify_names_damage_and_repairs_nothing() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&events(1_000)).done();
    let segment = sandbox.dir().join("log/00000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&segment, bytes).unwrap();
    let before = snapshot(&sandbox.dir());
    let run = sandbox.atlas(["--json", "verify"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let report = run.json();
    assert_eq!(report["ok"], false);
    let problem = &report["problems"][0];
    assert_eq!(keys(problem), ["file", "offset", "what"]);
    assert_eq!(problem["file"], "log/00000001.seg");
    assert!(problem["offset"].as_u64().unwrap() <= middle as u64, "{problem}");
    assert_eq!(snapshot(&sandbox.dir()), before);
}
