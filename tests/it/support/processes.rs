//! Processes, their threads, memory and file descriptors, as `/proc` shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::until;

/// Returns the children of this process, also zombies.
pub(crate) fn children() -> Vec<u32> {
    children_of(std::process::id())
}

pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Returns state and parent of a process.
pub(crate) fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Returns whether a process runs. A zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

pub(crate) fn kill_process(pid: u32) {
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
}

/// Stops a process, and waits until it has stopped.
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

/// Returns the names of the crate's threads.
pub(crate) fn own_threads() -> Vec<String> {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names
        .filter(|name| name.starts_with("offspring-"))
        .collect()
}

/// Returns how many times the reactor has slept.
pub(crate) fn naps() -> Option<u64> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let name = |task: &PathBuf| fs::read_to_string(task.join("comm")).unwrap_or_default();
    let reactor = tasks.find(|task| name(task).starts_with("offspring-react"))?;
    let status = fs::read_to_string(reactor.join("status")).unwrap();
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

/// Returns the open file descriptors and their targets, without the one that reads the directory, and the one by which the
/// allocator reads its policy in another thread.
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

/// Returns the resident memory of a process in bytes.
pub(crate) fn memory(pid: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: usize = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

pub(crate) fn own_memory() -> usize {
    memory(std::process::id())
}

/// Returns the state of all threads and children, to find the reason of a hang.
pub(crate) fn dump() -> String {
    let mut text = String::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (name, place, call) = (read("comm"), read("wchan"), read("syscall"));
        text += &format!("thread {} in {place}: {}\n", name.trim(), call.trim());
    }
    for child in children() {
        let command = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        let state = stat(child).map_or('?', |(state, _)| state);
        text += &format!("child {child} ({state}): {}\n", command.replace('\0', " "));
    }
    for (number, target) in descriptors() {
        text += &format!("descriptor {number}: {target}\n");
    }
    text
}
