//! Loops with wider registers than the oldest processors have, where this one has them.

/// Does the work compiled for AVX2 if the processor has it, else as the target is compiled. Functions that it calls must
/// be `#[inline(always)]`, or they stay narrow. The numbers are the same either way: nothing is contracted or reordered.
#[inline]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        #[allow(unsafe_code)]
        return unsafe { avx2(work) };
    }
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}
