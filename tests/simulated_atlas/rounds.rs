//! Many lives of hosts on one disk after the other.

use std::hash::{BuildHasher, RandomState};

use atlas::storage::simulated::{Rng, SimulatedDisk};

use crate::end::verifies;
use crate::lives::{Figures, Host, process};
use crate::model::{Calls, Model};
use crate::tree::{builder, seeded};

/// Lives on one disk.
const LIVES: u64 = 4;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

/// Says which seed it was if a round fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("ATLAS_SIMULATED_SEED={}", self.0);
        }
    }
}

fn round(seed: u64) -> Figures {
    let _says = Seed(seed);
    let tree = tempfile::tempdir().unwrap();
    let mut host = Host {
        disk: SimulatedDisk::new(seed),
        rng: Rng::new(!seed),
        model: Model::default(),
        calls: Calls::default(),
        tree: tree.path(),
        figures: Figures::default(),
    };
    for _ in 0..LIVES {
        host.live();
        host.harm();
    }
    let Host { disk, mut model, calls, figures, .. } = host;
    process(async {
        let atlas = builder(&calls).open_with(seeded(&disk, seed)).await.unwrap();
        model.configuration(&atlas);
        model.events(&atlas);
        if model.active.is_some() {
            model.effects(&atlas, &calls).await;
        }
        atlas.close().await.unwrap();
    });
    verifies(&disk);
    assert_eq!(figures.acknowledged, model.acknowledged() as u64);
    figures
}

#[test]
fn no_fault_loses_or_doubles_anything() {
    let (rounds, first) = match number("ATLAS_SIMULATED_SEED") {
        Some(seed) => (1, seed),
        None => (number("ATLAS_SIMULATED_ROUNDS").unwrap_or(30), RandomState::new().hash_one("seed") >> 20),
    };
    let mut all = Figures::default();
    for seed in first..first + rounds {
        let figures = round(seed);
        all.power_cuts += figures.power_cuts;
        all.kills += figures.kills;
        all.closes += figures.closes;
        all.failed_opens += figures.failed_opens;
        all.failed_syncs += figures.failed_syncs;
        all.lost += figures.lost;
        all.damaged += figures.damaged;
        all.acknowledged += figures.acknowledged;
    }
    println!("{rounds} rounds from seed {first}: {all:?}");
    assert!(all.acknowledged >= rounds, "next to nothing was done: {all:?}");
}
