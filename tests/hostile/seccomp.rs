//! System calls that are refused, in this process and all that it starts.

use std::io;

macro_rules! calls {
    ($($name:ident: $number:ident)*) => { &[$((stringify!($name), libc::$number)),*] };
}

/// All that this crate, the standard library and the C library make here.
const CALLS: &[(&str, i64)] = calls! {
    bind: SYS_bind brk: SYS_brk capset: SYS_capset chdir: SYS_chdir clock_gettime: SYS_clock_gettime clock_nanosleep: SYS_clock_nanosleep clone: SYS_clone
    clone3: SYS_clone3 close: SYS_close close_range: SYS_close_range connect: SYS_connect dup: SYS_dup dup3: SYS_dup3
    epoll_create1: SYS_epoll_create1 epoll_ctl: SYS_epoll_ctl eventfd2: SYS_eventfd2 execve: SYS_execve exit: SYS_exit
    exit_group: SYS_exit_group fchdir: SYS_fchdir fcntl: SYS_fcntl flock: SYS_flock fstat: SYS_fstat
    ftruncate: SYS_ftruncate futex: SYS_futex getcwd: SYS_getcwd getdents64: SYS_getdents64 getegid: SYS_getegid
    geteuid: SYS_geteuid getgid: SYS_getgid getpgid: SYS_getpgid getpid: SYS_getpid getppid: SYS_getppid
    getpriority: SYS_getpriority getrandom: SYS_getrandom getresgid: SYS_getresgid getresuid: SYS_getresuid
    getsockname: SYS_getsockname getsockopt: SYS_getsockopt gettid: SYS_gettid getuid: SYS_getuid ioctl: SYS_ioctl
    kill: SYS_kill lseek: SYS_lseek madvise: SYS_madvise memfd_create: SYS_memfd_create mmap: SYS_mmap
    mprotect: SYS_mprotect mremap: SYS_mremap munmap: SYS_munmap openat: SYS_openat pidfd_open: SYS_pidfd_open
    pidfd_send_signal: SYS_pidfd_send_signal pipe2: SYS_pipe2 ppoll: SYS_ppoll prctl: SYS_prctl pread64: SYS_pread64
    prlimit64: SYS_prlimit64 process_vm_readv: SYS_process_vm_readv pwrite64: SYS_pwrite64 read: SYS_read
    readlinkat: SYS_readlinkat recvfrom: SYS_recvfrom recvmsg: SYS_recvmsg restart_syscall: SYS_restart_syscall
    rseq: SYS_rseq rt_sigaction: SYS_rt_sigaction rt_sigprocmask: SYS_rt_sigprocmask rt_sigreturn: SYS_rt_sigreturn
    sched_getaffinity: SYS_sched_getaffinity sched_setaffinity: SYS_sched_setaffinity sched_yield: SYS_sched_yield
    sendmsg: SYS_sendmsg sendto: SYS_sendto set_robust_list: SYS_set_robust_list
    set_tid_address: SYS_set_tid_address setpgid: SYS_setpgid setpriority: SYS_setpriority setsid: SYS_setsid
    setgroups: SYS_setgroups setresgid: SYS_setresgid setresuid: SYS_setresuid umask: SYS_umask socket: SYS_socket
    setsockopt: SYS_setsockopt shutdown: SYS_shutdown sigaltstack: SYS_sigaltstack socketpair: SYS_socketpair
    statx: SYS_statx tgkill: SYS_tgkill timerfd_create: SYS_timerfd_create timerfd_settime: SYS_timerfd_settime
    waitid: SYS_waitid wait4: SYS_wait4 write: SYS_write writev: SYS_writev
    openat2: SYS_openat2 fstatfs: SYS_fstatfs unshare: SYS_unshare rt_sigpending: SYS_rt_sigpending
    get_robust_list: SYS_get_robust_list epoll_pwait2: SYS_epoll_pwait2 epoll_pwait: SYS_epoll_pwait uname: SYS_uname
};

/// Those that only this machine's table has.
#[cfg(target_arch = "x86_64")]
const OLD: &[(&str, i64)] = calls! {
    access: SYS_access dup2: SYS_dup2 getpgrp: SYS_getpgrp arch_prctl: SYS_arch_prctl epoll_wait: SYS_epoll_wait fork: SYS_fork newfstatat: SYS_newfstatat
    open: SYS_open pipe: SYS_pipe poll: SYS_poll readlink: SYS_readlink stat: SYS_stat vfork: SYS_vfork
};
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[(&str, i64)] = &[];

/// The number of a system call by its name.
pub(crate) fn find(name: &str) -> Option<i64> {
    let mut calls = CALLS.iter().chain(OLD);
    let found = calls.find(|(own, _)| *own == name);
    found.map(|(_, number)| *number)
}

/// Which system calls are refused, and with which error.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refused {
    /// This one.
    One(i64, i32),
    /// All from this one on: what newer kernels have.
    From(i64, i32),
    /// This one, if its argument of this place, from zero on, has one of these bits.
    Bits(i64, u32, u32, i32),
}

fn step(code: u32, yes: u8, no: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k,
    }
}

impl Refused {
    /// Returns the steps of a filter that end with the error, or go on behind.
    fn steps(self) -> Vec<libc::sock_filter> {
        let load = |offset| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
        let jump = |code, number, no| step(libc::BPF_JMP | code | libc::BPF_K, 0, no, number);
        let fail = |errno| {
            let code = libc::SECCOMP_RET_ERRNO | errno as u32;
            step(libc::BPF_RET | libc::BPF_K, 0, 0, code)
        };
        let number = |number: i64| number.try_into().unwrap();
        // A filter is shown the number of the call, and from byte 16 on its arguments, of 8 bytes each.
        match self {
            Self::One(call, errno) => {
                vec![load(0), jump(libc::BPF_JEQ, number(call), 1), fail(errno)]
            }
            Self::From(call, errno) => {
                vec![load(0), jump(libc::BPF_JGE, number(call), 1), fail(errno)]
            }
            Self::Bits(call, place, bits, errno) => vec![
                load(0),
                jump(libc::BPF_JEQ, number(call), 3),
                load(16 + 8 * place + if cfg!(target_endian = "big") { 4 } else { 0 }),
                jump(libc::BPF_JSET, bits, 1),
                fail(errno),
            ],
        }
    }
}

/// Refuses system calls from now on, in all threads, and in processes that are started.
pub(crate) fn refuse(all: &[Refused]) -> io::Result<()> {
    let mut steps: Vec<_> = all.iter().flat_map(|refused| refused.steps()).collect();
    steps.push(step(
        libc::BPF_RET | libc::BPF_K,
        0,
        0,
        libc::SECCOMP_RET_ALLOW,
    ));
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program and its steps live as long as the calls, which only read them.
    let results = unsafe {
        [
            i64::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &raw const program,
            ),
        ]
    };
    match results {
        [0, 0] => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
