//! The guard: what is watched of announced rollouts, and what follows (`collector/ROLLOUTS.md`).

pub mod record;
