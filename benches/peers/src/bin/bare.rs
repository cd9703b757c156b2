//! The base of the ratios: frames over a socketpair with nothing above them.
//!
//! Variants: `std`, with default socket buffers; `big`, with larger ones; `shm`, two permanent shared mappings, where the
//! socket only wakes; `zygote`, a child forked by a helper; `spin`, where both sides spin for up to 50 µs before they
//! block; `pool1` and `pool2`, one or two processes, for the workload `pool`; `postcard`, `messagepack`, `cbor`, `json`,
//! with that format for the records.
use peers::{Peer, Record, UNLIMITED, run, sys};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

const SHM: usize = 16 << 20;

struct Bare {
    sock: Option<OwnedFd>,
    pid: i32,
    variant: String,
    out: Vec<u8>,
    buf: Vec<u8>,
    shm: Option<(sys::Map, sys::Map)>,
}

/// The helper that forks on request. It is started once, and runs until this process exits.
static ZYGOTE: std::sync::OnceLock<OwnedFd> = std::sync::OnceLock::new();

fn zygote() -> &'static OwnedFd {
    ZYGOTE.get_or_init(|| {
        let (a, b) = sys::socketpair();
        sys::reexec(&["--zygote"], Some(b.as_raw_fd()));
        a
    })
}

fn zygote_main() -> ! {
    let mut b = [0u8; 1];
    while let Some(fd) = sys::recv_fd(3, &mut b) {
        // CLONE_PARENT: the new process is a child of the process that started this one, so
        // the real parent can wait for it.
        let pid = unsafe {
            libc::syscall(
                libc::SYS_clone,
                libc::CLONE_PARENT | libc::SIGCHLD,
                0,
                0,
                0,
                0,
            )
        };
        assert!(pid >= 0, "clone");
        if pid == 0 {
            unsafe { libc::dup2(fd.as_raw_fd(), 3) };
            drop(fd);
            child("std");
            unsafe { libc::_exit(0) };
        }
        drop(fd);
        sys::write_all(3, &(pid as i32).to_le_bytes());
    }
    unsafe { libc::_exit(0) };
}

/// Frame: 4 bytes length, 4 bytes id, payload.
fn child(variant: &str) {
    match variant {
        "shm" => return child_shm(),
        "spin" => return child_spin(),
        v if v.starts_with("pool") => return child_burn(),
        "std" | "big" => {}
        ser => return child_ser(ser),
    }
    let mut buf = vec![0u8; 64 << 10];
    let mut have = 0;
    loop {
        let n = sys::read_some(3, &mut buf[have..]);
        assert!(n >= 0);
        if n == 0 {
            return;
        }
        have += n as usize;
        let mut at = 0;
        let mut need = 0;
        while have - at >= 8 {
            let len = u32::from_le_bytes(buf[at..at + 4].try_into().unwrap()) as usize;
            if have - at < 8 + len {
                need = 8 + len;
                break;
            }
            at += 8 + len;
        }
        if at > 0 {
            sys::write_all(3, &buf[..at]);
            buf.copy_within(at..have, 0);
            have -= at;
        }
        if need > buf.len() {
            buf.resize(need, 0);
        }
    }
}

fn child_burn() {
    let mut b = [0u8; 8];
    while sys::read_exact(3, &mut b) {
        sys::burn(u64::from_le_bytes(b));
        sys::write_all(3, &b);
    }
}

/// Like `read_exact`, but first spins for up to 50 µs.
fn spin_read(fd: RawFd, b: &mut [u8]) -> bool {
    let t = std::time::Instant::now();
    while t.elapsed().as_micros() < 50 {
        let n = unsafe { libc::recv(fd, b.as_mut_ptr().cast(), b.len(), libc::MSG_DONTWAIT) };
        if n == 0 {
            return false;
        }
        if n > 0 {
            return n as usize == b.len() || sys::read_exact(fd, &mut b[n as usize..]);
        }
    }
    sys::read_exact(fd, b)
}

fn child_spin() {
    let mut b = [0u8; 40];
    while spin_read(3, &mut b) {
        sys::write_all(3, &b);
    }
}

fn child_shm() {
    let mut h = [0u8; 8];
    let a = sys::recv_fd(3, &mut h).unwrap();
    let b = sys::recv_fd(3, &mut h).unwrap();
    let src = sys::Map::shared(&a, SHM, false, true);
    let mut dst = sys::Map::shared(&b, SHM, true, true);
    while sys::read_exact(3, &mut h) {
        let len = u64::from_le_bytes(h) as usize;
        dst.slice_mut()[..len].copy_from_slice(&src.slice()[..len]);
        sys::write_all(3, &h);
    }
}

