//! 2,000 pages of a store with the real log, where that lies beside the repository: 262,200 events.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use atlas::log::{
    Append, Depth, Durability, EventStore, OpenMode, Options, Query, ReadError, RecordedEvent, verify_disk,
};
use atlas::storage::{Disk, Environment, MemoryDisk};
use atlas::{Envelope, Uuid};

use crate::harm::Harm;
use crate::layout::{frames, may_be_lost};
use crate::sweep::Figures;
use crate::world::{Files, disk_of, files_of, loans};

const PAGE: usize = 4096;

fn lines() -> Option<Vec<String>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/bpic2012.ndjson.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    Some(BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines().map(Result::unwrap).collect())
}

fn options() -> Options {
    Options { segment_size: 1 << 20, ..Options::default() }
}

fn open(disk: &MemoryDisk, mode: OpenMode) -> Result<EventStore, atlas::log::OpenError> {
    EventStore::open_with_mode(Environment::new(disk.clone()), options(), mode)
}

fn digest(event: &RecordedEvent) -> u64 {
    let mut hasher = DefaultHasher::new();
    let named = (event.id(), event.event_type(), event.stream(), event.version(), event.position());
    (named, event.time().micros(), event.recorded_at(), event.correlation_id(), event.data()).hash(&mut hasher);
    hasher.finish()
}

struct Real {
    files: Files,
    /// Of each event, by position from 1.
    digests: Vec<u64>,
    ids: Vec<Uuid>,
    /// Of the segments: name and position of the first event.
    starts: Vec<(String, u64)>,
}

impl Real {
    fn new(lines: &[String]) -> Self {
        let disk = MemoryDisk::new();
        let store = open(&disk, OpenMode::Write).unwrap();
        for lines in lines.chunks(40) {
            let events = lines.iter().map(|line| Envelope::from_json(line.as_bytes()).unwrap().to_event().unwrap());
            store.append(Append::to(&loans()).events(events).durability(Durability::Deferred)).unwrap();
        }
        store.close().unwrap();
        let files = files_of(&disk);
        let store = open(&disk, OpenMode::Write).unwrap();
        let (digests, ids) =
            store.read(Query::new()).unwrap().map(Result::unwrap).map(|event| (digest(&event), event.id())).unzip();
        let starts = files
            .iter()
            .filter(|(name, _)| name.ends_with(".seg"))
            .map(|(name, bytes)| (name.clone(), u64::from_le_bytes(bytes[72..80].try_into().unwrap())))
            .collect();
        Self { files, digests, ids, starts }
    }

    /// The positions from the segment before the one that a file is about, up to the one after it; of files that are about
    /// more, the newest.
    fn around(&self, name: &str) -> (u64, u64) {
        let number = name.get(4..12).and_then(|number| number.parse().ok()).unwrap_or(self.starts.len());
        let start = |number: usize| self.starts.get(number).map_or(self.digests.len() as u64 + 1, |(_, start)| *start);
        (start(number.saturating_sub(2)), start(number + 1))
    }

    /// What can be read of these positions is what was written; whether all could be, or where it couldn't.
    fn read(&self, store: &EventStore, (from, to): (u64, u64), about: &str) -> (u64, Option<ReadError>) {
        let mut read = 0;
        for event in store.read(Query::new().after(from - 1)).unwrap() {
            match event {
                Ok(event) if event.position() >= to => break,
                Ok(event) => {
                    assert_eq!(digest(&event), self.digests[event.position() as usize - 1], "{about}");
                    read += 1;
                }
                Err(error) => return (read, Some(error)),
            }
        }
        (read, None)
    }

