//! The changes to a child's environment variables and working directory.
//!
//! They are kept as values, because there are two ways to apply them. A command that is started applies them itself. The
//! fork of a template applies what its hello says, and receives the open directory with it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::failed;
use crate::error::Error;
use crate::sys;

/// The changes. Changes of variables are applied in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Environment {
    variables: Vec<Change>,
    directory: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
enum Change {
    Set(OsString, OsString),
    Remove(OsString),
    /// Remove all variables.
    Clear,
}

impl Environment {
    pub(crate) fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.variables.push(Change::Set(name, value));
    }

    pub(crate) fn remove(&mut self, name: impl AsRef<OsStr>) {
        let name = name.as_ref().to_owned();
        self.variables.push(Change::Remove(name));
    }

    pub(crate) fn clear(&mut self) {
        self.variables.push(Change::Clear);
    }

    pub(crate) fn enter(&mut self, directory: impl AsRef<Path>) {
        self.directory = Some(directory.as_ref().to_owned());
    }

    /// Applies the changes to a command.
    pub(crate) fn apply(&self, command: &mut Command) {
        for change in &self.variables {
            match change {
                Change::Set(name, value) => command.env(name, value),
                Change::Remove(name) => command.env_remove(name),
                Change::Clear => command.env_clear(),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
    }

    /// Encodes the changes of variables for the hello of a child that applies them itself: see `docs/protocol.md`.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut words = Vec::new();
        for change in &self.variables {
            let (name, word) = match change {
                Change::Set(name, value) => {
                    let parts: [&[u8]; 4] = [b"+", name.as_bytes(), b"=", value.as_bytes()];
                    (name.as_bytes(), parts.concat())
                }
                Change::Remove(name) => (name.as_bytes(), [b"-", name.as_bytes()].concat()),
                Change::Clear => (&b"*"[..], b"*".to_vec()),
            };
            if name.is_empty() || name.contains(&b'=') || word.contains(&0) {
                let text = "the name of a variable of its environment is empty or has a `=` in it, or there is a zero byte";
                return Err(Error::start(text).permanent());
            }
            words.push(word);
        }
        Ok(words.join(&0))
    }

    /// Opens the directory for a child that enters it itself.
    pub(crate) fn open_directory(&self) -> Result<Option<OwnedFd>, Error> {
        let open = |path: &PathBuf| {
            sys::open_directory(path)
                .map_err(|error| failed(sys::cannot_enter_directory(path), error))
        };
        self.directory.as_ref().map(open).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_environment_can_hold_is_refused() {
        let bytes = |change: &dyn Fn(&mut Environment)| {
            let mut environment = Environment::default();
            change(&mut environment);
            environment.to_bytes()
        };
        assert_eq!(bytes(&|all| all.set("A", "b=c")).unwrap(), b"+A=b=c");
        assert!(bytes(&|all| all.set("", "b")).is_err());
        assert!(bytes(&|all| all.set("A=", "b")).is_err());
        assert!(bytes(&|all| all.set("A", "b\0")).is_err());
        assert!(bytes(&|all| all.remove("A\0")).is_err());
        let both = |all: &mut Environment| {
            all.clear();
            all.remove("A");
        };
        assert_eq!(bytes(&both).unwrap(), b"*\0-A");
    }
}
