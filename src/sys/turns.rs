//! How soon a thread gets a CPU.

use nix::errno::Errno;

/// How long a turn on the CPU shall be, in nanoseconds: the shortest that the kernel grants.
const TURN: u64 = 100_000;

/// Asks for short turns on the CPU, for this thread but none that it starts. Who is woken often, and has little to do each
/// time, then waits less where CPUs are few, and gets no more of them than before.
///
/// It is no more than a wish: Linux heeds it from 6.12 on, and a sandbox may refuse it. A thread with a policy or a
/// priority of its own is left alone.
pub(crate) fn take_short_turns() {
    let Ok(mut attributes) = attributes() else {
        return;
    };
    let usual = attributes.sched_policy == libc::SCHED_OTHER as u32;
    // To start threads without it takes a raised priority from them, too.
    if usual && attributes.sched_nice >= 0 {
        attributes.sched_flags = libc::SCHED_FLAG_RESET_ON_FORK as u64;
        attributes.sched_runtime = TURN;
        // SAFETY: the kernel only reads the attributes, which say how large they are.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }
}

/// Those of this thread.
fn attributes() -> nix::Result<libc::sched_attr> {
    let size = size_of::<libc::sched_attr>();
    // SAFETY: all of it are numbers.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes no more than the size that it is told.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    Errno::result(result)?;
    attributes.size = size as u32;
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_turns_are_of_one_thread_only() {
        let work = || {
            let before = attributes().unwrap();
            take_short_turns();
            let after = attributes().unwrap();
            let inherited = std::thread::spawn(|| attributes().unwrap()).join().unwrap();
            (before, after, inherited)
        };
        let (before, after, inherited) = std::thread::spawn(work).join().unwrap();
        assert_eq!(after.sched_flags & 1, 1);
        for other in [after, inherited] {
            assert_eq!(other.sched_policy, before.sched_policy);
            assert_eq!(other.sched_nice, before.sched_nice);
        }
        assert_eq!(inherited.sched_flags, before.sched_flags);
        assert_eq!(inherited.sched_runtime, before.sched_runtime);
        // A kernel that does not know of turns says none.
        let expected = if before.sched_runtime == 0 { 0 } else { TURN };
        assert_eq!(after.sched_runtime, expected);
    }
}
