#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::indexing_slicing, missing_docs)]
use std::io;
use std::sync::Arc;

use atlas::log::{Append, At, Durability, EventStore, OpenMode, Options, Query};
use atlas::storage::simulated::{Faults, SimulatedDisk};
use atlas::storage::{Disk, DiskFile, Environment, MemoryDisk};
use atlas::{Event, Scope, Uuid};
use bytes::Bytes;

fn scope() -> Scope {
    "bank/loans".parse().unwrap()
}
fn options() -> Options {
    Options { segment_size: 64 << 10, ..Options::default() }
}
fn event(number: u128) -> Event {
    Event::new("A_B_C_D_1", format!("s-{}", number % 3)).id(Uuid::from_u128(number)).data(&"x".repeat(300))
}
fn append(store: &EventStore, number: u128, durability: Durability) -> Result<bool, atlas::log::AppendError> {
    store.append(Append::to(&scope()).event(event(number)).durability(durability)).map(|r| r.durable)
}
fn ids(store: &EventStore) -> Vec<u128> {
    store.read(Query::new()).unwrap().map(|event| event.unwrap().id().as_u128()).collect()
}

/// A simulated disk whose lock nobody holds any more, and that says so, as a real one does.
#[derive(Debug, Clone)]
struct Unheld(SimulatedDisk);
#[derive(Debug)]
struct UnheldFile(Arc<dyn DiskFile>);
impl Disk for Unheld {
    fn create_dir(&self, f: &str) -> io::Result<()> {
        self.0.create_dir(f)
    }
    fn list(&self, f: &str) -> io::Result<Vec<String>> {
        self.0.list(f)
    }
    fn open(&self, n: &str, w: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(UnheldFile(self.0.open(n, w)?)))
    }
    fn create(&self, n: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.create(n)
    }
    fn rename(&self, a: &str, b: &str) -> io::Result<()> {
        self.0.rename(a, b)
    }
    fn remove(&self, n: &str) -> io::Result<()> {
        self.0.remove(n)
    }
    fn sync_dir(&self, f: &str) -> io::Result<()> {
        self.0.sync_dir(f)
    }
}
impl DiskFile for UnheldFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, o: u64, b: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(o, b)
    }
    fn write_at(&self, o: u64, b: &[u8]) -> io::Result<usize> {
        self.0.write_at(o, b)
    }
    fn set_len(&self, l: u64) -> io::Result<()> {
        self.0.set_len(l)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn map(&self, l: usize) -> io::Result<Bytes> {
        self.0.map(l)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn is_locked(&self) -> io::Result<bool> {
        Ok(false)
    }
}

#[test]
fn reader_of_unheld_after_failed_sync_sees_only_what_survives() {
    let mut bad = Vec::new();
    for seed in 1..=40u64 {
        let disk = SimulatedDisk::new(seed);
        let store = EventStore::open_with(Environment::new(disk.clone()), options()).unwrap();
        append(&store, 1, Durability::Sync).unwrap();
        disk.set_faults(Faults { sync: 65536, ..Faults::default() });
        append(&store, 2, Durability::Sync).unwrap_err();
        disk.set_faults(Faults::default());
        drop(store);
        let disk = disk.kill();
        let Ok(reader) = EventStore::open_with_mode(Environment::new(Unheld(disk.clone())), options(), OpenMode::Read)
        else {
            continue;
        };
        let seen: Vec<u128> =
            reader.read(Query::new()).unwrap().map_while(|e| e.ok().map(|e| e.id().as_u128())).collect();
        drop(reader);
        let disk = disk.power_cut();
        let store = EventStore::open_with(Environment::new(disk), options()).unwrap();
        let found = ids(&store);
        if seen.iter().any(|id| !found.contains(id)) {
            bad.push((seed, seen, found));
        }
    }
    assert!(
        bad.is_empty(),
        "{} of 40 seeds: (seed, seen, found after power cut) {:?}",
        bad.len(),
        &bad[..bad.len().min(3)]
    );
}

#[test]
fn deferred_append_of_a_host_that_lost_lock_leaves_the_others_log_alone() {
    for (first_deferred, how) in [(1usize, "one small"), (300, "until it rotates")] {
        let disk = MemoryDisk::new();
        let a = EventStore::open_with(Environment::new(disk.clone()), options()).unwrap();
        (1..=5).for_each(|n| assert!(append(&a, n, Durability::Sync).unwrap()));
        disk.remove("LOCK").unwrap();
        atlas::rebuild_with(Environment::new(disk.clone()), |_, _| {}).unwrap();
        let b = EventStore::open_with(Environment::new(disk.clone()), options()).unwrap();
        (6..=50).for_each(|n| assert!(append(&b, n, Durability::Sync).unwrap()));
        let mut written = 0;
        for n in 0..first_deferred {
            match append(&a, 1000 + n as u128, Durability::Deferred) {
                Ok(_) => written += 1,
                Err(error) => {
                    println!("{how}: A refused after {written}: {error}");
                    break;
                }
            }
        }
        println!("{how}: {written} deferred commits of the host without LOCK were written");
        drop(b);
        drop(a);
        match EventStore::open_with(Environment::new(disk.clone()), options()) {
            Ok(store) => println!("{how}: reopened with {} of 50", ids(&store).len()),
            Err(error) => println!("{how}: {error}"),
        }
        let store = EventStore::open_with(Environment::new(disk), options()).unwrap();
        assert_eq!(ids(&store), (1..=50).collect::<Vec<_>>());
    }
}

/// A read leaves a keyframe: deferred.
#[test]
fn a_mere_read_of_a_host_that_lost_lock_leaves_the_others_log_alone() {
    let disk = MemoryDisk::new();
    let a = EventStore::open_with(Environment::new(disk.clone()), options()).unwrap();
    let one = |n: u128| {
        Append::to(&scope())
            .event(Event::new("A_B_C_D_1", "s").id(Uuid::from_u128(n)).data(&serde_json::json!({"n": "x".repeat(50)})))
    };
    (1..=60).for_each(|n| drop(a.append(one(n)).unwrap()));
    disk.remove("LOCK").unwrap();
    atlas::rebuild_with(Environment::new(disk.clone()), |_, _| {}).unwrap();
    let b = EventStore::open_with(Environment::new(disk.clone()), options()).unwrap();
    (61..=80).for_each(|n| drop(b.append(one(n)).unwrap()));
    println!("{:?}", a.state(&scope(), "s", At::Now, true).map(|s| s.version));
    drop(b);
    drop(a);
    let store = EventStore::open_with(Environment::new(disk), options()).unwrap();
    assert_eq!(ids(&store), (1..=80).collect::<Vec<_>>());
}

#[test]
fn an_import_whose_id_came_in_meanwhile_isnt_said_to_be_written() {
    let disk = MemoryDisk::new();
    let store = EventStore::open_with(Environment::new(disk), options()).unwrap();
    let line = r#"{"id":"00000000-0000-0000-0000-000000000001","type":"A_B_C_D_1","tenant":"bank","application":"loans","stream":"history",
        "version":1,"position":1,"recorded_at":"2020-01-01T00:00:00Z","data":{"from":"history"}}"#;
    let mut import = store.import_as_recorded().unwrap();
    import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    append(&store, 1, Durability::Sync).unwrap();
    let finished = import.finish();
    let streams: Vec<_> = store.read(Query::new()).unwrap().map(|e| e.unwrap().stream().to_owned()).collect();
    assert!(
        finished.is_err() || streams.contains(&"history".to_owned()),
        "finish says {finished:?}, and the log holds {streams:?}"
    );
}

