//! The promise that routing costs the ingest path no allocation: a plan that is cached, and the check that an event may come
//! in. Counted by an allocator of this program's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use atlas::{Atlas, Scope};

const TYPE: &str = "LOAN_OFFER_SENT_COMPLETE_1";

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let folder = tree.path().join("1/loan/offer/sent");
    std::fs::create_dir_all(&folder).unwrap();
    let document = r#"{"handlers": [{"name": "tell", "when": ".data.amount > 5", "target": {"queue": "mail"}}]}"#;
    std::fs::write(folder.join("complete.json"), document).unwrap();
    std::fs::write(tree.path().join("queues.json"), r#"{"mail": {}}"#).unwrap();
    std::fs::write(tree.path().join("types.json"), format!("[\"{TYPE}\"]")).unwrap();
    tree
}

#[test]
fn a_route_that_is_known_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let data = tempfile::tempdir().unwrap();
    let atlas = runtime.block_on(async {
        let atlas = Atlas::builder().dispatch(false).open(data.path()).await.unwrap();
        atlas.scope("bank", "loans").config().import(tree().path()).await.unwrap().activate().await.unwrap();
        atlas
    });
    let scope = Scope::new("bank", "loans").unwrap();
    let route = || {
        for _ in 0..100 {
            assert_eq!(atlas.router().route(&scope, None, TYPE).unwrap().handlers.len(), 1);
        }
    };
    let first = allocation_counter::measure(route);
    assert!(first.count_total > 0, "the first look-up compiles the document: the counter counts");
    assert_eq!(allocation_counter::measure(route).count_total, 0);
    let event = atlas::Event::new(TYPE, "loan-1").json("{\"amount\": 7}");
    let admit = || drop(atlas.router().admit(&scope, &event).unwrap());
    admit();
    assert_eq!(allocation_counter::measure(admit).count_total, 0);
    runtime.block_on(atlas.close()).unwrap();
}
