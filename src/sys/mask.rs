//! The signals that a thread blocks, and how a process gets those of a thread other than the one that starts it.

use nix::sys::signal::{SigSet, SigmaskHow};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The highest number of a signal.
const MOST: i32 = 64;

/// The signals that a thread blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask(SigSet);

impl Mask {
    /// Every signal that can be blocked.
    pub(crate) fn all() -> Self {
        Self(SigSet::all())
    }

    /// Returns the mask of this thread.
    pub(crate) fn current() -> Self {
        Self(SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty()))
    }

    /// Makes this the mask of this thread, and returns the one before.
    pub(crate) fn set(self) -> Self {
        let before = self.0.thread_swap_mask(SigmaskHow::SIG_SETMASK);
        // The call fails only for a `how` that does not exist.
        Self(before.unwrap_or(self.0))
    }

    /// Has the command's process start with this mask, though the thread that starts it blocks every signal. What hooks
    /// of the command itself have unblocked stays unblocked.
    pub(crate) fn hand_down(self, command: &mut Command) {
        let others = Self::of(|signal| !self.has(signal)).0;
        // SAFETY: `pthread_sigmask` is async-signal-safe, and the set is a plain value that was made before the fork.
        unsafe { command.pre_exec(move || Ok(others.thread_unblock()?)) };
    }

    /// The mask as text: a bit for each signal, in hexadecimal.
    pub(crate) fn to_text(self) -> String {
        let signals = (1..=MOST).filter(|signal| self.has(*signal));
        let bits = signals.fold(0_u64, |bits, signal| bits | 1 << (signal - 1));
        format!("{bits:x}")
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let bits = u64::from_str_radix(text, 16).ok()?;
        Some(Self::of(|signal| bits & 1 << (signal - 1) != 0))
    }

    fn has(self, signal: i32) -> bool {
        // SAFETY: the pointer is to a live set.
        unsafe { libc::sigismember(self.0.as_ref(), signal) == 1 }
    }

    fn of(blocks: impl Fn(i32) -> bool) -> Self {
        let mut set = *SigSet::empty().as_ref();
        for signal in (1..=MOST).filter(|signal| blocks(*signal)) {
            // SAFETY: the pointer is to a live set. The call refuses the signals that libc keeps to itself.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: the set was empty and has got only what `sigaddset` takes.
        Self(unsafe { SigSet::from_sigset_t_unchecked(set) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;

    #[test]
    fn a_mask_survives_as_text() {
        let mut set = SigSet::empty();
        set.add(Signal::SIGHUP);
        set.add(Signal::SIGUSR2);
        let mask = Mask::from_text(&Mask(set).to_text()).unwrap();
        assert_eq!(mask.to_text(), "801");
        assert!(mask.has(1) && mask.has(12) && !mask.has(15));
        let most = Mask::from_text(&Mask::all().to_text()).unwrap();
        assert!(most.has(libc::SIGRTMAX()));
        assert!(Mask::from_text("no").is_none());
    }
}
