//! Queues and deliveries from the command line.

use serde_json::{Value, json};

use crate::sandbox::{SCOPE, SCORED, SENT, SUBMITTED, Sandbox, event, ndjson};

fn three_messages() -> Sandbox {
    let sandbox = Sandbox::with_tree();
    let given: Vec<Value> =
        (1..=3).map(|n| event(SUBMITTED, &format!("loan-{n}"), json!({ "amount": n * 2_000 }))).collect();
    sandbox.import(&given).done();
    sandbox
}

#[test]
fn messages_are_peeked_taken_and_acknowledged() {
    let sandbox = three_messages();
    let list = || sandbox.atlas(["--json", "queue", "list", "--scope", SCOPE]).done().json();
    let messages = |command: &str, max: &str| {
        let run = sandbox.atlas(["--json", "queue", command, "mail", "--scope", SCOPE, "--max", max]).done();
        run.json().as_array().unwrap().clone()
    };
    let row = |depth: u64, leased: u64| json!([SCOPE, "mail", depth, leased, 0]);
    let list = || {
        let (queues, keys) = (list(), ["scope", "name", "depth", "leased", "dead"]);
        assert!(queues.as_array().unwrap().len() == 1 && queues[0]["oldest"].is_string(), "{queues}");
        Value::from_iter(keys.map(|key| queues[0][key].clone()))
    };
    assert_eq!(list(), row(3, 0));
    assert_eq!(messages("peek", "10").len(), 3);
    // Deliveries of different streams go in parallel: the messages are in the order in which they came about.
    let first = json!({ "loan": "loan-1", "amount": 2_000 });
    assert!(messages("peek", "10").iter().any(|message| message["data"] == first));
    assert_eq!(list(), row(3, 0), "a look takes nothing");

    let taken = messages("take", "2");
    assert_eq!(taken.len(), 2);
    assert_eq!(list(), row(3, 2));
    assert_eq!(messages("take", "10").len(), 1, "what is leased is not taken again");
    assert_eq!(messages("take", "10").len(), 0);

    let id = taken[0]["id"].as_str().unwrap();
    sandbox.atlas(["queue", "ack", id]).done();
    assert_eq!(list(), row(2, 2));
    let text = sandbox.atlas(["queue", "list"]).done().stdout;
    assert!(text.contains("mail"), "{text}");
}

#[test]
fn a_lease_that_ran_out_gives_the_message_back() {
    let sandbox = three_messages();
    let take = || {
        let arguments = ["--json", "queue", "take", "mail", "--scope", SCOPE, "--max", "10", "--lease", "1ms"];
        sandbox.atlas(arguments).done().json().as_array().unwrap().len()
    };
    assert_eq!(take(), 3);
    // By the time another process has started, a millisecond is over.
    assert_eq!(take(), 3);
}

#[test]
fn messages_are_given_back_extended_dropped_and_requeued() {
    let sandbox = Sandbox::with_tree();
    let options = json!({ "mail": { "max_receives": 1, "groups": ["send"] } });
    sandbox.write("tree/queues.json", options.to_string());
    sandbox.atlas(["config", "import", "tree", "--scope", SCOPE, "--activate"]).done();
    sandbox.import(&[1, 2].map(|n| event(SUBMITTED, &format!("loan-{n}"), json!({ "amount": n * 2_000 })))).done();
    let of_queue = |command: &str, more: &[&str]| {
        let start = ["--json", "queue", command, "mail", "--scope", SCOPE];
        sandbox.atlas(start.iter().chain(more).copied())
    };
    let refused = of_queue("take", &[]).refused();
    assert!(refused.contains("queue mail of bank/loans has groups; expected one of them: send"), "{refused}");
    let taken = of_queue("take", &["--group", "send", "--max", "2"]).done().json();
    assert_eq!((&taken[0]["receipt"], &taken[0]["receives"]), (&json!(1), &json!(1)));
    let ids = [0, 1].map(|n| taken[n]["id"].as_str().unwrap().to_owned());
    let act = |command: &str, id: &str, more: &[&str]| {
        sandbox.atlas(["queue", command, id, "--group", "send"].iter().chain(more).copied())
    };
    let lost = act("ack", &ids[0], &["--receipt", "7"]).refused();
    assert!(lost.contains("the lease 7 of message"), "{lost}");
    act("extend", &ids[0], &["--receipt", "1", "--lease", "1h"]).done();
    let long = act("extend", &ids[0], &["--lease", "13h"]).refused();
    assert!(long.contains("MAX_LEASE"), "{long}");
    act("nack", &ids[0], &["--delay", "5m", "--reason", "no paper"]).done();
    let dead = of_queue("dead", &["--group", "send"]).done().json();
    assert_eq!((&dead[0]["id"], &dead[0]["reason"]), (&json!(ids[0]), &json!("no paper")));
    let table = sandbox.atlas(["queue", "list"]).done().stdout;
    assert!(table.contains("GROUP") && table.contains("AGE") && table.contains("send"), "{table}");
    act("requeue", &ids[0], &["--reason", "paper came"]).done();
    assert!(act("requeue", &ids[0], &[]).refused().contains("only a dead letter can be requeued"));
    act("drop", &ids[0], &["--reason", "sent by hand"]).done();
    let all = ["--json", "queue", "requeue", "--all", "mail", "--scope", SCOPE, "--group", "send"];
    assert_eq!(sandbox.atlas(all).done().json(), json!({ "requeued": 0 }));
    let all = ["--json", "queue", "drop", "--all", "mail", "--scope", SCOPE, "--group", "send"];
    assert_eq!(sandbox.atlas(all).done().json(), json!({ "dropped": 1 }));
}

