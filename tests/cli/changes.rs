//! Changes of configuration from the command line: planned, tried on history, activated, rolled back, exported; schemas,
//! upcasts, and a folder that is watched.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::real_log::real_log;
use crate::sandbox::{SCOPE, SENT, SUBMITTED, Sandbox, event, ndjson};

const DOCUMENT: &str = "tree/1/loan/application/submitted/complete.json";

fn guarded(when: &str, queue: &str) -> String {
    json!({ "handlers": [{ "name": "tell", "when": when, "data": "{loan: .stream}", "target": { "queue": queue } }] })
        .to_string()
}

#[test]
fn a_change_is_planned_activated_and_rolled_back_and_the_history_says_why() {
    let sandbox = Sandbox::with_tree();
    sandbox.write(DOCUMENT, guarded(".data.amount > $const.limit", "mail"));
    sandbox.write("tree/constants.json", r#"{"limit": 500}"#);
    let folder = sandbox.atlas(["--json", "config", "plan", "tree", "--scope", SCOPE]).done().json();
    assert_eq!(folder["documents"][0]["handlers"][0]["keys"]["when"]["after"], ".data.amount > $const.limit");
    let staged = ["config", "import", "tree", "--scope", SCOPE, "--actor", "desk 7", "--reason", "a limit"];
    sandbox.atlas(staged).done();
    let plan = sandbox.atlas(["config", "plan", "--scope", SCOPE]).done().stdout;
    for says in
        ["revision 2, while revision 1 is active", "+ constant limit: (none) -> 500", "~ handler tell", "1 to change"]
    {
        assert!(plan.contains(says), "{says}: {plan}");
    }
    let late = ["config", "activate", "bank/loans@2", "--expect", "bank/loans@0"];
    let message = sandbox.atlas(late).refused();
    assert!(message.contains("revision 1 is active; expected no revision"), "{message}");
    sandbox.atlas(["config", "activate", "bank/loans@2", "--expect", "bank/loans@1"]).done();
    sandbox.atlas(["config", "rollback", "--scope", SCOPE, "--actor", "desk 8"]).done();
    let history = sandbox.atlas(["--json", "config", "history", "--scope", SCOPE]).done().json();
    let told: Vec<_> = history.as_array().unwrap().iter().map(|e| (e["revision"].clone(), e["what"].clone())).collect();
    let told: Vec<String> =
        told.iter().map(|(revision, what)| format!("{revision} {}", what.as_str().unwrap())).collect();
    assert_eq!(told, ["1 imported", "1 activated", "2 imported", "2 activated", "1 activated"]);
    assert_eq!((&history[2]["reason"], &history[4]["actor"]), (&json!("a limit"), &json!("desk 8")));
    assert_eq!(history[4]["reason"], "rollback from 2");

    // What was imported comes out again, also of a catalog that was made anew.
    sandbox.atlas(["config", "export", "out", "--scope", SCOPE, "--revision", "2"]).done();
    std::fs::remove_file(sandbox.dir().join("catalog.redb")).unwrap();
    sandbox.atlas(["rebuild"]).done();
    assert_eq!(sandbox.atlas(["--json", "config", "history", "--scope", SCOPE]).done().json(), history);
    sandbox.atlas(["config", "export", "again", "--scope", SCOPE, "--revision", "2"]).done();
    let files = |folder: &str| {
        let files = crate::sandbox::snapshot(&sandbox.path(folder)).into_iter();
        let relative = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
            (path.strip_prefix(sandbox.path(folder)).unwrap().to_owned(), bytes)
        };
        files.map(relative).collect::<Vec<_>>()
    };
    assert_eq!(files("again"), files("out"));
    assert_eq!(files("out"), files("tree"));
    sandbox.atlas(["config", "export", "out", "--scope", SCOPE]).refused();
}

#[test]
fn data_that_break_a_schema_are_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.write_tree();
    let schema = json!({ "type": "object", "required": ["amount"], "properties": { "amount": { "type": "integer" } } });
    sandbox.write("tree/schemas/submitted.json", schema.to_string());
    let types = json!([{ "type": SUBMITTED, "schema": "schemas/submitted.json" }, SENT, "LOAN_RISK_SCORED_COMPLETE_1"]);
    sandbox.write("tree/types.json", types.to_string());
    sandbox.atlas(["config", "import", "tree", "--scope", SCOPE, "--activate"]).done();
    let message = sandbox.import(&[event(SUBMITTED, "s", json!({ "amount": "many" }))]).refused();
    for says in ["import.ndjson:1:", "/amount", "/properties/amount/type", "\"many\" is not of type"] {
        assert!(message.contains(says), "{says}: {message}");
    }
    assert!(sandbox.export().is_empty());
    sandbox.import(&[event(SUBMITTED, "s", json!({ "amount": 5 }))]).done();
    let listed = sandbox.atlas(["--json", "types", "list", "--application", "loans"]).done().json();
    assert_eq!(listed[0]["schema"]["format"], "json-schema", "{listed}");
    // A narrower schema for the same version is refused, with its place in the schema.
    sandbox.write("narrow.json", json!([{ "type": SUBMITTED, "schema": false }]).to_string());
    let message = sandbox.atlas(["types", "declare", "narrow.json", "--application", "loans"]).refused();
    assert!(message.contains("can't be seen to accept all that the one in use does"), "{message}");
}

