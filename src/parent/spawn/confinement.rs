//! What confines the child's process: limits, rights, and a group or a
//! session.
//!
//! All but the group are set by the child itself, which says so in its
//! hello; one that does not say so is refused. The group is made with the
//! process, so that no signal can come in between; the child is told of it, too,
//! since another process may have started it.

use crate::limits::Limits;
use crate::protocol::Hello;
use crate::rights::Rights;

/// Which processes the child shares signals with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Group {
    /// This process and its group.
    #[default]
    Shared,
    /// Only what it starts itself.
    Own,
    /// The same, and it has no terminal.
    Session,
}

/// What is demanded of the child's process. Default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    pub(crate) limits: Limits,
    pub(crate) rights: Rights,
    pub(crate) group: Group,
}

impl Confinement {
    /// Adds them to the hello for the child.
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

    /// Checks that the child has done what only it could.
    pub(crate) fn check(&self, hello: &Hello) -> Result<(), String> {
        let demands = [
            ("limits", self.limits.to_text()),
            ("rights", self.rights.to_text()),
        ];
        for (name, wanted) in demands {
            if hello.text(name) != wanted {
                return Err(format!(
                    "it does not keep the {name} `{wanted}`: it has not heard of them"
                ));
            }
        }
        if self.group == Group::Session && hello.field("group") != Some(b"session") {
            return Err("it has made no session of its own: it has not heard of that".into());
        }
        Ok(())
    }
}
