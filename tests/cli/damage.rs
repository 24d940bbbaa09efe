//! Damage, as operators meet it: what `verify` says, what `export --salvage` saves, what `rebuild` makes anew and what it
//! refuses.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use atlas::log::{Append, Options};
use atlas::{Event, EventStore};
use serde_json::{Value, json};

use crate::sandbox::{SENT, SUBMITTED, Sandbox, event, snapshot};

const EVENTS: u64 = 1_503;

/// A store of several segments, with frames of ten events.
fn store() -> Sandbox {
    let sandbox = Sandbox::with_tree();
    let log =
        EventStore::open_options(sandbox.dir(), Options { segment_size: 64 << 10, ..Options::default() }).unwrap();
    let scope = "bank/loans".parse().unwrap();
    for n in 0..150_u64 {
        let append = (0..10).fold(Append::to(&scope), |append, m| {
            let data = json!({ "n": n * 10 + m, "text": "x".repeat(100) });
            append.event(Event::new(SENT, format!("loan-{}", m % 7)).data(&data))
        });
        log.append(append).unwrap();
    }
    log.close().unwrap();
    drop(log);
    // These have messages.
    let told: Vec<Value> = (0..3).map(|n| event(SUBMITTED, "loan-1", json!({ "n": n, "amount": 2_000 }))).collect();
    sandbox.import(&told).done();
    assert!(segment(&sandbox, 4).exists());
    sandbox
}

fn segment(sandbox: &Sandbox, number: u32) -> PathBuf {
    sandbox.dir().join(format!("log/{number:08}.seg"))
}

/// Damages a byte in the middle of a file; where.
fn flip(path: &PathBuf) -> u64 {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
    middle as u64
}

fn positions(events: &[Value]) -> BTreeSet<u64> {
    events.iter().map(|event| event["position"].as_u64().unwrap()).collect()
}

#[test]
fn verify_goes_on_behind_damage_and_tells_what_stands_there() {
    let sandbox = store();
    let whole = sandbox.export();
    let damaged = [2, 3].map(|number| (number, flip(&segment(&sandbox, number))));
    let run = sandbox.atlas(["--json", "verify"]);
    let report = run.json();
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{report}");
    for (problem, (number, offset)) in problems.iter().zip(damaged) {
        assert_eq!(problem["file"], format!("log/{number:08}.seg"));
        let found = problem["offset"].as_u64().unwrap();
        assert!(found >= 64 && found <= offset, "{problem}");
        let what = problem["what"].as_str().unwrap();
        assert!(what.contains("; positions ") && what.ends_with(" stand behind it"), "{problem}");
    }
    // They end where the next segment begins.
    let third = positions(&sandbox.atlas(["export", "--salvage"]).lines());
    let behind =
        |number: usize| problems[number]["what"].as_str().unwrap().split(' ').rev().nth(3).unwrap().parse::<u64>();
    assert!(third.contains(&(behind(0).unwrap() + 1)), "{report}");
    assert_eq!(whole.len() as u64, EVENTS);
    let text = sandbox.atlas(["verify"]);
    assert_eq!((text.code, text.stdout.lines().count()), (1, 2));
    assert!(text.stderr.contains("2 problems found; nothing was changed; `atlas export --salvage`"), "{}", text.stderr);
}

