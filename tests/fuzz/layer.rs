//! Layers and root file systems, really unpacked.

#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::layer(bytes));
