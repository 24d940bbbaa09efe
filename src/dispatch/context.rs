//! What the thread of dispatch and the attempts that it starts have in common.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::claims::Claims;
use super::database::Plans;
use super::delivery::When;
use super::driver::Message;
use super::http::Http;
use super::lanes::Start;
use super::mailbox::Mailbox;
use super::state::DeliveryState;
use super::timers::MAX_TIMER_AHEAD;
use super::{DispatchError, Observers, Options};
use crate::config::{Catalog, SchemaRef, Violation};
use crate::event::{Name, Scope, Timestamp};
use crate::log::{Append, AppendError, EventStore, Receipt, RecordedEvent};
use crate::routing::{Handler, Plan};

/// How long the thread of dispatch waits before it looks for room again.
const ROOM_WAIT: Duration = Duration::from_millis(20);

/// How often the host is told that it does, in microseconds.
const TOLD_EVERY_MICROS: u64 = 10_000_000;

/// How long to wait before an append that found no room on the disk is tried again.
const NO_SPACE_WAIT: Duration = Duration::from_secs(1);

/// See the head of this file.
pub(super) struct Context {
    pub(super) store: EventStore,
    pub(super) plans: Plans,
    pub(super) catalog: Catalog,
    pub(super) options: Options,
    pub(super) http: Http,
    pub(super) mailbox: Arc<Mailbox<Message>>,
    /// Up to this position events are history without deliveries: `u64::MAX` while an import is under way, or about to begin.
    pub(super) imported: AtomicU64,
    pub(super) claims: Arc<Claims>,
    /// Until when the thread of dispatch waits for room on a full disk: not while it starts, nor longer than a close may take.
    pub(super) waits_for_room_until: AtomicI64,
    /// When the host was last told of that.
    pub(super) told_of_full_disk: AtomicI64,
    /// Events that are being ingested, and who waits until none is.
    pub(super) ingesting: AtomicUsize,
    pub(super) ingested: Notify,
    /// An import of history has begun, and not ended.
    pub(super) import_has_begun: AtomicBool,
    /// The import of history that is under way was dropped, and is to be ended.
    pub(super) import_abandoned: AtomicBool,
    /// Functions that run: position of the event, handler.
    pub(super) in_process: Mutex<HashSet<(u64, Name)>>,
    /// Told of every step, on the thread of dispatch.
    pub(super) observers: Observers,
}

/// One attempt to make.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) start: Start,
    /// Which of all attempts since the thread of dispatch began.
    pub(super) number: u64,
    pub(super) scope: Scope,
    pub(super) plan: Arc<Plan>,
    /// Which handler of the plan.
    pub(super) handler: usize,
    pub(super) state: DeliveryState,
    pub(super) guard_failed: bool,
    /// The handlers that are stopped should this one fail for good.
    pub(super) stops: Vec<Name>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("store", &self.store).field("options", &self.options).finish_non_exhaustive()
    }
}

impl Context {
    pub(super) fn now(&self) -> i64 {
        self.store.environment().clock.now_micros()
    }

    /// A number from 0 to 1, by chance.
    pub(super) fn chance(&self) -> f64 {
        let number = self.store.environment().entropy.next_u64() >> 32;
        f64::from(u32::try_from(number).unwrap_or_default()) / f64::from(u32::MAX)
    }

    /// The time after a wait from now.
    pub(super) fn after(&self, wait: Duration) -> i64 {
        self.now().saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
    }

    /// When a timer is due that is set now.
    pub(super) fn due(&self, when: When) -> Timestamp {
        match when {
            When::At(due) => due,
            When::After(wait) => Timestamp::from_micros(self.after(wait.min(MAX_TIMER_AHEAD))),
        }
    }

    /// Waits without a timer of the runtime: the thread of dispatch wakes whoever waits.
    pub(super) async fn sleep(&self, wait: Duration) {
        let (wake, woken) = oneshot::channel();
        self.mailbox.send(Message::Sleep { until: self.after(wait), wake });
        // An error says that dispatch is stopping, and then nothing is worth waiting for.
        let _ = woken.await;
    }

    /// Appends; where the disk is full, again and again until it isn't.
    pub(super) async fn append(&self, append: Append) -> Result<Receipt, AppendError> {
        loop {
            match self.store.append_async(append.clone()).await {
                Err(error) if error.is_full_disk() => self.sleep(NO_SPACE_WAIT).await,
                other => return other,
            }
        }
    }

    /// Whether a message follows the schema of its queue.
    pub(super) fn check_message(
        &self,
        schema: &SchemaRef,
        data: &[u8],
    ) -> Result<Result<(), Violation>, DispatchError> {
        let checked = self.plans.router.check_message(schema, data);
        checked.map_err(|error| DispatchError::Schema { source: Arc::new(error) })
    }

    /// Waits a while for room on the disk, on the thread of dispatch; `false` where it is to give up.
    pub(super) fn wait_for_room(&self) -> bool {
        let may_wait = || self.now() < self.waits_for_room_until.load(Ordering::Acquire);
        if may_wait() {
            let now = self.now();
            if now.abs_diff(self.told_of_full_disk.load(Ordering::Relaxed)) >= TOLD_EVERY_MICROS {
                self.told_of_full_disk.store(now, Ordering::Relaxed);
                tracing::warn!("dispatch waits for room on the disk");
            }
            self.mailbox.pause(ROOM_WAIT);
        }
        may_wait()
    }

    /// The event at a position that dispatch has followed.
    pub(super) fn event_at(&self, position: u64) -> Result<RecordedEvent, DispatchError> {
        self.store.event_at(position)?.ok_or(DispatchError::Stopped)
    }
}

impl Job {
    /// The handler; `None` can't be, since the job was made from the plan.
    pub(super) fn handler(&self) -> Option<&Handler> {
        self.plan.handlers.get(self.handler)
    }

    pub(super) fn attempt(&self) -> u32 {
        self.state.attempts.saturating_add(1)
    }
}
