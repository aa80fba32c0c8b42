//! Texts without what differs from run to run, for snapshots.

/// Ports become the names given for these base URLs, times become `TIME`, and a life behind one `LIFE`.
pub fn steady(text: &str, servers: &[(&str, &str)]) -> String {
    let text = servers.iter().fold(text.to_owned(), |text, (url, name)| {
        let (_, host) = url.split_once("://").expect("a base URL");
        text.replace(host, name)
    });
    let mut steady = String::new();
    let mut rest = text.as_str();
    while let Some(next) = rest.chars().next() {
        let is_time = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0") == "0000-00-00T00:00:00Z";
        if rest.get(..20).is_some_and(is_time) {
            steady.push_str("TIME");
            rest = &rest[20..];
            for joint in [" (in ", ", in "] {
                if let Some(behind) = rest.strip_prefix(joint) {
                    steady.push_str(joint);
                    steady.push_str("LIFE");
                    rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
                }
            }
        } else {
            steady.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    steady
}
