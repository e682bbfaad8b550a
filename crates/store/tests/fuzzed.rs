//! What the fuzz target does with its bytes, with random ones: see `fuzz/src/interpret.rs`.

#[path = "../fuzz/src/interpret.rs"]
mod interpret;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_to_a_store_what_they_do_to_a_map(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        interpret::run(&bytes);
    }
}
