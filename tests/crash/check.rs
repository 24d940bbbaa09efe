//! What must hold of a directory after a crash.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use atlas::EventStore;
use atlas::log::{Depth, Folds, Query};

use crate::load::{Key, options};

/// Position and version of each event of an append.
type Places = Vec<(u64, u64)>;

/// What a host acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    appends: BTreeMap<Key, (Places, bool)>,
}

impl Acknowledged {
    /// Takes in what a host wrote; a line that the kill cut short says nothing.
    pub(crate) fn read(&mut self, acks: &str) {
        for line in acks.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<&str> = line.split(' ').collect();
            let numbers = |words: &[&str]| -> Vec<u64> { words.iter().map(|word| word.parse().unwrap()).collect() };
            if words[0] == "synced" {
                let [round, thread, number] = numbers(&words[1..])[..] else { panic!("{line}") };
                let upto = Key { round, thread, number };
                let from = Key { number: 0, ..upto };
                self.appends.range_mut(from..=upto).for_each(|(_, (_, durable))| *durable = true);
                continue;
            }
            let [round, thread, number] = numbers(&words[..3])[..] else { panic!("{line}") };
            let key = Key { round, thread, number };
            let place = |word: &&str| word.split_once(':').map(|(p, v)| (p.parse().unwrap(), v.parse().unwrap()));
            let places: Places = words[3..].iter().map(|word| place(word).unwrap()).collect();
            self.appends.insert(key, (places, !key.is_deferred()));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.appends.len()
    }
}

/// Every event of the log is what it must be, positions and versions have no gaps, each append is there whole or not at
/// all, and all that was acknowledged is where it was said to be. How many events there are.
pub(crate) fn events(store: &EventStore, acknowledged: &Acknowledged) -> u64 {
    let mut found: BTreeMap<Key, BTreeMap<u64, (u64, u64)>> = BTreeMap::new();
    let mut versions: HashMap<String, u64> = HashMap::new();
    let (mut position, mut recorded) = (0, i64::MIN);
    for event in store.read(Query::new()).unwrap() {
        let event = event.unwrap();
        position += 1;
        assert_eq!(event.position(), position);
        assert!(event.recorded_at() >= recorded, "time runs backwards at position {position}");
        recorded = event.recorded_at();
        let version = versions.entry(event.stream().to_owned()).or_default();
        *version += 1;
        assert_eq!(event.version(), *version, "stream {}", event.stream());
        let (key, index) = Key::of(event.id());
        let (event_type, stream, data) = key.content(index);
        assert_eq!((event.stream(), event.event_type()), (stream.as_str(), event_type), "{key:?} {index}");
        assert_eq!(event.data(), data.as_bytes(), "{key:?} {index}");
        assert!(found.entry(key).or_default().insert(index, (position, event.version())).is_none(), "{key:?} twice");
    }
    for (key, events) in &found {
        let indexes: BTreeSet<u64> = events.keys().copied().collect();
        assert!(indexes.into_iter().eq(0..key.count()), "half of an append: {key:?}");
    }
    for (key, (places, durable)) in &acknowledged.appends {
        match found.get(key) {
            Some(events) => assert!(events.values().eq(places.iter()), "{key:?} moved"),
            None => assert!(!durable, "{key:?} was acknowledged, and is lost"),
        }
    }
    assert_eq!(store.last_position(), position);
    position
}

/// Every file of the log, with its bytes.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(dir.join("log")).unwrap();
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).map(|p| (p.clone(), std::fs::read(p).unwrap())).collect();
    files.sort();
    files
}

pub(crate) fn verifies(dir: &Path, depth: &Depth) {
    let report = atlas::log::verify(dir, depth, |_, _| {}).unwrap();
    assert!(report.ok, "{report:?}");
}

/// Checks the directory that a crash left, recovers it, and recovers it again; the store, open.
pub(crate) fn recover(dir: &Path, acknowledged: &Acknowledged) -> (EventStore, u64) {
    verifies(dir, &Depth::Structure);
    let store = EventStore::open_options(dir, options()).unwrap();
    let count = events(&store, acknowledged);
    drop(store);
    let first = snapshot(dir);
    let store = EventStore::open_options(dir, options()).unwrap();
    assert!(snapshot(dir) == first, "a second recovery changed something");
    verifies(dir, &Depth::Deep(Folds::default()));
    assert_eq!(events(&store, acknowledged), count);
    (store, count)
}
