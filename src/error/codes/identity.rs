//! Codes of the stage `identity`: finding the platform and fetching the ID token.

/// Passes its rows, behind those of the stages before, on to the next table.
macro_rules! identity {
    ($next:ident $(, $rest:ident)*; $($before:tt)*) => {
        $next! { $($rest),*; $($before)* Identity {
    AmbientNotCi = "ambient-not-ci", NoIdentity,
        "No supported CI platform was recognised, so there is no job identity to start from.",
        "Run it inside a job of a platform that it knows (docs/reference/platforms.md), or hand over an ID token with --subject-token-env or --subject-token-file. `equinix-wif sandbox` shows the whole flow without any CI.",
        "this does not look like a CI job with an identity\n  looked at: no variable that tells a platform is set";
    GhIdTokenPermission = "gh-id-token-permission", NoIdentity,
        "GitHub gave this job no way to ask for an ID token: the workflow lacks the permission id-token: write.",
        "Add to the job:\n    permissions:\n      id-token: write\n      contents: read\nIn a reusable workflow the calling job needs it too. If it is there, the variables were lost: docker run needs -e ACTIONS_ID_TOKEN_REQUEST_URL -e ACTIONS_ID_TOKEN_REQUEST_TOKEN, sudo needs --preserve-env, and act has no ID tokens.",
        "this job may not ask GitHub for an ID token\n  event: \"push\"";
    GhForkPr = "gh-fork-pr", NoIdentity,
        "This run was started by a pull request from a fork, and GitHub gives such runs no ID token.",
        "Skip this step for forks (if: github.event.pull_request.head.repo.full_name == github.repository), or run it after the merge.",
        "GitHub gives no ID token to a pull request from a fork\n  event: \"pull_request\"";
    GhDependabot = "gh-dependabot", NoIdentity,
        "This run was started by Dependabot, and GitHub gives it read permissions only, unless the job itself asks for more.",
        "Add to the job, if your policy allows it:\n    permissions:\n      id-token: write\n      contents: read\nOtherwise skip this step for Dependabot (if: github.actor != 'dependabot[bot]').",
        "GitHub gives no ID token to this run that Dependabot started: the job does not ask for the permission\n  actor: \"dependabot[bot]\"";
    GhRequestIncomplete = "gh-request-incomplete", NoIdentity,
        "Only one of GitHub's two ID-token variables is usable. The runner always sets both or none, so something changed the environment.",
        "Look for an earlier step that writes ACTIONS_ID_TOKEN_REQUEST_… to GITHUB_ENV, and for `env:` blocks that unset one of them.",
        "ACTIONS_ID_TOKEN_REQUEST_URL is set, but ACTIONS_ID_TOKEN_REQUEST_TOKEN is not";
    IdTokenNotOffered = "id-token-not-offered", NoIdentity,
        "The platform gave this job no way to ask for an ID token, or only a part of it: the job's definition does not ask for it, or something has taken it away.",
        "The message names what is missing, and docs/reference/platforms has the lines for each platform. A container, sudo or ssh may have lost the variables.",
        "this job may not ask Forgejo for an ID token";
    GlIdTokensMissing = "gl-id-tokens-missing", NoIdentity,
        "This GitLab job has no ID token in the variable that was looked at.",
        "Add to the job:\n    id_tokens:\n      EQUINIX_WIF_SUBJECT_TOKEN:\n        aud: <a trusted client id of your OIDC provider at Equinix>",
        "the variable EQUINIX_WIF_SUBJECT_TOKEN is not set or empty";
    TokenEnvEmpty = "token-env-empty", NoIdentity,
        "The variable that should hold the ID token is not set or empty.",
        "Set it in the step before, or name another one with --subject-token-env.",
        "the variable MY_ID_TOKEN is not set or empty";
    TokenEnvUnexpanded = "token-env-unexpanded", NoIdentity,
        "The variable holds the literal name of another variable: somewhere it was not expanded.",
        "Give the variable the token itself. In GitLab, declare it under id_tokens: instead of copying it under variables:.",
        "the variable MY_ID_TOKEN holds the unexpanded text \"$OTHER_TOKEN\" instead of a token";
    TokenEnvPadded = "token-env-padded", NoIdentity,
        "The ID token in the variable has white space around or inside it, so it was changed on its way.",
        "Copy the token without quotes, spaces or line breaks. In GitLab, declare it under id_tokens: and use it as it is.",
        "the token in the variable MY_ID_TOKEN has white space around it";
    TokenFileUnreadable = "token-file-unreadable", NoIdentity,
        "The file that should hold the ID token cannot be read, is empty or is not a regular file.",
        "Check the path and its permissions; use --subject-token-file - to read from standard input.",
        "no ID token could be read from \"/run/id-token\": there is no such file";
    IdTokenHttp = "id-token-http", IdToken,
        "The platform's ID-token endpoint refused the request.",
        "See the status in the message. On a self-hosted runner, check that nothing rewrites the ACTIONS_ID_TOKEN_REQUEST_… variables.",
        "GitHub's ID-token endpoint at https://run-actions-1.actions.githubusercontent.com refused the request (401)";
    IdTokenRedirect = "id-token-redirect", IdToken,
        "The ID-token endpoint answered with a redirect. Redirects are never followed, since the bearer would go along.",
        "Check for a proxy or captive portal between the runner and the platform.",
        "GitHub's ID-token endpoint answered with a redirect (302) to \"https://login.example\", which was not followed";
    IdTokenNotJson = "id-token-not-json", IdToken,
        "The ID-token endpoint answered with something that is not the JSON it documents.",
        "Check for a proxy or captive portal between the runner and the platform.",
        "GitHub's ID-token endpoint answered with 812 bytes of \"text/html\": it is not valid JSON (line 1, column 1)";
    IdTokenTooLarge = "id-token-too-large", IdToken,
        "The ID token, or the answer that should hold it, is larger than any real one.",
        "Check what answers at the ID-token endpoint, or what wrote the variable or file.",
        "the ID token has 20000 bytes; more than 16384 are not accepted";
    IdTokenHelper = "id-token-helper", IdToken,
        "The platform's own program, which asks for the ID token, failed or did not answer.",
        "See what it said. Run the same command in the job by itself; it writes the ID token to standard output, so send that to /dev/null.",
        "buildkite-agent gave no ID token: it ended with 1 and said \"fatal: the audience is not allowed\"";
    IdTokenNotReady = "id-token-not-ready", Transient,
        "GitHub refused the ID token because it does not see the job as running yet, also after retries.",
        "Run the job again.",
        "GitHub does not see this job as running yet (403)";
    ClientCredentialsMissing = "client-credentials-missing", NoIdentity,
        "The chosen grant needs a client id and secret (or a refresh token, or a password), and there is none. Runs of forks get none.",
        "Set EQUINIX_API_CLIENTID and EQUINIX_API_CLIENTSECRET (or EQUINIX_CLIENT_ID and EQUINIX_CLIENT_SECRET) from the platform's secret store; a file can hold the secret instead (--client-secret-file). --on-unavailable skip goes on without a token.",
        "there is no client id and secret for the Equinix API";
        } }
    };
}
