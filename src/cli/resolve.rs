//! Finds the value of a setting: its flag, else the calling program's request, else its environment variable, else its
//! default. Nothing is read from the working directory.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::cli::commands::Command;
use crate::cli::row::{Arity, ListSetting, PathSetting, Row, Setting};
use crate::cli::typed::Typed;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::output::request::Request;
use crate::text::quote;

/// The source of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This flag.
    Flag(&'static str),
    /// This environment variable.
    Variable(&'static str),
    /// A request of the program that runs this one, by its place.
    Request(&'static str),
    /// None of them: the default.
    Default,
}

impl Source {
    /// The name in messages and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag(name) | Self::Variable(name) | Self::Request(name) => name,
            Self::Default => "default",
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone)]
pub struct Resolved<T> {
    /// The value.
    pub value: T,
    /// The source.
    pub source: Source,
}

impl<T> Resolved<T> {
    /// The value, if somebody gave it.
    pub fn given(self) -> Option<T> {
        (self.source != Source::Default).then_some(self.value)
    }
}

/// The error for a value that its setting does not allow.
pub(crate) fn invalid(source: Source, found: &str, allowed: &str) -> Error {
    Error::new(Code::CfgValueInvalid, format!("{} has a value that it does not allow", source.name()))
        .with_detail("expected", allowed)
        .with_detail("found", quote(found))
        .with_cure("Correct the value or leave the setting out.")
}

/// A value without the line break that editors, YAML and pasting leave at its end. No setting can need one there.
fn without_end(text: &str) -> String {
    text.trim_end_matches(['\r', '\n']).to_owned()
}

/// A path without such a line break; nothing when it was nothing else. What is no text was not pasted.
pub(super) fn path_without_end(path: &OsStr) -> Option<PathBuf> {
    let path = path.to_str().map_or_else(|| path.to_owned(), |text| without_end(text).into());
    (!path.is_empty()).then(|| path.into())
}

/// Reads settings and remembers where each came from.
pub struct Resolver<'a> {
    typed: &'a Typed,
    env: &'a Env,
    request: Request,
    seen: Map<String, Value>,
}

impl<'a> Resolver<'a> {
    /// A resolver that has read nothing yet.
    pub fn new(typed: &'a Typed, env: &'a Env) -> Self {
        Self { typed, env, request: Request::default(), seen: Map::new() }
    }

    /// Takes a request: from now on it counts where no flag was given.
    pub fn with_request(&mut self, request: Request) {
        self.request = request;
    }

