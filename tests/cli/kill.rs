//! An import that is killed: what was acknowledged is there, in order, and the directory is whole.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::import_export::assert_exported;
use crate::sandbox::{Sandbox, events, ndjson};

/// Rounds, each killed after another number of acknowledged lines.
const ROUNDS: u64 = 6;
const LINES: usize = 6_000;

#[test]
fn what_was_acknowledged_before_a_kill_is_exported() {
    let given = events(LINES);
    for round in 0..ROUNDS {
        let sandbox = Sandbox::with_tree();
        sandbox.write("events.ndjson", ndjson(&given));
        let arguments = ["import", "events.ndjson", "--ack-every", "100", "--segment-size", "256KiB"];
        let mut child = sandbox.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kill_after = 100 + round * 700;
        let mut acked = 0;
        while acked < kill_after {
            let line = lines.next().expect("more is acknowledged").unwrap();
            acked = line.strip_prefix("acked ").expect("an acknowledgement").parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was printed before the kill counts as well.
        for line in lines.map_while(Result::ok) {
            acked = line.strip_prefix("acked ").and_then(|n| n.parse().ok()).unwrap_or(acked);
        }

        let verified = sandbox.atlas(["--json", "verify"]).done().json();
        assert_eq!(verified["ok"], true, "round {round}: {verified}");
        let exported = sandbox.export();
        assert!(exported.len() as u64 >= acked, "round {round}: {} of {acked} acknowledged", exported.len());
        assert!(exported.len() <= LINES);
        assert_exported(&exported, &given[..exported.len()]);
        // And it goes on.
        sandbox.import(&given[exported.len()..]).done();
        assert_exported(&sandbox.export(), &given);
    }
}
