//! What is derived against the log: the directory against the indexes, each stream from its first event to its last, each
//! keyframe against its fold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::folds::Folding;
use super::{Folds, Report};
use crate::event::Scope;
use crate::log::format::KeyframeBody;
use crate::log::index::{IndexFile, KeyframeEntry};
use crate::log::part::{Horizon, Part, StreamRef};
use crate::log::segment::segment_name;
use crate::log::view::View;
use crate::log::{Direction, EventStore, OpenError, OpenMode, Options, ReadError};
use crate::storage::{Disk, Environment};

pub(super) fn check(
    disk: Arc<dyn Disk>,
    folds: &Folds,
    report: &mut Report,
    mut progress: impl FnMut(u64),
) -> Result<(), ReadError> {
    let environment = Environment { disk, ..Environment::new(crate::storage::MemoryDisk::new()) };
    let store = match EventStore::open_with_mode(environment, Options::default(), OpenMode::Read) {
        Ok(store) => store,
        Err(OpenError::Read(error) | OpenError::Corrupt { source: error, .. }) => return Err(error),
        Err(other) => {
            report.add("log", 0, other.to_string());
            return Ok(());
        }
    };
    // A host may go on meanwhile: all is held against one moment.
    store.stand_still();
    let view = store.view()?;
    directory(&view, report)?;
    let mut events = 0;
    let mut bytes = 0;
    for found in store.streams(None, "")? {
        let found = found?;
        report.checked.streams += 1;
        let stream = Stream { store: &store, view: &view, scope: &found.scope, id: &found.stream, folds };
        let read = stream.check(report, |read| {
            bytes += read;
            progress(bytes);
        })?;
        if read != found.version {
            let what = format!(
                "stream {:?} of {} has {read} events; its newest is version {}",
                found.stream, found.scope, found.version
            );
            report.add("log", 0, what);
        }
        events += read;
    }
    if events != store.last_position() {
        let what = format!("all streams together have {events} events, and the log {}", store.last_position());
        report.add("log", 0, what);
    }
    Ok(())
}

/// The directory has a row for each row of the indexes that it covers, and no other.
fn directory(view: &View, report: &mut Report) -> Result<(), ReadError> {
    view.directory.check_all()?;
    let (mut streams, mut keys) = (0u64, 0u64);
    for number in 1..=view.directory.last() {
        let index = match view.sealed.get(number)? {
            Part::Sealed(part) => part.index.clone(),
            // Its index is missing or damaged, which was found before if it matters.
            Part::Memory(_) => return Ok(()),
        };
        if let Some(what) = differs(view, &index)? {
            report.add("log", 0, format!("the directory and the index of segment {number} differ: {what}"));
        }
        streams += u64::from(index.streams());
        keys += u64::from(index.far_keys());
    }
    if view.directory.rows() != (streams, keys) {
        report.add("log", 0, "the directory has rows that no index has");
    }
    Ok(())
}

fn differs(view: &View, index: &IndexFile) -> Result<Option<&'static str>, ReadError> {
    let number = index.summary.segment;
    if view.directory.summary(number)?.map(|summary| summary.encode()) != Some(index.summary.encode()) {
        return Ok(Some("the summary"));
    }
    for stream in 0..index.streams() {
        let row = index.stream(stream)?;
        let places = view.directory.streams(row.hash)?;
        if !places.iter().any(|place| place.segment == number && place.base_version == row.base_version) {
            return Ok(Some("a stream"));
        }
    }
    for key in 0..index.far_keys() {
        if !view.directory.keys(index.far_key(key)?)?.contains(&number) {
            return Ok(Some("a key"));
        }
    }
    Ok(None)
}

struct Stream<'a> {
    store: &'a EventStore,
    view: &'a View,
    scope: &'a Scope,
    id: &'a str,
    folds: &'a Folds,
}

/// Where a keyframe of a known fold stands.
struct Kept {
    version: u64,
    fold: usize,
    part: Part,
    stream: StreamRef,
    entry: KeyframeEntry,
}

impl Stream<'_> {
    /// Reads the stream, and folds it where it has keyframes; how many events it has.
    fn check(&self, report: &mut Report, mut progress: impl FnMut(u64)) -> Result<u64, ReadError> {
        let keyframes = self.keyframes(report)?;
        let used: BTreeSet<usize> = keyframes.iter().map(|kept| kept.fold).collect();
        let mut folding: BTreeMap<usize, Box<dyn Folding + '_>> =
            used.into_iter().filter_map(|fold| Some((fold, self.folds.begin(fold)?))).collect();
        let mut due = keyframes.iter().peekable();
        let (mut version, mut latest_time) = (0u64, i64::MIN);
        let mut events = self.store.read_stream(self.scope, self.id, 1, Direction::Forward)?;
        while let Some(event) = events.next_ref() {
            let event = event?;
            progress(event.record_len() as u64);
            if Some(event.version()) != version.checked_add(1) {
                let what = format!("stream {:?} has version {} after {version}", self.id, event.version());
                report.add(segment_name(event.address().segment()), u64::from(event.address().offset()), what);
                return Ok(version);
            }
            version = event.version();
            latest_time = latest_time.max(event.time().micros());
            folding.values_mut().for_each(|fold| fold.apply(&event));
            while let Some(kept) = due.next_if(|kept| kept.version == version) {
                report.checked.keyframes += 1;
                let body = kept.part.keyframe(&kept.entry, &kept.stream)?;
                let Ok(keyframe) = KeyframeBody::decode(&body) else { continue };
                let state = folding.get(&kept.fold).is_some_and(|fold| fold.is(keyframe.state));
                let times = (keyframe.recorded_at, keyframe.latest_time) == (event.recorded_at(), latest_time);
                if !(state && times) {
                    let differs = if state { "times" } else { "state" };
                    self.wrong(kept, &format!("doesn't hold the {differs} that its events fold to"), report);
                }
            }
        }
        for kept in due {
            self.wrong(kept, &format!("is of a version beyond the stream's newest, {version}"), report);
        }
        Ok(version)
    }

    fn wrong(&self, kept: &Kept, what: &str, report: &mut Report) {
        let (segment, id, version) = (kept.part.segment().number(), self.id, kept.version);
        let what = format!("the keyframe of stream {id:?} at version {version} {what}");
        report.add(segment_name(segment), u64::from(kept.entry.offset), what);
    }

    /// The stream's keyframes of known folds, by version.
    fn keyframes(&self, report: &mut Report) -> Result<Vec<Kept>, ReadError> {
        let mut keyframes = Vec::new();
        for found in self.view.stream_parts_newest_first(self.scope, self.id, Horizon::Durable) {
            let (part, stream) = found?;
            for entry in part.keyframes(&stream)? {
                let body = part.keyframe(&entry, &stream)?;
                let fold = KeyframeBody::decode(&body).ok().and_then(|k| self.folds.find(k.fold, k.fingerprint));
                match fold {
                    Some(fold) => {
                        keyframes.push(Kept { version: entry.version, fold, part: part.clone(), stream, entry });
                    }
                    None => report.checked.other_keyframes += 1,
                }
            }
        }
        keyframes.sort_by_key(|kept| kept.version);
        Ok(keyframes)
    }
}
