//! System calls: socketpair, starting this binary again, CPU clocks, smaps.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

unsafe extern "C" {
    static environ: *const *mut libc::c_char;
}

pub fn socketpair() -> (OwnedFd, OwnedFd) {
    let mut sv = [0; 2];
    let r = unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            0,
            sv.as_mut_ptr(),
        )
    };
    assert_eq!(r, 0, "socketpair");
    unsafe { (OwnedFd::from_raw_fd(sv[0]), OwnedFd::from_raw_fd(sv[1])) }
}

/// Starts this binary with `posix_spawn` and `args`, with `fd` as its descriptor 3.
pub fn reexec(args: &[&str], fd: Option<RawFd>) -> i32 {
    let argv: Vec<CString> = std::iter::once("peer")
        .chain(args.iter().copied())
        .map(|s| CString::new(s).unwrap())
        .collect();
    let mut ptrs: Vec<*mut libc::c_char> = argv.iter().map(|s| s.as_ptr() as *mut _).collect();
    ptrs.push(std::ptr::null_mut());
    unsafe {
        let mut fa: libc::posix_spawn_file_actions_t = std::mem::zeroed();
        libc::posix_spawn_file_actions_init(&mut fa);
        if let Some(fd) = fd {
            libc::posix_spawn_file_actions_adddup2(&mut fa, fd, 3);
        }
        let mut pid = 0;
        let r = libc::posix_spawn(
            &mut pid,
            c"/proc/self/exe".as_ptr(),
            &fa,
            std::ptr::null(),
            ptrs.as_ptr(),
            environ,
        );
        libc::posix_spawn_file_actions_destroy(&mut fa);
        assert_eq!(r, 0, "posix_spawn");
        pid
    }
}

pub fn reap(pid: i32) {
    let mut st = 0;
    let r = unsafe { libc::waitpid(pid, &mut st, 0) };
    assert_eq!(r, pid, "waitpid");
    assert!(
        libc::WIFEXITED(st) && libc::WEXITSTATUS(st) == 0,
        "child ended with status {st}"
    );
}

pub fn write_all(fd: RawFd, mut b: &[u8]) {
    while !b.is_empty() {
        let n = unsafe { libc::write(fd, b.as_ptr().cast(), b.len()) };
        assert!(n > 0, "write: {}", std::io::Error::last_os_error());
        b = &b[n as usize..];
    }
}

/// Reads exactly `b.len()` bytes. Returns `false` if the end of file comes before the first byte.
pub fn read_exact(fd: RawFd, b: &mut [u8]) -> bool {
    let mut got = 0;
    while got < b.len() {
        let n = unsafe { libc::read(fd, b[got..].as_mut_ptr().cast(), b.len() - got) };
        assert!(n >= 0, "read: {}", std::io::Error::last_os_error());
        if n == 0 {
            assert_eq!(got, 0, "end of file inside a frame");
            return false;
        }
        got += n as usize;
    }
    true
}

pub fn read_some(fd: RawFd, b: &mut [u8]) -> isize {
    unsafe { libc::read(fd, b.as_mut_ptr().cast(), b.len()) }
}

pub fn set_bufs(fd: RawFd, bytes: i32) {
    for opt in [libc::SO_SNDBUF, libc::SO_RCVBUF] {
        unsafe {
            libc::setsockopt(fd, libc::SOL_SOCKET, opt, (&raw const bytes).cast(), 4);
        }
    }
}

/// Sends `bytes` and the descriptor `fd`.
pub fn send_fd(sock: RawFd, bytes: &[u8], fd: RawFd) {
    unsafe {
        let mut iov = libc::iovec {
            iov_base: bytes.as_ptr() as *mut _,
            iov_len: bytes.len(),
        };
        let mut ctl = [0u64; 4];
        let mut m: libc::msghdr = std::mem::zeroed();
        m.msg_iov = &mut iov;
        m.msg_iovlen = 1;
        m.msg_control = ctl.as_mut_ptr().cast();
        m.msg_controllen = libc::CMSG_SPACE(4) as _;
        let c = libc::CMSG_FIRSTHDR(&m);
        (*c).cmsg_level = libc::SOL_SOCKET;
        (*c).cmsg_type = libc::SCM_RIGHTS;
        (*c).cmsg_len = libc::CMSG_LEN(4) as _;
        std::ptr::write_unaligned(libc::CMSG_DATA(c).cast::<i32>(), fd);
        let n = libc::sendmsg(sock, &m, libc::MSG_NOSIGNAL);
        assert_eq!(n as usize, bytes.len(), "sendmsg");
    }
}

