//! ID tokens that a platform's own program makes.

use crate::child::{Helper, Trouble};
use crate::error::{Code, Error, Stage};
use crate::secret::Secret;

/// Explains why a program made no ID token. `needs` is the advice where it is not there.
pub(super) fn explain(helper: &Helper, why: &Trouble, needs: &str) -> Error {
    let program = helper.program;
    let code = match why {
        Trouble::Missing => {
            let message = format!("{program} is in no folder of PATH");
            return Error::new(Code::IdTokenNotOffered, message).with_cure(needs);
        }
        Trouble::TooLarge => Code::IdTokenTooLarge,
        Trouble::Late => Code::Deadline,
        Trouble::Broken(_) | Trouble::Failed(..) => Code::IdTokenHelper,
    };
    Error::new(code, format!("{program} gave no ID token: {}", why.text())).with_stage(Stage::Identity)
}

/// Reads an answer that is the token and a line break.
pub(super) fn token(helper: &Helper, answer: &[u8]) -> Result<Secret, Error> {
    let text = std::str::from_utf8(answer).map_err(|_| {
        let message = format!("{} answered with bytes that are no text", helper.program);
        Error::new(Code::IdTokenMalformed, message).with_stage(Stage::Identity)
    })?;
    Ok(Secret::new(text.trim_ascii_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELPER: Helper = Helper { program: "teller", variables: &[], beginnings: &[] };

    #[test]
    fn each_failure_of_a_program_has_its_code() {
        for (why, code) in [
            (Trouble::Missing, Code::IdTokenNotOffered),
            (Trouble::TooLarge, Code::IdTokenTooLarge),
            (Trouble::Late, Code::Deadline),
            (Trouble::Failed(1, "no".into()), Code::IdTokenHelper),
            (Trouble::Broken("no".into()), Code::IdTokenHelper),
        ] {
            let error = explain(&HELPER, &why, "Bring it along.");
            assert_eq!(error.code(), code);
            assert!(error.message().starts_with("teller "), "{error}");
        }
        assert_eq!(explain(&HELPER, &Trouble::Missing, "Bring it along.").cure(), "Bring it along.");
    }

    #[test]
    fn the_token_is_all_of_the_answer_but_its_end() {
        assert_eq!(token(&HELPER, b"a.b.c\r\n").unwrap().reveal(), "a.b.c");
        assert_eq!(token(&HELPER, b" a.b.c").unwrap().reveal(), " a.b.c");
        assert_eq!(token(&HELPER, b"\xff").unwrap_err().code(), Code::IdTokenMalformed);
    }
}
