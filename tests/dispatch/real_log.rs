//! The real log through a tree with four handlers (a function that fails for some streams, a queue, an http endpoint, a reactor),
//! killed with SIGKILL twenty times on the way: the final counts are exact, each call's key stays, no event is doubled. The test
//! starts itself as the process that is killed. Its beginning by default; `ATLAS_REAL_EVENTS=262200` all of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use atlas::dispatch::{Delivery, DeliveryFilter, Emit, HandlerError, Obstacle, Options};
use atlas::event::Envelope;
use atlas::log::Query;
use atlas::{Atlas, Event, Uuid};
use serde_json::{Value, json};

use crate::http::server::{Server, answer};
use crate::world::{loans, write};

/// Set for the process that is killed: its data directory, and the address of the endpoint.
const DIR: &str = "ATLAS_TEST_REAL_DIR";
const ENDPOINT: &str = "ATLAS_TEST_REAL_ENDPOINT";

const ROUNDS: usize = 20;
const SUBMITTED: &str = "LOAN_APPLICATION_SUBMITTED_COMPLETE_1";
const ACCEPTED: &str = "LOAN_APPLICATION_ACCEPTED_COMPLETE_1";
const FOLLOW_UP: &str = "LOAN_FOLLOWUP_DUE_COMPLETE_1";

/// Lines of the log, each with an id by its number.
fn real_lines() -> Option<Vec<(Uuid, Value)>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/bpic2012.ndjson.gz");
    let path = std::env::var_os("ATLAS_REAL_LOG").map_or(path, PathBuf::from);
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    let count = std::env::var("ATLAS_REAL_EVENTS").map_or(4_000, |text| text.parse().unwrap());
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    let parsed = lines.take(count).map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    Some(parsed.zip(1..).map(|(line, number)| (Uuid::from_u128(number), line)).collect())
}

fn write_tree(folder: &Path, lines: &[(Uuid, Value)], endpoint: &str) {
    let mut types: BTreeSet<&str> = lines.iter().map(|(_, line)| line["type"].as_str().unwrap()).collect();
    types.insert(FOLLOW_UP);
    let retry = json!({ "attempts": 1000, "initial": "1ms", "max": "5ms" });
    for event_type in &types {
        let mut handlers = vec![
            json!({ "name": "score", "weight": 1, "target": { "function": "score" }, "retry": retry }),
            json!({ "name": "audit", "weight": 2, "data": "{stream, type}", "target": { "queue": "audit" } }),
        ];
        match *event_type {
            FOLLOW_UP => handlers.clear(),
            SUBMITTED => handlers
                .push(json!({ "name": "react", "weight": 3, "target": { "function": "react" }, "retry": retry })),
            ACCEPTED => handlers.push(json!({ "name": "tell", "weight": 3, "data": "{loan: .stream}",
                "target": { "http": format!("{endpoint}/accepted") }, "retry": retry })),
            _ => {}
        }
        let parts: Vec<String> = event_type.split('_').map(str::to_lowercase).collect();
        let [of, flow, operation, result, version] = &parts[..] else { panic!("five parts") };
        write(
            &folder.join(format!("{version}/{of}/{flow}/{operation}/{result}.json")),
            &json!({ "handlers": handlers }),
        );
    }
    write(&folder.join("types.json"), &json!(types));
    write(&folder.join("queues.json"), &json!({ "audit": {} }));
}

/// Streams for which the function fails for good.
fn fails(stream: &str) -> bool {
    stream.ends_with("00")
}

async fn open(dir: &Path, lines: &[(Uuid, Value)], endpoint: &str) -> Atlas {
    let tree = tempfile::tempdir().unwrap();
    write_tree(tree.path(), lines, endpoint);
    let options = Options { checkpoint_every: 500, max_open_events_per_scope: 200, ..Options::default() };
    let score = |delivery: Delivery| async move {
        tokio::task::yield_now().await;
        if fails(delivery.event().stream()) { Err(HandlerError::Fatal("no score".into())) } else { Ok(()) }
    };
    let react = |delivery: Delivery| async move {
        let follow_up = Event::new(FOLLOW_UP, "").data(&json!({ "key": delivery.idempotency_key() }));
        Ok::<_, HandlerError>(Emit::none().event(follow_up))
    };
    let builder = Atlas::builder().dispatch_options(options).function("score", score).function("react", react);
    let atlas = builder.open(dir).await.unwrap();
    loans(&atlas).config().import(tree.path()).await.unwrap().activate().await.unwrap();
    atlas
}

