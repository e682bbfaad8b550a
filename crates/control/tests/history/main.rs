//! The history of a node, through its public face: a node whose figures the test sets, and a clock that
//! the test moves.

mod clock;
mod disk;
mod node;
mod spans;
