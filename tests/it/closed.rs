//! A process that has closed its standard streams: no file descriptor of the crate gets their numbers, and printed text is
//! lost.

use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use offspring::{
    Cbor, Descriptor, Events, SharedBytes, SharedMemory, Stdio, Template, preload, worker,
};

use crate::support::*;

/// Returns the file with the number of a standard stream, unless it is a placeholder.
fn low() -> Vec<String> {
    let low = descriptors().into_iter().filter(|(number, _)| *number < 3);
    let low = low.filter(|(_, target)| target != "/dev/null");
    low.map(|(number, target)| format!("{number}: {target}"))
        .collect()
}

fn close_streams() {
    for number in 0..3 {
        // SAFETY: no code of this process owns a standard stream.
        unsafe { libc::close(number) };
    }
}

/// Prints all the time, as other threads of a program may.
fn print() {
    println!("text {}", "x".repeat(100));
    eprintln!("text {}", "x".repeat(100));
}

type Parts = (Vec<Descriptor>, SharedBytes, SharedMemory);

fn parts() -> Parts {
    // The file may get a low number: text that other threads print must do no harm there.
    let null = || File::options().read(true).write(true).open("/dev/null");
    let all = [null(), null()].map(|file| OwnedFd::from(file.unwrap()).into());
    let bytes = SharedBytes::copy_from_slice(&[1; 100_000]).unwrap();
    (all.into(), bytes, SharedMemory::new(100_000).unwrap())
}

#[derive(serde::Serialize, serde::Deserialize, Debug, Clone, Copy)]
enum Wish {
    /// The worker closes its standard streams.
    Close,
    /// The worker starts children.
    Start,
    Nothing,
}

fn check((wish, parts): (Wish, Parts), events: &Events<Parts>) -> (Vec<String>, Parts) {
    match wish {
        Wish::Close => close_streams(),
        Wish::Start => start_children(),
        Wish::Nothing => {}
    }
    print();
    assert!(lowest(&parts) > 2);
    events.send(self::parts()).unwrap();
    events.progress(self::parts()).unwrap();
    (low(), parts)
}

fn lowest(parts: &Parts) -> i32 {
    let numbers = parts.0.iter().map(|one| one.as_fd().as_raw_fd());
    numbers.min().unwrap()
}

worker!(CHECK: fn((Wish, Parts)) -> (Vec<String>, Parts) = check, serialiser = Cbor, events = Parts);
#[cfg(feature = "concurrent")]
worker!(CHECK_AT_ONCE: fn((Wish, Parts)) -> (Vec<String>, Parts) =
    async |task: (Wish, Parts), events: &Events<Parts>| check(task, events), serialiser = Cbor, events = Parts);

preload!(CLOSES() -> () = || {
    close_streams();
    Ok::<_, String>(())
});

/// The link uses the other streams.
pub(crate) fn serve() -> ! {
    // SAFETY: no code of this process owns its stderr.
    unsafe { libc::close(2) };
    CHECK.serve()
}

/// A builder, without its type of errors.
macro_rules! converse {
    ($builder:expr, $carries:expr, $wishes:expr) => {{
        let (rpc, events) = $builder.quiet().spawn_with_events().unwrap();
        if $carries {
            let mut events = events.into_iter();
            let mut closed = false;
            for wish in $wishes {
                let mut call = rpc.call((wish, parts()));
                let progress = call.events().into_iter().next().unwrap().unwrap();
                let (low_there, back) = call.wait().unwrap();
                let event = events.next().unwrap().unwrap();
                for parts in [progress, back, event] {
                    assert!(lowest(&parts) > 2);
                }
                closed |= matches!(wish, Wish::Close);
                if closed {
                    assert_eq!(low_there, [""; 0], "in the child, {wish:?}");
                }
                assert_eq!(low(), [""; 0], "here, {wish:?}");
            }
        } else {
            rpc.ready().wait().unwrap();
            assert_eq!(low(), [""; 0]);
        }
        rpc.join().wait().unwrap();
    }};
}

