//! The signal mask of a thread, and how a child gets that of another thread than the one that starts it.

use nix::sys::signal::{SigSet, SigmaskHow};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The highest number of a signal.
const MOST: i32 = 64;

/// A signal mask: the signals that a thread blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalMask(SigSet);

impl SignalMask {
    /// Returns the mask of all signals.
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
        // The call fails only for an invalid `how`.
        Self(before.unwrap_or(self.0))
    }

    /// Lets the command's process start with this mask, although the thread that starts it blocks all signals. Signals that
    /// earlier hooks of the command have unblocked stay unblocked.
    pub(crate) fn apply_to(self, command: &mut Command) {
        let others = Self::of(|signal| !self.has(signal)).0;
        // SAFETY: `pthread_sigmask` is async-signal-safe, and the set was built before the fork.
        unsafe { command.pre_exec(move || Ok(others.thread_unblock()?)) };
    }

    /// Returns the mask as a hexadecimal number with a bit per signal.
    pub(crate) fn to_hex(self) -> String {
        let signals = (1..=MOST).filter(|signal| self.has(*signal));
        let bits = signals.fold(0_u64, |bits, signal| bits | 1 << (signal - 1));
        format!("{bits:x}")
    }

    /// Parses the text of [`to_hex`](Self::to_hex).
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
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
        // SAFETY: the set was initialised empty, and `sigaddset` has added signals.
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
        let mask = SignalMask::from_hex(&SignalMask(set).to_hex()).unwrap();
        assert_eq!(mask.to_hex(), "801");
        assert!(mask.has(1) && mask.has(12) && !mask.has(15));
        let most = SignalMask::from_hex(&SignalMask::all().to_hex()).unwrap();
        assert!(most.has(libc::SIGRTMAX()));
        assert!(SignalMask::from_hex("no").is_none());
    }
}
