//! Tests of the table by itself.

#![allow(clippy::cast_possible_truncation, reason = "the numbers are small")]

#[cfg(not(feature = "shuttle"))]
mod model;
#[cfg(feature = "shuttle")]
mod schedules;
#[cfg(not(feature = "shuttle"))]
mod stress;
mod support;
#[cfg(not(feature = "shuttle"))]
mod unit;
