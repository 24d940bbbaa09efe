//! A directory that a running import holds, its stdin still open: what is durable of it can be looked at, and nothing
//! else can be done; and a reader follows it from import to import, though each of them is killed.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use atlas::log::{EventStore, Query};
use serde_json::{Value, json};

use crate::import_export::assert_exported;
use crate::sandbox::{SENT, Sandbox, event, events};

/// An import that is given its lines one by one.
struct Import {
    child: Child,
    lines: ChildStdin,
    acks: Lines<BufReader<ChildStdout>>,
}

impl Import {
    fn new(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command(["import", "-", "--ack-every", "1", "--segment-size", "64KiB"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (lines, acks) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, lines, acks }
    }

    fn give(&mut self, events: &[Value]) {
        for event in events {
            writeln!(self.lines, "{event}").unwrap();
        }
        self.lines.flush().unwrap();
    }

    /// Reads until `lines` are acknowledged.
    fn acked(&mut self, lines: usize) {
        let wanted = format!("acked {lines}");
        assert!(self.acks.by_ref().any(|line| line.unwrap() == wanted), "{wanted}");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn what_a_running_import_has_made_durable_can_be_looked_at() {
    let sandbox = Sandbox::with_tree();
    let given = events(600);
    let mut import = Import::new(&sandbox);
    let mut durable = 0;
    for more in [1, 20, 400, 179] {
        import.give(&given[durable..durable + more]);
        durable += more;
        import.acked(durable);
        let exported = sandbox.export();
        assert_exported(&exported, &given[..durable]);
        let last = exported.last().unwrap();
        let (id, stream) = (last["id"].as_str().unwrap(), last["stream"].as_str().unwrap());
        let look = |arguments: &[&str]| sandbox.atlas([&["--json"], arguments].concat()).done();
        assert_eq!(look(&["get", id]).json()["position"], durable);
        assert_eq!(look(&["status", id]).json()["id"], id);
        assert_eq!(look(&["state", "bank/loans", stream]).json()["version"], last["version"]);
        assert_eq!(look(&["stream", "bank/loans", stream]).json().as_array().unwrap().last().unwrap()["id"], id);
        assert_eq!(look(&["stats"]).json()["events"], durable);
        assert_eq!(look(&["verify"]).json()["ok"], true);
    }
    // Everything else is refused, and says who holds the directory.
    sandbox.write("more.ndjson", format!("{}\n", event(SENT, "loan-1", json!({}))));
    let (holder, id) = (format!("process {}", import.child.id()), sandbox.export()[0]["id"].clone());
    let delivery = format!("{}/tell", id.as_str().unwrap());
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
        assert!(message.contains(&holder), "{arguments:?}: {message}");
    }
    // The import knows nothing of all that.
    import.give(&given[..1]);
    import.acked(durable + 1);
    drop(import.lines);
    assert!(import.child.wait().unwrap().success());
}

#[test]
fn a_reader_follows_from_one_killed_import_to_the_next() {
    const ROUNDS: usize = 8;
    let sandbox = Sandbox::with_tree();
    let given = events((ROUNDS + 1) * 400);
    let reader = EventStore::open_read_only(sandbox.dir()).unwrap();
    let mut subscription = reader.subscribe(Query::new(), 0);
    let mut seen = Vec::new();
    for round in 0..ROUNDS {
        let mut import = Import::new(&sandbox);
        let from = seen.len();
        import.give(&given[from..from + 400]);
        let acked = 50 + round * 40;
        import.acked(acked);
        // Live, while the import goes on; what was acknowledged is there.
        while seen.len() < from + acked {
            seen.push(subscription.next_blocking().unwrap());
        }
        import.kill();
        // All that is durable when nothing is written any more.
        while let Some(event) = subscription.try_next().unwrap() {
            seen.push(event);
        }
        // What was written and not acknowledged is recovered, and goes on from there.
        sandbox.import(&[event(SENT, "between", json!({ "round": round }))]).done();
        while let Some(event) = subscription.try_next().unwrap() {
            seen.push(event);
        }
        let exported = sandbox.export();
        assert_eq!(seen.len(), exported.len(), "round {round}");
        for (event, exported) in seen.iter().zip(&exported) {
            assert_eq!(event.id().to_string(), exported["id"].as_str().unwrap());
        }
    }
    assert!(reader.stats().unwrap().segments > 4);
    assert_eq!(reader.last_position() as usize, seen.len());
    reader.close().unwrap();
    assert_eq!(sandbox.atlas(["--json", "verify"]).done().json()["ok"], true);
}
