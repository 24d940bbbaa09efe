//! Input queues: each message comes in as an event, once; one that can't is kept with its error.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas::dispatch::{DispatchError, HandlerError, MessageState, NewMessage, Options, QueueMessage, Step};
use atlas::{Atlas, Builder, Error, Event, Uuid};
use serde_json::{Value, json};

use crate::world::{Calls, SCORED, SENT, TOLD, World, events, function, loans, scope, write};

const MINUTE: Duration = Duration::from_secs(60);

fn world(options: &Value, handlers: Value) -> World {
    let world = World::new(handlers);
    write(&world.tree.path().join("queues.json"), &json!({ "inbox": options }));
    world
}

fn sent(stream: &str, number: u64) -> NewMessage {
    NewMessage::new(&json!({ "type": SENT, "stream": stream, "data": { "number": number } }))
}

/// Stream and number of each event.
fn came(atlas: &Atlas) -> Vec<String> {
    let all = atlas.store().read(atlas::log::Query::new()).unwrap().map(Result::unwrap);
    let told = |event: atlas::log::RecordedEvent| {
        let data: Value = serde_json::from_slice(event.data()).unwrap();
        format!("{} {}", event.stream(), data["number"])
    };
    all.map(told).collect()
}

async fn dead(atlas: &Atlas) -> Vec<QueueMessage> {
    loans(atlas).queue("inbox").dead_letters(99).await.unwrap()
}

