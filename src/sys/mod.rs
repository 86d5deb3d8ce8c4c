//! The only unsafe code: system calls that nix has not wrapped, each in a safe function.
