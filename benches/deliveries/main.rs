//! Dispatch under load: what it costs beside ingest alone, whether a flood of one tenant keeps another waiting, how much memory
//! a backlog takes, and what a past of completed deliveries costs an open.
//!
//! `cargo bench --bench deliveries` runs all, small; `-- --pending 10000000`, `-- --completed 10000000` or `-- --only fairness`
//! one of them. Times are medians of five, interleaved.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints and looks at the clock, and one that fails has nothing to measure and stops"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use atlas::dispatch::{Delivery, HandlerError};
use atlas::{Atlas, Builder, Event, Scope};
use tokio::runtime::Runtime;

const TYPE: &str = "LOAN_OFFER_SENT_COMPLETE_1";
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let named = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].clone());
    let number = |name: &str| named(name).map(|text| text.parse::<u64>().expect("a number"));
    let place = named("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = Runtime::new().expect("the runtime starts");
    if let (Some(step), Some(dir)) = (named("--step"), named("--data")) {
        let count = number("--count").unwrap_or_default();
        return runtime.block_on(run_step(&step, Path::new(&dir), count));
    }
    let only = named("--only");
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let (pending, completed) = (number("--pending"), number("--completed"));
    let nothing_named = pending.is_none() && completed.is_none();
    if nothing_named && wanted("throughput") {
        runtime.block_on(throughput(&place));
    }
    if nothing_named && wanted("fairness") {
        runtime.block_on(fairness(&place));
    }
    if pending.is_some() || nothing_named && wanted("pending") {
        backlog(&place, pending.unwrap_or(100_000));
    }
    if completed.is_some() || nothing_named && wanted("reopening") {
        reopening(&place, completed.unwrap_or(100_000));
    }
}

/// A tree with one type, and these handlers of it.
fn write_tree(folder: &Path, handlers: &str) {
    let at = folder.join("1/loan/offer/sent");
    fs::create_dir_all(&at).expect("folders are made");
    fs::write(at.join("complete.json"), format!("{{\"handlers\": [{handlers}]}}")).expect("documents are written");
    fs::write(folder.join("types.json"), format!("[\"{TYPE}\"]")).expect("types are written");
    fs::write(folder.join("queues.json"), "{\"mail\": {}}").expect("queues are written");
}

const FUNCTION: &str = "{\"name\": \"f\", \"target\": {\"function\": \"f\"}}";
const QUEUE: &str = "{\"name\": \"q\", \"target\": {\"queue\": \"mail\"}}";

async fn open(builder: Builder, data: &Path, handlers: &str, scopes: &[&Scope]) -> Atlas {
    let tree = data.with_extension("tree");
    write_tree(&tree, handlers);
    let atlas = builder.open(data).await.expect("the store opens");
    for scope in scopes {
        let config = atlas.scope(scope.tenant().as_str(), scope.application().as_str()).config();
        config.import(&tree).await.expect("the tree imports").activate().await.expect("the tree is complete");
    }
    atlas
}

fn bank(name: &str) -> Scope {
    Scope::new(name, "loans").expect("both are names")
}

fn events(from: u64, count: u64, streams: u64) -> Vec<Event> {
    let event = |n: u64| Event::new(TYPE, format!("loan-{}", n % streams)).json(format!("{{\"amount\": {n}}}"));
    (from..from + count).map(event).collect()
}

/// Ingests so many events, 100 at a time, by 16 callers.
async fn ingest(atlas: &Atlas, scope: &Scope, count: u64) {
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..16 {
        let loans = atlas.scope(scope.tenant().as_str(), scope.application().as_str());
        callers.spawn(async move {
            for batch in 0..count / 1_600 {
                let from = (batch * 16 + caller) * 100;
                loans.ingest_all(events(from, 100, 5_000)).await.expect("the events are taken");
            }
        });
    }
    while callers.join_next().await.is_some() {}
}

