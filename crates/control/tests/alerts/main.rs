//! Alerts through their public face: rules in both databases, and what a node's figures make of them.

#[path = "../history/node.rs"]
mod node;
mod notices;
mod rules;
#[path = "../support/mod.rs"]
mod support;
