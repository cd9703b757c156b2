//! Places that take rights to make: the steps of `tests/hostile/steps.rs` in them.

use std::ffi::OsStr;

use crate::steps::*;
use crate::support::*;

/// The first process of a namespace of process ids, which sees only that.
pub(crate) const AS_PROCESS_1: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
/// Another process of such a namespace.
pub(crate) const IN_NAMESPACE: &[&str] = &[
    "bwrap",
    "--bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--unshare-pid",
    "--die-with-parent",
];
/// Where no file can be written, created or removed.
pub(crate) const READ_ONLY: &[&str] = &[
    "bwrap",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--remount-ro",
    "/dev",
    "--proc",
    "/proc",
    "--die-with-parent",
];
/// Where `/proc` is an empty folder.
pub(crate) const WITHOUT_PROC: &[&str] = &[
    "bwrap",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--tmpfs",
    "/proc",
    "--die-with-parent",
];

/// Runs a test again behind these words.
fn watch_behind<F>(words: &[&str], test: &F) -> Seen {
    let inner = again(test, "");
    let words: Vec<_> = words.iter().map(OsStr::new).collect();
    watch(&mut with_words(
        &[&words[..], &[inner.get_program()]].concat(),
        &inner,
    ))
}

/// This program is the first of its namespace, and no process reaps what is left to it.
pub(crate) fn as_process_1() {
    if told().is_some() {
        assert_eq!(std::process::id(), 1);
        return go_through_and_leave_nothing();
    }
    let _guard = guard();
    assert_eq!(watch_behind(AS_PROCESS_1, &as_process_1), Seen::Works);
}

/// Another process is the first, and reaps what is left to it.
pub(crate) fn in_a_namespace_of_process_ids() {
    if told().is_some() {
        assert!(std::process::id() < 10, "{}", std::process::id());
        return go_through_and_leave_nothing();
    }
    let _guard = guard();
    let seen = watch_behind(IN_NAMESPACE, &in_a_namespace_of_process_ids);
    assert_eq!(seen, Seen::Works);
}

/// The program's file, the working directory and the folder for temporary files are on file systems that are read-only.
pub(crate) fn where_all_is_read_only() {
    if told().is_some() {
        let program = PROGRAM.with_extension("new");
        let places = ["here".into(), std::env::temp_dir().join("here"), program];
        for path in places {
            let error = std::fs::File::create(path).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        }
        return go_through_and_leave_nothing();
    }
    let _guard = guard();
    let seen = watch_behind(READ_ONLY, &where_all_is_read_only);
    assert_eq!(seen, Seen::Works);
}

/// An operation that needs `/proc` says so.
pub(crate) fn without_proc() {
    if told().is_some() {
        std::fs::metadata("/proc/self").unwrap_err();
        return go_through();
    }
    let _guard = guard();
    match watch_behind(WITHOUT_PROC, &without_proc) {
        Seen::Errors(errors) => {
            assert!(errors.len() > 5, "{errors:#?}");
            for (step, text) in errors {
                assert!(text.contains("`/proc`"), "{step}: {text}");
            }
        }
        seen => panic!("{seen:#?}"),
    }
}
