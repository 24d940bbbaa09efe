//! The log, simulated from a seed: many tasks append, read, subscribe, fold, seal and close on a disk that fails
//! ([`SimulatedDisk`](crate::storage::simulated::SimulatedDisk)), the power goes at any moment, and after each crash
//! what is found is held against a plain model. One thread steps everything, clock and randomness follow from the seed
//! too, so that a failing seed fails again in the same way.
//!
//! What is checked, in the words of the promises (`docs/reliability.md`):
//! acknowledged ⊆ recovered ⊆ attempted; all or nothing of each append; positions and versions without gaps and never
//! given twice; expected versions and ids as stated; whoever read or subscribed saw a prefix of one order, and nothing
//! that a crash took back; recovering twice is recovering once, also where the recovery crashes; after a failed sync
//! nothing is acknowledged; damage is found and never spreads; `verify` agrees.

mod attempts;
mod checks;
mod damage;
mod driver;
mod fold;
mod forks;
mod lives;
mod model;
mod openings;
mod readers;
mod world;

pub use driver::{Figures, Settings, Violation, run, run_choices};
