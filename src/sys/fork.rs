//! Forking, in the one process that may: a template.
//!
//! A process that has more than one thread must not fork without exec: a lock that another thread holds at that moment
//! is held for ever in the child, and what it guards is half done. So [`Forker::fork`] first asks the kernel whether
//! there is another, and refuses if so. With one, the child is a whole copy, and **everything may run in it**, as if it
//! had loaded what is there by itself. Nothing is between the check and the call, and nobody else is there who could
//! start a thread meanwhile.
//!
//! The child is not the template's but that of the template's parent (`CLONE_PARENT`): who called for it waits for it,
//! and its status needs no messenger. Its number is written by the kernel into memory that the parent shares, before
//! the child runs or the template can be killed over it (`CLONE_PARENT_SETTID`). So a parent whose template dies in the
//! middle of a start knows whether there is a child, and which.
//!
//! libc's own `fork` cannot do that, and what it does besides has to be done here:
//!
//! * The thread's id, which libc keeps, is written anew by the kernel (`CLONE_CHILD_SETTID`). `abort`, `raise`,
//!   recursive mutexes and `pthread_kill` rely on it.
//! * The list of robust mutexes is announced again.
//! * Locks of `malloc` and `stdio` need nothing: the one thread does not hold them.
//! * Handlers of `pthread_atfork` are *not* run. It is documented where a user declares what to preload.

use std::ffi::{OsStr, OsString, c_void};
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::AtomicI32;
use std::thread;
use std::time::Duration;

use libc::{c_int, c_long, pid_t};
use nix::errno::Errno;

/// How often the threads are counted before they are too many, with a millisecond in between: one that was joined is
/// still listed for a moment.
const PATIENCE: u32 = 50;

/// Proof that this process has one thread, and that nothing but this crate's code runs in it yet.
///
/// It stays on the thread where it was made.
#[derive(Debug)]
pub(crate) struct Alone(PhantomData<*mut ()>);

impl Alone {
    /// Sets a variable of the environment, or removes it.
    pub(crate) fn set_variable(&self, name: &OsStr, value: Option<&OsStr>) {
        // SAFETY: no other thread exists that could read or write the environment.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    }

    /// Removes all variables.
    pub(crate) fn clear_variables(&self) {
        let names: Vec<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
        for name in names {
            self.set_variable(&name, None);
        }
    }
}

/// What this process needs to fork. To be made, and used, in its first thread.
#[derive(Debug)]
pub(crate) struct Forker {
    /// Where libc keeps the id of this thread.
    tid: *mut pid_t,
    /// What the kernel clears when this thread ends.
    clear: *mut pid_t,
    robust: (*mut c_void, usize),
    /// How many threads there were besides this one when nothing was preloaded yet.
    others_before: usize,
}

impl Forker {
    /// # Errors
    /// If it cannot be found out where libc keeps the thread's id.
    pub(crate) fn new() -> io::Result<Self> {
        let clear = cleared_word();
        Ok(Self {
            tid: tid_word(clear)?,
            clear,
            robust: robust_list(),
            others_before: count_threads()?.saturating_sub(1),
        })
    }

    /// Forks a child of this process's parent, and has its number written to `number`. `Some` in the child.
    ///
    /// # Errors
    /// This process has more than one thread, or the system has no room for another process. Nothing has happened then.
    pub(crate) fn fork(&self, number: &AtomicI32) -> io::Result<Option<Alone>> {
        self.one_thread()?;
        // SAFETY: this process has one thread, and it is this one. `number` is an atomic that outlives the call, and
        // the thread's id lies where `new` has found it, in memory that is copied.
        let pid = Errno::result(unsafe { clone(number.as_ptr(), self.tid) })?;
        if pid != 0 {
            return Ok(None);
        }
        self.settle();
        Ok(Some(Alone(PhantomData)))
    }

    /// Makes sure that this process has one thread.
    fn one_thread(&self) -> io::Result<()> {
        let count = lasting_threads()?;
        if count == 1 {
            return Ok(());
        }
        let cause = if self.others_before > 0 {
            format!(
                "{} of them ran already when `offspring::init()` was called: call it first in a `main` that is not async (`#[tokio::main]` starts threads before it), and build the runtime behind it",
                self.others_before
            )
        } else {
            "what it preloads must end the threads that it starts".to_owned()
        };
        Err(io::Error::other(format!(
            "it has {count} threads, and only with one it can fork; {cause}"
        )))
    }

