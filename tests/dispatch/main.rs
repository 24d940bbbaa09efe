//! Promise 10 and section 7 of the design, through the public API on a disk in memory or a real one: order, retries,
//! parking, emitted events, queues, restarts. No test waits for a time to pass but for events.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod abandoned;
mod activation;
mod attempts;
mod cascades;
mod fairness;
mod history;
mod hosts;
#[cfg(feature = "http-client")]
mod http;
mod inputs;
mod kills;
mod operators;
mod order;
mod order_and_parking;
mod puts;
mod queue_groups;
mod queue_leases;
mod queue_model;
mod queue_order;
mod queues;
#[cfg(feature = "http-client")]
mod real_log;
mod restarts;
mod schedules;
mod stateful;
mod timers;
mod trail;
mod waiting;
mod world;
