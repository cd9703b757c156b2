//! What a child's surroundings differ in: environment, directory, output.
//!
//! They are kept as values, since there are two ways to make them so: by the
//! command that is started, or, where a template forks, by the child itself,
//! which is told in its hello and sent the descriptors along.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use crate::startup::{Lent, MARKER, VARIABLE};
use crate::sys::{self, Link};

/// One change; those that come later win.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Set(OsString, OsString),
    Remove(OsString),
    /// No variable is left.
    Clear,
    Directory(PathBuf),
}

impl Change {
    pub(crate) fn set(name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        Self::Set(name.as_ref().to_owned(), value.as_ref().to_owned())
    }

    /// Makes a command do it.
    pub(crate) fn apply(&self, command: &mut Command) {
        match self {
            Self::Set(name, value) => command.env(name, value),
            Self::Remove(name) => command.env_remove(name),
            Self::Clear => command.env_clear(),
            Self::Directory(path) => command.current_dir(path),
        };
    }

    /// The words for a child that does it by itself.
    fn to_octets(&self) -> io::Result<Option<Vec<u8>>> {
        let octets = match self {
            Self::Set(name, value) => {
                let parts: [&[u8]; 4] = [b"+", name.as_bytes(), b"=", value.as_bytes()];
                parts.concat()
            }
            Self::Remove(name) => [b"-", name.as_bytes()].concat(),
            Self::Clear => b"*".to_vec(),
            Self::Directory(_) => return Ok(None),
        };
        let possible = match self {
            Self::Set(name, _) | Self::Remove(name) => {
                !name.is_empty() && !name.as_bytes().contains(&b'=')
            }
            _ => true,
        };
        if possible && !octets.contains(&0) {
            return Ok(Some(octets));
        }
        let text = "a variable's name is empty or has a `=` in it, or there is a zero octet";
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

/// The changes of the environment as one string: see `docs/protocol.md`.
pub(crate) fn environment(changes: &[Change]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    for change in changes {
        all.extend(change.to_octets()?);
    }
    Ok(all.join(&0))
}

/// The directory that was chosen last.
pub(crate) fn directory(changes: &[Change]) -> io::Result<Option<OwnedFd>> {
    let mut paths = changes.iter().rev().filter_map(|change| match change {
        Change::Directory(path) => Some(path),
        _ => None,
    });
    let open = |path: &PathBuf| {
        sys::open_directory(path).map_err(|error| sys::directory_error(path, &error))
    };
    paths.next().map(open).transpose()
}

/// Where a child's output goes.
#[derive(Debug)]
pub(crate) enum Outlet {
    Descriptor(OwnedFd),
    /// One that cannot be looked into.
    Given(Stdio),
}

impl Outlet {
    /// What the standard library takes, with the descriptor if it is one.
    pub(crate) fn new<T: Into<Stdio> + 'static>(given: T) -> Self {
        let mut given = Some(given);
        match descriptor(&mut given) {
            Some(descriptor) => Self::Descriptor(descriptor),
            None => Self::Given(given.map_or_else(Stdio::inherit, Into::into)),
        }
    }
}

impl Outlet {
    /// The descriptor. Where there is none to be seen, this program is started
    /// once more, with that as its stream, only to send it back.
    ///
    /// # Blocking
    /// In the latter case, until that process has ended.
    pub(crate) fn resolve(self, lent: Lent) -> io::Result<OwnedFd> {
        let stdio = match self {
            Self::Descriptor(descriptor) => return Ok(descriptor),
            Self::Given(stdio) => stdio,
        };
        let (link, theirs) = Link::pair()?;
        let mut command = sys::own_program();
        command.args([MARKER, lent.argument()]).stdin(theirs);
        command.env(VARIABLE, std::process::id().to_string());
        match lent {
            Lent::Stdout => command.stdout(stdio),
            Lent::Stderr => command.stderr(stdio),
        };
        let mut process = sys::above_streams(|| command.spawn())?;
        // What it held is the other end.
        drop(command);
        let mut arrival = None;
        let received = link.recv(&mut Vec::new(), 1, &mut arrival);
        // Somebody else may have reaped it.
        let _ = process.wait();
        received?;
        let descriptor = arrival.and_then(|mut arrival| arrival.descriptors.pop());
        descriptor.ok_or_else(|| {
            io::Error::other("a stream could not be had from a process that was given it")
        })
    }
}

impl From<Outlet> for Stdio {
    fn from(outlet: Outlet) -> Self {
        match outlet {
            Outlet::Descriptor(descriptor) => descriptor.into(),
            Outlet::Given(stdio) => stdio,
        }
    }
}

/// Takes the descriptor out of an option of what has one.
fn descriptor(given: &mut dyn Any) -> Option<OwnedFd> {
    fn of<T: Into<OwnedFd> + 'static>(given: &mut dyn Any) -> Option<OwnedFd> {
        given.downcast_mut::<Option<T>>()?.take().map(Into::into)
    }
    of::<OwnedFd>(given)
        .or_else(|| of::<File>(given))
        .or_else(|| of::<PipeWriter>(given))
        .or_else(|| of::<PipeReader>(given))
        .or_else(|| of::<ChildStdin>(given))
        .or_else(|| of::<ChildStdout>(given))
        .or_else(|| of::<ChildStderr>(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_found_in_what_has_one() {
        let (read, write) = io::pipe().unwrap();
        assert!(matches!(Outlet::new(read), Outlet::Descriptor(_)));
        assert!(matches!(Outlet::new(write), Outlet::Descriptor(_)));
        let file = File::open("/dev/null").unwrap();
        assert!(matches!(Outlet::new(file), Outlet::Descriptor(_)));
        assert!(matches!(Outlet::new(Stdio::null()), Outlet::Given(_)));
    }

    #[test]
    fn what_no_environment_can_hold_is_refused() {
        let octets = |change: Change| environment(&[change]);
        assert_eq!(octets(Change::set("A", "b=c")).unwrap(), b"+A=b=c");
        assert!(octets(Change::set("", "b")).is_err());
        assert!(octets(Change::set("A=", "b")).is_err());
        assert!(octets(Change::set("A", "b\0")).is_err());
        assert!(octets(Change::Remove("A\0".into())).is_err());
        let all = [Change::Clear, Change::Remove("A".into())];
        assert_eq!(environment(&all).unwrap(), b"*\0-A");
    }
}