fn reasons(dead: &[QueueMessage]) -> Vec<&str> {
    dead.iter()
        .filter(|message| message.state == MessageState::Dead)
        .map(|dead| dead.reason.as_deref().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_in_as_events_once_and_in_order() {
    let world = world(&json!({ "ingest": true }), function("score"));
    let calls = Calls::default();
    let seen = calls.clone();
    let builder = move || -> Builder {
        let seen = seen.clone();
        Atlas::builder().function("f", move |delivery| {
            seen.add(&delivery);
            async { Ok::<_, HandlerError>(()) }
        })
    };
    let atlas = world.open(builder()).await;
    let inbox = loans(&atlas).queue("inbox");
    let own = Uuid::from_u128(7);
    let full = json!({ "type": SENT, "stream": "a", "tenant": "dutch-bank", "application": "loans", "id": own,
        "time": "2011-10-01T00:38:44.546+02:00", "version": 7, "position": 9, "data": { "number": 1 } });
    let mut ids = inbox.put([NewMessage::new(&full)]).await.unwrap();
    assert_eq!(ids, [own], "the id that the event states is the message's");
    ids.extend(inbox.put((2..=600).map(|number| sent("a", number))).await.unwrap());
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas), (1..=600).map(|number| format!("a {number}")).collect::<Vec<_>>());
    assert_eq!(calls.take().len(), 600, "and their handlers are called");
    assert!(inbox.peek(9).await.unwrap().is_empty());
    let events: Vec<_> = (1..=600).map(|position| atlas.store().event_at(position).unwrap().unwrap()).collect();
    assert_eq!(events.iter().map(|event| event.id()).collect::<Vec<_>>(), ids, "events have their messages' ids");
    assert_eq!(events[0].time().to_string(), "2011-10-01T00:38:44.546+02:00");
    assert!(events.iter().all(|event| event.revision().is_some()));
    let steps: Vec<Step> = atlas.trail(own).await.unwrap().steps.into_iter().map(|step| step.step).take(3).collect();
    let [Step::Put { message, .. }, Step::Received { .. }, Step::Ingested { event, .. }] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!((*message, *event), (own, own));

    // What was put before, and what came in by another way, comes in no more.
    inbox.put([NewMessage::new(&full)]).await.unwrap();
    let known = Event::new(SENT, "b").id(Uuid::from_u128(8)).data(&json!({ "number": 1 }));
    loans(&atlas).ingest(known).await.unwrap();
    inbox.put([sent("b", 1).id(Uuid::from_u128(8)), sent("b", 2)]).await.unwrap();
    for forgetful in [false, true] {
        atlas.settled().await.unwrap();
        assert_eq!(came(&atlas)[600..], ["b 1", "b 2"], "{forgetful}");
    }
    assert!(dead(&atlas).await.is_empty());
    atlas.close().await.unwrap();
    world.disk_without_derived();
    let atlas = world.open(builder()).await;
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas).len(), 602);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cant_come_in_is_kept_with_its_error_and_seen() {
    let world = world(&json!({ "ingest": true }), json!([]));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let builder = Atlas::builder().observe(move |observed| {
        if let Step::Refused { queue, message, error } = observed.step {
            assert_eq!((observed.scope, observed.event.is_none(), queue.as_str()), (&scope(), true, "inbox"));
            told.lock().unwrap().push((*message, error.clone()));
        }
    });
    let atlas = world.open(builder).await;
    let inbox = loans(&atlas).queue("inbox");
    let unknown = json!({ "type": "LOAN_OFFER_SNET_COMPLETE_1", "stream": "a", "data": {} });
    let bad = [
        (json!("not an object"), "the message is not an event: "),
        (json!({ "type": SENT, "data": {} }), "the message is not an event: missing field `stream`"),
        (json!({ "type": SENT, "stream": "a" }), "the field data is missing"),
        (json!({ "type": SENT, "stream": "a", "data": {}, "streem": 1 }), "unknown field `streem`"),
        (json!({ "type": SENT, "stream": "", "data": {} }), "stream"),
        (
            json!({ "type": SENT, "stream": "a", "tenant": "other-bank", "data": {} }),
            "tenant is \"other-bank\"; expected dutch-bank",
        ),
        (unknown.clone(), "(did you mean LOAN_OFFER_SENT_COMPLETE_1?)"),
        (json!({ "type": "sent", "stream": "a", "data": {} }), "event type \"sent\" has 1 part"),
    ];
    let messages = bad.iter().zip(1..).flat_map(|((bad, _), number)| [NewMessage::new(bad), sent("a", number)]);
    let ids = inbox.put(messages).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas), (1..=8).map(|number| format!("a {number}")).collect::<Vec<_>>(), "the others come in");
    let kept = dead(&atlas).await;
    let of_bad: Vec<Uuid> = ids.iter().copied().step_by(2).collect();
    assert_eq!(kept.iter().map(|message| message.id).collect::<Vec<_>>(), of_bad);
    for (found, (bad, expected)) in kept.iter().zip(&bad) {
        let reason = found.reason.as_deref().unwrap();
        assert!(reason.contains(expected), "{reason}\nnot\n{expected}");
        assert_eq!(serde_json::from_str::<Value>(found.data.get()).unwrap(), *bad, "nothing of it is lost");
    }
    let mut reasons: Vec<_> = kept.iter().map(|message| (message.id, message.reason.clone().unwrap())).collect();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    reasons.sort();
    seen.sort();
    assert_eq!(seen, reasons);

    // An event of another content has the id.
    inbox.put([sent("a", 9).id(ids[0])]).await.unwrap_err();
    let reused = atlas.store().event_at(1).unwrap().unwrap().id();
    loans(&atlas).queue("inbox").put([sent("a", 77).id(Uuid::from_u128(5)), sent("a", 9)]).await.unwrap();
    let stated = json!({ "id": reused, "type": SENT, "stream": "a", "data": { "number": 78 } });
    inbox.put([sent("a", 10), NewMessage::new(&stated).id(Uuid::from_u128(6)), sent("a", 11)]).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas)[8..], ["a 77", "a 9", "a 10", "a 11"]);
    let last = dead(&atlas).await.pop().unwrap();
    assert!(last.reason.as_deref().unwrap().contains("id"), "{:?}", last.reason);

    // Once the tree knows the type, an operator has it given out again.
    let known: Vec<Value> = [SENT, SCORED, TOLD, "LOAN_OFFER_SNET_COMPLETE_1"].map(|known| json!(known)).to_vec();
    write(&world.tree.path().join("types.json"), &json!(known));
    write(&world.tree.path().join("1/loan/offer/snet/complete.json"), &json!({ "handlers": [] }));
    loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    assert_eq!(inbox.requeue_all(Some("the type is known now")).await.unwrap(), 9);
    atlas.settled().await.unwrap();
    assert_eq!(events(&atlas).last().unwrap().0, "LOAN_OFFER_SNET_COMPLETE_1");
    assert_eq!(dead(&atlas).await.len(), 8, "what is bad still is kept again");
    atlas.close().await.unwrap();
}

