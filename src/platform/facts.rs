//! Knowledge of a platform, as data.

use crate::env::Env;
use crate::error::Code;
use crate::text::quote;

use super::Wanted;
use super::mask::Mask;
use super::request::RequestEndpoint;

/// A platform, as far as it can be described without code.
///
/// A platform's file names what differs from [`Facts::NEUTRAL`].
pub struct Facts {
    /// The value of `--provider`.
    pub id: &'static str,
    /// The name, for help and messages.
    pub name: &'static str,
    /// The variables that say that a job runs here, each with its exact value or [`ANY`]. A platform without any is never detected,
    /// only chosen.
    pub markers: &'static [(&'static str, &'static str)],
    /// Variables, with their exact values, of other systems that set the markers as well.
    pub imitators: &'static [(&'static str, &'static str)],
    /// True if its runs are started inside jobs of other systems and inherit their variables.
    pub is_inside_others: bool,
    /// The variables that this program reads because of the platform, each with its meaning, for the documentation.
    pub variables: &'static [(&'static str, &'static str)],
    /// The variables that hold a secret with which ID tokens can be obtained, or the ID token.
    pub secrets: &'static [&'static str],
    /// The variables that lead to ID tokens and are no secret, such as the URL to ask.
    pub leads: &'static [&'static str],
    /// The beginnings of the names of the platform's variables. No output may take one of them.
    pub reserved: &'static [&'static str],
    /// The platform's own folders for temporary files.
    pub temporary: &'static [Folder],
    /// The variable that holds the checkout's path: no token is written there.
    pub workspace: Option<&'static str>,
    /// The variable that names the runner file for the job summary.
    pub summary: Option<&'static str>,
    /// The switch that makes the runner's shell log every command.
    pub trace: Option<Trace>,
    /// The way in which the runner is told to hide a value in the job log.
    pub mask: Mask,
    /// The line that puts a failure on the run's page, made of a title and a text that are safe to show.
    pub annotation: Option<fn(&str, &str) -> String>,
    /// The format that suits the platform.
    pub format: &'static str,
    /// The way in which the platform hands ID tokens over.
    pub supply: Supply,
    /// The need to name an audience.
    pub audience: Audience,
    /// The claims that tie a token to this run, each with the variable that it has to agree with.
    pub run: &'static [(&'static str, &'static str)],
    /// True if a later request gives a fresh ID token. Otherwise there is one for the whole job.
    pub renews: bool,
    /// The advice for a token that has expired or is about to, if there is more to say than the error table has.
    pub advice_on_expiry: Option<&'static str>,
}

/// In the place of a marker's value: any. For systems that document a variable without a fixed value.
pub const ANY: &str = "";

/// Tells whether a marker holds: the variable has exactly this value, or is set where any will do.
pub fn holds(env: &Env, (name, value): &(&str, &str)) -> bool {
    if *value == ANY { env.has(name) } else { env.is(name, value) }
}

/// A folder that a variable names.
#[derive(Debug)]
pub struct Folder {
    /// The variable.
    pub variable: &'static str,
    /// The text that follows its value.
    pub suffix: &'static str,
}

/// A switch that makes the runner's shell log every command with its values.
#[derive(Debug)]
pub struct Trace {
    /// The variable.
    pub variable: &'static str,
    /// The values that plainly mean no, as the platform itself reads them. Every other value counts as yes.
    pub off: &'static [&'static str],
    /// The advice how to switch it off.
    pub cure: &'static str,
}

impl Trace {
    /// Returns the value that switches the trace on, for messages.
    pub fn on(&self, env: &Env) -> Option<String> {
        let value = env.os(self.variable)?;
        let is_off = self.off.iter().any(|word| value == *word);
        (!is_off).then(|| quote(&value.to_string_lossy()))
    }
}

/// The way in which ID tokens are handed over.
pub enum Supply {
    /// One is made on request, in a way of the platform's own.
    Request,
    /// One is made on request at this endpoint.
    Endpoint(&'static RequestEndpoint),
    /// One is in a variable when the job starts.
    Variable(ReadyToken),
    /// One is in a file.
    File,
}

/// An ID token that a variable holds.
#[derive(Debug)]
pub struct ReadyToken {
    /// The platform's variables, unless the user names another one or has set one of this program's own. The first that is set
    /// counts.
    pub variables: &'static [&'static str],
    /// The error when none of them is set.
    pub missing: Code,
    /// The advice when it is not set or holds no token, if the platform has a better one than the error table.
    pub cure: Option<fn(&Wanted) -> String>,
}

/// The need to name an audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Yes: the platform's own default is shared by everybody who does not choose one.
    Required,
    /// No: it was chosen where the job is defined. One that is named is compared with the token's.
    Checked,
    /// No: it is always this one, also where it is known to be another service's.
    Fixed(&'static str),
}

impl Facts {
    /// A platform of which nothing is known.
    pub const NEUTRAL: Self = Self {
        id: "",
        name: "",
        markers: &[],
        imitators: &[],
        is_inside_others: false,
        variables: &[],
        secrets: &[],
        leads: &[],
        reserved: &[],
        temporary: &[],
        workspace: None,
        summary: None,
        trace: None,
        mask: Mask::None,
        annotation: None,
        format: "json",
        supply: Supply::File,
        audience: Audience::Checked,
        run: &[],
        renews: false,
        advice_on_expiry: None,
    };

    /// Tells whether the runner of this platform is somewhere around this process: it set a marker, or what leads to its ID
    /// tokens has been passed on, for instance into a container.
    pub fn is_around(&self, env: &Env) -> bool {
        self.is_marked(env) || self.leads_on(env)
    }

    /// Tells whether the environment has a marker of this platform.
    pub fn is_marked(&self, env: &Env) -> bool {
        self.markers.iter().any(|marker| holds(env, marker))
    }

    /// Tells whether the environment has a variable that could be a marker of this platform, whatever its value.
    pub fn is_named(&self, env: &Env) -> bool {
        self.markers.iter().any(|(name, _)| env.has(name))
    }

    /// Tells whether what leads to this platform's ID tokens is in the environment.
    pub fn leads_on(&self, env: &Env) -> bool {
        self.secrets.iter().chain(self.leads).any(|name| env.has(name))
    }

    /// The variables whose values are secrets: those with which ID tokens can be had, and those that hold one.
    pub fn secret_variables(&self) -> impl Iterator<Item = &'static str> {
        let ready = match &self.supply {
            Supply::Variable(token) => token.variables,
            Supply::Request | Supply::Endpoint(_) | Supply::File => &[],
        };
        self.secrets.iter().chain(ready).copied()
    }

    /// Tells whether ID tokens are made on request, so that there is something to wait for.
    pub fn is_asked(&self) -> bool {
        matches!(self.supply, Supply::Request | Supply::Endpoint(_))
    }
}
