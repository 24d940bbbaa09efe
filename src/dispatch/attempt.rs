//! Attempts at deliveries to a host's functions and to http endpoints. Those that start together are a *round*: their data
//! are worked out, and that they start is recorded, in one go; then each is a task of its own on the host's runtime.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::arrivals::is_of_the_event;
use super::context::{Context, Job};
use super::driver::Message;
use super::emitted::{self, EmitError};
use super::http::Turn;
use super::prepare::{Data, Prepared, completed, cut, prepare, with_failure, with_record};
use super::record::DeliveryRecord;
use super::retry::{Verdict, after_failure};
use super::stateful::Surroundings;
use super::timers;
use super::{Delivery, DispatchError, Emit, HandlerError, Outcome};
use crate::config::Target;
use crate::event::{Event, Timestamp};
use crate::log::{Append, Durability, RecordedEvent};
use crate::routing::{Handler, RouteError};

/// Why an attempt did not come to an end on record.
enum Interrupted {
    /// Dispatch can't go on.
    Failed(DispatchError),
    /// The runtime is gone.
    Gone,
}

impl<E: Into<DispatchError>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Tells dispatch should the attempt vanish: its future is dropped with the runtime.
struct Vigil(Option<Arc<Context>>);

impl Vigil {
    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        if let Some(context) = self.0.take() {
            context.mailbox.send(Message::Lost);
        }
    }
}

/// An attempt to make, and what resolves when it has taken too long.
pub(super) type Attempt = (Job, oneshot::Receiver<()>);

/// What is known of an attempt before anything is called.
type Readied = Result<Prepared, HandlerError>;

