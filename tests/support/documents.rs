//! Collects the JSON documents that the program writes in the tests. `tests/foreign/schemas.rs` has them judged.
//!
//! Documents of one shape are alike to a schema, so a process keeps one of each. They are kept apart by the program that
//! wrote them: what another build wrote is no fault of this one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

/// The beginning of the folders' names.
const FOLDER: &str = "documents-";

/// The file of this process, and the shapes in it.
static OWN: Mutex<Option<(File, BTreeSet<u64>)>> = Mutex::new(None);

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
    let mut hasher = DefaultHasher::new();
    schema.hash(&mut hasher);
    document.as_ref().map(shape).hash(&mut hasher);
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (file, shapes) = own.get_or_insert_with(|| (open(), BTreeSet::new()));
    if shapes.insert(hasher.finish()) {
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
    let path = folder.join(format!("{}.jsonl", std::process::id()));
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// A value without what differs from run to run: long texts, digits, and repeated items.
fn shape(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > 24 || text.contains(['/', ' ']) => "text".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect(),
        Value::Number(number) => if number.is_f64() { "float" } else { "integer" }.to_owned(),
        Value::Array(items) => format!("{:?}", items.iter().map(shape).collect::<BTreeSet<_>>()),
        Value::Object(members) => {
            format!("{:?}", members.iter().map(|(name, value)| (name, shape(value))).collect::<Vec<_>>())
        }
        other => other.to_string(),
    }
}
