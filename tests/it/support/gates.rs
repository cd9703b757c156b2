//! Temporary directories, gates that a child waits at, and files that it appends lines to.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{mkdtemp, mkfifo};

/// A directory that is removed when it is dropped.
pub(crate) struct Temp(PathBuf);

impl Temp {
    pub(crate) fn new() -> Self {
        // A run that was killed may have left directories with other names.
        Self(mkdtemp(&std::env::temp_dir().join("offspring-it-XXXXXX")).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Returns the lines of a file. Empty if the file does not exist.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Returns a gate that a child can wait at.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let path = self.0.join(name);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        Gate { path, _temp: None }
    }

    pub(crate) fn with_gate() -> (Self, Gate) {
        let temp = Self::new();
        let gate = temp.gate("gate");
        (temp, gate)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A named pipe that the child waits at. The test can tell that it does.
pub(crate) struct Gate {
    path: PathBuf,
    _temp: Option<Temp>,
}

impl Gate {
    /// Returns a gate in a directory that is removed with it.
    pub(crate) fn new() -> Self {
        let (temp, gate) = Temp::with_gate();
        Self {
            _temp: Some(temp),
            ..gate
        }
    }

    pub(crate) fn name(&self) -> String {
        self.path.to_str().unwrap().to_owned()
    }

    /// Opens the gate for the worker that waits.
    pub(crate) fn open(&self) {
        let mut options = File::options();
        // Opening fails while no worker waits.
        drop(
            options
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&self.path),
        );
    }

    /// Waits until a child waits here. The child continues when the result is dropped.
    pub(crate) fn reached(&self) -> File {
        File::options().write(true).open(&self.path).unwrap()
    }
}

/// In the child: waits until the gate is opened or the parent has exited.
pub(crate) fn wait_here_at(gate: impl AsRef<Path>) {
    let own = std::os::unix::process::parent_id();
    let fifo = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(gate)
        .unwrap();
    // Before the first writer nothing is reported; after the last a hang-up.
    let mut ready = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
    while !matches!(poll(&mut ready, PollTimeout::from(100_u16)), Ok(1)) {
        if std::os::unix::process::parent_id() != own {
            std::process::exit(9);
        }
    }
}

/// In the child: waits until the gate is opened, also without a parent.
pub(crate) fn wait_at(gate: impl AsRef<Path>) {
    let mut pipe = File::open(gate).unwrap();
    let _ = pipe.read(&mut [0]);
}

/// In the child: appends a line, as a side effect that the test can count.
pub(crate) fn append(path: impl AsRef<Path>, line: &str) {
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
