//! Reads a text in the ways in which a secret can be disguised in it.
//!
//! A server that knows a token can write it so that no piece of it stands in the text as it is, and yet every reader gets
//! it back in a moment: in hexadecimal, with a blank after each character, in full-width letters. So texts are compared by
//! their letters and digits alone, in one case, and what can be decoded in them is decoded first, several times over.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::redact::MIN_REDACTED;

/// The number of encodings inside one another that are undone.
const DEPTH: usize = 4;

/// The letters and digits of a text, in one case: what is left when it is spaced, decorated or shouted.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    out.extend(folded(&plain(text)).map(char::from));
    out
}

/// [`fold`] for a text of ASCII characters, one by one.
pub(super) fn folded(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

/// Tells whether `found` holds for the text or for anything that is encoded in it. It is given what [`fold`] leaves.
pub(super) fn any_reading(text: &str, found: &mut dyn FnMut(&str) -> bool) -> bool {
    let text = plain(text);
    // Most of a report's texts are words and numbers.
    if text.len() < MIN_REDACTED {
        return false;
    }
    // Who compares knows the secret backwards too. What is encoded and then reversed has to be turned around first.
    read(&text, DEPTH, found) || {
        let reversed: String = text.chars().rev().collect();
        [HEX, BASE64, BASE64_WITH_SIGNS]
            .into_iter()
            .any(|alphabet| unpacked(&reversed, alphabet, DEPTH, found))
    }
}

fn read(text: &str, depth: usize, found: &mut dyn FnMut(&str) -> bool) -> bool {
    let folded = fold(text);
    // No encoding is shorter than what it stands for.
    folded.len() >= MIN_REDACTED && (found(&folded) || depth > 0 && decoded(text, depth, found))
}

/// [`read`] for everything that is encoded in a text of ASCII characters.
fn decoded(text: &str, depth: usize, found: &mut dyn FnMut(&str) -> bool) -> bool {
    unescape(text).is_some_and(|bytes| inside(&bytes, depth, found))
        || ALPHABETS.into_iter().any(|alphabet| unpacked(text, alphabet, depth, found))
        || [base64_words(text), numbers(text, 8), numbers(text, 10)]
            .into_iter()
            .any(|bytes| is_telling(&bytes, 8) && inside(&bytes, depth, found))
}

/// [`read`] for what symbols of this alphabet stand for. Whatever stands before the encoded secret shifts it.
fn unpacked(
    text: &str,
    (bits, alignments, value): Alphabet,
    depth: usize,
    found: &mut dyn FnMut(&str) -> bool,
) -> bool {
    if !fills_a_piece(text.len(), bits) {
        return false;
    }
    let mut symbols = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if let Some(symbol) = value(byte) {
            symbols.push(symbol);
        }
    }
    (0..alignments).any(|shift| {
        let symbols = symbols.get(shift..).unwrap_or_default();
        is_telling(symbols, bits) && {
            let bytes: Vec<u8> = unpack(symbols.iter().copied(), bits).collect();
            inside(&bytes, depth, found)
        }
    })
}

/// [`read`] for what was encoded.
fn inside(bytes: &[u8], depth: usize, found: &mut dyn FnMut(&str) -> bool) -> bool {
    let text = String::from_utf8_lossy(bytes).replace('\0', "");
    let mut pieces = text.split(|c: char| c == '\u{fffd}' || c.is_control() && !c.is_whitespace());
    pieces.any(|piece| piece.len() >= MIN_REDACTED && read(&plain(piece), depth - 1, found))
}

/// Words in base64 that were encoded one by one, each from its own beginning.
fn base64_words(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut buffer, mut held) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let Some(value) = base64_value(byte) else {
            held = 0;
            continue;
        };
        buffer = buffer.wrapping_shl(6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            let [.., byte] = buffer.wrapping_shr(held).to_be_bytes();
            bytes.push(byte);
        }
    }
    bytes
}

/// The numbers of a text that are bytes.
fn numbers(text: &str, radix: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Too large for a byte stays too large.
    let (mut number, mut digits) = (0_u32, 0);
    for byte in text.bytes().chain([b' ']) {
        if byte.is_ascii_digit() {
            let digit = u32::from(byte - b'0');
            number = if digit < radix { (number * radix + digit).min(0x100) } else { 0x100 };
            digits += 1;
        } else {
            bytes.extend((digits > 0).then_some(number).and_then(|number| u8::try_from(number).ok()));
            (number, digits) = (0, 0);
        }
    }
    bytes
}

/// Bits a symbol, alignments that there can be, and what a symbol stands for.
type Alphabet = (u32, usize, fn(u8) -> Option<u8>);

const HEX: Alphabet = (4, 2, hex_value);
const BASE64: Alphabet = (6, 4, base64_value);
const BASE64_WITH_SIGNS: Alphabet =
    (6, 4, |symbol| base64_value(symbol).or_else(|| base64_sign_value(symbol)));

/// Encodings that write bytes as symbols of a few bits: what is no symbol counts for nothing.
const ALPHABETS: [Alphabet; 5] = [(1, 8, binary_value), HEX, (5, 8, base32_value), BASE64, BASE64_WITH_SIGNS];

fn binary_value(symbol: u8) -> Option<u8> {
    matches!(symbol, b'0' | b'1').then(|| symbol - b'0')
}

