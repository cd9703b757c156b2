//! Copying from and to memory that others, another process too, may write meanwhile.
//!
//! Every access is of a whole aligned word, relaxed and atomic: so nothing is a data race, whatever the other side does,
//! and no two accesses of different sizes overlap. What is read while somebody writes is a mixture, word by word.
//!
//! For 1 MiB in the cache this has 75 to 90 percent of the speed of `memcpy`.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The octets of a word.
pub(super) const WORD: usize = size_of::<usize>();

/// So many are copied in one turn of the loop; the compiler does not unroll loops of atomics itself.
const TURN: usize = 8;

/// Copies from the octet `at` on.
pub(super) fn read(words: &[AtomicUsize], at: usize, to: &mut [u8]) {
    let (mut words, skip) = (&words[at / WORD..], at % WORD);
    let (head, to) = to.split_at_mut(head(skip, to.len()));
    if !head.is_empty() {
        read_part(&words[0], skip, head);
        words = &words[1..];
    }
    let (whole, tail) = to.as_chunks_mut::<WORD>();
    let (words, last) = words.split_at(whole.len());
    let (turns, rest) = whole.as_chunks_mut::<TURN>();
    let (from, from_rest) = words.as_chunks::<TURN>();
    for (to, from) in turns.iter_mut().zip(from) {
        // First all loads, then all stores.
        let loaded = [0, 1, 2, 3, 4, 5, 6, 7].map(|n: usize| from[n].load(Relaxed));
        *to = loaded.map(usize::to_ne_bytes);
    }
    for (to, from) in rest.iter_mut().zip(from_rest) {
        *to = from.load(Relaxed).to_ne_bytes();
    }
    if !tail.is_empty() {
        read_part(&last[0], 0, tail);
    }
}

/// Copies to the octet `at` and on; the octets around are left as they are.
pub(super) fn write(words: &[AtomicUsize], at: usize, from: &[u8]) {
    let (mut words, skip) = (&words[at / WORD..], at % WORD);
    let (head, from) = from.split_at(head(skip, from.len()));
    if !head.is_empty() {
        write_part(&words[0], skip, head);
        words = &words[1..];
    }
    let (whole, tail) = from.as_chunks::<WORD>();
    let (words, last) = words.split_at(whole.len());
    let (turns, rest) = whole.as_chunks::<TURN>();
    let (to, to_rest) = words.as_chunks::<TURN>();
    for (to, from) in to.iter().zip(turns) {
        for (to, from) in to.iter().zip(from.map(usize::from_ne_bytes)) {
            to.store(from, Relaxed);
        }
    }
    for (to, from) in to_rest.iter().zip(rest) {
        to.store(usize::from_ne_bytes(*from), Relaxed);
    }
    if !tail.is_empty() {
        write_part(&last[0], 0, tail);
    }
}

/// Makes all octets of these words the same.
pub(super) fn fill(words: &[AtomicUsize], octet: u8) {
    let filled = usize::from_ne_bytes([octet; WORD]);
    let (turns, rest) = words.as_chunks::<TURN>();
    for turn in turns {
        // By the turn, for the same reason.
        let _ = turn.each_ref().map(|word| word.store(filled, Relaxed));
    }
    for word in rest {
        word.store(filled, Relaxed);
    }
}

/// How many octets come before the first whole word.
fn head(skip: usize, length: usize) -> usize {
    match skip {
        0 => 0,
        skip => (WORD - skip).min(length),
    }
}

fn read_part(word: &AtomicUsize, skip: usize, to: &mut [u8]) {
    let octets = word.load(Relaxed).to_ne_bytes();
    to.copy_from_slice(&octets[skip..][..to.len()]);
}

/// Changes only the bits that are to change: octets beside them that others write meanwhile stay as those others have
/// them. If others write these very octets, then any octets come of it.
fn write_part(word: &AtomicUsize, skip: usize, from: &[u8]) {
    let old = word.load(Relaxed);
    let mut octets = old.to_ne_bytes();
    octets[skip..][..from.len()].copy_from_slice(from);
    word.fetch_xor(old ^ usize::from_ne_bytes(octets), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::{WORD, fill, read, write};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    const WORDS: usize = 20;

    fn words() -> [AtomicUsize; WORDS] {
        std::array::from_fn(|n| {
            let octets = std::array::from_fn(|m| (n * WORD + m + 1) as u8);
            AtomicUsize::new(usize::from_ne_bytes(octets))
        })
    }

    fn octets(words: &[AtomicUsize]) -> Vec<u8> {
        let octets = words.iter().map(|word| word.load(Relaxed).to_ne_bytes());
        octets.flatten().collect()
    }

    /// Every place and length, against what slices do.
    #[test]
    fn copies_as_slices_do() {
        let before = octets(&words());
        for at in 0..=before.len() {
            for end in at..=before.len() {
                let mut to = vec![0; end - at];
                read(&words(), at, &mut to);
                assert_eq!(to, before[at..end]);
                let changed = words();
                let from: Vec<u8> = (0..end - at).map(|n| !(n as u8)).collect();
                write(&changed, at, &from);
                let mut wanted = before.clone();
                wanted[at..end].copy_from_slice(&from);
                assert_eq!(octets(&changed), wanted, "{at}..{end}");
            }
        }
    }

    #[test]
    fn fills_all() {
        let words = words();
        fill(&words, 7);
        assert_eq!(octets(&words), [7; WORDS * WORD]);
    }
}
