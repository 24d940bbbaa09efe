//! The real log, where it lies beside the repository: 262,200 events of 13,087 loan applications. Packed, its segments take
//! at most 0.35 of their bytes. By default its beginning is tried; with `ATLAS_PACKED=all`, all of it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use atlas::Envelope;
use atlas::log::{Append, Compress, Durability, OpenMode, Query};
use atlas::storage::MemoryDisk;

use crate::world::{Files, files_of, open, options, version};

fn lines() -> Option<Vec<String>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/bpic2012.ndjson.gz");
    let path = std::env::var_os("ATLAS_REAL_LOG").map_or(path, PathBuf::from);
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    Some(BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines().map(Result::unwrap).collect())
}

fn written(lines: &[String], segment_size: u64, compress: Compress) -> (Files, Vec<String>) {
    let disk = MemoryDisk::new();
    let store = open(&disk, OpenMode::Write, options(segment_size, compress)).unwrap();
    for lines in lines.chunks(1000) {
        let events = lines.iter().map(|line| Envelope::from_json(line.as_bytes()).unwrap().to_event().unwrap());
        let scope = "dutch-bank/loans".parse().unwrap();
        store.append(Append::to(&scope).events(events).durability(Durability::Deferred)).unwrap();
    }
    store.close().unwrap();
    let store = open(&disk, OpenMode::Read, options(segment_size, Compress::None)).unwrap();
    let told = store.read(Query::new()).unwrap().map(|event| {
        let event = event.unwrap();
        format!("{} {} {} {:?}", event.event_type(), event.stream(), event.time().micros(), event.data())
    });
    (files_of(&disk), told.collect())
}

#[test]
fn the_real_log_takes_a_third() {
    let Some(lines) = lines() else { return };
    let (lines, segment_size) = match std::env::var("ATLAS_PACKED").is_ok_and(|value| value == "all") {
        true => (&lines[..], 16 << 20),
        false => (&lines[..30_000], 1 << 20),
    };
    let (plain, told) = written(lines, segment_size, Compress::None);
    let (packed, told_packed) = written(lines, segment_size, Compress::All);
    assert!(told == told_packed, "events differ");
    let size = |files: &Files, of: fn(&str, &[u8]) -> bool| -> usize {
        files.iter().filter(|(name, bytes)| of(name, bytes)).map(|(_, bytes)| bytes.len()).sum()
    };
    let is_segment: fn(&str, &[u8]) -> bool = |name, _| name.ends_with(".seg");
    let sealed = packed.iter().filter(|(name, bytes)| name.ends_with(".seg") && version(bytes) == 2);
    let (mut before, mut after) = (0, 0);
    for (name, bytes) in sealed {
        println!("{name}: {} -> {}", plain[name].len(), bytes.len());
        (before, after) = (before + plain[name].len(), after + bytes.len());
    }
    let ratio = |after: usize, before: usize| after as f64 / before as f64;
    println!("sealed segments: {before} -> {after}, {:.3} of it", ratio(after, before));
    let log = (size(&packed, is_segment), size(&plain, is_segment));
    println!("the log with its tail, which stays plain: {} -> {}, {:.3} of it", log.1, log.0, ratio(log.0, log.1));
    let all = (size(&packed, |_, _| true), size(&plain, |_, _| true));
    println!("all files: {} -> {}, {:.3} of it", all.1, all.0, ratio(all.0, all.1));
    println!("{:.1} bytes an event plain", log.1 as f64 / lines.len() as f64);
    assert!(before > 0 && ratio(after, before) <= 0.35, "{before} -> {after}");
}
