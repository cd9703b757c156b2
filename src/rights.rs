//! User, groups and privileges of a child.
//!
//! Like limits, rights are sent in the parent's hello, and the child sets them itself before it answers. So names of users
//! are looked up on the machine of the worker, and nothing has to run between `fork` and `exec`.

use std::io;

use crate::sys;

/// User, groups, umask and privileges of a child's process; for [`Builder::rights`](crate::Builder::rights).
///
/// Default: those that the process inherits. Users and groups are names or decimal numbers on the machine of the worker.
/// To change them, the child has to start as root, or with `CAP_SETUID` and `CAP_SETGID`.
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
/// After a change of user the process keeps its open descriptors: the streams, the link with its shared memory, and each
/// [`Descriptor`](crate::Descriptor) that it is sent, also of a file that it could not open. It also has each descriptor of the
/// parent that is not close-on-exec: the standard library opens none such, a C library may. Set `FD_CLOEXEC` for these before
/// the child is started. It keeps its directory and
/// environment (`HOME` and `USER` are not changed). It can use the network, the CPU and the memory as before, read what
/// is readable for all (also `/proc/PID/cmdline` of others), and send signals to processes of that user: two children of
/// the same user are not safe from each other. To restrict it further, use [`Limits`](crate::Limits) and a sandbox in
/// front of a [`command`](crate::Builder::command).
///
/// Until the process runs another program, no other process of that user can trace it or read its memory, and the system
/// writes no core file of it.
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
    /// Creates rights that change nothing.
    ///
    /// ```
    /// assert_eq!(offspring::Rights::new(), offspring::Rights::default());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the real, effective and saved user, and drops all capabilities if it is not root. The group becomes that user's
    /// primary group, unless [`group`](Self::group) sets another. A number that is no user on that machine needs
    /// [`group`](Self::group).
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

    /// Sets the real, effective and saved group.
    ///
    /// ```no_run
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().rights(offspring::Rights::new().group("audio")).spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn group(mut self, group: impl ToString) -> Self {
        self.group = Some(group.to_string());
        self
    }

    /// Sets the supplementary groups. Default: [none](Self::no_groups) if the user or the group changes.
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

    /// Drops all supplementary groups. For a child that keeps its user and group; it has none after a change of these, unless
    /// [`groups`](Self::groups) sets some.
    ///
    /// ```no_run
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().rights(offspring::Rights::new().no_groups()).spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn no_groups(self) -> Self {
        self.groups([""; 0])
    }

    /// Sets the umask: the permission bits to clear in the mode of each file that the child creates. With `0o077` only its
    /// user has access.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().rights(offspring::Rights::new().umask(0o077)).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn umask(mut self, mask: u32) -> Self {
        self.umask = Some(mask & 0o777);
        self
    }

    /// Denies the child, and all programs that it runs, the privileges of set-user-id bits and file capabilities
    /// (`PR_SET_NO_NEW_PRIVS`). So `sudo` fails in it. It cannot be undone.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().rights(offspring::Rights::new().no_new_privileges()).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn no_new_privileges(mut self) -> Self {
        self.no_new_privileges = true;
        self
    }

    /// Returns the field of hello, such as `user=nobody,groups=4:24,umask=77,no-new-privileges`. Empty without changes.
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

    /// Parses the field of hello. An unknown right is an error.
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

    /// Sets the rights of this process. The order matters: each step needs a privilege that a later one drops.
    fn take_on(&self) -> Result<(), String> {
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
            sys::set_no_new_privileges().map_err(|error| describe("no-new-privileges", error))?;
        }
        if let Some(mask) = self.umask {
            sys::set_umask(mask);
        }
        Ok(())
    }
}

/// Checks that this thread is the only one: the system changes some rights of the calling thread alone.
fn check_threads() -> io::Result<()> {
    match sys::count_lasting_threads()? {
        1 => Ok(()),
        count => Err(io::Error::other(format!(
            "the process has {count} threads, and the kernel changes some rights of one thread only, so it must have one: call `offspring::init()` or `serve` first in a `main` that is not async (`#[tokio::main]` starts threads before it)"
        ))),
    }
}

fn describe(what: &str, error: io::Error) -> String {
    let why = match error.raw_os_error() {
        Some(libc::EPERM) => " (it has to start as root, or with the capabilities for that)",
        _ => "",
    };
    format!("cannot set {what}: {error}{why}")
}

/// In a child: sets the rights of the parent's hello for this process.
pub(crate) fn apply(text: &str) -> Result<(), String> {
    match Rights::parse(text)? {
        none if none == Rights::new() => Ok(()),
        rights => rights.take_on(),
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
        let no_groups = Rights::new().no_groups();
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
            let error = apply(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
