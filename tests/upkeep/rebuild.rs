//! A rebuild that ends anywhere: the disk fails at each call in turn, and the directory is none the worse for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use atlas::log::Query;
use atlas::storage::{Disk, DiskFile, Environment, MemoryDisk};
use atlas::{Atlas, Error, rebuild_with};
use bytes::Bytes;

use crate::world::{builder, filled};

/// A disk that takes so many changes, and then no more, as if the process had been killed.
#[derive(Clone, Debug)]
struct Ending {
    disk: MemoryDisk,
    left: Arc<AtomicI64>,
}

impl Ending {
    fn change(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(io::Error::other("killed")) }
    }
}

#[derive(Debug)]
struct EndingFile(Arc<dyn DiskFile>, Ending);

impl Disk for Ending {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.disk.create_dir(folder)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(EndingFile(self.disk.open(name, write)?, self.clone())))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.change()?;
        Ok(Arc::new(EndingFile(self.disk.create(name)?, self.clone())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change()?;
        self.disk.remove(name)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }
}

impl DiskFile for EndingFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.1.change()?;
        self.0.write_at(offset, bytes)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.1.change()?;
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.0.map(length)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
}

fn bytes(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    let mut names = disk.list("").unwrap();
    names.extend(disk.list("log").unwrap().into_iter().map(|name| format!("log/{name}")));
    names
}

fn copy(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::new();
    for name in names(disk) {
        copy.create(&name).unwrap().write_all_at(0, &bytes(disk, &name)).unwrap();
    }
    copy
}

async fn open(disk: &MemoryDisk) -> Result<Atlas, Error> {
    builder().dispatch(false).open_with(Environment::new(disk.clone())).await
}

fn ids(atlas: &Atlas) -> Vec<String> {
    atlas.store().read(Query::new()).unwrap().map(|event| event.unwrap().id().to_string()).collect()
}

/// What there is: ids, and how many messages wait.
async fn content(atlas: &Atlas) -> (Vec<String>, u64) {
    (ids(atlas), atlas.queues().await.unwrap().iter().map(|queue| queue.depth).sum())
}

fn ending(disk: &MemoryDisk, after: i64) -> (Environment, Arc<AtomicI64>) {
    let left = Arc::new(AtomicI64::new(after));
    (Environment::new(Ending { disk: disk.clone(), left: left.clone() }), left)
}

/// Ends a rebuild of `disk` after each number of changes in turn, with larger steps once it is under way.
async fn end_everywhere(disk: &MemoryDisk, mut check: impl AsyncFnMut(MemoryDisk)) {
    let (environment, left) = ending(&copy(disk), i64::MAX);
    rebuild_with(environment, |_, _| {}).unwrap();
    let all = i64::MAX - left.load(Ordering::SeqCst);
    assert!(all > 50, "{all}");
    let step = all / 14;
    for after in (0..12).chain((12..all).step_by(step.max(1) as usize)) {
        let disk = copy(disk);
        let (environment, _) = ending(&disk, after);
        let ended = rebuild_with(environment, |_, _| {});
        // A change that is only a help may fail without the rebuild failing.
        assert!(ended.is_err() || after > 12, "after {after} of {all} changes");
        drop(ended);
        check(copy(&disk)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_rebuild_ends_the_next_open_goes_on() {
    let disk = MemoryDisk::new();
    let atlas = filled(Environment::new(disk.clone())).await;
    let expected = content(&atlas).await;
    atlas.close().await.unwrap();
    drop(atlas);
    end_everywhere(&disk, async |left| {
        let atlas = open(&left).await.unwrap();
        assert_eq!(content(&atlas).await, expected);
        atlas.close().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_rebuild_ends_lost_data_stay_evident_or_are_gone_for_good() {
    let disk = MemoryDisk::new();
    let atlas = filled(Environment::new(disk.clone())).await;
    let events = content(&atlas).await.0;
    atlas.close().await.unwrap();
    drop(atlas);
    let last = names(&disk).into_iter().filter(|name| name.ends_with(".seg")).max().unwrap();
    disk.remove(&last).unwrap();
    assert!(open(&disk).await.is_err());
    let whole = copy(&disk);
    let lost = rebuild_with(Environment::new(whole.clone()), |_, _| {}).unwrap().lost;
    assert_eq!(
        lost.iter().map(|lost| lost.file.as_str()).collect::<Vec<_>>(),
        ["LOCK", "log/00000003.idx", "dispatch.redb"]
    );
    let expected = content(&open(&whole).await.unwrap()).await;
    assert!(expected.0.len() < events.len() && expected.0[..] == events[..expected.0.len()]);
    end_everywhere(&disk, async |left| {
        // An open may be refused still; a rebuild never is.
        if let Ok(atlas) = open(&left).await {
            assert_eq!(ids(&atlas), expected.0);
            atlas.close().await.unwrap();
        }
        rebuild_with(Environment::new(left.clone()), |_, _| {}).unwrap();
        let atlas = open(&left).await.unwrap();
        assert_eq!(content(&atlas).await, expected);
        atlas.close().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_refuses_a_tail_that_is_damaged_and_changes_nothing() {
    let disk = MemoryDisk::new();
    let atlas = filled(Environment::new(disk.clone())).await;
    atlas.close().await.unwrap();
    drop(atlas);
    let last = names(&disk).into_iter().filter(|name| name.ends_with(".seg")).max().unwrap();
    let tail = bytes(&disk, &last);
    for place in [0, 1, 2].map(|quarter| 64 + 60 + tail.len() * quarter / 4) {
        let damaged = copy(&disk);
        let file = damaged.open(&last, true).unwrap();
        file.write_all_at(place as u64, &[tail[place] ^ 0x40]).unwrap();
        let before: Vec<_> = names(&damaged).into_iter().map(|name| (bytes(&damaged, &name), name)).collect();
        let error = rebuild_with(Environment::new(damaged.clone()), |_, _| {}).unwrap_err().to_string();
        assert!(error.contains("the log is damaged") && error.contains(&last), "{error}");
        for (was, name) in before {
            let is = bytes(&damaged, &name);
            // Of LOCK the process id before and the CRC after its two ends may differ.
            let same = if name == "LOCK" { is[16..32] == was[16..32] } else { is == was };
            assert!(same, "{name}");
        }
    }
}
