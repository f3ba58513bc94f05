//! A service of two versions behind nginx, watched, judged and switched by real processes.

mod backend;
mod load;
mod scene;

pub use backend::Backend;
pub use load::Load;
pub use scene::{Scene, Times};
