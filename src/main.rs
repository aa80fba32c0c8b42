//! The `equinix-wif` binary.

fn main() {}