/// A disk whose segment writes wait until they are let go.
#[derive(Debug, Clone)]
struct Gated(MemoryDisk, Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>);
#[derive(Debug)]
struct GatedFile(Arc<dyn DiskFile>, Option<Gated>);
impl Disk for Gated {
    fn create_dir(&self, f: &str) -> io::Result<()> {
        self.0.create_dir(f)
    }
    fn list(&self, f: &str) -> io::Result<Vec<String>> {
        self.0.list(f)
    }
    fn open(&self, n: &str, w: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile(self.0.open(n, w)?, n.ends_with(".seg").then(|| self.clone()))))
    }
    fn create(&self, n: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile(self.0.create(n)?, n.contains(".seg").then(|| self.clone()))))
    }
    fn rename(&self, a: &str, b: &str) -> io::Result<()> {
        self.0.rename(a, b)
    }
    fn remove(&self, n: &str) -> io::Result<()> {
        self.0.remove(n)
    }
    fn sync_dir(&self, f: &str) -> io::Result<()> {
        self.0.sync_dir(f)
    }
}
impl DiskFile for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, o: u64, b: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(o, b)
    }
    fn write_at(&self, o: u64, b: &[u8]) -> io::Result<usize> {
        if let Some(gate) = &self.1 {
            let mut shut = gate.1.0.lock().unwrap();
            while *shut {
                shut = gate.1.1.wait(shut).unwrap();
            }
        }
        self.0.write_at(o, b)
    }
    fn set_len(&self, l: u64) -> io::Result<()> {
        self.0.set_len(l)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn map(&self, l: usize) -> io::Result<Bytes> {
        self.0.map(l)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
}

type Boxed = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// An executor that is gone: whom it is to run it drops, as `async-task` does with a task that can't be scheduled.
struct DropsOnWake(std::sync::Mutex<Option<Boxed>>);
impl std::task::Wake for DropsOnWake {
    fn wake(self: Arc<Self>) {
        let future = self.0.lock().unwrap().take();
        drop(future);
    }
}

#[test]
fn an_executor_that_drops_whom_it_is_to_wake_doesnt_stop_the_store() {
    let gate: Arc<(std::sync::Mutex<bool>, std::sync::Condvar)> = Arc::default();
    let disk = Gated(MemoryDisk::new(), gate.clone());
    let options = Options { max_queue: 1 << 20, max_commit: 1 << 20, ..Options::default() };
    let store = EventStore::open_with(Environment::new(disk), options).unwrap();
    let large = |n: u128| {
        let event = Event::new("A_B_C_D_1", "s").id(Uuid::from_u128(n)).data(&"x".repeat(900_000));
        Append::to(&scope()).event(event)
    };
    *gate.0.lock().unwrap() = true;
    let spawn = |n: u128| {
        let (store, append) = (store.clone(), large(n));
        std::thread::spawn(move || store.append(append).map(drop))
    };
    let first = spawn(1);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let second = spawn(2);
    std::thread::sleep(std::time::Duration::from_millis(300));
    // The third waits at the door.
    let third: Boxed = {
        let answer = store.append_async(large(3));
        Box::pin(async move { drop(answer.await) })
    };
    let waker = Arc::new(DropsOnWake(std::sync::Mutex::new(Some(third))));
    {
        let mut taken = waker.0.lock().unwrap().take().unwrap();
        let task = std::task::Waker::from(waker.clone());
        assert!(taken.as_mut().poll(&mut std::task::Context::from_waker(&task)).is_pending());
        *waker.0.lock().unwrap() = Some(taken);
    }
    *gate.0.lock().unwrap() = false;
    gate.1.notify_all();
    let (done, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
        done.send(()).unwrap();
    });
    assert!(
        told.recv_timeout(std::time::Duration::from_secs(20)).is_ok(),
        "the committer hangs: 2 appends unanswered after 20 s"
    );
}