/// In an ordered input queue what follows a bad message of its stream waits with it; other streams go on.
#[tokio::test(flavor = "multi_thread")]
async fn in_an_ordered_input_queue_a_stream_waits_behind_what_cant_come_in() {
    let world = world(&json!({ "ingest": true, "ordered": true }), json!([]));
    let mut atlas = world.open(Atlas::builder()).await;
    let unknown =
        NewMessage::new(&json!({ "type": "LOAN_OFFER_NEW_COMPLETE_1", "stream": "a", "data": { "number": 2 } }));
    let messages = [sent("a", 1), unknown, sent("a", 3), sent("b", 1), sent("a", 4), sent("b", 2)];
    loans(&atlas).queue("inbox").put(messages).await.unwrap();
    for forgetful in [false, true] {
        atlas.settled().await.unwrap();
        let mut seen = came(&atlas);
        seen.sort();
        assert_eq!(seen, ["a 1", "b 1", "b 2"]);
        let kept = dead(&atlas).await;
        use MessageState::{Behind, Dead};
        assert_eq!(kept.iter().map(|message| message.state).collect::<Vec<_>>(), [Dead, Behind, Behind]);
        assert!(reasons(&kept)[0].contains("LOAN_OFFER_NEW_COMPLETE_1"));
        atlas = world.reopened(atlas, forgetful).await;
    }
    let known = ["LOAN_OFFER_NEW_COMPLETE_1", SENT, SCORED, TOLD];
    write(&world.tree.path().join("types.json"), &json!(known));
    write(&world.tree.path().join("1/loan/offer/new/complete.json"), &json!({ "handlers": [] }));
    loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    loans(&atlas).queue("inbox").requeue_all(None).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas)[3..], ["a 2", "a 3", "a 4"]);
    atlas.close().await.unwrap();
}

/// What nobody served comes in at the next open; also what stood in a queue before it was an input queue.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_comes_in_once_somebody_serves_it() {
    let world = world(&json!({}), json!([]));
    let atlas = world.open(Atlas::builder()).await;
    loans(&atlas).queue("inbox").put([sent("a", 1)]).await.unwrap();
    atlas.settled().await.unwrap();
    assert!(came(&atlas).is_empty(), "it is no input queue yet");
    write(&world.tree.path().join("queues.json"), &json!({ "inbox": { "ingest": true } }));
    loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    while came(&atlas).is_empty() {
        tokio::task::yield_now().await;
    }
    atlas.close().await.unwrap();
    for round in 2..=3 {
        let atlas = world.open(Atlas::builder().dispatch(false)).await;
        loans(&atlas).queue("inbox").put([sent("a", round)]).await.unwrap();
        assert_eq!(came(&atlas).len() as u64, round - 1);
        atlas.close().await.unwrap();
        if round == 3 {
            world.disk_without_derived();
        }
        let atlas = world.open(Atlas::builder()).await;
        atlas.settled().await.unwrap();
        assert_eq!(came(&atlas).len() as u64, round);
        atlas.close().await.unwrap();
    }
}

/// Who takes a message by hand has it; it comes in when the lease or the delay is over.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_by_hand_comes_in_once_its_lease_is_over() {
    let (world, clock) = world(&json!({ "ingest": true }), json!([])).with_clock();
    let atlas = world.open(Atlas::builder().dispatch(false)).await;
    let inbox = loans(&atlas).queue("inbox");
    inbox.put((1..=3).map(|number| sent("a", number))).await.unwrap();
    let taken = inbox.take(2, MINUTE).await.unwrap();
    inbox.nack(&taken[0], 5 * MINUTE, "later").await.unwrap();
    atlas.close().await.unwrap();
    let atlas = world.open(Atlas::builder()).await;
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas), ["a 3"]);
    for (wait, expected) in [(MINUTE, "a 2"), (4 * MINUTE, "a 1")] {
        clock.advance(wait);
        // The clock is looked at again with the next message at the latest.
        while came(&atlas).last().unwrap() != expected {
            atlas.queues().await.unwrap();
        }
    }
    assert_eq!(came(&atlas), ["a 3", "a 2", "a 1"]);
    atlas.close().await.unwrap();
}

