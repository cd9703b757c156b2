//! Forking without exec, which only a template does.
//!
//! A process with several threads must not fork without exec: a lock that another thread holds at that moment is locked
//! for ever in the child, and its data may be inconsistent. So [`Forker::fork`] first asks the kernel whether there is
//! another thread, and refuses if so. With a single thread the child is a complete copy, and **all code may run in it**.
//! No code runs between the check and the call that could start a thread.
//!
//! The child's parent is the template's parent (`CLONE_PARENT`), which therefore waits for it and reads its status. The
//! kernel writes its process id into memory that the parent shares, before the child runs and before the template can be
//! killed (`CLONE_PARENT_SETTID`). So a parent whose template dies in the middle of a start knows whether a child exists,
//! and its process id.
//!
//! libc's `fork` cannot do that. What it does beside the system call is done here:
//!
//! * The kernel updates the thread id that libc caches (`CLONE_CHILD_SETTID`). `abort`, `raise`, recursive mutexes and
//!   `pthread_kill` rely on it.
//! * The list of robust mutexes is registered again.
//! * Locks of `malloc` and `stdio` are free, because the only thread does not hold them.
//! * Handlers of `pthread_atfork` are *not* run. The documentation of `preload!` says so.

use std::ffi::{OsStr, OsString, c_void};
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::AtomicI32;
use std::thread;
use std::time::Duration;

use libc::{c_long, pid_t};
use nix::errno::Errno;

/// How many times the threads are counted, one millisecond apart, before they are too many: a joined thread is still
/// listed for a moment.
const PATIENCE: u32 = 50;

/// Proof that this process has one thread, which runs this crate's code only. Not `Send`.
#[derive(Debug)]
pub(crate) struct SingleThreaded(PhantomData<*mut ()>);

impl SingleThreaded {
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

/// The addresses that a fork needs. To be created and used in the process's first thread.
#[derive(Debug)]
pub(crate) struct Forker {
    /// The address where libc caches the id of this thread.
    tid: *mut pid_t,
    /// The address that the kernel clears when this thread ends.
    clear_child_tid: *mut pid_t,
    robust: (*mut c_void, usize),
    /// The number of other threads before the first preload.
    others_before: usize,
}

impl Forker {
    /// # Errors
    /// The address of libc's thread id cannot be found.
    pub(crate) fn new() -> io::Result<Self> {
        let clear_child_tid = clear_tid_address();
        Ok(Self {
            tid: find_tid_address(clear_child_tid)?,
            clear_child_tid,
            robust: robust_list(),
            others_before: count_threads()?.saturating_sub(1),
        })
    }

    /// Forks a child of this process's parent; the kernel writes its process id to `number`. Returns `Some` in the child.
    ///
    /// # Errors
    /// This process has several threads, or the system has no room for another process. No child exists then.
    pub(crate) fn fork(&self, number: &AtomicI32) -> io::Result<Option<SingleThreaded>> {
        self.require_single_thread()?;
        // SAFETY: this is the process's only thread. `number` is an atomic that outlives the call, and `new` has found
        // the address of the thread id, in memory that the child gets a copy of.
        let pid = Errno::result(unsafe { clone(number.as_ptr(), self.tid) })?;
        if pid != 0 {
            return Ok(None);
        }
        self.register_with_kernel();
        Ok(Some(SingleThreaded(PhantomData)))
    }

    /// Checks that this process has one thread.
    fn require_single_thread(&self) -> io::Result<()> {
        let count = count_lasting_threads()?;
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

    /// Registers with the kernel what libc has registered for the original.
    fn register_with_kernel(&self) {
        let (list, length) = self.robust;
        // SAFETY: libc has registered both for this thread; the copy has the same addresses.
        unsafe {
            if !list.is_null() {
                libc::syscall(libc::SYS_set_robust_list, list, length);
            }
            if self.clear_child_tid != self.tid && !self.clear_child_tid.is_null() {
                libc::syscall(libc::SYS_set_tid_address, self.clear_child_tid);
            }
        }
    }
}

/// Makes the system call. The child runs on a copy of this stack.
///
/// # Safety
/// This process has one thread; `number` and `tid` can be written.
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

/// Returns the number of threads, without those that were just joined.
pub(crate) fn count_lasting_threads() -> io::Result<usize> {
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

/// Returns the number of threads.
fn count_threads() -> io::Result<usize> {
    // With one thread this succeeds and changes nothing; with more it fails.
    // SAFETY: the call takes a number.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return Ok(1);
    }
    // A sandbox may refuse it, too.
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// Returns the address that the kernel clears when this thread ends, or null if it does not tell.
fn clear_tid_address() -> *mut pid_t {
    let mut word: *mut pid_t = ptr::null_mut();
    // SAFETY: the kernel writes one pointer to a live one. If it fails that stays null.
    unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut word) };
    word
}

/// Returns the address where libc caches the id of this thread. In glibc the kernel clears the same word. Otherwise it is
/// the only word at the start of the thread descriptor with that value.
fn find_tid_address(cleared: *mut pid_t) -> io::Result<*mut pid_t> {
    // SAFETY: the call takes nothing.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as pid_t;
    // SAFETY: libc has registered an address that is not null, for the kernel to write to.
    if !cleared.is_null() && unsafe { cleared.read_volatile() } == tid {
        return Ok(cleared);
    }
    find_tid_in_descriptor(tid).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "it cannot find where libc keeps the id of a thread, and so cannot fork",
        )
    })
}

/// Returns the only word with this value at the start of this thread's descriptor.
fn find_tid_in_descriptor(value: pid_t) -> Option<*mut pid_t> {
    /// Less than the length of any libc's descriptor, and more than the offset of the id.
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

/// Returns the list of robust mutexes that libc has registered for this thread.
fn robust_list() -> (*mut c_void, usize) {
    let (mut list, mut length) = (ptr::null_mut(), 0);
    // SAFETY: the kernel writes a pointer and a length to live ones. If it fails they stay as they are.
    unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut list, &raw mut length) };
    (list, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways to find the address agree.
    #[test]
    fn the_id_of_a_thread_is_found_in_two_ways() {
        // SAFETY: the call takes nothing.
        let tid = unsafe { libc::syscall(libc::SYS_gettid) } as pid_t;
        let told = clear_tid_address();
        assert!(!told.is_null(), "this kernel does not say");
        assert_eq!(find_tid_address(told).unwrap(), told);
        assert_eq!(find_tid_address(ptr::null_mut()).unwrap(), told);
        assert_eq!(find_tid_in_descriptor(tid), Some(told));
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
