//! Asking the processor for a cache line before it is needed.

/// Has the line of `at` fetched to the first-level cache, if the processor can be asked to. A hint.
#[inline]
#[allow(unsafe_code, reason = "the intrinsic is an unsafe function")]
pub fn prefetch<T>(at: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and faults on no address; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