#[test]
fn an_old_event_is_shown_as_its_newest_version_has_it() {
    let sandbox = Sandbox::with_tree();
    sandbox.import(&[event(SENT, "s", json!({ "rate": 3 }))]).done();
    let second = SENT.replace("_1", "_2");
    sandbox.write("types.json", json!([{ "type": second, "upcast": ".data + {by: \"post\"}" }]).to_string());
    sandbox.atlas(["types", "declare", "types.json", "--application", "loans"]).done();
    let id = sandbox.export()[0]["id"].as_str().unwrap().to_owned();
    let lifted = sandbox.atlas(["--json", "get", &id, "--lifted"]).done().json();
    assert_eq!((&lifted["type"], &lifted["data"]), (&json!(second), &json!({ "rate": 3, "by": "post" })));
    let as_is = sandbox.atlas(["--json", "get", &id]).done().json();
    assert_eq!((&as_is["type"], &as_is["data"]), (&json!(SENT), &json!({ "rate": 3 })));
}

#[test]
fn history_is_tried_on_a_tree_that_is_not_active() {
    let Some(given) = real_log() else { return };
    let sandbox = Sandbox::new();
    let scope = "dutch-bank/loans";
    sandbox.write("events.ndjson", ndjson(&given));
    sandbox.atlas(["config", "init", "tree", "--from", "events.ndjson"]).done();
    sandbox.write("tree/queues.json", r#"{"mail": {}, "desk": {}}"#);
    sandbox.write(DOCUMENT, guarded("true", "mail"));
    sandbox.atlas(["config", "import", "tree", "--scope", scope, "--activate"]).done();
    sandbox.atlas(["import", "events.ndjson"]).done();
    sandbox.write("tree/constants.json", r#"{"limit": 20000}"#);
    let large =
        json!({ "name": "large", "when": ".data.amount_requested > $const.limit", "target": { "queue": "desk" } });
    let mut document: Value = serde_json::from_str(&guarded(".data.amount_requested <= $const.limit", "mail")).unwrap();
    document["handlers"].as_array_mut().unwrap().push(large);
    sandbox.write(DOCUMENT, document.to_string());
    let before = crate::sandbox::snapshot(&sandbox.dir().join("log"));
    let run = sandbox.atlas(["--json", "what-if", "tree", "--scope", scope, "--full", "1"]).done();
    assert_eq!(crate::sandbox::snapshot(&sandbox.dir().join("log")), before);
    // Worked out independently, from the file.
    let submitted = |event: &&Value| event["type"] == SUBMITTED;
    let is_large = |event: &&Value| event["data"]["amount_requested"].as_f64().unwrap() > 20_000.0;
    let all = given.iter().filter(submitted).count();
    let above = given.iter().filter(submitted).filter(is_large).count();
    assert!(above > 100 && all > above);
    let lines = run.lines();
    assert_eq!(lines.len(), above + 1);
    let outcome = &lines[above]["outcome"];
    assert_eq!((&outcome["events"], &outcome["differing"]), (&json!(given.len()), &json!(above)));
    let tell = &outcome["handlers"]["tell"];
    assert_eq!((&tell["before"]["calls"], &tell["after"]["calls"]), (&json!(all), &json!(all - above)));
    assert_eq!(outcome["handlers"]["large"]["after"]["events"], json!(above));
    assert!(
        lines[0]["handlers"][0]["after"]["trial"].is_object() && lines[1]["handlers"][0]["after"]["trial"].is_null()
    );
    let text = sandbox.atlas(["what-if", "tree", "--scope", scope, "--quiet", "--type", "LOAN_OFFER_"]).done().stdout;
    assert!(text.contains(", 0 would be routed otherwise"), "{text}");
}

#[test]
fn a_folder_that_is_watched_is_activated_whenever_it_is_whole() {
    let sandbox = Sandbox::new();
    sandbox.write_tree();
    let mut command = sandbox.command(["config", "watch", "tree", "--scope", SCOPE]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(out.any(|line| line.contains("bank/loans: revision 1 is active")));
    sandbox.write(DOCUMENT, "{\"handlers\": [1]}");
    assert!(errors.any(|line| line.contains("tree/1/loan/application/submitted/complete.json:1:15")));
    sandbox.write(DOCUMENT, "{\"handlers\": []}");
    assert!(out.any(|line| line.contains("bank/loans: revision 2 is active, instead of 1")));
    child.kill().unwrap();
    child.wait().unwrap();
    sandbox.atlas(["config", "show", "--scope", SCOPE]).done();
}

#[test]
fn editors_get_a_schema_of_each_file() {
    let sandbox = Sandbox::new();
    let schema = sandbox.atlas(["config", "schema"]).done().json();
    assert_eq!(schema["required"], json!(["handlers"]));
    for file in ["types", "queues", "constants", "tree"] {
        assert!(sandbox.atlas(["config", "schema", file]).done().json().is_object());
    }
    assert_eq!(sandbox.atlas(["config", "schema", "tables"]).code, 2);
}
