//! Codes of the stage `claims`: reading and checking the ID token.

/// Passes its rows, behind those of the stages before, on to the next table.
macro_rules! claims {
    ($next:ident $(, $rest:ident)*; $($before:tt)*) => {
        $next! { $($rest),*; $($before)* Claims {
    IdTokenMalformed = "id-token-malformed", IdToken,
        "What was found is not a signed JSON Web Token of the form header.payload.signature.",
        "Check that the variable or file holds the ID token itself, and not a name, a path, an access token or an encrypted token.",
        "the ID token has the wrong number of dot-separated parts: 2 instead of 3";
    IdTokenAlg = "id-token-alg", IdToken,
        "The ID token names a signature algorithm that no CI platform uses: none, a symmetric one, or an unknown one.",
        "Use a token from the platform's own issuer. A token signed with a shared secret proves nothing to Equinix.",
        "the ID token's header names no acceptable signature algorithm\n  found:    \"HS256\"";
    ClaimAud = "claim-aud", Claims,
        "The ID token is meant for somebody else: its aud claim does not hold the expected audience. It was not sent to Equinix.",
        "Make the audience here, in the CI configuration and in the trusted client ids at Equinix exactly the same text.",
        "the ID token is meant for another audience\n  expected: \"my-equinix-audience\"\n  found:    \"https://github.com/octo-org\"";
    ClaimIss = "claim-iss", Claims,
        "The ID token comes from another issuer than this platform's. It was not sent to Equinix.",
        "Check which instance issued it, and that the token belongs to this job. If an administrator has set another issuer URL than the instance's own, name it: --expect iss=https://….",
        "the ID token comes from another issuer than this platform's\n  expected: \"https://gitlab.example\"\n  found:    \"https://gitlab.com\"";
    ClaimExpired = "claim-expired", Claims,
        "The ID token has expired.",
        "Ask for the token right before it is used. On GitLab the token's life starts with the job and ends with the job's timeout. If the token is fresh, check this machine's clock.",
        "the ID token has expired\n  expired: 2026-11-22T04:00:00Z (900 s ago)";
    IdTokenExpiring = "id-token-expiring", Claims,
        "The ID token expires in a moment and the platform gives this job no other one.",
        "Exchange it earlier in the job, or raise the job's timeout, from which GitLab derives the token's life.",
        "the ID token expires in 12 s, too soon to exchange it";
    ClaimNotYetValid = "claim-not-yet-valid", Claims,
        "By this machine's clock the ID token is valid only from a later time on (nbf or iat lies more than five minutes ahead).",
        "Set this machine's clock; on a self-hosted runner, check its time synchronisation.",
        "the ID token is not valid yet\n  valid from: 2026-11-22T04:00:00Z (in 3600 s)";
    ClaimExpectation = "claim-expectation", Claims,
        "A claim is not what --expect asks for. The ID token was not sent to Equinix.",
        "If the job is right, correct the expectation; if the expectation is right, this job should not have this token: check branch, environment and workflow.",
        "the claim \"ref\" is not what is expected\n  expected: \"main\"\n  found:    \"refs/heads/main\". They differ only in refs/heads/ or refs/tags/ in front.";
    ClaimRunBinding = "claim-run-binding", Claims,
        "The ID token names another run than this one, and --validation strict takes that as an error.",
        "Fetch the token in the job that uses it; do not pass it on through caches, artifacts or variables.",
        "the ID token says run_id \"7\", but GITHUB_RUN_ID is \"8\": it may come from another run";
    ClaimDebugJob = "claim-debug-job", Claims,
        "The ID token says that somebody may be working in this job by hand, for instance by SSH, and --validation strict takes that as an error.",
        "Run the job again without a way into it.",
        "the ID token says oidc.circleci.com/ssh-rerun: this job was run again with SSH, so somebody may be working in it by hand";
    ClaimSignature = "claim-signature", Claims,
        "The ID token's signature could not be verified with the issuer's keys (--verify-signature). It was not sent to Equinix.",
        "Make sure that the token comes from the issuer that it names. If it does, somebody has changed it on its way, or the issuer publishes keys that cannot be used.",
        "the ID token's signature is wrong: somebody else made or changed it";
    ClaimKeyNotFound = "claim-key-not-found", Claims,
        "The issuer does not publish the key that the ID token was signed with: the token is old and the key was rotated, or the issuer is another one. Equinix would not find the key either.",
        "Fetch a fresh ID token. If it is fresh, compare the issuer here with the one that made the token.",
        "the issuer does not publish the key that the ID token names (any more)\n  key id:    \"key-1\"\n  published: \"key-2\", \"key-3\"";
    ClaimTimeInvalid = "claim-time-invalid", Claims,
        "A time claim of the ID token (exp, iat or nbf) is missing or is not a plausible number of seconds.",
        "Use a token from the platform's own issuer; a time in milliseconds or in quotes is not a NumericDate (RFC 7519 section 2).",
        "the ID token's exp claim is not a time\n  expected: a number of seconds since 1970\n  found:    a string";
    IssuerMetadata = "issuer-metadata", Protocol,
        "The issuer's metadata or keys could not be obtained or do not make sense, so the signature could not be verified.",
        "Check that this machine may reach the issuer, and that the issuer publishes /.well-known/openid-configuration. Equinix needs both as well.",
        "the issuer at https://gitlab.example does not publish its metadata (404)";
        } }
    };
}
