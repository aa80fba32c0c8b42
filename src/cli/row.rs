//! The shape of a setting: what the command line, the help, the completions, the manual page and the reference page are
//! made from, and how its value is read.

use crate::cli::commands::Command;

/// One flag, with all that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The flag with its dashes. It is also the name of the setting in messages; two rows may share one when they belong
    /// to different commands.
    pub flag: &'static str,
    /// The same flag in one letter.
    pub short: Option<char>,
    /// The environment variable that counts when the flag is not given.
    pub var: Option<&'static str>,
    /// A variable of everybody's that counts when `var` is not set either.
    pub or_var: Option<&'static str>,
    /// The kind of value.
    pub arity: Arity,
    /// The words that it takes, for completions and help. The value is checked by the setting's `parse`.
    pub words: fn() -> Vec<&'static str>,
    /// The value when none is given, as it would be typed.
    pub default: Option<&'static str>,
    /// The group in the help.
    pub heading: Heading,
    /// One line about it.
    pub help: &'static str,
    /// The commands that have it.
    pub on: &'static [Command],
    /// The other places where it can be set.
    pub expose: &'static [Expose],
}

impl Row {
    /// A row to which only what differs is added.
    pub const NEW: Self = Self {
        flag: "",
        short: None,
        var: None,
        or_var: None,
        arity: Arity::Switch,
        words: Vec::new,
        default: None,
        heading: Heading::General,
        help: "",
        on: &[],
        expose: &[],
    };

    /// The flag without its dashes: the name in the report and of the input of the action.
    pub fn name(&self) -> &'static str {
        self.flag.trim_start_matches('-')
    }

    /// The name as a member of a query, where a dash would need quotation marks.
    pub fn member(&self) -> String {
        self.name().replace('-', "_")
    }
}

/// The kind of value that a flag takes, with the word that stands for it in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// None: the flag is there or not. Its variable is `true` or `false`.
    Switch,
    /// One text.
    Text(&'static str),
    /// One number.
    Number(&'static str),
    /// One path, which need not be UTF-8.
    Path(&'static str),
    /// Any number of texts: one a flag, or one a line.
    List(&'static str),
}

impl Arity {
    /// The word that stands for the value in the help.
    pub const fn value_name(self) -> Option<&'static str> {
        match self {
            Self::Switch => None,
            Self::Text(name) | Self::Number(name) | Self::Path(name) | Self::List(name) => Some(name),
        }
    }
}

/// A group of flags in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heading {
    /// The flags of a single command, and those of every command.
    General,
    /// The identity of the job.
    Identity,
    /// The request to the STS.
    Exchange,
    /// The request to the classic API, with the secrets that it takes.
    #[cfg_attr(not(feature = "classic-grants"), allow(dead_code, reason = "only the classic grants use it"))]
    Client,
    /// The way the token is handed over.
    Output,
    /// The environment of the command that `exec` runs.
    Child,
    /// The way requests are made.
    Network,
    /// The report and the summary.
    Reporting,
}

impl Heading {
    /// The title; flags without one stand under the usual "Options".
    pub const fn title(self) -> Option<&'static str> {
        match self {
            Self::General => None,
            Self::Identity => Some("Identity"),
            Self::Exchange => Some("Exchange"),
            Self::Client => Some("Client credentials"),
            Self::Output => Some("Output"),
            Self::Child => Some("Command"),
            Self::Network => Some("Network"),
            Self::Reporting => Some("Reporting"),
        }
    }
}

/// A place besides the command line and the environment where a setting can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expose {
    /// An input of `action.yml`.
    Action,
    /// An input of `templates/equinix-wif.yml`.
    Component,
    /// A member of the query of Terraform's data source `external`. What could send a token elsewhere, write it to a file
    /// or show it is none: a query may come from a module that somebody else wrote.
    Query,
    /// A member of the cluster's configuration in `KUBERNETES_EXEC_INFO`.
    Cluster,
}

/// A setting with a value of type `T`. Without a value and without a default it is `T::default()`.
pub struct Setting<T: 'static> {
    /// Its row.
    pub row: Row,
    /// Reads what was given, or says what is allowed.
    pub parse: fn(&str) -> Result<T, Expected>,
}

/// A setting that names a file.
pub struct PathSetting {
    /// Its row.
    pub row: Row,
}

/// A setting with any number of texts.
pub struct ListSetting {
    /// Its row.
    pub row: Row,
}

/// The values that a setting allows, in words.
#[derive(Debug)]
pub struct Expected(pub String);

/// Takes any text.
// The types of these functions are those of `Setting::parse`.
#[expect(clippy::unnecessary_wraps)]
pub(super) fn text(given: &str) -> Result<Option<String>, Expected> {
    Ok(Some(given.to_owned()))
}

/// Takes any text, for a setting that has a default.
#[expect(clippy::unnecessary_wraps)]
pub(super) fn word(given: &str) -> Result<String, Expected> {
    Ok(given.to_owned())
}

/// Takes `true` or `false`.
pub(super) fn switch(given: &str) -> Result<bool, Expected> {
    match given {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Expected("true or false".to_owned())),
    }
}

/// Takes one of a few words.
pub(super) fn one_of<T: Copy>(all: &[T], id: fn(T) -> &'static str, given: &str) -> Result<T, Expected> {
    all.iter().copied().find(|known| id(*known) == given).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|known| id(*known)).collect();
        Expected(match words.as_slice() {
            [first @ .., last] if words.len() > 2 => format!("{} or {last}", first.join(", ")),
            _ => words.join(" or "),
        })
    })
}

/// Takes a whole number of seconds within limits.
pub(super) fn seconds(given: &str, least: u64, most: u64) -> Result<u64, Expected> {
    let number = given.parse().ok().filter(|seconds| (least..=most).contains(seconds));
    number.ok_or_else(|| Expected(format!("a whole number of seconds from {least} to {most}")))
}
