//! Any text as an ID token: it is read or refused, and a refusal never shows it.
#![no_main]

use equinix_wif::fuzzing::jwt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match jwt::decode(text) {
        Ok(claims) => {
            // What was read can be told of.
            let _ = (claims.issuer().len(), claims.subject().len(), claims.audience());
        }
        Err(error) => {
            let shown = format!("{} {:?}", error.message(), error.details());
            // The words of the message itself are shorter, whatever the fuzzer learns of them.
            let mut pieces = text.split(|c: char| !c.is_ascii_graphic()).filter(|piece| piece.len() >= 24);
            assert!(!pieces.any(|piece| shown.contains(piece)), "the refusal shows the token");
        }
    }
    let _ = jwt::is_harmless(text);
});