    fn segment(&self, disk: &MemoryDisk, name: &str, page: usize, length: usize, figures: &mut Figures) {
        let about = format!("{name}, page {page}");
        let offset = page * PAGE;
        let frame = frames(&self.files[name]).iter().map(|frame| frame.offset).rfind(|at| *at <= offset).unwrap_or(0);
        let is_it = |file: &str, at: u64| file == name && (frame..offset + length).contains(&(at as usize));
        let report = verify_disk(Arc::new(disk.clone()), &Depth::Structure, |_, _| {}).unwrap();
        assert!(report.problems.iter().any(|p| is_it(&p.file, p.offset)), "{about}: {:?}", report.problems);
        figures.verified += 1;
        let around = self.around(name);
        match open(disk, OpenMode::Read) {
            Err(error) => {
                assert!(error.to_string().contains(name), "{about}: {error}");
                figures.refused += 1;
            }
            Ok(store) => match self.read(&store, around, &about) {
                (_, Some(ReadError::Corrupt { file, offset, .. })) => {
                    assert!(is_it(&file, offset), "{about}: {file}, {offset}");
                    figures.read_errors += 1;
                }
                (read, None) => assert_eq!(read, around.1 - around.0, "{about}"),
                (_, Some(error)) => panic!("{about}: {error}"),
            },
        }
        let salvaged = open(disk, OpenMode::Salvage).unwrap();
        let losses = salvaged.losses();
        assert!(losses.iter().any(|loss| loss.file == name), "{about}: {losses:?}");
        let lost: std::collections::BTreeSet<u64> =
            losses.iter().filter_map(|loss| loss.positions.clone()).flatten().collect();
        let may = may_be_lost(&self.files[name], offset, offset + length);
        assert!(lost.is_subset(&may), "{about}");
        let (read, error) = self.read(&salvaged, around, &about);
        assert!(error.is_none(), "{about}: {error:?}");
        assert_eq!(read + lost.len() as u64, around.1 - around.0, "{about}");
        figures.events_lost += lost.len();
    }

    fn derived(&self, disk: &MemoryDisk, name: &str, page: usize, figures: &mut Figures) {
        let about = format!("{name}, page {page}");
        let report = verify_disk(Arc::new(disk.clone()), &Depth::Structure, |_, _| {}).unwrap();
        figures.derived_verified += usize::from(report.problems.iter().any(|problem| problem.file == name));
        let store = open(disk, OpenMode::Read).unwrap_or_else(|error| panic!("{about}: {error}"));
        let around = self.around(name);
        assert_eq!(self.read(&store, around, &about).0, around.1 - around.0, "{about}");
        for position in (around.0..around.1).step_by(97) {
            let event = store.event(&loans(), self.ids[position as usize - 1]).unwrap().expect(&about);
            assert_eq!(digest(&event), self.digests[position as usize - 1], "{about}");
            let newest = store.version(event.scope(), event.stream()).unwrap();
            assert!(newest >= event.version(), "{about}");
        }
        figures.healed += 1;
    }

    fn damage(&self, disk: &MemoryDisk, name: &str, page: usize, harm: Harm, figures: &mut Figures) {
        let bytes = &self.files[name];
        let length = PAGE.min(bytes.len() - page * PAGE);
        let damaged = harm.done_to(bytes, page * PAGE, length);
        let put = |bytes: &[u8]| {
            let changed = &bytes[page * PAGE..page * PAGE + length];
            disk.open(name, true).unwrap().write_all_at((page * PAGE) as u64, changed).unwrap();
        };
        put(&damaged);
        figures.tried += 1;
        if name.ends_with(".seg") {
            self.segment(disk, name, page, length, figures)
        } else {
            self.derived(disk, name, page, figures)
        }
        put(bytes);
    }
}

#[test]
fn pages_of_a_store_with_the_real_log() {
    let Some(lines) = lines() else { return };
    let (lines, wanted) = if crate::all() { (&lines[..], 2_000) } else { (&lines[..8_000], 16) };
    let real = Real::new(lines);
    let bytes: usize = real.files.values().map(Vec::len).sum();
    let pages: Vec<(&String, usize)> = real
        .files
        .iter()
        .flat_map(|(name, bytes)| (0..bytes.len().div_ceil(PAGE)).map(move |page| (name, page)))
        .collect();
    let next = AtomicUsize::new(0);
    let sweep = || {
        let disk = disk_of(&real.files);
        let mut figures = Figures::default();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= wanted {
                return figures;
            }
            let (name, page) = pages[turn * pages.len() / wanted];
            let harm = if turn.is_multiple_of(2) { Harm::Flip } else { Harm::Zero };
            real.damage(&disk, name, page, harm, &mut figures);
        }
    };
    let figures = std::thread::scope(|scope| {
        let sweeps = [scope.spawn(sweep), scope.spawn(sweep)];
        sweeps.map(|sweep| sweep.join().unwrap()).into_iter().reduce(Figures::plus).unwrap()
    });
    println!("the real log: {} events, {bytes} bytes, {} pages: {figures:#?}", real.digests.len(), pages.len(),);
    assert_eq!(figures.tried, wanted);
    assert!(figures.verified > wanted / 3 && figures.healed > 0);
}
