//! What the thread of dispatch is told and asked.

use std::ops::ControlFlow;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::queues::QueueQuestion;
use super::timers::TimerPage;
use super::{Closing, Driver};
use crate::dispatch::history::Gate;
use crate::dispatch::hold::Hold;
use crate::dispatch::lag::CountsPage;
use crate::dispatch::lanes::{Blocked, Obstacle, Reserved, Start};
use crate::dispatch::queue_record::QueueGroup;
use crate::dispatch::state::DeliveryState;
use crate::dispatch::timers::TimerEntry;
use crate::dispatch::{DispatchError, QueueInfo, Remaining, ScheduleInfo, history};
use crate::event::{Name, Scope};
use crate::log::{Address, Import};

/// Where an answer goes.
pub(in crate::dispatch) type Reply<T> = oneshot::Sender<Result<T, DispatchError>>;

/// Which open deliveries are asked for.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct Filter {
    pub(in crate::dispatch) scope: Option<Scope>,
    pub(in crate::dispatch) handler: Option<Name>,
    pub(in crate::dispatch) parked: bool,
    /// About so many: all of an event are told, or none.
    pub(in crate::dispatch) limit: usize,
    /// Those of events after this one.
    pub(in crate::dispatch) after: Option<Place>,
}

/// The place of an event among all that are open: by scope and position.
pub(in crate::dispatch) type Place = (Scope, u64);

/// Some of the open deliveries that were asked for.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct OpenPage {
    pub(in crate::dispatch) entries: Vec<OpenEntry>,
    /// Where the next ones begin; `None` where these were the last.
    pub(in crate::dispatch) next: Option<Place>,
}

/// An open delivery, as the thread of dispatch knows it.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct OpenEntry {
    pub(in crate::dispatch) scope: Scope,
    pub(in crate::dispatch) stream: String,
    pub(in crate::dispatch) event_type: String,
    pub(in crate::dispatch) position: u64,
    pub(in crate::dispatch) event: Uuid,
    pub(in crate::dispatch) handler: Name,
    pub(in crate::dispatch) state: DeliveryState,
    pub(in crate::dispatch) runs: bool,
    pub(in crate::dispatch) obstacle: Option<Obstacle>,
}

/// A message to the thread.
pub(in crate::dispatch) enum Message {
    /// A task vanished before its end: its runtime is shutting down.
    Lost,
    /// An attempt could not be recorded.
    Failed(DispatchError),
    BatchEnded,
    /// An attempt that waited its turn begins now.
    Turn {
        start: Start,
        number: u64,
        deadline: i64,
    },
    /// The function of an attempt has returned; how the attempt ended is about to be on record.
    Returned {
        start: Start,
        number: u64,
    },
    /// Attempts did not take place; they are handed out again at a time.
    GiveBack {
        starts: Vec<Start>,
        at: i64,
    },
    Sleep {
        until: i64,
        wake: oneshot::Sender<()>,
    },
    /// Asks to be told when nothing of an event goes on any more.
    Watch {
        scope: Scope,
        position: u64,
        reply: Reply<Vec<Blocked>>,
    },
    /// Asks that no attempt of a delivery starts; `None` where one runs.
    HoldDelivery {
        scope: Scope,
        position: u64,
        handler: Name,
        reply: Reply<Option<Hold>>,
    },
    /// Messages of a queue that were held, and of which nothing was recorded.
    LetGo {
        of: QueueGroup,
        messages: Vec<Address>,
    },
    /// Room in a queue that was reserved, and isn't used.
    Unreserve {
        of: QueueGroup,
        count: u64,
    },
    /// Messages of an input queue were ingested; those that are left are tried again from a time on.
    Ingested {
        of: QueueGroup,
        left: Vec<Address>,
        at: Option<i64>,
    },
    /// A timer could not be fired.
    FireLater {
        entry: TimerEntry,
        at: i64,
        /// It waits for another process, and the others don't.
        not_here: bool,
    },
    /// An occurrence of a schedule could not be written.
    OccurLater {
        scope: Scope,
        key: String,
        at: i64,
        /// It waits for another process, and the others don't.
        not_here: bool,
    },
    /// Asks that a timer is not fired; `None` where it is being fired, or somebody else holds it.
    HoldTimer {
        scope: Scope,
        id: Uuid,
        reply: Reply<Option<Hold>>,
    },
    /// A timer that was held may be fired.
    GiveTimerBack {
        scope: Scope,
        id: Uuid,
    },
    /// What comes from now on is history, until a record says up to where. Answered once nothing else is on its way.
    History {
        gate: Gate,
        reply: Reply<Hold>,
    },
    /// An import of history was asked for, and doesn't begin.
    NoHistory,
    /// Asks to end an import of history that was abandoned, with what is left of it.
    EndHistory {
        import: Option<Import>,
        reply: Option<Reply<()>>,
    },
    /// To be answered once the log is followed up to where it ends now.
    Ask(Question),
    Close {
        until: i64,
        reply: Reply<()>,
    },
    Stop,
}