/// Ingests the lines that aren't there yet, and says on stdout how many are acknowledged.
async fn ingest_rest(atlas: &Atlas, lines: &[(Uuid, Value)]) {
    let scope = "dutch-bank/loans".parse().unwrap();
    let known = lines.partition_point(|(id, _)| atlas.store().event(&scope, *id).unwrap().is_some());
    for batch in lines[known..].chunks(10) {
        let event = |(id, line): &(Uuid, Value)| {
            let text = line.to_string();
            Envelope::from_json(text.as_bytes()).unwrap().to_event().unwrap().id(*id)
        };
        loans(atlas).ingest_all(batch.iter().map(event).collect()).await.unwrap();
        println!("acked");
    }
}

#[test]
fn the_process_that_is_killed() {
    let (Ok(dir), Ok(endpoint)) = (std::env::var(DIR), std::env::var(ENDPOINT)) else { return };
    let Some(lines) = real_lines() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let atlas = open(Path::new(&dir), &lines, &endpoint).await;
        ingest_rest(&atlas, &lines).await;
        atlas.settled().await.unwrap();
    });
}

#[test]
fn the_real_log_is_worked_on_whole_however_often_it_is_killed() {
    let Some(lines) = real_lines() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| answer("200 OK", ""));
    let endpoint = server.url("");
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["real_log::the_process_that_is_killed", "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .env(ENDPOINT, &endpoint)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let wanted = lines.len() / 10 / (ROUNDS + 2);
        let acked = said.filter(|line| line == "acked").take(wanted).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(acked, wanted, "round {round}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let atlas = open(dir.path(), &lines, &endpoint).await;
        ingest_rest(&atlas, &lines).await;
        let left = atlas.settled().await.unwrap();
        check(&atlas, &lines, &server, &left).await;
        atlas.close().await.unwrap();
    });
}

async fn check(atlas: &Atlas, lines: &[(Uuid, Value)], server: &Server, left: &atlas::dispatch::Remaining) {
    let of = |event_type: &'static str| lines.iter().filter(move |(_, line)| line["type"] == event_type);
    // Each line once, and one follow-up for each application, of that.
    let (mut given, mut follow_ups) = (0, HashMap::new());
    for event in atlas.store().read(Query::new()).unwrap() {
        let event = event.unwrap();
        match event.causation_id() {
            None => given += 1,
            Some(cause) => {
                *follow_ups.entry(cause).or_insert(0) += 1;
                let data: Value = serde_json::from_slice(event.data()).unwrap();
                assert_eq!(data["key"], json!(format!("dutch-bank/loans:{cause}:react:1")));
            }
        }
    }
    assert_eq!((given, follow_ups.len()), (lines.len(), of(SUBMITTED).count()));
    assert!(follow_ups.values().all(|count| *count == 1), "none is doubled");
    // One message for each line, in its queue.
    assert_eq!(atlas.queues().await.unwrap()[0].depth, lines.len() as u64);
    // Of the streams that fail the first event is parked, and what is behind it waits; nothing else is left.
    let mut failing: BTreeMap<&str, u64> = BTreeMap::new();
    for stream in lines.iter().map(|(_, line)| line["stream"].as_str().unwrap()).filter(|stream| fails(stream)) {
        *failing.entry(stream).or_default() += 1;
    }
    assert!(!failing.is_empty());
    let parked = DeliveryFilter { parked: true, limit: usize::MAX, ..DeliveryFilter::default() };
    let parked: BTreeSet<String> =
        atlas.deliveries(parked).await.unwrap().into_iter().map(|open| open.stream).collect();
    assert_eq!(parked.iter().map(String::as_str).collect::<Vec<_>>(), failing.keys().copied().collect::<Vec<_>>());
    assert_eq!(left.count(Obstacle::Parked), failing.len() as u64);
    assert_eq!(left.total(), failing.values().sum::<u64>(), "{left}");
    // Each accepted application was told of, under one key and with the same data each time.
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for request in server.received() {
        told.entry(request.headers["idempotency-key"].clone()).or_default().insert(request.body);
    }
    assert_eq!(told.len(), of(ACCEPTED).count());
    assert!(told.values().all(|bodies| bodies.len() == 1), "the same data each time");
    for (id, line) in of(ACCEPTED) {
        let body = json!({ "loan": line["stream"] }).to_string();
        assert_eq!(told[&format!("dutch-bank/loans:{id}:tell:1")], BTreeSet::from([body]));
    }
}
