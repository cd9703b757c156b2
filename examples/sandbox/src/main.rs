//! Counts the words of files in a child that can open no file, reach no host and start no program.
//!
//! The parent opens each file and sends it along with the call. The child confines itself before its first call: Landlock
//! takes away all files and TCP ports, seccomp all system calls but those that a blocking child and the function need.

use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus};
use lexopt::{Parser, prelude::*};
use offspring::{Cbor, Descriptor, FlattenErrors, WorkerError, service, worker};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

service! {
    /// The methods that run confined.
    pub trait Reader => ReaderClient, serialiser = Cbor {
        /// The number of words in a file.
        fn words(&self, file: Descriptor<File>) -> Result<u64, WorkerError>;
        /// Tries what a hostile file might make the reader do, and says what came of it.
        fn escape(&self, way: String) -> Result<String, WorkerError>;
    }
}

struct Confined;

impl Reader for Confined {
    fn words(&self, mut file: Descriptor<File>) -> Result<u64, WorkerError> {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text.split_whitespace().count() as u64)
    }

    fn escape(&self, way: String) -> Result<String, WorkerError> {
        match way.as_str() {
            "read" => drop(File::open("/etc/passwd")?),
            "write" => drop(File::create("/tmp/offspring-sandbox")?),
            "connect" => drop(TcpStream::connect("127.0.0.1:80")?),
            "run" => drop(Command::new("/bin/true").status()?),
            "panic" => panic!("confined"),
            _ => return Err(WorkerError::new("there is no such way")),
        }
        Ok("it was possible".into())
    }
}

/// The system calls of a blocking child, of the allocator, and of a function that reads a file. A function that does
/// more needs more; `strace -f` shows which call was refused (`EPERM`).
const NEEDED: &[libc::c_long] = &[
    // The link: bytes, descriptors, doorbells.
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    // Open files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_close,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_getrandom,
    // Signals, panics, and the end.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Gives up all files and TCP ports, for good.
fn give_up_files() -> Result<(), AnyError> {
    let files = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1))?;
    // From Linux 6.7 on; before that only seccomp keeps the network away.
    let ports = files.handle_access(AccessNet::from_all(ABI::V4))?;
    match ports.create()?.restrict_self()?.ruleset {
        RulesetStatus::NotEnforced => Err("this kernel has no Landlock".into()),
        _ => Ok(()),
    }
}

/// Gives up all other system calls, for good: they fail with `EPERM`.
fn give_up_calls() -> Result<(), AnyError> {
    let rules = NEEDED.iter().map(|call| (*call, Vec::new()));
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules.collect(), refused, SeccompAction::Allow, architecture)?;
    Ok(seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?)
}

/// Runs in the child, before its first call.
fn confine(calls: bool) -> Result<Confined, AnyError> {
    give_up_files()?;
    if calls {
        give_up_calls()?;
    }
    Ok(Confined)
}

worker!(READER: dyn Reader = confine, init(bool));

const USAGE: &str = "usage: sandbox [--landlock-only] [--escape WAY]… [FILE]…";

/// A call of the child.
enum Task {
    Words(PathBuf),
    Escape(String),
}

struct Options {
    seccomp: bool,
    tasks: Vec<Task>,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        let (mut seccomp, mut tasks) = (true, Vec::new());
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("landlock-only") => seccomp = false,
                Long("escape") => tasks.push(Task::Escape(parser.value()?.string()?)),
                Value(path) => tasks.push(Task::Words(path.into())),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Self { seccomp, tasks })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    offspring::init();
    let options = Options::parse().unwrap_or_else(|error| {
        eprintln!("sandbox: {error}\n{USAGE}");
        std::process::exit(2)
    });
    let reader = READER.init(options.seccomp).spawn()?;
    for task in options.tasks {
        let (name, outcome) = match task {
            Task::Escape(way) => (
                "--escape".to_owned(),
                reader.escape(way).wait().flatten_errors(),
            ),
            Task::Words(path) => {
                let words = reader.words(File::open(&path)?).wait().flatten_errors();
                let name = path.display().to_string();
                let text = words.map(|words| format!("{words} words in {name}"));
                (name, text)
            }
        };
        match outcome {
            Ok(text) => println!("{text}"),
            Err(error) => println!("{name}: {error}"),
        }
    }
    reader.join().wait()?;
    Ok(())
}
