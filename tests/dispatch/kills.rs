//! SIGKILL at any moment: no delivery is lost, no emitted event is doubled, nor is what comes in by an input queue. The test starts itself as the process that is
//! killed.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use atlas::dispatch::{Delivery, Emit, HandlerError, NewMessage, Options, Outcome};
use atlas::log::Query;
use atlas::{Atlas, Builder, Event};
use serde_json::json;

use crate::world::{SCORED, SENT, World, loans, write};

/// Set for the process that is killed: its data directory.
const DIR: &str = "ATLAS_TEST_KILLED_DIR";

/// How often the process is killed.
const ROUNDS: usize = 5;

fn world() -> World {
    let world = World::new(json!([
        { "name": "score", "weight": 1, "data": ".data.items[]", "target": { "function": "f" },
          "retry": { "attempts": 1000, "initial": "1ms", "max": "1ms" } },
        { "name": "post", "weight": 2, "target": { "queue": "mail" } },
    ]));
    write(&world.tree.path().join("queues.json"), &json!({ "mail": {}, "inbox": { "ingest": true } }));
    world
}

/// Two calls for each event, each of which emits one; every seventh fails at first.
fn builder() -> Builder {
    let options = Options { checkpoint_every: 50, max_open_events: 64, ..Options::default() };
    Atlas::builder().dispatch_options(options).function("f", |delivery: Delivery| async move {
        tokio::task::yield_now().await;
        if delivery.event().version().is_multiple_of(7) && delivery.attempt() == 1 {
            return Err(HandlerError::Retry("not yet".into()));
        }
        let scored = Event::new(SCORED, format!("scores-{}", delivery.event().stream()));
        Ok(Emit::none().event(scored.data(&json!({ "key": delivery.idempotency_key() }))))
    })
}

async fn open(dir: &Path) -> Atlas {
    let atlas = builder().open(dir).await.unwrap();
    loans(&atlas).config().import(world().tree.path()).await.unwrap().activate().await.unwrap();
    atlas
}

/// Ingests without end, and says on stdout how many are acknowledged.
#[test]
fn the_process_that_is_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let atlas = open(Path::new(&dir)).await;
        for number in 0.. {
            let data = json!({ "items": [1, 2] });
            let batch = (0..2).map(|stream| Event::new(SENT, format!("s{stream}")).data(&data));
            loans(&atlas).ingest_all(batch.collect()).await.unwrap();
            let message = |stream: u64| {
                let own = format!("{} {number}", std::process::id());
                let data = json!({ "items": [1, 2], "message": own });
                NewMessage::new(&json!({ "type": SENT, "stream": format!("s{stream}"), "data": data }))
            };
            loans(&atlas).queue("inbox").put((2..4).map(message)).await.unwrap();
            println!("acked {number}");
        }
    });
}

#[test]
fn sigkill_loses_no_delivery_and_doubles_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::the_process_that_is_killed", "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        acked += lines.filter(|line| line.starts_with("acked ")).take(7 + 13 * round).count();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(acked, (0..ROUNDS).map(|round| 7 + 13 * round).sum::<usize>(), "each process got to its end");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let atlas = open(dir.path()).await;
        let left = atlas.settled().await.unwrap();
        assert!(left.is_empty(), "{left}");
        let (mut sent, mut scored) = (Vec::new(), HashMap::new());
        for event in atlas.store().read(Query::new()).unwrap() {
            let event = event.unwrap();
            match event.causation_id() {
                None => sent.push(event.id()),
                Some(cause) => *scored.entry(cause).or_insert(0) += 1,
            }
        }
        assert!(sent.len() >= 4 * acked, "{} events of {} acknowledged", sent.len(), 4 * acked);
        let all = atlas.store().read(Query::new()).unwrap().map(Result::unwrap);
        let put: Vec<_> = all.filter(|event| ["s2", "s3"].contains(&event.stream())).collect();
        let each: HashSet<_> = put.iter().map(|event| (event.stream(), event.data())).collect();
        assert!(put.len() >= 2 * acked, "what is put comes in: {} of {}", put.len(), 2 * acked);
        assert_eq!(put.len(), each.len(), "each message once");
        assert_eq!(scored.len(), sent.len());
        for id in &sent {
            assert_eq!(scored[id], 2, "two calls, one event each");
        }
        for id in sent.iter().step_by(17) {
            assert_eq!(atlas.status(*id).await.unwrap().outcome, Some(Outcome::Success));
        }
        assert_eq!(atlas.queues().await.unwrap()[0].depth, sent.len() as u64, "one message for each");
        atlas.close().await.unwrap();
    });
}
