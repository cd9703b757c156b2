//! Where a descriptor is for as long as it takes to hand it over, within one thread.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

struct Entry {
    thread: ThreadId,
    descriptor: io::Result<OwnedFd>,
}

static ENTRIES: Mutex<BTreeMap<u64, Entry>> = Mutex::new(BTreeMap::new());

/// No foreign code runs under the lock, nor is a descriptor closed.
fn entries() -> MutexGuard<'static, BTreeMap<u64, Entry>> {
    ENTRIES
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Numbers that nobody can guess.
fn random() -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEYS.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Leaves a descriptor, or why there is none, to be claimed by this thread while this lives.
pub(crate) fn put(descriptor: io::Result<OwnedFd>) -> Put {
    let entry = Entry {
        thread: thread::current().id(),
        descriptor,
    };
    let mut entries = entries();
    let mut token = random();
    while entries.contains_key(&token) {
        token = random();
    }
    entries.insert(token, entry);
    Put { token }
}

/// What this thread has put there, once.
pub(crate) fn claim(token: u64) -> Option<io::Result<OwnedFd>> {
    let mine = thread::current().id();
    let mut entries = entries();
    let entry = entries.get(&token)?;
    if entry.thread != mine {
        return None;
    }
    entries.remove(&token).map(|entry| entry.descriptor)
}

/// A descriptor in the exchange; taken back when this is dropped.
#[derive(Debug)]
pub(crate) struct Put {
    token: u64,
}

impl Put {
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn is_there(&self) -> bool {
        entries().contains_key(&self.token)
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        let entry = entries().remove(&self.token);
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::{claim, put};
    use std::fs::File;

    fn null() -> std::io::Result<std::os::fd::OwnedFd> {
        Ok(File::open("/dev/null").unwrap().into())
    }

    #[test]
    fn is_claimed_once() {
        let put = put(null());
        assert!(put.is_there());
        assert!(claim(put.token()).unwrap().is_ok());
        assert!(!put.is_there());
        assert!(claim(put.token()).is_none());
    }

    #[test]
    fn is_taken_back() {
        let first = put(null());
        let token = first.token();
        let second = put(null());
        drop(first);
        assert!(claim(token).is_none());
        assert!(second.is_there());
    }

    #[test]
    fn is_not_for_other_threads() {
        let put = put(null());
        let token = put.token();
        let other = std::thread::spawn(move || claim(token).is_some());
        assert!(!other.join().unwrap());
        assert!(put.is_there());
    }

    #[test]
    fn tokens_follow_no_order() {
        let puts = [0; 100].map(|_| put(null()));
        let mut tokens = puts.each_ref().map(|put| put.token());
        let ordered = tokens.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((10..90).contains(&ordered), "{tokens:?}");
        tokens.sort_unstable();
        assert!(tokens.windows(2).all(|pair| pair[1] - pair[0] > 1));
    }
}
