//! Holds the pages about the service against its tables: flags, routes, figures, tools, and the configurations that are there to
//! be copied.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::mcp::tools;
use crate::rest::openapi;

const PAGE: &str = "docs/local-service.md";
const REFERENCE: &str = "docs/reference/local-service.md";
const MCP_PAGE: &str = "docs/mcp.md";

fn page(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the first table below a heading, cells trimmed, without the head.
fn table(path: &str, heading: &str) -> Vec<Vec<String>> {
    let text = page(path);
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let rows =
        lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    let rows: Vec<Vec<String>> = rows
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "{path}: {heading} has no table");
    rows
}

fn spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The blocks of a page with this tag.
fn blocks(path: &str, tag: &str) -> Vec<String> {
    let text = page(path);
    let (fence, mut blocks, mut open) = (format!("```{tag}"), Vec::new(), None::<String>);
    for line in text.lines() {
        match &mut open {
            None if line == fence => open = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => *block += &format!("{line}\n"),
        }
    }
    blocks
}

/// Reads arguments as the program would.
fn taken(arguments: &[String]) -> Options {
    let all: Vec<OsString> =
        std::iter::once(PROGRAM.into()).chain(arguments.iter().map(OsString::from)).collect();
    match parse(&all) {
        Ok(Purpose::Run(line)) => {
            Options::new(&line.own).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
        }
        Ok(Purpose::Print(text)) => panic!("{arguments:?}: {text}"),
        Err(error) => panic!("{arguments:?}: {error}"),
    }
}

#[test]
fn the_page_has_every_flag_with_its_default() {
    let definition = definition();
    let shown: Vec<_> = definition
        .get_arguments()
        .map(|flag| {
            let value = match (flag.get_action().takes_values(), flag.get_value_names()) {
                (true, Some([name])) => format!(" {name}"),
                _ => String::new(),
            };
            format!("`--{}{value}`", flag.get_long().unwrap())
        })
        .collect();
    let told = table(REFERENCE, "## Flags");
    assert_eq!(told.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), shown);
    for (flag, row) in definition.get_arguments().zip(&told) {
        let default = match flag.get_id().as_str() {
            "rest-listen" => format!("`{REST}`"),
            "mcp-listen" => format!("`{MCP}`"),
            "log-format" => "`text`".to_owned(),
            // In words.
            "backend" | "bearer-file" => continue,
            _ => "off".to_owned(),
        };
        assert_eq!(row[1], default, "{}", row[0]);
    }
}

#[test]
fn the_page_has_every_route() {
    let document = openapi::document(true);
    let mut expected = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            expected.insert(format!("`{} {path}`", method.to_uppercase()));
        }
    }
    let told = table(REFERENCE, "## Routes");
    assert_eq!(told.iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>(), expected);
    for row in told {
        let path = spans(&row[0])[0].split(' ').nth(1).unwrap().to_owned();
        assert_eq!(row[1] == "everybody", crate::rest::is_open(&path), "{path}");
    }
}

#[test]
fn the_page_has_every_status() {
    let mut expected = BTreeSet::from(["404".to_owned(), "405".to_owned()]);
    for item in openapi::document(true)["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            expected.extend(operation["responses"].as_object().unwrap().keys().cloned());
        }
    }
    let told: BTreeSet<_> = table(REFERENCE, "## Statuses").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_page_has_every_figure() {
    let source = include_str!("../metrics.rs");
    let named: BTreeSet<_> =
        source.split('"').skip(1).step_by(2).filter(|name| name.starts_with("equinix_wif_")).collect();
    let told = table(REFERENCE, "## Metrics");
    assert_eq!(told.iter().map(|row| spans(&row[0])[0]).collect::<BTreeSet<_>>(), named);
}

