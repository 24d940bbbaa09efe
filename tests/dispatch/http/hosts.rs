//! How many calls a host gets at once, and the breaker that holds calls back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas::dispatch::{Delivery, DeliveryFilter, HandlerError, HttpBreaker, OpenDelivery, Options, Outcome, Phase};
use atlas::storage::Clock;
use atlas::{Atlas, Event, Receipt};
use serde_json::{Value, json};

use super::server::{Server, answer};
use crate::world::{SENT, TOLD, World, ingest, loans};

/// A server that says of each request that it came, and answers it once it is told to.
struct Gate {
    server: Server,
    arrivals: Receiver<()>,
    open: Sender<()>,
    /// The most requests that were there at once.
    most: Arc<AtomicUsize>,
}

fn gate() -> Gate {
    let (arrived, arrivals) = channel();
    let (open, opened) = channel();
    let (arrived, opened) = (Mutex::new(arrived), Mutex::new(opened));
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let server = Server::start(move |_| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        arrived.lock().unwrap().send(()).unwrap();
        opened.lock().unwrap().recv().unwrap();
        now.fetch_sub(1, Ordering::SeqCst);
        answer("200 OK", "")
    });
    Gate { server, arrivals, open, most }
}

fn handler(url: &str, more: Value) -> Value {
    let mut handler = json!({ "name": "h", "target": { "http": url }, "retry": { "attempts": 9, "jitter": 0 } });
    handler.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([handler])
}

