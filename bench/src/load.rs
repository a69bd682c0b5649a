//! The loads: cheap, encoded before the clock runs, and every answer checked. One file a kind of load; none knows which broker it meets.

pub mod counts;
pub mod drain;
pub mod end_to_end;
pub mod members;
pub mod produce;
pub mod rdkafka;
pub mod storm;