async fn nothing(_: Delivery) -> Result<(), HandlerError> {
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn throughput(place: &Path) {
    const EVENTS: u64 = 64_000;
    let kinds = [("ingest alone", ""), ("with a function", FUNCTION), ("with a queue", QUEUE)];
    let mut rates = vec![(Vec::new(), Vec::new()); kinds.len()];
    for _ in 0..ROUNDS {
        for (kind, (_, handlers)) in kinds.iter().enumerate() {
            let folder = tempfile::Builder::new().prefix("atlas-deliveries").tempdir_in(place).expect("a folder");
            let builder = Atlas::builder().function("f", nothing);
            let atlas = open(builder, &folder.path().join("data"), handlers, &[&bank("bank")]).await;
            let begun = Instant::now();
            ingest(&atlas, &bank("bank"), EVENTS).await;
            rates[kind].0.push(EVENTS as f64 / begun.elapsed().as_secs_f64());
            assert!(atlas.settled().await.expect("dispatch works").is_empty());
            rates[kind].1.push(EVENTS as f64 / begun.elapsed().as_secs_f64());
            atlas.close().await.expect("the store closes");
        }
    }
    let alone = median(rates[0].0.clone());
    for ((name, _), (ingested, done)) in kinds.iter().zip(rates) {
        let (ingested, done) = (median(ingested), median(done));
        println!(
            "{name}: {ingested:.0} events/s ingested ({:.2} of alone), {done:.0} deliveries/s to the end ({:.2})",
            ingested / alone,
            done / alone
        );
    }
}

async fn fairness(place: &Path) {
    const FLOOD: u64 = 100_800;
    let mut ratios = Vec::new();
    let (mut unloaded, mut loaded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = tempfile::Builder::new().prefix("atlas-deliveries").tempdir_in(place).expect("a folder");
        let (flood, small) = (bank("flood"), bank("small"));
        // Each call takes a while without taking the processor, as one to a server does.
        let slow = |_: Delivery| async { tokio::time::sleep(Duration::from_millis(5)).await };
        let slow = move |delivery: Delivery| async move {
            slow(delivery).await;
            Ok::<_, HandlerError>(())
        };
        let builder = Atlas::builder().function("f", slow);
        let atlas = open(builder, &folder.path().join("data"), FUNCTION, &[&flood, &small]).await;
        let ten = async || {
            let begun = Instant::now();
            let loans = atlas.scope("small", "loans");
            let receipts = loans.ingest_all(events(0, 10, 10)).await.expect("the events are taken");
            for receipt in receipts {
                let done = loans.completion(receipt.id).await.expect("dispatch works");
                assert!(done.outcome.is_some());
            }
            begun.elapsed().as_secs_f64()
        };
        let alone = ten().await;
        ingest(&atlas, &flood, FLOOD).await;
        // An answer of dispatch comes once it has followed the log: all of the flood is Pending.
        atlas.queues().await.expect("dispatch works");
        let beside = ten().await;
        let left = atlas.dispatcher().deliveries(atlas::dispatch::DeliveryFilter { limit: 1, ..Default::default() });
        assert!(!left.await.expect("dispatch works").is_empty(), "the flood was still there");
        unloaded.push(alone);
        loaded.push(beside);
        ratios.push(beside / alone);
        drop(atlas);
    }
    println!(
        "fairness: ten deliveries take {:.1} ms alone, {:.1} ms beside a flood of {FLOOD}: {:.1} times",
        median(unloaded) * 1e3,
        median(loaded) * 1e3,
        median(ratios)
    );
}

/// Does a step in a process of its own, whose memory holds nothing of the steps before. Gives what it prints.
fn step(name: &str, data: &Path, count: u64) -> String {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--step", name, "--count", &count.to_string(), "--data"]).arg(data);
    let output = command.output().expect("it is started again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn run_step(name: &str, data: &Path, count: u64) {
    let scope = bank("bank");
    match name {
        "fill" => {
            let atlas = open(Atlas::builder().dispatch(false), data, FUNCTION, &[&scope]).await;
            ingest(&atlas, &scope, count).await;
            atlas.close().await.expect("the store closes");
        }
        "serve" => {
            let atlas = open(Atlas::builder().function("f", nothing), data, FUNCTION, &[&scope]).await;
            assert!(atlas.settled().await.expect("dispatch works").is_empty());
            println!("served; anonymous memory at most {}", peak());
            atlas.close().await.expect("the store closes");
        }
        "hold" => {
            // Functions that don't return: as many run as may, and all else is Pending.
            let builder =
                Atlas::builder().function("f", |_: Delivery| std::future::pending::<Result<(), HandlerError>>());
            let options = atlas::dispatch::Options { close_within: Duration::ZERO, ..Default::default() };
            let begun = Instant::now();
            let atlas = builder.dispatch_options(options).open(data).await.expect("the store opens");
            atlas.queues().await.expect("dispatch has followed the log");
            println!("opened and followed in {:.1?}; memory at most {}", begun.elapsed(), peak());
            let _ = atlas.close().await;
        }
        "open" => {
            let begun = Instant::now();
            let builder =
                Atlas::builder().function("f", |_: Delivery| std::future::pending::<Result<(), HandlerError>>());
            let options = atlas::dispatch::Options { close_within: Duration::ZERO, ..Default::default() };
            let atlas = builder.dispatch_options(options).open(data).await.expect("the store opens");
            atlas.queues().await.expect("dispatch has followed the log");
            println!("{}", begun.elapsed().as_micros());
            let _ = atlas.close().await;
        }
        other => assert_eq!(other, "a step of this program"),
    }
}

fn backlog(place: &Path, pending: u64) {
    let folder = tempfile::Builder::new().prefix("atlas-deliveries").tempdir_in(place).expect("a folder");
    let data = folder.path().join("data");
    step("fill", &data, pending);
    println!("{pending} pending: {}", step("hold", &data, 0));
    println!("the same, opened again: {}", step("hold", &data, 0));
    let size = fs::metadata(data.join("dispatch.redb")).map_or(0, |file| file.len());
    println!("dispatch.redb: {} MiB", size >> 20);
}

fn reopening(place: &Path, completed: u64) {
    let folder = tempfile::Builder::new().prefix("atlas-deliveries").tempdir_in(place).expect("a folder");
    let (long, short) = (folder.path().join("long"), folder.path().join("short"));
    step("fill", &long, completed);
    step("serve", &long, 0);
    step("fill", &long, 1_600);
    step("fill", &short, 1_600);
    // Followed once: what is measured is an open that has nothing to catch up with.
    for data in [&long, &short] {
        step("open", data, 0);
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let time = |data: &Path| step("open", data, 0).parse::<f64>().expect("microseconds") / 1e3;
        with.push(time(&long));
        without.push(time(&short));
    }
    let (with, without) = (median(with), median(without));
    println!(
        "open with 1,600 open deliveries: {without:.1} ms; with {completed} completed ones as well: {with:.1} ms, {:.2} times",
        with / without
    );
}

/// The most anonymous memory that this process has had resident, and all of it, in MiB.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or_default() >> 10
    };
    format!("{} MiB resident, {} MiB of it anonymous now", field("VmHWM:"), field("RssAnon:"))
}
