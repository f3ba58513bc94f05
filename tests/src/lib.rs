//! What the tests of the whole share: real processes, the mutation driver, the simulator, rollouts.

pub mod fuzz;
pub mod harness;
pub mod host_day;
pub mod rollback;
pub mod rollouts;
pub mod sim;