#[test]
fn a_rebuild_that_power_cuts_short_leaves_no_false_word_of_loss() {
    let mut bad = Vec::new();
    for seed in 1..=20u64 {
        let disk = SimulatedDisk::new(seed);
        let store = EventStore::open_with(Environment::new(disk.clone()), options()).unwrap();
        append(&store, 1, Durability::Sync).unwrap();
        (2..=6).for_each(|n| assert!(!append(&store, n, Durability::Deferred).unwrap()));
        // Killed: not even the last handle's drop syncs anything.
        let disk = disk.kill();
        drop(store);
        disk.remove("LOCK").unwrap();
        disk.sync_dir("").unwrap();
        for cut in 1..30u64 {
            let side = disk.fork(seed * 1000 + cut);
            side.cut_power_in(cut);
            let rebuilt = atlas::rebuild_with(Environment::new(side.clone()), |_, _| {});
            if rebuilt.is_ok() {
                break;
            }
            let side = side.power_cut();
            match EventStore::open_with(Environment::new(side), options()) {
                Ok(_) | Err(atlas::log::OpenError::LockMissing) => {}
                Err(error) => bad.push((seed, cut, error.to_string())),
            }
        }
    }
    assert!(bad.is_empty(), "{}: {:?}", bad.len(), bad.first());
}

