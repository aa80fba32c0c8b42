//! The commands, one file each.

pub mod explain;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod token;

use std::io::{self, Write};

use crate::error::{Code, Error};

/// Writes a payload without secrets to standard output.
pub(crate) fn print(stdout: &mut dyn Write, text: &str) -> Result<(), Error> {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            Err(Error::new(Code::OutWrite, format!("standard output cannot be written: {}", error.kind())))
        }
        Ok(()) => Ok(()),
    }
}