#[test]
fn what_is_whole_is_exported_and_what_is_lost_is_said() {
    let sandbox = store();
    let whole = sandbox.export();
    let clean = sandbox.atlas(["export", "--salvage"]).done();
    assert_eq!((clean.lines(), clean.stderr.as_str()), (whole.clone(), ""));

    flip(&segment(&sandbox, 1));
    fs::remove_file(segment(&sandbox, 3)).unwrap();
    let before = snapshot(&sandbox.dir());
    let refused = sandbox.atlas(["export"]).refused();
    assert!(refused.contains(".seg"), "{refused}");
    let run = sandbox.atlas(["--json", "export", "--salvage"]);
    assert_eq!(run.code, 1);
    assert_eq!(snapshot(&sandbox.dir()), before, "salvage writes nothing");
    let saved = run.lines();
    let mut lost = BTreeSet::new();
    for line in run.stderr.lines() {
        let loss: Value = serde_json::from_str(line).unwrap();
        assert!(loss["file"].as_str().unwrap().ends_with(".seg") && loss["offset"].is_u64(), "{loss}");
        let number = |end: &str| loss["positions"][end].as_u64();
        if let (Some(start), Some(end)) = (number("start"), number("end")) {
            lost.extend(start..=end);
        }
    }
    assert!(!lost.is_empty() && lost.len() < 1_000, "{}", run.stderr);
    assert!(positions(&saved).is_disjoint(&lost));
    assert_eq!(saved.len() + lost.len(), EVENTS as usize, "each event is read or said to be lost");
    let expected: Vec<Value> =
        whole.into_iter().filter(|event| !lost.contains(&event["position"].as_u64().unwrap())).collect();
    assert_eq!(saved, expected);
    let text = sandbox.atlas(["export", "--salvage"]);
    assert!(
        text.stderr.lines().all(|line| line.contains(" lost: ") || line.contains("can be imported")),
        "{}",
        text.stderr
    );

    // Elsewhere it is a log like any other.
    sandbox.write("saved.ndjson", &run.stdout);
    sandbox.atlas(["--dir", "other", "config", "import", "tree", "--scope", "bank/loans", "--activate"]).done();
    sandbox.atlas(["--dir", "other", "import", "saved.ndjson"]).done();
    let imported = sandbox.atlas(["--dir", "other", "export"]).done().lines();
    let ids = |events: &[Value]| events.iter().map(|event| event["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&imported), ids(&expected));
}

#[test]
fn a_rebuild_makes_everything_derived_anew_and_leaves_the_log_as_it_is() {
    let sandbox = store();
    let (whole, queues) = (sandbox.export(), sandbox.atlas(["--json", "queue", "list"]).done().stdout);
    let files = snapshot(&sandbox.dir());
    for (path, _) in files.iter().filter(|(path, _)| path.extension().is_some_and(|ending| ending != "seg")) {
        flip(path);
    }
    let rebuilt = sandbox.atlas(["--json", "rebuild"]).done().json();
    assert_eq!((&rebuilt["ok"], &rebuilt["events"], &rebuilt["lost"]), (&json!(true), &json!(EVENTS), &json!([])));
    sandbox.atlas(["verify", "--deep"]).done();
    assert_eq!(sandbox.export(), whole);
    assert_eq!(sandbox.atlas(["--json", "queue", "list"]).done().stdout, queues);
    // The log is the same, byte for byte, and so are the indexes of sealed segments, which follow from it.
    let tail = files.iter().map(|(path, _)| path).filter(|path| path.extension().is_some_and(|e| e == "seg")).max();
    let tail = tail.unwrap().with_extension("idx");
    let of_the_log = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<(PathBuf, Vec<u8>)> {
        let kept = |path: &PathBuf| path.extension().is_some_and(|e| e == "seg" || e == "idx") && *path != tail;
        files.into_iter().filter(|(path, _)| kept(path)).collect()
    };
    assert!(of_the_log(snapshot(&sandbox.dir())) == of_the_log(files));
    assert!(sandbox.atlas(["rebuild"]).done().stdout.starts_with("rebuilt from "));
    let missing = sandbox.atlas(["--dir", "missing", "rebuild"]).refused();
    assert!(missing.contains("no Atlas store here"), "{missing}");
}

/// A volume that isn't mounted: the databases are there, and neither `LOCK` nor the log.
#[test]
fn where_the_log_is_missing_nothing_is_begun_anew() {
    let sandbox = store();
    let whole = sandbox.export();
    fs::rename(sandbox.dir().join("log"), sandbox.path("log")).unwrap();
    fs::rename(sandbox.dir().join("LOCK"), sandbox.path("LOCK")).unwrap();
    let left = snapshot(&sandbox.dir());
    sandbox.write("one.ndjson", event(SENT, "loan-1", json!({})).to_string());
    for arguments in [
        &["import", "one.ndjson"][..],
        &["import", "one.ndjson", "--as-recorded"],
        &["config", "import", "tree", "--scope", "bank/loans", "--activate"],
        &["export"],
        &["export", "--salvage"],
        &["verify"],
        &["verify", "--deep"],
        &["rebuild"],
        &["stats"],
        &["deliveries"],
    ] {
        let refused = sandbox.atlas(arguments).refused();
        assert!(
            refused.contains("atlas-data: the log is missing: catalog.redb tells of it"),
            "{arguments:?}: {refused}"
        );
        assert!(snapshot(&sandbox.dir()) == left, "{arguments:?}");
    }
    fs::rename(sandbox.path("log"), sandbox.dir().join("log")).unwrap();
    fs::rename(sandbox.path("LOCK"), sandbox.dir().join("LOCK")).unwrap();
    assert_eq!(sandbox.export(), whole);
}

/// Two copies of a directory that go on each by itself, and one gets the other's databases.
#[test]
fn a_database_of_a_copy_that_went_on_is_reported_and_made_anew() {
    let sandbox = store();
    let messages = |n: usize| -> Vec<Value> {
        (0..n).map(|n| event(SUBMITTED, "loan-1", json!({ "n": n, "amount": 2_000 }))).collect()
    };
    let mut copy = snapshot(&sandbox.dir());
    copy.push((sandbox.dir().join("LOCK"), fs::read(sandbox.dir().join("LOCK")).unwrap()));
    sandbox.import(&messages(2)).done();
    let others = fs::read(sandbox.dir().join("dispatch.redb")).unwrap();
    fs::remove_dir_all(sandbox.dir()).unwrap();
    for (path, bytes) in copy {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    sandbox.import(&messages(9)).done();
    let queues = sandbox.atlas(["--json", "queue", "list"]).done().stdout;
    fs::write(sandbox.dir().join("dispatch.redb"), others).unwrap();
    let run = sandbox.atlas(["verify"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.starts_with("dispatch.redb: offset 0: it reflects another log than this one"), "{}", run.stdout);
    assert!(run.stderr.contains("`atlas rebuild` makes anew"), "{}", run.stderr);
    assert_eq!(sandbox.atlas(["--json", "queue", "list"]).done().stdout, queues);
    sandbox.atlas(["verify", "--deep"]).done();
}

#[test]
fn a_rebuild_refuses_a_damaged_log_and_changes_nothing() {
    let sandbox = store();
    flip(&segment(&sandbox, 2));
    let before = snapshot(&sandbox.dir());
    let run = sandbox.atlas(["--json", "rebuild"]);
    let report = run.json();
    assert_eq!((run.code, &report["ok"]), (1, &json!(false)));
    assert_eq!(report["problems"][0]["file"], "log/00000002.seg");
    assert!(
        run.stderr.contains("nothing was changed, and `atlas export --salvage` reads what is whole"),
        "{}",
        run.stderr
    );
    assert_eq!(snapshot(&sandbox.dir()), before);
}

/// The end of the log is gone, and `LOCK` tells of it: everything refuses the log but `rebuild`, which says what is lost.
#[test]
fn a_rebuild_discards_the_evidence_of_lost_data_and_says_so() {
    let sandbox = store();
    let whole = sandbox.export();
    let last = (1..).take_while(|number| segment(&sandbox, *number).exists()).last().unwrap();
    fs::remove_file(segment(&sandbox, last)).unwrap();
    let left = sandbox.atlas(["export", "--salvage"]).lines().len();
    let refused = sandbox.atlas(["export"]).refused();
    assert!(refused.contains("the segment is missing, and its index is there"), "{refused}");
    let rebuilt = sandbox.atlas(["--json", "rebuild"]).done();
    let lost = &rebuilt.json()["lost"];
    let files: Vec<&str> = lost.as_array().unwrap().iter().map(|lost| lost["file"].as_str().unwrap()).collect();
    let index = format!("log/{last:08}.idx");
    assert_eq!(files, ["LOCK", index.as_str(), "dispatch.redb"], "{lost}");
    assert!(lost[0]["said"].as_str().unwrap().starts_with(&format!("{last:08}:")), "{lost}");
    assert_eq!(lost[0]["after_position"], left);
    assert!(rebuilt.stderr.contains(&format!("lost from position {} on", left + 1)), "{}", rebuilt.stderr);
    assert_eq!(sandbox.export(), whole[..left]);
    sandbox.atlas(["verify", "--deep"]).done();
    sandbox.import(&[event(SENT, "loan-1", json!({}))]).done();
    assert_eq!(sandbox.export().len(), left + 1);
    assert_eq!(sandbox.atlas(["--json", "rebuild"]).done().json()["lost"], json!([]));
}

/// A backup that was put back in part: the log and `LOCK` are older than the databases.
#[test]
fn verify_tells_that_a_database_knows_of_more_than_the_log() {
    let sandbox = store();
    let kept = snapshot(&sandbox.path("atlas-data"));
    let lock = fs::read(sandbox.dir().join("LOCK")).unwrap();
    let told: Vec<Value> = (0..5).map(|n| event(SUBMITTED, "loan-1", json!({ "n": n, "amount": 2_000 }))).collect();
    sandbox.import(&told).done();
    sandbox.atlas(["verify"]).done();
    fs::remove_dir_all(sandbox.dir().join("log")).unwrap();
    fs::create_dir(sandbox.dir().join("log")).unwrap();
    for (path, bytes) in kept.iter().filter(|(path, _)| path.starts_with(sandbox.dir().join("log"))) {
        fs::write(path, bytes).unwrap();
    }
    fs::write(sandbox.dir().join("LOCK"), lock).unwrap();
    let run = sandbox.atlas(["--json", "verify"]);
    let report = run.json();
    assert_eq!((run.code, &report["ok"]), (1, &json!(false)));
    assert_eq!(report["problems"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["problems"][0]["file"], "dispatch.redb");
    assert!(report["problems"][0]["what"].as_str().unwrap().contains("the log has lost data"), "{report}");
    assert!(run.stderr.contains("put back newer ones, or have `atlas rebuild` go on"), "{}", run.stderr);
    let rebuilt = sandbox.atlas(["--json", "rebuild"]).done().json();
    assert_eq!(rebuilt["lost"][0]["file"], "dispatch.redb");
    sandbox.atlas(["verify", "--deep"]).done();
}

/// The last segment is gone, `LOCK` says nothing of it, and its index does.
#[test]
fn an_index_without_its_segment_is_evidence() {
    let sandbox = store();
    let last = (1..).take_while(|number| segment(&sandbox, *number).exists()).last().unwrap();
    fs::remove_file(segment(&sandbox, last)).unwrap();
    fs::write(sandbox.dir().join("LOCK"), []).unwrap();
    let left = sandbox.atlas(["export", "--salvage"]).lines().len();
    let report = sandbox.atlas(["--json", "verify"]).json();
    let name = format!("log/{last:08}.seg");
    let named = |problem: &Value| {
        problem["file"] == name.as_str() && problem["what"].as_str().unwrap().contains("its index is there")
    };
    assert!(report["problems"].as_array().unwrap().iter().any(named), "{report}");
    let refused = sandbox.atlas(["queue", "list"]).refused();
    assert!(sandbox.import(&[event(SENT, "loan-1", json!({}))]).refused().contains("its index is there"));
    assert!(
        refused.contains("its index is there") && refused.contains(&format!("{left} events before it")),
        "{refused}"
    );
    let lost = sandbox.atlas(["--json", "rebuild"]).done().json()["lost"].clone();
    assert_eq!(lost[0]["file"], format!("log/{last:08}.idx"), "{lost}");
}

#[test]
fn a_missing_lock_is_told_and_made_anew_only_by_a_rebuild() {
    let sandbox = store();
    let whole = sandbox.export();
    fs::remove_file(sandbox.dir().join("LOCK")).unwrap();
    let before = snapshot(&sandbox.dir());
    for command in [&["export"][..], &["stats"], &["import", "import.ndjson"], &["queue", "list"]] {
        let refused = sandbox.atlas(command).refused();
        assert!(refused.contains("LOCK is missing") && refused.contains("`atlas rebuild`"), "{refused}");
    }
    let run = sandbox.atlas(["verify"]);
    assert!(run.code == 1 && run.stdout.starts_with("LOCK: offset 0: the file is missing"), "{}", run.stdout);
    assert!(!sandbox.dir().join("LOCK").exists());
    assert_eq!(snapshot(&sandbox.dir()), before);
    let rebuilt = sandbox.atlas(["--json", "rebuild"]).done();
    assert_eq!(rebuilt.json()["lock_was_missing"], true);
    assert!(rebuilt.stderr.contains("LOCK was missing"), "{}", rebuilt.stderr);
    sandbox.atlas(["verify", "--deep"]).done();
    assert_eq!(sandbox.export(), whole);
}

#[test]
fn an_import_behind_a_damaged_tail_is_refused_before_anything_is_written() {
    let sandbox = store();
    let last = (1..).take_while(|number| segment(&sandbox, *number).exists()).last().unwrap();
    let path = segment(&sandbox, last);
    let mut bytes = fs::read(&path).unwrap();
    // Its first frame, which an open after a clean close has no reason to read.
    bytes[64 + 60] ^= 1;
    fs::write(&path, bytes).unwrap();
    let before = snapshot(&sandbox.dir());
    let refused = sandbox.import(&[event(SENT, "loan-1", json!({}))]).refused();
    assert!(
        refused.contains(&format!("log/{last:08}.seg: offset 64")) && refused.contains("nothing was changed"),
        "{refused}"
    );
    assert_eq!(snapshot(&sandbox.dir()), before);
}

#[test]
fn one_file_too_many_is_one_problem() {
    let sandbox = store();
    let other = Sandbox::with_tree();
    for source in [segment(&sandbox, 1), segment(&other, 1)] {
        fs::copy(source, segment(&sandbox, 90)).unwrap();
        let report = sandbox.atlas(["--json", "verify"]).json();
        let problems = report["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{report}");
        assert_eq!(problems[0]["file"], "log/00000090.seg");
        assert!(problems[0]["what"].as_str().unwrap().contains("to 89 are missing"), "{report}");
    }
}

#[test]
fn salvage_goes_on_beside_what_is_no_file() {
    let sandbox = store();
    let whole = sandbox.export();
    fs::remove_file(segment(&sandbox, 2)).unwrap();
    std::os::unix::fs::symlink("nowhere", segment(&sandbox, 2)).unwrap();
    fs::remove_file(segment(&sandbox, 3)).unwrap();
    fs::create_dir(segment(&sandbox, 3)).unwrap();
    fs::remove_file(sandbox.dir().join("LOCK")).unwrap();
    fs::create_dir(sandbox.dir().join("LOCK")).unwrap();
    let run = sandbox.atlas(["export", "--salvage"]);
    let (events, lost) = (run.lines(), run.stderr);
    assert!(!events.is_empty() && events.len() < whole.len(), "{} of {}: {lost}", events.len(), whole.len());
    assert!(events.iter().all(|event| whole.contains(event)));
    assert_eq!(events.last(), whole.last());
    for told in ["LOCK", "log/00000002.seg", "No such file", "log/00000003.seg", "Is a directory"] {
        assert!(lost.contains(told), "{told}: {lost}");
    }
}

#[test]
fn verify_that_may_open_too_few_files_finds_no_damage() {
    let sandbox = store();
    let (mut done, mut short) = (0, 0);
    for files in [5, 6, 7, 8, 10, 12, 16, 64] {
        let run = std::process::Command::new("sh")
            .args(["-c", &format!("ulimit -n {files}; exec \"$0\" verify"), env!("CARGO_BIN_EXE_atlas")])
            .current_dir(sandbox.path(""))
            .output()
            .unwrap();
        let (told, error) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap());
        match run.status.code() {
            Some(0) => done += 1,
            // The program may not even start.
            _ => {
                short += 1;
                assert!(!told.contains(".seg") && !told.contains(".idx"), "{files}: {told}{error}");
            }
        }
    }
    assert!(done > 0 && short > 0, "{done}, {short}");
}

#[test]
fn a_directory_in_the_place_of_what_is_derived_must_be_moved_away() {
    let sandbox = store();
    let whole = sandbox.export();
    for name in ["log/00000001.idx", "catalog.redb", "dispatch.redb"] {
        let path = sandbox.dir().join(name);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let refused = sandbox.atlas(["rebuild"]).refused();
        assert!(refused.contains(name) && refused.contains("move it away"), "{refused}");
        fs::remove_dir(&path).unwrap();
        sandbox.atlas(["rebuild"]).done();
        sandbox.atlas(["verify", "--deep"]).done();
        assert_eq!(sandbox.export(), whole);
    }
}