fn encode(ser: &str, v: &[Record], out: &mut Vec<u8>) {
    match ser {
        "postcard" => {
            let o = std::mem::take(out);
            *out = postcard::to_extend(v, o).unwrap();
        }
        "messagepack" => rmp_serde::encode::write(out, v).unwrap(),
        "cbor" => ciborium::into_writer(v, out).unwrap(),
        "json" => serde_json::to_writer(out, v).unwrap(),
        s => panic!("unknown serialiser {s}"),
    }
}

fn decode(ser: &str, b: &[u8]) -> Vec<Record> {
    match ser {
        "postcard" => postcard::from_bytes(b).unwrap(),
        "messagepack" => rmp_serde::from_slice(b).unwrap(),
        "cbor" => ciborium::from_reader(b).unwrap(),
        "json" => serde_json::from_slice(b).unwrap(),
        s => panic!("unknown serialiser {s}"),
    }
}

fn send_records(fd: RawFd, ser: &str, v: &[Record], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; 8]);
    encode(ser, v, out);
    let len = (out.len() - 8) as u32;
    out[..4].copy_from_slice(&len.to_le_bytes());
    sys::write_all(fd, out);
}

/// Reads a frame into `buf`, usually with one read. Returns `false` at the end of file.
fn recv_frame(fd: RawFd, buf: &mut Vec<u8>) -> bool {
    if buf.len() < 64 << 10 {
        buf.resize(64 << 10, 0);
    }
    let mut have = 0;
    loop {
        let n = sys::read_some(fd, &mut buf[have..]);
        assert!(n >= 0);
        if n == 0 {
            return false;
        }
        have += n as usize;
        if have >= 8 {
            let len = u32::from_le_bytes(buf[..4].try_into().unwrap()) as usize;
            if have == 8 + len {
                buf.truncate(have);
                return true;
            }
        }
    }
}

fn child_ser(ser: &str) {
    let (mut buf, mut out) = (Vec::new(), Vec::new());
    while recv_frame(3, &mut buf) {
        if buf.len() == 40 {
            sys::write_all(3, &buf);
            continue;
        }
        let v = decode(ser, &buf[8..]);
        send_records(3, ser, &v, &mut out);
    }
}

impl Peer for Bare {
    fn start(variant: &str) -> Self {
        let (a, b) = sys::socketpair();
        if variant == "big" {
            sys::set_bufs(a.as_raw_fd(), 8 << 20);
            sys::set_bufs(b.as_raw_fd(), 8 << 20);
        }
        let pid = if variant == "zygote" {
            let z = zygote().as_raw_fd();
            sys::send_fd(z, b"f", b.as_raw_fd());
            let mut p = [0u8; 4];
            assert!(sys::read_exact(z, &mut p));
            i32::from_le_bytes(p)
        } else {
            sys::reexec(&["--child", variant], Some(b.as_raw_fd()))
        };
        drop(b);
        let mut shm = None;
        if variant == "shm" {
            let (x, y) = (sys::memfd(), sys::memfd());
            for f in [&x, &y] {
                assert_eq!(unsafe { libc::ftruncate(f.as_raw_fd(), SHM as _) }, 0);
                sys::send_fd(a.as_raw_fd(), &[0; 8], f.as_raw_fd());
            }
            shm = Some((
                sys::Map::shared(&x, SHM, true, true),
                sys::Map::shared(&y, SHM, false, true),
            ));
        }
        Bare {
            sock: Some(a),
            pid,
            variant: variant.into(),
            out: Vec::new(),
            buf: Vec::new(),
            shm,
        }
    }

    fn pid(&mut self) -> i32 {
        self.pid
    }

    fn rtt(&mut self, payload: &[u8], n: usize) {
        let fd = self.sock.as_ref().unwrap().as_raw_fd();
        if self.buf.len() < payload.len() + 8 {
            self.buf.resize(payload.len() + 8, 0);
        }
        match self.variant.as_str() {
            "shm" => {
                let (tx, rx) = self.shm.as_mut().unwrap();
                for _ in 0..n {
                    tx.slice_mut()[..payload.len()].copy_from_slice(payload);
                    let h = (payload.len() as u64).to_le_bytes();
                    sys::write_all(fd, &h);
                    let mut r = [0u8; 8];
                    assert!(sys::read_exact(fd, &mut r));
                    self.buf[..payload.len()].copy_from_slice(&rx.slice()[..payload.len()]);
                }
            }
            v => {
                let spin = v == "spin";
                for i in 0..n {
                    self.out.clear();
                    self.out
                        .extend_from_slice(&(payload.len() as u32).to_le_bytes());
                    self.out.extend_from_slice(&(i as u32).to_le_bytes());
                    self.out.extend_from_slice(payload);
                    sys::write_all(fd, &self.out);
                    let b = &mut self.buf[..payload.len() + 8];
                    assert!(if spin {
                        spin_read(fd, b)
                    } else {
                        sys::read_exact(fd, b)
                    });
                }
                assert_eq!(&self.buf[8..payload.len() + 8], payload);
                return;
            }
        }
        assert_eq!(&self.buf[..payload.len()], payload);
    }