#[test]
fn the_page_has_every_event_of_the_log() {
    let sources = [
        include_str!("../app.rs"),
        include_str!("../start.rs"),
        include_str!("../mcp/mod.rs"),
        include_str!("../rest/mod.rs"),
    ];
    let events =
        |text: &'static str| text.split("event = \"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut expected: BTreeSet<_> = sources.into_iter().flat_map(events).collect();
    // These are written out.
    expected.extend(["ready", "hand-out", "log-lost"]);
    let told = table(REFERENCE, "## Log");
    assert_eq!(told.iter().map(|row| spans(&row[0])[0]).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_page_has_every_tool() {
    let expected: BTreeSet<_> = tools::all(false)
        .iter()
        .map(|tool| (format!("`{}`", tool.name), tool.title.clone().unwrap()))
        .collect();
    let told = table(REFERENCE, "## MCP tools");
    assert_eq!(told.iter().map(|row| (row[0].clone(), row[1].clone())).collect::<BTreeSet<_>>(), expected);
    let text = page(REFERENCE);
    for tool in tools::all(false) {
        for argument in
            tool.input_schema["properties"].as_object().unwrap().keys().filter(|name| *name != "code")
        {
            assert!(text.contains(&format!("`{argument}`")), "{REFERENCE} lacks {argument}");
        }
    }
    // The result that is shown is one that can be.
    let shown = blocks(MCP_PAGE, "json").into_iter().find(|text| text.contains("header_file")).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let tools = tools::all(false);
    let tool = tools.iter().find(|tool| tool.name == tools::GET).unwrap();
    let schema = tool.output_schema.as_ref().unwrap()["properties"].as_object().unwrap();
    let names = |value: &serde_json::Map<String, Value>| value.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(shown.as_object().unwrap()), names(schema));
}

/// Every object inside a value.
fn objects<'v>(value: &'v Value, found: &mut Vec<&'v serde_json::Map<String, Value>>) {
    match value {
        Value::Object(members) => {
            found.push(members);
            members.values().for_each(|value| objects(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| objects(value, found)),
        _ => {}
    }
}

#[test]
fn configurations_of_clients_can_be_pasted() {
    let (mut commands, mut addresses) = (0, 0);
    for block in blocks(MCP_PAGE, "json") {
        let value: Value = serde_json::from_str(&block).unwrap_or_else(|error| panic!("{error}: {block}"));
        let mut found = Vec::new();
        objects(&value, &mut found);
        for server in found {
            if let Some(command) = server.get("command") {
                commands += 1;
                assert_eq!(command, PROGRAM);
                let arguments: Vec<String> = serde_json::from_value(server["args"].clone()).unwrap();
                assert!(taken(&arguments).is_stdio, "{block}");
            }
            if let Some(url) = server.get("url") {
                addresses += 1;
                assert_eq!(*url, format!("http://{MCP}/mcp"));
                let bearer = server["headers"]["Authorization"].as_str().unwrap();
                assert!(
                    bearer.starts_with("Bearer ${") && bearer.ends_with('}'),
                    "a bearer is not pasted: {bearer}"
                );
            }
        }
    }
    assert_eq!((commands, addresses), (4, 2));
}

/// The arguments behind the program's name in the text of a shell, without those of what comes after it.
fn shell_arguments(line: &str) -> Option<Vec<String>> {
    let (_, rest) = line.split_once("equinix-wif-serve ")?;
    let words = rest.split(' ').map(|word| word.trim_matches(['"', ';']).to_owned());
    Some(words.take_while(|word| !["&", "do", "|"].contains(&word.as_str())).collect())
}

#[test]
fn command_lines_are_taken() {
    let mut tried = 0;
    for line in blocks(PAGE, "sh").iter().flat_map(|block| block.lines()) {
        let Some(arguments) = shell_arguments(line) else { continue };
        tried += 1;
        taken(&arguments);
    }
    assert!(tried > 3, "{tried}");
    let try_it = &blocks(PAGE, "sh")[0];
    assert_eq!(try_it, "cargo run --release --manifest-path serve/Cargo.toml -- --sandbox\n");
    assert!(page("README.md").contains(try_it));
    assert!(taken(&["--sandbox".to_owned()]).is_sandbox);
}

#[test]
fn the_unit_and_the_pod_start_it() {
    let unit = page("docs/examples/systemd/equinix-wif-serve.service");
    let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    let options = taken(&shell_arguments(line).unwrap());
    assert!(options.mcp.is_none() && !options.allows_unauthenticated);
    let made = unit.lines().find(|line| line.starts_with("ExecStartPre=")).unwrap();
    let bearer = options.bearer_file.unwrap();
    assert_eq!(Path::new(made.rsplit(' ').next().unwrap()), bearer, "where the bearer is put");
    let pod = page("docs/examples/kubernetes/sidecar.yaml");
    let list = |key: &str| -> Vec<String> {
        let line = pod.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
        line.trim_matches(['[', ']']).split(", ").map(|word| word.trim_matches('"').to_owned()).collect()
    };
    let options = taken(&list("args: "));
    assert_eq!(options.bearer_file, Some(PathBuf::from("/run/equinix-wif/bearer")));
    let probe = list("command: [equinix-wif-serve, ");
    assert!(taken(&probe).probes, "{probe:?}");
    assert_eq!(options.rest, taken(&probe).rest, "the probe asks where the service listens");
}
