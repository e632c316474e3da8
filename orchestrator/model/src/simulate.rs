//! Runs that are only played: a dag, what each task is to come to, and a clock that jumps from event to event. What follows is decided
//! by the same [`crate::decide`], [`crate::ending`] and templates as in a real run, so that a dag can be tested without a platform.
//!
//! `case` is what a test says, `play` the clock, `attempt` what becomes of a try, `facts` what its templates see, `story` what happened,
//! `judge` compares that with what was expected.
//!
//! Not here: reading test files (`spec`); pools, queues and nodes, which a played run has enough of; what the kinds do.

mod attempt;
mod case;
mod facts;
mod judge;
mod play;
mod story;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_random;
#[cfg(test)]
mod tests_retries;

pub use case::{Case, Expect, ExpectTask, Finish, Place, Script, Selector};
pub use judge::{Miss, judge};
pub use play::simulate;
pub use story::{Event, Seen, Story, span};
