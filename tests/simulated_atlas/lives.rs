//! One life of a host: it opens the store, activates configurations, ingests, and ends in one way or another.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atlas::storage::Disk;
use atlas::storage::simulated::{Faults, Rng, SimulatedDisk};
use atlas::{Atlas, Error};

use crate::model::{Calls, Model, event, message};
use crate::tree::{INBOX, builder, loans, seeded, write_tree};

const DATABASES: [&str; 2] = ["catalog.redb", "dispatch.redb"];
/// Tasks that ingest at the same time.
const TASKS: u64 = 3;

/// How many lives ended how, and what they met.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) power_cuts: u64,
    pub(crate) kills: u64,
    pub(crate) closes: u64,
    pub(crate) failed_opens: u64,
    pub(crate) failed_syncs: u64,
    pub(crate) lost: u64,
    pub(crate) damaged: u64,
    pub(crate) acknowledged: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    PowerCut,
    Kill,
    Close,
}

/// The disk, and what is known of it.
pub(crate) struct Host<'a> {
    pub(crate) disk: SimulatedDisk,
    pub(crate) rng: Rng,
    pub(crate) model: Model,
    pub(crate) calls: Calls,
    pub(crate) tree: &'a Path,
    pub(crate) figures: Figures,
}

/// Runs the work of one process. What it leaves running ends with it.
pub(crate) fn process<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Lets syncs of the file `name` fail, once after `left` that don't.
fn fail_syncs_of(disk: &SimulatedDisk, name: &'static str, left: u64) {
    let (of, left) = (disk.clone(), AtomicU64::new(left));
    disk.on_sync(Some(Arc::new(move |file| {
        let fails = file == name && left.fetch_sub(1, Ordering::SeqCst) == 0;
        of.set_faults(Faults { sync: if fails { 1 << 16 } else { 0 }, ..Faults::default() });
    })));
}

impl Host<'_> {
    /// A life, and what is found on the disk after it.
    pub(crate) fn live(&mut self) {
        let end = *self.rng.pick(&[End::PowerCut, End::PowerCut, End::Kill, End::Close]).unwrap();
        let faulty = self.plan(end);
        let (cut_late, count) = (self.rng.below(400), 1 + self.rng.below(24));
        let atlas = process(async {
            let opened = builder(&self.calls).open_with(seeded(&self.disk, self.rng.any())).await;
            let atlas = match opened {
                Ok(atlas) => atlas,
                Err(error) => {
                    assert!(faulty, "opening failed without a fault: {error}");
                    self.figures.failed_opens += 1;
                    return None;
                }
            };
            if end == End::PowerCut && !faulty {
                self.disk.cut_power_in(1 + cut_late);
            }
            let may_fail = faulty || end == End::PowerCut;
            self.model.configuration(&atlas);
            if self.model.active.is_none() || self.rng.one_in(2) {
                self.configure(&atlas, may_fail).await;
            }
            self.ingest(&atlas, count, may_fail).await;
            if self.rng.one_in(2) {
                // Let dispatch do some of its work; where it has failed, it says so.
                let settled = atlas.settled().await;
                assert!(settled.is_ok() || may_fail, "{settled:?}");
            }
            if end == End::Close {
                let closed = atlas.close().await;
                assert!(closed.is_ok() || may_fail, "{closed:?}");
            }
            if end == End::Kill {
                self.disk = self.disk.kill();
            }
            Some(atlas)
        });
        self.figures.failed_syncs += self.disk.take_failed_syncs().len() as u64;
        self.disk = match end {
            End::PowerCut => self.disk.power_cut(),
            // What is not closed by now dies with the process.
            End::Kill | End::Close => self.disk.kill(),
        };
        drop(atlas);
        self.disk.set_faults(Faults::default());
        match end {
            End::PowerCut => self.figures.power_cuts += 1,
            End::Kill => self.figures.kills += 1,
            End::Close => self.figures.closes += 1,
        }
    }

    /// Sets the faults that meet the host from its first call on; whether there are any that may fail a call.
    fn plan(&mut self, end: End) -> bool {
        match self.rng.below(6) {
            0 | 1 if end == End::PowerCut => self.disk.cut_power_in(1 + self.rng.below(120)),
            2 => fail_syncs_of(&self.disk, DATABASES[self.rng.below(2) as usize], self.rng.below(6)),
            3 => {
                // No error, and so no excuse.
                self.disk.set_faults(Faults { short: 1 << 12, ..Faults::default() });
                return false;
            }
            4 => self.disk.set_faults(Faults { read: 40, write: 40, sync: 200, name: 40, short: 1 << 12 }),
            _ => return false,
        }
        true
    }

    /// Imports and activates another configuration.
    async fn configure(&mut self, atlas: &Atlas, may_fail: bool) {
        self.model.marks += 1;
        let mark = self.model.marks;
        write_tree(self.tree, mark);
        let activated = async { loans(atlas).config().import(self.tree).await?.activate().await };
        match activated.await {
            Ok(_) => self.model.active = Some(mark),
            Err(error) => assert!(may_fail, "{error}"),
        }
    }

    /// Ingests `count` events in several tasks, singly and in batches; a task in three by way of the input queue.
    async fn ingest(&mut self, atlas: &Atlas, count: u64, may_fail: bool) {
        if self.model.active.is_none() {
            return;
        }
        let first = self.model.attempted;
        self.model.attempted += TASKS * count;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let (loans, from) = (loans(atlas), first + task * count);
            let puts = task == 0;
            tasks.spawn(async move {
                let (mut acknowledged, mut number) = (Vec::new(), from);
                while number < from + count {
                    let to = (number + 1 + number % 3).min(from + count);
                    let result: Result<_, Error> = match puts {
                        true => loans.queue(INBOX).put((number..to).map(message)).await.map(drop),
                        false => loans.ingest_all((number..to).map(event).collect()).await.map(drop),
                    };
                    match result {
                        Ok(()) => acknowledged.extend(number..to),
                        Err(error) => assert!(may_fail, "{error}"),
                    }
                    number = to;
                }
                (puts, acknowledged)
            });
        }
        for (puts, acknowledged) in tasks.join_all().await {
            self.figures.acknowledged += acknowledged.len() as u64;
            match puts {
                true => self.model.acknowledge_put(acknowledged),
                false => self.model.acknowledge(acknowledged),
            }
        }
    }

    /// Loses or damages what is derived, while nobody holds the directory.
    pub(crate) fn harm(&mut self) {
        let database = DATABASES[self.rng.below(2) as usize];
        match self.rng.below(4) {
            0 => self.figures.lost += u64::from(self.disk.remove(database).is_ok()),
            1 => {
                let mut rng = self.rng.clone();
                let harmed = self.disk.damage(database, |bytes| {
                    let page = rng.below(bytes.len() as u64 / 4096) as usize * 4096;
                    let place = page + rng.below(4096) as usize;
                    bytes[place..(place + 64).min(page + 4096)].iter_mut().for_each(|byte| *byte = !*byte);
                });
                self.rng = rng;
                if harmed.is_ok() {
                    self.figures.damaged += 1;
                }
            }
            _ => {}
        }
    }
}
