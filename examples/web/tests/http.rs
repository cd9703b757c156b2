//! The service as its clients see it, over HTTP on a port that the kernel chooses.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use image::{DynamicImage, GrayImage, ImageFormat};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running service. Killed when dropped.
struct Service {
    process: Child,
    address: SocketAddr,
}

impl Service {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_web"));
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        if !arguments.contains(&"--deadline") {
            command.args(["--deadline", "300000"]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = process.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").expect("its address");
        let address = address.parse().unwrap();
        Self { process, address }
    }

    /// A connection that has sent a request.
    fn send(&self, method: &str, path: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // The service may answer before it has read all.
        let _ = stream.write_all(body);
        stream
    }

    fn upload(&self, picture: &[u8]) -> (u16, Vec<u8>) {
        receive(self.send("POST", "/thumbnail", picture)).unwrap()
    }

    /// Uploads in another thread.
    fn begin(&self, picture: &[u8]) -> JoinHandle<io::Result<(u16, Vec<u8>)>> {
        let stream = self.send("POST", "/thumbnail", picture);
        spawn(move || receive(stream))
    }

    /// One number of `/metrics`.
    fn metric(&self, name: &str) -> u64 {
        let (status, body) = receive(self.send("GET", "/metrics", b"")).unwrap();
        assert_eq!(status, 200);
        let text = String::from_utf8(body).unwrap();
        let mut lines = text.lines();
        let found = lines.find_map(|line| line.strip_prefix(&format!("thumbnail_{name} ")));
        found.expect(&text).parse().unwrap()
    }

    fn until_metric(&self, name: &str, number: u64) {
        until(name, || self.metric(name) == number);
    }

    /// The processes that the service has started and not reaped.
    fn children(&self) -> Vec<Pid> {
        let own = self.process.id().to_string();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_child = |pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut rest = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            rest.nth(1) == Some(own.as_str())
        };
        numbers.filter(is_child).map(Pid::from_raw).collect()
    }

    /// Stops its only child, which then answers nothing until it is killed or continued.
    fn freeze(&self) -> Pid {
        let [child] = self.children()[..] else {
            panic!("one child")
        };
        kill(child, Signal::SIGSTOP).unwrap();
        child
    }

    /// Uploads a large picture to the only child, and stops the child while it decodes.
    fn freeze_in_a_call(&self, large: &[u8]) -> (TcpStream, Pid) {
        let child = self.children()[0];
        let before = cpu_time(child);
        let upload = self.send("POST", "/thumbnail", large);
        until("work", || cpu_time(child) > before + 1);
        (upload, self.freeze())
    }

    fn terminate(mut self) -> ExitStatus {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM).unwrap();
        self.process.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let children = self.children();
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Those that are stopped do not notice.
        for child in children {
            let _ = kill(child, Signal::SIGKILL);
        }
    }
}

/// The CPU time that a process has used, in ticks.
fn cpu_time(pid: Pid) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

/// Waits until something is true, or fails after a minute.
fn until(what: &str, is_true: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads the whole answer: its status, its body.
fn receive(stream: TcpStream) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head += &line.to_lowercase();
    }
    let number = |text: &str| text.trim().parse().expect("a number");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let length = lines.find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; number(length.expect("a length"))];
    stream.read_exact(&mut body)?;
    Ok((number(status.expect("a status")) as u16, body))
}

