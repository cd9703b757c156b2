//! How a program knows that it was started to be a child.
//!
//! A parent that starts its own program again passes an argument and sets a
//! variable. The argument says that a child is meant, and keeps a program that
//! forgot `init` (a test binary, say) from doing its ordinary work; the variable
//! names the parent, so that what a worker starts itself, with the variable in
//! its environment, is not taken for a worker. Where a debugger stands between,
//! the parent is another process, and it is the link that a copy does not have.

use std::ffi::OsStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::Mask;

/// The first argument of a child.
pub(crate) const MARKER: &str = "--offspring-worker";
/// The variable with the parent's process id.
pub(crate) const VARIABLE: &str = "OFFSPRING_PARENT";

/// What the second argument of a child that is to block these signals begins with.
const BLOCKED: &str = "--offspring-blocked=";
/// What the second argument of a child begins with whose link is not its stdin.
const LINK: &str = "--offspring-link=";

/// The second argument of a child that inherits its link: see
/// [`hand_down_socket`](crate::sys::hand_down_socket).
pub(crate) fn linked(told: &str) -> String {
    format!("{LINK}{told}")
}

/// What this child was told of its link, if that is not its stdin.
pub(crate) fn link() -> Option<String> {
    second(LINK)
}

/// What stands behind this in the second argument.
fn second(prefix: &str) -> Option<String> {
    let argument = std::env::args_os().nth(2);
    let text = argument.as_deref().and_then(OsStr::to_str);
    text?.strip_prefix(prefix).map(str::to_owned)
}

/// The second argument of a child that is to have this signal mask.
pub(crate) fn blocking(mask: &str) -> String {
    format!("{BLOCKED}{mask}")
}

/// Takes the signal mask that this child is to have: it was started by a thread
/// that blocks every signal.
pub(crate) fn take_mask() {
    if let Some(mask) = second(BLOCKED).as_deref().and_then(Mask::from_text) {
        mask.set();
    }
}

/// The child went to work: it may start children of its own.
static AT_WORK: AtomicBool = AtomicBool::new(false);

/// What this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Not started by this crate.
    Program,
    /// It was started by its parent to be a worker.
    Child,
    /// It was started to be a worker by a process that is not its parent.
    Stray,
}

/// What this process was started for, as it was when that was first asked.
pub(crate) fn role() -> Role {
    static ROLE: OnceLock<Role> = OnceLock::new();
    *ROLE.get_or_init(find_role)
}

fn find_role() -> Role {
    if std::env::args_os().nth(1).as_deref() != Some(OsStr::new(MARKER)) {
        return Role::Program;
    }
    // A tool in between has another process number, but the link is from the parent.
    if let Some(told) = link() {
        let is_here = crate::sys::has_inherited_socket(&told);
        return if is_here { Role::Child } else { Role::Stray };
    }
    let parent: Option<u32> = std::env::var(VARIABLE)
        .ok()
        .and_then(|pid| pid.parse().ok());
    match (parent, std::os::unix::process::parent_id()) {
        // A parent outside of this namespace of process ids has no number here.
        (Some(_), 0) => Role::Child,
        (Some(parent), own) if parent == own => Role::Child,
        _ => Role::Stray,
    }
}

/// From now on this process is a worker.
pub(crate) fn go_to_work() {
    AT_WORK.store(true, Ordering::Relaxed);
}

/// Whether this process is a worker that has begun its work.
pub(crate) fn is_at_work() -> bool {
    AT_WORK.load(Ordering::Relaxed)
}

/// This process has been through `init`: a copy of it would go to work there.
static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Leaves the mark of `init`.
pub(crate) fn initialise() {
    INITIALISED.store(true, Ordering::Relaxed);
}

/// Returns whether this program is a test that cargo has built, by its path: such
/// a binary lies in `deps`, and its name ends with a hash.
pub(crate) fn is_test_binary() -> bool {
    let Ok(path) = std::env::current_exe() else {
        return false;
    };
    let folder = path.parent().and_then(std::path::Path::file_name);
    let name = path.file_name().and_then(OsStr::to_str);
    let hash = name.and_then(|name| name.rsplit_once('-'));
    folder == Some(OsStr::new("deps"))
        && hash.is_some_and(|(_, hash)| {
            hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// Returns whether a copy of this program would know that it is a child.
/// Without `init` it would run the program's `main` once more.
pub(crate) fn can_be_child() -> bool {
    INITIALISED.load(Ordering::Relaxed) || is_at_work()
}
