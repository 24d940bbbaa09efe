//! A host that is killed at any moment.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::check::{self, Acknowledged};
use crate::load::{self, mix};

/// Tells the child where and in which round it is the host.
const DIR: &str = "ATLAS_CRASH_DIR";
const ROUND: &str = "ATLAS_CRASH_ROUND";
/// Rounds on one directory, so that checking it stays quick.
const ROUNDS_A_DIRECTORY: u64 = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

#[test]
fn a_host_that_is_killed_loses_nothing() {
    if let Some(dir) = std::env::var_os(DIR) {
        let dir = Path::new(&dir);
        return load::run(&dir.join("data"), &dir.join("acks"), number(ROUND).unwrap());
    }
    let rounds = number("ATLAS_KILL_ROUNDS").unwrap_or(8);
    let seed = number("ATLAS_KILL_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed"));
    println!("ATLAS_KILL_SEED={seed} ATLAS_KILL_ROUNDS={rounds}");
    let (mut appends, mut events) = (0, 0);
    for first in (0..rounds).step_by(ROUNDS_A_DIRECTORY as usize) {
        let dir = tempfile::tempdir().unwrap();
        let mut acknowledged = Acknowledged::default();
        for round in first..rounds.min(first + ROUNDS_A_DIRECTORY) {
            let random = mix(seed ^ round);
            acknowledged.read(&kill(dir.path(), round, random));
            let data = dir.path().join("data");
            if !data.join("log/00000001.seg").exists() {
                // Killed before there was anything.
                continue;
            }
            let (store, count) = check::recover(&data, &acknowledged);
            events = count;
            if random.is_multiple_of(3) {
                store.close().unwrap();
            }
        }
        appends += acknowledged.len();
    }
    println!("{rounds} kills, {appends} appends acknowledged, {events} events in the last directory");
    assert!(appends as u64 >= rounds, "the host did next to nothing");
}

/// Starts a host, kills it, and gives what it acknowledged. Most are killed after some number of appends and a little
/// while; some soon after they were started, while they open the store.
fn kill(dir: &Path, round: u64, random: u64) -> String {
    let acks = dir.join("acks");
    fs::write(&acks, "").unwrap();
    let mut child = host(dir, round);
    let a_while = Duration::from_micros((random >> 32) % 20_000);
    if random % 8 < 7 {
        let bytes = random >> 16 & 0x3fff;
        while fs::metadata(&acks).unwrap().len() < bytes {
            assert!(child.try_wait().unwrap().is_none(), "the host ended by itself");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    std::thread::sleep(a_while);
    // On Unix that is SIGKILL.
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "the host ended by itself");
    fs::read_to_string(acks).unwrap()
}

fn host(dir: &Path, round: u64) -> Child {
    let test = "kills::a_host_that_is_killed_loses_nothing";
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