/// A picture in one colour.
fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let pixels = GrayImage::from_pixel(width, height, image::Luma([77]));
    let mut bytes = io::Cursor::new(Vec::new());
    let picture = DynamicImage::ImageLuma8(pixels);
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The start of a PNG picture that claims 6 GiB of pixels.
fn bomb() -> Vec<u8> {
    let mut bytes = picture(1, 1, ImageFormat::Png);
    bytes[16..24].copy_from_slice(&[0, 0, 0x9c, 0x40, 0, 0, 0x9c, 0x40]);
    // Eight bits of red, green, blue and alpha.
    bytes[24..26].copy_from_slice(&[8, 6]);
    let sum = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn pictures_become_small() {
    let service = Service::start(&[]);
    for (format, width, height, side) in [
        (ImageFormat::Png, 640, 480, (128, 96)),
        (ImageFormat::Jpeg, 480, 640, (96, 128)),
    ] {
        let (status, body) = service.upload(&picture(width, height, format));
        assert_eq!(status, 200);
        let small = image::load_from_memory_with_format(&body, ImageFormat::Png).unwrap();
        assert_eq!((small.width(), small.height()), side);
        assert!(
            small
                .to_luma8()
                .pixels()
                .all(|pixel| pixel.0[0].abs_diff(77) < 3)
        );
    }
    assert_eq!(service.metric("calls_answered_total"), 2);
    assert!(service.terminate().success());
}

/// The answer for a picture that cannot be decoded. Its text would tell of the inside of the service.
fn refused() -> (u16, Vec<u8>) {
    (422, Vec::new())
}

#[test]
fn what_is_no_picture_is_refused() {
    let service = Service::start(&[]);
    let whole = picture(64, 64, ImageFormat::Png);
    for upload in [&b"no picture at all"[..], b"", &whole[..whole.len() / 2]] {
        assert_eq!(service.upload(upload), refused());
    }
    assert_eq!(service.upload(&vec![0; (32 << 20) + 1]).0, 413);
    assert_eq!(service.metric("children_died_total"), 0);
    assert!(service.terminate().success());
}

#[test]
fn a_picture_that_crashes_its_child_fails_its_sender_alone() {
    let service = Service::start(&["--children", "2"]);
    let good = picture(640, 480, ImageFormat::Png);
    let bombs: Vec<_> = (0..3).map(|_| service.begin(&bomb())).collect();
    let good: Vec<_> = (0..3).map(|_| service.begin(&good)).collect();
    for bomb in bombs {
        assert_eq!(bomb.join().unwrap().unwrap(), refused());
    }
    for good in good {
        assert_eq!(good.join().unwrap().unwrap().0, 200);
    }
    assert_eq!(service.metric("children_died_total"), 3);
    assert!(service.terminate().success());
}

#[test]
fn a_full_service_says_so_and_a_client_that_leaves_makes_room() {
    let large = picture(3000, 3000, ImageFormat::Png);
    let service = Service::start(&["--children", "1", "--queue", "1"]);
    let small = picture(2, 2, ImageFormat::Png);
    assert_eq!(service.upload(&small).0, 200);
    let (first, child) = service.freeze_in_a_call(&large);
    let second = service.begin(&small);
    service.until_metric("calls{state=\"queued\"}", 1);
    assert_eq!(service.upload(&small).0, 503);
    // The connection is closed, the child killed, and another has the next picture.
    drop(first);
    assert_eq!(second.join().unwrap().unwrap().0, 200);
    assert!(!service.children().contains(&child));
    assert!(service.terminate().success());
}

#[test]
fn the_deadline_stops_the_work() {
    let large = picture(3000, 3000, ImageFormat::Png);
    let service = Service::start(&["--children", "1", "--deadline", "8000"]);
    let small = picture(2, 2, ImageFormat::Png);
    assert_eq!(service.upload(&small).0, 200);
    let (upload, child) = service.freeze_in_a_call(&large);
    assert_eq!(receive(upload).unwrap().0, 504);
    until("its end", || !service.children().contains(&child));
    assert_eq!(service.upload(&small).0, 200);
    assert!(service.terminate().success());
}

#[test]
fn at_the_end_requests_are_answered() {
    let service = Service::start(&["--children", "1"]);
    let small = picture(2, 2, ImageFormat::Png);
    assert_eq!(service.upload(&small).0, 200);
    let child = service.freeze();
    let last = service.begin(&small);
    service.until_metric("calls{state=\"running\"}", 1);
    let own = Pid::from_raw(service.process.id() as i32);
    kill(own, Signal::SIGTERM).unwrap();
    // It listens no more once the signal has arrived.
    until("no listener", || {
        TcpStream::connect(service.address).is_err()
    });
    kill(child, Signal::SIGCONT).unwrap();
    assert_eq!(last.join().unwrap().unwrap().0, 200);
    let mut service = service;
    assert!(service.process.wait().unwrap().success());
}
