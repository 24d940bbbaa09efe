//! Databases that are whole, and of another log than the one they stand beside: of an older copy, of a copy that went on by
//! itself, of another store. After an open all answers are those of the log.

use std::path::Path;
use std::time::Duration;

use atlas::config::Declarations;
use atlas::log::{Depth, Folds, OpenError};
use atlas::storage::{Disk, Environment, MemoryDisk};
use atlas::{Atlas, Error, Event};
use redb::{Database, TableDefinition};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::databases::{DATABASES, look};
use crate::world::{Files, Sample, disk_of, files_of, loans, options, runtime};

const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";

/// The store goes on with deliveries, messages and a revision that are `seed`'s own.
async fn gone_on(files: &Files, seed: u64, events: u64) -> Files {
    let disk = disk_of(files);
    let atlas = Atlas::builder().log_options(options()).open_with(Environment::new(disk.clone())).await.unwrap();
    let handle = atlas.scope("dutch-bank", "loans");
    let tree = tempfile::tempdir().unwrap();
    let document = tree.path().join("1/loan/offer/sent/complete.json");
    std::fs::create_dir_all(document.parent().unwrap()).unwrap();
    let handlers = json!([
        { "name": "post", "target": { "queue": "mail" } },
        { "name": "score", "target": { "function": "nobodys" } },
    ]);
    let description = format!("of {seed}");
    std::fs::write(document, json!({ "description": description, "handlers": handlers }).to_string()).unwrap();
    std::fs::write(tree.path().join("types.json"), json!([SENT]).to_string()).unwrap();
    std::fs::write(tree.path().join("queues.json"), json!({ "mail": {} }).to_string()).unwrap();
    handle.config().import(tree.path()).await.unwrap().activate().await.unwrap();
    for number in 0..events {
        let data = json!({ "n": number, "seed": seed, "text": "x".repeat(200) });
        handle.ingest(Event::new(SENT, format!("of-{seed}-{}", number % 3)).data(&data)).await.unwrap();
    }
    atlas.settled().await.unwrap();
    let mail = handle.queue("mail");
    let message = mail.take(2, Duration::from_secs(60)).await.unwrap().pop().unwrap();
    mail.ack(message.id).await.unwrap();
    atlas.close().await.unwrap();
    drop(atlas);
    files_of(&disk)
}

/// All answers but what obstacle an open delivery has: while nothing is served that depends on whether it is in memory.
async fn answers(disk: &MemoryDisk) -> Result<Value, Error> {
    let mut told = look(disk).await?;
    for delivery in told["open"].as_array_mut().unwrap() {
        delivery.as_object_mut().unwrap().remove("obstacle").unwrap();
    }
    Ok(told)
}

/// What the log says: the databases are made from it.
async fn said_by_log(files: &Files) -> Value {
    let mut files = files.clone();
    DATABASES.iter().for_each(|name| drop(files.remove(*name)));
    answers(&disk_of(&files)).await.unwrap()
}

fn with_database(log: &Files, of: &Files, name: &str) -> Files {
    let mut files = log.clone();
    files.insert(name.to_owned(), of[name].clone());
    files
}

fn write(files: &Files) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("log")).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// File and description of each problem that a plain check reports.
fn problems(files: &Files) -> Vec<(String, String)> {
    let folder = write(files);
    let report = atlas::verify(folder.path(), &Depth::Structure, |_, _| {}).unwrap();
    report.problems.into_iter().map(|problem| (problem.file, problem.what)).collect()
}

/// The database `name` is reported, and made anew by the next open.
async fn assert_not_believed(files: &Files, name: &str, right: &Value, about: &str) {
    match &problems(files)[..] {
        [(file, what)] => assert!(file == name && what.contains("reflects another log"), "{about}: {file}: {what}"),
        other => panic!("{about}: {other:?}"),
    }
    assert_made_anew(files, right, about).await;
}

