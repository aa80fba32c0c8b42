//! The grammars of the GitHub runner, rewritten from their description: what our output means to it.
//!
//! Where the runner is lenient this is as lenient, because a test must find what a hostile text could achieve. Where
//! the runner masks more than is done here (PowerShell's fragments), this is the stricter reader of a log.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The entries of a `GITHUB_OUTPUT` or `GITHUB_ENV` file, or the error that fails the step.
pub fn parse(bytes: &[u8], windows: bool) -> Result<Vec<(String, String)>, String> {
    let (entries, error) = apply(bytes, windows);
    error.map_or(Ok(entries), Err)
}

/// The entries that take effect and the error after them: the runner applies each before it reads the next.
pub fn apply(bytes: &[u8], windows: bool) -> (Vec<(String, String)>, Option<String>) {
    apply_text(&decode(bytes), windows)
}

/// [`apply`] for what was decoded before.
pub fn apply_text(text: &str, windows: bool) -> (Vec<(String, String)>, Option<String>) {
    let mut lines = Lines { text, at: 0, windows };
    let mut entries = Vec::new();
    while let Some(line) = lines.next() {
        if line.text.is_empty() {
            continue;
        }
        match entry(line.text, &mut lines) {
            Ok(entry) => entries.push(entry),
            Err(error) => return (entries, Some(error)),
        }
    }
    (entries, None)
}

fn entry(line: &str, lines: &mut Lines<'_>) -> Result<(String, String), String> {
    let (equals, heredoc) = (line.find('='), line.find("<<"));
    let heredoc = heredoc.filter(|&at| equals.is_none_or(|equals| at < equals));
    match (heredoc, equals) {
        (Some(at), _) => {
            let (key, delimiter) = (&line[..at], &line[at + 2..]);
            if key.is_empty() || delimiter.is_empty() {
                return Err(format!(
                    "Invalid format '{line}'. Name must not be empty and delimiter must not be empty"
                ));
            }
            Ok((key.to_owned(), heredoc_value(delimiter, lines)?))
        }
        (None, Some(at)) => Ok((line[..at].to_owned(), line[at + 1..].to_owned())),
        (None, None) => Err(format!("Invalid format '{line}'")),
    }
}

fn heredoc_value(delimiter: &str, lines: &mut Lines<'_>) -> Result<String, String> {
    let (text, start) = (lines.text, lines.at);
    let mut end = start;
    loop {
        let Some(line) = lines.next() else {
            return Err(format!("Invalid value. Matching delimiter not found '{delimiter}'"));
        };
        if line.text == delimiter {
            return Ok(text[start..end].to_owned());
        }
        if line.newline == 0 {
            return Err("Invalid value. EOF marker missing new line.".to_owned());
        }
        end = lines.at - line.newline;
    }
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
    windows: bool,
}

struct Line<'a> {
    text: &'a str,
    /// The length of its end: 0 for a last line without one.
    newline: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find('\n') else {
            self.at = self.text.len();
            return Some(Line { text: rest, newline: 0 });
        };
        self.at += end + 1;
        let line = &rest[..end];
        Some(match line.strip_suffix('\r').filter(|_| self.windows) {
            Some(line) => Line { text: line, newline: 2 },
            None => Line { text: line, newline: 1 },
        })
    }
}

/// .NET's `File.ReadAllText`: UTF-8 unless a byte order mark says otherwise; what is no character is replaced.
pub fn decode(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let utf32 = |bytes: &[u8], unit: fn([u8; 4]) -> u32| {
        let units = bytes.chunks_exact(4).map(|four| unit([four[0], four[1], four[2], four[3]]));
        units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, 0, 0, rest @ ..] => utf32(rest, u32::from_le_bytes),
        [0, 0, 0xfe, 0xff, rest @ ..] => utf32(rest, u32::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// The commands that the runner knows. A line that names another is ordinary output.
const REGISTERED: [&str; 15] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

/// A workflow command found in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name as registered.
    pub name: String,
    /// Its properties, decoded.
    pub properties: BTreeMap<String, String>,
    /// Its data, decoded.
    pub data: String,
}

/// Every command in a log, whether or not commands are stopped at that place.
pub fn commands(text: &str) -> Vec<Command> {
    log_lines(text).into_iter().filter_map(|line| command(line, None)).collect()
}

/// .NET's `ReadLine`: a line ends with `\n`, `\r` or both.
fn log_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    if lines.last() == Some(&"") {
        lines.pop();
    }
    let lines = lines.into_iter().map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.flat_map(|line| line.split('\r')).collect()
}

fn command(line: &str, stop_token: Option<&str>) -> Option<Command> {
    command_v2(line, stop_token).or_else(|| command_v1(line, stop_token))
}