    fn pipe(&mut self, payload: &[u8], n: usize, window: usize) -> bool {
        let fd = self.sock.as_ref().unwrap().as_raw_fd();
        let size = payload.len() + 8;
        unsafe {
            let fl = libc::fcntl(fd, libc::F_GETFL);
            libc::fcntl(fd, libc::F_SETFL, fl | libc::O_NONBLOCK);
        }
        let (mut sent, mut got) = (0usize, 0usize);
        let mut out: Vec<u8> = Vec::with_capacity(256 << 10);
        let mut at = 0;
        let mut rbuf = vec![0u8; 256 << 10];
        let mut have = 0;
        while got < n {
            // Buffer and write as many calls as the window allows.
            let mut full = false;
            loop {
                if at == out.len() {
                    out.clear();
                    at = 0;
                    while sent < n
                        && (window == UNLIMITED || sent - got < window)
                        && out.len() + size <= 128 << 10
                    {
                        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
                        out.extend_from_slice(&(sent as u32).to_le_bytes());
                        out.extend_from_slice(payload);
                        sent += 1;
                    }
                    if out.is_empty() {
                        break;
                    }
                }
                let w = unsafe { libc::write(fd, out[at..].as_ptr().cast(), out.len() - at) };
                if w < 0 {
                    full = true;
                    break;
                }
                at += w as usize;
            }
            let r = sys::read_some(fd, &mut rbuf[have..]);
            if r < 0 {
                let mut p = libc::pollfd {
                    fd,
                    events: libc::POLLIN | if full { libc::POLLOUT } else { 0 },
                    revents: 0,
                };
                unsafe { libc::poll(&mut p, 1, -1) };
                continue;
            }
            assert!(r > 0);
            have += r as usize;
            let mut p = 0;
            while have - p >= size {
                let len = u32::from_le_bytes(rbuf[p..p + 4].try_into().unwrap()) as usize;
                let id = u32::from_le_bytes(rbuf[p + 4..p + 8].try_into().unwrap()) as usize;
                assert!(len == payload.len() && id == got);
                p += size;
                got += 1;
            }
            rbuf.copy_within(p..have, 0);
            have -= p;
        }
        unsafe {
            let fl = libc::fcntl(fd, libc::F_GETFL);
            libc::fcntl(fd, libc::F_SETFL, fl & !libc::O_NONBLOCK);
        }
        true
    }

    /// Runs a thread for each process, which keeps two jobs in flight.
    fn burn(&mut self, n: usize, us: u64) -> bool {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let procs: usize = self.variant.trim_start_matches("pool").parse().unwrap_or(0);
        let next = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for i in 0..procs {
                let next = &next;
                let own = if i == 0 {
                    None
                } else {
                    Some(Bare::start(&self.variant))
                };
                let sock = self.sock.as_ref().unwrap().as_raw_fd();
                s.spawn(move || {
                    let fd = own
                        .as_ref()
                        .map_or(sock, |o| o.sock.as_ref().unwrap().as_raw_fd());
                    let mut b = us.to_le_bytes();
                    let mut open = 0;
                    loop {
                        if next.fetch_add(1, Ordering::Relaxed) < n {
                            sys::write_all(fd, &b);
                            open += 1;
                        } else if open == 0 {
                            break;
                        }
                        if open == 2 || next.load(Ordering::Relaxed) >= n && open > 0 {
                            assert!(sys::read_exact(fd, &mut b));
                            open -= 1;
                        }
                    }
                    if let Some(o) = own {
                        o.stop();
                    }
                });
            }
        });
        procs > 0
    }

    fn records(&mut self, recs: &[Record], n: usize) -> bool {
        let fd = self.sock.as_ref().unwrap().as_raw_fd();
        let mut last = Vec::new();
        for _ in 0..n {
            send_records(fd, &self.variant, recs, &mut self.out);
            assert!(recv_frame(fd, &mut self.buf));
            last = decode(&self.variant, &self.buf[8..]);
        }
        assert!(peers::same(&last, recs));
        true
    }

    fn stop(mut self) {
        drop(self.sock.take());
        sys::reap(self.pid);
    }
}

fn main() {
    let mut a = std::env::args().skip(1);
    match a.next().as_deref() {
        Some("--child") => child(&a.next().unwrap()),
        Some("--zygote") => zygote_main(),
        _ => run::<Bare>(),
    }
}
