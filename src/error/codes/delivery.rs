//! Codes of the stage `delivery`: handing the token over.

/// Passes its rows, behind those of the stages before, on to the next table.
macro_rules! delivery {
    ($next:ident $(, $rest:ident)*; $($before:tt)*) => {
        $next! { $($rest),*; $($before)* Delivery {
    OutOpen = "out-open", Delivery,
        "A place where the token or the report should go cannot be opened, or the runner would not read what is written there. This is checked first, so no token was requested.",
        "Check the path, its permissions and what is there already.",
        "the folder of \"/run/equinix/token.json\" cannot be opened: it does not exist";
    OutWrite = "out-write", Delivery,
        "Writing failed. Nothing half-written was left that could be taken for a token.",
        "Check the file system that the message names.",
        "standard output cannot be written: this user may not";
    OutFull = "out-full", Delivery,
        "The disk or quota is full.",
        "Free space on the file system that the message names.",
        "\"/run/token.json\" cannot be written: there is no space left";
    OutClosed = "out-closed", Delivery,
        "Standard output was closed before the token could be written.",
        "Keep the reading end of the pipe open until the program has ended.",
        "standard output was closed by its reader";
    OutRunnerFileMissing = "out-runner-file-missing", Delivery,
        "The runner's file for outputs or variables is not there.",
        "Run it as a step of a job: the runner sets GITHUB_OUTPUT and GITHUB_ENV, and makes their files. Elsewhere choose another --format.",
        "GITHUB_OUTPUT is not set, so there is no runner file to write to";
    OutPartial = "out-partial", Delivery,
        "The token goes to several places, and writing failed after the first, although there had been room for it. What was written stays there: removing it could remove what other processes have written.",
        "Mend what the message names, and run the step again; until then, let no later step use what was written.",
        "GITHUB_OUTPUT was written, but then the runner file of GITHUB_ENV cannot be written: there is no space left\n  code: out-full";
    DotenvTooLarge = "dotenv-too-large", Delivery,
        "With the token the dotenv report would have 5120 bytes or more. That is GitLab's limit, on gitlab.com and by default elsewhere. GitLab measures the report as it arrives, compressed, so a somewhat larger one could pass; how much larger depends on the token, and nothing should depend on that.",
        "Use the token in the job that gets it (--format env-file, or exec), or exchange again in the later job, which needs id_tokens: of its own.",
        "the access token is too long for a dotenv report\n  expected: fewer than 5120 bytes\n  found:    6021 bytes";
    MaskUndeliverable = "mask-undeliverable", Safety,
        "The runner hides a token in the log only if it is told to, and here that cannot be done. GitHub's and Forgejo's read it from this program's standard error, which does not reach them here; Buildkite's agent takes it from its own program.",
        "Do not redirect standard error of this step to a file or to /dev/null.",
        "standard error of this step does not reach the runner";
    OutInWorkspace = "out-in-workspace", Safety,
        "The output file lies inside the checkout, where artifacts, caches, container images and commits pick it up.",
        "Choose a path outside, in a folder that only this user can write to; the hint names one where there is one. Or consent with --allow-workspace.",
        "\"/builds/octo-group/octo-project/token.json\" lies inside the checkout\n  checkout: \"/builds/octo-group/octo-project\"";
    OutSymlink = "out-symlink", Safety,
        "The output path is a symbolic link, or other users could swap the file: they may write its folder or one on the way to it, or own one of these or a symbolic link among them.",
        "Choose a path in a folder that only this user can write to, on the whole way to it; the hint names one where there is one.",
        "\"/tmp/token.json\" is a symbolic link";
    OutTty = "out-tty", Safety,
        "The token would be shown on a terminal.",
        "Redirect standard output, choose a format that writes to a file, or consent with --force.",
        "the token would be shown on this terminal";
    OutTraced = "out-traced", Safety,
        "The shell traces every command with its values (CI_DEBUG_TRACE), so the token would be in the job log, where GitLab cannot mask it.",
        "Remove CI_DEBUG_TRACE from the job, or consent with --force.",
        "CI_DEBUG_TRACE is true, so the shell would write the token into the job log";
    ArtifactExposure = "artifact-exposure", Safety,
        "A dotenv report is an artifact: GitLab keeps it, whoever may see the job's artifacts can download it, in a public project everybody, and the log of a later job does not mask its values.",
        "Use the token in the job that gets it:\n    script:\n      - file=$(equinix-wif token --format env-file) || exit\n      - . \"$file\"\n      - rm -f \"$file\"\n      - terraform apply\nor let each job that needs a token get its own. If it has to be an artifact, restrict it (artifacts:access: developer, expire_in) and consent with --accept-artifact-exposure.",
        "the format gitlab-dotenv puts the token into an artifact\n  exposure: the platform keeps it, whoever may see the job's artifacts can download it, and nothing masks it later";
        } }
    };
}
