//! What a child may do on the machine: whose process it is.
//!
//! Like limits, rights travel in the parent's hello, and the child takes them itself before it answers. So names of
//! users are looked up on the machine of the worker, and nothing has to run between `fork` and `exec`.

use std::io;

use crate::sys;

/// Whose process a child is, and what it can gain; for [`Builder::rights`](crate::Builder::rights).
///
/// What is not set stays as it is. Users and groups are names, or numbers in decimal, of the machine on which the
/// worker runs. To change them, the child has to start as root, or with `CAP_SETUID` and `CAP_SETGID`.
///
/// ```
/// # fn umask() -> String {
/// #     let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
/// #     status.lines().find_map(|line| line.strip_prefix("Umask:\t")).unwrap_or_default().into()
/// # }
/// # offspring::worker!(UMASK: fn() -> String = umask);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// use offspring::Rights;
///
/// let rights = Rights::new().umask(0o077).no_new_privileges();
/// let rpc = UMASK.builder().rights(rights).spawn()?;
/// assert_eq!(rpc.call().wait()?, "0077");
/// # Ok(()) }
/// ```
///
/// # What the child keeps
///
/// A process of another user keeps what is open: the streams, the link with the memory it shares with the parent, and
/// each [`Descriptor`](crate::Descriptor) that it is given, also of a file that it could not open. It keeps its
/// directory and environment (`HOME` and `USER` are not changed), and can use the network, the CPU and the memory as
/// before, read what all may read (also `/proc/PID/cmdline` of others), and send signals to processes of that user: two
/// children of one user are not safe from each other. For less than that there are [`Limits`](crate::Limits),
/// and sandboxes in front of a [`command`](crate::Builder::command).
///
/// The system lets no other process of that user trace it or read its memory, and writes no core file, until it runs
/// another program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "rights are for `Builder::rights`"]
pub struct Rights {
    user: Option<String>,
    group: Option<String>,
    groups: Option<Vec<String>>,
    umask: Option<u32>,
    no_new_privileges: bool,
}

