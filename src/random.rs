//! Random numbers from the operating system, through the one crypto stack.

use std::fmt::Write;

use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Code, Error};

/// A line for the end of a runner file's block, which nobody can guess and no value holds by chance.
pub fn delimiter() -> Result<String, Error> {
    Ok(format!("equinix-wif-{}", hex()?))
}

/// 128 random bits as 32 hexadecimal digits: for names and delimiters that nobody can guess.
pub fn hex() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::new(Code::Internal, "the operating system gave no random numbers"))?;
    Ok(bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Random bytes, for a secret that nobody can guess.
#[cfg(feature = "renew")]
pub fn bytes<const N: usize>() -> Result<zeroize::Zeroizing<[u8; N]>, Error> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; N]);
    SystemRandom::new()
        .fill(&mut *bytes)
        .map_err(|_| Error::new(Code::Internal, "the operating system gave no random numbers"))?;
    Ok(bytes)
}

/// A random number in 0..1, for jitter. Where chance fails, the middle has to do.
pub fn fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_stay_in_range() {
        let (one, other) = (hex().unwrap(), hex().unwrap());
        assert!(one != other && one.len() == 32 && one.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!((0..100).map(|_| fraction()).all(|f| (0.0..1.0).contains(&f)));
    }
}
