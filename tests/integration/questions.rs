//! The questions of somebody who is new here, and the heading that answers each within a minute.

#![cfg(feature = "sandbox")]

use crate::support::pages::{markdown, prose, rows};

/// The questions in the words of somebody who asks; the page may word them otherwise, in the same order.
const QUESTIONS: [&str; 20] = [
    "try it without an account",
    "enter at Equinix for this repository",
    "GitHub job",
    "GitLab job",
    "Terraform run",
    "only the production environment",
    "matrix",
    "monorepo",
    "reusable workflow",
    "forks and Dependabot",
    "inside a container or a Docker build",
    "behind a proxy, with a private CA",
    "a client id and a secret today",
    "curl, Ansible or an SDK",
    "takes longer than the token lives",
    "two scopes in one job",
    "It failed",
    "Who can read the token, and what is in the log",
    "A token leaked",
    "pinned and verified, before a release, or offline",
];

#[test]
fn each_has_a_heading_that_answers_it() {
    let rows = rows("docs/questions.md", "# Twenty questions");
    assert_eq!(rows.len(), QUESTIONS.len());
    for (question, row) in QUESTIONS.iter().zip(rows) {
        assert!(row[0].contains(question), "{question}: {row:?}");
        let links = markdown::links(&row[1]);
        assert!(!links.is_empty(), "{question}: no answer");
        for link in links {
            let (path, anchor) = link.split_once('#').unwrap_or_else(|| panic!("{question}: {link}"));
            let path = path.strip_prefix("../").map_or_else(|| format!("docs/{path}"), ToOwned::to_owned);
            let anchors = markdown::anchors(&prose(&path));
            assert!(anchors.iter().any(|found| found == anchor), "{question}: {link}: {anchors:?}");
        }
    }
}

/// A recipe is as short as the page says.
#[test]
fn a_recipe_has_ten_lines_or_less() {
    let text = crate::support::pages::page("docs/recipes.md");
    let (blocks, prose) = markdown::split(&text);
    assert!(blocks.len() > 15 && markdown::anchors(&prose).len() > 18);
    for block in blocks {
        assert!(block.text.lines().count() <= 10, "docs/recipes.md:{}: too long", block.line);
    }
}
