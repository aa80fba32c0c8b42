//! GitLab's reader of `artifacts:reports:dotenv`, as strict as the real one.

use std::collections::BTreeMap;

/// What an instance permits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The file must be smaller than this, in bytes.
    pub size: usize,
    /// The most variables.
    pub count: usize,
}

impl Default for Limits {
    /// A self-managed instance as it is installed.
    fn default() -> Self {
        Self { size: 5120, count: 20 }
    }
}

/// The variables that later jobs get, or why the upload is refused (and with it the job).
pub fn parse_dotenv(bytes: &[u8], limits: Limits) -> Result<BTreeMap<String, String>, String> {
    if bytes.len() >= limits.size {
        return Err(format!("Dotenv Artifact Too Big. Maximum Allowable Size: {}", limits.size));
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut variables = BTreeMap::new();
    let mut count = 0;
    for line in text.split_inclusive('\n') {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let (key, value) = line.split_once('=').ok_or("Invalid Format")?;
        let key = strip(key);
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if key.is_empty() || key.len() > 255 || !key.chars().all(valid) {
            return Err(format!("Key {key:?} is invalid"));
        }
        count += 1;
        // The last one of a name wins.
        variables.insert(key.to_owned(), strip(value).to_owned());
    }
    if count > limits.count {
        return Err(format!("Dotenv files cannot have more than {} variables", limits.count));
    }
    Ok(variables)
}

/// Ruby's `strip`: ASCII white space at both ends, and NUL as well.
fn strip(text: &str) -> &str {
    text.trim_matches(|c| matches!(c, '\0' | '\t'..='\r' | ' '))
}
