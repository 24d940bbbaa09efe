//! A store with something of every kind in it, and what must hold of any damaged copy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use atlas::log::{
    Append, At, Depth, Direction, Durability, EventStore, KeyframePolicy, Loss, OpenError, OpenMode, Options, Query,
    ReadError, RecordedEvent, Report, verify_disk,
};
use atlas::storage::{Disk, Environment, MemoryDisk};
use atlas::{Atlas, Event, Scope, Uuid};
use serde_json::{Value, json};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A store that was closed cleanly: its files, and each event as it was written, by position from 1.
pub(crate) struct Sample {
    pub(crate) files: Files,
    pub(crate) events: Vec<String>,
    states: BTreeMap<String, (u64, Value)>,
}

pub(crate) fn options() -> Options {
    Options { segment_size: 64 << 10, keyframes: KeyframePolicy::Events(6), ..Options::default() }
}

pub(crate) fn loans() -> Scope {
    "dutch-bank/loans".parse().unwrap()
}

pub(crate) fn disk_of(files: &Files) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (name, bytes) in files {
        disk.create(name).unwrap().write_all_at(0, bytes).unwrap();
    }
    disk
}

pub(crate) fn files_of(disk: &MemoryDisk) -> Files {
    let names = disk.list("log").unwrap().into_iter().map(|name| format!("log/{name}"));
    let read = |name: String| {
        let file = disk.open(&name, false).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        (name, bytes)
    };
    names.chain(disk.list("").unwrap()).map(read).collect()
}

pub(crate) fn text(event: &RecordedEvent) -> String {
    serde_json::to_string(&event.envelope()).unwrap()
}

pub(crate) fn open(files: &Files) -> Result<EventStore, OpenError> {
    open_disk(disk_of(files))
}

pub(crate) fn open_disk(disk: MemoryDisk) -> Result<EventStore, OpenError> {
    EventStore::open_with(Environment::new(disk), options())
}

pub(crate) fn salvage(files: &Files) -> Result<EventStore, OpenError> {
    EventStore::open_with_mode(Environment::new(disk_of(files)), options(), OpenMode::Salvage)
}

pub(crate) fn verify(files: &Files) -> Report {
    verify_disk(std::sync::Arc::new(disk_of(files)), &Depth::Structure, |_, _| {}).unwrap()
}

fn write(path: std::path::PathBuf, content: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content.to_string()).unwrap();
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";

async fn fill(disk: MemoryDisk, seed: u64, events: u64) {
    let tree = tempfile::tempdir().unwrap();
    let handlers = json!([{ "name": "post", "target": { "queue": "mail" } }]);
    write(tree.path().join("1/loan/offer/sent/complete.json"), &json!({ "handlers": handlers }));
    write(tree.path().join("types.json"), &json!([SENT]));
    write(tree.path().join("queues.json"), &json!({ "mail": {} }));
    let atlas = Atlas::builder().log_options(options()).open_with(Environment::new(disk)).await.unwrap();
    let handle = atlas.scope("dutch-bank", "loans");
    handle.config().import(tree.path()).await.unwrap().activate().await.unwrap();
    let other: Scope = "other/app".parse().unwrap();
    let store = atlas.store().clone();
    for number in 0..events {
        let stream = format!("loan-{}", number % 7 + 100 * (number / 80));
        let data = json!({ "n": number, "seed": seed, "text": "x".repeat((number * 37 % 300) as usize) });
        if number % 9 == 0 {
            handle.ingest(Event::new(SENT, stream.clone()).data(&data)).await.unwrap();
        }
        let several = (0..number % 5 + 1).map(|part| {
            let event = Event::new(format!("APP_X_Y_Z{}_1", number % 11), format!("s-{}", (number + part) % 13));
            let event = event.id(Uuid::from_u128(u128::from(number) << 8 | u128::from(part) | 1 << 100)).data(&data);
            event.correlation_id(Uuid::from_u128(u128::from(number / 10 + 1)))
        });
        let durability = if number % 2 == 0 { Durability::Sync } else { Durability::Deferred };
        store.append(Append::to(&other).events(several).durability(durability)).unwrap();
        store.state(&other, &format!("s-{}", number % 13), At::Now, true).unwrap();
    }
    atlas.close().await.unwrap();
}

impl Sample {
    pub(crate) fn new(seed: u64, events: u64) -> Self {
        let disk = MemoryDisk::new();
        runtime().block_on(fill(disk.clone(), seed, events));
        Self::of(files_of(&disk))
    }

    pub(crate) fn of(files: Files) -> Self {
        let store = open(&files).unwrap();
        let events: Vec<String> = store.read(Query::new()).unwrap().map(|event| text(&event.unwrap())).collect();
        let mut states = BTreeMap::new();
        for stream in store.streams(None, "").unwrap().take(30) {
            let stream = stream.unwrap();
            let state = store.state(&stream.scope, &stream.stream, At::Now, false).unwrap();
            states.insert(format!("{} {}", stream.scope, stream.stream), (state.version, state.state));
        }
        Self { files, events, states }
    }

