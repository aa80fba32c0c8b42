//! The one error type and the one error table.
//!
//! Every failure has a [`Code`]: stable, append-only, kebab-case. The table below gives its exit class, the stage
//! where it normally arises, and the cause, cure and example that `explain` prints and `docs/errors.md` holds. An
//! [`Error`] adds what happened this time.
//!
//! Texts in an error may quote a server, a token or a variable. They are made safe twice: by [`crate::text::quote`]
//! where they are put in, and by the console and the report when they are written.

use std::fmt;

use crate::jwt::UnverifiedClaims;

/// The exit status's class (contract section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 1: a defect of this program or of the machine.
    Internal,
    /// 2: usage or configuration.
    Usage,
    /// 3: this job has no identity to offer.
    NoIdentity,
    /// 4: the ID token could not be had or read.
    IdToken,
    /// 5: a claim or expectation does not hold.
    Claims,
    /// 6: the STS refused.
    Refused,
    /// 7: the STS or the issuer broke the protocol.
    Protocol,
    /// 8: transient, and the retries are used up.
    Transient,
    /// 9: the token could not be delivered.
    Delivery,
    /// 10: refused for safety.
    Safety,
    /// 126: `exec` found the command, but it cannot be run.
    NotExecutable,
    /// 127: `exec` did not find the command.
    NotFound,
}

impl Exit {
    /// The process's exit status.
    pub const fn status(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NoIdentity => 3,
            Self::IdToken => 4,
            Self::Claims => 5,
            Self::Refused => 6,
            Self::Protocol => 7,
            Self::Transient => 8,
            Self::Delivery => 9,
            Self::Safety => 10,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }

    /// The exit status under `exec`, where the statuses below belong to the command (as with `env` and `nohup` of
    /// POSIX.1-2024): 125 for whatever failed before it ran.
    pub const fn status_under_exec(self) -> u8 {
        match self {
            Self::NotExecutable | Self::NotFound => self.status(),
            _ => 125,
        }
    }

    /// Whether running the same job again may succeed without a change.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Transient)
    }

    /// What to do with the same job, in a word or two (contract section 6).
    pub const fn again(self) -> &'static str {
        match self {
            Self::Transient => "yes",
            Self::Delivery => "perhaps",
            Self::Internal | Self::Protocol => "report it",
            _ => "no",
        }
    }

    /// The class in words, for `explain` and the documentation.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Internal => "internal error",
            Self::Usage => "usage or configuration",
            Self::NoIdentity => "this job has no identity to offer",
            Self::IdToken => "the ID token could not be had or read",
            Self::Claims => "a claim or expectation does not hold",
            Self::Refused => "the STS refused",
            Self::Protocol => "the STS or the issuer broke the protocol",
            Self::Transient => "transient, retries used up",
            Self::Delivery => "the token could not be delivered",
            Self::Safety => "refused for safety",
            Self::NotExecutable => "the command cannot be run",
            Self::NotFound => "the command was not found",
        }
    }

    /// All classes in the order of their status.
    pub const ALL: [Self; 12] = [
        Self::Internal,
        Self::Usage,
        Self::NoIdentity,
        Self::IdToken,
        Self::Claims,
        Self::Refused,
        Self::Protocol,
        Self::Transient,
        Self::Delivery,
        Self::Safety,
        Self::NotExecutable,
        Self::NotFound,
    ];
}

/// Where in the data flow an error arose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Arguments and environment.
    Config,
    /// Finding the platform and fetching the ID token.
    Identity,
    /// Reading and checking the ID token.
    Claims,
    /// Asking the STS.
    Exchange,
    /// Handing the token over.
    Delivery,
}

impl Stage {
    /// The name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Identity => "identity",
            Self::Claims => "claims",
            Self::Exchange => "exchange",
            Self::Delivery => "delivery",
        }
    }
}

/// Declares [`Code`] and its table in one place, so that no code lacks an entry.
macro_rules! codes {
    ($($variant:ident = $name:literal, $exit:ident, $stage:ident, $cause:literal, $cure:literal, $example:literal;)+) => {
        /// A stable error code. The list is append-only: a code is never renamed or used for something else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $cause] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name that users see, e.g. `claim-aud`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The exit class.
            pub const fn exit(self) -> Exit {
                match self { $(Self::$variant => Exit::$exit,)+ }
            }

            /// The stage where the code arises unless the error says otherwise.
            pub const fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)+ }
            }

            /// Why this happens.
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$variant => $cause,)+ }
            }

            /// What to do about it.
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$variant => $cure,)+ }
            }

            /// How it looks on standard error: the message and the lines below it that tell most.
            pub const fn example(self) -> &'static str {
                match self { $(Self::$variant => concat!("error[", $name, "]: ", $example),)+ }
            }
        }
    };
}