    /// The version of the answer that was asked for.
    pub fn api_version(&self) -> Option<&'static str> {
        self.request.api_version
    }

    /// Returns what has been read, for the report: name → value and source.
    pub fn into_report(self) -> Map<String, Value> {
        self.seen
    }

    /// The environment, for what is no setting of this program.
    pub(super) fn env(&self) -> &'a Env {
        self.env
    }

    /// Returns the command that is run.
    pub(super) fn command(&self) -> Option<Command> {
        self.typed.command
    }

    /// Returns what follows the flags.
    pub fn operands(&self) -> &'a [OsString] {
        &self.typed.operands
    }

    /// The value of a setting.
    pub fn get<T: Default>(&mut self, setting: &Setting<T>) -> Result<Resolved<T>, Error> {
        let row = &setting.row;
        let given = match (self.given(row)?, row.default) {
            (Some(given), _) => given,
            (None, Some(default)) => Resolved { value: default.to_owned(), source: Source::Default },
            (None, None) => {
                if row.arity == Arity::Switch {
                    self.remember(row, json!(false), Source::Default);
                }
                return Ok(Resolved { value: T::default(), source: Source::Default });
            }
        };
        let Resolved { value: text, source } = given;
        if row.arity != Arity::Switch {
            self.remember(row, json!(text), source);
        }
        let value = (setting.parse)(&text).map_err(|allowed| invalid(source, &text, &allowed.0))?;
        match row.arity {
            Arity::Switch => self.remember(row, json!(matches!(text.as_str(), "true" | "1")), source),
            Arity::Number(_) => {
                self.remember(row, text.parse::<u64>().map_or_else(|_| json!(text), Value::from), source);
            }
            _ => {}
        }
        Ok(Resolved { value, source })
    }

    /// Tells whether somebody asks for this setting now, by a flag or a request. A variable may have been set for another
    /// run.
    pub(super) fn is_asked_for(&self, row: &Row) -> bool {
        let typed = match row.arity {
            Arity::Switch => self.typed.has(row),
            _ => self.typed.os(row).is_some(),
        };
        typed || self.request.settings.contains_key(row.flag)
    }

    /// The text that was given for a setting.
    fn given(&self, row: &Row) -> Result<Option<Resolved<String>>, Error> {
        self.check_owner(row);
        let typed = match row.arity {
            Arity::Switch => self.typed.has(row).then_some("true"),
            _ => self.typed.text(row),
        };
        let asked = self.request.settings.get(row.flag).map(String::as_str);
        if let Some(typed) = typed {
            self.check_agreement(row.flag, typed, asked)?;
            return Ok(Some(Resolved { value: without_end(typed), source: Source::Flag(row.flag) }));
        }
        if let Some(asked) = asked {
            return Ok(Some(Resolved {
                value: asked.to_owned(),
                source: Source::Request(self.request.source),
            }));
        }
        self.in_environment(row)
    }

    fn in_environment(&self, row: &Row) -> Result<Option<Resolved<String>>, Error> {
        let Some(variable) = row.var else { return Ok(None) };
        let value = self.env.text(variable)?;
        let value = value.map(|value| without_end(&value)).filter(|value| !value.is_empty());
        Ok(value.map(|value| Resolved { value, source: Source::Variable(variable) }))
    }

    /// The value that a setting would have without the request that it comes from; none when it comes from elsewhere, or
    /// would have none. Flag and request agree where both are there.
    pub(super) fn without_request<T: Default>(
        &self,
        setting: &Setting<T>,
        found: &Resolved<T>,
    ) -> Result<Option<T>, Error> {
        let Source::Request(_) = found.source else { return Ok(None) };
        let own = self.in_environment(&setting.row)?;
        let text = own.map(|own| own.value).or_else(|| setting.row.default.map(ToOwned::to_owned));
        Ok(text.and_then(|text| (setting.parse)(&text).ok()))
    }

    /// The path that was given for a setting. A caller names none.
    pub fn path(&mut self, setting: &PathSetting) -> Option<Resolved<PathBuf>> {
        let row = &setting.row;
        self.check_owner(row);
        let flag =
            self.typed.os(row).and_then(|typed| Some((path_without_end(typed)?, Source::Flag(row.flag))));
        let (path, source) = flag.or_else(|| {
            let mut variables = [row.var, row.or_var].into_iter().flatten();
            variables.find_map(|name| Some((path_without_end(&self.env.os(name)?)?, Source::Variable(name))))
        })?;
        self.remember(row, json!(path.to_string_lossy()), source);
        Some(Resolved { value: path, source })
    }

    /// The texts that were given for a setting. Flags take the place of the variable as a whole, as for every other setting.
    pub fn list(&mut self, setting: &ListSetting) -> Result<Resolved<Vec<String>>, Error> {
        let row = &setting.row;
        self.check_owner(row);
        let split = |text: &str| -> Vec<String> {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
        };
        let typed = self.typed.texts(row);
        let asked = self.request.settings.get(row.flag).map(|text| split(text));
        let (value, source) = if !typed.is_empty() {
            let asked = asked.map(|lines| lines.join("\n"));
            self.check_agreement(row.flag, &typed.join("\n"), asked.as_deref())?;
            (typed.into_iter().map(without_end).collect(), Source::Flag(row.flag))
        } else if let Some(lines) = asked {
            (lines, Source::Request(self.request.source))
        } else {
            match row.var.map(|name| Ok::<_, Error>((name, self.env.text(name)?))).transpose()? {
                Some((name, Some(text))) => (split(&text), Source::Variable(name)),
                _ => return Ok(Resolved { value: Vec::new(), source: Source::Default }),
            }
        };
        self.remember(row, json!(value), source);
        Ok(Resolved { value, source })
    }

    /// Notes a setting for the report. What has no variable can only come from the command line, which the log shows.
    pub(super) fn remember(&mut self, row: &Row, value: Value, source: Source) {
        if row.var.is_some() {
            self.seen.insert(row.name().to_owned(), json!({"value": value, "source": source.name()}));
        }
    }

    /// Refuses a flag that contradicts the request: the caller would get something else than it asked for, and never know.
    fn check_agreement(&self, flag: &str, typed: &str, asked: Option<&str>) -> Result<(), Error> {
        match asked.filter(|asked| *asked != typed) {
            None => Ok(()),
            Some(asked) => {
                let source = self.request.source;
                Err(Error::new(Code::CfgRequestInvalid, format!("{flag} and {source} contradict each other"))
                    .with_detail("flag", quote(typed))
                    .with_detail("asked for", quote(asked))
                    .with_cure("Give the setting in one of the two places."))
            }
        }
    }

    /// Makes sure that the setting belongs to this command. One of another command has no flag here, so only its
    /// variable would count.
    fn check_owner(&self, row: &Row) {
        debug_assert!(
            self.typed.command.is_none_or(|command| row.on.contains(&command)),
            "{:?} has no {}",
            self.typed.command,
            row.flag
        );
    }
}