/// Of long answers only the first that differs is shown.
#[track_caller]
fn assert_same(told: &Value, right: &Value, about: &str) {
    match (told, right) {
        (Value::Object(told), Value::Object(right)) if told.keys().eq(right.keys()) => {
            told.iter().zip(right.values()).for_each(|((key, told), right)| {
                assert_same(told, right, &format!("{about}, {key}"));
            });
        }
        (Value::Array(told), Value::Array(right)) if told.len() == right.len() => {
            told.iter().zip(right).for_each(|(told, right)| assert_same(told, right, about));
        }
        _ => assert!(told == right, "{about}: {:.300} instead of {:.300}", told.to_string(), right.to_string()),
    }
}

async fn assert_made_anew(files: &Files, right: &Value, about: &str) {
    let disk = disk_of(files);
    assert_same(&answers(&disk).await.unwrap_or_else(|error| panic!("{about}: {error}")), right, about);
    let folder = write(&files_of(&disk));
    let report = atlas::verify(folder.path(), &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
    assert!(report.ok, "{about}: {report:?}");
}

/// Two copies of a store that went on each by itself, both for some time and then for longer.
struct Parted {
    old: Files,
    some: [Files; 2],
    longer: [Files; 2],
}

impl Parted {
    async fn new(old: Files) -> Self {
        let some = [gone_on(&old, 1, 20).await, gone_on(&old, 2, 25).await];
        let longer = [gone_on(&some[0], 3, 90).await, gone_on(&some[1], 4, 80).await];
        Self { old, some, longer }
    }
}

fn segments(files: &Files) -> usize {
    files.keys().filter(|name| name.ends_with(".seg")).count()
}

#[test]
fn a_database_of_a_history_that_parted_is_made_anew() {
    let old = Sample::new(5, 12).files;
    runtime().block_on(async {
        let Parted { old, some, longer } = Parted::new(old).await;
        assert!(segments(&longer[0]) > segments(&some[0]), "over the end of a segment as well");
        for (log, other) in [(0, 1), (1, 0)] {
            let right = said_by_log(&longer[log]).await;
            for name in DATABASES {
                let about = format!("log {log} with {name} of {other}");
                assert_not_believed(&with_database(&longer[log], &some[other], name), name, &right, &about).await;
                // Those of its own past are believed, and brought up to date.
                for (past, of) in [("before", &old), ("since", &some[log])] {
                    let files = with_database(&longer[log], of, name);
                    assert_eq!(problems(&files), [], "{name} of {past} they parted");
                    let about = format!("{name} of {past} they parted");
                    assert_same(&answers(&disk_of(&files)).await.unwrap(), &right, &about);
                }
            }
            let both = with_database(&longer[log], &some[other], DATABASES[0]);
            assert_eq!(problems(&with_database(&both, &some[other], DATABASES[1])).len(), 2);
            assert_made_anew(&with_database(&both, &some[other], DATABASES[1]), &right, "both").await;
        }
    });
}

#[test]
fn a_database_that_tells_of_more_is_evidence_only_where_it_is_of_this_store() {
    let old = Sample::new(5, 12).files;
    let (other, longer) = (Sample::new(6, 3).files, Sample::new(7, 60).files);
    runtime().block_on(async {
        let right = said_by_log(&old).await;
        for name in DATABASES {
            // Of another store: with a smaller address, and with a larger one.
            assert_not_believed(&with_database(&old, &other, name), name, &right, "smaller").await;
        }
        let (later, name) = (gone_on(&longer, 9, 20).await, DATABASES[1]);
        assert_not_believed(&with_database(&old, &later, name), name, &right, "larger").await;
        let rebuilt = disk_of(&with_database(&old, &later, name));
        assert_eq!(atlas::rebuild_with(Environment::new(rebuilt), |_, _| {}).unwrap().lost, []);
        let later = gone_on(&old, 9, 20).await;
        for name in DATABASES {
            let files = with_database(&old, &later, name);
            let error = look(&disk_of(&files)).await.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("the log has lost data"), "{error}");
            let found = problems(&files);
            assert!(found.len() == 1 && found[0].0 == name && found[0].1.contains("has lost data"), "{found:?}");
            let lost = atlas::rebuild_with(Environment::new(disk_of(&files)), |_, _| {}).unwrap().lost;
            assert_eq!(lost.iter().map(|lost| lost.file.as_str()).collect::<Vec<_>>(), [name]);
        }
    });
}