    /// The one that most tests damage.
    pub(crate) fn small() -> &'static Self {
        static SMALL: OnceLock<Sample> = OnceLock::new();
        SMALL.get_or_init(|| Self::new(1, 330))
    }

    pub(crate) fn segments(&self) -> Vec<String> {
        self.files.keys().filter(|name| name.ends_with(".seg")).cloned().collect()
    }

    pub(crate) fn with(&self, name: &str, bytes: Vec<u8>) -> Files {
        let mut files = self.files.clone();
        files.insert(name.to_owned(), bytes);
        files
    }

    /// Everything can be read, by every way, and is what was written.
    pub(crate) fn assert_whole(&self, store: &EventStore, about: &str) {
        let mut position = 0;
        for event in store.read(Query::new()).unwrap() {
            let event = event.unwrap_or_else(|error| panic!("{about}: {error}"));
            assert_eq!(text(&event), self.events[position], "{about}");
            position += 1;
        }
        assert_eq!(position, self.events.len(), "{about}");
        for number in (0..self.events.len()).step_by(29) {
            let known: Value = serde_json::from_str(&self.events[number]).unwrap();
            let scope: Scope =
                format!("{}/{}", known["tenant"].as_str().unwrap(), known["application"].as_str().unwrap())
                    .parse()
                    .unwrap();
            let id: Uuid = known["id"].as_str().unwrap().parse().unwrap();
            let found = store.event(&scope, id).unwrap_or_else(|error| panic!("{about}: {error}"));
            assert_eq!(text(&found.expect(about)), self.events[number], "{about}");
            let cause: Uuid = known["correlation_id"].as_str().unwrap().parse().unwrap();
            let cascade = store.correlated(&scope, cause).unwrap_or_else(|error| panic!("{about}: {error}"));
            assert!(cascade.iter().any(|event| event.id() == id), "{about}");
            assert!(store.event(&scope, Uuid::from_u128(number as u128 | 7 << 90)).unwrap().is_none(), "{about}");
        }
        for (stream, (version, state)) in &self.states {
            let (scope, stream) = stream.split_once(' ').unwrap();
            let scope = scope.parse().unwrap();
            let found = store.state(&scope, stream, At::Now, true).unwrap_or_else(|error| panic!("{about}: {error}"));
            assert_eq!((found.version, &found.state), (*version, state), "{about}");
            let newest = store.read_stream(&scope, stream, u64::MAX, Direction::Backward).unwrap().next();
            assert_eq!(newest.map(|event| event.unwrap().version()), Some(*version), "{about}");
        }
    }

    /// Whatever can be read without an error is what was written; the first error.
    pub(crate) fn read_until_damage(&self, store: &EventStore, about: &str) -> (u64, Option<ReadError>) {
        let mut position = 0;
        for event in store.read(Query::new()).unwrap() {
            match event {
                Ok(event) => {
                    assert_eq!(text(&event), self.events[position as usize], "{about}");
                    position += 1;
                }
                Err(error) => return (position, Some(error)),
            }
        }
        (position, None)
    }

    /// Salvage gives events as they were written or states that they are lost, and each position is one of both. Returns
    /// the positions lost.
    pub(crate) fn assert_salvaged(&self, files: &Files, about: &str) -> BTreeSet<u64> {
        self.assert_salvaged_store(&salvage(files).unwrap_or_else(|error| panic!("{about}: {error}")), about)
    }

    /// As [`assert_salvaged`](Self::assert_salvaged), of a store that was opened so.
    pub(crate) fn assert_salvaged_store(&self, store: &EventStore, about: &str) -> BTreeSet<u64> {
        let losses = store.losses();
        let lost: BTreeSet<u64> = losses.iter().filter_map(|loss| loss.positions.clone()).flatten().collect();
        let mut read = BTreeSet::new();
        for event in store.read(Query::new()).unwrap() {
            let event = event.unwrap_or_else(|error| panic!("{about}: {error}"));
            assert_eq!(text(&event), self.events[event.position() as usize - 1], "{about}");
            assert!(read.insert(event.position()), "{about}: {} twice", event.position());
        }
        assert!(read.is_disjoint(&lost), "{about}");
        let known = store.last_position();
        let accounted: BTreeSet<u64> = read.union(&lost).copied().collect();
        assert_eq!(accounted, (1..=known).collect(), "{about}: {losses:?}");
        let all = self.events.len() as u64;
        assert!(known <= all, "{about}");
        let end_is_open = |loss: &Loss| loss.positions.as_ref().is_none_or(|lost| *lost.end() == known);
        assert!(known == all || losses.iter().any(end_is_open), "{about}: {losses:?}");
        self.assert_salvaged_streams(store, &read, about);
        let append = store.append(Append::to(&loans()).event(Event::new(SENT, "s")));
        assert!(matches!(append, Err(atlas::log::AppendError::ReadOnly)), "{about}");
        lost.into_iter().chain(known + 1..=all).collect()
    }

    /// Streams have what the log has of them, and a state is right or refused.
    fn assert_salvaged_streams(&self, store: &EventStore, read: &BTreeSet<u64>, about: &str) {
        let mut of_streams = BTreeSet::new();
        for stream in store.streams(None, "").unwrap() {
            let stream = stream.unwrap_or_else(|error| panic!("{about}: {error}"));
            let mut last = 0;
            for event in store.read_stream(&stream.scope, &stream.stream, 1, Direction::Forward).unwrap() {
                let event = event.unwrap_or_else(|error| panic!("{about}: {error}"));
                assert!(event.version() > last, "{about}");
                last = event.version();
                of_streams.insert(event.position());
            }
            assert_eq!(last, stream.version, "{about}");
            let key = format!("{} {}", stream.scope, stream.stream);
            let state = store.state(&stream.scope, &stream.stream, At::Now, true);
            match (state, self.states.get(&key)) {
                (Ok(found), Some((version, state))) if found.version == *version => {
                    assert_eq!(found.state, *state, "{about}");
                }
                (Ok(found), _) => assert_eq!(found.version, stream.version, "{about}"),
                (Err(error), _) => assert!(!store.losses().is_empty(), "{about}: {error}"),
            }
        }
        assert_eq!(&of_streams, read, "{about}");
    }
}
