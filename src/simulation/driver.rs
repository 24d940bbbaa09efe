//! The driver: life after life of a process, each with tasks, faults and an end, all chosen by the seed.

use std::sync::Arc;

use bytes::Bytes;

use super::attempts::Habits;
use super::checks::{answers, everything, unexpected, verifies};
use super::fold::ChainFold;
use super::forks;
use super::lives::{self, Life, Purpose};
use super::model::{Check, Model, ensure};
use super::openings;
use super::readers::is_explained;
use super::world::SetClock;
use crate::log::{Append, AppendError, At, Durability, OpenError, ReadError};
use crate::storage::Lane;
use crate::storage::simulated::{Fault, Faults, Rng, SimulatedDisk};

/// How much is simulated from one seed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Lives of the process.
    pub lives: u64,
    /// Most steps of a life.
    pub steps: u64,
    /// Whether the steps are told in a [`Violation`].
    pub trace: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lives: 6, steps: 120, trace: false }
    }
}

/// What happened in a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Power cuts, on the disk or a copy of it, each followed by a recovery.
    pub power_cuts: u64,
    /// Those of them that came in the middle of a recovery.
    pub cut_recoveries: u64,
    /// Ends of the process without a power cut.
    pub kills: u64,
    /// Clean closes.
    pub closes: u64,
    /// Appends that were tried.
    pub appends: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Files damaged at rest.
    pub damages: u64,
    /// Events found after crashes and held against the model.
    pub events: u64,
}

impl Figures {
    /// Adds those of another simulation.
    pub fn add(&mut self, other: &Self) {
        self.power_cuts += other.power_cuts;
        self.cut_recoveries += other.cut_recoveries;
        self.kills += other.kills;
        self.closes += other.closes;
        self.appends += other.appends;
        self.failed_syncs += other.failed_syncs;
        self.damages += other.damages;
        self.events += other.events;
    }
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    /// The steps so far, where they were asked for.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.trace.iter().try_for_each(|step| writeln!(f, "  {step}"))?;
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// Simulates what follows from `seed`.
///
/// # Errors
/// The first [`Violation`] that is found.
pub fn run(seed: u64, settings: &Settings) -> Result<Figures, Violation> {
    simulate(seed, Rng::new(seed), settings)
}

/// Simulates what `choices` say: a seed in the first byte, then choice by choice, and once they are used up what follows
/// from the seed. For fuzzing: whoever changes a byte changes one choice.
///
/// # Errors
/// The [`Violation`] that is found.
pub fn run_choices(choices: &[u8], settings: &Settings) -> Result<Figures, Violation> {
    let (seed, choices) = choices.split_first().map_or((0, choices), |(seed, rest)| (u64::from(*seed), rest));
    simulate(seed, Rng::with_choices(Bytes::copy_from_slice(choices), seed), settings)
}

fn simulate(seed: u64, mut rng: Rng, settings: &Settings) -> Result<Figures, Violation> {
    let violation = |what, trace| Violation { seed, what, trace };
    let model = Model::new().map_err(|what| violation(what, Vec::new()))?;
    let mut simulation = Simulation {
        habits: Habits::new(&mut rng),
        disk: SimulatedDisk::new(rng.any()),
        clock: Arc::default(),
        figures: Figures::default(),
        trace: settings.trace.then(Vec::new),
        model,
        rng,
    };
    let result = simulation.lives(settings);
    let Simulation { figures, trace, .. } = simulation;
    result.map(|()| figures).map_err(|what| violation(what, trace.unwrap_or_default()))
}

pub(super) struct Simulation {
    pub(super) rng: Rng,
    pub(super) model: Model,
    pub(super) habits: Habits,
    pub(super) disk: SimulatedDisk,
    pub(super) clock: Arc<SetClock>,
    pub(super) figures: Figures,
    trace: Option<Vec<String>>,
}

impl Simulation {
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    fn lives(&mut self, settings: &Settings) -> Check {
        for life in 0..settings.lives {
            self.note(|| format!("life {life}"));
            let mut life = self.begin()?;
            let steps = 1 + self.rng.below(settings.steps);
            for _ in 0..steps {
                self.clock.tick(&mut self.rng);
                self.step(&mut life)?;
                if self.disk.is_cut() {
                    break;
                }
            }
            self.end(life)?;
        }
        // Whatever the last end left, it can be opened, and read.
        let life = self.begin()?;
        life.end();
        Ok(())
    }

