//! The files through which MCP clients get tokens, so that no model has to read one: one with the token, and one with the header
//! line that `curl -H @FILE` reads.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use equinix_wif::service::{Error, fingerprint};
use zeroize::Zeroizing;

use crate::clients::Fingerprint;
use crate::private::PrivateFolder;

/// The number of clients whose tokens have files of their own at a time.
const CLIENTS: usize = 64;

/// The two files of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The token alone.
    pub token: PathBuf,
    /// `Authorization: Bearer` with the token.
    pub header: PathBuf,
}

/// The files of all tokens.
pub struct TokenFiles {
    folder: Arc<PrivateFolder>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    next: u64,
    /// The oldest first.
    taken: VecDeque<Slot>,
}

struct Slot {
    client: Fingerprint,
    number: u64,
    token: Fingerprint,
}

impl TokenFiles {
    /// Makes files in a folder.
    pub fn new(folder: Arc<PrivateFolder>) -> Self {
        Self { folder, slots: Mutex::default() }
    }

    /// Writes a token of a client, unless it is there already. The files of a client keep their names; those of the client that
    /// has not asked for the longest time go when there are too many.
    pub fn write(&self, client: Fingerprint, token: &str) -> Result<Files, Error> {
        let own = fingerprint([token]);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let known = slots.taken.iter().position(|slot| slot.client == client);
        let mut slot = if let Some(slot) = known.and_then(|position| slots.taken.remove(position)) {
            slot
        } else {
            slots.next += 1;
            Slot { client, number: slots.next, token: [0; 32] }
        };
        let names = names(slot.number);
        let files = Files { token: self.folder.path(&names[0]), header: self.folder.path(&names[1]) };
        if slot.token != own || !files.token.exists() || !files.header.exists() {
            let header = Zeroizing::new(format!("Authorization: Bearer {token}\n"));
            let written = self
                .folder
                .replace(&names[0], token.as_bytes())
                .and_then(|_| self.folder.replace(&names[1], header.as_bytes()));
            slot.token = if written.is_ok() { own } else { [0; 32] };
            if let Err(error) = written {
                // The client keeps its files, for when there is room again.
                slots.taken.push_back(slot);
                return Err(error);
            }
        }
        slots.taken.push_back(slot);
        if slots.taken.len() > CLIENTS
            && let Some(oldest) = slots.taken.pop_front()
        {
            for name in self::names(oldest.number) {
                self.folder.remove(&name);
            }
        }
        Ok(files)
    }
}

fn names(number: u64) -> [String; 2] {
    [format!("access-token-{number}"), format!("authorization-header-{number}")]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use equinix_wif::service::Env;

    use super::*;

    #[test]
    fn a_client_keeps_its_files_and_the_oldest_go() {
        let parent = tempfile::tempdir().unwrap();
        let env = Env::fixed([("XDG_RUNTIME_DIR", parent.path().as_os_str())]);
        let folder = Arc::new(PrivateFolder::create(&env).unwrap());
        let files = TokenFiles::new(Arc::clone(&folder));
        let first = files.write([1; 32], "token-one").unwrap();
        assert_eq!(fs::read_to_string(&first.token).unwrap(), "token-one");
        assert_eq!(fs::read_to_string(&first.header).unwrap(), "Authorization: Bearer token-one\n");
        assert_eq!(files.write([1; 32], "token-two").unwrap(), first);
        assert_eq!(fs::read_to_string(&first.token).unwrap(), "token-two");
        fs::remove_file(&first.token).unwrap();
        files.write([1; 32], "token-two").unwrap();
        assert!(first.token.exists(), "what somebody removed is written again");
        for number in 2..=65 {
            files.write([number; 32], "other").unwrap();
        }
        assert!(!first.token.exists() && !first.header.exists());
        assert_eq!(fs::read_dir(first.token.parent().unwrap()).unwrap().count(), 2 * CLIENTS);
    }
}
