//! Configuration trees from the command line: written from a file of events, checked, staged, activated, explained.

use serde_json::{Value, json};

use crate::sandbox::{SCOPE, SENT, SUBMITTED, Sandbox, event, events, ndjson};

#[test]
fn a_first_tree_from_nothing_in_a_few_commands() {
    let sandbox = Sandbox::new();
    let given = [
        event(SUBMITTED, "loan-1", json!({ "amount": 20_000 })),
        event(SENT, "loan-1", json!({})),
        event(SENT, "loan-1", json!({})),
    ];
    sandbox.write("events.ndjson", ndjson(&given));
    sandbox.atlas(["config", "init", "tree", "--from", "events.ndjson"]).done();
    let document = "tree/1/loan/offer/sent/complete.json";
    let written: Value = serde_json::from_slice(&std::fs::read(sandbox.path(document)).unwrap()).unwrap();
    assert_eq!(written["handlers"], json!([]));
    sandbox.write(document, r#"{"handlers": [{"name": "post", "target": {"queue": "letters"}}]}"#);
    sandbox.write("tree/queues.json", r#"{"letters": {}}"#);
    sandbox.atlas(["config", "import", "tree", "--scope", SCOPE, "--activate"]).done();
    sandbox.atlas(["import", "events.ndjson"]).done();
    let messages = sandbox.atlas(["--json", "queue", "peek", "letters", "--scope", SCOPE]).done().json();
    assert_eq!(messages[0]["data"]["type"], SENT, "{messages}");
    let queues = sandbox.atlas(["--json", "queue", "list"]).done().json();
    assert_eq!((&queues[0]["scope"], &queues[0]["name"]), (&json!(SCOPE), &json!("letters")));
    assert_eq!((&queues[0]["depth"], &queues[0]["leased"]), (&json!(2), &json!(0)));
}

#[test]
fn a_first_tree_of_a_catalogue_has_what_is_in_use() {
    let sandbox = Sandbox::new();
    let init = ["config", "init", "of-catalogue", "--application", "loans"];
    sandbox.atlas(init).refused();
    sandbox.write("types.json", json!([SUBMITTED, SENT, "LOAN_OFFER_LOST_COMPLETE_1"]).to_string());
    sandbox.atlas(["types", "declare", "types.json", "--application", "loans"]).done();
    sandbox.atlas(["types", "retire", "LOAN_OFFER_LOST_COMPLETE_1", "--application", "loans"]).done();
    let shown = sandbox.atlas(init).done().stdout;
    assert!(shown.contains("a tree of 2 types of the catalogue of loans"), "{shown}");
    sandbox.atlas(["config", "import", "of-catalogue", "--scope", SCOPE, "--activate"]).done();
    assert!(sandbox.atlas(init).refused().contains("not empty"));
    let message = sandbox.atlas(["config", "init", "none", "--application", "cards"]).refused();
    assert!(message.contains("cards: no types are declared"), "{message}");
}

#[test]
fn init_refuses_what_it_would_spoil_or_cannot_know() {
    let sandbox = Sandbox::new();
    sandbox.write("events.ndjson", ndjson(&events(3)));
    sandbox.write("full/file", "");
    let message = sandbox.atlas(["config", "init", "full", "--from", "events.ndjson"]).refused();
    assert!(message.contains("full"), "{message}");
    let mut other = event(SENT, "s", json!({}));
    other["application"] = json!("savings");
    sandbox.write("mixed.ndjson", ndjson(&[event(SENT, "s", json!({})), other]));
    let message = sandbox.atlas(["config", "init", "tree", "--from", "mixed.ndjson"]).refused();
    assert!(message.contains("savings"), "{message}");
    sandbox.write("bad.ndjson", "{}\nnot json\n");
    let message = sandbox.atlas(["config", "init", "tree", "--from", "bad.ndjson"]).refused();
    assert!(message.contains("bad.ndjson:1"), "{message}");
    sandbox.atlas(["config", "init", "tree", "--from", "missing.ndjson"]).refused();
    assert!(!sandbox.path("tree").exists());
    assert!(!sandbox.dir().exists(), "init opens no store");
}

#[test]
fn revisions_are_staged_activated_shown_and_remembered() {
    let sandbox = Sandbox::new();
    sandbox.write_tree();
    sandbox.atlas(["config", "import", "tree", "--scope", SCOPE]).done();
    let message = sandbox.import(&events(1)).refused();
    assert!(message.starts_with("import.ndjson:1: ") && message.contains(SCOPE), "{message}");

    sandbox.atlas(["config", "activate", "bank/loans@1"]).done();
    sandbox.import(&events(1)).done();
    let shown = sandbox.atlas(["config", "show", "--scope", SCOPE]).done().stdout;
    assert!(shown.contains(SUBMITTED), "{shown}");
    sandbox.atlas(["config", "import", "tree", "--scope", SCOPE]).done();
    let history = sandbox.atlas(["--json", "config", "history", "--scope", SCOPE]).done().json();
    assert!(history.to_string().contains("\"revision\":1"), "{history}");
    assert!(!history.to_string().contains("\"revision\":2"), "equal content is the same revision: {history}");
}

#[test]
fn a_tree_with_faults_is_refused_with_all_of_them_and_applied_not_at_all() {
    let sandbox = Sandbox::with_tree();
    sandbox.write("tree/1/loan/offer/sent/complete.json", "{\n  \"handlers\": [],\n  \"handelrs\": []\n}");
    sandbox.write(
        "tree/1/loan/risk/scored/complete.json",
        r#"{"handlers": [{"name": "a", "when": ".data.", "target": {"queue": "fax"}}]}"#,
    );
    sandbox.write("tree/1/loan/APPLICATION/submitted/complete.json", r#"{"handlers": []}"#);
    for arguments in [
        vec!["config", "import", "tree", "--scope", SCOPE, "--activate"],
        vec!["config", "check", "tree", "--scope", SCOPE],
        vec!["config", "check", "tree"],
    ] {
        let run = sandbox.atlas(&arguments);
        assert_eq!(run.code, 1, "{arguments:?}: {}", run.stdout);
        for says in ["complete.json:3:", "handelrs", "fax", "APPLICATION"] {
            assert!(run.stderr.contains(says), "{arguments:?}: {says}: {}", run.stderr);
        }
        for line in run.stderr.lines() {
            assert!(line.contains(".json"), "each line names its file: {line}");
        }
    }
    let history = sandbox.atlas(["--json", "config", "history", "--scope", SCOPE]).done().json();
    assert!(!history.to_string().contains("\"revision\":2"), "{history}");
    sandbox.import(&events(3)).done();
}

#[test]
fn a_tree_without_a_type_of_the_catalogue_is_not_activated() {
    let sandbox = Sandbox::with_tree();
    std::fs::remove_file(sandbox.path("tree/1/loan/offer/sent/complete.json")).unwrap();
    let message = sandbox.atlas(["config", "import", "tree", "--scope", "other/loans", "--activate"]);
    assert_eq!(message.code, 1);
    assert!(message.stderr.contains(SENT), "{}", message.stderr);
    let history = sandbox.atlas(["--json", "config", "history", "--scope", "other/loans"]);
    assert!(!history.stdout.contains("revision"), "nothing was staged: {}", history.stdout);
    let mut lost = event(SENT, "s", json!({}));
    lost["tenant"] = json!("other");
    sandbox.import(&[lost]).refused();
    let before = sandbox.atlas(["--json", "config", "history", "--scope", SCOPE]).done().stdout;
    assert_eq!(sandbox.atlas(["config", "import", "tree", "--scope", SCOPE, "--activate"]).code, 1);
    let after = sandbox.atlas(["--json", "config", "history", "--scope", SCOPE]).done().stdout;
    assert_eq!(after, before);
    sandbox.atlas(["--dir", "new", "config", "import", "tree", "--scope", SCOPE, "--activate"]).refused();
    assert!(!sandbox.path("new").exists());
}

#[test]
fn types_are_declared_listed_and_retired() {
    let sandbox = Sandbox::new();
    sandbox
        .write("types.json", json!([SENT, { "type": SUBMITTED, "description": "A loan is asked for." }]).to_string());
    sandbox.atlas(["types", "declare", "types.json", "--application", "loans"]).done();
    let listed = sandbox.atlas(["--json", "types", "list", "--application", "loans"]).done().json();
    assert!(listed.to_string().contains(SENT) && listed.to_string().contains("A loan is asked for."), "{listed}");
    sandbox.atlas(["types", "retire", SENT, "--application", "loans"]).done();
    sandbox.write("bad.json", "[\"LOAN_OFFER_SENT_1\"]");
    let message = sandbox.atlas(["types", "declare", "bad.json", "--application", "loans"]).refused();
    assert!(message.contains("bad.json") && message.contains("4 parts"), "{message}");
    sandbox.atlas(["--dir", "other", "types", "declare", "missing.json", "--application", "loans"]).refused();
    assert!(!sandbox.path("other").exists());
}

#[test]
fn explain_tells_tree_revision_document_and_handlers() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&[event(SUBMITTED, "loan-1", json!({ "amount": 5 }))]).done();
    let by_type = sandbox.atlas(["explain", SUBMITTED, "--scope", SCOPE]).done().stdout;
    for says in [SCOPE, "revision 1", "tell", "mail", ".data.amount > 1000"] {
        assert!(by_type.contains(says), "{says}: {by_type}");
    }
    let id = sandbox.export()[0]["id"].as_str().unwrap().to_owned();
    let by_event = sandbox.atlas(["explain", &id]).done().stdout;
    assert!(by_event.contains(SUBMITTED) && by_event.contains("tell"), "{by_event}");
    let json = sandbox.atlas(["--json", "explain", SUBMITTED, "--scope", SCOPE]).done().json();
    assert_eq!(json["revision"], 1, "{json}");
}

/// Also in a build that could: no command has an effect outside the store.
#[test]
fn the_command_line_calls_no_endpoint_and_says_who_would() {
    let sandbox = Sandbox::new();
    sandbox.write("events.ndjson", ndjson(&[event(SENT, "loan-1", json!({}))]));
    sandbox.atlas(["config", "init", "tree", "--from", "events.ndjson"]).done();
    let target = r#"{"url": "http://127.0.0.1:9/offers", "format": "cloudevents"}"#;
    let document = format!(r#"{{"handlers": [{{"name": "tell", "target": {{"http": {target}}}}}]}}"#);
    sandbox.write("tree/1/loan/offer/sent/complete.json", document);
    let imported = sandbox.atlas(["config", "import", "tree", "--scope", SCOPE, "--activate"]).done();
    let waits =
        "unbound: http http://127.0.0.1:9/offers, called for 1 type; its deliveries wait for a host that calls http";
    assert!(imported.stderr.contains(waits), "{}", imported.stderr);
    let left = sandbox.atlas(["import", "events.ndjson"]).done().stdout;
    assert!(left.contains("left: 1 delivery to tell in "), "{left}");
    let explained = sandbox.atlas(["explain", SENT, "--scope", SCOPE]).done().stdout;
    assert!(explained.contains("tell -> http http://127.0.0.1:9/offers (unbound here)"), "{explained}");
    assert!(explained.contains("sends cloudevents, with 0 headers of its own; answer: ignore"), "{explained}");
}
