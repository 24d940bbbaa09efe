//! Many appends in flight, their outcomes in the order of the file. Each line is submitted in order and its outcome is
//! taken in order; what is in flight is bounded in lines and in bytes, so that a fast file meets back-pressure here and
//! not in memory.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use atlas::{Scope, Uuid};

/// How many lines may be in flight.
pub(crate) const MAX_LINES_IN_FLIGHT: usize = 4096;
/// How many bytes of lines may be in flight; a single line may be larger.
pub(crate) const MAX_BYTES_IN_FLIGHT: usize = 32 << 20;

/// What becomes of one line.
pub(crate) type Appending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Lines in flight, oldest first. `T` is the outcome of one.
pub(crate) struct Pipeline<T> {
    in_flight: VecDeque<Flying<T>>,
    bytes: usize,
    /// The ids in flight: a line that repeats one waits, so that it meets an id that is known.
    ids: HashSet<(Scope, Uuid)>,
}

struct Flying<T> {
    number: u64,
    bytes: usize,
    id: Option<(Scope, Uuid)>,
    outcome: Outcome<T>,
}

enum Outcome<T> {
    Awaited(Appending<T>),
    Known(Option<T>),
}

impl<T> Outcome<T> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<T> {
        match self {
            Self::Awaited(appending) => appending.as_mut().poll(context),
            Self::Known(outcome) => outcome.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

impl<T: Send + Unpin> Pipeline<T> {
    pub(crate) fn new() -> Self {
        Self { in_flight: VecDeque::new(), bytes: 0, ids: HashSet::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether a line of `bytes` bytes with `id` may be submitted now; otherwise [`next`](Self::next) makes room.
    pub(crate) fn has_room(&self, bytes: usize, id: Option<&(Scope, Uuid)>) -> bool {
        self.is_empty()
            || (self.in_flight.len() < MAX_LINES_IN_FLIGHT
                && self.bytes.saturating_add(bytes) <= MAX_BYTES_IN_FLIGHT
                && id.is_none_or(|id| !self.ids.contains(id)))
    }

    /// Adds line `number`, and polls `appending` once, which is what decides its place in the log. Returns its outcome
    /// where that is known at once.
    pub(crate) async fn submit(
        &mut self,
        number: u64,
        bytes: usize,
        id: Option<(Scope, Uuid)>,
        appending: Appending<T>,
    ) -> Option<&T> {
        let mut outcome = Outcome::Awaited(appending);
        let polled = poll_fn(|context| Poll::Ready(outcome.poll(context))).await;
        if let Poll::Ready(known) = polled {
            outcome = Outcome::Known(Some(known));
        }
        self.push(Flying { number, bytes, id, outcome });
        match &self.in_flight.back()?.outcome {
            Outcome::Known(outcome) => outcome.as_ref(),
            Outcome::Awaited(_) => None,
        }
    }

    /// Adds line `number`, whose outcome is known already: it is told when its turn comes.
    pub(crate) fn settle(&mut self, number: u64, outcome: T) {
        self.push(Flying { number, bytes: 0, id: None, outcome: Outcome::Known(Some(outcome)) });
    }

    fn push(&mut self, flying: Flying<T>) {
        self.bytes = self.bytes.saturating_add(flying.bytes);
        self.ids.extend(flying.id.clone());
        self.in_flight.push_back(flying);
    }

    /// The oldest line and its outcome, once it is known; `None` where nothing is in flight. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> Option<(u64, T)> {
        let outcome = poll_fn(|context| match self.in_flight.front_mut() {
            Some(oldest) => oldest.outcome.poll(context).map(Some),
            None => Poll::Ready(None),
        })
        .await?;
        let done = self.in_flight.pop_front()?;
        self.bytes = self.bytes.saturating_sub(done.bytes);
        if let Some(id) = &done.id {
            self.ids.remove(id);
        }
        Some((done.number, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn waits() -> (oneshot::Sender<u32>, Appending<u32>) {
        let (sender, receiver) = oneshot::channel();
        (sender, Box::pin(async { receiver.await.unwrap_or_default() }))
    }

    #[tokio::test]
    async fn outcomes_come_in_the_order_of_the_lines() {
        let mut pipeline = Pipeline::new();
        let (first, appending) = waits();
        pipeline.submit(1, 10, None, appending).await;
        let (second, appending) = waits();
        pipeline.submit(2, 10, None, appending).await;
        pipeline.settle(3, 30);
        second.send(20).unwrap();
        let early = poll_fn(|context| Poll::Ready(Box::pin(pipeline.next()).as_mut().poll(context).is_ready())).await;
        assert!(!early, "line 2 is done, line 1 isn't");
        first.send(10).unwrap();
        let mut seen = Vec::new();
        while let Some(done) = pipeline.next().await {
            seen.push(done);
        }
        assert_eq!(seen, [(1, 10), (2, 20), (3, 30)]);
        assert_eq!(pipeline.bytes, 0);
    }

    #[tokio::test]
    async fn each_line_is_polled_in_order_when_it_is_submitted() {
        let mut pipeline = Pipeline::new();
        let started = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        for number in 0..5_u64 {
            let started = started.clone();
            let appending = Box::pin(async move { started.lock().push(number) });
            pipeline.submit(number, 1, None, appending).await;
        }
        assert_eq!(*started.lock(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn what_is_in_flight_is_bounded() {
        let mut pipeline = Pipeline::new();
        assert!(pipeline.has_room(usize::MAX, None), "a line alone may be of any size");
        let (done, appending) = waits();
        pipeline.submit(1, MAX_BYTES_IN_FLIGHT - 1, None, appending).await;
        assert!(pipeline.has_room(1, None));
        assert!(!pipeline.has_room(2, None));
        done.send(0).unwrap();
        pipeline.next().await;
        for number in 0..MAX_LINES_IN_FLIGHT as u64 {
            assert!(pipeline.has_room(1, None));
            pipeline.settle(number, 0);
        }
        assert!(!pipeline.has_room(1, None));
    }

    #[tokio::test]
    async fn a_line_waits_for_one_with_its_id() {
        let mut pipeline = Pipeline::new();
        let id = |scope: &str| (scope.parse::<Scope>().unwrap(), Uuid::from_u128(7));
        let (done, appending) = waits();
        pipeline.submit(1, 1, Some(id("bank/loans")), appending).await;
        assert!(!pipeline.has_room(1, Some(&id("bank/loans"))));
        assert!(pipeline.has_room(1, Some(&id("other/loans"))));
        done.send(0).unwrap();
        pipeline.next().await;
        assert!(pipeline.has_room(1, Some(&id("bank/loans"))));
    }
}
