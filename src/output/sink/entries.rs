//! The content of a runner file, as far as it decides whether the runner can read on:
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#environment-files>.
//!
//! The runner stops at the first line that it does not understand, and shows it. What is appended after such a line is
//! lost, and in a block that is open it would become part of another value.

/// Returns the reason for which the runner would not read what is appended, if there is one.
pub(super) fn obstacle(bytes: &[u8]) -> Option<&'static str> {
    const FOREIGN_MARKS: [&[u8]; 3] = [b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"];
    if FOREIGN_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return Some("begins with the byte-order mark of UTF-16 or UTF-32, and what is appended is UTF-8");
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut open: Option<&[u8]> = None;
    for line in text.split(|byte| *byte == b'\n') {
        let line = if cfg!(windows) { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        match open {
            Some(delimiter) if line == delimiter => open = None,
            Some(_) => {}
            None if line.is_empty() => {}
            None => match Entry::of(line) {
                Entry::Line => {}
                Entry::Block(delimiter) => open = Some(delimiter),
                Entry::Invalid => return Some("has a line that is no entry"),
            },
        }
    }
    open.map(|_| "has a block without its end")
}

/// The kinds of line outside of blocks.
enum Entry<'a> {
    /// `NAME=VALUE`.
    Line,
    /// `NAME<<DELIMITER`, the beginning of a block.
    Block(&'a [u8]),
    Invalid,
}

impl<'a> Entry<'a> {
    /// Sorts a line. Whichever sign comes first decides.
    fn of(line: &'a [u8]) -> Self {
        for at in 0..line.len() {
            let (name, rest) = line.split_at(at);
            if rest.starts_with(b"=") {
                return Self::Line;
            }
            if let Some(delimiter) = rest.strip_prefix(b"<<") {
                let is_whole = !name.is_empty() && !delimiter.is_empty();
                return if is_whole { Self::Block(delimiter) } else { Self::Invalid };
            }
        }
        Self::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runner_reads_is_no_obstacle() {
        for text in [
            &b""[..],
            b"a=b",
            b"a=b\n\n\nc=d\n",
            b"\xef\xbb\xbfa=b\n",
            b"a<<E\nno entry\n\nE\n",
            b"a<<E\nE",
            b"a=b<<c\n",
            b"a<<=E\nx\n=E\n",
            b"a<<<E\nx\n<E\n",
            b"=x\n",
            b"a<b=c",
        ] {
            assert_eq!(obstacle(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_makes_it_stop_is_one() {
        for (text, why) in [
            (&b"\xff\xfea\0=\0b\0"[..], "UTF-16"),
            (b"\xfe\xff", "UTF-16"),
            (b"\xff\xfe\0\0", "UTF-32"),
            (b"\0\0\xfe\xff", "UTF-32"),
            (b"a<<E\n", "without its end"),
            (b"a<<E\nx\n E\n", "without its end"),
            (b"a<<E\nx\nE\nb<<F\nE\n", "without its end"),
            (b"a=b\njunk\nc=d\n", "no entry"),
            (b" \n", "no entry"),
            (b"<<E\nx\nE\n", "no entry"),
            (b"a<<\nx\n", "no entry"),
        ] {
            assert!(obstacle(text).is_some_and(|found| found.contains(why)), "{text:?}");
        }
    }
}
