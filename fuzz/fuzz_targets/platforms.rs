//! Any bytes as what a platform gives a job: the answer of an endpoint, a variable, a file, the output of a helper program. They are
//! read or refused, and a refusal shows nothing that may be a token, and nothing that a log would obey.
#![no_main]

use equinix_wif::fuzzing::platform::readings::{self, Reading};
use equinix_wif::fuzzing::{Code, jwt};
use libfuzzer_sys::fuzz_target;

const MEDIA: [&str; 4] = ["application/json", "text/plain", "text/html", ""];

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let status = [200, 200, 200, 302, 400, 403, 404, 503][usize::from(choice % 8)];
    let media = MEDIA[usize::from(choice / 8 % 4)];
    for Reading { id, is_answer, outcome } in readings::all(status, media, bytes, choice >= 128) {
        match outcome {
            Ok(token) => {
                assert!(!is_answer || status == 200, "{id}: a refusal has a token");
                let _ = jwt::decode(token.reveal());
            }
            Err(error) => {
                let shown = format!("{} {:?}", error.message(), error.details());
                assert!(!shown.contains(char::is_control), "{id}: {shown:?}");
                // What a server says in a refusal is shown, and so is the name of a variable in the place of a value.
                if status != 200 || error.code() == Code::TokenEnvUnexpanded {
                    continue;
                }
                let text = String::from_utf8_lossy(bytes);
                let mut pieces =
                    text.split(|c: char| !c.is_ascii_graphic()).filter(|piece| piece.len() >= 24);
                assert!(!pieces.any(|piece| shown.contains(piece)), "{id}: the refusal shows what it got");
            }
        }
    }
});
