//! A folder of its own for each test, with a tree and events, and the program to run in it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

pub(crate) const SUBMITTED: &str = "LOAN_APPLICATION_SUBMITTED_COMPLETE_1";
pub(crate) const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";
pub(crate) const SCORED: &str = "LOAN_RISK_SCORED_COMPLETE_1";
pub(crate) const SCOPE: &str = "bank/loans";

pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

/// What a run of the program left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The run ended with 0; gives itself back.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The run was refused with 1 and one line on stderr, which is given back.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!(self.code, 1, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "one line is expected: {}", self.stderr);
        self.stderr.trim_end().to_owned()
    }

    /// What stands on stdout, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// What stands on stdout, as JSON a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With the tree of [`write_tree`](Self::write_tree) active for `bank/loans`.
    pub(crate) fn with_tree() -> Self {
        let sandbox = Self::new();
        sandbox.write_tree();
        sandbox.atlas(["config", "import", "tree", "--scope", SCOPE, "--activate"]).done();
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.path("atlas-data")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A tree of three types: one with a guarded queue handler, one that nothing handles, one with a function.
    pub(crate) fn write_tree(&self) {
        self.write("tree/types.json", json!([SUBMITTED, SENT, SCORED]).to_string());
        self.write("tree/queues.json", r#"{"mail": {}}"#);
        let submitted = json!({ "handlers": [
            { "name": "tell", "when": ".data.amount > 1000", "data": "{loan: .stream, amount: .data.amount}",
              "target": { "queue": "mail" } },
        ]});
        self.write("tree/1/loan/application/submitted/complete.json", submitted.to_string());
        self.write("tree/1/loan/offer/sent/complete.json", r#"{"handlers": []}"#);
        let scored = json!({ "handlers": [{ "name": "score", "target": { "function": "score" } }] });
        self.write("tree/1/loan/risk/scored/complete.json", scored.to_string());
    }

    pub(crate) fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn atlas(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    /// Runs the program to its end with `input` on stdin.
    pub(crate) fn atlas_with_input(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A program that ends early reads no further.
        let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
        let run = Run::of(child.wait_with_output().unwrap());
        writer.join().unwrap();
        run
    }

    /// Writes events to `name` and imports them.
    pub(crate) fn import(&self, events: &[Value]) -> Run {
        self.write("import.ndjson", ndjson(events));
        self.atlas(["import", "import.ndjson"])
    }

    /// All events, as `export` gives them.
    pub(crate) fn export(&self) -> Vec<Value> {
        self.atlas(["export"]).done().lines()
    }
}

/// An event of `bank/loans`.
pub(crate) fn event(event_type: &str, stream: &str, data: Value) -> Value {
    json!({ "type": event_type, "stream": stream, "tenant": "bank", "application": "loans", "data": data })
}

/// `count` events in 7 streams.
pub(crate) fn events(count: usize) -> Vec<Value> {
    let types = [SUBMITTED, SENT, SCORED];
    (0..count).map(|n| event(types[n % 3], &format!("loan-{}", n % 7), json!({ "n": n, "amount": n }))).collect()
}

pub(crate) fn ndjson(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// The names of all files under `folder` with their bytes, to tell whether anything changed. `LOCK` is left out: it
/// names the last process.
pub(crate) fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.ends_with("LOCK") {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { files.push((path.clone(), fs::read(path).unwrap())) }
        }
    }
    files.sort();
    files
}