/// Does something to a database that is closed.
fn changed(bytes: &[u8], change: impl FnOnce(&Database)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.redb");
    std::fs::write(&path, bytes).unwrap();
    change(&Database::create(&path).unwrap());
    std::fs::read(path).unwrap()
}

/// Leaves out what versions before this one didn't write, and empties a table, so that it shows whether the file is believed.
fn as_before(name: &str, bytes: &[u8]) -> Vec<u8> {
    changed(bytes, |database| {
        let transaction = database.begin_write().unwrap();
        if name == DATABASES[0] {
            transaction.delete_table(TableDefinition::<&str, &[u8]>::new("log")).unwrap();
            let trees: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("trees");
            transaction.open_table(trees).unwrap().retain(|_, _| false).unwrap();
        } else {
            let table = |name| TableDefinition::<&[u8], &[u8]>::new(name);
            transaction.open_table(table("meta")).unwrap().remove(b"log".as_slice()).unwrap().unwrap();
            transaction.open_table(table("events")).unwrap().retain(|_, _| false).unwrap();
        }
        transaction.commit().unwrap();
    })
}

#[test]
fn a_database_that_an_older_version_wrote_is_made_anew() {
    let old = Sample::new(5, 12).files;
    runtime().block_on(async {
        let files = gone_on(&old, 1, 20).await;
        let right = said_by_log(&files).await;
        for name in DATABASES {
            let mut older = files.clone();
            older.insert(name.to_owned(), as_before(name, &files[name]));
            assert_eq!(problems(&older), [], "{name}");
            assert_made_anew(&older, &right, name).await;
        }
    });
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_missing(error: &Error, name: &str) -> bool {
    matches!(error, Error::Open(OpenError::LogMissing { file, .. }) if *file == name)
}

#[test]
fn a_store_whose_log_is_missing_is_not_begun_anew() {
    let files = Sample::new(5, 12).files;
    for kept in [&DATABASES[..], &DATABASES[..1], &DATABASES[1..]] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        kept.iter().for_each(|name| std::fs::write(dir.join(name), &files[*name]).unwrap());
        let open = |read_only: bool| runtime().block_on(Atlas::builder().read_only(read_only).open(dir));
        for error in [
            open(false).unwrap_err(),
            open(true).unwrap_err(),
            atlas::verify(dir, &Depth::Structure, |_, _| {}).unwrap_err(),
            atlas::rebuild(dir, |_, _| {}).unwrap_err(),
        ] {
            assert!(is_missing(&error, kept[0]), "{error}");
            assert!(error.to_string().contains("the log is missing"), "{error}");
        }
        assert_eq!(names(dir), kept);
    }
}

/// `LOCK` alone, emptied: it says nothing, and the databases do.
#[test]
fn a_lock_that_says_nothing_does_not_begin_a_log_anew() {
    let files = Sample::new(5, 12).files;
    let disk = MemoryDisk::new();
    for (name, bytes) in [("LOCK", &Vec::new()), (DATABASES[1], &files[DATABASES[1]])] {
        disk.create(name).unwrap().write_all_at(0, bytes).unwrap();
    }
    let error = runtime().block_on(Atlas::builder().open_with(Environment::new(disk.clone()))).unwrap_err();
    assert!(is_missing(&error, DATABASES[1]), "{error}");
    assert_eq!(disk.list("log").unwrap(), Vec::<String>::new());
}

#[test]
fn databases_that_tell_nothing_are_in_nobodys_way() {
    let empty = changed(&[], |_| ());
    for bytes in [Vec::new(), vec![7; 5_000], empty] {
        let disk = MemoryDisk::new();
        for name in DATABASES {
            disk.create(name).unwrap().write_all_at(0, &bytes).unwrap();
        }
        runtime().block_on(async {
            let atlas = Atlas::builder().open_with(Environment::new(disk)).await.unwrap();
            atlas.catalog().types_declare(loans().application(), &Declarations::default()).unwrap();
            atlas.close().await.unwrap();
        });
    }
}
