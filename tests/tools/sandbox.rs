//! Children behind what confines them, where this machine permits it.

use std::process::{Command, Stdio};

use crate::support::*;

pub(crate) const BWRAP: &[&str] = &[
    "bwrap",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--unshare-all",
    "--die-with-parent",
];
pub(crate) const UNSHARE: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
];
pub(crate) const SETPRIV: &[&str] = &[
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
    "--no-new-privs",
];
pub(crate) const SUDO: &[&str] = &["sudo", "-n", "-u", "nobody"];

/// These words in front of a worker.
pub(crate) fn before(words: &[&str], worker: &str) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--serve", worker]);
    command
}

/// Whether a command can be run behind these words here.
pub(crate) fn attempt(words: &[&str]) -> Result<(), String> {
    match before(words, "leave").stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
        Err(error) => Err(error.to_string()),
    }
}

/// As a command, and as a program that is given a socket and more.
fn works_behind(words: &[&str]) {
    let _guard = guard();
    let command = || before(words, "work");
    for builder in [WORK.command(command()), WORK.program(command())] {
        let rpc = builder.begin();
        let big = "x".repeat(1 << 20);
        assert_eq!(
            rpc.call(Job::Len(big)).wait().unwrap(),
            Ok("1048576".into())
        );
        assert_eq!(rpc.call(Job::ReadStdin).wait().unwrap(), Ok(String::new()));
        assert!(rpc.join().wait().unwrap().success());
    }
}

pub(crate) fn bubblewrap() {
    works_behind(BWRAP);
}

/// A bare sandbox has no devices that could be opened.
pub(crate) fn bubblewrap_without_devices() {
    works_behind(&["bwrap", "--ro-bind", "/", "/", "--unshare-all"]);
}

pub(crate) fn unshare() {
    works_behind(UNSHARE);
}

pub(crate) fn setpriv() {
    works_behind(SETPRIV);
}

pub(crate) fn sudo() {
    works_behind(SUDO);
}

