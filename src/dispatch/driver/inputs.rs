//! Input queues on the thread of dispatch: which of them have messages that can come in. Of each one batch at a time is handed
//! out to be ingested, so that messages come in in the order in which they can be taken.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Driver;
use super::queues::Found;
use crate::dispatch::DispatchError;
use crate::dispatch::arrivals::is_later;
use crate::dispatch::inputs;
use crate::dispatch::queue_record::QueueGroup;
use crate::event::{Name, Scope};
use crate::log::Address;

/// Messages of an input queue that are handed out at once.
const INGESTED_AT_ONCE: usize = 256;
/// Input queues that are worked on at once.
const MAX_BUSY: usize = 8;

/// A queue of a scope.
type Key = (Scope, Name);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// The generation of the configuration that says which queues are input queues; 0: none.
    generation: u64,
    /// Whether there are any by that.
    are_any: bool,
    /// Those that may have messages to ingest.
    to_look_at: BTreeSet<Key>,
    /// Those of which messages are being ingested, or were: then up to which address the log is to be followed.
    busy: BTreeMap<Key, Option<Address>>,
    /// The one that was looked at last: the others come before it.
    last: Option<Key>,
    /// When a lease or a delay ends in one.
    due: BTreeMap<Key, i64>,
    /// Those of which a message could not be written, until when.
    put_off: BTreeMap<Key, i64>,
}

impl Inputs {
    /// Something has changed in a queue.
    pub(super) fn touch(&mut self, of: &QueueGroup) {
        if self.are_any {
            self.to_look_at.insert((of.scope.clone(), of.queue.clone()));
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Whether messages can come in now, or are about to.
    pub(super) fn has_any(&self) -> bool {
        self.is_busy() || !self.to_look_at.is_empty() || !self.put_off.is_empty()
    }

    /// When one is to be looked at next.
    pub(super) fn next_time(&self) -> Option<i64> {
        self.due.values().chain(self.put_off.values()).copied().min()
    }

    /// Each queue in turn.
    fn next(&mut self) -> Option<Key> {
        let may = |key: &&Key| !self.busy.contains_key(*key) && !self.put_off.contains_key(*key);
        let behind = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.to_look_at.range((behind, Bound::Unbounded)).find(may);
        let next = behind.or_else(|| self.to_look_at.iter().find(may)).cloned()?;
        self.to_look_at.remove(&next);
        self.last = Some(next.clone());
        Some(next)
    }

    /// The log is followed up to here.
    pub(super) fn followed(&mut self, up_to: Address) {
        self.busy.retain(|_, until| until.is_none_or(|until| until > up_to));
    }

    fn time_passes(&mut self, now: i64) {
        let Self { to_look_at, due, put_off, .. } = self;
        to_look_at.extend(due.extract_if(.., |_, at| *at <= now).map(|(key, _)| key));
        to_look_at.extend(put_off.extract_if(.., |_, at| !is_later(*at, now)).map(|(key, _)| key));
    }
}

impl Driver {
    /// Has messages of input queues come in. Returns whether there were any.
    pub(super) fn ingest_inputs(&mut self, now: i64) -> Result<bool, DispatchError> {
        let Some(runtime) = self.runtime.clone() else { return Ok(false) };
        self.look_for_inputs();
        self.inputs.time_passes(now);
        let mut any = false;
        while self.inputs.busy.len() < MAX_BUSY
            && let Some(key) = self.inputs.next()
        {
            self.inputs.due.remove(&key);
            let (scope, queue) = key.clone();
            if !self.context.catalog.queue_options(&scope, queue.as_str()).is_some_and(|options| options.ingest) {
                continue;
            }
            let of = QueueGroup { scope, queue, group: None };
            // Held until a record of each is followed; whoever ingests them says which are left.
            let Found { messages, .. } = self.find(&of, INGESTED_AT_ONCE, None, now)?;
            if messages.is_empty() {
                // What is due and held already is looked at once whoever holds it is done.
                let due = self.lanes.shelf().next_due(&of, now)?;
                self.inputs.due.extend(due.map(|due| (key, due)));
                continue;
            }
            self.inputs.busy.insert(key, None);
            runtime.spawn_blocking(inputs::work(self.context.clone(), of, messages));
            any = true;
        }
        Ok(any)
    }

    /// After a change of the configuration all queues that have messages are looked at.
    fn look_for_inputs(&mut self) {
        // At each step: without a lock, and without a copy of what is active.
        let generation = self.context.catalog.generation();
        if std::mem::replace(&mut self.inputs.generation, generation) == generation {
            return;
        }
        self.inputs.are_any = self.context.catalog.snapshot().has_input_queues();
        let counts = self.queues.counts();
        self.inputs.due.clear();
        counts.keys().for_each(|of| self.inputs.touch(of));
    }

    /// Messages of a queue were ingested but for `left`, to be tried again from `at` on.
    pub(super) fn ingested(&mut self, of: QueueGroup, left: &[Address], at: Option<i64>) {
        self.queues.let_go(&of, left);
        self.inputs.touch(&of);
        let key = (of.scope, of.queue);
        self.inputs.busy.insert(key.clone(), Some(self.context.store.durable_end()));
        self.inputs.put_off.extend(at.map(|at| (key, at)));
    }
}
