//! Hosts that are reached by a real `ssh`, for tests: a real `sshd` each, on this machine.
//!
//! They need no port and no daemon. For each connection `ssh` starts an `sshd -i` (its mode for inetd) as its
//! `ProxyCommand`, and the two talk over a pair of pipes. Keys and configuration are in a temporary folder, which is also
//! the home folder: `sshd` runs commands by the user's shell, which reads files of the home folder. That may take long,
//! and take locks that outlive a connection. So no file of the user is read or written. An `sshd` of root needs the folder
//! `/run/sshd`, which is created if it does not exist.
//!
//! The test process is a subreaper, so that a [`Site`] can wait for all processes, also after a panic.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, User, geteuid};

use crate::support::*;

/// The folder of hosts. To be created after the guard, and before all that runs on them.
pub(crate) struct Site {
    folder: Temp,
    sshd: PathBuf,
    user: String,
    hosts: Cell<u32>,
}

/// A host.
pub(crate) struct Host {
    folder: PathBuf,
    user: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::make().unwrap()
    }

    /// Tries a connection to a host on this machine.
    pub(crate) fn attempt() -> Result<(), String> {
        let site = Self::make()?;
        let mut ssh = site.host().ssh("true");
        let output = ssh.stdin(Stdio::null()).output();
        let output = output.map_err(|error| error.to_string())?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let works = output.status.success();
        works.then_some(()).ok_or(format!(
            "{}: {}",
            output.status,
            errors.trim().replace("\n", "; ")
        ))
    }

    fn make() -> Result<Self, String> {
        let sshd = find("sshd")?;
        find("ssh")?;
        find("ssh-keygen")?;
        let user = User::from_uid(geteuid()).ok().flatten();
        let user = user.ok_or("this user has no name")?;
        if geteuid().is_root() {
            fs::create_dir_all("/run/sshd").map_err(|error| format!("/run/sshd: {error}"))?;
        }
        set_child_subreaper(true)
            .map_err(|errno| format!("this process cannot be a subreaper: {errno}"))?;
        Ok(Self {
            folder: Temp::new(),
            sshd,
            user: user.name,
            hosts: Cell::new(0),
        })
    }

    /// Adds a host.
    pub(crate) fn host(&self) -> Host {
        self.hosts.set(self.hosts.get() + 1);
        let folder = PathBuf::from(self.folder.path(&format!("host{}", self.hosts.get())));
        fs::create_dir(&folder).unwrap();
        let host = Host {
            folder,
            user: self.user.clone(),
        };
        for key in ["host", "user", "stranger"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", key]);
            assert!(keygen.current_dir(&host.folder).status().unwrap().success());
        }
        let public = fs::read_to_string(host.path("host.pub")).unwrap();
        host.write("known", &format!("host {public}"));
        fs::copy(host.path("user.pub"), host.path("authorized")).unwrap();
        host.configure("");
        let (at, sshd) = (host.folder.display(), self.sshd.display());
        host.write(
            "connect",
            &format!(
                "#!/bin/sh\n\
                [ -e '{at}/up' ] || {{ echo 'this host is down' >&2; exit 1; }}\n\
                echo $$ >> '{at}/sessions'\n\
                exec '{sshd}' -i -f '{at}/config'\n"
            ),
        );
        let executable = fs::Permissions::from_mode(0o700);
        fs::set_permissions(host.path("connect"), executable).unwrap();
        host.up();
        host
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The watchdog of the tests is the deadline.
        until(|| {
            if std::thread::panicking() {
                kill_below(std::process::id());
            }
            reap();
            children().is_empty()
        });
        let _ = set_child_subreaper(false);
    }
}

/// Kills all descendants of `process`.
fn kill_below(process: u32) {
    for child in children_of(process) {
        kill_below(child);
        let _ = kill(Pid::from_raw(child as i32), Signal::SIGKILL);
    }
}

/// Returns `process` if it is an `sshd`, and the `sshd`s that it started, without the commands that they run.
fn daemons(process: u32) -> Vec<u32> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    if !name.starts_with("sshd") {
        return Vec::new();
    }
    let below = children_of(process).into_iter().flat_map(daemons);
    std::iter::once(process).chain(below).collect()
}

/// Reaps the processes that this process adopted. No test waits for a child at this point.
fn reap() {
    for child in children() {
        let _ = waitpid(Pid::from_raw(child as i32), Some(WaitPidFlag::WNOHANG));
    }
}

impl Host {
    /// Returns an `ssh` that runs this command on the host, by the user's shell.
    pub(crate) fn ssh(&self, command: &str) -> Command {
        self.ssh_with("user", &[], command)
    }

    /// The same with another key, and with options.
    pub(crate) fn ssh_with(&self, key: &str, options: &[&str], command: &str) -> Command {
        let at = |name| self.path(name);
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-T", "-l", &self.user, "-i", &at(key)]);
        let connect = format!("ProxyCommand={}", at("connect"));
        let known = format!("UserKnownHostsFile={}", at("known"));
        let all = [
            connect.as_str(),
            known.as_str(),
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
        ];
        for option in all.iter().chain(options) {
            ssh.args(["-o", option]);
        }
        ssh.args(["host", command]);
        ssh
    }

    /// An `ssh` to a worker of this test binary.
    pub(crate) fn worker(&self, worker: &str) -> Command {
        self.ssh(&serve(worker))
    }

    /// Writes the configuration of `sshd` with these further lines, for later connections.
    pub(crate) fn configure(&self, lines: &str) {
        let at = self.folder.display();
        let config = format!(
            "HostKey {at}/host\n\
            AuthorizedKeysFile {at}/authorized\n\
            StrictModes no\n\
            UsePAM no\n\
            PasswordAuthentication no\n\
            KbdInteractiveAuthentication no\n\
            PermitRootLogin yes\n\
            PermitUserRC no\n\
            PermitUserEnvironment no\n\
            SetEnv HOME={at}\n\
            PidFile none\n\
            LogLevel ERROR\n\
            {lines}\n"
        );
        self.write("config", &config);
    }

    /// Makes the host reachable.
    pub(crate) fn up(&self) {
        self.write("up", "");
    }

    /// Makes the host unreachable, and cuts its connections.
    pub(crate) fn down(&self) {
        fs::remove_file(self.path("up")).unwrap();
        self.cut();
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends a signal to all of its `sshd`s that still run.
    pub(crate) fn signal(&self, signal: Signal) {
        let sessions = fs::read_to_string(self.path("sessions")).unwrap_or_default();
        let sessions = sessions.lines().map(|session| session.parse().unwrap());
        // All are found before the first one exits.
        for daemon in sessions.flat_map(daemons).collect::<Vec<_>>() {
            let _ = kill(Pid::from_raw(daemon as i32), signal);
        }
    }

    /// The home folder on the host.
    pub(crate) fn home(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        path
    }
}

/// Returns the shell command that serves a worker of this test binary.
pub(crate) fn serve(worker: &str) -> String {
    let own = std::env::current_exe().unwrap();
    format!("exec '{}' --serve {worker}", own.display())
}

/// Finds a daemon, whose folder is often not in a user's path.
fn find(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()]);
    let mut all = folders.into_iter().map(|folder| folder.join(program));
    let found = all.find(|path| path.exists());
    found.ok_or(format!("there is no `{program}` on this machine"))
}
