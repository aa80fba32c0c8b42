//! Collects the JSON documents that the program writes in the tests. `tests/foreign/schemas.rs` has them judged.
//!
//! A process keeps those that have something new: a member, a type, a word of a set, a set of members. They are kept apart by
//! the program that wrote them: what another build wrote is no fault of this one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

/// The beginning of the folders' names.
const FOLDER: &str = "documents-";

/// The members whose own members are names that a job brings along.
const MAPS: [&str; 7] = [".settings", ".claims", ".run", ".members", ".variables", ".facts", ".details[]"];

/// The file of this process, with the name of its test program, and what its documents have.
static OWN: Mutex<Option<(File, BTreeSet<String>)>> = Mutex::new(None);

/// The folder for what the program under test writes.
pub fn folder() -> PathBuf {
    let program = fs::metadata(env!("CARGO_BIN_EXE_equinix-wif")).unwrap();
    let built = program.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{FOLDER}{built}-{}", program.len()))
}

/// Returns the schema of what a command prints in this form, if it is JSON.
pub fn schema(command: &str, format: &str) -> Option<&'static str> {
    Some(match (command, format) {
        ("inspect", "json") => "inspect-v1",
        ("doctor", "json") => "doctor-v1",
        ("policies", "json") => "policies-v1",
        ("token", "json") => "token-v1",
        ("id-token", "json") => "id-token-v1",
        ("token" | "id-token", "credential-process") => "credential-process-v1",
        ("token" | "id-token", "terraform-external") => "terraform-external-v1",
        ("token" | "id-token", "kubernetes") => "kubernetes-v1",
        _ => return None,
    })
}

/// Keeps a document.
pub fn keep(schema: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let document: Option<Value> = serde_json::from_str(&text).ok();
    let mut all = Vec::new();
    match &document {
        Some(document) => facts(schema, document, &mut all),
        None => all.push(format!("{schema} {text}")),
    }
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (file, known) = own.get_or_insert_with(|| (open(), BTreeSet::new()));
    let before = known.len();
    known.extend(all);
    if known.len() > before {
        let line =
            json!({"schema": schema, "document": document, "text": document.is_none().then_some(text)});
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

fn open() -> File {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(folder.parent().unwrap()).unwrap().flatten() {
        if entry.path() != folder && entry.file_name().to_string_lossy().starts_with(FOLDER) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    let path = folder.join(format!("{}-{}.jsonl", env!("CARGO_CRATE_NAME"), std::process::id()));
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// Adds everything about a value that a schema could take amiss, each with its place.
fn facts(place: &str, value: &Value, all: &mut Vec<String>) {
    all.push(format!("{place} {}", kind(place, value)));
    match value {
        Value::Array(items) => items.iter().for_each(|item| facts(&format!("{place}[]"), item, all)),
        Value::Object(members) => {
            // Of these, each job has others.
            let is_map = MAPS.iter().any(|name| place.ends_with(name));
            if !is_map {
                all.push(format!("{place} {:?}", members.keys().collect::<Vec<_>>()));
            }
            for (name, inner) in members {
                let name = if is_map { "*" } else { name };
                facts(&format!("{place}.{name}"), inner, all);
            }
        }
        _ => {}
    }
}

/// The kind of a value: of a text whether it is a word, which can be one of a set.
fn kind(place: &str, value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text)
            if text.len() < 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') =>
        {
            // What is in a map is a job's own.
            if place.contains('*') { "word".to_owned() } else { text.clone() }
        }
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit() || b"-:TZ".contains(&b)) => {
            text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
        }
        Value::String(_) => "text".to_owned(),
        Value::Number(number) if place.rsplit('.').next() == Some("exit") => number.to_string(),
        Value::Number(number) => format!("{} digits, {}", number.to_string().len(), number.is_f64()),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
        Value::Bool(_) | Value::Null => value.to_string(),
    }
}
