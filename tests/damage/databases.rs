//! Every page of the databases, damaged: what they say is right then, or the error names the file and what makes it anew.

use atlas::dispatch::DeliveryFilter;
use atlas::log::{KeyframePolicy, Options, Query};
use atlas::storage::{Environment, MemoryDisk};
use atlas::{Atlas, Error};
use serde_json::{Value, json};

use crate::harm::Harm;
use crate::world::{Sample, disk_of, loans, options};

pub(crate) const DATABASES: [&str; 2] = ["catalog.redb", "dispatch.redb"];
const PAGE: usize = 4096;

fn value(shown: &impl serde::Serialize) -> Value {
    serde_json::to_value(shown).unwrap()
}

/// All that the databases say: configuration and types, statuses, open deliveries, queues.
async fn told(atlas: &Atlas) -> Result<Value, Error> {
    let catalog = atlas.catalog();
    let mut trees = Vec::new();
    for tree in catalog.trees()? {
        let shown = catalog.show(&tree.tree, tree.latest)?;
        let documents: Result<Vec<_>, _> = shown.documents.values().map(|id| catalog.document_bytes(*id)).collect();
        let documents: Vec<_> = documents?.into_iter().map(|bytes| bytes.map(|bytes| bytes.to_vec())).collect();
        trees.push(json!([
            value(&tree),
            value(&catalog.history(&tree.tree)?),
            value(&shown),
            format!("{documents:?}")
        ]));
    }
    let types = value(&catalog.types_list(loans().application())?);
    let mut statuses = Vec::new();
    for event in atlas.store().read(Query::new())?.step_by(5) {
        let event = event?;
        statuses.push(value(&atlas.dispatcher().status(Some(event.scope()), event.id()).await?));
    }
    let open = value(&atlas.deliveries(DeliveryFilter::default()).await?);
    let mut queues = Vec::new();
    for info in atlas.queues().await? {
        let messages = value(&atlas.queue(&info.scope, info.name.as_str()).peek(1_000).await?);
        queues.push(json!([value(&info), messages]));
    }
    Ok(json!({ "trees": trees, "types": types, "statuses": statuses, "open": open, "queues": queues }))
}

/// Opens, looks and closes again.
pub(crate) async fn look(disk: &MemoryDisk) -> Result<Value, Error> {
    let options = Options { keyframes: KeyframePolicy::Never, create: false, ..options() };
    let atlas = Atlas::builder().log_options(options).dispatch(false).open_with(Environment::new(disk.clone())).await?;
    let told = told(&atlas).await;
    let closed = atlas.close().await;
    told.and_then(|told| closed.map(|()| told))
}

#[derive(Debug, Default)]
struct Figures {
    damages: usize,
    healed: usize,
    refused: usize,
}

async fn check(sample: &Sample, right: &Value, name: &str, damaged: Vec<u8>, about: &str, figures: &mut Figures) {
    if damaged == sample.files[name] {
        return;
    }
    figures.damages += 1;
    let disk = disk_of(&sample.with(name, damaged));
    match look(&disk).await {
        Ok(told) => {
            assert_eq!(told, *right, "{about}");
            figures.healed += 1;
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains(name) && said.contains("atlas rebuild"), "{about}: {said}");
            figures.refused += 1;
            atlas::rebuild_with(Environment::new(disk.clone()), |_, _| {}).unwrap();
        }
    }
    assert_eq!(look(&disk).await.unwrap(), *right, "{about}, afterwards");
}

#[test]
fn a_database_that_is_damaged_says_what_is_right_or_says_so() {
    let sample = Sample::small();
    crate::world::runtime().block_on(sweep(sample));
}

async fn sweep(sample: &Sample) {
    let right = look(&disk_of(&sample.files)).await.unwrap();
    assert!(right["queues"].as_array().is_some_and(|queues| !queues.is_empty()), "{right}");
    for name in DATABASES {
        let bytes = &sample.files[name];
        let used: Vec<usize> = (0..bytes.len())
            .step_by(PAGE)
            .filter(|at| bytes[*at..bytes.len().min(at + PAGE)].iter().any(|byte| *byte != 0))
            .collect();
        let mut figures = Figures::default();
        let step = if crate::all() { 1 } else { used.len().div_ceil(6) };
        for (turn, offset) in used.iter().step_by(step).enumerate() {
            let harms = [Harm::Flip, Harm::Zero, Harm::Truncate];
            for harm in harms.into_iter().filter(|harm| crate::all() || harms[turn % 3] == *harm) {
                let damaged = harm.done_to(bytes, *offset, PAGE.min(bytes.len() - offset));
                check(sample, &right, name, damaged, &format!("{name} at {offset}, {harm:?}"), &mut figures).await;
            }
        }
        // The header, place by place.
        for offset in (0..320).step_by(if crate::all() { 4 } else { 72 }) {
            let damaged = Harm::Flip.done_to(bytes, offset, 1);
            check(sample, &right, name, damaged, &format!("{name} at {offset}"), &mut figures).await;
        }
        println!("{name}, {} bytes, {} pages used: {figures:?}", bytes.len(), used.len());
        assert!(figures.damages > 5);
    }
}
