//! Codes of the stage `config`: arguments, environment and the command of `exec`.

/// Passes its rows, behind those of the stages before, on to the next table.
macro_rules! config {
    ($next:ident $(, $rest:ident)*; $($before:tt)*) => {
        $next! { $($rest),*; $($before)* Config {
    Internal = "internal", Internal,
        "The program met a state that should be impossible, or the machine refused something basic such as random numbers.",
        "Please report it with the output of the same run with -v. No token was handed over.",
        "the operating system gave no random numbers";
    SandboxFailed = "sandbox-failed", Internal,
        "The sandbox could not start: no loopback port or no temporary folder could be obtained.",
        "Check that 127.0.0.1 can be bound and that the temporary folder (TMPDIR) is writable.",
        "/tmp/equinix-wif-sandbox-0123 cannot be created: Permission denied (os error 13)";
    CfgUsage = "cfg-usage", Usage,
        "The command line could not be understood.",
        "Compare it with `equinix-wif --help`; flags and variables are listed in docs/reference/settings.md.",
        "unexpected argument '--scpe' found\nhint: a similar argument exists: '--scope'; equinix-wif token --help lists its flags.";
    CfgValueInvalid = "cfg-value-invalid", Usage,
        "A flag or variable has a value that it does not allow.",
        "The message names the setting, where it came from and what it allows.",
        "--sts-api has a value that it does not allow\n  expected: alpha or v1\n  found:    \"v2\"";
    CfgEnvNotUtf8 = "cfg-env-not-utf8", Usage,
        "An environment variable that the program reads is not valid UTF-8.",
        "Set the variable again, as plain text.",
        "the environment variable EQUINIX_WIF_AUDIENCE is not valid UTF-8";
    CfgSecretInArgv = "cfg-secret-in-argv", Usage,
        "An argument looks like a token. Arguments are visible to every user of the machine and in traced logs.",
        "Pass tokens by --subject-token-env NAME or --subject-token-file PATH, and treat the one that was on the command line as disclosed.",
        "an argument looks like a token";
    CfgScopeMissing = "cfg-scope-missing", Usage,
        "No scope was given, so it is unknown what the access token should be good for.",
        "Pass --scope (in the GitHub action: the input scope) or set EQUINIX_TOKEN_EXCHANGE_SCOPE: an access-policy ERN (ern:…) or roleassignments:<org-id>.",
        "no scope is set";
    CfgScopeInvalid = "cfg-scope-invalid", Usage,
        "The scope does not have the shape of any Equinix scope.",
        "Use an access-policy ERN (ern:<cloud>:<service>:<region>:<project>:<type>:<id>), roleassignments:<org-id>, projectpolicies:<project-id> or orgpolicies:<org-id>.",
        "the scope \"accesspolicy:web\" is the id of an access policy, not its ERN";
    CfgAudienceMissing = "cfg-audience-missing", Usage,
        "This platform makes an ID token on request and needs an audience for it. There is no safe default: GitHub's own default audience is shared by everybody who did not choose one.",
        "Pass --audience (in the GitHub action: the input audience) or set EQUINIX_WIF_AUDIENCE to one of the trusted client ids of your OIDC provider at Equinix.",
        "no audience is set, and GitHub Actions needs one to issue an ID token";
    CfgIssuerMissing = "cfg-issuer-missing", Usage,
        "A signature can only be verified with the keys of a known issuer, and a token from a variable or file does not say which issuer to believe.",
        "Name the issuer: --expect iss=https://….",
        "it is not known whose keys the signature should be verified with";
    CfgEndpointInvalid = "cfg-endpoint-invalid", Usage,
        "The STS endpoint is not a plain https base URL.",
        "Use the form https://host or https://host:port, without path, query, fragment or user name.",
        "--sts-endpoint has something after the host\n  expected: https://sts.eqix.equinix.com";
    CfgEnvNameInvalid = "cfg-env-name-invalid", Usage,
        "The name for the token's variable is not a variable name, is a setting of this program, or may change how other programs behave: it contains neither TOKEN nor EQUINIX, or it is known to belong to another program.",
        "Choose a name of letters, digits and underscores that contains TOKEN or EQUINIX and that no other program reads, such as EQUINIX_API_TOKEN, or consent to another one with --force.",
        "--env-name cannot be \"PATH\": that variable may change how other programs behave";
    CfgProviderAmbiguous = "cfg-provider-ambiguous", Usage,
        "The environment looks like more than one CI platform at once.",
        "Pass --provider with the one whose identity this job should use.",
        "this looks like GitHub Actions (github) and GitLab CI (gitlab) at once";
    CfgCaFile = "cfg-ca-file", Usage,
        "The file with additional certificates cannot be read or holds no certificate.",
        "Point --ca-file, EQUINIX_WIF_CA_FILE or SSL_CERT_FILE to a readable PEM file, or unset it.",
        "--ca-file \"/etc/ssl/internal.pem\" cannot be read: there is no such file";
    CfgProxyInvalid = "cfg-proxy-invalid", Usage,
        "The proxy variable does not hold the URL of an http or https proxy. It is not skipped silently, since the request would then go out directly.",
        "Set HTTPS_PROXY to http://host:port, or pass --no-proxy to connect directly.",
        "HTTPS_PROXY does not hold the URL of a proxy: only http and https proxies are supported";
    CfgRequestInvalid = "cfg-request-invalid", Usage,
        "The program that runs this one has to say what it wants, and what it said could not be understood: Terraform's data source external in a query on standard input, a Kubernetes client in KUBERNETES_EXEC_INFO.",
        "Run it from there: as the program of a data source external, or as the exec plugin of a kubeconfig. docs/reference/formats.md shows both and lists what a query may hold. Elsewhere choose another --format.",
        "the query has a member \"scpe\" that is not known\n  known: scope, audience, expect, min_ttl, provider, sts_api, sts_endpoint, subject_token_env, timeout, validation";
    EndpointUntrusted = "endpoint-untrusted", Safety,
        "A variable names a host, or another identity, that an earlier step could have planted to collect the ID token.",
        "If it is right, say so with the flag that belongs to it, such as --sts-endpoint, --api-endpoint, --grant or --ca-file.",
        "EQUINIX_STS_ENDPOINT names https://sts.example, which is not a host under equinix.com";
    RenewalFailed = "renewal-failed", Internal,
        "A run with `--renew` could not start: no loopback port or no thread could be had.",
        "Check that 127.0.0.1 can be bound, and the limits on open files and processes (ulimit -n, ulimit -u).",
        "no port of 127.0.0.1 can be had: permission denied";
    RenewalUnclear = "renewal-unclear", Safety,
        "The environment says in part that this runs inside `equinix-wif exec --renew`, and in part that it does not. An earlier step could have planted the one to hand over a token of its own.",
        "Inside such a run leave its variables as they are. Outside of it unset EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN and EQUINIX_STS_ENDPOINT, and find out which step set them.",
        "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN holds a handle of equinix-wif exec --renew, but EQUINIX_STS_ENDPOINT is not set";
    InsecureUrl = "insecure-url", Safety,
        "A URL that secrets would be sent to is not https, or is written in a way that hides where it leads.",
        "Use https. Plain http is allowed for loopback addresses only.",
        "--sts-endpoint is not a URL for the STS: it is http, and only loopback addresses may be reached without TLS";
    CmdNotExecutable = "cmd-not-executable", NotExecutable,
        "The command after -- exists, but it cannot be run. If its permissions show that, no token was requested.",
        "Check its permissions and, of a script, its first line.",
        "the command \"./deploy.sh\" cannot be run: it is not executable";
    CmdNotFound = "cmd-not-found", NotFound,
        "The command after --, or the interpreter that its first line names, was not found. This is checked before a token is requested.",
        "Check its spelling, PATH, and that an earlier step has installed it.",
        "the command \"terrafrom\" was not found";
    CfgGrantMismatch = "cfg-grant-mismatch", Usage,
        "A setting was given that the chosen grant has no use for, or cannot be combined with.",
        "Leave the setting out, or choose the grant that takes it (--grant). `equinix-wif token --help` lists the grants.",
        "--scope is set, but the grant client-credentials has no scope";
    CfgGrantRetired = "cfg-grant-retired", Usage,
        "The grant was retired by Equinix, so it is refused by default.",
        "Use --grant client-credentials, which needs no user's password, or workload identity (--grant token-exchange). If it still works for you, --force goes on.",
        "the grant password was retired by Equinix in January 2025";
    CfgCredentialsConflict = "cfg-credentials-conflict", Usage,
        "Two variables for the same part of the client's credentials are set, and they differ.",
        "Unset one of them: EQUINIX_API_CLIENTID and EQUINIX_API_CLIENTSECRET are what Terraform and Pulumi read, EQUINIX_CLIENT_ID and EQUINIX_CLIENT_SECRET what the `equinix` CLI reads.",
        "EQUINIX_API_CLIENTID and EQUINIX_CLIENT_ID are both set, to different values";
    CfgSecretInvalid = "cfg-secret-invalid", Usage,
        "A client secret, password or refresh token cannot be the right one. It was not sent: an account locks after five wrong attempts in a row.",
        "Check what is in the variable or file. A secret has at least 8 characters on one line; a line break at its end does not matter.",
        "--client-secret-file holds a secret of fewer than 8 characters, which cannot be the right one";
    CfgSecretFile = "cfg-secret-file", Usage,
        "A file that is named for a secret cannot be read.",
        "Check the path and that this user may read the file; - is standard input, for one secret.",
        "--client-secret-file \"/run/secrets/equinix\" cannot be read: there is no such file";
    ListenFailed = "listen-failed", Usage,
        "The local service cannot listen where it should: something else is there already, or it is not permitted.",
        "End what is there, or name another place with --rest-listen and --mcp-listen: a loopback address with a port (0 = any), or unix:PATH in a folder of your own.",
        "127.0.0.1:8080 cannot be listened at: something else is there already";
    ServeUnauthorized = "serve-unauthorized", Safety,
        "Somebody asked the local service for a token without its bearer, or with another one.",
        "Send the bearer as `Authorization: Bearer`, or as client_secret of the client equinix-wif. The service's log names its file.",
        "the bearer of this service is missing or wrong";
    ServeForeignClient = "serve-foreign-client", Safety,
        "The local service obtains tokens by its own grant, and was asked with the credentials of a client. It does not send them anywhere.",
        "Leave out client_id and client_secret, or start the service with --backend pass-through.",
        "this service hands out tokens of its own grant, and takes no other client";
    ServeGrantUnsupported = "serve-grant-unsupported", Safety,
        "The local service obtains tokens by its own grant, and was asked for another one.",
        "Leave out grant_type, or start the service with --backend pass-through.",
        "this service hands out tokens of its own grant; grant_type can only be client_credentials";
        } }
    };
}