/// Starts children in every way.
fn start_children() {
    let wishes = [Wish::Nothing, Wish::Close, Wish::Nothing];
    converse!(CHECK.builder(), true, wishes);
    converse!(CHECK.builder().capture_stderr(100), true, wishes);
    let quiet = || (Stdio::null(), Stdio::null());
    let (out, err) = quiet();
    converse!(
        CHECK.builder().stdout(out).stderr(err).current_dir("/"),
        true,
        wishes
    );
    #[cfg(feature = "concurrent")]
    converse!(CHECK_AT_ONCE.builder(), true, wishes);
    converse!(CHECK.program(serving("closed")), true, wishes);
    converse!(CHECK.command(serving("closed")), false, wishes);
    for builder in [
        Template::builder(),
        Template::builder().preload(&CLOSES),
        Template::builder().current_dir("/").env("A", "b"),
    ] {
        let template = builder.start().unwrap();
        for capture in [false, true] {
            let own = CHECK.template(&template).current_dir("/");
            let own = own.when(capture, |own| own.capture_stderr(100));
            converse!(own, true, wishes);
        }
        let (out, err) = quiet();
        converse!(
            CHECK.template(&template).stdout(out).stderr(err),
            true,
            wishes
        );
        #[cfg(feature = "concurrent")]
        converse!(CHECK_AT_ONCE.template(&template), true, wishes);
    }
    let pool = CHECK.pool().max(2).quiet().begin();
    let calls: Vec<_> = (0..20)
        .map(|_| pool.call((Wish::Nothing, parts())))
        .collect();
    for call in calls {
        assert!(lowest(&call.wait().unwrap().1) > 2);
    }
    assert_eq!(low(), [""; 0]);
    pool.join().wait().unwrap();
}

/// Runs `body` without the standard streams, and restores them.
fn without_streams(body: impl FnOnce()) {
    // SAFETY: the numbers are only duplicated.
    let kept = [0, 1, 2].map(|number| unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 100) });
    // SAFETY: the copy stays open until this process exits.
    let errors = ManuallyDrop::new(unsafe { File::from_raw_fd(kept[2]) });
    let errors = move |panic: &PanicHookInfo<'_>| drop(writeln!(&*errors, "{panic}"));
    std::panic::set_hook(Box::new(errors));
    close_streams();
    let outcome = catch_unwind(AssertUnwindSafe(body));
    for (number, kept) in kept.into_iter().enumerate() {
        // SAFETY: no code owns a standard stream, and this function owns the copy.
        unsafe {
            libc::dup2(kept, number as i32);
        }
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
}

/// X71: parent, child, template, and children of children.
#[test]
fn nothing_takes_the_place_of_a_stream() {
    alone(|| {
        without_streams(|| {
            let _guard = guard();
            start_children();
            converse!(CHECK.builder(), true, [Wish::Close, Wish::Start]);
            let template = Template::builder().preload(&CLOSES).start().unwrap();
            converse!(CHECK.template(&template), true, [Wish::Close, Wish::Start]);
        });
    });
}

/// X71: other threads print all the time while descriptors are created.
#[test]
fn printing_does_no_harm() {
    alone(|| {
        without_streams(|| {
            let _guard = guard();
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !stop.load(Ordering::Relaxed) {
                            print();
                        }
                    });
                }
                let outcome = catch_unwind(|| {
                    for _ in 0..rounds(10) {
                        let wishes = [Wish::Nothing];
                        converse!(CHECK.builder().capture_stderr(100), true, wishes);
                        let template = Template::builder().start().unwrap();
                        converse!(CHECK.template(&template), true, wishes);
                        converse!(CHECK.command(serving("closed")), false, wishes);
                    }
                });
                stop.store(true, Ordering::Relaxed);
                outcome.unwrap();
            });
        });
    });
}

/// X71: a link that the user created while low numbers were free.
#[test]
fn a_link_of_the_users() {
    alone(|| {
        without_streams(|| {
            let _guard = guard();
            let (ours, theirs) = UnixStream::pair().unwrap();
            assert!(ours.as_raw_fd() < 3);
            let theirs: OwnedFd = theirs.into();
            let mut child = serving("closed").stdin(theirs).begin();
            converse!(CHECK.builder().socket(ours), true, [Wish::Nothing]);
            child.wait().unwrap();
        });
    });
}

/// X71: another thread opens and closes one of the numbers all the time: no descriptor of the crate keeps that number.
#[test]
fn a_thread_that_opens_files() {
    alone(|| {
        without_streams(|| {
            let _guard = guard();
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        drop(File::open("/dev/zero").unwrap());
                    }
                });
                for _ in 0..rounds(100) {
                    let children = [(); 4].map(|()| CHECK.builder().on_event(drop).begin());
                    let own = low();
                    let own: Vec<_> = own
                        .iter()
                        .filter(|one| !one.ends_with("/dev/zero"))
                        .collect();
                    assert!(own.is_empty(), "{own:?}");
                    for rpc in children {
                        rpc.join().wait().unwrap();
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
        });
    });
}
