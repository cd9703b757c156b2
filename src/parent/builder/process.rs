//! The options of [`Builder`] for the child's process: environment, limits, rights, group, and what runs it.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use super::{Builder, Launcher};
use crate::limits::Limits;
use crate::parent::spawn::confinement::Group;
use crate::rights::Rights;

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Sets a variable of the child's environment.
    ///
    /// ```
    /// # offspring::worker!(VARIABLE: fn(String) -> String = |name: String| std::env::var(name).unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = VARIABLE.builder().env("LEVEL", "9").spawn()?;
    /// assert_eq!(rpc.call("LEVEL").wait()?, "9");
    /// # Ok(()) }
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.recipe.environment.set(name, value);
        self
    }

    /// Removes a variable from the child's environment.
    ///
    /// ```
    /// # offspring::worker!(VARIABLE: fn(String) -> String = |name: String| std::env::var(name).unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = VARIABLE.builder().env_remove("PATH").spawn()?;
    /// assert_eq!(rpc.call("PATH").wait()?, "");
    /// # Ok(()) }
    /// ```
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.recipe.environment.remove(name);
        self
    }

    /// Clears the child's environment. Variables that are set later are kept.
    ///
    /// ```
    /// # offspring::worker!(HAS: fn(String) -> bool = |name: String| std::env::var_os(name).is_some());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = HAS.builder().env_clear().env("A", "1").spawn()?;
    /// assert!(rpc.call("A").wait()? && !rpc.call("PATH").wait()?);
    /// # Ok(()) }
    /// ```
    pub fn env_clear(mut self) -> Self {
        self.recipe.environment.clear();
        self
    }

    /// Sets the child's working directory.
    ///
    /// ```
    /// # offspring::worker!(HERE: fn() -> std::path::PathBuf = || std::env::current_dir().unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = HERE.builder().current_dir("/").spawn()?;
    /// assert_eq!(rpc.call().wait()?, std::path::Path::new("/"));
    /// # Ok(()) }
    /// ```
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.recipe.environment.enter(directory);
        self
    }

    /// Sets the resource limits of the child's process: see [`Limits`].
    ///
    /// The worker's process applies them itself, before `init` and any call, so they also work on another machine. They do not
    /// limit the code before [`init`](crate::init) in its `main`, nor a [`command`](Self::command) that only leads to it. In the
    /// [plain](Self::plain) form, which has no hello, this process limits the child shortly after its start.
    ///
    /// If the child cannot apply the limits, or does not support them, the [handshake](crate::Error::is_handshake) fails.
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

    /// Sets the user, groups and privileges of the child's process: see [`Rights`].
    ///
    /// The worker's process applies them itself, after the [limits](Self::limits) and before `init` and any call. That includes a
    /// fork of a template, and a worker that a [`command`](Self::command) leads to. Until then it has the rights of this process,
    /// in its `main` before [`init`](crate::init), which must not have started threads. In the [plain](Self::plain) form, rights
    /// are an error of `spawn`. To start a process with fewer rights, or in the plain form, set them in its command: with
    /// `setpriv`, or with [`uid`](std::os::unix::process::CommandExt::uid) and `gid`.
    ///
    /// The standard library sets supplementary groups, group, user and working directory before it runs
    /// [`pre_exec`](std::os::unix::process::CommandExt::pre_exec) hooks. A hook therefore has root's privileges if the user is
    /// changed by this method, and has lost them if it was changed by `uid`.
    ///
    /// If the child is not permitted to apply the rights, or does not support them, the [handshake](crate::Error::is_handshake)
    /// fails. Afterwards a process of another user needs privileges to send signals to the child: a parent that changed users with
    /// `CAP_SETUID` alone needs `CAP_KILL` as well.
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
    /// // The worker can read the open file, and could not open it.
    /// let rights = Rights::new().user("nobody").no_new_privileges();
    /// let rpc = PARSE.builder().rights(rights).spawn()?;
    /// println!("{}", rpc.call(std::fs::File::open("/etc/shadow")?).wait()?);
    /// # Ok(()) }
    /// ```
    pub fn rights(mut self, rights: Rights) -> Self {
        self.recipe.confinement.rights = rights;
        self
    }

    /// Starts the child in a new process group. Default: the group of this process.
    ///
    /// A terminal sends signals to the foreground process group: Ctrl-C ends the child with this process, and Ctrl-Z stops both. A
    /// program that handles Ctrl-C in order to finish first needs its children for that. With `own_group`, only the program
    /// receives the signal.
    ///
    /// There are two costs. A child that reads from the terminal itself (an `ssh` that asks for a password) is stopped by the
    /// kernel. And when this process dies, the child finishes its running call, unless
    /// [`exit_with_parent`](Self::exit_with_parent) is set; it then kills its whole group, with the processes that it has
    /// started. `kill` and `join` affect only the child.
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

    /// Starts a new session in the child, which therefore has no controlling terminal. It receives no signals from the terminal,
    /// including `SIGHUP` when the terminal is closed. Otherwise the same as [`own_group`](Self::own_group).
    ///
    /// The child creates the session itself, first of all. Until then it belongs to the group of this process. Only for a program
    /// in the full form: for a [`command`](Self::command), or in the [plain](Self::plain) form, put `setsid` in front of the
    /// command.
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

    /// Puts a command before the child's program: `strace -f`, `gdb --args`, `valgrind`, `perf record`.
    ///
    /// The command gets the path of this program and a child's arguments after its own arguments. It inherits the stdin of this
    /// process, so a debugger can be used at the terminal. This also removes the [hello timeout](Self::hello_timeout), which can
    /// be set again afterwards.
    ///
    /// For children of this program, also in a pool. For every other child `spawn` fails. Put the words in front of a
    /// [`program`](Self::program) or a [`command`](Self::command) yourself.
    ///
    /// The process ID, `kill` and the exit status are those of the command. The link is a file descriptor above 2, which the
    /// command must leave open (`sudo` does not). Once the command has exited, the link counts as closed. Which calls had
    /// [started](crate::Error::started) is then unknown, because the worker may outlive the command.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().prefix(["nice", "-n", "5"]).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn prefix<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.recipe.prefix = words.into_iter().map(Into::into).collect();
        self.recipe.hello_timeout = Duration::MAX;
        self
    }
}

