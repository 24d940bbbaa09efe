//! What the targets that damage stores share: stores, damages, and reads held against what had been written.

pub mod damage;
pub mod reads;
pub mod stores;
