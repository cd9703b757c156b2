//! How a program detects that it was started as a child.
//!
//! A parent that starts its own program again passes an argument and sets a variable. The argument marks a child, and
//! keeps a program without `init` (a test binary, for example) from doing its ordinary work. The variable holds the
//! process id of the parent, so that a program that a worker starts itself, with the variable in its environment, is not
//! taken for a worker. Behind a prefix such as a debugger the parent is another process. There the inherited link is the mark,
//! which a copied command line does not have.

use std::ffi::OsStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::SignalMask;

/// The first argument of a child.
pub(crate) const MARKER: &str = "--offspring-worker";
/// The variable that holds the parent's process id.
pub(crate) const VARIABLE: &str = "OFFSPRING_PARENT";

/// Prefix of the second argument of a child that has to set a signal mask.
const BLOCKED: &str = "--offspring-blocked=";
/// Prefix of the second argument of a child whose link is not its stdin.
const LINK: &str = "--offspring-link=";

/// Returns the second argument of a child that inherits its link. `told` is from
/// [`inherit_socket`](crate::sys::inherit_socket).
pub(crate) fn link_argument(told: &str) -> String {
    format!("{LINK}{told}")
}

/// Returns what [`link_argument`] was given. `None` if the link is the child's stdin.
pub(crate) fn link() -> Option<String> {
    second_argument(LINK)
}

/// Returns the rest of the second argument, if that has this prefix.
fn second_argument(prefix: &str) -> Option<String> {
    let argument = std::env::args_os().nth(2);
    let text = argument.as_deref().and_then(OsStr::to_str);
    text?.strip_prefix(prefix).map(str::to_owned)
}

/// Returns the name of the thread that runs this worker: the last part of the worker's path, up to a zero byte.
pub(crate) fn thread_name(worker: &str) -> &str {
    let name = worker.rsplit("::").next().unwrap_or(worker);
    name.split('\0').next().unwrap_or(name)
}

/// Returns the second argument of a child that has to set this signal mask.
pub(crate) fn mask_argument(mask: &str) -> String {
    format!("{BLOCKED}{mask}")
}

/// Sets the signal mask of the second argument: the thread that started this child blocks all signals.
pub(crate) fn apply_signal_mask() {
    if let Some(mask) = second_argument(BLOCKED)
        .as_deref()
        .and_then(SignalMask::from_hex)
    {
        mask.set();
    }
}

/// Whether this process serves as a worker. Then it may start children.
static IS_WORKER: AtomicBool = AtomicBool::new(false);

/// How this process was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessRole {
    /// Not as a worker.
    Program,
    /// As a worker, by its parent.
    Child,
    /// With the argument of a worker, by a process that is not its parent.
    Orphan,
}

/// Returns how this process was started. The first call decides.
pub(crate) fn role() -> ProcessRole {
    static ROLE: OnceLock<ProcessRole> = OnceLock::new();
    *ROLE.get_or_init(find_role)
}

fn find_role() -> ProcessRole {
    if std::env::args_os().nth(1).as_deref() != Some(OsStr::new(MARKER)) {
        return ProcessRole::Program;
    }
    // The parent process is the prefix, but the link is inherited through it.
    if let Some(told) = link() {
        let is_here = crate::sys::has_inherited_socket(&told);
        return if is_here {
            ProcessRole::Child
        } else {
            ProcessRole::Orphan
        };
    }
    let parent: Option<u32> = std::env::var(VARIABLE)
        .ok()
        .and_then(|pid| pid.parse().ok());
    match (parent, std::os::unix::process::parent_id()) {
        // A parent in another pid namespace is 0 here.
        (Some(_), 0) => ProcessRole::Child,
        (Some(parent), own) if parent == own => ProcessRole::Child,
        _ => ProcessRole::Orphan,
    }
}

/// Records that this process serves as a worker.
pub(crate) fn become_worker() {
    IS_WORKER.store(true, Ordering::Relaxed);
}

/// Returns whether this process serves as a worker.
pub(crate) fn is_worker() -> bool {
    IS_WORKER.load(Ordering::Relaxed)
}

/// Whether this process has called `init`, so a child that runs the same program calls it, too.
static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Records that `init` was called.
pub(crate) fn mark_initialised() {
    INITIALISED.store(true, Ordering::Relaxed);
}

/// Returns whether this program is a test binary of cargo, by its path: it is in a folder `deps`, and its name ends with a
/// hash.
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

/// Returns whether this program, started again, would detect that it is a child. Without `init` it would run `main` again.
pub(crate) fn can_be_child() -> bool {
    INITIALISED.load(Ordering::Relaxed) || is_worker()
}

#[cfg(test)]
mod tests {
    use super::thread_name;

    /// The standard library panics for a thread whose name has a zero byte.
    #[test]
    fn a_thread_has_a_part_of_the_name() {
        let names = ["one::two::THREE", "two", "a::b\0c::d", "a\0"];
        assert_eq!(names.map(thread_name), ["THREE", "two", "d", "a"]);
        assert_eq!(thread_name("a::b\0c"), "b");
    }
}