/// Receives exactly `bytes.len()` bytes sent by `send_fd`, and the descriptor.
pub fn recv_fd(sock: RawFd, bytes: &mut [u8]) -> Option<OwnedFd> {
    unsafe {
        let mut iov = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let mut ctl = [0u64; 4];
        let mut m: libc::msghdr = std::mem::zeroed();
        m.msg_iov = &mut iov;
        m.msg_iovlen = 1;
        m.msg_control = ctl.as_mut_ptr().cast();
        m.msg_controllen = std::mem::size_of_val(&ctl) as _;
        let n = libc::recvmsg(sock, &mut m, libc::MSG_CMSG_CLOEXEC);
        if n == 0 {
            return None;
        }
        assert_eq!(n as usize, bytes.len(), "recvmsg");
        let c = libc::CMSG_FIRSTHDR(&m);
        assert!(!c.is_null(), "no descriptor came");
        let fd = std::ptr::read_unaligned(libc::CMSG_DATA(c).cast::<i32>());
        Some(OwnedFd::from_raw_fd(fd))
    }
}

pub fn memfd() -> OwnedFd {
    let fd = unsafe { libc::memfd_create(c"bench".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "memfd_create");
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A mapping that is unmapped on drop.
pub struct Map(pub *mut u8, pub usize);
unsafe impl Send for Map {}
impl Map {
    pub fn shared(fd: &OwnedFd, len: usize, write: bool, populate: bool) -> Map {
        let mut prot = libc::PROT_READ;
        if write {
            prot |= libc::PROT_WRITE;
        }
        let mut flags = libc::MAP_SHARED;
        if populate {
            flags |= libc::MAP_POPULATE;
        }
        let p = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd.as_raw_fd(), 0) };
        assert_ne!(p, libc::MAP_FAILED, "mmap");
        Map(p.cast(), len)
    }
    pub fn slice(&self) -> &[u8] {
        unsafe { std::slice::from_raw_parts(self.0, self.1) }
    }
    pub fn slice_mut(&mut self) -> &mut [u8] {
        unsafe { std::slice::from_raw_parts_mut(self.0, self.1) }
    }
}
impl Drop for Map {
    fn drop(&mut self) {
        unsafe { libc::munmap(self.0.cast(), self.1) };
    }
}

fn clock_us(id: libc::clockid_t) -> f64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if unsafe { libc::clock_gettime(id, &mut ts) } != 0 {
        return f64::NAN;
    }
    ts.tv_sec as f64 * 1e6 + ts.tv_nsec as f64 / 1e3
}

pub fn cpu_self_us() -> f64 {
    clock_us(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Burns CPU time on this thread.
pub fn burn(us: u64) {
    let end = clock_us(libc::CLOCK_THREAD_CPUTIME_ID) + us as f64;
    while clock_us(libc::CLOCK_THREAD_CPUTIME_ID) < end {}
}

/// CPU time of another process in µs: user and system, all threads.
pub fn cpu_of_us(pid: i32) -> f64 {
    clock_us((!pid << 3) | 2)
}

fn field(text: &str, key: &str) -> f64 {
    text.lines()
        .find_map(|l| l.strip_prefix(key))
        .and_then(|v| v.split_whitespace().next())
        .and_then(|v| v.parse().ok())
        .unwrap_or(f64::NAN)
}

pub fn smaps(pid: i32) -> (f64, f64, f64) {
    let t = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    (
        field(&t, "Rss:"),
        field(&t, "Pss:"),
        field(&t, "Private_Dirty:"),
    )
}

pub fn peak_rss(pid: i32) -> f64 {
    let t = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    field(&t, "VmHWM:")
}

pub fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, |d| d.count())
}

/// Process ids of this process's children.
pub fn children() -> Vec<i32> {
    let me = std::process::id();
    let mut v = Vec::new();
    for t in fs::read_dir(format!("/proc/{me}/task")).unwrap().flatten() {
        if let Ok(s) = fs::read_to_string(t.path().join("children")) {
            v.extend(s.split_whitespace().filter_map(|p| p.parse::<i32>().ok()));
        }
    }
    v
}

/// Pins this thread, and processes that it starts, to one CPU until dropped.
pub struct Pinned(libc::cpu_set_t);

impl Pinned {
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        unsafe {
            let size = std::mem::size_of::<libc::cpu_set_t>();
            let mut before: libc::cpu_set_t = std::mem::zeroed();
            assert_eq!(
                libc::sched_getaffinity(0, size, &mut before),
                0,
                "sched_getaffinity"
            );
            let first = (0..libc::CPU_SETSIZE as usize).find(|cpu| libc::CPU_ISSET(*cpu, &before));
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(first.expect("a CPU"), &mut one);
            assert_eq!(
                libc::sched_setaffinity(0, size, &one),
                0,
                "sched_setaffinity"
            );
            Self(before)
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        unsafe { libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &self.0) };
    }
}
