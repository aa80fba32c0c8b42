//! Compares the JSON Schemas of `docs/schemas` with the tables in the code, with the pages, and with what readers have been
//! told. `tests/foreign/schemas.rs` holds the program's documents against them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::cli::commands::Command;
use crate::docs_tests::pages::{agrees, code, prose, root, rows};
use crate::error::Code;
use crate::grant::GRANTS;
use crate::output::format::FORMATS;
use crate::platform::PLATFORMS;

/// The file with everything that readers have been told: a line may come, and none may go.
const TOLD: &str = "tests/foreign/schemas/told.txt";

fn schemas() -> Vec<(String, Value)> {
    let entries = fs::read_dir(root().join("docs/schemas")).unwrap();
    let mut schemas: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let schema = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), schema)
        })
        .collect();
    schemas.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(schemas.len(), 10);
    schemas
}

fn schema(name: &str) -> Value {
    schemas().into_iter().find(|(found, _)| found == name).unwrap().1
}

fn names(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn closed_sets_are_those_of_the_program() {
    let is_whole = cfg!(feature = "sandbox") && cfg!(feature = "classic-grants");
    let sets: [(&str, BTreeSet<&str>); 6] = [
        ("code", Code::ALL.iter().map(|code| code.name()).collect()),
        ("stage", Code::ALL.iter().map(|code| code.stage().name()).collect()),
        ("reason", Code::ALL.iter().filter_map(|code| code.reason()).collect()),
        ("format", FORMATS.iter().map(|format| format.id()).collect()),
        ("command", Command::ALL.iter().map(|command| command.name()).collect()),
        ("grant", GRANTS.iter().map(|grant| grant.name).collect()),
    ];
    let providers = PLATFORMS.iter().map(|platform| platform.facts().id).filter(|id| *id != "made-up");
    let sets = sets.into_iter().chain([("provider", providers.collect())]);
    let (sets, mut seen): (Vec<_>, _) = (sets.collect(), BTreeSet::new());
    for (name, schema) in schemas() {
        for (set, of_the_program) in &sets {
            let Some(listed) = schema.pointer(&format!("/$defs/{set}/enum")) else { continue };
            seen.insert(*set);
            let listed = names(listed);
            assert!(listed.is_superset(of_the_program), "{name}: {set}");
            assert!(!is_whole || listed == *of_the_program, "{name}: {set}");
        }
    }
    assert_eq!(seen.len(), sets.len(), "each set is in a schema");
}

#[test]
fn tables_of_the_pages_have_the_same_members() {
    for (name, page, heading) in [
        ("report-v1", "docs/reference/report.md", "# Report"),
        ("inspect-v1", "docs/reference/commands.md", "## Inspect"),
    ] {
        let schema = schema(name);
        let mut told: BTreeSet<String> = rows(page, heading).into_iter().map(|row| row[0].clone()).collect();
        // It stands below the table, since few jobs have it.
        told.extend((name == "inspect-v1").then(|| code("subject_changes")));
        let members = schema["properties"].as_object().unwrap().keys().map(|member| code(member));
        assert_eq!(told, members.collect(), "{page}");
        let link = format!("schemas/{name}.json");
        assert!(prose(page).contains(&link), "{page} leads to {link}");
    }
}

/// Calls `act` with each schema inside a schema, and its place.
fn walk(place: &str, schema: &Value, act: &mut impl FnMut(&str, &Value)) {
    act(place, schema);
    for (keyword, sign) in [("properties", "."), ("$defs", "#")] {
        for (name, inner) in schema[keyword].as_object().into_iter().flatten() {
            walk(&format!("{place}{sign}{name}"), inner, act);
        }
    }
    for (keyword, sign) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[keyword].is_object() {
            walk(&format!("{place}{sign}"), &schema[keyword], act);
        }
    }
    for keyword in ["anyOf", "oneOf"] {
        for (number, inner) in schema[keyword].as_array().into_iter().flatten().enumerate() {
            walk(&format!("{place} {keyword} {number}"), inner, act);
        }
    }
}

#[test]
fn every_member_is_described() {
    for (name, schema) in schemas() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        walk(&name, &schema, &mut |place, schema| {
            let has = |keyword: &str| schema.get(keyword).is_some();
            // What is always the same describes itself.
            let is_member = place.rsplit(' ').next().unwrap().contains('.') && !place.ends_with([']', '*']);
            let is_member = is_member && !place.contains('#');
            assert!(!is_member || has("description") || has("const"), "{place} has no description");
            // Members may be added wherever there are members.
            assert_ne!(schema["additionalProperties"], false, "{place}");
        });
    }
}

/// The promises of a schema, a line for each thing that a reader may rely on.
fn told(name: &str, schema: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    walk(name, schema, &mut |place, schema| {
        for (keyword, value) in schema.as_object().unwrap() {
            match (keyword.as_str(), value) {
                ("$schema" | "title" | "description" | "properties" | "$defs" | "anyOf" | "oneOf", _)
                | ("items" | "additionalProperties", Value::Object(_)) => {}
                ("required" | "enum", Value::Array(values)) => {
                    lines.extend(values.iter().map(|value| format!("{place} {keyword} {value}")));
                }
                _ => drop(lines.insert(format!("{place} {keyword} {value}"))),
            }
        }
    });
    lines
}

/// A member that goes, another type, or a set without one of its values: readers that were written for it break.
#[test]
fn no_schema_takes_back_what_it_told() {
    let now: BTreeSet<String> = schemas().iter().flat_map(|(name, schema)| told(name, schema)).collect();
    let before = fs::read_to_string(root().join(TOLD)).unwrap_or_default();
    let gone: Vec<&str> = before.lines().filter(|line| !now.contains(*line)).collect();
    assert!(gone.is_empty(), "this breaks readers; it needs a new version of the layout: {gone:#?}");
    let text = now.into_iter().collect::<Vec<_>>().join("\n") + "\n";
    agrees(TOLD, &text);
}
