//! Configuration of many scopes: trees of 1,000 types that are 99 % alike, imported and activated one by one.
//!
//! `cargo bench --bench scopes -- --scopes 10000` prints what an import and an activation cost, how long opening takes, how
//! much memory stays resident, how large the files are, and what a look-up costs where the plan is known and where it isn't.
//! 100 scopes where nothing is said.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints and looks at the clock, and one that fails has nothing to measure and stops"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use atlas::config::Declarations;
use atlas::{Atlas, EventType, TreeScope};
use tokio::runtime::Runtime;

const TYPES: usize = 1_000;
/// How many documents of a tree are its own.
const OWN: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let named = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].clone());
    let scopes: usize = named("--scopes").map_or(100, |text| text.parse().expect("--scopes is a number"));
    let types: Vec<EventType> = (0..TYPES).map(event_type).collect();
    let runtime = Runtime::new().expect("the runtime starts");
    if let Some(data) = named("--look") {
        return runtime.block_on(look(scopes, &types, Path::new(&data)));
    }
    let place = named("--dir").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::Builder::new().prefix("atlas-scopes").tempdir_in(place).expect("a folder is made");
    let (tree, data) = (folder.path().join("tree"), folder.path().join("data"));
    types.iter().enumerate().for_each(|(n, event_type)| write_document(&tree, event_type, &document(n, None)));
    runtime.block_on(fill(scopes, &types, &tree, &data));
    // In a process of its own, whose memory holds nothing of the filling.
    let (program, scopes) = (std::env::current_exe().expect("this program"), scopes.to_string());
    let mut looking = std::process::Command::new(program);
    let looked = looking.arg("--look").arg(&data).args(["--scopes", &scopes]).status().expect("it is started again");
    assert!(looked.success(), "it ends well");
}

fn event_type(n: usize) -> EventType {
    format!("SHOP_FLOW{}_STEP{}_COMPLETE_1", n / 40, n % 40).parse().expect("the type is well formed")
}

fn scope(n: usize) -> String {
    format!("tenant-{n}/shop")
}

fn document(n: usize, of: Option<usize>) -> String {
    let whose = of.map_or(String::new(), |of| format!("\"description\": \"of tenant {of}\", "));
    format!(
        "{{{whose}\"handlers\": [{{\"name\": \"h{}\", \"when\": \".data.amount > {n}\", \
         \"data\": \"{{stream, amount: .data.amount}}\", \"target\": {{\"function\": \"shop.handle\"}}}}]}}",
        n % 7
    )
}

fn write_document(tree: &Path, event_type: &EventType, text: &str) {
    let [kind, flow, operation, result, version] = event_type.parts().map(str::to_ascii_lowercase);
    let folder = tree.join(version).join(kind).join(flow).join(operation);
    fs::create_dir_all(&folder).expect("folders are made");
    fs::write(folder.join(result + ".json"), text).expect("documents are written");
}

/// Imports and activates each scope's tree, which has some documents of its own.
async fn fill(scopes: usize, types: &[EventType], tree: &Path, data: &Path) {
    let atlas = Atlas::builder().dispatch(false).open(data).await.expect("the store opens");
    let catalog = atlas.catalog().clone();
    let application = "t/shop".parse::<atlas::Scope>().expect("a scope").application().clone();
    catalog.types_declare(&application, &Declarations::of(types.to_vec())).expect("types are declared");
    let (mut imports, mut activations) = (Vec::new(), Vec::new());
    for n in 0..scopes {
        let own = (0..OWN).map(|k| (n * 31 + k * 97) % TYPES);
        own.clone().for_each(|t| write_document(tree, &types[t], &document(t, Some(n))));
        let name: TreeScope = scope(n).parse().expect("a scope");
        let begun = Instant::now();
        let imported = catalog.import(tree, &name).expect("the tree is imported");
        imports.push(begun.elapsed());
        let begun = Instant::now();
        catalog.activate(&[(name, imported.revision)]).expect("the tree is complete");
        activations.push(begun.elapsed());
        own.for_each(|t| write_document(tree, &types[t], &document(t, None)));
    }
    let last = scopes.min(100);
    println!("{scopes} scopes of {TYPES} types, {OWN} of each its own");
    println!("import of a scope, of the last {last}: {:?}", median(&mut imports[scopes - last..]));
    println!("activation of a scope, of the last {last}: {:?}", median(&mut activations[scopes - last..]));
    atlas.close().await.expect("the store closes");
    let size = |file: &str| fs::metadata(data.join(file)).map_or(0, |file| file.len());
    println!("catalog.redb: {} KiB", size("catalog.redb") >> 10);
}

async fn look(scopes: usize, types: &[EventType], data: &Path) {
    let begun = Instant::now();
    let atlas = Atlas::builder().dispatch(false).open(data).await.expect("the store opens");
    println!("open: {:?}, resident after it: {} KiB", begun.elapsed(), resident());
    let names: Vec<atlas::Scope> = (0..scopes).map(|n| scope(n).parse().expect("a scope")).collect();
    let mut first = Vec::new();
    let mut random = 1_u64;
    for _ in 0..50_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (scope, event_type) = (&names[(random >> 40) as usize % scopes], &types[(random >> 20) as usize % TYPES]);
        let begun = Instant::now();
        atlas.router().route(scope, None, event_type.as_str()).expect("the type is configured");
        first.push(begun.elapsed());
    }
    println!("look-up, plan not known: {:?}", median(&mut first));
    println!("resident after 50,000 of them: {} KiB", resident());
    let hot: Vec<(&atlas::Scope, &str)> =
        (0..1_000).map(|k| (&names[k * 31 % scopes], types[k * 17 % TYPES].as_str())).collect();
    let mut rounds: Vec<Duration> = (0..100)
        .map(|_| {
            let begun = Instant::now();
            for (scope, event_type) in &hot {
                std::hint::black_box(atlas.router().route(scope, None, event_type).expect("it is configured"));
            }
            begun.elapsed() / hot.len() as u32
        })
        .collect();
    println!("look-up, plan known, of 1,000: {:?}", median(&mut rounds));
    atlas.close().await.expect("the store closes");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or_default()
}
