//! The commands: their names, what the help says of them, and what they take besides flags.

use crate::cli::row::Row;
use crate::cli::table::ROWS;

/// A command of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `token`
    Token,
    /// `exec`
    Exec,
    /// `id-token`
    IdToken,
    /// `inspect`
    Inspect,
    /// `doctor`
    Doctor,
    /// `policies`
    Policies,
    /// `explain`
    Explain,
    /// `sandbox`
    #[cfg(feature = "sandbox")]
    Sandbox,
    /// `completions`
    Completions,
    /// `man`
    Man,
    /// `help`
    Help,
    /// `version`
    Version,
}

/// The texts of the help about a command.
pub struct Facts {
    /// The word on the command line.
    pub name: &'static str,
    /// A description on one line.
    pub about: &'static str,
    /// Examples: the command line, and its purpose.
    pub examples: [(&'static str, &'static str); 2],
    /// The argument that it takes besides flags.
    pub operand: Option<Operand>,
}

/// The argument that a command takes besides flags.
pub struct Operand {
    /// The word that stands for it in the help.
    pub name: &'static str,
    /// One line about it.
    pub help: &'static str,
    /// True if it has to be there.
    pub is_required: bool,
    /// True if it is a command with its arguments, which goes after `--`.
    pub is_command: bool,
    /// The words that it takes, for completions and help.
    pub words: fn() -> Vec<&'static str>,
}

impl Command {
    /// Every command, in the order of the help.
    pub const ALL: &'static [Self] = &[
        Self::Token,
        Self::Exec,
        Self::IdToken,
        Self::Inspect,
        Self::Doctor,
        Self::Policies,
        Self::Explain,
        #[cfg(feature = "sandbox")]
        Self::Sandbox,
        Self::Completions,
        Self::Man,
        Self::Help,
        Self::Version,
    ];

    /// The command of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|command| command.name() == name)
    }

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The flags that it has.
    pub fn rows(self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter().copied().filter(move |row| row.on.contains(&self))
    }

    /// Returns what the help says of it.
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::Token => &TOKEN,
            Self::Exec => &EXEC,
            Self::IdToken => &ID_TOKEN,
            Self::Inspect => &INSPECT,
            Self::Doctor => &DOCTOR,
            Self::Policies => &POLICIES,
            Self::Explain => &EXPLAIN,
            #[cfg(feature = "sandbox")]
            Self::Sandbox => &SANDBOX,
            Self::Completions => &COMPLETIONS,
            Self::Man => &MAN,
            Self::Help => &HELP,
            Self::Version => &VERSION,
        }
    }
}

static TOKEN: Facts = Facts {
    name: "token",
    about: "Exchange the job's ID token for an Equinix access token and hand it over",
    examples: [
        (
            "equinix-wif token --audience my-audience --scope roleassignments:<org-id>",
            "in a GitHub job: the token is an output of the step",
        ),
        (
            ". \"$(equinix-wif token --scope roleassignments:<org-id>)\"",
            "in a GitLab job: the token is a variable of the shell",
        ),
    ],
    operand: None,
};

static EXEC: Facts = Facts {
    name: "exec",
    about: "Exchange the job's ID token for an Equinix access token and run a command with it",
    examples: [
        (
            "equinix-wif exec --scope roleassignments:<org-id> -- terraform apply",
            "no other step of the job gets the token",
        ),
        (
            "equinix-wif exec --scope orgpolicies:<org-id> --env-name METAL_AUTH_TOKEN -- ./deploy.sh",
            "for a tool with a variable of its own",
        ),
    ],
    operand: Some(Operand {
        name: "CMD",
        help: "Command to run, with its arguments",
        is_required: true,
        is_command: true,
        words: Vec::new,
    }),
};

static ID_TOKEN: Facts = Facts {
    name: "id-token",
    about: "Hand over the job's ID token itself, for tools that exchange it on their own",
    examples: [
        (
            ". \"$(equinix-wif id-token --audience my-audience --format env-file)\"",
            "for the Equinix Terraform provider, which exchanges it",
        ),
        (
            "equinix-wif id-token --audience my-audience --format raw --output id-token.jwt --allow-workspace",
            "for a tool that reads a file",
        ),
    ],
    operand: None,
};

