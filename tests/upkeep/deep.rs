//! What a deep check finds: each test makes one derived thing wrong, in a way that no checksum tells.

use std::fs;
use std::path::{Path, PathBuf};

use atlas::log::{At, Depth, EventRef, Fold, Folds, KeyframePolicy, MergeFold, Options, Report};
use atlas::{EventStore, rebuild, verify};
use redb::{Database, ReadableTable, TableDefinition};
use serde_json::{Value, json};

use crate::world::{builder, fill, scope};

struct World {
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let atlas = builder().open(folder.path().join("data")).await.unwrap();
        fill(&atlas).await;
        atlas.close().await.unwrap();
        Self { folder }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn deep(&self) -> Report {
        verify(self.dir(), &Depth::Deep(Folds::default()), |_, _| {}).unwrap()
    }

    /// A plain check sees nothing, a deep one exactly one problem, in `file`, and a rebuild mends it.
    #[track_caller]
    fn found(&self, file: &str, what: &str) {
        let plain = verify(self.dir(), &Depth::Structure, |_, _| {}).unwrap();
        assert!(plain.ok, "{plain:?}");
        let deep = self.deep();
        assert_eq!(deep.problems.len(), 1, "{deep:?}");
        assert_eq!(deep.problems[0].file, file, "{deep:?}");
        assert!(deep.problems[0].what.contains(what), "{deep:?}");
        rebuild(self.dir(), |_, _| {}).unwrap();
        assert!(self.deep().ok, "{:?}", self.deep());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_store_has_no_problems_and_everything_is_looked_at() {
    let world = World::new().await;
    let report = world.deep();
    assert!(report.ok, "{report:?}");
    let checked = &report.checked;
    assert_eq!((checked.deep, checked.events, checked.streams), (true, 400, 6));
    assert!(checked.segments >= 3 && checked.indexes == checked.segments, "{checked:?}");
    assert!(checked.keyframes >= 6 * 5, "{checked:?}");
    assert_eq!(checked.databases, ["catalog.redb", "dispatch.redb"]);
    let progress = std::cell::RefCell::new((0, 0));
    verify(world.dir(), &Depth::Deep(Folds::default()), |done, all| {
        assert!(done >= progress.borrow().0 && done <= all, "{done} of {all}");
        *progress.borrow_mut() = (done, all);
    })
    .unwrap();
    assert_eq!(progress.borrow().0, progress.borrow().1);
}

/// Merges, but for one thing.
struct Forgetful(&'static str);

impl Fold for Forgetful {
    type State = Value;

    fn name(&self) -> &str {
        self.0
    }

    fn fingerprint(&self) -> u64 {
        MergeFold.fingerprint()
    }

    fn start(&self) -> Value {
        MergeFold.start()
    }

    fn apply(&self, state: &mut Value, event: &EventRef<'_>) {
        MergeFold.apply(state, event);
        state["text"] = json!("forgotten");
    }

    fn encode(&self, state: &Value) -> Vec<u8> {
        MergeFold.encode(state)
    }

    fn decode(&self, bytes: &[u8]) -> Option<Value> {
        MergeFold.decode(bytes)
    }
}

/// Leaves keyframes of a fold at every 40th version of a stream.
fn leave_keyframes(dir: &Path, fold: &Forgetful) {
    let options = Options { keyframes: KeyframePolicy::Events(40), ..crate::world::options() };
    let store = EventStore::open_options(dir, options).unwrap();
    store.fold(&scope(), "loan-1", fold, At::Now, true).unwrap();
    store.sync().unwrap();
    store.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyframe_that_its_events_do_not_fold_to_is_found() {
    // Of another fold than the one it says it is of: it has no keyframe to start from, so it begins with the first event.
    let world = World::new().await;
    leave_keyframes(&world.dir(), &Forgetful("other"));
    let report = world.deep();
    assert!(report.ok && report.checked.other_keyframes == 1, "{report:?}");
    let known = Depth::Deep(Folds::default().with(Forgetful("other")));
    let report = verify(world.dir(), &known, |_, _| {}).unwrap();
    assert!(report.ok && report.checked.other_keyframes == 0, "{report:?}");

    let folder = tempfile::tempdir().unwrap();
    let store = EventStore::open_options(folder.path(), crate::world::options()).unwrap();
    for n in 0..50 {
        let event = atlas::Event::new(crate::world::SENT, "loan-1").data(&json!({ "n": n, "text": "kept" }));
        store.append(atlas::log::Append::to(&scope()).event(event)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    leave_keyframes(folder.path(), &Forgetful("merge"));
    let report = verify(folder.path(), &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
    assert_eq!((report.problems.len(), report.checked.keyframes), (1, 1), "{report:?}");
    let problem = &report.problems[0];
    assert_eq!(problem.file, "log/00000001.seg");
    let what = "the keyframe of stream \"loan-1\" at version 40 doesn't hold the state that its events fold to";
    assert_eq!(problem.what, what);
    assert!(verify(folder.path(), &Depth::Structure, |_, _| {}).unwrap().ok);
}

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Removes the first row of a table, as a fault of Atlas might.
fn forget_row(file: &Path, table: Rows) {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut rows = transaction.open_table(table).unwrap();
    let first = rows.first().unwrap().unwrap().0.value().to_vec();
    rows.remove(first.as_slice()).unwrap();
    drop(rows);
    transaction.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_forgot_something_is_found() {
    let world = World::new().await;
    for table in ["events", "lanes", "messages", "free", "due", "dead", "in_streams", "streams", "queues"] {
        forget_row(&world.dir().join("dispatch.redb"), TableDefinition::new(table));
        world.found("dispatch.redb", &format!("table {table} doesn't say what the log says"));
    }
    let file = world.dir().join("catalog.redb");
    let database = Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let trees: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("trees");
    transaction.open_table(trees).unwrap().remove("bank/loans").unwrap();
    transaction.commit().unwrap();
    drop(database);
    world.found("catalog.redb", "table trees doesn't say what the log says");
}

/// What an older version of Atlas wrote has other tables: a check has nothing to hold against the log, and the next open
/// makes the file anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_layout_is_made_anew() {
    let world = World::new().await;
    let file = world.dir().join("dispatch.redb");
    let answers = async || {
        let atlas = builder().dispatch(false).open(world.dir()).await.unwrap();
        let found = serde_json::to_value(atlas.queues().await.unwrap()).unwrap();
        atlas.close().await.unwrap();
        found
    };
    let right = answers().await;
    let database = Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let (meta, queues): (Rows, Rows) = (TableDefinition::new("meta"), TableDefinition::new("queues"));
    assert!(transaction.open_table(meta).unwrap().remove(b"layout".as_slice()).unwrap().is_some());
    transaction.delete_table(queues).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(world.deep().ok, "{:?}", world.deep());
    assert_eq!(answers().await, right);
    // It says its layout again, so that what is missing is found.
    forget_row(&file, TableDefinition::new("queues"));
    world.found("dispatch.redb", "table queues doesn't say what the log says");
}

/// The index of another life of the same segment: of this store, and whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_says_something_else_is_found() {
    let world = World::new().await;
    let index = world.dir().join("log/00000001.idx");
    let mut bytes = fs::read(&index).unwrap();
    let before = bytes.clone();
    // The offset of an event, and the checksums that go with it.
    recheck(&mut bytes, |data| data[300] ^= 1);
    assert_ne!(bytes, before);
    fs::write(&index, &bytes).unwrap();
    let plain = verify(world.dir(), &Depth::Structure, |_, _| {}).unwrap();
    assert!(plain.ok, "{plain:?}");
    let deep = world.deep();
    let says = deep.problems.iter().any(|problem| {
        problem.file == "log/00000001.idx" && problem.what == "the index doesn't say what its segment says"
    });
    assert!(says, "{deep:?}");
    rebuild(world.dir(), |_, _| {}).unwrap();
    assert!(world.deep().ok);
    assert_eq!(fs::read(&index).unwrap(), before);
}

/// Changes the data of an index file, and all its checksums to match: of each 4 KiB, of these, and of the footer.
fn recheck(bytes: &mut [u8], change: impl FnOnce(&mut [u8])) {
    let footer = bytes.len() - 24;
    let data = u64::from_le_bytes(bytes[footer + 8..footer + 16].try_into().unwrap()) as usize;
    change(&mut bytes[..data]);
    let blocks: Vec<u8> = bytes[..data].chunks(4096).flat_map(|block| crc32fast::hash(block).to_le_bytes()).collect();
    bytes[data..footer].copy_from_slice(&blocks);
    bytes[footer + 16..footer + 20].copy_from_slice(&crc32fast::hash(&blocks).to_le_bytes());
    let crc = crc32fast::hash(&bytes[footer..footer + 20]);
    bytes[footer + 20..].copy_from_slice(&crc.to_le_bytes());
}
