//! A real log, where it is there: 262,200 events of 13,087 loan applications, beside the repository. The whole of it is
//! what the issue's own runs import; here its beginning, so that the test stays short.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::import_export::assert_exported;
use crate::sandbox::{Sandbox, ndjson};

const LINES: usize = 20_000;

pub(crate) fn real_log() -> Option<Vec<Value>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/bpic2012.ndjson.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    Some(lines.take(LINES).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect())
}

#[test]
fn a_real_log_comes_out_as_it_went_in() {
    let Some(given) = real_log() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("events.ndjson", ndjson(&given));
    sandbox.atlas(["config", "init", "tree", "--from", "events.ndjson"]).done();
    sandbox.atlas(["config", "import", "tree", "--scope", "dutch-bank/loans", "--activate"]).done();
    sandbox.atlas(["import", "--segment-size", "1MiB", "events.ndjson"]).done();
    assert_exported(&sandbox.export(), &given);

    let state = |arguments: &[&str]| {
        let all = [&["--json", "state", "dutch-bank/loans", "loan-173688"], arguments].concat();
        sandbox.atlas(all).done().json()
    };
    let first = state(&["--at", "1"]);
    assert_eq!((&first["version"], &first["state"]["amount_requested"]), (&json!(1), &json!(20_000)));
    let last = state(&[]);
    let whole = state(&["--no-keyframes"]);
    assert_eq!((&last["version"], &last["state"]), (&whole["version"], &whole["state"]));
    assert_eq!((&whole["keyframe"], &whole["events_read"]), (&Value::Null, &whole["version"]));
}
