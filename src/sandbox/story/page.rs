//! The page that a story is written on.

/// Lines, most of them with a label in front.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// One line.
    pub(super) fn line(&mut self, text: &str) {
        self.0.push_str(text.trim_end());
        self.0.push('\n');
    }

    /// A line with an empty one in front.
    pub(super) fn heading(&mut self, text: &str) {
        self.0.push('\n');
        self.line(text);
    }

    /// A text with its label.
    pub(super) fn row(&mut self, label: &str, text: &str) {
        self.line(&format!("  {label:<13} {text}"));
    }

    /// One label for several texts.
    pub(super) fn rows<T: AsRef<str>>(&mut self, label: &str, texts: impl IntoIterator<Item = T>) {
        for (number, text) in texts.into_iter().enumerate() {
            self.row(if number == 0 { label } else { "" }, text.as_ref());
        }
    }

    /// Ends the page.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}
