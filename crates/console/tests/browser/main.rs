//! The dashboard in headless Chromium, as a person uses it, before a node that says what it is told to.
//! The screenshots are kept in `screenshots` in the build directory.

#[path = "../common/mod.rs"]
mod common;
mod looks;
mod support;
mod use_it;