    /// Opens the store, as often as faults and power cuts need it, and reads all that is there.
    fn begin(&mut self) -> Check<Life> {
        for attempt in 0.. {
            let faults = match self.rng.below(6) {
                // A recovery whose sync fails, and is then begun again, is a trap of its own.
                0 | 1 if attempt < 8 => Faults { sync: 30_000, ..Faults::default() },
                2 if attempt < 8 => self.some_faults(),
                _ => Faults::default(),
            };
            self.disk.set_faults(faults);
            let cut = (attempt < 8 && self.rng.one_in(4)).then(|| 1 + self.rng.below(24));
            self.disk.cut_power_in(cut.unwrap_or(u64::MAX));
            self.note(|| format!("open with {faults:?}, power cut in {cut:?}"));
            let opened = lives::open(&self.disk, &self.clock, &mut self.rng);
            self.disk.set_faults(Faults::default());
            self.figures.failed_syncs += self.disk.take_failed_syncs().len() as u64;
            match opened {
                Ok((world, store)) => {
                    self.disk.cut_power_in(u64::MAX);
                    let found = everything(&store, &self.model)?;
                    self.note(|| format!("{} entries", found.len()));
                    self.figures.events += found.len() as u64;
                    self.model.adopt(&found)?;
                    if self.rng.one_in(3) {
                        answers(&store, &self.model, self.habits.streams, &mut self.rng)?;
                    }
                    if self.rng.one_in(6) {
                        let disk = self.disk.fork(self.rng.any());
                        verifies(Arc::new(disk), &mut self.rng)?;
                    }
                    return Ok(Life::new(world, store));
                }
                Err(error) => {
                    let by_fault = Fault::told_by(&error).is_some();
                    let explained = by_fault && matches!(error, OpenError::Read(ReadError::Io { .. }));
                    ensure(explained, || format!("the store can't be opened: {error}"))?;
                    if self.disk.is_cut() || self.rng.one_in(4) {
                        self.figures.power_cuts += 1;
                        self.figures.cut_recoveries += u64::from(self.disk.is_cut());
                        self.disk = self.disk.power_cut();
                    } else {
                        self.disk = self.disk.kill();
                    }
                }
            }
        }
        Err("the store can't be opened without faults".to_owned())
    }

    fn some_faults(&mut self) -> Faults {
        const OFTEN: u32 = 9_000;
        let mut faults = Faults::default();
        match self.rng.below(6) {
            0 => faults.read = OFTEN,
            1 => faults.write = 3 * OFTEN,
            2 | 3 => faults.sync = OFTEN,
            4 => faults.name = OFTEN,
            _ => faults.short = 4 * OFTEN,
        }
        faults
    }

