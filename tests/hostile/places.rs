//! Places where something is missing: all works, or says clearly what does not, and nothing hangs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Mutex;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, Uid, setuid};

use crate::seccomp::{Refused, find, refuse};
use crate::steps::*;
use crate::support::*;

#[test]
fn where_nothing_is_missing() {
    if told().is_some() {
        return go_through();
    }
    let _guard = guard();
    assert_eq!(
        watch(&mut again(&where_nothing_is_missing, "")),
        Seen::Works
    );
}

/// Only root can give up what these give up, so they are made only if root runs the tests.
const OF_ROOT: &[&str] = &["setresuid", "setresgid", "setgroups", "capset"];

/// A row of the table in docs/reliability.md: the name of a system call, and what comes of it if that is refused.
fn rows() -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("| system call |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = rows
        .flat_map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let outcome = cells[4]
                .split([' ', ':', ',', ';'])
                .next()
                .unwrap()
                .to_owned();
            let names: Vec<_> = cells[1]
                .split(", ")
                .map(|name| name.trim_matches('`').to_owned())
                .collect();
            names.into_iter().map(move |name| (name, outcome.clone()))
        })
        .collect();
    assert!(rows.len() > 40, "{rows:?}");
    rows
}

fn is_never_made(name: &str) -> bool {
    OF_ROOT.contains(&name) && !Uid::effective().is_root()
}

/// One system call after the other is refused, with both errors that a sandbox gives.
#[test]
fn where_a_system_call_is_refused() {
    if let Some(name) = told() {
        let (name, errno) = name.split_once(' ').unwrap();
        be_ready();
        refuse(&[Refused::One(find(name).unwrap(), errno.parse().unwrap())]).unwrap();
        return go_through();
    }
    let _guard = guard();
    // They wait for the most part, so four at once.
    let rows = Mutex::new(rows().into_iter());
    let next = || rows.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, outcome)) = next() {
                    is_refused(&name, &outcome);
                }
            });
        }
    });
}

fn is_refused(name: &str, outcome: &str) {
    // No process can do without the first, and so cannot this test. Other machines have other calls in the place of some.
    let is_unknown = find(name).is_none() && cfg!(not(target_arch = "x86_64"));
    if outcome == "none" || is_never_made(name) || is_unknown {
        return;
    }
    for errno in [libc::EPERM, libc::ENOSYS] {
        let told = format!("{name} {errno}");
        let seen = watch(&mut again(&where_a_system_call_is_refused, &told));
        let is_so = matches!(
            (outcome, &seen),
            ("works" | "either", Seen::Works) | ("error" | "either", Seen::Errors(_))
        );
        assert!(is_so, "{told} ({outcome}): {seen:#?}");
    }
}

/// A system call that is refused, the step, and the words that its error contains and does not contain.
const BLAMED: &[(&str, &str, &str, &str)] = &[
    (
        "epoll_pwait",
        "concurrent",
        "refuses `epoll_pwait`",
        "Limits",
    ),
    ("recvmsg", "child", "its stderr may say why", "init"),
    (
        "recvmsg",
        "events",
        "the link to the parent does not work",
        "init",
    ),
    ("sendto", "child", "code 101 without a hello", "init"),
    (
        "sendto",
        "events",
        "the link to the parent does not work",
        "init",
    ),
    ("fcntl", "child", "its stderr may say why", "init"),
    ("ppoll", "child", "without a hello", "code 0"),
    ("setresuid", "rights", "cannot set user", "Limits"),
    ("setsid", "session", "make a session", "Limits"),
];

/// The error of a system call that is refused blames nothing else.
#[test]
fn errors_of_refused_system_calls() {
    if let Some(name) = told() {
        be_ready();
        refuse(&[Refused::One(find(&name).unwrap(), libc::EPERM)]).unwrap();
        return go_through();
    }
    let _guard = guard();
    for (name, step, contained, other) in BLAMED {
        if is_never_made(name) {
            continue;
        }
        match watch(&mut again(&errors_of_refused_system_calls, name)) {
            Seen::Errors(errors) => {
                let text = &errors[*step];
                assert!(
                    text.contains(contained) && !text.contains(other),
                    "{name}: {text}"
                );
            }
            seen => panic!("{name}: {seen:#?}"),
        }
    }
}

