//! Names the small differences that people overlook for hours.
//!
//! Nothing is decided here: what differs differs, byte by byte. A near miss only becomes a hint.

use crate::identity::subject;

/// Takes away a difference that people overlook.
type Normal<'a> = &'a dyn Fn(&str) -> String;

/// What makes two texts differ that a person would take for the same, as a sentence.
pub fn near_miss(expected: &str, found: &str) -> Option<String> {
    if expected == found || expected.is_empty() || found.is_empty() {
        return None;
    }
    let no_scheme = |text: &str| text.trim_start_matches("https://").trim_start_matches("http://").to_owned();
    let no_ref = |text: &str| {
        let prefixes = ["refs/heads/", "refs/tags/"];
        prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text).to_owned()
    };
    // Case comes first: the scheme is recognised in lower case only.
    let steps: [(&str, Normal<'_>); 7] = [
        ("upper and lower case", &str::to_lowercase),
        ("white space", &|text| text.split_whitespace().collect()),
        ("a slash at the end", &|text| text.trim_end_matches('/').to_owned()),
        ("the scheme (https://, http:// or none)", &no_scheme),
        ("refs/heads/ or refs/tags/ in front", &no_ref),
        ("how a colon is written (: or %3A)", &|text| text.replace("%3A", ":").replace("%3a", ":")),
        ("the ids of owner and repository (@id, GitHub's newer subject)", &|text| {
            subject::without_ids(text).unwrap_or_else(|| text.to_owned())
        }),
    ];
    let equal_without = |left_out: Option<usize>| {
        let normal = |text: &str| {
            let used = steps.iter().enumerate().filter(|(number, _)| Some(*number) != left_out);
            used.fold(text.to_owned(), |text, (_, (_, normal))| normal(&text))
        };
        normal(expected) == normal(found)
    };
    if equal_without(None) {
        let needed = steps.iter().enumerate().filter(|(number, _)| !equal_without(Some(*number)));
        let names: Vec<&str> = needed.map(|(_, (name, _))| *name).collect();
        return Some(format!("They differ only in {}.", names.join(" and in ")));
    }
    if found.starts_with(expected) {
        return Some("The expected text is only its beginning.".to_owned());
    }
    expected.starts_with(found).then(|| "It is only the beginning of the expected text.".to_owned())
}

/// Whether one letter too many, too few, changed or swapped, or case, makes the difference.
pub fn is_close(known: &str, given: &str) -> bool {
    let (known, given): (Vec<char>, Vec<char>) =
        (known.chars().collect(), given.to_lowercase().chars().collect());
    let (mut before, mut row) = (Vec::new(), (0..=given.len()).collect::<Vec<usize>>());
    for (i, a) in known.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in given.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&row, j) + usize::from(a != b)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = j > 0 && i > 0 && known.get(i - 1) == Some(b) && given.get(j - 1) == Some(a);
            if swapped {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            next.push(cost);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().is_some_and(|distance| *distance <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_named() {
        for (one, other, word) in [
            ("Octo", "octo", Some("in upper and lower case.")),
            ("https://x", "https://x/", Some("slash")),
            ("https://x", "http://x", Some("scheme")),
            ("https://x", "x", Some("scheme")),
            ("x", " x\n", Some("white space")),
            ("main", "refs/heads/main", Some("refs/heads/ or refs/tags/")),
            ("refs/tags/v1", "v1", Some("refs/heads/ or refs/tags/")),
            ("environment:a:b", "environment:a%3Ab", Some("%3A")),
            ("repo:o/r:ref:x", "repo:o@1/r@2:ref:x", Some("@id")),
            ("HTTPS://x", "https://X/", Some("case and in a slash at the end.")),
            ("repo:o/r:", "repo:o/r:ref:x", Some("only its beginning")),
            ("octo-org/web", "octo-org", Some("only the beginning of")),
            ("x", "y", None),
            ("x", "x", None),
            ("", "x", None),
        ] {
            let found = near_miss(one, other);
            assert_eq!(found.is_some(), word.is_some(), "{one} {other}: {found:?}");
            assert!(
                found.clone().unwrap_or_default().contains(word.unwrap_or_default()),
                "{one} {other}: {found:?}"
            );
        }
    }
}
