//! What the tests of the whole share: real processes, the mutation driver, the simulator.

pub mod fuzz;
pub mod harness;
pub mod sim;
