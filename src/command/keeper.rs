//! Keeps the refresh token that comes with an access token.

use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::output::sink::NewFile;
use crate::report::console::Console;
use crate::secret::Secret;
use crate::text::quote;

/// Opens the file anew, for the next refresh token of a long run.
pub type Reopen = Box<dyn Fn() -> Result<Option<NewFile>, Error> + Send + Sync>;

/// The place for a refresh token.
#[derive(Default)]
pub struct Keeper(Mutex<Place>);

#[derive(Default)]
struct Place {
    file: Option<NewFile>,
    reopen: Option<Reopen>,
}

impl Keeper {
    /// Names the file.
    pub fn keep_in(&self, file: Option<NewFile>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).file = file;
    }

    /// Says how the file is opened again after it has been written.
    #[cfg(feature = "renew")]
    pub fn reopen_with(&self, reopen: Reopen) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reopen = Some(reopen);
    }

    /// Puts a new refresh token where it belongs, before anything else can go wrong: the old one may be worth nothing now.
    pub fn keep(&self, rotated: &Secret, console: &Console) -> Result<(), Error> {
        console.guard(rotated);
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = |error: Error| {
            error.with_detail(
                "note",
                "Equinix has issued a new refresh token, which is lost; the old one may no longer work",
            )
        };
        let file = match (place.file.take(), &place.reopen) {
            (None, Some(reopen)) => reopen().map_err(lost)?,
            (file, _) => file,
        };
        let Some(file) = file else {
            console.note(
                "a refresh token came with the access token and was dropped; --refresh-token-output PATH keeps it",
            );
            return Ok(());
        };
        let path = file.commit(rotated.reveal().as_bytes()).map_err(lost)?;
        console.note(&format!("the new refresh token is in {}", quote(&path.to_string_lossy())));
        // The space for the next one is taken now, while there is time to make room. Where there is none, the next one tells.
        place.file = place.reopen.as_ref().and_then(|reopen| reopen().ok().flatten());
        Ok(())
    }
}
