//! Deliveries to http endpoints: what is sent, what answers mean, how many calls a host gets.

mod hosts;
pub(crate) mod server;
mod trust;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas::dispatch::{DeliveryFilter, DeliveryStatus, MAX_ANSWER_BYTES, Outcome};
use atlas::storage::Clock;
use atlas::{Atlas, Event, Uuid};
use serde_json::{Value, json};

use crate::world::{SCORED, SENT, TOLD, World, events, ingest, loans};
use server::{Received, Server, answer};

fn handler(name: &str, http: Value) -> Value {
    json!({ "name": name, "target": { "http": http }, "retry": { "attempts": 2, "initial": "1ms" } })
}

/// Never answers.
fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// One event, and how its deliveries stand once nothing goes on.
async fn delivered(atlas: &Atlas) -> Vec<DeliveryStatus> {
    let receipt = ingest(atlas, "loan-1", json!({ "amount": 7 })).await;
    atlas.completion(receipt.id).await.unwrap().deliveries
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_post_of_its_data_with_headers_that_tell_which_it_is() {
    let server = Server::start(|_| answer("204 No Content", ""));
    let mut plain = handler("plain", json!({ "url": server.url("/json?a=b"), "headers": { "X-Name": "a value" } }));
    plain["data"] = json!("{loan: .stream}, .data.amount");
    let structured = handler("structured", json!({ "url": server.url("/structured"), "format": "cloudevents" }));
    let binary = handler("binary", json!({ "url": server.url("/binary"), "format": "cloudevents-binary" }));
    let world = World::new(json!([plain, structured, binary, handler("short", json!(server.url("")))]));
    let atlas = world.open(Atlas::builder()).await;
    let id = Uuid::from_u128(0x0193_2f6e_0000_7000_8000_0000_0000_0001);
    let event = Event::new(SENT, "loan 1/€").id(id).time("2011-10-01T00:38:44.546+02:00".parse().unwrap());
    let receipt = loans(&atlas).ingest(event.data(&json!({ "amount": 7 }))).await.unwrap();
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(done.outcome, Some(Outcome::Success), "{done:?}");
    let envelope: Value = serde_json::to_value(atlas.store().event_at(1).unwrap().unwrap().envelope()).unwrap();
    atlas.close().await.unwrap();

    let received = server.received();
    let of = |path: &str| received.iter().filter(|request| request.path() == path).cloned().collect::<Vec<_>>();
    let [first, second] = &of("/json?a=b")[..] else { panic!("{received:#?}") };
    assert_eq!((first.body.as_str(), second.body.as_str()), (r#"{"loan":"loan 1/€"}"#, "7"));
    assert_eq!(first.line, "POST /json?a=b HTTP/1.1");
    let header = |request: &Received, name: &str| request.headers.get(name).cloned().unwrap_or_default();
    for (name, value) in [
        ("host", server.address.as_str()),
        ("content-type", "application/json"),
        ("x-name", "a value"),
        ("user-agent", concat!("atlas/", env!("CARGO_PKG_VERSION"))),
        ("idempotency-key", &format!("dutch-bank/loans:{id}:plain:1")),
    ] {
        assert_eq!(header(first, name), value, "{name}");
    }
    assert_eq!(header(second, "idempotency-key"), format!("dutch-bank/loans:{id}:plain:2"));
    let parents = [header(first, "traceparent"), header(second, "traceparent")];
    for parent in &parents {
        assert!(parent.starts_with("00-01932f6e000070008000000000000001-") && parent.ends_with("-01"), "{parent}");
        assert_eq!(parent.len(), 55);
    }
    assert_ne!(parents[0], parents[1], "a span each");

    let attributes = [
        ("specversion", "1.0".to_owned()),
        ("source", "/dutch-bank/loans".to_owned()),
        ("type", SENT.to_owned()),
        ("time", "2011-10-01T00:38:44.546+02:00".to_owned()),
        ("correlationid", id.to_string()),
    ];
    let structured = &of("/structured")[0];
    assert_eq!(header(structured, "content-type"), "application/cloudevents+json");
    let body: Value = serde_json::from_str(&structured.body).unwrap();
    let binary = &of("/binary")[0];
    assert_eq!(header(binary, "content-type"), "application/json");
    for (name, value) in attributes {
        assert_eq!((&body[name], header(binary, &format!("ce-{name}"))), (&json!(value), value), "{name}");
    }
    assert_eq!(
        (&body["id"], header(binary, "ce-id")),
        (&json!(format!("{id}/structured/1")), format!("{id}/binary/1"))
    );
    assert_eq!((&body["subject"], header(binary, "ce-subject")), (&json!("loan 1/€"), "loan%201/%E2%82%AC".to_owned()));
    assert_eq!((&body["datacontenttype"], &body["data"]), (&json!("application/json"), &envelope));
    assert_eq!(body.as_object().unwrap().len(), 9 + usize::from(body.get("causationid").is_some()));
    assert_eq!(serde_json::from_str::<Value>(&binary.body).unwrap(), envelope);
    assert_eq!(of("/").len(), 1, "without a path");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_how_a_delivery_ends() {
    let server = Server::start(|request| match request.path() {
        "/done" => answer("201 Created", "not JSON"),
        "/gone" => answer("410 Gone", "no such loan"),
        "/busy" => answer("503 Service Unavailable", ""),
        "/elsewhere" => answer("307 Temporary Redirect\r\nlocation: /done", ""),
        "/halfway" => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{".to_owned(),
        "/nothing" => "connection: close".to_owned(),
        "/large" | "/largely" => answer("200 OK", &format!("\"{}\"", "x".repeat(MAX_ANSWER_BYTES))),
        other => panic!("{other}"),
    });
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut handlers: Vec<Value> = ["done", "gone", "busy", "elsewhere", "halfway", "nothing", "large"]
        .iter()
        .map(|name| handler(name, json!(server.url(&format!("/{name}")))))
        .collect();
    handlers.push(handler("largely", json!({ "url": server.url("/largely"), "answer": "output" })));
    handlers.push(handler("not-tls", json!(format!("https://{}/", server.address))));
    handlers.push(handler("refused", json!(format!("http://{nobody}/?secret"))));
    let world = World::new(json!(handlers));
    let options = atlas::dispatch::Options {
        http_breaker: atlas::dispatch::HttpBreaker { failures: 0, ..Default::default() },
        ..Default::default()
    };
    let atlas = world.open(Atlas::builder().dispatch_options(options)).await;
    let deliveries = delivered(&atlas).await;
    for (name, attempts, why) in [
        ("done", 1, None),
        ("large", 1, None),
        ("gone", 1, Some("/gone: 410 Gone: no such loan")),
        ("elsewhere", 1, Some("/elsewhere: 307 Temporary Redirect")),
        ("largely", 1, Some("the body is longer than MAX_ANSWER_BYTES = 1048576 bytes: \"xxx")),
        ("busy", 2, Some("/busy: 503 Service Unavailable")),
        ("halfway", 2, Some("/halfway: 200 OK: the body breaks off")),
        ("nothing", 2, Some("/nothing: ")),
        ("not-tls", 2, Some("/: ")),
        ("refused", 2, Some("/: io: Connection refused")),
    ] {
        let delivery = deliveries.iter().find(|delivery| delivery.handler.as_str() == name).unwrap();
        assert_eq!((delivery.attempts, delivery.parked), (attempts, why.is_some()), "{delivery:?}");
        let error = delivery.error.clone().unwrap_or_default();
        assert!(
            why.is_none_or(|why| error.starts_with("POST http")
                && error.contains("://127.0.0.1:")
                && error.contains(why)),
            "{error}"
        );
    }
    let elsewhere = server.received().iter().filter(|request| request.path() == "/done").count();
    assert_eq!(elsewhere, 1, "a redirect isn't followed");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_asks_for_a_wait_gets_it_by_the_clock() {
    let calls = AtomicU32::new(0);
    let server = Server::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => answer("429 Too Many Requests\r\nretry-after: 90", ""),
        1 => answer("503 Service Unavailable\r\nretry-after: Tue, 14 Nov 2023 22:16:40 GMT", ""),
        _ => answer("200 OK", ""),
    });
    let mut patient = handler("h", json!(server.url("/")));
    patient["retry"]["attempts"] = json!(3);
    let (world, clock) = World::new(json!([patient])).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    // 2023-11-14T22:13:20Z and 90 s, then the date, 110 s later.
    for (attempt, wait) in [(1, 90), (2, 110)] {
        let next = loop {
            let open = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
            if let Some(next) = open[0].next_attempt.filter(|_| open[0].delivery.attempts == attempt) {
                break next;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(next.micros() - clock.now_micros(), wait * 1_000_000);
        clock.advance(Duration::from_secs(wait as u64));
    }
    assert_eq!(atlas.completion(receipt.id).await.unwrap().deliveries[0].attempts, 3);
    atlas.close().await.unwrap();
}

/// The process dies while the endpoint works: who is called again sees by the key that it is the same call.
#[test]
fn the_key_of_a_call_is_the_same_for_every_attempt_also_after_a_crash() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let arrived = Mutex::new(arrived);
    let calls = AtomicU32::new(0);
    let server = Server::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => answer("500 Internal Server Error", ""),
        1 => {
            arrived.lock().unwrap().send(()).unwrap();
            hang()
        }
        _ => answer("200 OK", ""),
    });
    let mut patient = handler("h", json!(server.url("/")));
    patient["retry"]["attempts"] = json!(5);
    let world = World::new(json!([patient]));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let receipt = runtime.block_on(async {
        let atlas = world.open(Atlas::builder()).await;
        let receipt = ingest(&atlas, "s", json!({})).await;
        arrivals.recv().unwrap();
        atlas.store().sync().unwrap();
        atlas.store().close().unwrap();
        receipt
    });
    runtime.shutdown_background();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let atlas = world.open(Atlas::builder()).await;
        let done = atlas.completion(receipt.id).await.unwrap();
        assert_eq!(done.deliveries[0].attempts, 3);
        atlas.close().await.unwrap();
    });
    let received = server.received();
    let keys: Vec<_> = received.iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys, vec![format!("dutch-bank/loans:{}:h:1", receipt.id); 3]);
    assert_ne!(received[1].headers["traceparent"], received[2].headers["traceparent"], "a span for each attempt");
}

