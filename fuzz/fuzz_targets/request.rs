//! Any bytes as a request to the listener on loopback: what is understood has a path and keeps to the limits, and what is
//! refused has a status of its own.
#![no_main]

use equinix_wif::fuzzing::listener::{Form, Limits, receive_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { head: 1024, headers: 8, body: 256, ..Limits::STANDARD };
    match receive_bytes(bytes, &limits) {
        Ok(request) => {
            assert!(request.path.starts_with('/') || request.path == "*", "{}", request.path);
            assert!(
                request.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?'),
                "{}",
                request.path
            );
            assert!(request.query.bytes().all(|byte| byte.is_ascii_graphic()), "{}", request.query);
            assert!(!request.method.is_empty() && request.method.is_ascii());
            assert!(request.headers("host").count() <= 1);
            if let Some(body) = &request.body {
                assert!(body.len() <= limits.body);
                let form = Form::parse(body).unwrap_or_default();
                assert_eq!(
                    form.required("scope").is_ok(),
                    form.get("scope").is_ok_and(|scope| scope.is_some())
                );
            }
        }
        Err(Some(status)) => assert!([400, 417, 431, 501, 505].contains(&status), "{status}"),
        Err(None) => assert!(bytes.is_empty()),
    }
});
