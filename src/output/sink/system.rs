//! What the operating system is asked about users and told about opening.

use std::fs::{Metadata, OpenOptions};
use std::path::Path;

/// Whether nobody but this user and root can replace files in the folder.
#[cfg(unix)]
pub(super) fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let Ok(folder) = std::fs::metadata(folder) else { return false };
    is_trusted(folder.uid()) && (folder.mode() & OTHERS_WRITE == 0 || folder.mode() & STICKY != 0)
}

/// Windows keeps temporary folders per user; its access lists are not looked at (see SECURITY.md).
#[cfg(not(unix))]
pub(super) fn is_private(_: &Path) -> bool {
    true
}

/// Whether what belongs to this user cannot be a trap of another one: it is our own, or root's.
#[cfg(unix)]
fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// Whether a runner file is one that the runner made for this step. As root this may be a container, whose files belong
/// to the runner's user outside.
#[cfg(unix)]
pub(super) fn is_ours(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    rustix::process::geteuid().is_root() || is_trusted(metadata.uid())
}

#[cfg(not(unix))]
pub(super) fn is_ours(_: &Metadata) -> bool {
    true
}

/// The system's flags as the standard library takes them.
#[cfg(unix)]
pub(super) fn flags(flags: rustix::fs::OFlags) -> i32 {
    flags.bits().cast_signed()
}

#[cfg(unix)]
pub(super) fn no_follow(options: &mut OpenOptions) {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    // Non-blocking, so that a FIFO that took the file's place does not hold up the run.
    options.custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
}

#[cfg(not(unix))]
pub(super) fn no_follow(_: &mut OpenOptions) {}
