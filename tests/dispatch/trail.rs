//! Every step is on record: what an observer is told as it happens is what the trail tells later, also of a store that was
//! closed and opened again; and the trail says as well why.

use std::sync::{Arc, Mutex};

use atlas::Atlas;
use atlas::dispatch::{Delivery, DeliveryFilter, HandlerError, HandlerLag, Observed, Options, Outcome, Step, Trail};
use atlas::routing::Trial;
use serde_json::json;

use crate::world::{World, function, id_of, ingest};

type Seen = Arc<Mutex<Vec<(uuid::Uuid, Option<String>, Step)>>>;

fn observer(seen: &Seen) -> impl Fn(Observed<'_>) + Send + Sync + 'static {
    let seen = seen.clone();
    move |observed| {
        let handler = observed.handler.map(ToString::to_string);
        if let Some(event) = observed.event {
            seen.lock().unwrap().push((event.id(), handler, observed.step.clone()));
        }
        // What an observer does harms nobody.
        assert!(!matches!(observed.step, Step::Skipped), "an observer that panics");
    }
}

fn steps(trail: &Trail) -> Vec<(Option<String>, Step)> {
    trail.steps.iter().map(|step| (step.handler.as_ref().map(ToString::to_string), step.step.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_observer_sees_is_what_the_trail_tells() {
    let retry = json!({ "attempts": 3, "initial": "1ms", "multiplier": 1.0 });
    let world = World::new(json!([
        { "name": "call", "weight": 1, "data": "1, {of: .stream}", "target": { "function": "f" }, "retry": retry },
        { "name": "post", "weight": 2, "data": "{letter: .data.n}", "target": { "queue": "mail" } },
        { "name": "rare", "weight": 3, "when": ".data.n > 5", "target": { "queue": "mail" } },
    ]));
    let seen = Seen::default();
    let builder =
        |name: &str| Atlas::builder().dispatch_options(Options { worker: name.to_owned(), ..Options::default() });
    let flaky = |delivery: Delivery| async move {
        if delivery.attempt() == 1 { Err(HandlerError::Retry("the bureau is closed".into())) } else { Ok(()) }
    };
    let atlas = world.open(builder("desk 7").observe(observer(&seen)).function("f", flaky)).await;
    let receipt = ingest(&atlas, "s", json!({ "n": 1 })).await;
    assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    let mail = atlas.queue(&"dutch-bank/loans".parse().unwrap(), "mail");
    let taken = mail.take(1, std::time::Duration::from_secs(60)).await.unwrap();
    mail.ack(taken[0].id).await.unwrap();
    // An answer of dispatch comes after all that was on record before.
    atlas.queues().await.unwrap();

    let trail = atlas.trail(receipt.id).await.unwrap();
    let told = steps(&trail);
    let observed: Vec<_> =
        seen.lock().unwrap().iter().map(|(_, handler, step)| (handler.clone(), step.clone())).collect();
    let on_record: Vec<_> = observed.iter().filter(|(_, step)| *step != Step::Skipped).cloned().collect();
    assert_eq!(told, on_record);
    assert!(observed.contains(&(Some("rare".to_owned()), Step::Skipped)), "{observed:?}");
    let of = |handler: &str| -> Vec<Step> {
        told.iter().filter(|(of, _)| of.as_deref() == Some(handler)).map(|(_, step)| step.clone()).collect()
    };
    let calls = of("call");
    let worker = Some("desk 7".to_owned());
    assert_eq!(calls[0], Step::Started { attempt: 1, calls: 2, worker: worker.clone() });
    assert!(
        matches!(&calls[1], Step::Failed { attempt: 1, error, .. } if error == "the bureau is closed"),
        "{calls:?}"
    );
    assert_eq!(calls[2], Step::Started { attempt: 2, calls: 2, worker });
    assert!(matches!(calls[3], Step::CallDone { call: 1, .. }), "{calls:?}");
    assert!(matches!(calls[4], Step::Completed { outcome: Outcome::Success, attempts: 2, .. }), "{calls:?}");
    let posted = of("post");
    assert!(
        matches!(&posted[0], Step::Queued { queue, message, call: 1 } if *message == taken[0].id && queue.as_str() == "mail")
    );
    assert!(matches!(posted[2], Step::Leased { .. }) && matches!(posted[3], Step::Acknowledged { .. }), "{posted:?}");
    let routing = trail.routing.unwrap();
    let data = |index: usize| match &routing.handlers[index].trial {
        Some(Trial::Called(Some(calls))) => calls.iter().map(|data| data.get().to_owned()).collect(),
        Some(Trial::Skipped) => vec!["skipped".to_owned()],
        other => panic!("{other:?}"),
    };
    assert_eq!([data(0), data(1), data(2)], [vec!["1", r#"{"of":"s"}"#], vec![r#"{"letter":1}"#], vec!["skipped"]]);
    atlas.close().await.unwrap();

    // Opened again by another: the trail is the same, and nothing is told a second time.
    seen.lock().unwrap().clear();
    let atlas = world.open(builder("desk 8").observe(observer(&seen)).function("f", flaky)).await;
    assert_eq!(steps(&atlas.trail(receipt.id).await.unwrap()), told);
    let next = ingest(&atlas, "s", json!({ "n": 9 })).await;
    atlas.completion(next.id).await.unwrap();
    assert!(seen.lock().unwrap().iter().all(|(event, ..)| *event == next.id));
    let later = steps(&atlas.trail(next.id).await.unwrap());
    let by_desk_8 = |step: &Step| matches!(step, Step::Started { worker: Some(worker), .. } if worker == "desk 8");
    assert!(later.iter().any(|(_, step)| by_desk_8(step)), "{later:?}");
    atlas.close().await.unwrap();
}

async fn lag_of(atlas: &Atlas, scope: &str) -> Vec<HandlerLag> {
    atlas.dispatcher().lag(Some(&scope.parse().unwrap())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_can_be_released_together_by_someone_for_a_reason() {
    let mut handlers = function("one");
    handlers.as_array_mut().unwrap().extend(function("two").as_array().unwrap().clone());
    let world = World::new(handlers);
    let healed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let well = healed.clone();
    let f = move |_: Delivery| {
        let well = well.load(std::sync::atomic::Ordering::SeqCst);
        async move { if well { Ok(()) } else { Err(HandlerError::Fatal("the bureau is closed".into())) } }
    };
    let atlas = world.open(Atlas::builder().function("f", f)).await;
    let mut receipts = Vec::new();
    for number in 0..1_200 {
        receipts.push(ingest(&atlas, &format!("s{}", number % 600), json!({})).await);
    }
    atlas.settled().await.unwrap();
    let parked = |handler: &str| DeliveryFilter {
        handler: Some(atlas::event::Name::parse("handler", handler).unwrap()),
        parked: true,
        limit: 2_000,
        ..DeliveryFilter::default()
    };
    assert_eq!(atlas.deliveries(parked("one")).await.unwrap().len(), 600, "the first of each stream");
    assert_eq!(atlas.deliveries(DeliveryFilter { limit: 7, ..parked("one") }).await.unwrap().len(), 7);

    let lag = atlas.lag().await.unwrap();
    let told: Vec<_> = lag.iter().map(|of| (of.handler.as_str(), of.open, of.parked)).collect();
    assert_eq!(told, [("one", 1_200, 600), ("two", 1_200, 600)]);
    let first = atlas.store().event_at(1).unwrap().unwrap();
    assert!(lag.iter().all(|of| of.oldest.micros() == first.recorded_at() && of.lag_micros >= 0), "{lag:?}");
    assert!(lag_of(&atlas, "other-bank/loans").await.is_empty());

    let dispatcher = atlas.dispatcher().with_actor("desk 7");
    let one = parked("one").handler;
    // Still broken: each is released once and parked again.
    assert_eq!(dispatcher.release_all(None, one.as_ref(), None).await.unwrap(), 600);
    atlas.settled().await.unwrap();
    healed.store(true, std::sync::atomic::Ordering::SeqCst);
    let elsewhere = "other-bank/loans".parse().unwrap();
    assert_eq!(dispatcher.release_all(Some(&elsewhere), None, None).await.unwrap(), 0);
    assert_eq!(dispatcher.release_all(None, one.as_ref(), Some("it is open")).await.unwrap(), 600);
    atlas.settled().await.unwrap();
    assert_eq!(atlas.deliveries(parked("one")).await.unwrap().len(), 0);
    assert_eq!(atlas.deliveries(parked("two")).await.unwrap().len(), 600, "those of another handler stay");
    assert_eq!(dispatcher.release_all(None, None, None).await.unwrap(), 600);
    assert!(atlas.settled().await.unwrap().is_empty());

    let trail = steps(&atlas.trail(receipts[0].id).await.unwrap());
    let released = Step::Released { actor: Some("desk 7".into()), reason: Some("it is open".into()) };
    assert!(trail.contains(&(Some("one".into()), released)), "{trail:?}");
    let error = dispatcher.release(None, &id_of(&receipts[0], "one"), None).await.unwrap_err();
    assert!(error.to_string().contains("only a parked one"), "{error}");
    atlas.close().await.unwrap();
}
