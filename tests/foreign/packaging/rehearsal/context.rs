//! The expressions of a workflow, as far as the project's own use them.

use serde_json::Value;

/// The values that expressions can name.
pub(super) struct Context(pub(super) Value);

impl Context {
    pub(super) fn with(&self, name: &str, value: Value) -> Self {
        let mut all = self.0.clone();
        all[name] = value;
        Self(all)
    }

    /// The value of a name, a text, or a call.
    fn value(&self, expression: &str) -> Value {
        let expression = expression.trim();
        if let Some(text) = expression.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return text.into();
        }
        if let Some((function, rest)) = expression.split_once('(') {
            let arguments = rest.strip_suffix(')').expect(expression);
            let mut arguments = arguments.split(',').map(|argument| self.value(argument));
            let mut text = || arguments.next().unwrap().as_str().unwrap().to_owned();
            return match function {
                "endsWith" => text().ends_with(&text()).into(),
                "contains" => text().contains(&text()).into(),
                "cancelled" => false.into(),
                _ => panic!("the rehearsal does not know the function of {expression}"),
            };
        }
        let names: Vec<&str> = expression.split('.').collect();
        // As on GitHub, an output that was not set is empty.
        let is_output = matches!(names.as_slice(), ["steps" | "needs", _, "outputs", _]);
        let mut value = &self.0;
        for (at, name) in names.iter().enumerate() {
            match value.get(name) {
                Some(inner) => value = inner,
                None if is_output && at == 3 => return "".into(),
                None => panic!("the rehearsal does not know {expression}: {}", self.0),
            }
        }
        value.clone()
    }

    pub(super) fn holds(&self, condition: &str) -> bool {
        let condition = condition.trim();
        let condition =
            condition.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(condition);
        condition.split("&&").all(|term| {
            let term = term.trim();
            if let Some((left, right)) = term.split_once("==") {
                self.value(left) == self.value(right)
            } else if let Some((left, right)) = term.split_once("!=") {
                self.value(left) != self.value(right)
            } else if let Some(rest) = term.strip_prefix('!') {
                self.value(rest) == false
            } else {
                self.value(term) == true
            }
        })
    }

    /// A text with the values of its expressions.
    pub(super) fn filled(&self, text: &Value) -> String {
        let text = text.as_str().map_or_else(|| text.to_string(), ToOwned::to_owned);
        let mut parts = text.split("${{");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |all, part| {
            let (expression, rest) = part.split_once("}}").unwrap();
            all + self.value(expression).as_str().unwrap() + rest
        })
    }
}