/// A command that has become another user's, which may not be sent signals: the
/// link is cut instead, and the worker goes by itself.
pub(crate) fn a_child_that_cannot_be_killed() {
    let other = ["setpriv", "--reuid", "65534", "--clear-groups"];
    if told().is_none() {
        let _guard = guard();
        let again = again(&a_child_that_cannot_be_killed, "powerless");
        let mut powerless = Command::new("setpriv");
        powerless
            .arg("--bounding-set=-kill")
            .arg(again.get_program());
        powerless.args(again.get_args()).stdin(Stdio::null());
        powerless.envs(
            again
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        return succeeds(&mut powerless);
    }
    let _guard = guard();
    let command = before(&other, "work");
    let builder = WORK.command(command).exit_with_parent();
    let rpc = builder.quiet().begin();
    rpc.ready().wait().unwrap();
    let pid = nix::unistd::Pid::from_raw(rpc.pid().unwrap() as i32);
    let refused = nix::sys::signal::kill(pid, None);
    assert_eq!(refused, Err(nix::errno::Errno::EPERM));
    let call = rpc.call(Job::Spin);
    rpc.kill();
    let error = quickly(|| call.wait().unwrap_err());
    assert!(error.is_child_dead(), "{error}");
    quickly(|| rpc.join().wait()).unwrap();
}

/// From now on this thread, and what it starts, cannot do this system call.
fn refuse(call: libc::c_long) {
    let instruction = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let (load, compare, end) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    let mut filter = [
        instruction(load as u16, 0, 0),
        instruction(compare as u16, 1, call as u32),
        instruction(end as u16, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        instruction(end as u16, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is a live one, and of this length.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            + libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
    };
    assert_eq!(done, 0);
}

type Work = offspring::Builder<fn(Job) -> Result<String, String>, Json, u32>;

/// X76: no signal can be sent, and nothing waits for a child that will not end.
pub(crate) fn where_no_signal_can_be_sent() {
    alone(|| {
        refuse(libc::SYS_pidfd_send_signal);
        let _guard = guard();
        let temp = Temp::new();
        let spin = |builder: Work| {
            let gate = temp.gate(&format!("gate{:?}", std::time::Instant::now()));
            let rpc = builder.quiet().begin();
            let job = both(Job::Gate(gate.name()), Job::Spin);
            let call = rpc.call(job);
            drop(gate.reached());
            let number = nix::unistd::Pid::from_raw(rpc.pid().unwrap() as i32);
            (rpc, call, number)
        };
        let end = |pid| nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        let template = offspring::Template::builder().start().unwrap();
        for builder in [
            WORK.builder(),
            WORK.builder().capture_stderr(100),
            WORK.template(&template),
            WORK.command(serving("work")),
        ] {
            let (rpc, call, pid) = spin(builder);
            let limit = std::time::Duration::from_millis(50);
            let error = quickly(|| rpc.join().within(limit).wait()).unwrap_err();
            assert!(error.to_string().contains("cannot be killed"), "{error}");
            let error = call.wait().unwrap_err();
            assert_error!(error, is_child_dead, "Operation not permitted");
            end(pid);
        }
        // The same for who waits in other ways.
        let (rpc, call, pid) = spin(WORK.builder());
        rpc.kill();
        let error = quickly(|| futures_lite::future::block_on(call)).unwrap_err();
        assert!(error.to_string().contains("cannot be killed"), "{error}");
        quickly(|| futures_lite::future::block_on(rpc.join())).unwrap_err();
        end(pid);
        // One that has nothing to do hears that the link is cut.
        let rpc = WORK.builder().quiet().begin();
        rpc.ready().wait().unwrap();
        rpc.kill();
        assert!(quickly(|| rpc.join().wait()).unwrap().success());
    });
}

/// X76: children of a parent that has given them a namespace of process ids, in which it has no number itself.
pub(crate) fn a_namespace_of_process_ids() {
    alone(|| {
        let _guard = guard();
        let echo = || echo("x");
        let before = WORK.spawn().unwrap();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).unwrap();
        let first = WORK.spawn().unwrap();
        assert_eq!(first.call(echo()).wait().unwrap(), Ok("x".into()));
        let nested = Job::Nested(Box::new(echo()));
        assert_eq!(first.call(nested).wait().unwrap(), Ok("x".into()));
        let second = WORK.builder().quiet().begin();
        assert_eq!(second.call(echo()).wait().unwrap(), Ok("x".into()));
        let program = WORK.program(serving("work")).quiet();
        let third = program.begin();
        assert_eq!(third.call(echo()).wait().unwrap(), Ok("x".into()));
        // These start their processes from a thread that cannot be created here.
        let error = offspring::Template::builder().start().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
        let error = WORK.pool().on_event(|_| ()).spawn().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
        // The others go with the first, and there are no more.
        first.join().wait().unwrap();
        for rpc in [second, third] {
            let status = rpc.join().wait().unwrap();
            assert_eq!(status.signal(), Some(libc::SIGKILL));
        }
        let error = WORK.spawn().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
        before.join().wait().unwrap();
        until(|| own_threads().is_empty());
        let error = WORK.command(Command::new("true")).spawn().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
    });
}

/// X76: the same where no thread can be started any more.
pub(crate) fn a_namespace_without_a_thread() {
    alone(|| {
        let _guard = guard();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).unwrap();
        let error = WORK.spawn().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
        assert!(error.to_string().contains("thread"), "{error}");
    });
}

/// X76: without `/proc` this program is not found.
pub(crate) fn a_root_without_proc() {
    alone(|| {
        let temp = Temp::new();
        nix::unistd::chroot(temp.path(".").as_str()).unwrap();
        std::env::set_current_dir("/").unwrap();
        let error = WORK.spawn().unwrap_err();
        assert!(error.to_string().contains("`/proc`"), "{error}");
        let error = offspring::Template::builder().start().unwrap_err();
        assert!(error.to_string().contains("`/proc`"), "{error}");
    });
}