codes! {
    // 1: internal
    Internal = "internal", Internal, Config,
        "The program met a state that should be impossible, or the machine refused something basic such as random numbers.",
        "Please report it with the output of the same run with -v. No token was handed over.",
        "the operating system gave no random numbers";
    SandboxFailed = "sandbox-failed", Internal, Config,
        "The sandbox could not start: no loopback port or no temporary folder could be had.",
        "Check that 127.0.0.1 can be bound and that the temporary folder (TMPDIR) is writable.",
        "/tmp/equinix-wif-sandbox-0123 cannot be created: Permission denied (os error 13)";

    // 2: usage and configuration
    CfgUsage = "cfg-usage", Usage, Config,
        "The command line could not be understood.",
        "Compare it with `equinix-wif --help`; flags and variables are listed in docs/usage.md.",
        "unexpected argument '--scpe' found\nhint: a similar argument exists: '--scope'; equinix-wif token --help lists its flags.";
    CfgValueInvalid = "cfg-value-invalid", Usage, Config,
        "A flag or variable has a value that it does not allow.",
        "The message names the setting, where it came from and what it allows.",
        "--sts-api has a value that it does not allow\n  expected: alpha or v1\n  found:    \"v2\"";
    CfgEnvNotUtf8 = "cfg-env-not-utf8", Usage, Config,
        "An environment variable that the program reads is not valid UTF-8.",
        "Set the variable again, as plain text.",
        "the environment variable EQUINIX_WIF_AUDIENCE is not valid UTF-8";
    CfgSecretInArgv = "cfg-secret-in-argv", Usage, Config,
        "An argument looks like a token. Arguments are visible to every user of the machine and in traced logs.",
        "Pass tokens by --subject-token-env NAME or --subject-token-file PATH, and treat the one that was on the command line as disclosed.",
        "an argument looks like a token";
    CfgScopeMissing = "cfg-scope-missing", Usage, Config,
        "No scope was given, so it is unknown what the access token should be good for.",
        "Pass --scope (in the GitHub action: the input scope) or set EQUINIX_TOKEN_EXCHANGE_SCOPE: an access-policy ERN (ern:…) or roleassignments:<org-id>.",
        "no scope is set";
    CfgScopeInvalid = "cfg-scope-invalid", Usage, Config,
        "The scope does not have the shape of any Equinix scope.",
        "Use an access-policy ERN (ern:<cloud>:<service>:<region>:<project>:<type>:<id>), roleassignments:<org-id>, projectpolicies:<project-id> or orgpolicies:<org-id>.",
        "the scope \"accesspolicy:web\" is the id of an access policy, not its ERN";
    CfgAudienceMissing = "cfg-audience-missing", Usage, Config,
        "This platform makes an ID token on request and has to be told for whom. There is no safe default: GitHub's own default audience is shared by everybody who did not choose one.",
        "Pass --audience (in the GitHub action: the input audience) or set EQUINIX_WIF_AUDIENCE to one of the trusted client ids of your OIDC provider at Equinix.",
        "GitHub Actions has to be told whom the ID token is for, and no audience is set";
    CfgIssuerMissing = "cfg-issuer-missing", Usage, Config,
        "A signature can only be verified with the keys of a known issuer, and a token from a variable or file does not say which issuer to believe.",
        "Name the issuer: --expect iss=https://….",
        "it is not known whose keys the signature should be verified with";
    CfgEndpointInvalid = "cfg-endpoint-invalid", Usage, Config,
        "The STS endpoint is not a plain https base URL.",
        "Use the form https://host or https://host:port, without path, query, fragment or user name.",
        "--sts-endpoint has something after the host\n  expected: https://sts.eqix.equinix.com";
    CfgEnvNameInvalid = "cfg-env-name-invalid", Usage, Config,
        "The name for the token's variable is not a variable name, or it would change how other programs behave.",
        "Choose a name of letters, digits and underscores, such as EQUINIX_API_TOKEN.",
        "--env-name cannot be \"PATH\": that variable changes how other programs behave";
    CfgProviderAmbiguous = "cfg-provider-ambiguous", Usage, Config,
        "The environment looks like more than one CI platform at once.",
        "Pass --provider with the one whose identity this job should use.",
        "this looks like GitHub Actions (github) and GitLab CI (gitlab) at once";
    CfgCaFile = "cfg-ca-file", Usage, Config,
        "The file with additional certificates cannot be read or holds no certificate.",
        "Point --ca-file, EQUINIX_WIF_CA_FILE or SSL_CERT_FILE to a readable PEM file, or unset it.",
        "--ca-file \"/etc/ssl/internal.pem\" cannot be read: there is no such file";
    CfgProxyInvalid = "cfg-proxy-invalid", Usage, Config,
        "The proxy variable does not hold the URL of an http or https proxy. It is not skipped silently, since the request would then go out directly.",
        "Set HTTPS_PROXY to http://host:port, or pass --no-proxy to connect directly.",
        "HTTPS_PROXY does not hold the URL of a proxy: only http and https proxies are supported";
    ProxyAuth = "proxy-auth", Usage, Exchange,
        "The proxy asks for a user name and password (status 407).",
        "Put the credentials into HTTPS_PROXY (http://user:password@host:port), or exempt the host in NO_PROXY. Only the scheme Basic is supported.",
        "the proxy http://proxy.example:3128 asks for a user name and password (407)\n  offered: Negotiate, Basic";
    ProxyRefused = "proxy-refused", Usage, Exchange,
        "The proxy answered that it does not connect to this host. Asking again would not change that.",
        "Have the host allowed at the proxy, or exempt it in NO_PROXY if it can be reached directly.",
        "the proxy http://proxy.example:3128 refused to connect to the STS at https://sts.eqix.equinix.com (403)";
    CfgRequestInvalid = "cfg-request-invalid", Usage, Config,
        "The program that runs this one has to say what it wants, and what it said could not be understood: Terraform's data source external in a query on standard input, a Kubernetes client in KUBERNETES_EXEC_INFO.",
        "Run it from there: as the program of a data source external, or as the exec plugin of a kubeconfig. docs/usage.md shows both and lists what a query may hold. Elsewhere choose another --format.",
        "the query has a member \"scpe\" that is not known\n  known: scope, audience, expect, min_ttl, provider, sts_api, sts_endpoint, subject_token_env, timeout, validation";

    // 3: no identity
    AmbientNotCi = "ambient-not-ci", NoIdentity, Identity,
        "No supported CI platform was recognised, so there is no job identity to start from.",
        "Run it inside a GitHub Actions or GitLab CI job, or hand over an ID token with --subject-token-env or --subject-token-file. `equinix-wif sandbox` shows the whole flow without any CI.",
        "this does not look like a CI job with an identity\n  looked at: GITHUB_ACTIONS is not set; GITLAB_CI is not set";
    GhIdTokenPermission = "gh-id-token-permission", NoIdentity, Identity,
        "GitHub gave this job no way to ask for an ID token: the workflow lacks the permission id-token: write.",
        "Add to the job:\n    permissions:\n      id-token: write\n      contents: read\nIn a reusable workflow the calling job needs it too.",
        "this job may not ask GitHub for an ID token\n  event: \"push\"";
    GhForkPr = "gh-fork-pr", NoIdentity, Identity,
        "This run was started by a pull request from a fork, and GitHub gives such runs no ID token.",
        "Skip this step for forks (if: github.event.pull_request.head.repo.full_name == github.repository), or run it after the merge.",
        "GitHub gives no ID token to a pull request from a fork\n  event: \"pull_request\"";
    GhDependabot = "gh-dependabot", NoIdentity, Identity,
        "This run was started by Dependabot, and GitHub treats it like a fork: read-only, without an ID token.",
        "Skip this step for Dependabot (if: github.actor != 'dependabot[bot]'), or grant id-token: write in the job if your policy allows it.",
        "GitHub gives no ID token to a run that Dependabot started\n  actor: \"dependabot[bot]\"";
    GhRequestIncomplete = "gh-request-incomplete", NoIdentity, Identity,
        "Only one of GitHub's two ID-token variables is usable. The runner always sets both or none, so something changed the environment.",
        "Look for an earlier step that writes ACTIONS_ID_TOKEN_REQUEST_… to GITHUB_ENV, and for `env:` blocks that unset one of them.",
        "ACTIONS_ID_TOKEN_REQUEST_URL is set, but ACTIONS_ID_TOKEN_REQUEST_TOKEN is not";
    GlIdTokensMissing = "gl-id-tokens-missing", NoIdentity, Identity,
        "This GitLab job has no ID token in the variable that was looked at.",
        "Add to the job:\n    id_tokens:\n      EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN:\n        aud: <a trusted client id of your OIDC provider at Equinix>",
        "the variable EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN is not set or empty";
    TokenEnvEmpty = "token-env-empty", NoIdentity, Identity,
        "The variable that should hold the ID token is not set or empty.",
        "Set it in the step before, or name another one with --subject-token-env.",
        "the variable MY_ID_TOKEN is not set or empty";
    TokenEnvUnexpanded = "token-env-unexpanded", NoIdentity, Identity,
        "The variable holds the literal name of another variable: somewhere it was not expanded.",
        "Give the variable the token itself. In GitLab, declare it under id_tokens: instead of copying it under variables:.",
        "the variable MY_ID_TOKEN holds the unexpanded text \"$OTHER_TOKEN\" instead of a token";
    TokenEnvPadded = "token-env-padded", NoIdentity, Identity,
        "The ID token in the variable has white space around or inside it, so it was changed on its way.",
        "Copy the token without quotes, spaces or line breaks. In GitLab, declare it under id_tokens: and use it as it is.",
        "the token in the variable MY_ID_TOKEN has white space around it";
    TokenFileUnreadable = "token-file-unreadable", NoIdentity, Identity,
        "The file that should hold the ID token cannot be read, is empty or is not a regular file.",
        "Check the path and its permissions; use --subject-token-file - to read from standard input.",
        "no ID token could be read from \"/run/id-token\": there is no such file";

    // 4: the ID token
    IdTokenHttp = "id-token-http", IdToken, Identity,
        "The platform's ID-token endpoint refused the request.",
        "See the status in the message. On a self-hosted runner, check that nothing rewrites the ACTIONS_ID_TOKEN_REQUEST_… variables.",
        "GitHub's ID-token endpoint at https://run-actions-1.actions.githubusercontent.com refused the request (401)";
    IdTokenRedirect = "id-token-redirect", IdToken, Identity,
        "The ID-token endpoint answered with a redirect. Redirects are never followed, since the bearer would go along.",
        "Check for a proxy or captive portal between the runner and the platform.",
        "GitHub's ID-token endpoint answered with a redirect (302) to \"https://login.example\", which was not followed";
    IdTokenNotJson = "id-token-not-json", IdToken, Identity,
        "The ID-token endpoint answered with something that is not the JSON it documents.",
        "Check for a proxy or captive portal between the runner and the platform.",
        "GitHub's ID-token endpoint answered with 812 bytes of \"text/html\": it is not valid JSON (line 1, column 1)";
    IdTokenTooLarge = "id-token-too-large", IdToken, Identity,
        "The ID token, or the answer that should hold it, is larger than any real one.",
        "Check what answers at the ID-token endpoint, or what wrote the variable or file.",
        "the ID token has 20000 bytes; more than 16384 are not accepted";
    IdTokenMalformed = "id-token-malformed", IdToken, Claims,
        "What was found is not a signed JSON Web Token of the form header.payload.signature.",
        "Check that the variable or file holds the ID token itself, and not a name, a path, an access token or an encrypted token.",
        "the ID token has the wrong number of dot-separated parts: 2 instead of 3";
    IdTokenAlg = "id-token-alg", IdToken, Claims,
        "The ID token names a signature algorithm that no CI platform uses: none, a symmetric one, or an unknown one.",
        "Use a token from the platform's own issuer. A token signed with a shared secret proves nothing to Equinix.",
        "the ID token's header names no acceptable signature algorithm\n  found:    \"HS256\"";

    // 5: claims
    ClaimAud = "claim-aud", Claims, Claims,
        "The ID token is meant for somebody else: its aud claim does not hold the expected audience. It was not sent to Equinix.",
        "Make the audience here, in the CI configuration and in the trusted client ids at Equinix the same text, to the letter.",
        "the ID token is meant for another audience\n  expected: \"my-equinix-audience\"\n  found:    \"https://github.com/octo-org\"";
    ClaimIss = "claim-iss", Claims, Claims,
        "The ID token comes from another issuer than this platform's. It was not sent to Equinix.",
        "Check which instance issued it, and that the token belongs to this job. If an administrator has set another issuer URL than the instance's own, name it: --expect iss=https://….",
        "the ID token comes from another issuer than this platform's\n  expected: \"https://gitlab.example\"\n  found:    \"https://gitlab.com\"";
    ClaimExpired = "claim-expired", Claims, Claims,
        "The ID token has expired.",
        "Ask for the token right before it is used. On GitLab the token's life starts with the job and ends with the job's timeout. If the token is fresh, check this machine's clock.",
        "the ID token has expired\n  expired: 2026-11-22T04:00:00Z (900 s ago)";
    IdTokenExpiring = "id-token-expiring", Claims, Claims,
        "The ID token expires in a moment and the platform gives no other one in this job.",
        "Exchange it earlier in the job, or raise the job's timeout, from which GitLab derives the token's life.",
        "the ID token expires in 12 s, too soon to exchange it";
    ClaimNotYetValid = "claim-not-yet-valid", Claims, Claims,
        "By this machine's clock the ID token is valid only from a later time on (nbf or iat lies more than five minutes ahead).",
        "Set this machine's clock; on a self-hosted runner, check its time synchronisation.",
        "the ID token is not valid yet\n  valid from: 2026-11-22T04:00:00Z (in 3600 s)";
    ClaimExpectation = "claim-expectation", Claims, Claims,
        "A claim is not what --expect asks for. The ID token was not sent to Equinix.",
        "If the job is right, correct the expectation; if the expectation is right, this job should not have this token: check branch, environment and workflow.",
        "the claim \"ref\" is not what is expected\n  expected: \"main\"\n  found:    \"refs/heads/main\". They differ only in refs/heads/ or refs/tags/ in front.";
    ClaimRunBinding = "claim-run-binding", Claims, Claims,
        "The ID token names another run than this one, and --validation strict takes that as an error.",
        "Fetch the token in the job that uses it; do not pass it on through caches, artifacts or variables.",
        "the ID token says run_id \"7\", but GITHUB_RUN_ID is \"8\": it may come from another run";
    ClaimSignature = "claim-signature", Claims, Claims,
        "The ID token's signature could not be verified with the issuer's keys (--verify-signature). It was not sent to Equinix.",
        "Make sure that the token comes from the issuer that it names. If it does, somebody has changed it on its way, or the issuer publishes keys that cannot be used.",
        "the ID token's signature is wrong: somebody else made or changed it";
    ClaimKeyNotFound = "claim-key-not-found", Claims, Claims,
        "The issuer does not publish the key that the ID token was signed with: the token is old and the key was rotated, or the issuer is another one. Equinix would not find the key either.",
        "Fetch a fresh ID token. If it is fresh, compare the issuer here with the one that made the token.",
        "the issuer does not publish the key that the ID token names (any more)\n  key id:    \"key-1\"\n  published: \"key-2\", \"key-3\"";
    ClaimTimeInvalid = "claim-time-invalid", Claims, Claims,
        "A time claim of the ID token (exp, iat or nbf) is missing or is not a plausible number of seconds.",
        "Use a token from the platform's own issuer; a time in milliseconds or in quotes is not a NumericDate (RFC 7519 section 2).",
        "the ID token's exp claim is not a time\n  expected: a number of seconds since 1970\n  found:    a string";

    // 6: the STS refused
    StsDenied = "sts-denied", Refused, Exchange,
        "The STS refused the exchange.",
        "Compare issuer, audience and subject as shown with the OIDC provider and the grant at Equinix; they are compared to the letter.",
        "the STS refused the exchange: \"invalid_request\" (400)\n  subject:  \"repo:octo-org@1234/octo-repo@5678:ref:refs/heads/main\"";
    StsScopeDenied = "sts-scope-denied", Refused, Exchange,
        "The STS accepted the identity but not the scope.",
        "Check that the access policy or role is granted to exactly this subject, and that the scope names that policy's ERN or that organization.",
        "the STS refused the exchange: \"invalid_scope\" (400)\n  scope:    \"roleassignments:00000000-0000-4000-8000-000000000001\"";
    StsForbidden = "sts-forbidden", Refused, Exchange,
        "The STS, or something in front of it, forbade the request.",
        "Check whether STS is enabled for your organization (it is in limited availability) and whether a proxy or firewall answers in its place.",
        "the STS refused the exchange (403)\n  answer:   812 bytes of \"text/html\"";
    StsEndpointNotFound = "sts-endpoint-not-found", Refused, Exchange,
        "There is no token endpoint at this address and path.",
        "Try the other API version (--sts-api alpha is /use/token, --sts-api v1 is /v1/token) and check --sts-endpoint. The ID token is never sent to a second path by itself.",
        "there is no token endpoint at https://sts.eqix.equinix.com/use/token (404)";
    StsRedirect = "sts-redirect", Refused, Exchange,
        "The STS answered with a redirect. Redirects are never followed, since the ID token would go along.",
        "Check --sts-endpoint, and whether a proxy or captive portal answers in its place.",
        "the STS answered with a redirect (302) to \"https://login.example\", which was not followed";

    // 7: protocol
    StsNotJson = "sts-not-json", Protocol, Exchange,
        "The STS answered success, but not with JSON.",
        "Check --sts-endpoint, and whether a proxy or captive portal answers in its place. Report it to Equinix if it does come from the STS.",
        "the STS answered success, but not with JSON: 812 bytes of media type \"text/html\"";
    StsTooLarge = "sts-too-large", Protocol, Exchange,
        "The STS's answer is larger than any real one.",
        "Check what answers at --sts-endpoint.",
        "the body of the answer of the STS at https://sts.eqix.equinix.com is larger than 256 KiB";
    StsResponseInvalid = "sts-response-invalid", Protocol, Exchange,
        "The STS's answer lacks a required member, or one of them has a value that cannot be right. The token was discarded.",
        "Report it to Equinix with the message, which names the member and holds no secret.",
        "the STS's answer has no expires_in";
    StsResponseAmbiguous = "sts-response-ambiguous", Protocol, Exchange,
        "The STS answered success and error at once. The token, if any, was discarded.",
        "Report it to Equinix.",
        "the STS answered with status 200 and an error member\n  error: \"server_error\"";
    StsTokenType = "sts-token-type", Protocol, Exchange,
        "The STS issued a token that is not a bearer token, so the next step could not use it.",
        "Report it to Equinix.",
        "the STS issued a token of another type than Bearer\n  found: \"DPoP\"";
    StsIssuedTokenType = "sts-issued-token-type", Protocol, Exchange,
        "The STS issued something else than an access token (RFC 8693 section 2.2.1).",
        "Report it to Equinix.",
        "the STS issued something else than an access token\n  found:    \"urn:ietf:params:oauth:token-type:refresh_token\"";
    StsUnexpectedStatus = "sts-unexpected-status", Protocol, Exchange,
        "The STS answered with a status that the token exchange does not know.",
        "Check --sts-endpoint, and whether a proxy answers in its place.",
        "the STS answered with the unexpected status 204";
    ScopeMismatch = "scope-mismatch", Protocol, Exchange,
        "The STS granted more than was asked for. The token was discarded.",
        "Report it to Equinix; do not use a token that can do more than intended.",
        "the STS granted more than was asked for\n  asked:   \"roleassignments:org-1\"\n  granted: \"roleassignments:org-1 orgpolicies:org-1\"";
    TokenTtlTooShort = "token-ttl-too-short", Protocol, Exchange,
        "The access token lives shorter than --min-ttl asks for. It was discarded.",
        "Lower --min-ttl if the next step is quick. How long a token lives is the STS's decision; a request cannot ask for more.",
        "the access token lives too short\n  expected: at least 900 s (--min-ttl)\n  found:    300 s";

    IssuerMetadata = "issuer-metadata", Protocol, Claims,
        "The issuer's metadata or keys could not be had or do not make sense, so the signature could not be verified.",
        "Check that this machine may reach the issuer, and that the issuer publishes /.well-known/openid-configuration. Equinix needs both as well.",
        "the issuer at https://gitlab.example does not publish its metadata (404)";

    // 8: transient
    NetDns = "net-dns", Transient, Exchange,
        "The host's name could not be resolved.",
        "Check the name, and the machine's DNS and proxy settings; then run the job again.",
        "the name sts.eqix.equinix.com does not exist";
    NetConnect = "net-connect", Transient, Exchange,
        "No connection could be made.",
        "Check that the machine may reach the host (firewall, proxy, HTTPS_PROXY); then run the job again.",
        "the STS at https://sts.eqix.equinix.com could not be reached: connection refused";
    NetTimeout = "net-timeout", Transient, Exchange,
        "The other side did not answer in time.",
        "Run the job again; if it persists, check firewall and proxy.",
        "the STS at https://sts.eqix.equinix.com did not answer completely within 15 s";
    NetReset = "net-reset", Transient, Exchange,
        "The connection broke before the answer came, or the answer was not HTTP.",
        "Run the job again; if it persists, check firewall and proxy.",
        "the STS at https://sts.eqix.equinix.com closed the connection without an answer";
    NetTruncated = "net-truncated", Transient, Exchange,
        "The answer ended too early. Part of an answer is never used.",
        "Run the job again; if it persists, check the proxy.",
        "the answer of the STS at https://sts.eqix.equinix.com ended too early";
    TlsHandshake = "tls-handshake", Transient, Exchange,
        "The TLS connection could not be set up, for a reason other than the certificate.",
        "Run the job again; if it persists, check for a proxy that intercepts TLS or a server without TLS 1.2.",
        "the TLS handshake with the STS at https://sts.eqix.equinix.com broke off";
    ProxyConnect = "proxy-connect", Transient, Exchange,
        "The proxy could not be used to reach the host.",
        "Check HTTPS_PROXY and NO_PROXY, and whether the proxy allows the host.",
        "the proxy http://proxy.example:3128 could not be reached: connection refused";
    RateLimited = "rate-limited", Transient, Exchange,
        "The server asked to slow down (status 429).",
        "Run the job again later; spread out jobs that start at the same time.",
        "the STS asks to slow down (429)";
    StsConflict = "sts-conflict", Transient, Exchange,
        "The STS answered with a conflict (status 409). Equinix's own Terraform provider tries again then, and so does this program.",
        "Run the job again.",
        "the STS answered with a conflict (409)";
    ServerError = "server-error", Transient, Exchange,
        "The server failed or was overloaded.",
        "Run the job again; check status.equinix.com or the platform's status page if it persists.",
        "the STS failed (503)";
    IdTokenNotReady = "id-token-not-ready", Transient, Identity,
        "GitHub refused the ID token because it does not see the job as running yet, and still did after retries.",
        "Run the job again.",
        "GitHub does not see this job as running yet (403)";
    Deadline = "deadline", Transient, Exchange,
        "The time for the whole run (--timeout) was used up.",
        "Run the job again; raise --timeout if the network is slow.",
        "the time for this run was used up before the STS had answered";

    // 9: delivery
    OutOpen = "out-open", Delivery, Delivery,
        "A place where the token or the report should go cannot be opened. This is checked first, so no token was requested.",
        "Check the path and its permissions.",
        "the folder of \"/run/equinix/token.json\" cannot be opened: it does not exist";
    OutWrite = "out-write", Delivery, Delivery,
        "Writing failed. Nothing half-written was left that could be taken for a token.",
        "Check the file system that the message names.",
        "standard output cannot be written: this user may not";
    OutFull = "out-full", Delivery, Delivery,
        "The disk or quota is full.",
        "Free space on the file system that the message names.",
        "\"/run/token.json\" cannot be written: there is no space left";
    OutClosed = "out-closed", Delivery, Delivery,
        "Standard output was closed before the token could be written.",
        "Keep the reading end of the pipe open until the program has ended.",
        "standard output was closed by its reader";
    OutRunnerFileMissing = "out-runner-file-missing", Delivery, Delivery,
        "The runner's file for outputs or variables is not there.",
        "Run it as a step of a job: the runner sets GITHUB_OUTPUT and GITHUB_ENV, and makes their files. Elsewhere choose another --format.",
        "GITHUB_OUTPUT is not set, so there is no runner file to write to";
    OutPartial = "out-partial", Delivery, Delivery,
        "The token goes to several places, and writing failed after the first. What was written stays there.",
        "Mend what the message names, and run the step again; until then, let no later step use what was written.",
        "GITHUB_OUTPUT was written, but then the runner file of GITHUB_ENV cannot be written: there is no space left\n  code: out-full";
    DotenvTooLarge = "dotenv-too-large", Delivery, Delivery,
        "GitLab refuses a dotenv report of 5120 bytes or more, and with the token it would have as many.",
        "Use the token in the job that gets it (--format env-file, or exec), or exchange again in the later job, which needs id_tokens: of its own.",
        "the access token is too long for a dotenv report\n  expected: fewer than 5120 bytes\n  found:    6021 bytes";

    // 10: safety
    MaskUndeliverable = "mask-undeliverable", Safety, Delivery,
        "On GitHub the runner hides a token in the log only if it reads the mask from this program's standard error, and that does not reach the runner here.",
        "Do not redirect standard error of this step to a file or to /dev/null.",
        "standard error of this step does not reach the runner";
    OutInWorkspace = "out-in-workspace", Safety, Delivery,
        "The output file lies inside the checkout, where artifacts, caches, container images and commits pick it up.",
        "Choose a path outside, such as a file in RUNNER_TEMP, ${CI_PROJECT_DIR}.tmp or TMPDIR, or consent with --allow-workspace.",
        "\"/builds/octo-group/octo-project/token.json\" lies inside the checkout\n  checkout: \"/builds/octo-group/octo-project\"";
    OutSymlink = "out-symlink", Safety, Delivery,
        "The output path is a symbolic link, or its folder lets other users swap files.",
        "Choose a path in a folder that only this user can write to.",
        "\"/tmp/token.json\" is a symbolic link";
    OutTty = "out-tty", Safety, Delivery,
        "The token would be shown on a terminal.",
        "Redirect standard output, choose a format that writes to a file, or consent with --force.",
        "the token would be shown on this terminal";
    OutTraced = "out-traced", Safety, Delivery,
        "The shell traces every command with its values (CI_DEBUG_TRACE), so the token would stand in the job log, where GitLab cannot mask it.",
        "Remove CI_DEBUG_TRACE from the job, or consent with --force.",
        "CI_DEBUG_TRACE is true, so the shell would write the token into the job log";
    ArtifactExposure = "artifact-exposure", Safety, Delivery,
        "A dotenv report is an artifact: GitLab keeps it, whoever may see the job's artifacts can download it, in a public project everybody, and the log of a later job does not mask its values.",
        "Use the token in the job that gets it:\n    script:\n      - file=$(equinix-wif token --format env-file) || exit\n      - . \"$file\"\n      - terraform apply\nor let each job that needs a token get its own. If it has to be an artifact, restrict it (artifacts:access: developer, expire_in) and consent with --accept-artifact-exposure.",
        "the format gitlab-dotenv puts the token into an artifact\n  exposure: the platform keeps it, who may see the job's artifacts can download it, and nothing masks it later";
    EndpointUntrusted = "endpoint-untrusted", Safety, Config,
        "A variable names an STS host outside equinix.com. An earlier step could have planted it to collect the ID token.",
        "If the host is right, say so with --sts-endpoint.",
        "EQUINIX_STS_ENDPOINT names https://sts.example, which is not a host under equinix.com";
    InsecureUrl = "insecure-url", Safety, Config,
        "A URL that secrets would be sent to is not https, or is written in a way that hides where it leads.",
        "Use https. Plain http is allowed for loopback addresses only.",
        "--sts-endpoint is not a URL for the STS: it is http, and only loopback addresses may be reached without TLS";
    TlsVerify = "tls-verify", Safety, Exchange,
        "The server's certificate is not trusted, so it may be somebody else. Nothing was sent.",
        "If a private certificate authority is in use, add it with --ca-file. If the certificate is reported as expired or not yet valid, check this machine's clock.",
        "the certificate of the STS at https://sts.eqix.equinix.com is not trusted: it was not issued by a trusted authority";

    // 126 and 127: the command of exec
    CmdNotExecutable = "cmd-not-executable", NotExecutable, Config,
        "The command behind -- is there, but it cannot be run. As far as its permissions show that, no token was requested for it.",
        "Check its permissions and, of a script, its first line.",
        "the command \"./deploy.sh\" cannot be run: it is not executable";
    CmdNotFound = "cmd-not-found", NotFound, Config,
        "The command behind -- was not found, which is seen before a token is requested, or the interpreter that its first line names.",
        "Check its spelling, PATH, and that an earlier step has installed it.",
        "the command \"terrafrom\" was not found";
}

