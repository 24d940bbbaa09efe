//! A store with some of everything that is derived.

use std::fs;
use std::path::Path;
use std::time::Duration;

use atlas::log::{At, KeyframePolicy, Options};
use atlas::storage::Environment;
use atlas::{Atlas, Builder, Event, Scope};
use serde_json::json;

pub(crate) const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";

pub(crate) fn scope() -> Scope {
    "bank/loans".parse().unwrap()
}

pub(crate) fn options() -> Options {
    Options { segment_size: 64 << 10, keyframes: KeyframePolicy::Events(10), ..Options::default() }
}

pub(crate) fn builder() -> Builder {
    Atlas::builder().log_options(options())
}

fn write_tree(tree: &Path) {
    let document = tree.join("1/loan/offer/sent/complete.json");
    fs::create_dir_all(document.parent().unwrap()).unwrap();
    fs::write(tree.join("types.json"), json!([SENT]).to_string()).unwrap();
    let ledger = json!({ "ordered": true, "max_receives": 1, "groups": ["audit", "book"] });
    fs::write(tree.join("queues.json"), json!({ "mail": {}, "ledger": ledger }).to_string()).unwrap();
    let handlers = json!([
        { "name": "post", "when": ".data.n % 2 == 0", "data": "{n: .data.n}", "target": { "queue": "mail" } },
        { "name": "enter", "when": ".data.n % 80 == 0", "data": "{n: .data.n}", "target": { "queue": "ledger" } },
        { "name": "score", "target": { "function": "score" } },
    ]);
    fs::write(document, json!({ "handlers": handlers }).to_string()).unwrap();
}

/// Several segments, messages of which some are leased and some acknowledged, a dead letter with others behind it, open deliveries of a function that isn't
/// there, keyframes.
pub(crate) async fn fill(atlas: &Atlas) {
    let tree = tempfile::tempdir().unwrap();
    write_tree(tree.path());
    let loans = atlas.scope("bank", "loans");
    loans.config().import(tree.path()).await.unwrap().activate().await.unwrap();
    for n in 0..400 {
        let data = json!({ "n": n, format!("k{}", n % 5): n, "text": "x".repeat(200) });
        loans.ingest(Event::new(SENT, format!("loan-{}", n % 6)).data(&data)).await.unwrap();
    }
    atlas.settled().await.unwrap();
    let mail = loans.queue("mail");
    let taken = mail.take(10, Duration::from_secs(3_600)).await.unwrap();
    for message in &taken[..5] {
        mail.ack(message.id).await.unwrap();
    }
    let book = loans.queue("ledger").group("book");
    let taken = book.take(3, Duration::from_secs(3_600)).await.unwrap();
    book.nack(&taken[0], Duration::ZERO, "odd").await.unwrap();
    book.ack(&taken[1]).await.unwrap();
    for stream in 0..6 {
        atlas.store().state(&scope(), &format!("loan-{stream}"), At::Now, true).unwrap();
    }
}

pub(crate) async fn filled(environment: Environment) -> Atlas {
    let atlas = builder().open_with(environment).await.unwrap();
    fill(&atlas).await;
    atlas
}
