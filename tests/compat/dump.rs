//! All that a store tells, as one JSON value.

use atlas::dispatch::DeliveryFilter;
use atlas::log::{At, Query};
use atlas::{Atlas, Scope};
use serde_json::{Value, json};

use crate::generate::Count;

fn value(shown: &impl serde::Serialize) -> Value {
    serde_json::to_value(shown).unwrap()
}

/// Events, streams, states, and configuration: what the log alone tells.
pub(crate) fn log(atlas: &Atlas) -> Value {
    let store = atlas.store();
    let events: Vec<Value> = store.read(Query::new()).unwrap().map(|event| value(&event.unwrap().envelope())).collect();
    let streams: Vec<Value> = store
        .streams(None, "")
        .unwrap()
        .map(|found| {
            let found = found.unwrap();
            let state = store.state(&found.scope, &found.stream, At::Now, true).unwrap();
            let halfway = At::Version(found.version / 2);
            let early = store.state(&found.scope, &found.stream, halfway, false).unwrap();
            let count = store.fold(&found.scope, &found.stream, &Count, At::Now, true).unwrap();
            json!({
                "scope": found.scope.to_string(), "stream": found.stream, "version": found.version,
                "state": state.state, "halfway": early.state, "count": count.state,
            })
        })
        .collect();
    let catalog = atlas.catalog();
    let mut revisions = Vec::new();
    let trees = catalog.trees().unwrap();
    for tree in &trees {
        revisions.push(value(&catalog.history(&tree.tree).unwrap()));
        for revision in 1..=tree.latest {
            let Ok(shown) = catalog.show(&tree.tree, revision) else { continue };
            let documents = shown
                .documents
                .values()
                .map(|id| String::from_utf8(catalog.document_bytes(*id).unwrap().unwrap().to_vec()).unwrap());
            revisions.push(json!({ "shown": value(&shown), "documents": documents.collect::<Vec<_>>() }));
        }
    }
    let application: Scope = "bank/loans".parse().unwrap();
    let types = catalog.types_list(application.application()).unwrap();
    json!({ "events": events, "streams": streams, "trees": trees, "revisions": revisions, "types": types })
}

/// Statuses, open deliveries, queues. Without leases, which are over some time after they were given.
pub(crate) async fn dispatch(atlas: &Atlas) -> Value {
    let mut statuses = Vec::new();
    for event in atlas.store().read(Query::new()).unwrap() {
        let event = event.unwrap();
        let status = atlas.dispatcher().status(Some(event.scope()), event.id()).await.unwrap();
        statuses.push(value(&status));
    }
    let open = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
    let mut queues = Vec::new();
    for info in atlas.queues().await.unwrap() {
        let mut messages = value(&atlas.queue(&info.scope, info.name.as_str()).peek(1_000).await.unwrap());
        for message in messages.as_array_mut().unwrap() {
            // What has been told from the beginning.
            let told = ["id", "scope", "queue", "event", "handler", "call", "recorded_at", "data"];
            message.as_object_mut().unwrap().retain(|key, _| told.contains(&key.as_str()));
        }
        queues.push(json!({ "scope": info.scope, "name": info.name, "depth": info.depth, "messages": messages }));
    }
    json!({ "statuses": statuses, "open": open, "queues": queues })
}
