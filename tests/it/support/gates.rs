//! Folders of a test, gates for a child to wait at, and lines that it writes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{mkdtemp, mkfifo};

/// A directory that goes with its owner.
pub(crate) struct Temp(PathBuf);

impl Temp {
    pub(crate) fn new() -> Self {
        // A run that was killed may have left one of any other name.
        Self(mkdtemp(&std::env::temp_dir().join("offspring-it-XXXXXX")).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The lines of a file; none if there is no file.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A gate for a child to wait at.
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

/// A named pipe: the child waits at it, the test knows that it does.
pub(crate) struct Gate {
    path: PathBuf,
    _temp: Option<Temp>,
}

impl Gate {
    /// In a directory that goes with it.
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

    /// Lets the worker that waits here go on.
    pub(crate) fn open(&self) {
        let mut options = File::options();
        // With none that waits it cannot be opened.
        drop(
            options
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&self.path),
        );
    }

    /// Returns once a child waits here; it goes on when the result is dropped.
    pub(crate) fn reached(&self) -> File {
        File::options().write(true).open(&self.path).unwrap()
    }
}

/// In the child: waits until the gate is opened, or the parent is gone.
pub(crate) fn wait_here_at(gate: impl AsRef<Path>) {
    let own = std::os::unix::process::parent_id();
    let fifo = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(gate)
        .unwrap();
    // With no writer yet there is nothing; after the last there is a hang-up.
    let mut ready = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
    while !matches!(poll(&mut ready, PollTimeout::from(100_u16)), Ok(1)) {
        if std::os::unix::process::parent_id() != own {
            std::process::exit(9);
        }
    }
}

/// In the child: waits until the gate is opened, whatever becomes of the parent.
pub(crate) fn wait_at(gate: impl AsRef<Path>) {
    let mut pipe = File::open(gate).unwrap();
    let _ = pipe.read(&mut [0]);
}

/// In the child: a side effect that can be counted.
pub(crate) fn append(path: impl AsRef<Path>, line: &str) {
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
