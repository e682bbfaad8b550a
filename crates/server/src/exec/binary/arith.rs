//! increment, decrement, and their quiet forms.

use larder_proto::Direction;
use larder_proto::server::binary::{Command, Status, exptime};
use larder_store::{Arithmetic, Computed, HashedKey, StoreError};

use crate::counters::Count;
use crate::cx::Cx;
use crate::exec::shown;

/// What a request says of the computation.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    pub(super) direction: Direction,
    pub(super) delta: u64,
    /// What to create, with which exptime, if there is no item.
    pub(super) initial: Option<(u64, u32)>,
}

/// Computes; without an item stores the initial number as it is, if there is one.
pub(super) fn arith(
    command: &Command<'_>,
    sum: Sum,
    key: HashedKey<'_>,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) {
    let down = sum.direction == Direction::Decr;
    let (hit, miss) = if down {
        (Count::DecrHits, Count::DecrMisses)
    } else {
        (Count::IncrHits, Count::IncrMisses)
    };
    let arithmetic = Arithmetic {
        down,
        cas: (command.cas != 0).then_some(command.cas),
        initial: sum.initial.map(|(number, raw)| (number, cx.ttl(exptime(raw)))),
        tell_cas: !command.quiet,
        ..Arithmetic::up(sum.delta)
    };
    let status = match cx.compute(key, &arithmetic) {
        Ok(Computed::Value { number, cas, created, .. }) => {
            // What begins is neither, as in memcached.
            cx.count(hit, u64::from(!created));
            if !command.quiet {
                command.head.number(out, number, shown(cas, cx));
            }
            return;
        }
        Ok(Computed::NotFound) => {
            cx.count(miss, 1);
            Status::NotFound
        }
        Ok(Computed::NotANumber) => Status::NonNumeric,
        Ok(Computed::Exists) => Status::Exists,
        Err(StoreError::TooLarge { .. }) => Status::TooLarge,
        Err(_) => Status::OutOfMemory,
    };
    command.head.refuse(out, status);
}
