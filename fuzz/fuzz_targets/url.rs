//! Any text as a URL that secrets may be sent to: never plain http off this machine, never a user name, and a query pair is
//! what was put in.
#![no_main]

use equinix_wif::fuzzing::Url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (text, value) = texts;
    let Ok(url) = Url::parse(text) else { return };
    assert!(url.is_https() || url.is_loopback(), "{text}");
    assert!(!url.origin().contains(['@', ' ', '\n']), "{text}");
    assert_eq!(Url::parse(&url.origin()).map(|url| url.origin()), Ok(url.origin()), "{text}");
    if let Ok(with) = url.with_query_pair("audience", value) {
        assert!(with.has_query_pair("audience"), "{text} {value}");
        assert_eq!(with.origin(), url.origin(), "{text} {value}");
    }
});
