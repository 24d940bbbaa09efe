//! What Atlas could do in another way, each way beside the one it takes: commits, checksums, reads of a map.

mod checksum;
mod commit;
mod walk;

use std::path::Path;

use crate::peer::Result;
use crate::stats::{median, range};

const REPETITIONS: usize = 5;

/// One way of doing something: a name, and what does it once and says how long that took.
struct Way<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Result<f64> + 'a>,
}

impl<'a> Way<'a> {
    fn new(name: &'static str, run: impl FnMut() -> Result<f64> + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Runs all experiments and prints them as tables.
pub fn run(dir: &Path) -> Result<()> {
    commit::run(dir)?;
    checksum::run()?;
    walk::run(dir)
}

/// Runs the ways in turn and prints a table: the median, the range, and the median against that of the first way.
fn compare(title: &str, unit: &str, mut ways: Vec<Way<'_>>) -> Result<()> {
    let mut samples = vec![Vec::new(); ways.len()];
    for repetition in 0..REPETITIONS {
        for turn in 0..ways.len() {
            let at = (turn + repetition) % ways.len();
            samples[at].push((ways[at].run)()?);
        }
    }
    println!("\n| {title} | {unit} | min to max | to the first |\n|---|---|---|---|");
    let first = median(&samples[0]);
    for (way, samples) in ways.iter().zip(&samples) {
        let ((low, high), median) = (range(samples), median(samples));
        println!("| {} | {median:.1} | {low:.1} to {high:.1} | {:.2} |", way.name, median / first);
    }
    Ok(())
}