/// What a handler puts into an input queue is caused by its event, and a loop through it ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_puts_into_an_input_queue_is_of_its_cascade() {
    let data = format!("{{type: \"{SENT}\", stream: .stream, data: {{number: (.data.number + 1)}}}}");
    let again = json!([{ "name": "again", "data": data, "target": { "queue": "inbox" } }]);
    let world = world(&json!({ "ingest": true }), again);
    let builder = Atlas::builder().dispatch_options(Options { max_cascade_depth: 3, ..Options::default() });
    let atlas = world.open(builder).await;
    let ids = loans(&atlas).queue("inbox").put([sent("a", 1)]).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas), ["a 1", "a 2", "a 3", "a 4"]);
    let cascade = loans(&atlas).cascade(ids[0]).await.unwrap();
    let parents: Vec<_> = cascade.events.iter().map(|event| event.causation_id).collect();
    let of = |index: usize| Some(cascade.events[index].id);
    assert_eq!(parents, [None, of(0), of(1), of(2)]);
    assert!(reasons(&dead(&atlas).await)[0].contains("max_cascade_depth"));
    atlas.close().await.unwrap();
}

/// While history is imported nothing else comes in; what waits comes behind it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_while_history_is_imported_comes_behind_it() {
    let world = world(&json!({ "ingest": true }), json!([]));
    let atlas = world.open(Atlas::builder()).await;
    let import = atlas.import_as_recorded().await.unwrap();
    loans(&atlas).queue("inbox").put([sent("a", 1)]).await.unwrap();
    let refused = loans(&atlas).ingest(Event::new(SENT, "b")).await.unwrap_err();
    assert!(matches!(refused, Error::Dispatch(DispatchError::ImportUnderWay)), "{refused}");
    assert!(came(&atlas).is_empty());
    drop(import);
    while came(&atlas).is_empty() {
        let _ = loans(&atlas).ingest(Event::new(SENT, "b").data(&json!({ "number": 0 }))).await;
    }
    atlas.settled().await.unwrap();
    assert!(came(&atlas).contains(&"a 1".to_owned()));
    atlas.close().await.unwrap();
}

/// A type's schema, and that of the queue, hold when a message comes in.
#[cfg(feature = "schema")]
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_breaks_a_schema_is_kept() {
    let of_queue = json!({ "properties": { "stream": { "maxLength": 3 } } });
    let world = world(&json!({ "ingest": true, "schema": of_queue }), json!([]));
    let of_type = json!({ "properties": { "number": { "maximum": 5 } } });
    write(&world.tree.path().join("types.json"), &json!([{ "type": SENT, "schema": of_type }, SCORED, TOLD]));
    let atlas = world.open(Atlas::builder()).await;
    loans(&atlas).queue("inbox").put([sent("a", 1), sent("abcd", 2), sent("a", 6), sent("a", 3)]).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas), ["a 1", "a 3"]);
    let kept = dead(&atlas).await;
    let [of_queue, of_type] = &reasons(&kept)[..] else { panic!("two") };
    assert!(of_queue.starts_with("the message breaks the schema of its queue at \"/stream\""), "{of_queue}");
    assert!(of_type.contains("break its schema at \"/number\""), "{of_type}");
    atlas.close().await.unwrap();
}

