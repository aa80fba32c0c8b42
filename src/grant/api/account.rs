//! The classic API's address, and the secrets that are sent to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::{Code, Error};
use crate::http::url::Url;
use crate::secret::Secret;
use crate::text::printable;

/// The shortest secret that can work. A shorter one is a placeholder or a mistake, and could be guessed.
const SHORTEST: usize = 8;

/// The longest secret that is sent, in bytes: as long as the longest refresh token that is kept.
pub const LONGEST: usize = 32 * 1024;

/// The classic API, and what is sent there. What is missing is only an error for a grant that needs it.
#[derive(Debug)]
pub struct Account {
    /// The API's base URL.
    pub endpoint: Url,
    /// The client's id and secret.
    pub client: Option<Client>,
    /// A sentence about a client that is not whole.
    pub half: Option<String>,
    /// The token of `EQUINIX_API_TOKEN`, with which the client introduces itself to the STS.
    pub caller: Option<Secret>,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
    /// The name of the user.
    pub user_name: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// The form in which the password is sent.
    pub encoding: Option<PasswordEncoding>,
    /// Consent to what the vendor has retired.
    pub force: bool,
}

/// A client's id and secret.
#[derive(Debug)]
pub struct Client {
    /// The id. Equinix calls it Consumer Key.
    pub id: Secret,
    /// The secret. Equinix calls it Consumer Secret.
    pub secret: Secret,
}

/// The source of a secret, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This variable.
    Variable(&'static str),
    /// The file or standard input that this flag names.
    File(&'static str),
}

impl Origin {
    fn name(&self) -> &'static str {
        match self {
            Self::Variable(name) | Self::File(name) => name,
        }
    }
}

/// A secret as it was found.
pub struct SecretText;

impl SecretText {
    /// Reads a secret as people paste it: a line break at its end does not belong to it. What cannot work is refused before
    /// it is sent, since each wrong attempt counts.
    pub fn read(bytes: &[u8], origin: &Origin) -> Result<Secret, Error> {
        let invalid =
            |why: &str| Err(Error::new(Code::CfgSecretInvalid, format!("{} holds {why}", origin.name())));
        let Ok(text) = std::str::from_utf8(bytes) else { return invalid("a secret that is not UTF-8") };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return invalid("no secret");
        }
        if text.len() > LONGEST {
            return invalid("a secret that is too long");
        }
        if text.chars().any(char::is_control) {
            return invalid("a secret with a control character or a line break inside");
        }
        // It was sent as a part of the secret otherwise: some editors put a byte order mark before a text.
        if printable(text) != text {
            return invalid("a secret with a character that cannot be seen, such as a byte order mark");
        }
        if text.trim() != text {
            return invalid("a secret with a blank before or behind it");
        }
        // `docker --env-file` and the like keep them, and Equinix's ids, secrets and tokens have none.
        if matches!(origin, Origin::Variable(_))
            && text.starts_with(['"', '\''])
            && text.ends_with(['"', '\''])
        {
            return invalid("a secret in quotation marks, which do not belong to it");
        }
        if text.chars().count() < SHORTEST {
            return invalid("a secret of fewer than 8 characters, which cannot be the right one");
        }
        Ok(Secret::new(text))
    }
}

impl Account {
    /// Returns the API without anything to send there, for a grant that does not ask it.
    pub fn empty() -> Result<Self, Error> {
        let endpoint = Url::parse(super::DEFAULT_ENDPOINT)
            .map_err(|why| Error::new(Code::Internal, format!("the default endpoint is wrong: {why}")))?;
        Ok(Self {
            endpoint,
            client: None,
            half: None,
            caller: None,
            refresh_token: None,
            user_name: None,
            password: None,
            encoding: None,
            force: false,
        })
    }

    /// Returns the client's id and secret, which every request needs.
    pub fn required_client(&self) -> Result<&Client, Error> {
        let usual = "there is no client id and secret for the Equinix API";
        self.client
            .as_ref()
            .ok_or_else(|| Error::new(Code::ClientCredentialsMissing, self.half.as_deref().unwrap_or(usual)))
    }

    /// Returns every secret, to be hidden before the first one is sent.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let client = self.client.iter().flat_map(|client| [&client.id, &client.secret]);
        client.chain(&self.caller).chain(&self.refresh_token).chain(&self.password)
    }
}

/// The form in which a password is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordEncoding {
    /// The Base64 of the MD5 digest: of its sixteen bytes, not of its hexadecimal text.
    Md5Base64,
}

impl PasswordEncoding {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Md5Base64];

    /// The value of `--password-encoding`, and of the member `password_encoding`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Md5Base64 => "md5-b64",
        }
    }

    /// Returns a password in this form. MD5 protects nobody: whoever has the digest can log in with it.
    pub fn encode(self, password: &Secret) -> Secret {
        match self {
            Self::Md5Base64 => {
                let digest = Zeroizing::new(md5::compute(password.reveal().as_bytes()).0);
                Secret::new(STANDARD.encode(digest.as_slice()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_b64_is_the_base64_of_the_digest_s_bytes() {
        // The test suite of RFC 1321, appendix A.5: the digests of "message digest" and of the alphabet.
        for (password, encoded) in [
            ("message digest", "+WtpfXy3k41SWi8xqvFh0A=="),
            ("abcdefghijklmnopqrstuvwxyz", "w/zT12GS5AB9+0lsymfhOw=="),
        ] {
            let secret = PasswordEncoding::Md5Base64.encode(&Secret::new(password));
            assert_eq!(secret.reveal(), encoded);
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_being_shown() {
        let origin = Origin::File("--client-secret-file");
        let read = |bytes: &[u8]| SecretText::read(bytes, &origin);
        assert_eq!(read(b"long enough\r\n").unwrap().reveal(), "long enough");
        for bytes in [
            &b""[..],
            b"\n",
            b"1234567",
            b" 12345678",
            b"12345678 ",
            b"1234\n5678",
            b"1234\t5678",
            b"\xff\xfe1234567890",
            b"\xef\xbb\xbf1234567890",
            "1234\u{200b}567890".as_bytes(),
            &vec![b'a'; LONGEST + 1],
        ] {
            let error = read(bytes).unwrap_err();
            assert_eq!(error.code(), Code::CfgSecretInvalid);
            assert!(error.message().starts_with("--client-secret-file holds "), "{error}");
            assert!(!error.to_string().contains("1234"), "{error}");
        }
        // A password may have quotation marks; what a variable holds has none.
        assert!(read(b"\"12345678\"").is_ok());
        let error = SecretText::read(b"\"12345678\"", &Origin::Variable("V")).unwrap_err();
        assert_eq!(error.code(), Code::CfgSecretInvalid);
    }
}
