//! The private folder of this process, with files that only its user can read. It goes when the service ends.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use equinix_wif::service::{Code, Env, Error, HANDLE_PREFIX, Secret, quote, random_bytes, random_hex};
use zeroize::Zeroizing;

/// The shortest bearer that is accepted from a file, in characters.
const SHORTEST_BEARER: usize = 32;

/// The longest one.
const LONGEST_BEARER: usize = 512;

/// The alphabet of base64url (RFC 4648 section 5).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A folder with mode 0700. It is removed with everything in it at the end.
pub struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes one: where the system keeps the files of running programs, else among the temporary files.
    pub fn create(env: &Env) -> Result<Self, Error> {
        let candidates = ["XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "TMPDIR"];
        let named = candidates.into_iter().filter_map(|name| env.os(name)).map(PathBuf::from);
        let parents = named.filter(|path| path.is_absolute()).chain([std::env::temp_dir()]);
        let name = format!("equinix-wif-serve-{}", random_hex()?);
        let mut failure = None;
        for parent in parents {
            let path = parent.join(&name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => failure = Some((path, error)),
            }
        }
        let (path, error) = failure.unwrap_or_else(|| (PathBuf::new(), io::ErrorKind::NotFound.into()));
        Err(unwritable(&path, &error))
    }

    /// Replaces a file with mode 0600 in one step: whoever reads it finds the old or the new content whole.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<PathBuf, Error> {
        let path = self.0.join(name);
        let new = self.0.join(format!(".{name}.new"));
        let written = write(&new, content, true).and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| {
            fs::remove_file(&new).ok();
            unwritable(&path, &error)
        })?;
        Ok(path)
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).ok();
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl PrivateFolder {
    /// Removes it with everything in it, whoever still knows of it. Nothing can be written there afterwards.
    pub fn end(&self) {
        // The system clears it at the next start when this cannot.
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        self.end();
    }
}

fn write(path: &Path, content: &[u8], replaces: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    let mut file = if replaces {
        options.create(true).truncate(true).open(path)?
    } else {
        options.create_new(true).open(path)?
    };
    file.write_all(content)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::new(
        Code::OutWrite,
        format!("{} cannot be written: {}", quote(&path.to_string_lossy()), error.kind()),
    )
}

/// Makes a new bearer: a handle, as a renewing run gives to its command.
fn new_bearer() -> Result<Secret, Error> {
    // 43 characters of 6 bits: 256 bits and two more.
    let bytes = random_bytes::<43>()?;
    let letters =
        bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)).copied().map(char::from));
    let text: Zeroizing<String> = Zeroizing::new(letters.collect());
    Ok(Secret::new(format!("{HANDLE_PREFIX}{}", text.as_str())))
}

/// The bearer of a service, with the file that it is in.
pub struct Bearer {
    /// The bearer.
    pub secret: Secret,
    /// Its file.
    pub file: PathBuf,
}

