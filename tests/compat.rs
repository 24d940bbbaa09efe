//! Old files: directories that earlier versions wrote, each with what was in it; every later version must read them, and
//! a version must refuse what a newer one wrote. `tests/compat/README.md` says what is there, and how it was written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "compat/configured.rs"]
mod configured;
#[path = "compat/dump.rs"]
mod dump;
#[path = "compat/generate.rs"]
mod generate;

use std::fs;
use std::path::{Path, PathBuf};

use atlas::log::{Append, Depth, Folds, OpenError, Options};
use atlas::{Atlas, Error, Event, EventStore};
use serde_json::{Value, json};

/// The folder with the directory that was kept under this name, which is of one version of the format.
fn kept(name: &str) -> PathBuf {
    let version = match name {
        "configured" => "v3",
        "packed" => "v2",
        _ => "v1",
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat").join(version)
}

/// A copy of a directory that was kept, and what was in it.
fn copy(name: &str) -> (tempfile::TempDir, PathBuf, Value) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    copy_folder(&kept(name).join(name), &dir);
    let text = fs::read_to_string(kept(name).join(format!("{name}.json"))).unwrap();
    (folder, dir, serde_json::from_str(&text).unwrap())
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

/// Nothing differs, or where the first difference is.
#[track_caller]
fn assert_same(found: &Value, expected: &Value) {
    for (part, expected) in expected.as_object().unwrap() {
        let (found, expected) = (format!("{:#}", found[part]), format!("{expected:#}"));
        for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "{part}, line {}", line + 1);
        }
        assert_eq!(found.len(), expected.len(), "{part}");
    }
}

fn assert_verifies(dir: &Path) {
    let depth = Depth::Deep(Folds::default().with(generate::Count));
    let report = atlas::verify(dir, &depth, |_, _| {}).unwrap();
    assert!(report.ok && report.checked.deep, "{report:?}");
    assert!(report.checked.keyframes > 0 && report.checked.other_keyframes == 0, "{report:?}");
}

async fn reads_what_was_kept(name: &str) {
    let (_folder, dir, expected) = copy(name);
    assert_verifies(&dir);
    let looked = Atlas::builder().read_only(true).open(&dir).await.unwrap();
    let mut durable = expected["log"].clone();
    if name == "crashed" {
        // Two appends were whole and not durable: nobody sees them before they are recovered.
        let events = durable["events"].as_array_mut().unwrap();
        events.truncate(events.len() - 2);
        durable["streams"].as_array_mut().unwrap().retain(|stream| stream["stream"] != "loan-torn");
    }
    assert_same(&dump::log(&looked), &durable);
    looked.close().await.unwrap();
    let atlas = generate::open(&dir).await;
    assert_same(&dump::log(&atlas), &expected["log"]);
    assert_same(&dump::dispatch(&atlas).await, &expected["dispatch"]);
    // And it goes on.
    let before = atlas.store().last_position();
    let sent = Event::new(generate::SENT, "loan-new").data(&json!({}));
    atlas.scope("bank", "loans").ingest(sent).await.unwrap();
    assert_eq!(atlas.store().last_position(), before + 1);
    atlas.close().await.unwrap();
    drop(atlas);
    assert_verifies(&dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_written_where_that_is_asked_for() {
    if let Some(to) = std::env::var_os("ATLAS_WRITE_COMPAT") {
        generate::write(Path::new(&to)).await;
    }
    for name in ["closed", "crashed", "packed"] {
        assert!(kept(name).join(name).join("log/00000002.seg").exists());
    }
}

/// Configuration as version 2 of its records has it: trees that extend others, differences, schemas, upcasts.
#[tokio::test(flavor = "multi_thread")]
async fn configuration_of_version_2_is_read() {
    if let Some(to) = std::env::var_os("ATLAS_WRITE_CONFIGURED") {
        let to = PathBuf::from(to);
        let _ = fs::remove_dir_all(to.join("configured"));
        configured::write(&to.join("configured")).await;
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&to.join("configured"), folder.path());
        let atlas = Atlas::builder().dispatch(false).open(folder.path()).await.unwrap();
        fs::write(to.join("configured.json"), format!("{:#}\n", configured::told(&atlas))).unwrap();
        atlas.close().await.unwrap();
    }
    let (_folder, dir, expected) = copy("configured");
    let atlas = Atlas::builder().dispatch(false).open(&dir).await.unwrap();
    assert_same(&configured::told(&atlas), &expected);
    atlas.close().await.unwrap();
    atlas::rebuild(&dir, |_, _| {}).unwrap();
    let atlas = Atlas::builder().dispatch(false).open(&dir).await.unwrap();
    assert_same(&configured::told(&atlas), &expected);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_was_closed_cleanly_is_read() {
    reads_what_was_kept("closed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_a_crash_left_is_recovered() {
    reads_what_was_kept("crashed").await;
}

#[cfg(feature = "compression")]
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_packed_segments_is_read() {
    reads_what_was_kept("packed").await;
}

/// Without the feature they can be read by, packed segments are refused, and nothing is changed.
#[cfg(not(feature = "compression"))]
#[tokio::test(flavor = "multi_thread")]
async fn packed_segments_are_refused_by_a_build_that_cannot_read_them() {
    use atlas::log::{OpenMode, ReadError};
    let (_folder, dir, _) = copy("packed");
    let before = files(&dir);
    let existing = Options { create: false, ..Options::default() };
    for mode in [OpenMode::Write, OpenMode::Read, OpenMode::Salvage] {
        let disk = atlas::storage::RealDisk::new(&dir);
        let error = EventStore::open_with_mode(atlas::storage::Environment::new(disk), existing.clone(), mode);
        let error = error.unwrap_err();
        let is_it = |file: &str, feature: &str| file == "log/00000001.seg" && feature == "compression";
        let refused =
            matches!(&error, OpenError::Read(ReadError::FeatureMissing { file, feature }) if is_it(file, feature));
        assert!(refused, "{mode:?}: {error}");
    }
    let report = atlas::verify(&dir, &Depth::default(), |_, _| {}).unwrap();
    assert!(!report.ok && report.problems[0].what.contains("the feature `compression`"), "{report:?}");
    assert!(matches!(atlas::rebuild(&dir, |_, _| {}), Err(Error::Rebuild(_) | Error::Open(_))));
    assert!(files(&dir) == before, "nothing was changed");
    let packs = Options { compress: atlas::log::Compress::All, ..Options::default() };
    let error = EventStore::open_options(dir.join("other"), packs).unwrap_err();
    assert!(matches!(error, OpenError::Option { option: "compress", .. }), "{error}");
}

/// Every record kind in use stands in what was kept.
#[test]
fn all_kinds_of_records_are_kept() {
    for name in ["closed", "crashed"] {
        let mut kinds = std::collections::BTreeSet::new();
        for entry in fs::read_dir(kept(name).join(name).join("log")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "seg") {
                kinds.extend(record_kinds(&fs::read(path).unwrap()));
            }
        }
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 16, 17, 19], "{name}");
    }
}