/// Of messages that state one id the first comes in; one that says the same is done with it, one that doesn't is kept.
#[tokio::test(flavor = "multi_thread")]
async fn of_messages_with_one_id_the_first_comes_in() {
    let world = world(&json!({ "ingest": true }), json!([]));
    let atlas = world.open(Atlas::builder().dispatch(false)).await;
    let stated = |number: u64| {
        NewMessage::new(&json!({ "id": Uuid::from_u128(9), "type": SENT, "stream": "a", "data": { "number": number } }))
    };
    let of = |message: NewMessage, id: u128| message.id(Uuid::from_u128(id));
    let messages = [of(stated(1), 1), of(stated(1), 2), of(stated(2), 3), sent("a", 3)];
    loans(&atlas).queue("inbox").put(messages).await.unwrap();
    atlas.close().await.unwrap();
    let atlas = world.open(Atlas::builder()).await;
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas), ["a 1", "a 3"]);
    let kept = dead(&atlas).await;
    assert_eq!((kept.len(), kept[0].id), (1, Uuid::from_u128(3)));
    atlas.close().await.unwrap();
}

/// What is made of the envelope states its cause's cause and ids; what follows from the cause holds all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_envelopes_through_an_input_queue_ends() {
    let handlers = json!([
        { "name": "again", "data": "del(.id) | .causation_id = null | .correlation_id = null | .actor = \"x\"",
          "target": { "queue": "inbox" } },
        { "name": "as-it-is", "target": { "queue": "inbox" } },
    ]);
    let world = world(&json!({ "ingest": true }), handlers);
    let builder = Atlas::builder().dispatch_options(Options { max_cascade_depth: 3, ..Options::default() });
    let atlas = world.open(builder).await;
    let first = Event::new(SENT, "a").actor("desk 7").data(&json!({ "number": 1 }));
    let first = loans(&atlas).ingest(first).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas), ["a 1"; 4]);
    let all: Vec<_> = (1..=4).map(|position| atlas.store().event_at(position).unwrap().unwrap()).collect();
    assert!(all.iter().all(|event| (event.correlation_id(), event.actor()) == (first.id, Some("desk 7"))));
    assert!(all.windows(2).all(|pair| pair[1].causation_id() == Some(pair[0].id())));
    let kept = dead(&atlas).await;
    assert_eq!((kept.len(), reasons(&kept)[0].contains("max_cascade_depth")), (1, true), "{kept:?}");
    atlas.close().await.unwrap();
}

/// A close waits for what comes in at the moment, and for no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_ends_while_messages_come_in() {
    let world = world(&json!({ "ingest": true }), json!([]));
    for round in 0..20 {
        let options = Options { close_within: Duration::from_secs(36_000), ..Options::default() };
        let atlas = world.open(Atlas::builder().dispatch_options(options)).await;
        loans(&atlas).queue("inbox").put((0..10).map(|number| sent("a", 10 * round + number))).await.unwrap();
        atlas.close().await.unwrap();
    }
    let atlas = world.open(Atlas::builder()).await;
    atlas.settled().await.unwrap();
    assert_eq!(came(&atlas), (0..200).map(|number| format!("a {number}")).collect::<Vec<_>>());
    atlas.close().await.unwrap();
}

/// However many queues one tenant has full, each is served in turn; and all that came in is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn each_input_queue_has_its_turn() {
    let world = World::of(&[(SENT, function("score"))]);
    let names: Vec<String> = (0..12).map(|number| format!("in-{number:02}")).collect();
    let queues: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.clone(), json!({ "ingest": true }))).collect();
    write(&world.tree.path().join("queues.json"), &Value::Object(queues));
    let atlas = world.open(Atlas::builder().dispatch(false)).await;
    for (name, count) in names.iter().zip([2_000; 11].into_iter().chain([1])) {
        loans(&atlas).queue(name).put((0..count).map(|number| sent(name, number))).await.unwrap();
    }
    atlas.close().await.unwrap();
    let calls = Calls::default();
    let seen = calls.clone();
    let builder = Atlas::builder()
        .function("f", move |delivery| {
            seen.add(&delivery);
            async { Ok::<_, HandlerError>(()) }
        })
        .observe(|_| std::thread::yield_now());
    let atlas = world.open(builder).await;
    atlas.settled().await.unwrap();
    assert_eq!(calls.take().len(), 22_001, "all that came in was delivered");
    let all = came(&atlas);
    let place = all.iter().position(|event| event.starts_with("in-11")).unwrap();
    assert!(place < 8_000, "the last queue's turn came at {place}");
    atlas.close().await.unwrap();
}