    /// Says to the kernel, for a new process, what libc said when this one began.
    fn settle(&self) {
        let (list, length) = self.robust;
        // SAFETY: both are what the kernel was told for this thread by libc; the memory was copied to the same place.
        unsafe {
            if !list.is_null() {
                libc::syscall(libc::SYS_set_robust_list, list, length);
            }
            if self.clear != self.tid && !self.clear.is_null() {
                libc::syscall(libc::SYS_set_tid_address, self.clear);
            }
        }
    }
}

/// One system call. The child's stack is a copy of this one.
///
/// # Safety
/// As for `fork`, in a process with one thread; `number` and `tid` can be written.
unsafe fn clone(number: *mut pid_t, tid: *mut pid_t) -> c_long {
    let flags = libc::CLONE_PARENT
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_SETTID
        | libc::CLONE_CHILD_CLEARTID
        | libc::SIGCHLD;
    let (flags, none) = (flags as c_long, ptr::null_mut::<c_void>());
    // The order of the arguments is the architecture's.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, none, number, tid, none) };
    #[cfg(target_arch = "s390x")]
    // SAFETY: the caller's.
    let pid = unsafe { libc::syscall(libc::SYS_clone, none, flags, number, tid, none) };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "s390x")))]
    // SAFETY: the caller's.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, none, number, none, tid) };
    pid
}

/// How many threads this process has, once those that were joined are gone.
pub(crate) fn lasting_threads() -> io::Result<usize> {
    let mut count = count_threads()?;
    for _ in 0..PATIENCE {
        if count == 1 {
            break;
        }
        thread::sleep(Duration::from_millis(1));
        count = count_threads()?;
    }
    Ok(count)
}

/// How many threads this process has.
fn count_threads() -> io::Result<usize> {
    // For one thread this is granted and changes nothing; for more it is refused.
    // SAFETY: the call takes a number.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return Ok(1);
    }
    // A sandbox may refuse it as well.
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// The word that the kernel clears when this thread ends, if it says so.
fn cleared_word() -> *mut pid_t {
    let mut word: *mut pid_t = ptr::null_mut();
    // SAFETY: the kernel writes one pointer to where this one points.
    let result = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut word) };
    if result == 0 { word } else { ptr::null_mut() }
}

/// Where libc keeps the id of this thread. In glibc that is the word that is cleared. Else, and where the kernel does
/// not tell, it is the one word at the head of the thread's descriptor that has this value.
fn tid_word(cleared: *mut pid_t) -> io::Result<*mut pid_t> {
    // SAFETY: the call takes nothing.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as pid_t;
    // SAFETY: a word that is not null is one that the kernel was told to write to by libc.
    if !cleared.is_null() && unsafe { cleared.read_volatile() } == tid {
        return Ok(cleared);
    }
    word_of_descriptor(tid).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "it cannot find where libc keeps the id of a thread, and so cannot fork",
        )
    })
}

/// The only word with this value at the head of the descriptor of this thread.
fn word_of_descriptor(value: pid_t) -> Option<*mut pid_t> {
    /// Less than the descriptor of each libc has, more than where the id lies.
    const HEAD: usize = if cfg!(target_env = "gnu") { 1024 } else { 160 };
    // SAFETY: the call takes nothing.
    let descriptor = unsafe { libc::pthread_self() } as *mut pid_t;
    let mut found = (0..HEAD / size_of::<pid_t>())
        .map(|index| descriptor.wrapping_add(index))
        // SAFETY: the descriptor is longer than that, and lives as long as the thread.
        .filter(|word| unsafe { word.read_volatile() } == value);
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

/// What libc has told the kernel of this thread's robust mutexes.
fn robust_list() -> (*mut c_void, usize) {
    let (mut list, mut length) = (ptr::null_mut(), 0);
    let this: c_int = 0;
    // SAFETY: the kernel writes a pointer and a length to where these point.
    let result = unsafe {
        libc::syscall(
            libc::SYS_get_robust_list,
            this,
            &raw mut list,
            &raw mut length,
        )
    };
    if result == 0 {
        (list, length)
    } else {
        (ptr::null_mut(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways to find it must agree, or the second is not worth having.
    #[test]
    fn the_id_of_a_thread_is_found_in_two_ways() {
        // SAFETY: the call takes nothing.
        let tid = unsafe { libc::syscall(libc::SYS_gettid) } as pid_t;
        let told = cleared_word();
        assert!(!told.is_null(), "this kernel does not say");
        assert_eq!(tid_word(told).unwrap(), told);
        assert_eq!(tid_word(ptr::null_mut()).unwrap(), told);
        assert_eq!(word_of_descriptor(tid), Some(told));
    }

    #[test]
    fn with_other_threads_there_is_no_fork() {
        let forker = Forker::new().unwrap();
        let number = AtomicI32::new(0);
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let other = thread::spawn(move || held.recv());
        let error = forker.fork(&number).unwrap_err();
        assert!(error.to_string().contains("threads"), "{error}");
        assert_eq!(number.into_inner(), 0);
        drop(hold);
        let _ = other.join();
    }
}