#[test]
fn what_cannot_be_served_here_is_left_and_listed() {
    let sandbox = Sandbox::with_tree();
    let run = sandbox.import(&[event(SCORED, "loan-1", json!({})), event(SCORED, "loan-2", json!({}))]).done();
    assert!(run.stdout.contains("2 deliveries"), "{}", run.stdout);
    let deliveries = sandbox.atlas(["--json", "deliveries", "--scope", SCOPE]).done().json();
    let deliveries = deliveries.as_array().unwrap();
    assert_eq!(deliveries.len(), 2);
    assert!(deliveries.iter().all(|d| d["handler"] == "score" && d["phase"] == "Pending"), "{deliveries:?}");
    assert_eq!(sandbox.atlas(["--json", "deliveries", "--parked"]).done().json(), json!([]));

    let id = deliveries[0]["id"].as_str().unwrap();
    let message = sandbox.atlas(["release", id]).refused();
    assert!(message.contains("parked"), "{message}");
    sandbox.atlas(["drop", id, "--reason", "asked for twice"]).done();
    let event_id = id.split_once('/').unwrap().0;
    let status = sandbox.atlas(["--json", "status", event_id]).done().json();
    assert_eq!((&status["phase"], &status["outcome"]), (&json!("Complete"), &json!("Failure")));
    assert!(status.to_string().contains("asked for twice"), "{status}");
    assert_eq!(sandbox.atlas(["--json", "deliveries"]).done().json().as_array().unwrap().len(), 1);
}

#[test]
fn messages_are_put_from_lines_and_come_in_with_the_next_import() {
    let sandbox = Sandbox::with_tree();
    sandbox.write("tree/queues.json", r#"{"mail": {"max_depth": 3}, "inbox": {"ingest": true}}"#);
    sandbox.atlas(["config", "import", "tree", "--scope", SCOPE, "--activate"]).done();
    let put = |queue: &str, more: &[&str], lines: &str| {
        let start = ["--json", "queue", "put", queue, "--scope", SCOPE];
        sandbox.atlas_with_input(start.iter().chain(more).copied(), lines.as_bytes())
    };
    let id = "00000000-0000-7000-8000-000000000001";
    assert_eq!(put("mail", &["--id", id, "--actor", "desk 7"], "{\"a\": 1}").done().lines()[0]["id"], id);
    put("mail", &["--id", id], "{\"a\":1.0}").refused();
    assert!(put("mail", &["--id", id], "1\n2\n").refused().contains("stdin:2: there is a second line"));
    let faulty = put("mail", &[], "{\"a\": 2}\n{\"a\"\n").refused();
    assert!(faulty.contains("stdin:2: ") && faulty.contains("it is not JSON"), "{faulty}");
    assert!(put("mail", &[], "1\n2\n3\n4\n").refused().contains("max_depth of 3"));
    assert!(put("male", &[], "1\n").refused().contains("expected one of its queues: inbox, mail"));
    let peeked = sandbox.atlas(["--json", "queue", "peek", "mail", "--scope", SCOPE]).done().json();
    assert_eq!((peeked[0]["id"].as_str(), peeked[0]["actor"].as_str()), (Some(id), Some("desk 7")));

    let good = event(SENT, "loan-1", json!({}));
    put("inbox", &[], &ndjson(&[good, json!({ "type": "A_B_C_D_1", "stream": "s", "data": null })])).done();
    let run = sandbox.import(&[]);
    assert!(run.stderr.contains("1 message can't come in: atlas queue dead inbox --scope"), "{}", run.stderr);
    assert_eq!(sandbox.export().len(), 1);
    let dead = sandbox.atlas(["--json", "queue", "dead", "inbox", "--scope", SCOPE]).done().json();
    assert!(dead[0]["reason"].as_str().unwrap().contains("A_B_C_D_1"), "{dead}");
}
