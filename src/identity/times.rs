//! The claims that say when an ID token is valid (`exp`, `iat`, `nbf`).

use crate::clock::{self, rfc3339};
use crate::error::{Code, Error};
use crate::identity::claims::{Finding, LEEWAY, Now};
use crate::identity::jwt::UnverifiedClaims;
use crate::json;
use crate::text::quote;

/// The largest lead of `nbf` and `iat` over this machine's clock that is no error, in seconds. The STS may be
/// more lenient than we are, so a smaller difference only warns.
const FUTURE_LIMIT: i64 = 300;

/// The last second of the year 9999: a larger NumericDate is not one.
const MAX_TIME: f64 = 253_402_300_799.0;

/// Ten years in seconds. An `exp` beyond is most likely in milliseconds.
pub(super) const TEN_YEARS: i64 = 10 * 365 * 86_400;

/// Seconds of Unix time from a NumericDate (RFC 7519 section 2), which may have a fraction.
fn time_claim(token: &UnverifiedClaims, name: &'static str) -> Result<Option<i64>, Error> {
    let Some(value) = token.claims.get(name) else { return Ok(None) };
    let fail = |found: String| {
        Error::new(Code::ClaimTimeInvalid, format!("the ID token's {name} claim is not a time"))
            .with_detail("expected", "a number of seconds since 1970")
            .with_detail("found", found)
    };
    match value.as_f64() {
        #[allow(clippy::cast_possible_truncation, reason = "the range has been checked")]
        Some(seconds) if (0.0..=MAX_TIME).contains(&seconds) => Ok(Some(seconds.floor() as i64)),
        Some(_) => Err(fail(quote(&value.to_string()))),
        None => Err(fail(json::kind(value).to_owned())),
    }
}

/// Returns when the token expires (Unix time).
pub fn expiry(token: &UnverifiedClaims) -> Result<i64, Error> {
    time_claim(token, "exp")?
        .ok_or_else(|| Error::new(Code::ClaimTimeInvalid, "the ID token has no exp claim"))
}

/// Holds the times against both clocks.
pub(super) fn check(token: &UnverifiedClaims, now: Now, findings: &mut Vec<Finding>) -> Result<(), Error> {
    // A machine without a battery starts there. What follows from it would blame the issuer.
    if let Some(message) = clock::not_set(now.best()) {
        return Err(Error::new(Code::ClaimNotYetValid, message).with_cure(clock::SET_IT));
    }
    let exp = expiry(token)?;
    let iat = time_claim(token, "iat")?;
    let nbf = time_claim(token, "nbf")?;
    if exp.saturating_sub(now.best()) > TEN_YEARS {
        return Err(Error::new(Code::ClaimTimeInvalid, "the ID token's exp claim lies more than ten years ahead")
            .with_detail("found", exp.to_string())
            .with_cure("If the number is in milliseconds, the issuer is at fault: NumericDate counts seconds (RFC 7519)."));
    }
    if let Some(iat) = iat.filter(|iat| exp <= *iat) {
        return Err(Error::new(Code::ClaimTimeInvalid, "the ID token expires before it was issued")
            .with_detail("iat", rfc3339(iat))
            .with_detail("exp", rfc3339(exp)));
    }
    let clocks = |skew: i64| {
        format!(
            "this machine's clock is about {} s {}",
            skew.unsigned_abs(),
            if skew < 0 { "ahead" } else { "behind" }
        )
    };
    let corrected = now.skew.map(|skew| (skew, now.local.saturating_add(skew)));

    if now.local > exp.saturating_add(LEEWAY) {
        match corrected {
            Some((skew, time)) if time <= exp.saturating_add(LEEWAY) => {
                findings.push(Finding::warning(format!(
                    "the ID token looks expired only because {}; the STS decides",
                    clocks(skew)
                )));
            }
            _ => {
                return Err(Error::new(Code::ClaimExpired, "the ID token has expired")
                    .with_detail(
                        "expired",
                        format!("{} ({} s ago)", rfc3339(exp), now.best().saturating_sub(exp)),
                    )
                    .with_detail("now", format!("{} by this machine's clock", rfc3339(now.local))));
            }
        }
    }
    let Some(from) = iat.max(nbf) else { return Ok(()) };
    let ahead = from.saturating_sub(now.local);
    if ahead > LEEWAY {
        match corrected {
            Some((skew, time)) if from.saturating_sub(time) <= LEEWAY => {
                findings.push(Finding::warning(format!(
                    "the ID token looks not yet valid only because {}; the STS decides",
                    clocks(skew)
                )));
            }
            _ if ahead > FUTURE_LIMIT => {
                return Err(Error::new(Code::ClaimNotYetValid, "the ID token is not valid yet")
                    .with_detail("valid from", format!("{} (in {ahead} s)", rfc3339(from)))
                    .with_detail("now", format!("{} by this machine's clock", rfc3339(now.local))));
            }
            _ => findings.push(Finding::warning(format!(
                "the ID token is valid only {ahead} s from now by this machine's clock; the STS decides"
            ))),
        }
    }
    Ok(())
}
