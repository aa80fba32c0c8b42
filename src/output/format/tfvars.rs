//! A variable of Terraform in a private file, for `terraform plan -var-file="$(equinix-wif …)"`:
//! <https://developer.hashicorp.com/terraform/language/values/variables>.
//!
//! Terraform warns of each variable in such a file that is not declared, so the expiry is a comment.

use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Destination, Format, Options};

/// An assignment of HCL in a new file.
pub(super) struct Tfvars;

/// Returns the name of the variable as Terraform has it. Its variables in the environment begin with `TF_VAR_`, and by
/// convention names are in lower case.
fn variable(env_name: &str) -> String {
    env_name.strip_prefix("TF_VAR_").map_or_else(|| env_name.to_ascii_lowercase(), ToOwned::to_owned)
}

/// Appends a text as a quoted template of HCL. `${` and `%{` would begin an expression.
fn quote_into(text: &str, out: &mut String) {
    out.push('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if characters.peek() == Some(&'{') => out.extend([character, character]),
            other if other.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push('"');
}

impl Format for Tfvars {
    fn id(&self) -> &'static str {
        "tfvars"
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![Destination::NewFile]
    }

    fn render(
        &self,
        credential: &Credential,
        options: &Options<'_>,
        _: Destination,
    ) -> Result<SecretBytes, Error> {
        let (name, expires_at) = (variable(options.env_name), credential.expires_at_text());
        let token = credential.token.reveal();
        // Room for everything at once, were each character escaped, so that no smaller buffer with the token stays behind.
        let room = 6 * token.len() + name.len() + expires_at.len() + 32;
        let mut lines = Zeroizing::new(String::with_capacity(room));
        for piece in ["# Valid until ", &expires_at, ".\n", &name, " = "] {
            lines.push_str(piece);
        }
        quote_into(token, &mut lines);
        lines.push('\n');
        Ok(SecretBytes::new(std::mem::take(&mut *lines)))
    }

    /// Writes null, so that no older token is taken for this one.
    fn render_unavailable(&self, _: &str, options: &Options<'_>) -> Option<(Destination, SecretBytes)> {
        let line = format!("{} = null\n", variable(options.env_name));
        Some((Destination::NewFile, SecretBytes::new(line)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{credential, options, rendered, rendered_unavailable, text};
    use super::*;
    use crate::credential::Kind;
    use crate::secret::Secret;

    #[test]
    fn has_one_variable_and_null_without_a_token() {
        assert_eq!(
            rendered(&Tfvars, Destination::NewFile, Some("MY_TOKEN")),
            "# Valid until 2026-11-22T04:00:00Z.\nequinix_api_token = \"tok.en-._~+/0123456789==\"\n"
        );
        let (place, line) = rendered_unavailable(&Tfvars).unwrap();
        assert_eq!(place, Destination::NewFile);
        assert_eq!(line, "equinix_api_token = null\n");
    }

    #[test]
    fn the_name_is_the_one_that_terraform_knows() {
        assert_eq!(variable("EQUINIX_API_TOKEN"), "equinix_api_token");
        assert_eq!(variable("TF_VAR_equinix_Token"), "equinix_Token");
    }

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        quote_into(text, &mut out);
        out
    }

    /// Reads a quoted template as HCL's specification has it, without any expression in it.
    fn read(template: &str) -> Option<String> {
        let inner = template.strip_prefix('"')?.strip_suffix('"')?;
        let mut characters = inner.chars().peekable();
        let mut out = String::new();
        while let Some(character) = characters.next() {
            match character {
                '"' | '\n' | '\r' => return None,
                '\\' => match characters.next()? {
                    'n' => out.push('\n'),
                    'r' => out.push('\r'),
                    't' => out.push('\t'),
                    same @ ('"' | '\\') => out.push(same),
                    'u' => {
                        let digits: String = characters.by_ref().take(4).collect();
                        out.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    _ => return None,
                },
                '$' | '%' => {
                    let rest: Vec<char> = characters.clone().take(2).collect();
                    match rest.as_slice() {
                        ['{', ..] => return None,
                        [same, '{'] if *same == character => {
                            characters.next();
                            out.push(character);
                            out.extend(characters.next());
                        }
                        _ => out.push(character),
                    }
                }
                other => out.push(other),
            }
        }
        Some(out)
    }

    #[test]
    fn nothing_begins_an_expression() {
        for (plain, expected) in [
            ("a${b}", r#""a$${b}""#),
            ("%{if}", r#""%%{if}""#),
            ("$", r#""$""#),
            ("100%", r#""100%""#),
            ("\"\\\n", r#""\"\\\n""#),
            ("\u{0}", "\"\\u0000\""),
        ] {
            assert_eq!(quoted(plain), expected);
            assert_eq!(read(expected).as_deref(), Some(plain));
        }
    }

    #[test]
    fn the_room_is_enough_for_any_token() {
        let token = Secret::new("${\"\\\u{1}".repeat(50));
        let credential = Credential { token, ..credential(Kind::AccessToken) };
        let bytes = Tfvars.render(&credential, &options(None), Destination::NewFile).unwrap();
        assert!(text(&bytes).ends_with("\"\n"));
    }

    proptest! {
        #[test]
        fn any_text_without_doubled_signs_comes_back(value in "(a|\\$\\{|%\\{|\"|\\\\|\n|[^$%]){0,20}") {
            prop_assert_eq!(read(&quoted(&value)), Some(value));
        }
    }
}