/// The open delivery of an event, once `is` holds for it.
async fn open_once(atlas: &Atlas, receipt: &Receipt, is: impl Fn(&OpenDelivery) -> bool) -> OpenDelivery {
    loop {
        let open = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
        match open.into_iter().find(|open| open.delivery.id.event == receipt.id) {
            Some(found) if is(&found) => return found,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_never_gets_more_calls_at_once_than_it_may() {
    let Gate { server, arrivals, open, most } = gate();
    let world = World::new(handler(&server.url("/"), json!({})));
    let options = Options { max_http_per_host: 3, ..Options::default() };
    let atlas = world.open(Atlas::builder().dispatch_options(options)).await;
    let mut receipts = Vec::new();
    for number in 0..20 {
        receipts.push(ingest(&atlas, &format!("s{number}"), json!({})).await);
    }
    for _ in 0..3 {
        arrivals.recv().unwrap();
    }
    // All have been handed out: those that wait have no attempt on record yet.
    for receipt in &receipts {
        while atlas.status(receipt.id).await.unwrap().phase != Phase::InProcess {
            tokio::task::yield_now().await;
        }
    }
    assert!(arrivals.try_recv().is_err(), "no fourth");
    for _ in 0..20 {
        open.send(()).unwrap();
    }
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!((server.received().len(), most.load(Ordering::SeqCst)), (20, 3));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_turn_is_no_part_of_an_attempts_time() {
    let Gate { server, arrivals, open, .. } = gate();
    let (world, clock) = World::new(handler(&server.url("/"), json!({ "timeout": "1h" }))).with_clock();
    let options = Options { max_http_per_host: 1, ..Options::default() };
    let atlas = world.open(Atlas::builder().dispatch_options(options)).await;
    let mut receipts = Vec::new();
    for number in 0..3 {
        receipts.push(ingest(&atlas, &format!("s{number}"), json!({})).await);
    }
    // Each takes 50 minutes, so the last one waits for 100.
    for _ in 0..3 {
        arrivals.recv().unwrap();
        clock.advance(Duration::from_secs(50 * 60));
        // Nothing that the clock sets off comes after what is asked now.
        atlas.queues().await.unwrap();
        open.send(()).unwrap();
    }
    assert!(atlas.settled().await.unwrap().is_empty());
    for receipt in receipts {
        let status = atlas.status(receipt.id).await.unwrap();
        assert_eq!((status.outcome, status.deliveries[0].attempts), (Some(Outcome::Success), 1), "{status:?}");
    }
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_no_longer_than_the_handlers_timeout() {
    let Gate { server, arrivals, open, .. } = gate();
    let (world, clock) = World::new(handler(&server.url("/"), json!({ "timeout": "1h" }))).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    arrivals.recv().unwrap();
    clock.advance(Duration::from_secs(3_600));
    let failed = open_once(&atlas, &receipt, |open| open.delivery.error.is_some()).await;
    assert_eq!(failed.delivery.error.as_deref(), Some("timed out after 3600s"));
    for _ in 0..2 {
        open.send(()).unwrap();
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(atlas.completion(receipt.id).await.unwrap().deliveries[0].attempts, 2);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_fails_again_and_again_is_left_alone_for_a_while() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = is_back.clone();
    let server = Server::start(move |_| match back.load(Ordering::SeqCst) {
        true => answer("200 OK", ""),
        false => answer("500 Internal Server Error", ""),
    });
    let retry = json!({ "retry": { "attempts": 9, "initial": "1h", "max": "1h", "jitter": 0 } });
    let (world, clock) = World::new(handler(&server.url("/"), retry)).with_clock();
    let http_breaker = HttpBreaker { failures: 2, cool_down: Duration::from_secs(30) };
    let options = Options { http_breaker, ..Options::default() };
    let atlas = world.open(Atlas::builder().dispatch_options(options)).await;
    let ingested = async |stream: &str| {
        let receipt = ingest(&atlas, stream, json!({})).await;
        (open_once(&atlas, &receipt, |open| open.next_attempt.is_some()).await, receipt)
    };
    for stream in ["a", "b"] {
        let (failed, _) = ingested(stream).await;
        assert!(failed.delivery.error.unwrap().contains("500"));
    }
    // Open: not called, and tried again when the cool-down is over.
    let due = |open: &OpenDelivery| open.next_attempt.unwrap().micros() - clock.now_micros();
    let (held_back, receipt) = ingested("c").await;
    assert!(held_back.delivery.error.as_deref().unwrap().contains("(http_breaker)"), "{held_back:?}");
    assert_eq!((server.received().len(), due(&held_back)), (2, 30_000_000));
    // The probe fails: open again.
    clock.advance(Duration::from_secs(30));
    let failed = open_once(&atlas, &receipt, |open| open.delivery.attempts == 2 && open.next_attempt.is_some()).await;
    assert!(failed.delivery.error.unwrap().contains("500"));
    let (held_back, receipt) = ingested("d").await;
    assert_eq!((server.received().len(), due(&held_back)), (3, 30_000_000));
    // The probe succeeds: closed.
    is_back.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_secs(30));
    assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    let receipt = ingest(&atlas, "e", json!({})).await;
    assert_eq!(atlas.completion(receipt.id).await.unwrap().deliveries[0].attempts, 1);
    assert_eq!(server.received().len(), 5);
    clock.advance(Duration::from_secs(3_600));
    assert!(atlas.settled().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

/// Calls that hang, or wait for a host that does, take the place of no function.
#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_hang_leave_functions_their_places() {
    let Gate { server, arrivals, open, .. } = gate();
    let world = World::of(&[
        (SENT, handler(&server.url("/"), json!({}))),
        (TOLD, json!([{ "name": "f", "target": { "function": "f" } }])),
    ]);
    let options = Options { max_in_flight: 2, max_http_in_flight: 8, max_http_per_host: 1, ..Options::default() };
    let builder = Atlas::builder().function("f", |_: Delivery| async { Ok::<_, HandlerError>(()) });
    let atlas = world.open(builder.dispatch_options(options)).await;
    let mut hanging = Vec::new();
    for number in 0..12 {
        hanging.push(ingest(&atlas, &format!("s{number}"), json!({})).await);
    }
    arrivals.recv().unwrap();
    for number in 0..8 {
        let told = loans(&atlas).ingest(Event::new(TOLD, format!("s{number}"))).await.unwrap();
        assert_eq!(atlas.completion(told.id).await.unwrap().outcome, Some(Outcome::Success));
    }
    for _ in &hanging {
        open.send(()).unwrap();
    }
    assert!(atlas.settled().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}
