//! Processes, their threads, memory and descriptors, as the system shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::until;

/// The processes whose parent this one is, zombies too.
pub(crate) fn children() -> Vec<u32> {
    children_of(std::process::id())
}

pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// State and parent of a process.
pub(crate) fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Is there a process that runs, and not only its number?
pub(crate) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

pub(crate) fn kill_process(pid: u32) {
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
}

/// Stops a process, and waits until it stands.
pub(crate) fn stop(pid: u32) {
    kill(Pid::from_raw(pid as i32), Signal::SIGSTOP).unwrap();
    until(|| stat(pid).is_none_or(|(state, _)| state == 'T'));
}

/// Waits until a process sleeps, and none of its threads has had a CPU for 100 ms.
pub(crate) fn until_stuck(pid: u32) {
    let used = || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let times = tasks.map(|task| fs::read_to_string(task.path().join("schedstat")));
        times.map(Result::unwrap_or_default).collect::<Vec<_>>()
    };
    let mut last = used();
    until(|| {
        sleep(Duration::from_millis(100));
        let before = std::mem::replace(&mut last, used());
        before == last && stat(pid).is_some_and(|(state, _)| state == 'S')
    });
}

/// The threads of the crate, by name.
pub(crate) fn own_threads() -> Vec<String> {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names
        .filter(|name| name.starts_with("offspring-"))
        .collect()
}

/// How often the helper has gone to sleep.
pub(crate) fn naps() -> Option<u64> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let name = |task: &PathBuf| fs::read_to_string(task.join("comm")).unwrap_or_default();
    let helper = tasks.find(|task| name(task).starts_with("offspring-helpe"))?;
    let status = fs::read_to_string(helper.join("status")).unwrap();
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

/// Open descriptors and what they lead to, without the one that looks, and the one by which the allocator asks for its
/// policy in another thread.
pub(crate) fn descriptors() -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            let number = entry.file_name().to_str().unwrap().parse().unwrap();
            let target = target.to_string_lossy().into_owned();
            if !target.ends_with("/fd") && !target.ends_with("/overcommit_memory") {
                found.insert(number, target);
            }
        }
    }
    found
}

/// Resident memory of a process, in bytes.
pub(crate) fn memory(pid: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: usize = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

pub(crate) fn own_memory() -> usize {
    memory(std::process::id())
}