    fn step(&mut self, life: &mut Life) -> Check {
        let step = self.rng.below(100);
        match step {
            0..24 => self.begin_append(life)?,
            24..45 => {
                let number = self.rng.below(life.tasks.len() as u64) as usize;
                life.poll(number, &mut self.model)?;
            }
            45 => openings::look_beside(self, life)?,
            46..70 => self.work(life, Lane::Commit)?,
            70..77 => self.work(life, Lane::Behind)?,
            77..81 => self.repeat(life)?,
            81..83 => self.wrong_ids(life)?,
            83..85 => life.begin_sync(),
            85..89 => life.readers.step(&life.store, &mut self.model, &mut self.rng)?,
            89..92 => self.fold(life)?,
            92..96 => forks::fork(self, life)?,
            96 => {
                let number = self.rng.below(life.tasks.len() as u64) as usize;
                if number < life.tasks.len() {
                    self.note(|| format!("drop task {number}"));
                    if let Purpose::Append(attempt) = life.tasks.swap_remove(number).purpose {
                        self.model.unknown.insert(attempt);
                    }
                }
            }
            97 | 98 => self.let_faults_loose(life),
            _ => self.append_blocking(life)?,
        }
        let failed = self.disk.take_failed_syncs();
        self.figures.failed_syncs += failed.len() as u64;
        life.failed_sync |= failed.iter().any(|name| name.ends_with(".seg"));
        life.readers.sightings(&mut self.model)
    }

    fn begin_append(&mut self, life: &mut Life) -> Check {
        if life.tasks.len() >= 12 {
            return Ok(());
        }
        let attempt = lives::fresh(&mut self.rng, &self.habits, &self.model);
        let (number, durability) = (self.model.attempts.len(), attempt.durability);
        self.note(|| {
            format!(
                "attempt {number}: {} events, {} records, {durability:?}, {:?}",
                attempt.events.len(),
                attempt.records.len(),
                attempt.expected
            )
        });
        self.model.attempts.push(attempt);
        self.figures.appends += 1;
        life.begin(&self.model, number, durability)?;
        if self.rng.one_in(2) {
            life.poll(life.tasks.len() - 1, &mut self.model)?;
        }
        Ok(())
    }

    /// Background work goes on, and at any of its changes of the disk the power might go.
    fn work(&mut self, life: &Life, lane: Lane) -> Check {
        if self.rng.one_in(4) {
            self.disk.fork_in(1 + self.rng.below(6));
        }
        let ran = life.world.scheduler.step(lane);
        self.note(|| format!("{lane:?}: {ran}"));
        let seed = self.rng.any();
        // Before anybody is told how it ended.
        match self.disk.take_fork(seed) {
            Some(fork) if !self.disk.is_cut() => forks::crash(self, &fork),
            _ => Ok(()),
        }
    }

    /// An attempt that is known to have been made is made again.
    fn repeat(&mut self, life: &mut Life) -> Check {
        let number = self.rng.below(self.model.attempts.len() as u64) as usize;
        let Some(attempt) = self.model.attempts.get(number) else { return Ok(()) };
        if attempt.is_repeatable() && life.tasks.len() < 12 {
            let durability = if self.rng.one_in(3) { Durability::Deferred } else { Durability::Sync };
            self.note(|| format!("attempt {number} again, {durability:?}"));
            // It may be there after all.
            self.model.refused.remove(&number);
            life.begin(&self.model, number, durability)?;
        }
        Ok(())
    }

    fn wrong_ids(&mut self, life: &mut Life) -> Check {
        let Some(placed) = self.model.order.get(&(1 + self.rng.below(self.model.durable))) else { return Ok(()) };
        let known = self.model.attempt(placed.attempt)?.clone();
        let fresh = lives::fresh(&mut self.rng, &self.habits, &self.model);
        let mixes = self.rng.one_in(2) && fresh.events.iter().any(|event| event.given);
        if known.is_repeatable() && life.tasks.len() < 12 {
            life.begin_wrong(&self.model, &known, &fresh, mixes)?;
        }
        Ok(())
    }

