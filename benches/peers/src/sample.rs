//! Samples: subjects take turns within a repetition; other processes are watched, and a sample that they disturbed is
//! taken again.

use std::fs;
use std::time::Instant;

use crate::peer::Result;
use crate::progress::Progress;
use crate::table::{is_atlas, is_limit};

/// The share of all processors' time that other processes may take during a sample.
const QUIET: f64 = 0.04;
/// Ticks of the system's accounting in a second, as the kernel states them to programs.
const TICKS: f64 = 100.0;

/// One of those that are measured in a row.
pub struct Subject<'a> {
    pub name: String,
    /// Takes a sample: a value for each line of the row. `None`: can't.
    pub take: Box<dyn FnMut() -> Result<Option<Vec<f64>>> + 'a>,
}

impl<'a> Subject<'a> {
    pub fn new(name: impl Into<String>, take: impl FnMut() -> Result<Option<Vec<f64>>> + 'a) -> Self {
        Self { name: name.into(), take: Box::new(take) }
    }
}

/// What was measured of a subject.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub name: String,
    /// A value for each line of the row, for each repetition.
    pub taken: Vec<Vec<f64>>,
    /// Samples that were taken again because they were disturbed.
    pub repeated: usize,
    /// Samples that stayed disturbed.
    pub noisy: usize,
    /// Why a peer could not go on.
    pub failed: Option<String>,
}

impl Samples {
    /// The values of one line.
    pub fn line(&self, number: usize) -> Vec<f64> {
        self.taken.iter().filter_map(|values| values.get(number).copied()).collect()
    }
}

/// How samples are taken.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub repetitions: usize,
    /// How often a disturbed sample is taken again, at most.
    pub tries: usize,
}

/// Takes samples of all subjects, one of each within a repetition, each time beginning with another one.
pub fn interleave(plan: Plan, row: &str, subjects: &mut [Subject<'_>], progress: &Progress) -> Result<Vec<Samples>> {
    let named = |subject: &Subject<'_>| Samples { name: subject.name.clone(), ..Samples::default() };
    let mut all: Vec<Samples> = subjects.iter().map(named).collect();
    let count = subjects.len();
    let mut unable = vec![false; count];
    for repetition in 0..plan.repetitions {
        for turn in 0..count {
            let at = (turn + repetition) % count;
            if unable[at] {
                continue;
            }
            progress.say(format!("{row} {}/{} {}", repetition + 1, plan.repetitions, subjects[at].name));
            match watched(plan.tries, &mut all[at], || (subjects[at].take)()) {
                Ok(Some(values)) => all[at].taken.push(values),
                Ok(None) => unable[at] = true,
                // A peer that fails has no figure; that Atlas or the limit fails ends the run.
                Err(error) if !is_atlas(&subjects[at].name) && !is_limit(&subjects[at].name) => {
                    unable[at] = true;
                    all[at].taken.clear();
                    all[at].failed = Some(error.to_string());
                }
                Err(error) => return Err(format!("{row}, {}: {error}", subjects[at].name).into()),
            }
        }
    }
    all.retain(|samples| !samples.taken.is_empty() || samples.failed.is_some());
    Ok(all)
}

/// The least disturbed of a few samples; the first quiet one ends it.
fn watched(
    tries: usize,
    samples: &mut Samples,
    mut take: impl FnMut() -> Result<Option<Vec<f64>>>,
) -> Result<Option<Vec<f64>>> {
    let mut best: Option<(f64, Vec<f64>)> = None;
    for attempt in 0..=tries {
        let watch = Watch::start();
        let Some(values) = take()? else { return Ok(None) };
        let others = watch.others();
        if best.as_ref().is_none_or(|(least, _)| others < *least) {
            best = Some((others, values));
        }
        if others <= QUIET {
            break;
        }
        if attempt < tries {
            samples.repeated += 1;
        } else {
            samples.noisy += 1;
        }
    }
    Ok(best.map(|(_, values)| values))
}

/// Watches what others do to the processors.
struct Watch {
    start: Instant,
    busy: f64,
    own: f64,
}

impl Watch {
    fn start() -> Self {
        Self { busy: busy_seconds(), own: own_seconds(), start: Instant::now() }
    }

    /// The share of all processors' time that others took since. The accounting is in ticks of 10 ms: two of them, on
    /// each processor, say nothing.
    fn others(&self) -> f64 {
        let elapsed = self.start.elapsed().as_secs_f64();
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let others = (busy_seconds() - self.busy) - (own_seconds() - self.own);
        ((others - 2.0 * cores / TICKS) / (elapsed * cores)).max(0.0)
    }
}

/// Seconds that the processors were busy with programs or were taken by other machines; interrupts are not counted, as
/// they are mostly ours.
fn busy_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.lines().next().unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    [0, 1, 2, 7].iter().filter_map(|at| fields.get(*at)).sum::<f64>() / TICKS
}

/// Seconds of this process, its children that ended, and the kernel's own threads, which write what we give them.
fn own_seconds() -> f64 {
    let mut seconds = 0.0;
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        let parent = field(1) as u32;
        // utime, stime; of this process also those of children waited for
        if id == own {
            seconds += (field(11) + field(12) + field(13) + field(14)) / TICKS;
        } else if parent == 2 || parent == own {
            seconds += (field(11) + field(12)) / TICKS;
        }
    }
    seconds
}
