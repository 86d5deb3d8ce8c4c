//! The one function of libm.so.6 that the program needs, so that no start loads that library.
//!
//! Owns the symbol `pow`; its only caller is the estimate of a progress bar. The surprise: nobody here calls it, the compiler does.
//! Each shared library costs a start 80 microseconds (docs/architecture.md).

/// As pow(3).
// SAFETY: the C library's own name, with its signature and its meaning; libc.so.6 has none.
#[unsafe(no_mangle)]
pub extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
