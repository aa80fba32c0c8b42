//! The disguises in which a server may give a secret back, and the texts that look like one and are none.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::{Redactor, WITHHELD, clean, quote};

/// An ID token, an opaque bearer, and an access token with every sign that RFC 6750 allows.
const SECRETS: [&str; 3] = [
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IjM4ODI2YjE3In0.eyJqdGkiOiI2ZDQ4MGU4MSIsInN1YiI6InJlcG86b2N0by1vcmcvbyJ9.\
     kZ3Rh9vX0mQ_b7TqLw2YcE-5uNfJgD1sAoPzH8iKxV4yMtW6rBnCeUlGjSdFpQa",
    "Qm7xT2vLk9RfW4zNcY8hJ3bPdG6sAeVu1KoXrMtCiEyZ5wDgHnLqBjUfSpa0I",
    "p0/Zk+3w~Tq.9_Ld-Xe5RbUhY7mCjV2nGsAf8KoWi1EyPt6DxBz4MvQlHrNcSuJgFa==",
];

type Disguise = (&'static str, fn(&str) -> String);

fn each(text: &str, act: impl Fn(char) -> String) -> String {
    text.chars().map(act).collect()
}

fn every(text: &str, size: usize, between: &str) -> String {
    let pieces: Vec<String> =
        text.as_bytes().chunks(size).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
    pieces.join(between)
}

fn hex(text: &str) -> String {
    each(text, |c| format!("{:02x}", c as u32))
}

fn percent(text: &str) -> String {
    each(text, |c| format!("%{:02X}", c as u32))
}

fn json_escaped(text: &str) -> String {
    each(text, |c| format!("\\u{:04x}", c as u32))
}

fn base32(text: &str) -> String {
    let bits = text.bytes().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
    let symbols = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let symbol = |five: &[u8]| {
        let digits = format!("{:0<5}", String::from_utf8_lossy(five));
        char::from(symbols[usize::from_str_radix(&digits, 2).unwrap()])
    };
    let encoded: String = bits.as_bytes().chunks(5).map(symbol).collect();
    format!("{encoded}{}", "=".repeat((8 - encoded.len() % 8) % 8))
}

fn shifted(text: &str, first: char, to: u32) -> String {
    each(text, |c| {
        if c >= first { char::from_u32(c as u32 - first as u32 + to).unwrap().into() } else { c.into() }
    })
}

fn mathematical(text: &str) -> String {
    each(text, |c| {
        let code = match c {
            'A'..='Z' => 0x1_d400 + c as u32 - 'A' as u32,
            'a'..='z' => 0x1_d41a + c as u32 - 'a' as u32,
            '0'..='9' => 0x1_d7ce + c as u32 - '0' as u32,
            other => other as u32,
        };
        char::from_u32(code).unwrap().into()
    })
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

fn rot13(text: &str) -> String {
    each(text, |c| match c {
        'A'..='M' | 'a'..='m' => char::from(c as u8 + 13).into(),
        'N'..='Z' | 'n'..='z' => char::from(c as u8 - 13).into(),
        other => other.into(),
    })
}

const DISGUISES: &[Disguise] = &[
    ("as it is", str::to_owned),
    ("hex", hex),
    ("upper-case hex", |s| hex(s).to_uppercase()),
    ("hex with colons", |s| every(&hex(s), 2, ":")),
    ("hex with blanks", |s| every(&hex(s), 2, " ")),
    ("hex in groups of four", |s| every(&hex(s), 4, " ")),
    ("0x hex list", |s| each(s, |c| format!("0x{:02x}, ", c as u32))),
    ("C hex escapes", |s| each(s, |c| format!("\\x{:02x}", c as u32))),
    ("C octal escapes", |s| each(s, |c| format!("\\{:03o}", c as u32))),
    ("hex of hex", |s| hex(&hex(s))),
    ("hex of UTF-16", |s| each(s, |c| format!("00{:02x}", c as u32))),
    ("percent", percent),
    ("lower-case percent", |s| percent(s).to_lowercase()),
    ("percent twice", |s| percent(s).replace('%', "%25")),
    ("percent thrice", |s| percent(s).replace('%', "%2525")),
    ("each character percent-encoded twice", |s| percent(&percent(s))),
    ("every third character percent-encoded", |s| {
        s.chars()
            .enumerate()
            .map(|(n, c)| if n % 3 == 0 { format!("%{:02x}", c as u32) } else { c.into() })
            .collect()
    }),
    ("percent with u", |s| each(s, |c| format!("%u{:04x}", c as u32))),
    ("base64", |s| STANDARD.encode(s)),
    ("base64 without padding", |s| STANDARD_NO_PAD.encode(s)),
    ("base64url", |s| URL_SAFE.encode(s)),
    ("base64url without padding", |s| URL_SAFE_NO_PAD.encode(s)),
    ("base64 twice", |s| STANDARD.encode(STANDARD.encode(s))),
    ("base64 thrice", |s| STANDARD.encode(STANDARD.encode(STANDARD.encode(s)))),
    ("base64 with lines of 8", |s| every(&STANDARD.encode(s), 8, "\n")),
    ("base64 with lines of 76", |s| every(&STANDARD.encode(s), 76, "\r\n")),
    ("base64 with escaped line breaks", |s| every(&STANDARD.encode(s), 8, "\\n")),
    ("base64 twice with lines of 8", |s| {
        every(&STANDARD.encode(every(&STANDARD.encode(s), 8, "\n")), 8, " ")
    }),
    ("base64 of each character", |s| each(s, |c| STANDARD.encode([c as u8]) + " ")),
    ("base64 of pieces", |s| s.as_bytes().chunks(7).map(|p| STANDARD_NO_PAD.encode(p) + " ").collect()),
    ("base64 of hex", |s| STANDARD.encode(hex(s))),
    ("base64 of UTF-16", |s| STANDARD.encode(each(s, |c| format!("{c}\0")))),
    ("base64 backwards", |s| reversed(&STANDARD.encode(s))),
    ("base64 of it backwards", |s| STANDARD.encode(reversed(s))),
    ("full-width base64", |s| shifted(&STANDARD.encode(s), '!', 0xff01)),
    ("base64 of full-width letters", |s| STANDARD.encode(shifted(s, '!', 0xff01))),
    ("hex of base64", |s| hex(&STANDARD.encode(s))),
    ("base32", base32),
    ("lower-case base32", |s| base32(s).to_lowercase()),
    ("base32 in groups", |s| every(&base32(s), 4, "-")),
    ("base32 twice", |s| base32(&base32(s))),
    ("backwards", reversed),
    ("backwards with blanks", |s| every(&reversed(s), 4, " ")),
    ("hex backwards", |s| reversed(&hex(s))),
    ("a blank after each character", |s| every(s, 1, " ")),
    ("a blank every 11 characters", |s| every(s, 11, " ")),
    ("a bar every 11 characters", |s| every(s, 11, "|")),
    ("ten blanks after each character", |s| every(s, 1, "          ")),
    ("quoted pieces", |s| every(s, 5, "\" + \"")),
    ("a line break every 5 characters", |s| every(s, 5, "\n")),
    ("a tag every 5 characters", |s| every(s, 5, "\u{2022}")),
    ("upper case", str::to_uppercase),
    ("lower case", str::to_lowercase),
    ("full-width", |s| shifted(s, '!', 0xff01)),
    ("mathematical bold", mathematical),
    ("circled", |s| shifted(&s.to_lowercase(), 'a', 0x24d0)),
    ("combining marks", |s| each(s, |c| format!("{c}\u{301}"))),
    ("struck through", |s| each(s, |c| format!("{c}\u{336}"))),
    ("accents", |s| s.replace('e', "\u{e9}").replace('a', "\u{e4}").replace('o', "\u{f8}\u{f6}")),
    ("zero-width", |s| every(s, 1, "\u{200b}")),
    ("soft hyphens", |s| every(s, 3, "\u{ad}")),
    ("NUL after each character", |s| every(s, 1, "\0")),
    ("JSON escapes", json_escaped),
    ("upper-case JSON escapes", |s| each(s, |c| format!("\\u{:04X}", c as u32))),
    ("JSON escapes twice", |s| json_escaped(s).replace('\\', "\\\\")),
    ("JSON escapes of JSON escapes", |s| json_escaped(&json_escaped(s))),
    ("JavaScript escapes", |s| each(s, |c| format!("\\u{{{:x}}}", c as u32))),
    ("Python escapes", |s| each(s, |c| format!("\\U{:08x}", c as u32))),
    ("code points", |s| each(s, |c| format!("U+{:04X} ", c as u32))),
    ("HTML decimal", |s| each(s, |c| format!("&#{};", c as u32))),
    ("HTML decimal without semicolons", |s| each(s, |c| format!("&#{:07}", c as u32))),
    ("HTML hexadecimal", |s| each(s, |c| format!("&#x{:x};", c as u32))),
    ("HTML twice", |s| each(s, |c| format!("&amp;#{};", c as u32))),
    ("HTML names for the signs", |s| {
        s.replace('.', "&period;").replace('_', "&lowbar;").replace('-', "&hyphen;").replace('/', "&sol;")
    }),
    ("quoted-printable", |s| each(s, |c| format!("={:02X}", c as u32))),
    ("decimal list", |s| each(s, |c| format!("{}, ", c as u32))),
    ("decimal list in brackets", |s| format!("[{}]", each(s, |c| format!("{},", c as u32)))),
    ("octal list", |s| each(s, |c| format!("{:o} ", c as u32))),
    ("binary", |s| each(s, |c| format!("{:08b} ", c as u32))),
    ("ROT13", rot13),
    ("base64 of ROT13", |s| STANDARD.encode(rot13(s))),
];

fn redactor() -> Redactor {
    let mut redactor = Redactor::default();
    for secret in SECRETS {
        redactor.add(secret);
    }
    redactor
}

/// Checks each text as a line shows it (cleaned, shortened, scrubbed), and the raw text, as it is looked at for the report.
#[test]
fn no_disguise_gets_through() {
    let (mut redactor, mut missed) = (redactor(), Vec::new());
    for secret in SECRETS {
        for (name, disguise) in DISGUISES {
            // Prose around it changes the alignment of what is encoded.
            for (before, after) in [
                ("", ""),
                ("you sent: ", ", did you?"),
                ("token=", ""),
                ("(a1 ", ") is not valid"),
                ("no: ", ""),
            ] {
                let raw = format!("{before}{}{after}", disguise(secret));
                // At least a dozen of the secret's characters are in what a quotation shows.
                let quoted = (raw.chars().count() < 25 * secret.len()).then(|| quote(&raw));
                for text in quoted.into_iter().chain([clean(&raw), raw]) {
                    let (shown, hit) = redactor.scrub(&text);
                    // A token in plain sight is cut when it is quoted.
                    let cut = shown.contains("***");
                    if !(cut || hit && shown == WITHHELD) {
                        missed.push(format!("{name}: {before}"));
                    }
                }
            }
        }
    }
    missed.dedup();
    assert!(missed.is_empty(), "{} got through:\n{}", missed.len(), missed.join("\n"));
}

/// Checks that what is left of a disguised text is not enough to repair it.
#[test]
fn a_disguised_secret_is_withheld_with_all_around_it() {
    let mut redactor = redactor();
    let text = format!("see {} and more", hex(SECRETS[1]));
    assert_eq!(redactor.scrub(&text), (WITHHELD.to_owned(), true));
    assert_eq!(redactor.scrub(WITHHELD), (WITHHELD.to_owned(), false), "it is shown as it is");
}

/// Checks that a dozen characters are enough, as for plain pieces; fewer occur by chance.
/// Checks a secret with `~`, which base64 writes with a sign, read in both directions.
#[test]
fn a_sign_of_base64_is_read_in_both_directions() {
    let secret = "0_A+0A00~A~_Aa~0~a0aA-~__+0aa~~+a~-Aaaa-a+~+Aa~aA0~aA";
    for (name, disguise) in DISGUISES {
        let mut redactor = Redactor::default();
        redactor.add(secret);
        assert!(redactor.scrub(&clean(&format!("x {}", disguise(secret)))).1, "{name}");
    }
}

#[test]
fn a_piece_in_disguise_is_enough() {
    let mut redactor = redactor();
    let spaced = |length: usize| every(&SECRETS[1][20..20 + length], 1, " ");
    assert_eq!(redactor.scrub(&format!("<{}>", spaced(12))).0, WITHHELD);
    assert!(!redactor.scrub(&format!("<{}>", spaced(11))).1);
}

/// Checks what SECURITY.md says of the redactor's limits, so that it stays true.
#[test]
fn what_still_passes_is_what_is_said_to() {
    let secret = SECRETS[1];
    let passing: &[Disguise] = &[
        ("pieces below twelve characters between words", |s| every(s, 11, " and ")),
        ("letters that only look alike", |s| {
            s.replace(|c| "aeocpxAEOCPX".contains(c), "\u{430}")
                .replace(|c: char| c.is_ascii_digit(), "\u{437}")
                .replace(|c| "TKHMBty".contains(c), "\u{442}")
                .replace(|c| "jJiISs".contains(c), "\u{456}")
        }),
        ("spelt out", |s| each(s, |c| format!("{c} as in {c}xyz, "))),
        ("another substitution", |s| each(s, |c| char::from(33 + (c as u8 - 33 + 7) % 94).into())),
    ];
    for (name, disguise) in passing {
        assert!(!redactor().scrub(&disguise(secret)).1, "{name}: it is found now; say so in SECURITY.md");
    }
}

#[test]
fn ordinary_texts_are_shown_as_they_are() {
    let mut redactor = redactor();
    for text in [
        "the STS refused the exchange: \"invalid_grant\" (400)",
        "https://sts.eqix.equinix.com/use/token?audience=https%3A%2F%2Fsts.eqix.equinix.com&x=%C3%A4",
        "https://vstoken.actions.githubusercontent.com/.well-known/openid-configuration",
        "6f9619ff-8b86-d011-b42d-00cf4fc964ff 550e8400-e29b-41d4-a716-446655440000",
        "urn:ietf:params:oauth:token-type:access_token",
        "ern:accesspolicies:policies.equinix.com:policy:7f1d2c3b-0000-4000-8000-0123456789ab",
        "roleassignments:3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "repo:octo-org/octo-repo:ref:refs/heads/main",
        "repo:octo-org@123456/octo-repo@7654321:environment:production",
        "project_path:octo-org/metal-app:ref_type:branch:ref:main",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "Correlation ID: 01HF7YAT00W6W7CM7N3W5FDXT4; Trace ID: 4bf92f3577b34da6a3ce929d0e0e4736",
        "AADSTS700213: No matching federated identity record found for presented assertion subject",
        "127.0.0.1:8443 [2001:db8::1] 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 65, 66, 67, 68",
        "{\"error\":\"invalid_scope\",\"error_description\":\"The scope \\u0027x\\u0027 is not granted\\n\"}",
        "<html><body>It&#39;s &quot;over&quot; &amp; done&nbsp;</body></html>",
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAnzyis1ZjfNB0bBgKFMSvvkTtwlvBsaJq7S5wA",
        "Die Umgebung hei\u{df}t \u{201e}Produktion\u{201c}, \u{6771}\u{4eac} \u{30c6}\u{30b9}\u{30c8}",
        "UmVxdWVzdCBkZW5pZWQgYnkgcG9saWN5IG51bWJlciA0Mi4gQXNrIHlvdXIgYWRtaW4u",
        "52 65 71 75 65 73 74 20 64 65 6e 69 65 64 20 62 79 20 70 6f 6c 69 63 79",
    ] {
        assert_eq!(redactor.scrub(text), (text.to_owned(), false));
    }
    for (name, description) in crate::env::names::ALL {
        assert!(!redactor.scrub(&format!("{name}: {description}")).1);
    }
    for code in crate::error::Code::ALL {
        for text in [code.name(), code.cure()] {
            assert_eq!(redactor.scrub(text), (text.to_owned(), false));
        }
    }
}

proptest! {
    #[test]
    fn prose_is_never_withheld(text in "([A-Za-z]{1,12}[ ,.:;-]{1,2}|[0-9a-f-]{36} |%[0-9A-F]{2}|[0-9]{1,4} |\\PC){0,80}") {
        prop_assert_ne!(redactor().scrub(&text).0, WITHHELD);
    }

    #[test]
    fn no_text_upsets_the_readings(text in "([\\\\%&#xuU+=0-9a-f{};]{1,8}|\\PC){0,60}") {
        redactor().scrub(&text);
    }

    #[test]
    fn any_secret_in_any_disguise_is_found(
        secret in "[A-Za-z0-9._~+/-]{40,200}",
        number in any::<prop::sample::Index>(),
        before in "[ -~]{0,12}",
    ) {
        let (name, disguise) = number.get(DISGUISES);
        let mut redactor = Redactor::default();
        redactor.add(&secret);
        // Signs are dropped on both sides, so a secret of signs alone has no disguise that counts.
        prop_assume!(secret.chars().filter(char::is_ascii_alphanumeric).count() >= 30);
        prop_assert!(redactor.scrub(&clean(&format!("{before} {}", disguise(&secret)))).1, "{}", name);
    }
}
