//! Fair between scopes: what one tenant has waiting keeps another waiting no longer than its turn. Counted in deliveries, not in
//! time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use atlas::dispatch::{Delivery, HandlerError, Options};
use atlas::{Atlas, Event};
use serde_json::json;

use crate::world::{SENT, World, loans};

/// How many are pending of the tenant that floods.
const FLOOD: usize = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_tenant_keeps_no_other_waiting() {
    let names: Vec<String> = (0..8).map(|n| format!("f{n}")).collect();
    let handlers: Vec<_> = names.iter().map(|name| json!({ "name": name, "target": { "function": "f" } })).collect();
    let world = World::new(json!(handlers));
    let (opened, flooding) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (gate, count) = (opened.clone(), flooding.clone());
    let f = move |delivery: Delivery| {
        let (gate, count) = (gate.clone(), count.clone());
        async move {
            while !gate.load(Ordering::SeqCst) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            if delivery.event().scope().tenant().as_str() == "dutch-bank" {
                count.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<_, HandlerError>(())
        }
    };
    let options = Options {
        max_open_events_per_scope: 100,
        max_in_flight: 40,
        max_in_flight_per_scope: 40,
        ..Options::default()
    };
    let atlas = world.open(Atlas::builder().dispatch_options(options).function("f", f)).await;
    let small = atlas.scope("small-bank", "loans");
    small.config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    let events = (0..FLOOD).map(|n| Event::new(SENT, format!("s{n}")).json("{}")).collect();
    loans(&atlas).ingest_all(events).await.unwrap();
    // An answer of dispatch comes once all of it is Pending.
    atlas.queues().await.unwrap();
    let few = (0..10).map(|n| Event::new(SENT, format!("s{n}")).json("{}")).collect();
    let receipts = small.ingest_all(few).await.unwrap();
    atlas.queues().await.unwrap();
    opened.store(true, Ordering::SeqCst);
    for receipt in receipts {
        small.completion(receipt.id).await.unwrap();
    }
    let flooded = flooding.load(Ordering::SeqCst);
    // 80 deliveries of the small one, and as many turns of the other, with what ran already and what was on its way to its end.
    assert!(flooded < 2_000, "{flooded} of {} were done before", 8 * FLOOD);
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!(flooding.load(Ordering::SeqCst), 8 * FLOOD);
    atlas.close().await.unwrap();
}
