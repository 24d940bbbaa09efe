//! What the run was made on: processor, kernel, file system, how long a sync takes; and the versions of the peers.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::peer::{Kind, Result};
use crate::stats::quantile;

const LOCK: &str = include_str!("../Cargo.lock");

#[derive(Clone, Debug)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub file_system: String,
    /// Microseconds of a 4 KiB write into zero-filled space and its fdatasync: median, 1 % and 99 %.
    pub sync_us: [f64; 3],
    pub load: String,
}

impl Machine {
    pub fn of(dir: &Path) -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            cpu: cpu.unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory >> 20,
            kernel: kernel.trim().to_owned(),
            file_system: file_system(dir),
            sync_us: sync_times(dir)?,
            load: load(),
        })
    }

    pub fn lines(&self) -> String {
        let [median, low, high] = self.sync_us;
        format!(
            "{}, {} cores, {} GiB, Linux {}, {}, write and fdatasync {median:.0} us (1 % {low:.0}, 99 % {high:.0}), load {}",
            self.cpu, self.cores, self.memory_gib, self.kernel, self.file_system, self.load
        )
    }

    pub fn json(&self) -> Value {
        json!({"cpu": self.cpu, "cores": self.cores, "memory_gib": self.memory_gib, "kernel": self.kernel,
            "file_system": self.file_system, "sync_us": self.sync_us, "load": self.load})
    }
}

/// The system's load now.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Type and device of the mount that holds a directory.
fn file_system(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = |line: &str| {
        let mut fields = line.split(' ');
        Some((fields.next()?.to_owned(), fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    let holding = mounts.lines().filter_map(fields).filter(|(_, at, _)| dir.starts_with(at));
    let longest = holding.max_by_key(|(_, at, _)| at.len());
    longest.map_or_else(|| "unknown file system".to_owned(), |(device, _, kind)| format!("{kind} on {device}"))
}

/// Whether a directory is in memory, where a sync costs nothing and a figure says nothing.
pub fn is_in_memory(dir: &Path) -> bool {
    let name = file_system(dir);
    name.starts_with("tmpfs") || name.starts_with("ramfs")
}

fn sync_times(dir: &Path) -> Result<[f64; 3]> {
    let path = dir.join("sync-probe");
    let file = fs::File::create(&path)?;
    file.write_all_at(&vec![0; 4096 * 300], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for at in 0..300 {
        let start = Instant::now();
        file.write_all_at(&[1; 4096], at * 4096)?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(path)?;
    times.sort_by(f64::total_cmp);
    Ok([quantile(&times, 0.5), quantile(&times, 0.01), quantile(&times, 0.99)])
}

/// The version of a package that this was built with.
pub fn version(package: &str) -> &'static str {
    let mut lines = LOCK.lines();
    let name = format!("name = \"{package}\"");
    lines.find(|line| *line == name);
    lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap_or("?")
}

/// Name and version of each peer.
pub fn versions(kinds: &[Kind]) -> Vec<(String, String)> {
    let text = |kind: &Kind| {
        let mut text = format!("{} {}", kind.package, version(kind.package));
        match kind.package {
            "rusqlite" => text = format!("SQLite {} ({text})", rusqlite::version()),
            "rocksdb" => text = format!("librocksdb-sys {} ({text})", version("librocksdb-sys")),
            "heed" => text = format!("lmdb-master-sys {} ({text})", version("lmdb-master-sys")),
            _ => {}
        }
        if !kind.note.is_empty() {
            text = format!("{text}, {}", kind.note);
        }
        (kind.name.to_owned(), text)
    };
    kinds.iter().map(text).collect()
}
