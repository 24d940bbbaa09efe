//! The end of a round: the disk, copied to a real folder, is verified to the last byte.

use std::path::Path;

use atlas::log::{Depth, Folds};
use atlas::storage::Disk;
use atlas::storage::simulated::SimulatedDisk;

fn copy(disk: &SimulatedDisk, folder: &str, to: &Path) {
    std::fs::create_dir_all(to.join(folder)).unwrap();
    for name in disk.list(folder).unwrap() {
        let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        std::fs::write(to.join(&name), bytes(disk, &name)).unwrap();
    }
}

pub(crate) fn bytes(disk: &SimulatedDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn verifies(disk: &SimulatedDisk) {
    let dir = tempfile::tempdir().unwrap();
    copy(disk, "", dir.path());
    copy(disk, "log", dir.path());
    let report = atlas::verify(dir.path(), &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
    assert!(report.ok, "{report:?}");
}