/// The kinds of the records of a segment, read by the format as `docs/design.md` draws it.
fn record_kinds(segment: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let (mut frame, mut kinds) = (64, Vec::new());
    while frame + 48 <= segment.len() && number(frame) > 0 && frame + number(frame) <= segment.len() {
        let mut record = frame + 48;
        for _ in 0..number(frame + 24) {
            kinds.push(segment[record + 8]);
            record += 24 + number(record);
        }
        frame += number(frame);
    }
    kinds
}

/// Puts another format version into a segment's header, with the checksum that goes with it.
fn patch_version(file: &Path, version: u32) {
    let mut bytes = fs::read(file).unwrap();
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(file, bytes).unwrap();
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_newer_segment_is_refused_before_anything_is_changed() {
    let (_folder, dir, _) = copy("closed");
    let last = (1..).take_while(|n| dir.join(format!("log/{n:08}.seg")).exists()).last().unwrap();
    let name = format!("log/{last:08}.seg");
    patch_version(&dir.join(&name), 3);
    let before = files(&dir);
    let refused =
        |error: &OpenError| matches!(error, OpenError::NewerFormat { file, found: 3, known: 2 } if *file == name);
    let existing = Options { create: false, ..Options::default() };
    for opened in [EventStore::open_options(&dir, existing), EventStore::open_read_only(&dir)] {
        let error = opened.unwrap_err();
        assert!(refused(&error), "{error}");
        assert!(error.to_string().contains("format version 3; this version of Atlas reads up to 2"), "{error}");
    }
    assert!(matches!(atlas::rebuild(&dir, |_, _| {}), Err(Error::Rebuild(_))));
    let report = atlas::verify(&dir, &Depth::default(), |_, _| {}).unwrap();
    assert_eq!((report.problems.len(), report.problems[0].file.as_str()), (1, name.as_str()), "{report:?}");
    assert!(files(&dir) == before, "nothing was changed");
}

/// Whatever a newer Atlas made of the derived files: they are made anew, as where they are missing.
#[test]
fn derived_files_of_another_version_are_made_anew() {
    let (_folder, dir, expected) = copy("closed");
    for entry in fs::read_dir(dir.join("log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "seg") {
            let mut bytes = fs::read(&path).unwrap();
            // The footer: a magic that ends with the version, and the footer's own checksum at its end.
            let footer = bytes.len() - 24;
            assert_eq!((&bytes[footer..footer + 5], bytes[footer + 7]), (&b"ATLAS"[..], b'1'));
            bytes[footer + 7] = b'9';
            let crc = crc32fast::hash(&bytes[footer..footer + 20]);
            bytes[footer + 20..].copy_from_slice(&crc.to_le_bytes());
            fs::write(path, bytes).unwrap();
        }
    }
    let store = EventStore::open(&dir).unwrap();
    let events = expected["log"]["events"].as_array().unwrap().len() as u64;
    assert_eq!(store.last_position(), events);
    store.append(Append::to(&"bank/loans".parse().unwrap()).event(Event::new(generate::SENT, "loan-1"))).unwrap();
    store.close().unwrap();
    let report = atlas::verify(&dir, &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
    assert!(report.ok, "{report:?}");
}