/// The second of two calls fails once: what the first one emitted isn't emitted again.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_an_answer_emits_are_there_once() {
    let calls = AtomicU32::new(0);
    let server = Server::start(move |request| {
        let body = json!({ "output": { "score": request.body },
            "events": [{ "type": SCORED, "data": { "a": 1 } }, { "type": TOLD, "stream": "letters" }] });
        match calls.fetch_add(1, Ordering::SeqCst) {
            1 => answer("500 Internal Server Error", ""),
            _ => answer("200 OK", &body.to_string()),
        }
    });
    let mut two = handler("h", json!({ "url": server.url("/"), "answer": "events" }));
    two["data"] = json!("1, 2");
    let world = World::new(json!([two]));
    let atlas = world.open(Atlas::builder()).await;
    let deliveries = delivered(&atlas).await;
    assert_eq!(
        (deliveries[0].attempts, deliveries[0].output.clone()),
        (2, Some(json!([{ "score": "1" }, { "score": "2" }])))
    );
    assert!(atlas.settled().await.unwrap().is_empty());
    let told: Vec<_> = events(&atlas).into_iter().map(|(of, stream, _)| (of, stream)).collect();
    let of = |event_type: &str, stream: &str| (event_type.to_owned(), stream.to_owned());
    let emitted = [of(SCORED, "loan-1"), of(TOLD, "letters")];
    assert_eq!(told, [&[of(SENT, "loan-1")][..], &emitted, &emitted].concat());
    let bodies: Vec<_> = server.received().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, ["1", "2", "2"]);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_count_as_it_stands_is_fatal() {
    let server = Server::start(|request| match request.path() {
        "/type" => answer("200 OK", r#"{"events": [{"type": "LOAN_OFFER_SNET_COMPLETE_1"}]}"#),
        "/form" => answer("200 OK", r#"{"events": [{"type": "LOAN_OFFER_SENT_COMPLETE_1", "id": "1"}]}"#),
        _ => answer("200 OK", &format!("\"{}\"", "x".repeat(64 << 10))),
    });
    let events =
        |name: &str, answer: &str| handler(name, json!({ "url": server.url(&format!("/{name}")), "answer": answer }));
    let world = World::new(json!([events("type", "events"), events("form", "events"), events("output", "output")]));
    let atlas = world.open(Atlas::builder()).await;
    let deliveries = delivered(&atlas).await;
    for (name, why) in [
        ("type", "emitted event 1: "),
        ("form", "event 1 of the body: unknown field `id`"),
        ("output", "max_output is 65536 bytes"),
    ] {
        let delivery = deliveries.iter().find(|delivery| delivery.handler.as_str() == name).unwrap();
        assert!(delivery.parked && delivery.attempts == 1, "{delivery:?}");
        assert!(delivery.error.as_deref().unwrap().contains(why), "{delivery:?}");
    }
    atlas.close().await.unwrap();
}

#[test]
fn a_runtime_without_timer_and_io_will_do() {
    let server = Server::start(|_| answer("200 OK", "7"));
    let world = World::new(json!([handler("h", json!({ "url": server.url("/"), "answer": "output" }))]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let atlas = world.open(Atlas::builder()).await;
        assert_eq!(delivered(&atlas).await[0].output, Some(json!(7)));
        atlas.close().await.unwrap();
    });
}

/// Else the runtime would wait for the thread, up to the handler's timeout: here, a year.
#[test]
fn a_close_that_gives_up_ends_the_call_that_hangs() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let arrived = Arc::new(Mutex::new(arrived));
    let server = Server::start(move |_| {
        arrived.lock().unwrap().send(()).unwrap();
        hang()
    });
    let mut patient = handler("h", json!(server.url("/")));
    patient["timeout"] = json!("365d");
    let world = World::new(json!([patient]));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let options = atlas::dispatch::Options { close_within: Duration::ZERO, ..Default::default() };
        let atlas = world.open(Atlas::builder().dispatch_options(options)).await;
        ingest(&atlas, "s", json!({})).await;
        arrivals.recv().unwrap();
        atlas.close().await.unwrap();
    });
    drop(runtime);
}