impl<F, S, E> Builder<F, S, E> {
    /// Runs the worker in a thread of this process instead of a child: for debuggers, for coverage, and for unit tests, which then
    /// need no [`init`](crate::init).
    ///
    /// The handle works as for a child, also in a [`pool`](Builder::pool), and values are not shared. They are sent as bytes over a
    /// link, `init` creates the state, and a panic fails its call. The thread exits when the handle is dropped and all calls are
    /// done. A breakpoint in the worker's function stops this process (with `cargo test`, `rust-gdb` on the test's binary, and
    /// `break my_crate::my_function`), and coverage tools see the function.
    ///
    /// Differences from a process:
    ///
    /// * The thread shares stdin, stdout, stderr, the environment, the working directory and the lifetime of the process. To set
    ///   them, limits, rights, a group, a [prefix](Builder::prefix), the plain form,
    ///   [`exit_with_parent`](Builder::exit_with_parent) or [`max_memory`](crate::PoolBuilder::max_memory) of a pool is an error
    ///   of `spawn`.
    /// * If the function aborts or exits, so does this process.
    /// * A thread cannot be killed. [`Rpc::kill`](crate::Rpc::kill), and every option that kills a child, closes the link. Open
    ///   calls fail at once. A function that runs is not stopped, and the thread exits when it returns.
    /// * There is no process ID, and the exit status is [`Unknown`](crate::ExitStatus::Unknown).
    /// * The first such worker installs a panic hook, which calls the previous hook.
    /// * [`retire`](crate::retire) is an error.
    /// * The thread of `async-io`, which an async worker starts, keeps running.
    ///
    /// ```
    /// # offspring::worker!(DOUBLE: fn(i32) -> i32 = |number: i32| 2 * number);
    /// # fn main() -> Result<(), offspring::Error> {
    /// let rpc = DOUBLE.builder().in_process().spawn()?;
    /// assert_eq!(rpc.call(21).wait()?, 42);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "in_thread")]
    pub fn in_process(mut self) -> Self {
        self.recipe.launcher = Launcher::Thread;
        self
    }
}