/// A question about all that is open.
pub(in crate::dispatch) enum Question {
    Settled(Reply<Remaining>),
    Open(Filter, Reply<OpenPage>),
    Counts {
        scope: Option<Scope>,
        after: Option<Place>,
        reply: Reply<CountsPage>,
    },
    Queues(Option<Scope>, Reply<Vec<QueueInfo>>),
    Schedules {
        scope: Option<Scope>,
        reply: Reply<Vec<ScheduleInfo>>,
    },
    Timers {
        scope: Option<Scope>,
        after: Option<TimerEntry>,
        limit: usize,
        reply: Reply<TimerPage>,
    },
    Queue(QueueGroup, QueueQuestion),
    /// Which queues hold messages.
    QueuesInUse(Reply<Vec<(Scope, Name)>>),
}

/// Somebody waits for an event.
pub(super) struct Watch {
    pub(super) scope: Scope,
    pub(super) reply: Reply<Vec<Blocked>>,
}

impl Driver {
    pub(super) fn receive(&mut self, message: Message) -> Result<ControlFlow<()>, DispatchError> {
        match message {
            Message::Lost => {
                // What is lost while closing is what the close gave up waiting for.
                if self.closing.is_none() {
                    return Err(DispatchError::RuntimeGone);
                }
            }
            Message::Failed(error) => return Err(error),
            Message::BatchEnded => self.batches = self.batches.saturating_sub(1),
            Message::Turn { start, number, deadline } => self.turn_has_come(start, number, deadline),
            Message::Returned { start: Start { position, slot }, number } => {
                // Its end may have been followed before, and another attempt started.
                if self.running.get(&(position, slot)).is_some_and(|running| running.number == number) {
                    self.lanes.function_returned(position, slot);
                }
            }
            Message::GiveBack { starts, at } => {
                self.given_back.extend(starts.into_iter().map(|start| (at, start.position, start.slot)));
            }
            Message::Sleep { until, wake } => {
                self.sleeper_number += 1;
                self.sleepers.insert((until, self.sleeper_number), wake);
            }
            Message::Watch { scope, position, reply } => {
                self.watches.entry(position).or_default().push(Watch { scope, reply });
                self.touched.insert(position);
            }
            Message::HoldDelivery { scope, position, handler, reply } => {
                let hold = match self.lanes.reserve(&scope, position, handler.as_str())? {
                    Reserved::Runs => None,
                    Reserved::Kept(start) => {
                        let give_back = Message::GiveBack { starts: vec![start], at: i64::MIN };
                        Some(Hold::new(&self.context, give_back))
                    }
                    Reserved::NotNeeded => Some(Hold::of_nothing(&self.context)),
                };
                let _ = reply.send(Ok(hold));
            }
            Message::LetGo { of, messages } => {
                self.queues.let_go(&of, &messages);
                self.inputs.touch(&of);
            }
            Message::Unreserve { of, count } => {
                self.queues.unreserve(&of.scope, &of.queue, count);
                self.offer_room(&of.scope, &of.queue)?;
            }
            Message::Ingested { of, left, at } => self.ingested(of, &left, at),
            Message::FireLater { entry, at, not_here } => self.fire_later(entry, at, not_here),
            Message::OccurLater { scope, key, at, not_here } => self.occur_later(scope, key, at, not_here),
            Message::HoldTimer { scope, id, reply } => {
                let is_held = self.hold_timer(scope.clone(), id);
                let _ = reply.send(Ok(is_held.then(|| Hold::new(&self.context, Message::GiveTimerBack { scope, id }))));
            }
            Message::GiveTimerBack { scope, id } => self.give_timer_back(scope, id),
            Message::History { gate, reply } => self.importer = Some((gate, reply)),
            Message::NoHistory => {
                self.imported = history::imported(&self.context.store)?;
                self.gate = None;
            }
            Message::EndHistory { import, reply } => {
                let ended = self.end_history(import);
                if let Err(error) = &ended {
                    tracing::warn!(%error, "an abandoned import of history can't be ended yet");
                }
                if let Some(reply) = reply {
                    let _ = reply.send(ended);
                }
            }
            Message::Ask(question) => self.questions.push((self.context.store.durable_end(), question)),
            Message::Close { until, reply } => {
                let closing = self.closing.get_or_insert_with(|| Closing { until, replies: Vec::new() });
                closing.until = closing.until.min(until);
                closing.replies.push(reply);
            }
            Message::Stop => return Ok(ControlFlow::Break(())),
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Should this fail, say of a full disk, the next event that is ingested asks for it again.
    fn end_history(&self, import: Option<Import>) -> Result<(), DispatchError> {
        let finished = import.map(|import| history::finish(&self.context, import));
        match finished {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => history::end_abandoned(&self.context),
        }
    }
}