/// Each system call that is seen has its row, and each row of a call that is needed is seen.
#[test]
fn the_table_is_what_strace_sees() {
    let _guard = guard();
    let is_there = Command::new("strace").arg("-V").output().is_ok();
    let required = std::env::var("OFFSPRING_TEST_REQUIRE").unwrap_or_default();
    if !is_there && !required.split(',').any(|name| name == "strace") {
        return println!("there is no strace: nothing is checked");
    }
    let inner = again(&where_nothing_is_missing, "");
    let log = std::env::temp_dir().join(format!("offspring-strace-{}", std::process::id()));
    let words = ["strace", "-f", "-qq", "-o"].map(OsStr::new);
    let words = [&words[..], &[log.as_os_str(), inner.get_program()]].concat();
    let seen = watch(&mut with_words(&words, &inner));
    let text = std::fs::read(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert_eq!(seen, Seen::Works);
    let text = String::from_utf8_lossy(&text);
    let names: BTreeSet<_> = text.lines().filter_map(name_of_call).collect();
    assert!(names.contains("pidfd_open"), "{names:?}");
    let rows = rows();
    let is_row = |name: &&str| rows.iter().any(|(row, _)| row == name);
    let missing: Vec<_> = names.iter().filter(|name| !is_row(name)).collect();
    assert!(missing.is_empty(), "docs/reliability.md lacks {missing:?}");
    // Calls without which it works may be those of another C library.
    let is_needed = |row: &&(String, String)| row.1 == "error" && !is_never_made(&row.0);
    let unseen: Vec<_> = rows
        .iter()
        .filter(is_needed)
        .filter(|(row, _)| !names.contains(row.as_str()))
        .collect();
    assert!(
        unseen.is_empty() || cfg!(not(target_arch = "x86_64")),
        "docs/reliability.md has {unseen:?}"
    );
}

/// The system call of a line of strace's: `PID name(…`, or `PID <... name resumed>`.
fn name_of_call(line: &str) -> Option<&str> {
    let (_, call) = line.split_once(' ')?;
    let (name, _) = call.trim_start().split_once('(')?;
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some(name)
}

/// The oldest kernel that is promised: calls and flags that newer kernels have added are missing. The calls since then have
/// numbers that are the same on each machine, in the order of time.
#[test]
fn on_linux_5_4() {
    if told().is_some() {
        be_ready();
        let later = [
            // `clone3`, of Linux 5.3, has the number before.
            Refused::From(libc::SYS_close_range, libc::ENOSYS),
            // 5.4 knows close-on-exec, sealing, and the sizes of huge pages, and no flag of `pidfd_open`.
            Refused::Bits(libc::SYS_memfd_create, 1, 0x03ff_fff8, libc::EINVAL),
            Refused::Bits(libc::SYS_pidfd_open, 1, u32::MAX, libc::EINVAL),
        ];
        refuse(&later).unwrap();
        // Without the filter this would not be so.
        let newer = libc::MFD_CLOEXEC | libc::MFD_NOEXEC_SEAL;
        // SAFETY: the name is a live text with a zero at its end.
        let file = unsafe { libc::memfd_create(c"newer".as_ptr(), newer) };
        assert_eq!(file, -1);
        return go_through_and_leave_nothing();
    }
    let _guard = guard();
    assert_eq!(watch(&mut again(&on_linux_5_4, "")), Seen::Works);
}

/// A description of a place, and the preparation for it in its process.
type Place = (&'static str, fn());

fn limited(what: Resource, most: u64) {
    let (_, hard) = getrlimit(what).unwrap();
    setrlimit(what, most, hard).unwrap();
}

const PLACES: &[Place] = &[
    ("SIGCHLD is ignored", || {
        // SAFETY: ignoring a signal runs no code.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.unwrap();
    }),
    ("another thread reaps", || {
        std::thread::spawn(|| {
            loop {
                let _ = waitpid(None::<Pid>, None);
                std::thread::yield_now();
            }
        });
    }),
    ("closed streams", || {
        for number in 0..3 {
            // SAFETY: no code of this process owns a standard stream.
            unsafe { libc::close(number) };
        }
    }),
    ("64 files", || limited(Resource::RLIMIT_NOFILE, 64)),
    ("12 files", || limited(Resource::RLIMIT_NOFILE, 12)),
    ("5 files", || limited(Resource::RLIMIT_NOFILE, 5)),
    ("no file may grow", || limited(Resource::RLIMIT_FSIZE, 0)),
    ("no process may be created", || {
        // A process with rights has no such limit.
        let _ = setuid(Uid::from_raw(65_534));
        limited(Resource::RLIMIT_NPROC, 1);
    }),
    ("odd bytes", || {
        let odd = OsStr::from_bytes(b"\xff\xfe=\x80 ");
        for name in ["LC_ALL", "LANG", "LANGUAGE", "TMPDIR", "RUST_LOG"] {
            // SAFETY: no other thread of this process reads the environment now.
            unsafe { std::env::set_var(name, odd) };
        }
        // SAFETY: the same.
        unsafe { std::env::set_var(OsStr::from_bytes(b"\xffODD"), odd) };
    }),
    ("no environment", || {
        for (name, _) in std::env::vars_os() {
            // SAFETY: the same.
            unsafe { std::env::remove_var(name) };
        }
    }),
    ("a directory that is gone", || {
        let gone = std::env::temp_dir().join(format!("offspring-gone-{}", std::process::id()));
        std::fs::create_dir(&gone).unwrap();
        std::env::set_current_dir(&gone).unwrap();
        std::fs::remove_dir(&gone).unwrap();
    }),
    ("little memory", || limited(Resource::RLIMIT_AS, 300 << 20)),
];

/// All works, or says what does not, and all of it works where it should.
#[test]
fn where_something_is_odd() {
    if let Some(name) = told() {
        be_ready();
        let (_, prepare) = PLACES.iter().find(|(own, _)| *own == name).unwrap();
        prepare();
        return go_through_and_leave_nothing();
    }
    let _guard = guard();
    let lacks = [
        "12 files",
        "5 files",
        "no process may be created",
        "no file may grow",
        "little memory",
    ];
    for (name, _) in PLACES {
        match watch(&mut again(&where_something_is_odd, name)) {
            Seen::Works => {}
            Seen::Errors(errors) if lacks.contains(name) => {
                assert!(
                    errors.values().all(|text| text.len() > 20),
                    "{name}: {errors:#?}"
                );
            }
            seen => panic!("{name}: {seen:#?}"),
        }
    }
}

/// Runs a test again from a copy of this program's file.
fn watch_copy<F>(test: &F, prepare: impl FnOnce(&str, &mut Command)) -> Seen {
    let temp = Temp::new();
    let copy = temp.path("program");
    std::fs::copy(PROGRAM.as_path(), &copy).unwrap();
    let mut command = with_words(&[OsStr::new(&copy)], &again(test, &copy));
    prepare(&temp.path(""), &mut command);
    watch(&mut command)
}

/// Only the steps that start the program by its path fail.
#[track_caller]
fn only_by_its_path(seen: Seen) {
    match seen {
        Seen::Errors(errors) => assert!(
            errors.keys().eq(["command", "descriptors", "socket"]),
            "{errors:#?}"
        ),
        seen => panic!("{seen:#?}"),
    }
}

/// The program's file is removed while it runs.
#[test]
fn where_the_program_is_deleted() {
    if let Some(path) = told() {
        be_ready();
        std::fs::remove_file(path).unwrap();
        return go_through_and_leave_nothing();
    }
    let _guard = guard();
    only_by_its_path(watch_copy(&where_the_program_is_deleted, |_, _| {}));
}

/// Another program has the path of the file.
#[test]
fn where_the_program_is_replaced() {
    if let Some(path) = told() {
        be_ready();
        let other = format!("{path}.new");
        std::fs::write(&other, "#!/bin/sh\nexit 3\n").unwrap();
        std::fs::set_permissions(&other, Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(other, path).unwrap();
        return go_through_and_leave_nothing();
    }
    let _guard = guard();
    only_by_its_path(watch_copy(&where_the_program_is_replaced, |_, _| {}));
}

/// The program's file may be executed, and neither read nor written to.
#[test]
fn where_the_program_may_only_be_executed() {
    if let Some(path) = told() {
        File::open(path).unwrap_err();
        return go_through_and_leave_nothing();
    }
    let _guard = guard();
    let seen = watch_copy(
        &where_the_program_may_only_be_executed,
        |folder, command| {
            for (path, mode) in [(command.get_program(), 0o111), (OsStr::new(folder), 0o755)] {
                std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
            if Uid::effective().is_root() {
                // Root may read it in any case.
                command.uid(65_534).gid(65_534);
            }
        },
    );
    assert_eq!(seen, Seen::Works);
}
