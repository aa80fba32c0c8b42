//! AWS: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>.
//!
//! The STS of AWS makes ID tokens for whoever has credentials: a build of `CodeBuild`, a machine, a container, a function. A request has
//! to be signed with them, and they come from many places. AWS's own program knows all of these, so it is what asks.

use serde_json::json;

use crate::child::{Helper, Trouble};
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error, Stage};
use crate::json::{self, SecretObject};
use crate::secret::Secret;
use crate::session::Session;

use super::facts::{Audience, Facts, Supply};
use super::helper_program;
use super::{Evidence, Fetched, Platform, Wanted};

/// The variables that are read here. AWS's program gets all of AWS's.
pub mod names {
    crate::env::variables! {
        /// The region of AWS whose STS is asked. AWS's program of version 1 does not read it by itself.
        AWS_REGION = "AWS_REGION";
    }
}

/// CodeBuild, EC2, ECS, EKS and Lambda, and whatever else has credentials of AWS.
pub(super) struct Aws;

static FACTS: Facts = Facts {
    id: "aws",
    name: "AWS",
    variables: names::ALL,
    format: "env-file",
    supply: Supply::Request,
    audience: Audience::Required,
    renews: true,
    ..Facts::NEUTRAL
};

const CLI: Helper = Helper { program: "aws", variables: &[], beginnings: &["AWS_"] };

const NEEDS: &str =
    "Install AWS's command line program of version 2, or a late one of version 1, in a folder of PATH.";

/// Variables that hold secrets of AWS. They stay the command's under `exec`, since only they let it work with AWS.
const SECRETS: [&str; 3] =
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];

/// Words of the program, each with what they mean: the code and the advice.
const WORDS: [(&str, Code, &str); 4] = [
    (
        "Unable to locate credentials",
        Code::IdTokenNotOffered,
        "Give the job a role: a service role of CodeBuild, an instance profile, a task role, a service account with a role. A container may have lost AWS's variables.",
    ),
    (
        "specify a region",
        Code::IdTokenHelper,
        "Set AWS_REGION: ID tokens are made by the STS of a region only.",
    ),
    (
        "OutboundWebIdentityFederation",
        Code::IdTokenHelper,
        "Switch it on for the account: aws iam enable-outbound-web-identity-federation.",
    ),
    ("AccessDenied", Code::IdTokenHelper, "Allow the role sts:GetWebIdentityToken."),
];

impl Platform for Aws {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn here(&self, _: &Env) -> Evidence {
        Evidence { is_here: false, text: "chosen by the setting provider".to_owned() }
    }

    fn ready(&self, env: &Env, _: &Wanted) -> Result<(), Error> {
        CLI.find(env).map(drop).map_err(explain)
    }

    fn fetch(&self, session: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        let audience = wanted.chosen_audience(&FACTS)?;
        for name in SECRETS {
            if let Some(secret) = session.env.text(name)? {
                session.console.guard(&Secret::new(secret));
            }
        }
        // As JSON: of a flag's value, the program takes an address for a place to read the value from.
        let input = json!({"Audience": [audience], "SigningAlgorithm": "RS256"}).to_string();
        let region = session.env.text(names::AWS_REGION)?.filter(|region| is_region(region));
        let mut arguments = vec!["sts", "get-web-identity-token", "--output", "json"];
        arguments.extend(region.iter().flat_map(|region| ["--region", region]));
        arguments.extend(["--cli-input-json", &input]);
        // The program makes several attempts by itself.
        let answer = CLI.run(&session.env, &arguments, None, by).map_err(explain)?;
        Ok(Fetched { token: read(&answer)?, skew: None })
    }
}

/// Tells whether a text can be a region, and no flag.
fn is_region(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Reads the token out of the program's answer.
pub(super) fn read(answer: &[u8]) -> Result<Secret, Error> {
    const MEMBER: &str = "WebIdentityToken";
    let malformed =
        |code, why: String| Error::new(code, format!("{} {why}", CLI.program)).with_stage(Stage::Identity);
    let mut members = SecretObject::parse(answer).map_err(|why| {
        malformed(Code::IdTokenNotJson, format!("answered with {} bytes: {why}", answer.len()))
    })?;
    members.take_secret(MEMBER).ok_or_else(|| {
        let found = members.get(MEMBER).map_or("missing", json::kind);
        malformed(Code::IdTokenMalformed, format!("answered without a token: its {MEMBER} is {found}"))
    })
}

fn explain(why: Trouble) -> Error {
    let error = helper_program::explain(&CLI, &why, NEEDS);
    let Trouble::Failed(_, words) = &why else { return error };
    // Without the command, the program lists those that it has.
    if words.contains("nvalid choice") || words.contains("usage: aws") {
        return error.with_cure(NEEDS);
    }
    match WORDS.iter().find(|(part, ..)| words.contains(part)) {
        Some((_, code, cure)) => {
            Error::new(*code, error.message()).with_stage(Stage::Identity).with_cure(*cure)
        }
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_token_or_its_own_reason() {
        let token = read(br#"{"WebIdentityToken": "a.b.c", "Expiration": "2026-11-22T04:00:00Z"}"#).unwrap();
        assert_eq!(token.reveal(), "a.b.c");
        for (answer, code) in [
            (&b""[..], Code::IdTokenNotJson),
            (b"a.b.c", Code::IdTokenNotJson),
            (b"[]", Code::IdTokenNotJson),
            (b"{}", Code::IdTokenMalformed),
            (br#"{"WebIdentityToken": 1}"#, Code::IdTokenMalformed),
            (br#"{"WebIdentityToken": "a", "WebIdentityToken": "b"}"#, Code::IdTokenNotJson),
        ] {
            assert_eq!(read(answer).unwrap_err().code(), code, "{}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn a_region_is_no_flag() {
        assert!(is_region("eu-central-1") && is_region("us-gov-west-1"));
        for other in ["", "-x", "--profile", "eu central", "EU", "eu;x", "1"] {
            assert!(!is_region(other), "{other}");
        }
    }
}
