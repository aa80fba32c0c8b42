//! Any texts as the variables that the program reads: settings are understood or refused, and a refusal never shows the
//! proxy's password.
#![no_main]

use equinix_wif::fuzzing::{Env, Kind, Resolver, Typed, names, platform};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|values: Vec<(u8, String)>| {
    // What names a file is left alone: the targets read none.
    let files = [names::CA_FILE, names::SSL_CERT_FILE, platform::github::names::GITHUB_EVENT_PATH];
    let known: Vec<&str> = platform::variables().map(|(name, _)| *name).filter(|name| !files.contains(name)).collect();
    let pairs = values.iter().map(|(index, value)| (known[usize::from(*index) % known.len()], value.as_str()));
    let env = Env::fixed(pairs.filter(|(_, value)| !value.contains('\0')));
    let typed = Typed::default();
    let mut resolver = Resolver::new(&typed, &env);
    let identity = resolver.identity();
    let _ = resolver.grant();
    let _ = resolver.output(Kind::AccessToken);
    if let Err(error) = resolver.network() {
        let shown = format!("{} {:?}", error.message(), error.details());
        assert!(!shown.contains("the-password-of-the-proxy"), "{shown}");
    }
    if let Ok(identity) = identity {
        if let Ok(platform) = platform::select(identity.provider.as_deref(), &identity.source, &env) {
            let _ = platform.ready(&env, &platform::Wanted { audience: identity.audience, location: identity.source, ..platform::Wanted::default() });
            let _ = (platform.endpoint(&env), platform.expected_issuer(&env), platform.run_bindings(&env));
            let _ = platform.time_left(&env, 0);
        }
    }
});
