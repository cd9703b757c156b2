use std::cell::{Cell, OnceCell};
use std::fmt;

/// One octet string, as it is read.
#[derive(Debug)]
pub struct OctetString<'a>(Place<'a>);

#[derive(Debug)]
enum Place<'a> {
    /// It is in the input.
    Input(&'a [u8]),
    /// It is long, and has a buffer of its own.
    Own(&'a Tail),
}

impl<'a> OctetString<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Place::Input(bytes))
    }

    pub(crate) fn own(tail: &'a Tail) -> Self {
        Self(Place::Own(tail))
    }

    /// The bytes.
    pub fn octets(&self) -> &'a [u8] {
        match self.0 {
            Place::Input(bytes) => bytes,
            Place::Own(tail) => tail.lend(),
        }
    }

    /// The bytes as a vector. A long string has a buffer of its own, which is not copied unless it
    /// is far larger than the string.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Place::Input(bytes) => bytes.to_vec(),
            Place::Own(tail) => tail.take(),
        }
    }
}

/// The end of an input that is in a buffer of its own, which may be lent or taken.
#[doc(hidden)]
pub struct Tail {
    length: usize,
    /// Until it is lent or taken.
    whole: Cell<Option<Vec<u8>>>,
    lent: OnceCell<Vec<u8>>,
}

impl Tail {
    /// What has come.
    pub fn new(octets: Vec<u8>) -> Self {
        Self {
            length: octets.len(),
            whole: Cell::new(Some(octets)),
            lent: OnceCell::new(),
        }
    }

    /// The buffer, if nobody has taken it.
    pub fn into_buffer(self) -> Option<Vec<u8>> {
        self.whole.into_inner().or(self.lent.into_inner())
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn lend(&self) -> &[u8] {
        if let Some(octets) = self.whole.take() {
            return self.lent.get_or_init(|| octets);
        }
        self.lent.get().map_or(&[], |octets| octets)
    }

    fn take(&self) -> Vec<u8> {
        match self.whole.take() {
            Some(octets) if octets.capacity() <= octets.len() + octets.len() / 2 => octets,
            octets => {
                self.whole.set(octets);
                self.lend().to_vec()
            }
        }
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tail({})", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_handed_on_as_it_is() {
        let octets = vec![7; 1000];
        let address = octets.as_ptr();
        let tail = Tail::new(octets);
        let taken = OctetString::own(&tail).into_vec();
        assert_eq!((taken.as_ptr(), taken.len()), (address, 1000));
        assert_eq!(tail.into_buffer(), None);
    }

    #[test]
    fn a_buffer_that_is_lent_or_far_too_large_is_copied_and_stays() {
        let mut large = Vec::with_capacity(5000);
        large.resize(1000, 7);
        let tail = Tail::new(large);
        assert_eq!(OctetString::own(&tail).into_vec(), [7; 1000]);
        assert_eq!(
            tail.into_buffer().map(|buffer| buffer.capacity()),
            Some(5000)
        );

        let tail = Tail::new(vec![7; 1000]);
        let lent = OctetString::own(&tail).octets();
        assert_eq!(OctetString::own(&tail).into_vec(), lent);
        assert_eq!(tail.into_buffer(), Some(vec![7; 1000]));
    }
}