static INSPECT: Facts = Facts {
    name: "inspect",
    about: "Show who this job is and what an Equinix administrator has to enter to trust it",
    examples: [
        ("equinix-wif inspect --audience my-audience", "for people"),
        (
            "equinix-wif inspect --audience my-audience --format json --project-id <project-id>",
            "for programs, with the project's id in the requests",
        ),
    ],
    operand: None,
};

static DOCTOR: Facts = Facts {
    name: "doctor",
    about: "Check every step between this job and a token",
    examples: [
        (
            "equinix-wif doctor --audience my-audience --scope roleassignments:<org-id>",
            "no token is sent to the STS",
        ),
        (
            "equinix-wif doctor --audience my-audience --scope roleassignments:<org-id> --exchange",
            "with a real exchange",
        ),
    ],
    operand: None,
};

static POLICIES: Facts = Facts {
    name: "policies",
    about: "List the access policies that are granted to this job, which are scopes that it may ask for",
    examples: [
        ("equinix-wif policies --audience my-audience --project-id project:<id>", "for people"),
        (
            "equinix-wif policies --audience my-audience --project-id project:<id> --format json",
            "for programs",
        ),
    ],
    operand: None,
};

static EXPLAIN: Facts = Facts {
    name: "explain",
    about: "Show an error code's cause and cure, with an example; without a code, list them all",
    examples: [("equinix-wif explain claim-aud", "one code"), ("equinix-wif explain", "all of them")],
    operand: Some(Operand {
        name: "CODE",
        help: "The code, e.g. claim-aud",
        is_required: false,
        is_command: false,
        words: || crate::error::Code::ALL.iter().map(|code| code.name()).collect(),
    }),
};

#[cfg(feature = "sandbox")]
static SANDBOX: Facts = Facts {
    name: "sandbox",
    about: "Try everything against a local issuer and STS; nothing in it is real",
    examples: [
        ("equinix-wif sandbox --fault expired-token", "a job that fails, explained"),
        ("equinix-wif sandbox --platform gitlab -- equinix-wif inspect", "any command in such a job"),
    ],
    operand: Some(Operand {
        name: "CMD",
        help: "Command to run in a job of that platform; without one, the main job runs and is explained",
        is_required: false,
        is_command: true,
        words: Vec::new,
    }),
};

static COMPLETIONS: Facts = Facts {
    name: "completions",
    about: "Print a script that completes commands, flags and their values in a shell",
    examples: [
        ("source <(equinix-wif completions bash)", "in this shell"),
        (
            "equinix-wif completions fish > ~/.config/fish/completions/equinix-wif.fish",
            "in every fish from now on",
        ),
    ],
    operand: Some(Operand {
        name: "SHELL",
        help: "Shell: bash, elvish, fish, powershell, zsh",
        is_required: true,
        is_command: false,
        words: || crate::cli::completions::SHELLS.to_vec(),
    }),
};

static MAN: Facts = Facts {
    name: "man",
    about: "Print the manual page",
    examples: [
        ("equinix-wif man | man -l -", "to read it now"),
        ("equinix-wif man > ~/.local/share/man/man1/equinix-wif.1", "for man equinix-wif"),
    ],
    operand: None,
};

static HELP: Facts = Facts {
    name: "help",
    about: "Print the help of this program or of one of its commands",
    examples: [
        ("equinix-wif help", "as equinix-wif --help"),
        ("equinix-wif help token", "as equinix-wif token --help"),
    ],
    operand: Some(Operand {
        name: "COMMAND",
        help: "The command, e.g. token",
        is_required: false,
        is_command: false,
        words: || Command::ALL.iter().map(|command| command.name()).collect(),
    }),
};

static VERSION: Facts = Facts {
    name: "version",
    about: "Print the version",
    examples: [
        ("equinix-wif version", "as equinix-wif --version"),
        ("equinix-wif version | cut -d' ' -f2", "the number alone"),
    ],
    operand: None,
};
