//! Codes of the stage `exchange`: asking the STS, and the network on the way to any server.

/// Passes its rows, behind those of the stages before, on to the next table.
macro_rules! exchange {
    ($next:ident $(, $rest:ident)*; $($before:tt)*) => {
        $next! { $($rest),*; $($before)* Exchange {
    StsDenied = "sts-denied", Refused,
        "The STS refused the exchange.",
        "Compare issuer, audience and subject as shown with the OIDC provider and the grant at Equinix; they are compared exactly.",
        "the STS refused the exchange: \"invalid_request\" (400)\n  subject:  \"repo:octo-org@1234/octo-repo@5678:ref:refs/heads/main\"";
    StsScopeDenied = "sts-scope-denied", Refused,
        "The STS accepted the identity but not the scope.",
        "Check that the access policy or role is granted to exactly this subject, and that the scope names that policy's ERN or that organization.",
        "the STS refused the exchange: \"invalid_scope\" (400)\n  scope:    \"roleassignments:00000000-0000-4000-8000-000000000001\"";
    StsIdTokenUsed = "sts-id-token-used", Refused,
        "The STS has exchanged this ID token before and refused it the second time. The platform gives the job only this one, so the run cannot renew its access token.",
        "If it was refused the second time, the STS takes each ID token only once: split the work into jobs that end before their access token does, and tell Equinix, whose Terraform provider exchanges an ID token more than once as well. If it had been taken several times, something has changed at Equinix meanwhile: look at the OIDC provider and the grant.",
        "the STS has exchanged this ID token before, and refuses it now: \"invalid_grant\" (400)";
    StsForbidden = "sts-forbidden", Refused,
        "The STS, or something in front of it, forbade the request.",
        "Check whether STS is enabled for your organization (it is in limited availability) and whether a proxy or firewall answers in its place.",
        "the STS refused the exchange (403)\n  answer:   812 bytes of \"text/html\"";
    StsEndpointNotFound = "sts-endpoint-not-found", Refused,
        "There is no token endpoint at this address and path.",
        "Try the other API version (--sts-api alpha is /use/token, --sts-api v1 is /v1/token) and check --sts-endpoint. The ID token is never sent to a second path by itself.",
        "there is no token endpoint at https://sts.eqix.equinix.com/use/token (404)";
    StsRedirect = "sts-redirect", Refused,
        "The STS answered with a redirect. Redirects are never followed, since the ID token would go along.",
        "Check --sts-endpoint, and whether a proxy or captive portal answers in its place.",
        "the STS answered with a redirect (302) to \"https://login.example\", which was not followed";
    StsNotJson = "sts-not-json", Protocol,
        "The STS answered success, but not with JSON.",
        "Check --sts-endpoint, and whether a proxy or captive portal answers in its place. Report it to Equinix if it does come from the STS.",
        "the STS answered success, but not with JSON: 812 bytes of media type \"text/html\"";
    StsTooLarge = "sts-too-large", Protocol,
        "The STS's answer is larger than any real one.",
        "Check what answers at --sts-endpoint.",
        "the body of the answer of the STS at https://sts.eqix.equinix.com is larger than 256 KiB";
    StsResponseInvalid = "sts-response-invalid", Protocol,
        "The STS's answer lacks a required member, or one of them has a value that cannot be right. The token was discarded.",
        "Report it to Equinix with the message, which names the member and holds no secret.",
        "the STS's answer has no expires_in";
    StsResponseAmbiguous = "sts-response-ambiguous", Protocol,
        "The STS answered success and error at once. The token, if any, was discarded.",
        "Report it to Equinix.",
        "the STS answered with status 200 and an error member\n  error: \"server_error\"";
    StsTokenType = "sts-token-type", Protocol,
        "The STS issued a token that is not a bearer token, so the next step could not use it.",
        "Report it to Equinix.",
        "the STS issued a token of another type than Bearer\n  found: \"DPoP\"";
    StsIssuedTokenType = "sts-issued-token-type", Protocol,
        "The STS issued something else than an access token (RFC 8693 section 2.2.1).",
        "Report it to Equinix.",
        "the STS issued something else than an access token\n  found:    \"urn:ietf:params:oauth:token-type:refresh_token\"";
    StsUnexpectedStatus = "sts-unexpected-status", Protocol,
        "The STS answered with a status that the token exchange does not know.",
        "Check --sts-endpoint, and whether a proxy answers in its place.",
        "the STS answered with the unexpected status 204";
    ScopeMismatch = "scope-mismatch", Protocol,
        "The STS granted more than was asked for. The token was discarded.",
        "Report it to Equinix; do not use a token that can do more than intended.",
        "the STS granted more than was asked for\n  asked:   \"roleassignments:org-1\"\n  granted: \"roleassignments:org-1 orgpolicies:org-1\"";
    TokenTtlTooShort = "token-ttl-too-short", Protocol,
        "The access token expires sooner than --min-ttl allows. It was discarded.",
        "Lower --min-ttl if the next step is quick. How long a token lives is the STS's decision; a request cannot ask for more.",
        "the access token expires too soon\n  expected: at least 900 s (--min-ttl)\n  found:    300 s";
    NetDns = "net-dns", Transient,
        "The host's name could not be resolved.",
        "Check the name, and the machine's DNS and proxy settings; then run the job again.",
        "the name sts.eqix.equinix.com does not exist";
    NetConnect = "net-connect", Transient,
        "No connection could be made.",
        "Check that the machine may reach the host (firewall, proxy, HTTPS_PROXY); then run the job again.",
        "the STS at https://sts.eqix.equinix.com could not be reached: connection refused";
    NetTimeout = "net-timeout", Transient,
        "The other side did not answer in time.",
        "Run the job again; if it persists, check firewall and proxy.",
        "the STS at https://sts.eqix.equinix.com did not answer completely within 15 s";
    NetReset = "net-reset", Transient,
        "The connection broke before the answer came, or the answer was not HTTP.",
        "Run the job again; if it persists, check firewall and proxy.",
        "the STS at https://sts.eqix.equinix.com closed the connection without an answer";
    NetTruncated = "net-truncated", Transient,
        "The answer ended too early. Part of an answer is never used.",
        "Run the job again; if it persists, check the proxy.",
        "the answer of the STS at https://sts.eqix.equinix.com ended too early";
    TlsHandshake = "tls-handshake", Transient,
        "The TLS connection could not be set up, for a reason other than the certificate.",
        "Run the job again; if it persists, check for a proxy that intercepts TLS or a server without TLS 1.2.",
        "the TLS handshake with the STS at https://sts.eqix.equinix.com broke off";
    ProxyConnect = "proxy-connect", Transient,
        "The proxy could not be used to reach the host.",
        "Check HTTPS_PROXY and NO_PROXY, and whether the proxy allows the host.",
        "the proxy http://proxy.example:3128 could not be reached: connection refused";
    ProxyAuth = "proxy-auth", Usage,
        "The proxy asks for a user name and password (status 407).",
        "Put the credentials into HTTPS_PROXY (http://user:password@host:port), or exempt the host in NO_PROXY. Only the scheme Basic is supported.",
        "the proxy http://proxy.example:3128 asks for a user name and password (407)\n  offered: Negotiate, Basic";
    ProxyRefused = "proxy-refused", Usage,
        "The proxy answered that it does not connect to this host. Asking again would not change that.",
        "Have the host allowed at the proxy, or exempt it in NO_PROXY if it can be reached directly.",
        "the proxy http://proxy.example:3128 refused to connect to the STS at https://sts.eqix.equinix.com (403)";
    RateLimited = "rate-limited", Transient,
        "The server asked to slow down (status 429).",
        "Run the job again later; spread out jobs that start at the same time.",
        "the STS asks to slow down (429)";
    StsConflict = "sts-conflict", Transient,
        "The STS answered with a conflict (status 409). Equinix's own Terraform provider tries again then, and so does this program.",
        "Run the job again.",
        "the STS answered with a conflict (409)";
    ServerError = "server-error", Transient,
        "The server failed or was overloaded.",
        "Run the job again; check status.equinix.com or the platform's status page if it persists.",
        "the STS failed (503)";
    Deadline = "deadline", Transient,
        "The time for the whole run (--timeout) was used up.",
        "Run the job again; raise --timeout if the network is slow.",
        "the time for this run was used up before the STS had answered";
    TlsVerify = "tls-verify", Safety,
        "The server's certificate is not trusted, so it may be somebody else. Nothing was sent.",
        "If a private certificate authority is in use, add it with --ca-file: the system's store is not read, so for what it trusts give its bundle, such as /etc/ssl/certs/ca-certificates.crt or /etc/pki/tls/certs/ca-bundle.crt. If the certificate is reported as expired or not yet valid, check this machine's clock.",
        "the certificate of the STS at https://sts.eqix.equinix.com is not trusted: it was not issued by a trusted authority";
    ApiLoginFailed = "api-login-failed", Refused,
        "The Equinix API refused the login: the client id, the secret, the password or the refresh token is wrong, or belongs to another environment.",
        "Compare them with \"My Apps\" in Equinix's developer portal. Do not simply run the job again: an account locks after five wrong attempts in a row.",
        "the Equinix API refused the login (500)\n  Equinix says: \"Login Failure, please try again. (S1006)\"";
    ApiAccountLocked = "api-account-locked", Refused,
        "The Equinix API says that the account is locked, as it is after five wrong attempts in a row.",
        "Have an administrator unlock the account, and find the job that sends a wrong secret, before anything is tried again.",
        "the Equinix API says that the account is locked (400)";
    ApiGrantRetired = "api-grant-retired", Refused,
        "The Equinix API no longer knows this grant.",
        "Use --grant client-credentials, or workload identity (--grant token-exchange).",
        "the Equinix API no longer knows this grant (400)";
    ApiDenied = "api-denied", Refused,
        "The Equinix API refused the request.",
        "Read what Equinix says, and give the request's id to Equinix's support. Do not simply run the job again: an account locks after five wrong attempts in a row.",
        "the Equinix API refused the request (400)\n  Equinix says: \"the request is not valid (4002)\"";
    ApiEndpointNotFound = "api-endpoint-not-found", Refused,
        "There is no such API at this address.",
        "Check --api-endpoint: the base URL alone, without a path.",
        "there is no /oauth2/v1/token at https://api.equinix.com (404)";
    ApiRedirect = "api-redirect", Refused,
        "The Equinix API answered with a redirect. Redirects are never followed, since the secret would go along.",
        "Check --api-endpoint, and whether a proxy or captive portal answers in its place.",
        "the Equinix API answered with a redirect (302) to \"https://login.example\", which was not followed";
    ApiNotJson = "api-not-json", Protocol,
        "The Equinix API answered success, but not with JSON.",
        "Check --api-endpoint, and whether a proxy or captive portal answers in its place. Report it to Equinix if it does come from the API.",
        "the Equinix API answered success, but not with JSON: 812 bytes of media type \"text/html\"";
    ApiTooLarge = "api-too-large", Protocol,
        "The Equinix API's answer is larger than any real one.",
        "Check what answers at --api-endpoint.",
        "the body of the answer of the Equinix API at https://api.equinix.com is larger than 256 KiB";
    ApiResponseInvalid = "api-response-invalid", Protocol,
        "The Equinix API's answer lacks a member, or one of them has a value that cannot be right. The token was discarded.",
        "Report it to Equinix with the message, which names the member and holds no secret.",
        "the Equinix API's token_timeout is \"0\", which is no life of a token in seconds";
    ApiUnexpectedStatus = "api-unexpected-status", Protocol,
        "The Equinix API answered with a status that it does not document.",
        "Check --api-endpoint, and whether a proxy answers in its place.",
        "the Equinix API answered with the unexpected status 204";
        } }
    };
}
