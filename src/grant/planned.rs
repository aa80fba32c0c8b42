//! A request as a dry run shows it, in place of sending it.

use crate::secret::Secret;

/// A request that would be sent. Of its secrets it has the names.
#[derive(Debug)]
pub struct Planned {
    /// The URL. Every request to Equinix is a POST.
    pub url: String,
    /// The members that would be sent, and for an ID token what it says.
    pub lines: Vec<(&'static str, String)>,
}

impl Planned {
    /// Describes a request of these members. Those that are secret are called by their names.
    pub(super) fn new<'a>(
        url: String,
        members: impl IntoIterator<Item = (&'static str, &'a str)>,
        secrets: &[(&'static str, &Secret)],
    ) -> Self {
        let shown = |value: &str| match secrets.iter().find(|(_, secret)| secret.reveal() == value) {
            Some((name, _)) => format!("({name}, not shown)"),
            None => value.to_owned(),
        };
        Self { url, lines: members.into_iter().map(|(name, value)| (name, shown(value))).collect() }
    }

    /// Adds a line.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.lines.push((name, value.into()));
        self
    }
}
