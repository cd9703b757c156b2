//! Children that run as another user. Only root can start them.

use std::fs::File;
use std::io::Read;

use offspring::{Builder, Descriptor, NoEvents, Octets, Rights, Template, worker};

use crate::sandbox::before;
use crate::support::*;

worker!(WHO: fn() -> String = who);
worker!(READ: fn(Descriptor<File>) -> String = read);

pub(crate) fn serve(worker: &str) {
    match worker {
        "who" => WHO.serve(),
        "read" => READ.serve(),
        other => panic!("there is no worker {other}"),
    }
}

/// Returns the ids of this process, which files it can open, and whether it can become root again.
fn who() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = |name: &&str| {
        let line = status.lines().find_map(|line| line.strip_prefix(*name));
        line.unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let names = [
        "Uid:",
        "Gid:",
        "Groups:",
        "CapPrm:",
        "CapEff:",
        "NoNewPrivs:",
        "Umask:",
    ];
    let mut all: Vec<String> = names.iter().map(line).collect();
    let opened = File::open("/etc/shadow")
        .map_or_else(|error| error.kind().to_string(), |_| "opened".into());
    let back =
        nix::unistd::setuid(0.into()).map_or_else(|error| error.to_string(), |()| "root".into());
    all.extend([opened, back]);
    all.join(", ")
}

fn read(mut file: Descriptor<File>) -> String {
    let opened = File::open("/etc/shadow").is_ok();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    format!("{opened} {text}")
}

type Who = Builder<fn() -> String, Octets, NoEvents>;

const CONFINED: &str = "65534 65534 65534 65534, 12 12 12 12, 4 24, 0000000000000000, 0000000000000000, 1, 0027, \
     permission denied, EPERM: Operation not permitted";

/// By exec, from a template, over a command, and a program that begins as another user with capabilities.
pub(crate) fn a_child_of_another_user_has_no_way_back() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    let powers = "+setuid,+setgid";
    let powers = [
        format!("--inh-caps={powers}"),
        format!("--ambient-caps={powers}"),
    ];
    let powerful: &[&str] = &[
        "setpriv",
        "--reuid=1",
        "--regid=1",
        "--clear-groups",
        &powers[0],
        &powers[1],
    ];
    let ways: [Who; 5] = [
        WHO.builder(),
        WHO.program(serving("who")),
        WHO.command(serving("who")),
        WHO.template(&template),
        WHO.program(before(powerful, "who")),
    ];
    for builder in ways {
        let rights = Rights::new().user("nobody").group(12).groups([24, 4]);
        let rpc = builder
            .rights(rights.umask(0o027).no_new_privileges())
            .begin();
        assert_eq!(rpc.call().wait().unwrap(), CONFINED);
        // This process can kill it and wait for it.
        rpc.kill();
        let status = rpc.join().wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    }
    // This process and the template are unchanged.
    assert!(who().starts_with("0 0 0 0, 0 0 0 0, "));
    let rpc = WHO.template(&template).begin();
    assert!(rpc.call().wait().unwrap().ends_with(", opened, root"));
}

pub(crate) fn what_is_not_said_of_groups() {
    let _guard = guard();
    nix::unistd::setgroups(&[7.into()]).unwrap();
    for (rights, ids) in [
        (Rights::new().user("daemon"), "1 1 1 1, 1 1 1 1, , "),
        (Rights::new().group(9), "0 0 0 0, 9 9 9 9, , "),
        (Rights::new().groups([9]), "0 0 0 0, 0 0 0 0, 9, "),
        (Rights::new().no_groups(), "0 0 0 0, 0 0 0 0, , "),
        (Rights::new().umask(0), "0 0 0 0, 0 0 0 0, 7, "),
        (
            Rights::new().user(54321).group(5),
            "54321 54321 54321 54321, 5 5 5 5, , ",
        ),
    ] {
        let rpc = WHO.builder().rights(rights).begin();
        let told = rpc.call().wait().unwrap();
        assert!(told.starts_with(ids), "{told} instead of {ids}");
    }
    nix::unistd::setgroups(&[]).unwrap();
}

/// The child reads a descriptor that it was sent, works with rings and without, has limits, and can start children.
pub(crate) fn what_a_child_of_another_user_can_do() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap();
    let rights = || Rights::new().user("nobody").no_new_privileges();
    let limits = offspring::Limits::new().open_files(40).nice(-1);
    for builder in [
        READ.builder(),
        READ.program(serving("read")),
        READ.template(&template),
    ] {
        let file = File::open("/etc/shadow").unwrap();
        let rpc = builder.rights(rights()).limits(limits).begin();
        assert_eq!(rpc.call(file).wait().unwrap(), format!("false {shadow}"));
    }
    for builder in [
        WORK.builder().rings(false),
        WORK.builder(),
        WORK.template(&template),
    ] {
        let rpc = builder.rights(rights()).begin();
        let big = "x".repeat(1 << 20);
        assert_eq!(
            rpc.call(Job::Len(big)).wait().unwrap(),
            Ok("1048576".into())
        );
        let nested = Job::Nested(Box::new(echo("x")));
        assert_eq!(rpc.call(nested).wait().unwrap(), Ok("x".into()));
    }
}

/// Rights that the child may not take are an error of the start, and no call runs.
pub(crate) fn rights_that_cannot_be_had() {
    let _guard = guard();
    let powerless: &[&str] = &["setpriv", "--reuid=1", "--regid=1", "--clear-groups"];
    for rights in [
        Rights::new().user("nobody"),
        Rights::new().group(5),
        Rights::new().groups([5]),
    ] {
        let rpc = WHO
            .program(before(powerless, "who"))
            .rights(rights)
            .quiet()
            .begin();
        let error = rpc.call().wait().unwrap_err();
        assert_error!(
            error,
            is_handshake,
            started = No,
            "cannot set supplementary groups: Operation not permitted (os error 1) (it has to start as root, or with the capabilities for that)"
        );
        let _ = rpc.join().wait();
    }
}