impl Rights {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the user, for good: the real, effective and saved one, and without capabilities if it is not root. The group
    /// is that user's own unless [`group`](Self::group) says another. A number that is no user there needs one.
    ///
    /// ```no_run
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// use offspring::Rights;
    ///
    /// let by_name = ECHO.builder().rights(Rights::new().user("nobody")).spawn()?;
    /// let by_number = ECHO.builder().rights(Rights::new().user(54321).group(54321)).spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn user(mut self, user: impl ToString) -> Self {
        self.user = Some(user.to_string());
        self
    }

    /// Sets the group, for good: the real, effective and saved one.
    pub fn group(mut self, group: impl ToString) -> Self {
        self.group = Some(group.to_string());
        self
    }

    /// Sets the supplementary groups. Default: none if the user or the group changes.
    ///
    /// ```no_run
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// let rights = offspring::Rights::new().user("nobody").groups(["audio", "video"]);
    /// let rpc = ECHO.builder().rights(rights).spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn groups<G: ToString>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.groups = Some(groups.into_iter().map(|group| group.to_string()).collect());
        self
    }

    /// Sets which permission bits are cleared in the mode of each file that the child makes: 0o077 leaves all to its
    /// user.
    pub fn umask(mut self, mask: u32) -> Self {
        self.umask = Some(mask & 0o777);
        self
    }

    /// No program that the child runs gains rights by its set-user-id bit or file capabilities (`PR_SET_NO_NEW_PRIVS`):
    /// `sudo` is of no use. Holds for all that it starts, and cannot be undone.
    pub fn no_new_privileges(mut self) -> Self {
        self.no_new_privileges = true;
        self
    }

    /// As the hello has it: `user=nobody,groups=4:24,umask=77,no-new-privileges`, say; empty without changes.
    pub(crate) fn to_text(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.user.as_ref().map(|user| format!("user={user}")));
        words.extend(self.group.as_ref().map(|group| format!("group={group}")));
        let groups = self.groups.as_ref();
        words.extend(groups.map(|groups| format!("groups={}", groups.join(":"))));
        words.extend(self.umask.map(|mask| format!("umask={mask:o}")));
        words.extend(self.no_new_privileges.then(|| "no-new-privileges".into()));
        words.join(",")
    }

    /// Reads what a parent wants. A right that is not known cannot be taken.
    fn parse(text: &str) -> Result<Self, String> {
        let mut rights = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match (name, u32::from_str_radix(value, 8)) {
                ("user", _) => rights.user = Some(value.into()),
                ("group", _) => rights.group = Some(value.into()),
                ("groups", _) => {
                    let groups = value.split(':').filter(|group| !group.is_empty());
                    rights.groups = Some(groups.map(str::to_owned).collect());
                }
                ("umask", Ok(mask)) => rights = rights.umask(mask),
                ("no-new-privileges", _) => rights.no_new_privileges = true,
                _ => return Err(format!("this worker does not know the right `{word}`")),
            }
        }
        Ok(rights)
    }

    /// Gives this process these rights. The order matters: each step needs what a later one gives up.
    fn take(&self) -> Result<(), String> {
        let user = self.user.as_deref().map(sys::find_user).transpose()?;
        let group = match (self.group.as_deref(), user) {
            (Some(name), _) => Some(sys::find_group(name)?),
            (None, Some((id, None))) => {
                let text =
                    format!("the user {id} has no group here: name one with `Rights::group`");
                return Err(text);
            }
            (None, user) => user.and_then(|(_, group)| group),
        };
        let groups = match &self.groups {
            Some(names) => {
                let ids = names.iter().map(|name| sys::find_group(name));
                Some(ids.collect::<Result<Vec<_>, _>>()?)
            }
            None => group.map(|_| Vec::new()),
        };
        check_threads().map_err(|error| describe("rights", error))?;
        if let Some(groups) = groups {
            sys::set_groups(&groups).map_err(|error| describe("supplementary groups", error))?;
        }
        if let Some(group) = group {
            sys::set_group(group).map_err(|error| describe(&format!("group {group}"), error))?;
        }
        if let Some((user, _)) = user {
            sys::set_user(user).map_err(|error| describe(&format!("user {user}"), error))?;
        }
        if self.no_new_privileges {
            sys::refuse_new_privileges().map_err(|error| describe("no-new-privileges", error))?;
        }
        if let Some(mask) = self.umask {
            sys::set_umask(mask);
        }
        Ok(())
    }
}

/// The system changes some rights of the calling thread alone.
fn check_threads() -> io::Result<()> {
    match sys::lasting_threads()? {
        1 => Ok(()),
        count => Err(io::Error::other(format!(
            "the process has {count} threads, and could take them for one: call `offspring::init()` or `serve` first in a `main` that is not async (`#[tokio::main]` starts threads before it)"
        ))),
    }
}

fn describe(what: &str, error: io::Error) -> String {
    let why = match error.raw_os_error() {
        Some(libc::EPERM) => " (it has to start as root, or with the capabilities for that)",
        _ => "",
    };
    format!("{what} cannot be had: {error}{why}")
}

/// In a child: takes the rights that the parent wants of this process.
pub(crate) fn obey(text: &str) -> Result<(), String> {
    match Rights::parse(text)? {
        none if none == Rights::new() => Ok(()),
        rights => rights.take(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_travel_as_text() {
        let all = Rights::new().user("nobody").group(7).groups([4, 24]);
        let all = all.umask(0o1027).no_new_privileges();
        let text = "user=nobody,group=7,groups=4:24,umask=27,no-new-privileges";
        assert_eq!(all.to_text(), text);
        assert_eq!(Rights::parse(text), Ok(all));
        let no_groups = Rights::new().groups([""; 0]);
        assert_eq!(Rights::parse("groups="), Ok(no_groups));
        assert_eq!(Rights::parse(""), Ok(Rights::new()));
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        for (text, why) in [
            ("cows=3", "cows=3"),
            ("umask=8", "umask=8"),
            ("user=no such user", "`no such user`"),
            ("user=", "``"),
            // To the system it means: leave it as it is.
            ("user=4294967295", "`4294967295`"),
            ("group=4294967295", "`4294967295`"),
            ("user=0,group=no such group", "`no such group`"),
            ("user=0,groups=no such group", "`no such group`"),
            ("user=123456789", "`Rights::group`"),
        ] {
            let error = obey(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
