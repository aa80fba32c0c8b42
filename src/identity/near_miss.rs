//! Names the small differences that people overlook for hours.
//!
//! Nothing is decided here: what differs differs, byte by byte. A near miss only becomes a hint.

use crate::identity::subject;

/// Takes away a difference that people overlook.
type Normal<'a> = &'a dyn Fn(&str) -> String;

/// Names the difference between two texts that a person would take for the same, as a sentence.
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

/// The known name that was probably meant: one letter too many, too few, changed or swapped, or case, makes the difference.
pub fn closest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = given.to_lowercase();
    known.into_iter().find(|known| strsim::osa_distance(known, &given) <= 1)
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

    #[test]
    fn a_name_is_found_by_one_slip() {
        for (given, meant) in [
            ("deadline", Some("deadline")),
            ("deadlin", Some("deadline")),
            ("deaddline", Some("deadline")),
            ("deadlime", Some("deadline")),
            ("daedline", Some("deadline")),
            ("DEADLINE", Some("deadline")),
            ("daedlime", None),
            ("dadlin", None),
            ("er", Some("ern")),
            ("", None),
        ] {
            assert_eq!(closest(given, ["deadline", "ern"]), meant, "{given}");
        }
    }
}
