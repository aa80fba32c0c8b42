//! Any bytes as JSON: what is accepted, serde_json reads to the same value; what a caller may ask for is read from it.
#![no_main]

use equinix_wif::fuzzing::{Expose, json, members, request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = json::parse(bytes) {
        let other: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
        assert_eq!(other.ok(), Some(value));
    }
    let _ = request::terraform_query(bytes, &members(Expose::Query));
    let _ = request::kubernetes_exec_info(std::str::from_utf8(bytes).ok(), &members(Expose::Cluster));
});