/// `::name k=v,k=v::data`, after white space only.
fn command_v2(line: &str, stop_token: Option<&str>) -> Option<Command> {
    let rest = line.trim_start().strip_prefix("::")?;
    let (header, data) = rest.split_once("::")?;
    let order = [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")];
    Some(Command {
        name: registered(header, stop_token)?,
        properties: properties(header, ',', &order),
        data: unescape(data, &[order[0], order[1], order[4]]),
    })
}

/// `##[name k=v;k=v]data`, anywhere in the line.
fn command_v1(line: &str, stop_token: Option<&str>) -> Option<Command> {
    let (_, rest) = line.split_once("##[")?;
    let (header, data) = rest.split_once(']')?;
    let order = [("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%")];
    Some(Command {
        name: registered(header, stop_token)?,
        properties: properties(header, ';', &order),
        data: unescape(data, &order),
    })
}

fn registered(header: &str, stop_token: Option<&str>) -> Option<String> {
    let name = header.split(' ').next().unwrap_or_default();
    let names = REGISTERED.into_iter().chain(stop_token);
    names.into_iter().find(|known| known.eq_ignore_ascii_case(name)).map(str::to_owned)
}

fn properties(header: &str, separator: char, order: &[(&str, &str)]) -> BTreeMap<String, String> {
    let Some((_, text)) = header.split_once(' ') else {
        return BTreeMap::new();
    };
    text.trim()
        .split(separator)
        .filter_map(|property| property.split_once('='))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .map(|(name, value)| (name.to_owned(), unescape(value, order)))
        .collect()
}

/// One replacement after the other, in this order: with `%25` last, `%250A` is the text `%0A` and no newline.
fn unescape(text: &str, order: &[(&str, &str)]) -> String {
    order.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The runner's secret masker.
#[derive(Debug, Default)]
pub struct Masker {
    values: Vec<String>,
}

impl Masker {
    /// What `::add-mask::` does with its (decoded) data: the value and each of its lines.
    pub fn add(&mut self, data: &str) {
        if data.trim().is_empty() {
            return;
        }
        self.add_value(data);
        for line in data.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
            self.add_value(line);
        }
    }

    fn add_value(&mut self, value: &str) {
        let json = serde_json::to_string(value).unwrap();
        let xml = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")];
        self.values.push(value.to_owned());
        for shift in 0..3 {
            let bytes = value.as_bytes();
            self.values
                .push(STANDARD.encode(bytes.get(shift..).filter(|rest| !rest.is_empty()).unwrap_or(bytes)));
        }
        self.values.push(value.replace('"', "\\\""));
        self.values.push(value.replace('\'', "''"));
        self.values.push(json[1..json.len() - 1].to_owned());
        self.values.push(utf8_percent_encode(value, URI_COMPONENT).to_string());
        self.values.push(xml.iter().fold(value.to_owned(), |text, (from, to)| text.replace(from, to)));
        if value.len() > 8 && value.starts_with('"') && value.ends_with('"') {
            self.values.push(value[1..value.len() - 1].to_owned());
        }
    }

    /// The text with `***` for each secret; hits that touch become one.
    pub fn mask(&self, text: &str) -> String {
        let mut hits: Vec<(usize, usize)> = Vec::new();
        for value in &self.values {
            let mut from = 0;
            while let Some(at) = text[from..].find(value.as_str()) {
                let begin = from + at;
                hits.push((begin, begin + value.len()));
                // The next hit may overlap this one.
                from = begin + text[begin..].chars().next().map_or(1, char::len_utf8);
            }
        }
        hits.sort_unstable();
        let (mut masked, mut done) = (String::new(), 0);
        let mut hits = hits.into_iter().peekable();
        while let Some((begin, mut end)) = hits.next() {
            while let Some((_, next)) = hits.next_if(|&(next, _)| next <= end) {
                end = end.max(next);
            }
            masked.push_str(&text[done..begin]);
            masked.push_str("***");
            done = end;
        }
        masked + &text[done..]
    }
}

/// .NET's `Uri.EscapeDataString` leaves RFC 3986's unreserved characters alone.
const URI_COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The log as a reader sees it: commands obeyed in order, secrets masked from the line on that registers them.
pub fn read_log(text: &str) -> String {
    read_log_with(&mut Masker::default(), text)
}

/// [`read_log`] with masks from before, which later text goes on with.
pub fn read_log_with(masker: &mut Masker, text: &str) -> String {
    let mut seen = String::new();
    let mut stop_token: Option<String> = None;
    for line in log_lines(text) {
        let found = command(line, stop_token.as_deref());
        let shown = match (&stop_token, found) {
            (Some(token), Some(found)) if found.name == *token => {
                stop_token = None;
                None
            }
            (Some(_), _) | (None, None) => Some(line.to_owned()),
            (None, Some(found)) => match found.name.as_str() {
                "add-mask" => {
                    masker.add(&found.data);
                    None
                }
                "stop-commands" => {
                    if found.data.len() > 6 {
                        masker.add(&found.data);
                    }
                    stop_token = Some(found.data);
                    None
                }
                shown @ ("error" | "warning" | "notice" | "group") => {
                    Some(format!("##[{shown}]{}", found.data))
                }
                _ => None,
            },
        };
        if let Some(shown) = shown {
            seen.push_str(&masker.mask(&shown));
            seen.push('\n');
        }
    }
    seen
}