/// Makes the attempts of a round and records how each ended.
pub(super) fn run_round(
    context: Arc<Context>,
    attempts: Vec<Attempt>,
    runtime: Handle,
) -> impl Future<Output = ()> + Send {
    watched(context.clone(), async move {
        let (jobs, signals): (Vec<Job>, Vec<_>) = attempts.into_iter().unzip();
        let (of, on) = (context.clone(), runtime.clone());
        let readied = runtime.spawn_blocking(move || {
            let ready = |job: Job| prepare(&of, &job).map(|prepared| (job, prepared));
            jobs.into_iter().map(ready).collect::<Result<Vec<_>, _>>()
        });
        let readied = readied.await.map_err(|_| Interrupted::Gone)??;
        let mut turn = turn(&context, &readied).await;
        record_starts(&context, &readied).await?;
        // Dropped with the round, and the attempts with it.
        let mut tasks = JoinSet::new();
        for ((job, readied), mut time_is_up) in readied.into_iter().zip(signals) {
            let (of, runtime, turn) = (context.clone(), on.clone(), turn.take());
            let attempt = async move { attempt(&of, &job, readied, (&runtime, turn), &mut time_is_up).await };
            tasks.spawn_on(watched(context.clone(), attempt), &on);
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    })
}

/// Tells dispatch should the work fail or vanish.
fn watched(
    context: Arc<Context>,
    work: impl Future<Output = Result<(), Interrupted>> + Send,
) -> impl Future<Output = ()> + Send {
    // Before the future is first polled: a runtime that shuts down may drop it without.
    let vigil = Vigil(Some(context.clone()));
    async move {
        match work.await {
            Ok(()) => {}
            Err(Interrupted::Failed(error)) => context.mailbox.send(Message::Failed(error)),
            Err(Interrupted::Gone) => return,
        }
        vigil.end();
    }
}

/// Waits until an attempt at an http endpoint may begin: its time counts from then on. Nothing of it is on record yet, so
/// should the process end meanwhile, no attempt has been counted; and no thread waits.
async fn turn(context: &Context, readied: &[(Job, Readied)]) -> Option<Turn> {
    // Such an attempt is a round by itself.
    let [(job, Ok(Prepared { calls, .. }))] = readied else { return None };
    let handler = job.handler().filter(|_| calls.count > 0 && has_attempt_left(job))?;
    let Target::Http(target) = &handler.target else { return None };
    let turn = context.http.turn(target).await?;
    let deadline = context.after(handler.timeout);
    context.mailbox.send(Message::Turn { start: job.start.clone(), number: job.number, deadline });
    Some(turn)
}

/// Records which attempts start, in one append. Before the calls, so that one which takes the process down counts; not
/// synced, since the process may die of a call but the machine won't.
async fn record_starts(context: &Context, readied: &[(Job, Readied)]) -> Result<(), Interrupted> {
    let mut append = Append::of_records();
    for (job, readied) in readied {
        if let Ok(Prepared { event, calls, .. }) = readied
            && calls.count > 0
            && has_attempt_left(job)
        {
            let started = DeliveryRecord::Started { attempt: job.attempt(), calls: *calls };
            append = with_record(append, event, job, &started);
        }
    }
    if append.records.is_empty() {
        return Ok(());
    }
    context.append(append.durability(Durability::Deferred)).await?;
    Ok(())
}

fn has_attempt_left(job: &Job) -> bool {
    job.handler().is_some_and(|handler| job.attempt() <= handler.retry.attempts)
}

/// Makes an attempt whose start is on record.
async fn attempt(
    context: &Context,
    job: &Job,
    readied: Readied,
    (runtime, mut turn): (&Handle, Option<Turn>),
    time_is_up: &mut oneshot::Receiver<()>,
) -> Result<(), Interrupted> {
    let Prepared { event, data, calls } = match readied {
        Ok(prepared) => prepared,
        Err(error) => {
            let event = context.event_at(job.start.position)?;
            return failed(context, job, &event, error).await;
        }
    };
    let Some(handler) = job.handler() else { return Err(DispatchError::Stopped.into()) };
    if calls.count == 0 {
        let record = completed(Outcome::Success, job.attempt(), None);
        context.append(with_record(Append::of_records(), &event, job, &record)).await?;
        return Ok(());
    }
    if !has_attempt_left(job) {
        let what = format!("attempt {} was started and never ended: its process did", job.state.attempts);
        return failed(context, job, &event, HandlerError::Fatal(what)).await;
    }
    let data = match data {
        Data::Envelope => vec![OnceLock::new()],
        Data::Outputs(data) => data.into_iter().map(OnceLock::from).collect(),
    };
    for (data, call) in data.into_iter().zip(1..).skip(job.state.calls_done as usize) {
        let delivery = Delivery {
            event: event.clone(),
            handler: handler.name.clone(),
            data,
            call,
            calls: calls.count,
            attempt: job.attempt(),
        };
        // With the last call its room at the host is another's, while the end is being recorded.
        let turn = if call == calls.count { turn.take() } else { turn.clone() };
        let answer = call_target(context, handler, delivery, (runtime, turn), time_is_up).await?;
        if answer.is_err() || call == calls.count {
            context.mailbox.send(Message::Returned { start: job.start.clone(), number: job.number });
        }
        let recorded = match answer {
            Ok(emit) => succeeded(context, job, &event, (call, call == calls.count), emit).await?,
            Err(error) => Err(error),
        };
        if let Err(error) = recorded {
            return failed(context, job, &event, error).await;
        }
    }
    Ok(())
}

/// Calls the target in a task of its own, so that a panic ends that task alone, and one that never yields can't keep
/// the attempt from timing out.
async fn call_target(
    context: &Context,
    handler: &Handler,
    delivery: Delivery,
    (runtime, turn): (&Handle, Option<Turn>),
    time_is_up: &mut oneshot::Receiver<()>,
) -> Result<Result<Emit, HandlerError>, Interrupted> {
    let function = match &handler.target {
        Target::Function(name) => context.plans.functions.get(name, || Surroundings {
            store: context.store.clone(),
            router: context.plans.router.clone(),
            imported: context.imported.load(Ordering::Acquire),
            runtime: runtime.clone(),
        }),
        Target::Http(target) => turn.map(|turn| turn.function(target, handler.timeout, runtime)),
        Target::Queue(_) => None,
    };
    let Some(function) = function else { return Err(DispatchError::Stopped.into()) };
    let mut task = AbortOnDrop(runtime.spawn(async move { function(delivery).await }));
    let mut time_is_up = pin!(time_is_up);
    let mut watched = true;
    let answer = poll_fn(|wakers| {
        if let Poll::Ready(answer) = Pin::new(&mut task.0).poll(wakers) {
            return Poll::Ready(Some(answer));
        }
        if watched {
            match time_is_up.as_mut().poll(wakers) {
                Poll::Ready(Ok(())) => return Poll::Ready(None),
                // Dispatch is stopping and gives the handler the time that its close allows.
                Poll::Ready(Err(_)) => watched = false,
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await;
    match answer {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => panicked(error).map(Err),
        None => Ok(Err(HandlerError::Retry(format!("timed out after {:?}", handler.timeout)))),
    }
}

fn panicked(error: JoinError) -> Result<HandlerError, Interrupted> {
    let payload = error.try_into_panic().map_err(|_| Interrupted::Gone)?;
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "with something that isn't text",
    };
    Ok(HandlerError::Retry(format!("panicked: {text}")))
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Records that a call succeeded, together with what it emits: in one append, so both are there or neither.
async fn succeeded(
    context: &Context,
    job: &Job,
    event: &RecordedEvent,
    (call, is_last): (u32, bool),
    emit: Emit,
) -> Result<Result<(), HandlerError>, Interrupted> {
    let limit = context.options.max_output;
    let output = match emit.output {
        Some(Ok(output)) if output.len() > limit => {
            let what = format!("the output is {} bytes; max_output is {limit} bytes", output.len());
            return Ok(Err(HandlerError::Fatal(what)));
        }
        Some(Err(why)) => return Ok(Err(HandlerError::Fatal(format!("the output is not JSON: {why}")))),
        Some(Ok(output)) => Some(output),
        None => None,
    };
    let due: Vec<Timestamp> = emit.timers.iter().map(|(when, _)| context.due(*when)).collect();
    let of_timers = emit.timers.into_iter().zip(&due).map(|((_, event), due)| event.time_unless_stated(*due));
    // Numbered together, so that each has an id of its own.
    let (count, all) = (emit.events.len(), emit.events.into_iter().chain(of_timers).collect());
    let (events, timers) = match prepare_events(context, job, event, call, all) {
        Ok(mut events) => {
            let timers = events.split_off(count);
            (events, timers)
        }
        Err(EmitError::Read(error)) => return Err(error.into()),
        // The catalog can't be read now, which says nothing about the event.
        Err(error @ EmitError::Route { source: RouteError::Config(_), .. }) => {
            return Ok(Err(HandlerError::Retry(error.to_string())));
        }
        Err(error) => return Ok(Err(HandlerError::fatal(error))),
    };
    let mut append = append_of_success(job, event, (call, is_last), output, events);
    for (timer, due) in timers.iter().zip(due) {
        let Some(id) = timer.id else { continue };
        match timers::setting(event.scope(), id, due, timer) {
            Ok(setting) => append.records.extend(setting.records),
            Err(why) => return Ok(Err(HandlerError::Fatal(format!("setting a timer: {why}")))),
        }
    }
    match context.append(append).await {
        Ok(_) => Ok(Ok(())),
        Err(error) if is_of_the_event(&error) => Ok(Err(HandlerError::Fatal(format!("emitting: {error}")))),
        Err(error) => Err(error.into()),
    }
}

fn prepare_events(
    context: &Context,
    job: &Job,
    event: &RecordedEvent,
    call: u32,
    events: Vec<Event>,
) -> Result<Vec<Event>, EmitError> {
    let Some(handler) = job.handler() else { return Ok(Vec::new()) };
    let call = (&handler.name, call);
    emitted::prepare(&context.store, &context.plans.router, &context.options, event, call, events)
}

fn append_of_success(
    job: &Job,
    event: &RecordedEvent,
    (call, is_last): (u32, bool),
    output: Option<Bytes>,
    events: Vec<Event>,
) -> Append {
    let emitted = events.iter().filter_map(|event| event.id).collect();
    let record = if is_last {
        DeliveryRecord::Completed { outcome: Outcome::Success, attempts: job.attempt(), output, error: None, emitted }
    } else {
        DeliveryRecord::CallDone { call, output, emitted }
    };
    let append = if events.is_empty() {
        Append::of_records()
    } else {
        // A call that was made again, after its record was lost and what it emitted wasn't, emits what is there already.
        Append::to(event.scope()).events(events).leave_out_known_caused_by(event.id())
    };
    with_record(append, event, job, &record)
}

/// Records that the attempt failed, and what follows.
async fn failed(context: &Context, job: &Job, event: &RecordedEvent, error: HandlerError) -> Result<(), Interrupted> {
    let append = failure(context, job, event, &error);
    context.append(append).await?;
    Ok(())
}

/// The append that records a failed attempt.
pub(super) fn failure(context: &Context, job: &Job, event: &RecordedEvent, error: &HandlerError) -> Append {
    let append = Append::of_records();
    let Some(handler) = job.handler() else { return append };
    let attempt = job.attempt().min(handler.retry.attempts.max(1));
    let text = cut(error.to_string(), context.options.max_error);
    match after_failure(&handler.retry, handler.out_of_attempts, attempt, error, context.chance()) {
        Verdict::Retry(wait) => {
            let record = DeliveryRecord::Retry { attempt, next_at: context.after(wait), error: text };
            with_record(append, event, job, &record)
        }
        Verdict::Park => with_record(append, event, job, &DeliveryRecord::Parked { attempts: attempt, error: text }),
        Verdict::Fail => with_failure(append, event, job, &completed(Outcome::Failure, attempt, Some(text))),
    }
}
