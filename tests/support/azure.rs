//! What the agent of Azure Pipelines makes of a step's output, after its published source: `Command.cs`, `CommandStringConvertor.cs` and
//! `TaskCommandExtension.cs` of microsoft/azure-pipelines-agent.

use std::collections::BTreeMap;

/// A `##vso[area.event name=value;…]data` command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// `area.event`.
    pub name: String,
    /// The properties, with their names in lower case.
    pub properties: BTreeMap<String, String>,
    /// What follows the bracket.
    pub data: String,
}

impl Command {
    /// The command in a line: the first `##vso[` anywhere in it, up to the first `]` after it.
    pub fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("##vso[")?;
        let (head, data) = rest.split_once(']')?;
        let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
        name.split_once('.').filter(|(area, event)| !area.is_empty() && !event.is_empty())?;
        let pairs = properties.split(';').filter_map(|pair| pair.split_once('='));
        let properties = pairs.map(|(name, value)| (name.trim().to_lowercase(), unescape(value))).collect();
        Some(Self { name: name.to_lowercase(), properties, data: unescape(data) })
    }
}

/// The tokens that stand for characters, and the percent sign last.
fn unescape(text: &str) -> String {
    let tokens = [("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%AZP25", "%")];
    tokens.iter().fold(text.to_owned(), |text, (token, character)| text.replace(token, character))
}

/// A variable that a step sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its value.
    pub value: String,
    /// Whether the log hides it, and no step has it without asking for it.
    pub is_secret: bool,
    /// Whether it is an output of the step.
    pub is_output: bool,
}

/// A step's log and variables.
#[derive(Debug, Default)]
pub struct Step {
    /// What people see.
    pub log: String,
    /// The variables by their names.
    pub variables: BTreeMap<String, Variable>,
    secrets: Vec<String>,
}

impl Step {
    /// Takes in what a step writes, line by line. Refuses what the agent refuses.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        for line in text.split_terminator('\n').map(|line| line.trim_end_matches('\r')) {
            if let Some(command) = Command::parse(line) {
                self.obey(command)?;
            } else {
                self.log.push_str(&self.masked(line));
                self.log.push('\n');
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) -> Result<(), String> {
        let is =
            |name: &str| command.properties.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        match command.name.as_str() {
            "task.setsecret" => {
                self.hide(&command.data);
                Ok(())
            }
            "task.setvariable" => {
                let name = command.properties.get("variable").filter(|name| !name.is_empty());
                let name = name.ok_or("a variable has no name")?.clone();
                let (is_secret, is_output) = (is("issecret"), is("isoutput"));
                if is_secret {
                    if command.data.contains(['\r', '\n']) {
                        return Err("a secret has several lines".to_owned());
                    }
                    self.hide(&command.data);
                }
                self.variables.insert(name, Variable { value: command.data, is_secret, is_output });
                Ok(())
            }
            "task.logissue" => {
                let text = self.masked(&command.data);
                self.log.push_str(&format!("##[error]{text}\n"));
                Ok(())
            }
            other => Err(format!("there is no command {other}")),
        }
    }

    fn hide(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.secrets.push(secret.to_owned());
        }
    }

    fn masked(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}
