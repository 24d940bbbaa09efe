//! Writing the directories that are kept. Not run by the tests: `tests/compat/README.md` says how.

use std::fs;
use std::path::Path;
use std::time::Duration;

use atlas::dispatch::{Delivery, DeliveryFilter, Emit, HandlerError};
use atlas::log::{Append, At, Compress, Durability, EventRef, Fold, KeyframePolicy, Options};
use atlas::{Atlas, Event, EventStore, Scope, Uuid};
use serde_json::{Value, json};

use crate::{copy_folder, dump};

pub(crate) const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";
const SCORED: &str = "LOAN_RISK_SCORED_COMPLETE_1";
const OLD: &str = "LOAN_OFFER_FAXED_COMPLETE_1";

/// A fold of a host's: how many events there were.
pub(crate) struct Count;

impl Fold for Count {
    type State = u64;

    fn name(&self) -> &str {
        "count"
    }

    fn fingerprint(&self) -> u64 {
        7
    }

    fn start(&self) -> u64 {
        0
    }

    fn apply(&self, state: &mut u64, _event: &EventRef<'_>) {
        *state += 1;
    }

    fn encode(&self, state: &u64) -> Vec<u8> {
        state.to_le_bytes().to_vec()
    }

    fn decode(&self, bytes: &[u8]) -> Option<u64> {
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

fn options() -> Options {
    Options { segment_size: 64 << 10, keyframes: KeyframePolicy::Events(16), ..Options::default() }
}

/// Opens a directory, and serves no deliveries. Leaves no keyframes, so that looking changes nothing.
pub(crate) async fn open(dir: &Path) -> Atlas {
    let options = Options { keyframes: KeyframePolicy::Never, create: false, ..options() };
    Atlas::builder().log_options(options).dispatch(false).open(dir).await.unwrap()
}

/// Waits until every segment but the last is packed.
async fn until_packed(dir: &Path) {
    let is_packed = |path: &Path| fs::read(path).unwrap()[8] == 2;
    let segments: Vec<_> =
        (1..).map(|n| dir.join(format!("log/{n:08}.seg"))).take_while(|path| path.exists()).collect();
    let (_, sealed) = segments.split_last().unwrap();
    while !sealed.iter().all(|path| is_packed(path)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Writes the directories, and what is in them, to `to`.
pub(crate) async fn write(to: &Path) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["closed", "crashed", "packed"] {
        let (dir, kept) = (folder.path().join(name), to.join(name));
        let compress = if name == "packed" { Compress::All } else { Compress::None };
        let atlas = work(&dir, compress).await;
        if name != "crashed" {
            if name == "packed" {
                until_packed(&dir).await;
            }
            atlas.close().await.unwrap();
        } else {
            // What isn't durable at the crash: the last of it is torn.
            for number in 0..3 {
                let append = Append::to(&scope("bank/loans")).event(Event::new(SENT, "loan-torn").data(&json!(number)));
                atlas.store().append(append.durability(Durability::Deferred)).unwrap();
            }
        }
        let _ = fs::remove_dir_all(&kept);
        copy_folder(&dir, &kept);
        drop(atlas);
        for derived in ["catalog.redb", "dispatch.redb"] {
            let _ = fs::remove_file(kept.join(derived));
        }
        if name == "crashed" {
            tear(&kept);
        }
        let looked_at = folder.path().join(format!("{name}-copy"));
        copy_folder(&kept, &looked_at);
        let atlas = open(&looked_at).await;
        let told = json!({ "log": dump::log(&atlas), "dispatch": dump::dispatch(&atlas).await });
        fs::write(to.join(format!("{name}.json")), format!("{told}\n")).unwrap();
        atlas.close().await.unwrap();
    }
}

/// Damages the last bytes of what was written last.
fn tear(dir: &Path) {
    let last = (1..).map(|n| dir.join(format!("log/{n:08}.seg"))).take_while(|path| path.exists()).last().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 3] ^= 0xff;
    fs::write(last, bytes).unwrap();
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn write_tree(tree: &Path, queues: &Value) {
    let document = |path: &str, handlers: Value| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json!({ "handlers": handlers }).to_string()).unwrap();
    };
    document(
        "1/loan/offer/sent/complete.json",
        json!([
            { "name": "score", "target": { "function": "score" }, "retry": { "attempts": 1 } },
            { "name": "tell", "when": ".data.n % 3 == 0", "data": "{loan: .stream, n: .data.n}", "target": { "queue": "mail" } },
        ]),
    );
    document("1/loan/risk/scored/complete.json", json!([]));
    document("1/loan/offer/faxed/complete.json", json!([]));
    fs::write(tree.join("types.json"), json!([SENT, SCORED, OLD]).to_string()).unwrap();
    fs::write(tree.join("queues.json"), queues.to_string()).unwrap();
}

/// Fills a store with some of everything: two scopes and a variant, all fields of the envelope, data that are not JSON,
/// appends of several streams, keyframes of two folds, deliveries that succeed, fail, are parked, dropped and released,
/// messages that wait, are taken and are gone, two revisions and a retired type.
async fn work(dir: &Path, compress: Compress) -> Atlas {
    let tree = tempfile::tempdir().unwrap();
    write_tree(tree.path(), &json!({ "mail": {} }));
    let score = |delivery: Delivery| async move {
        let n = delivery.data::<Value>().unwrap()["data"]["n"].as_u64().unwrap_or_default();
        match n % 10 {
            7 => Err(HandlerError::fatal(std::io::Error::other("no score"))),
            8 => Err(HandlerError::from(std::io::Error::other("not now"))),
            _ => Ok(Emit::none().event(Event::new(SCORED, "").data(&json!({ "score": n }))).output(json!({ "n": n }))),
        }
    };
    let builder = Atlas::builder().log_options(Options { compress, ..options() }).function("score", score);
    let atlas = builder.open(dir).await.unwrap();
    let loans = atlas.scope("bank", "loans");
    loans.config().import(tree.path()).await.unwrap().activate().await.unwrap();
    for n in 0..90_u64 {
        let mut event = Event::new(SENT, format!("loan-{}", n % 5)).data(&json!({
            "n": n, format!("k{}", n % 4): { "deep": [n, n as f64 / 7.0, null, "é\n"] }, "gone": if n % 2 == 0 { json!(null) } else { json!(n) },
        }));
        if n.is_multiple_of(4) {
            let id = Uuid::from_u128(0x5000_0000_0000_4000_8000_0000_0000_0000 + u128::from(n));
            event = event
                .id(id)
                .actor("desk 7")
                .metadata(&json!({ "trace": n }))
                .correlation_id(Uuid::from_u128(77))
                .causation_id(Uuid::from_u128(78))
                .time("2011-10-01T00:38:44.546+02:00".parse().unwrap());
        }
        loans.ingest(event).await.unwrap();
    }
    atlas.settled().await.unwrap();
    act(&atlas).await;
    write_tree(tree.path(), &json!({ "mail": { "max_depth": 500 }, "more": {} }));
    loans.config().import(tree.path()).await.unwrap().activate().await.unwrap();
    let application = scope("bank/loans").application().clone();
    atlas.catalog().with_actor("desk 7").types_retire(&application, &OLD.parse().unwrap()).unwrap();
    append(atlas.store());
    for stream in 0..5 {
        let stream = format!("loan-{stream}");
        atlas.store().state(&scope("bank/loans"), &stream, At::Now, true).unwrap();
        atlas.store().fold(&scope("bank/loans"), &stream, &Count, At::Now, true).unwrap();
    }
    loans.ingest(Event::new(SENT, "loan-0").data(&json!({ "n": 3 }))).await.unwrap();
    atlas.settled().await.unwrap();
    atlas.store().sync().unwrap();
    atlas
}

/// What workers and operators do.
async fn act(atlas: &Atlas) {
    let mail = atlas.queue(&scope("bank/loans"), "mail");
    let taken = mail.take(4, Duration::from_secs(1)).await.unwrap();
    for message in &taken[..2] {
        mail.ack(message.id).await.unwrap();
    }
    let parked = atlas.deliveries(DeliveryFilter { parked: true, ..DeliveryFilter::default() }).await.unwrap();
    atlas.drop_delivery(&parked[0].delivery.id, "given up").await.unwrap();
    atlas.release(&parked[1].delivery.id).await.unwrap();
    atlas.settled().await.unwrap();
}

/// Appends that no tree routes.
fn append(store: &EventStore) {
    for n in 0..220_u64 {
        let other = scope("other/cards");
        let append = Append::to(&other)
            .event(
                Event::new("CARD_PAYMENT_MADE_COMPLETE_1", format!("card-{}", n % 9))
                    .data(&json!({ "n": n, "text": "x".repeat(150) })),
            )
            .event(
                Event::new("CARD_SCAN_TAKEN_COMPLETE_1", "scans")
                    .variant("pilot")
                    .bytes("image/png", vec![n as u8; 90]),
            );
        store.append(append).unwrap();
    }
    store.state(&scope("other/cards"), "scans", At::Now, true).unwrap();
}
