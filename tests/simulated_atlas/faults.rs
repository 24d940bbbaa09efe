//! Faults that dispatch meets while it runs.

use atlas::dispatch::{Delivery, DispatchError, Emit, HandlerError};
use atlas::log::{AppendError, Options};
use atlas::storage::simulated::{Faults, SimulatedDisk};
use atlas::{Atlas, Error, Event};

use crate::lives::process;
use crate::model::{Calls, Model, event};
use crate::tree::{SCORED, builder, environment, loans, write_tree};

/// More than a new segment is filled with ahead of the writer.
const BEYOND_THE_FILLED: usize = 600 << 10;

#[test]
fn who_waits_for_dispatch_is_told_when_space_cannot_be_filled_for_another_reason_than_a_full_disk() {
    let (disk, tree, calls) = (SimulatedDisk::new(1), tempfile::tempdir().unwrap(), Calls::default());
    write_tree(tree.path(), 1);
    let mut model = Model::default();
    let of = disk.clone();
    process(async {
        let atlas = Atlas::builder().log_options(Options::default()).function("score", move |_: Delivery| {
            of.set_faults(Faults { write: 1 << 16, ..Faults::default() });
            let data = "x".repeat(BEYOND_THE_FILLED);
            let scored =
                move |key: u8| Event::new(SCORED, "scores").json(format!("{{\"key\":{key},\"x\":\"{data}\"}}"));
            async move { Ok::<_, HandlerError>(Emit::none().event(scored(1)).event(scored(2))) }
        });
        let atlas = atlas.open_with(environment(&disk)).await.unwrap();
        loans(&atlas).config().import(tree.path()).await.unwrap().activate().await.unwrap();
        loans(&atlas).ingest(event(0)).await.unwrap();
        let told = atlas.settled().await.unwrap_err();
        assert!(matches!(told, Error::Dispatch(DispatchError::Append(AppendError::NoSpace { .. }))), "{told}");
        disk.set_faults(Faults::default());
        assert!(atlas.close().await.is_err());
    });
    (model.attempted, model.active, model.marks) = (1, Some(1), 1);
    model.acknowledge([0]);
    process(async {
        let atlas = builder(&calls).open_with(environment(&disk)).await.unwrap();
        model.effects(&atlas, &calls).await;
        atlas.close().await.unwrap();
    });
}