impl Code {
    /// Why this job can have no ID token, in a word for `--on-unavailable skip`: for every code of exit class 3, and for
    /// no other.
    pub const fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::AmbientNotCi => "not-ci",
            Self::GhIdTokenPermission => "missing-permission",
            Self::GhForkPr => "fork-pull-request",
            Self::GhDependabot => "dependabot",
            Self::GhRequestIncomplete => "incomplete-request",
            Self::GlIdTokensMissing | Self::TokenEnvEmpty => "missing-id-token",
            Self::TokenEnvUnexpanded => "unexpanded-variable",
            Self::TokenEnvPadded => "altered-token",
            Self::TokenFileUnreadable => "unreadable-file",
            _ => return None,
        })
    }
}

impl Code {
    /// The code of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

/// A failure: a code, what happened this time, and what to do.
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    stage: Stage,
    message: String,
    details: Vec<(&'static str, String)>,
    hint: Option<String>,
    http_status: Option<u16>,
    oauth_error: Option<String>,
    attempts: Option<u32>,
    echoed_secret: bool,
    claims: Option<UnverifiedClaims>,
}

impl Error {
    /// A failure with its table entry's stage and cure.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            stage: code.stage(),
            message: message.into(),
            details: Vec::new(),
            hint: None,
            http_status: None,
            oauth_error: None,
            attempts: None,
            echoed_secret: false,
            claims: None,
        }))
    }

    /// Replaces the table's cure by a more exact one.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a line below the message, such as `expected` or `found`.
    #[must_use]
    pub fn detail(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.0.details.push((label, value.into()));
        self
    }

    /// Replaces the table's stage, for codes that several stages share.
    #[must_use]
    pub fn at(mut self, stage: Stage) -> Self {
        self.0.stage = stage;
        self
    }

    /// Records the HTTP status that the failure came with.
    #[must_use]
    pub fn http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Records the `error` member of an OAuth error answer (RFC 6749 section 5.2).
    #[must_use]
    pub fn oauth_error(mut self, error: impl Into<String>) -> Self {
        self.0.oauth_error = Some(error.into());
        self
    }

    /// Records how many attempts were made.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// Records that the server's answer held a secret of ours.
    #[must_use]
    pub fn echoed_secret(mut self, echoed: bool) -> Self {
        self.0.echoed_secret = echoed;
        self
    }

    /// Adds the claims of the ID token that the failure is about, for the report.
    #[must_use]
    pub fn claims(mut self, claims: UnverifiedClaims) -> Self {
        self.0.claims = Some(claims);
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Where in the data flow it arose.
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// What happened, in one sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Labelled lines below the message.
    pub fn details(&self) -> &[(&'static str, String)] {
        &self.0.details
    }

    /// What to do: the exact cure of this failure, else the table's.
    pub fn cure(&self) -> &str {
        self.0.hint.as_deref().unwrap_or_else(|| self.0.code.cure())
    }

    /// The HTTP status, if one was received.
    pub fn status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// The OAuth error code, if one was received.
    pub fn oauth(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// The claims of the ID token that it is about.
    pub fn token_claims(&self) -> Option<&UnverifiedClaims> {
        self.0.claims.as_ref()
    }

    /// Whether the server's answer held a secret of ours.
    pub fn has_echo(&self) -> bool {
        self.0.echoed_secret
    }

    /// How many attempts were made, if requests were involved.
    pub fn attempt_count(&self) -> Option<u32> {
        self.0.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.0.code.name(), self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_kebab_case_and_explained() {
        let mut names = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let name = code.name();
            assert!(names.insert(name), "{name} is listed twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            assert!(code.cause().ends_with('.'), "{name}: the cause is a sentence");
            assert!(code.cure().len() > 10, "{name}: the cure helps");
            let message =
                code.example().strip_prefix(&format!("error[{name}]: ")).expect("it begins with its code");
            let mut lines = message.lines();
            assert!(
                lines.next().is_some_and(|line| line.len() > 10 && !line.ends_with('.')),
                "{name}: {message}"
            );
            assert!(
                lines.clone().all(|line| line.starts_with("  ") || line.starts_with("hint: "))
                    && lines.count() < 3,
                "{name}: details or the hint, two lines at most: {message}"
            );
            assert!(!message.contains("eyJ"), "{name}: no token");
            assert_eq!(Code::by_name(name), Some(*code));
        }
        assert_eq!(Code::by_name("no-such-code"), None);
    }

    #[test]
    fn exit_classes_have_the_contract_s_numbers() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|e| e.status()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 126, 127]);
        let under_exec: Vec<u8> = Exit::ALL.iter().map(|e| e.status_under_exec()).collect();
        assert_eq!(under_exec, [125, 125, 125, 125, 125, 125, 125, 125, 125, 125, 126, 127]);
        let retryable: Vec<u8> = Exit::ALL.iter().filter(|e| e.retryable()).map(|e| e.status()).collect();
        assert_eq!(retryable, [8]);
    }

    #[test]
    fn exactly_the_codes_without_an_identity_have_a_reason() {
        for code in Code::ALL {
            assert_eq!(code.reason().is_some(), code.exit() == Exit::NoIdentity, "{}", code.name());
        }
    }

    #[test]
    fn an_exact_hint_replaces_the_table_s_cure() {
        let error = Error::new(Code::ClaimAud, "x");
        assert_eq!(error.cure(), Code::ClaimAud.cure());
        assert_eq!(error.with_cure("y").cure(), "y");
    }
}
