//! What of [`Builder`] is about limits, rights, groups and sessions.

use super::Builder;
use crate::limits::Limits;
use crate::parent::spawn::confinement::Group;
use crate::rights::Rights;

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Limits what the child's process may use: see [`Limits`].
    ///
    /// The worker's process sets them itself, first of all, before `init` and
    /// any call; of what happens before [`init`](crate::init) in its `main`, and
    /// of a [`command`](Self::command) that only leads to it, nothing is limited.
    /// So they hold on another machine as well. In the [plain](Self::plain) form
    /// there is no hello to say so: the process that was started is limited from
    /// here, a moment after its start.
    ///
    /// That the child cannot set them, or knows nothing of limits, is an error
    /// of the [handshake](crate::Error::is_handshake).
    ///
    /// ```
    /// # fn open(path: String) -> Result<Vec<String>, String> {
    /// #     let files: Result<Vec<_>, _> = (0..100).map(|_| std::fs::File::open(&path)).collect();
    /// #     files.map(|_| vec![]).map_err(|error| error.to_string())
    /// # }
    /// # fn show(path: String) -> String { open(path).err().unwrap_or_default() }
    /// # offspring::worker!(OPEN: fn(String) -> String = show);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let limits = offspring::Limits::new().open_files(20);
    /// let rpc = OPEN.builder().limits(limits).spawn()?;
    /// // The worker opens it a hundred times.
    /// assert!(rpc.call("/dev/null").wait()?.contains("Too many open files"));
    /// # Ok(()) }
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.recipe.confinement.limits = limits;
        self
    }

    /// Sets whose process the child is, and what it can gain: see [`Rights`].
    ///
    /// The worker's process takes them itself, after the [limits](Self::limits) and before `init` and any call: also
    /// one that a template has forked, or that a [`command`](Self::command) leads to. It has this process's rights
    /// until then, in its `main` before [`init`](crate::init), which must not have started threads. A process that is
    /// to start with fewer, or speaks the [plain](Self::plain) form (an error at the start), is given them by its
    /// command: by `setpriv`, or by [`uid`](std::os::unix::process::CommandExt::uid) and `gid`.
    ///
    /// The standard library sets supplementary groups, group, user, and then the directory, and only then runs what
    /// was given to [`pre_exec`](std::os::unix::process::CommandExt::pre_exec): such a hook can do what only root may if the user
    /// changes here, and not if it was changed by `uid`.
    ///
    /// That the child may not do it, or knows nothing of rights, is an error of the
    /// [handshake](crate::Error::is_handshake). Afterwards only root can send it signals from another user's process:
    /// a parent that was allowed to change users by `CAP_SETUID` alone needs `CAP_KILL` as well.
    ///
    /// ```no_run
    /// # mod workers {
    /// # use {offspring::Descriptor, std::fs::File};
    /// # fn parse(_: Descriptor<File>) -> String { String::new() }
    /// # offspring::worker!(pub PARSE: fn(Descriptor<File>) -> String = parse);
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// # use workers::PARSE;
    /// use offspring::Rights;
    ///
    /// // It can read what it is lent, and not open it.
    /// let rights = Rights::new().user("nobody").no_new_privileges();
    /// let rpc = PARSE.builder().rights(rights).spawn()?;
    /// println!("{}", rpc.call(std::fs::File::open("/etc/shadow")?).wait()?);
    /// # Ok(()) }
    /// ```
    pub fn rights(mut self, rights: Rights) -> Self {
        self.recipe.confinement.rights = rights;
        self
    }

    /// The child gets its own process group. Default: the group of this process.
    ///
    /// A terminal sends what is typed there to the group in the foreground:
    /// Ctrl-C ends the child with this process, Ctrl-Z stops both. A program that
    /// handles Ctrl-C, because it wants to finish first, needs its children for
    /// that: it says `own_group`, and then only it hears of Ctrl-C. For the price
    /// that a child which reads the terminal itself (`ssh` that asks for a
    /// password) is stopped by the system; and that after the end of this process
    /// the child finishes the call that it is running, unless it
    /// [goes with it](Self::exit_with_parent). It then ends its whole group, with
    /// what it has started. (`kill` and `join` are for the child alone.)
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().own_group().exit_with_parent().spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn own_group(mut self) -> Self {
        self.recipe.confinement.group = Group::Own;
        self
    }

    /// The child gets a session of its own, and so has no terminal: neither what
    /// is typed there nor that it is closed (`SIGHUP`) reaches it. Else it is as
    /// with [`own_group`](Self::own_group).
    ///
    /// The child does so itself, first of all; until then it belongs to the group
    /// of this process. For a program in the full form: what is started as a
    /// [`command`](Self::command) or in the [plain](Self::plain) form has
    /// `setsid` put in front of it instead.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().own_session().spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn own_session(mut self) -> Self {
        self.recipe.confinement.group = Group::Session;
        self
    }
}