/// A process that may open no more files just then.
#[derive(Debug, Clone)]
struct NoIndex(MemoryDisk);
impl Disk for NoIndex {
    fn create_dir(&self, f: &str) -> io::Result<()> {
        self.0.create_dir(f)
    }
    fn list(&self, f: &str) -> io::Result<Vec<String>> {
        self.0.list(f)
    }
    fn open(&self, n: &str, w: bool) -> io::Result<Arc<dyn DiskFile>> {
        if n.ends_with(".idx") { Err(io::Error::from_raw_os_error(24)) } else { self.0.open(n, w) }
    }
    fn create(&self, n: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.create(n)
    }
    fn rename(&self, a: &str, b: &str) -> io::Result<()> {
        self.0.rename(a, b)
    }
    fn remove(&self, n: &str) -> io::Result<()> {
        self.0.remove(n)
    }
    fn sync_dir(&self, f: &str) -> io::Result<()> {
        self.0.sync_dir(f)
    }
}

#[test]
fn what_only_an_index_finds_isnt_lost_because_it_couldnt_be_opened_just_now() {
    let disk = MemoryDisk::new();
    let store = EventStore::open_with(Environment::new(disk.clone()), options()).unwrap();
    (1..=600).for_each(|n| assert!(append(&store, n, Durability::Sync).unwrap()));
    store.close().unwrap();
    drop(store);
    let file = disk.open("log/00000001.seg", true).unwrap();
    let mut length = [0; 4];
    file.read_exact_at(64, &mut length).unwrap();
    let at = 64 + u64::from(u32::from_le_bytes(length)) + 8;
    let mut byte = [0];
    file.read_exact_at(at, &mut byte).unwrap();
    file.write_all_at(at, &[byte[0] ^ 1]).unwrap();
    let salvage = |disk: Box<dyn Fn() -> Environment>| EventStore::open_with_mode(disk(), options(), OpenMode::Salvage);
    let plain = disk.clone();
    let whole = salvage(Box::new(move || Environment::new(plain.clone()))).unwrap();
    let lost =
        |store: &EventStore| store.losses().iter().filter_map(|l| l.positions.clone()).flatten().collect::<Vec<_>>();
    assert_eq!(lost(&whole), [0u64; 0]);
    match salvage(Box::new(move || Environment::new(NoIndex(disk.clone())))) {
        Err(_) => {}
        Ok(store) => {
            panic!("EMFILE of an index, and salvage says Ok, losing {:?}: {:?}", lost(&store), store.losses().first())
        }
    }
}

struct Panics;
impl std::task::Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker of somebody else's")
    }
}

#[test]
fn a_waker_that_panics_stops_nobody_else() {
    let store = EventStore::open_with(Environment::new(MemoryDisk::new()), options()).unwrap();
    let mut answer = Box::pin(store.append_async(Append::to(&scope()).event(event(1))));
    let waker = std::task::Waker::from(Arc::new(Panics));
    let _ = answer.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (done, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(append(&store, 2, Durability::Sync).is_ok());
    });
    assert_eq!(told.recv_timeout(std::time::Duration::from_secs(10)), Ok(true), "the next append hangs");
}