    /// A state, by keyframes of this fold, of others, and without any.
    fn fold(&mut self, life: &Life) -> Check {
        // A fold may leave a keyframe, and waits until it is committed.
        life.world.scheduler.drain(Lane::Commit);
        let scope = self.rng.below(2) as usize;
        let stream = format!("s-{}", self.rng.below(self.habits.streams));
        let fold = ChainFold(1 + self.rng.below(3));
        let known = self.model.version(scope, &stream);
        let at = if self.rng.one_in(2) { At::Now } else { At::Version(self.rng.below(known + 1)) };
        let use_keyframes = !self.rng.one_in(4);
        self.note(|| format!("fold {stream} at {at:?}"));
        match life.store.fold(self.model.scope(scope)?, &stream, &fold, at, use_keyframes) {
            Ok(state) => match self.model.chain(scope, &stream, state.version, fold) {
                Some(chain) => ensure(state.state == chain, || {
                    format!("the state of {stream} at {} is {state:?} instead of {chain:?}", state.version)
                }),
                // Somebody has appended and wasn't told yet.
                None => Ok(()),
            },
            Err(error) => ensure(is_explained(&error), || unexpected("a fold")(error)),
        }
    }

    fn let_faults_loose(&mut self, life: &mut Life) {
        match self.rng.below(6) {
            0 if life.is_cramped() => {
                self.note(|| "room again".to_owned());
                life.set_room(u64::MAX);
            }
            0 | 1 => {
                let most = self.rng.pick(&[100, 100_000]).copied().unwrap_or(0);
                let room = self.rng.below(most);
                self.note(|| format!("room for {room} bytes"));
                life.set_room(room);
            }
            2 => {
                let changes = 1 + self.rng.below(30);
                self.note(|| format!("power cut in {changes}"));
                self.disk.cut_power_in(changes);
            }
            _ => {
                let faults = self.some_faults();
                self.note(|| format!("{faults:?}"));
                self.disk.set_faults(faults);
            }
        }
    }

    /// A thread of its own would do this: a keyframe's commit is answered before the call returns.
    fn append_blocking(&mut self, life: &mut Life) -> Check {
        life.world.scheduler.drain(Lane::Commit);
        let mut attempt = lives::fresh(&mut self.rng, &self.habits, &self.model);
        attempt.expected.clear();
        let number = self.model.attempts.len();
        self.note(|| format!("attempt {number}, blocking"));
        let append: Append = attempt.append(self.model.scope(attempt.scope)?, attempt.durability);
        self.model.attempts.push(attempt);
        self.figures.appends += 1;
        match life.store.append(append) {
            Ok(receipt) => {
                ensure(!(life.failed_sync && receipt.durable), || {
                    format!("attempt {number} is acknowledged after a failed sync")
                })?;
                self.model.acknowledged(number, &receipt)
            }
            Err(error) => {
                let poisoned = matches!(error, AppendError::Poisoned { .. });
                let outcome = if poisoned { &mut self.model.unknown } else { &mut self.model.refused };
                outcome.insert(number);
                life.explains(&error, life.is_cramped())
                    .map_err(|what| format!("{what}: attempt {number} is answered {error}"))
            }
        }
    }

    fn end(&mut self, mut life: Life) -> Check {
        let way = self.rng.below(10);
        // Faults may strike at the end as well; what was let loose goes on.
        if !self.disk.is_cut() && way >= 7 {
            self.note(|| "close".to_owned());
            self.figures.closes += 1;
            life.close(&mut self.model)?;
            life.readers.sightings(&mut self.model)?;
        }
        let next = if self.disk.is_cut() || way < 5 {
            self.note(|| "power cut".to_owned());
            self.figures.power_cuts += 1;
            self.disk.power_cut()
        } else if way == 5 {
            // The last handle is dropped: what was queued is still committed.
            self.note(|| "drop".to_owned());
            life.readers.end();
            let Life { tasks, store, .. } = life;
            drop(tasks);
            drop(store);
            self.disk = self.disk.kill();
            self.disk.set_room(u64::MAX);
            return Ok(());
        } else {
            self.note(|| "kill".to_owned());
            self.figures.kills += 1;
            self.disk.kill()
        };
        life.end();
        self.disk = next;
        self.disk.set_room(u64::MAX);
        self.figures.failed_syncs += self.disk.take_failed_syncs().len() as u64;
        Ok(())
    }
}
