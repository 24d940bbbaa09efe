//! The router: the plan of an event by its scope and type, in the example's tree.

use std::cell::LazyCell;

use atlas::{Atlas, Scope};
use criterion::Criterion;
use tokio::runtime::Runtime;

use crate::world;

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/loans/config");
const TYPE: &str = "LOAN_RISK_SCORED_COMPLETE_1";

fn open(runtime: &Runtime) -> Atlas {
    runtime.block_on(async {
        let atlas = Atlas::builder().dispatch(false).open_with(world::in_memory()).await.expect("the store opens");
        let staged = atlas.scope("dutch-bank", "loans").config().import(TREE).await.expect("the tree imports");
        staged.activate().await.expect("the tree is complete");
        atlas
    })
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    let place = LazyCell::new(|| {
        let runtime = Runtime::new().expect("the runtime starts");
        let atlas = open(&runtime);
        (atlas, runtime)
    });
    let scope = Scope::new("dutch-bank", "loans").expect("both are names");
    group.bench_function("look up", |bencher| {
        let (atlas, _runtime) = &*place;
        bencher.iter(|| {
            let plan = atlas.router().route(&scope, None, TYPE).expect("the type is configured");
            assert!(!plan.handlers.is_empty());
        });
    });
    group.finish();
}