fn hex_value(symbol: u8) -> Option<u8> {
    char::from(symbol).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn base32_value(symbol: u8) -> Option<u8> {
    match symbol.to_ascii_uppercase() {
        letter @ b'A'..=b'Z' => Some(letter - b'A'),
        digit @ b'2'..=b'7' => Some(digit - b'2' + 26),
        _ => None,
    }
}

/// The value of a letter or digit. The two signs of base64 hardly occur when a token is encoded: of its characters only `~`
/// has a bit pattern that needs one. So they may as well be separators; [`BASE64_WITH_SIGNS`] is the other reading.
pub(super) fn base64_value(symbol: u8) -> Option<u8> {
    match symbol {
        b'A'..=b'Z' => Some(symbol - b'A'),
        b'a'..=b'z' => Some(symbol - b'a' + 26),
        b'0'..=b'9' => Some(symbol - b'0' + 52),
        _ => None,
    }
}

fn base64_sign_value(symbol: u8) -> Option<u8> {
    match symbol {
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// The bytes that symbols of a few bits stand for.
pub(super) fn unpack(values: impl Iterator<Item = u8>, bits: u32) -> impl Iterator<Item = u8> {
    let (mut buffer, mut held) = (0_u32, 0);
    values.filter_map(move |value| {
        buffer = buffer << bits | u32::from(value);
        held += bits;
        if held < 8 {
            return None;
        }
        held -= 8;
        let [.., byte] = (buffer >> held).to_be_bytes();
        buffer &= (1 << held) - 1;
        Some(byte)
    })
}

/// Tells whether so many symbols of so many bits are bytes enough for a piece of a secret.
fn fills_a_piece(symbols: usize, bits: u32) -> bool {
    usize::try_from(bits).is_ok_and(|bits| symbols * bits >= 8 * MIN_REDACTED)
}

/// Tells whether what the symbols stand for can be text: chance hardly ever makes so many printable characters in a
/// row. Written for speed, since every line that is shown comes through here many times.
fn is_telling(symbols: &[u8], bits: u32) -> bool {
    if !fills_a_piece(symbols.len(), bits) {
        return false;
    }
    let (mut buffer, mut held, mut ascii, mut any) = (0_u32, 0_u32, 0_usize, 0_usize);
    for symbol in symbols {
        buffer = buffer.wrapping_shl(bits) | u32::from(*symbol);
        held += bits;
        if held < 8 {
            continue;
        }
        held -= 8;
        match buffer.wrapping_shr(held) & 0xff {
            // UTF-16.
            0 => continue,
            0x20..=0x7e | 0x09 | 0x0a | 0x0d => ascii += 1,
            0x80.. => ascii = 0,
            _ => {
                (ascii, any) = (0, 0);
                continue;
            }
        }
        any += 1;
        if ascii >= MIN_REDACTED || any >= 3 * MIN_REDACTED {
            return true;
        }
    }
    false
}

/// The ASCII characters that a text looks like: full-width and other styled letters become plain ones, marks fall off.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { text.nfkd().filter(char::is_ascii).collect() }
}

/// The text without escapes, if there are any in it: those of URLs, JSON, C, HTML, and quoted-printable.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let mut changed = false;
    while let [first, after @ ..] = rest {
        if let Some((character, left)) = escape(rest) {
            match character.map(|code| (u8::try_from(code), char::from_u32(code))) {
                // A byte of UTF-8 is written as one, too.
                Some((Ok(byte), _)) => out.push(byte),
                Some((_, Some(character))) => out.extend(character.to_string().as_bytes()),
                _ => {}
            }
            changed = true;
            rest = left;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    changed.then_some(out)
}

/// Reads the escape with which a text begins: the character, or none when it stands for no letter or digit, and what
/// follows.
fn escape(text: &[u8]) -> Option<(Option<u32>, &[u8])> {
    let exactly = |text, radix, digits| number(text, radix, digits).filter(|(_, _, found)| *found == digits);
    let (code, rest, _) = match text {
        [b'%', b'u', rest @ ..] => exactly(rest, 16, 4)?,
        [b'%' | b'=', rest @ ..] | [b'0', b'x' | b'X', rest @ ..] => exactly(rest, 16, 2)?,
        [b'U' | b'u', b'+', rest @ ..] => number(rest, 16, 6).filter(|(_, _, found)| *found >= 4)?,
        [b'&', b'#', b'x' | b'X', rest @ ..] => number(rest, 16, 7)?,
        [b'&', b'#', rest @ ..] => number(rest, 10, 7)?,
        [b'&', rest @ ..] => {
            let name = rest.split(|byte| *byte == b';').next().filter(|name| name.len() < rest.len())?;
            let is_name = (2..32).contains(&name.len()) && name.iter().all(u8::is_ascii_alphanumeric);
            let code = (name == b"amp").then_some(u32::from(b'&'));
            return is_name.then_some((code, rest.get(name.len() + 1..)?));
        }
        [b'\\', rest @ ..] => match rest {
            // However often it was escaped.
            [b'\\', ..] => return Some((None, rest)),
            [b'u' | b'x', b'{', rest @ ..] => number(rest, 16, 7)?,
            [b'u', rest @ ..] => number(rest, 16, 4)?,
            [b'U', rest @ ..] => number(rest, 16, 8)?,
            [b'x', rest @ ..] => number(rest, 16, 2)?,
            [b'0'..=b'7', ..] => number(rest, 8, 3)?,
            [b'n' | b'r' | b't' | b'b' | b'f', rest @ ..] => return Some((None, rest)),
            _ => return None,
        },
        _ => return None,
    };
    let rest = rest.strip_prefix(b";").or_else(|| rest.strip_prefix(b"}")).unwrap_or(rest);
    Some((Some(code), rest))
}

/// A number of at least one and at most so many digits, what follows, and how many digits there were.
fn number(text: &[u8], radix: u32, most: usize) -> Option<(u32, &[u8], usize)> {
    let digits = text.iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix));
    let (value, count) = digits.fold((0, 0), |(value, count), digit| (value * radix + digit, count + 1));
    (count > 0).then_some((value, text.get(count..)?, count))
}