impl Bearer {
    /// Reads the bearer from the file that was named, or makes one there; without a name, in the private folder.
    pub fn obtain(named: Option<&Path>, folder: &PrivateFolder, env: &Env) -> Result<Self, Error> {
        let Some(path) = named else {
            let secret = new_bearer()?;
            let file = folder.replace("bearer", secret.reveal().as_bytes())?;
            return Ok(Self { secret, file });
        };
        let file = std::path::absolute(path).map_err(|error| unwritable(path, &error))?;
        match fs::metadata(&file) {
            // A pipe would be waited for.
            Ok(found) if !found.is_file() => Err(refused(&file, "it is no file")),
            Ok(_) => Ok(Self { secret: read(&file, env)?, file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = new_bearer()?;
                write(&file, secret.reveal().as_bytes(), false).map_err(|error| unwritable(&file, &error))?;
                Ok(Self { secret, file })
            }
            Err(error) => Err(refused(&file, &error.kind().to_string())),
        }
    }
}

fn refused(path: &Path, why: &str) -> Error {
    let message = format!("--bearer-file {} cannot be used: {why}", quote(&path.to_string_lossy()));
    Error::new(Code::CfgSecretFile, message).with_cure(
        "Name a file of your own with mode 0600 that holds 32 to 512 characters of A-Z a-z 0-9 - _ . ~, or one that does not exist yet.",
    )
}

fn read(path: &Path, env: &Env) -> Result<Secret, Error> {
    let refused = |why: &str| refused(path, why);
    let file = File::open(path).map_err(|error| refused(&error.kind().to_string()))?;
    let metadata = file.metadata().map_err(|error| refused(&error.kind().to_string()))?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
        return Err(refused("it belongs to somebody else"));
    }
    // systemd gives the service's user a right of its own to its credentials, which looks like one of a group.
    let is_credential = env.os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder));
    if metadata.mode() & if is_credential { 0o037 } else { 0o077 } != 0 {
        return Err(refused("others can read or write it"));
    }
    let mut text = Zeroizing::new(String::with_capacity(LONGEST_BEARER * 2));
    let limit = u64::try_from(LONGEST_BEARER + 2).unwrap_or(u64::MAX);
    file.take(limit).read_to_string(&mut text).map_err(|error| refused(&error.kind().to_string()))?;
    let bearer = text.trim_end_matches(['\r', '\n']);
    if !(SHORTEST_BEARER..=LONGEST_BEARER).contains(&bearer.len()) {
        return Err(refused(&format!("it holds {} characters", bearer.len())));
    }
    if !bearer.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)) {
        return Err(refused("it holds a character that no bearer may have"));
    }
    Ok(Secret::new(bearer))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, PrivateFolder) {
        let parent = tempfile::tempdir().unwrap();
        let env = Env::fixed([("XDG_RUNTIME_DIR", parent.path().as_os_str())]);
        let folder = PrivateFolder::create(&env).unwrap();
        (parent, folder)
    }

    #[test]
    fn the_folder_and_its_files_are_private_and_go() {
        let (parent, folder) = folder();
        let path = folder.replace("token", b"one").unwrap();
        folder.replace("token", b"two").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&folder.0), mode(&path)), (0o700, 0o600));
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
        drop(folder);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_bearer_is_made_once_and_read_again() {
        let (parent, folder) = folder();
        let env = Env::fixed([("CREDENTIALS_DIRECTORY", parent.path().as_os_str())]);
        let own = Bearer::obtain(None, &folder, &env).unwrap();
        assert!(own.secret.reveal().starts_with("ewh_") && own.secret.reveal().len() == 47);
        let named = parent.path().join("bearer");
        let made = Bearer::obtain(Some(&named), &folder, &env).unwrap();
        let read = Bearer::obtain(Some(&named), &folder, &env).unwrap();
        assert_eq!(made.secret.reveal(), read.secret.reveal());
        assert_ne!(made.secret.reveal(), own.secret.reveal());
        assert_eq!(fs::metadata(&named).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&named, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(Bearer::obtain(Some(&named), &folder, &env).is_ok(), "a credential of systemd");
    }

    #[test]
    fn a_bearer_that_is_weak_or_open_is_refused() {
        let (parent, folder) = folder();
        let env = Env::fixed([("A", "b")]);
        let named = parent.path().join("bearer");
        let long = "x".repeat(600);
        for (content, mode) in [
            ("short", 0o600),
            (long.as_str(), 0o600),
            ("with blanks in it, 0123456789012345678901", 0o600),
            ("0123456789012345678901234567890123456789", 0o644),
            ("0123456789012345678901234567890123456789", 0o620),
            ("0123456789012345678901234567890123456789", 0o440),
        ] {
            fs::write(&named, content).unwrap();
            fs::set_permissions(&named, fs::Permissions::from_mode(mode)).unwrap();
            let error = Bearer::obtain(Some(&named), &folder, &env).err().unwrap();
            assert_eq!(error.code(), Code::CfgSecretFile, "{content} {mode:o}");
            assert!(!error.to_string().contains(content));
        }
        assert_eq!(
            Bearer::obtain(Some(parent.path()), &folder, &env).err().unwrap().code(),
            Code::CfgSecretFile
        );
    }
}
