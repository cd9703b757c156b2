//! The confinement of a child's process: limits, rights, and a process group or a session.
//!
//! The child itself applies everything except the group, and confirms it in its hello. A child that does not confirm it is
//! refused. The group is created with the process, so that no signal arrives in between. The hello to the child names it,
//! too, because another process may have started the child.

use crate::limits::Limits;
use crate::protocol::Hello;
use crate::rights::Rights;

/// The process group of the child, which decides about its signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Group {
    /// The process group of this process.
    #[default]
    Shared,
    /// A new process group.
    Own,
    /// A new session, and so a new process group and no terminal.
    Session,
}

/// The limits, rights and group of a child's process. Default: none, and the group of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    pub(crate) limits: Limits,
    pub(crate) rights: Rights,
    pub(crate) group: Group,
}

impl Confinement {
    /// Adds the confinement to the hello for the child.
    pub(crate) fn add_to(&self, mut hello: Hello) -> Hello {
        if self.limits != Limits::new() {
            hello = hello.with("limits", self.limits.to_text());
        }
        if self.rights != Rights::new() {
            hello = hello.with("rights", self.rights.to_text());
        }
        match self.group {
            Group::Shared => hello,
            Group::Own => hello.with("group", "own"),
            Group::Session => hello.with("group", "session"),
        }
    }

    /// Checks that the child's hello confirms what the child had to apply.
    pub(crate) fn check(&self, hello: &Hello) -> Result<(), String> {
        let demands = [
            ("limits", self.limits.to_text()),
            ("rights", self.rights.to_text()),
        ];
        for (name, wanted) in demands {
            if hello.text(name) != wanted {
                return Err(format!(
                    "it does not keep the {name} `{wanted}`: it does not know them"
                ));
            }
        }
        if self.group == Group::Session && hello.field("group") != Some(b"session") {
            return Err("it has made no separate session: it does not know the option".into());
        }
        Ok(())
    }
}
