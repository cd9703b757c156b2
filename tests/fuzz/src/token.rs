//! A number in place of a descriptor, for fuzzing the protocol, and a count of the open ones.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use crate::protocol;

pub(crate) type Reader = protocol::FrameReader<Token>;
pub(crate) type Parcel = protocol::Message<Token>;

/// All that are open.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tokens(Rc<RefCell<(u32, HashSet<u32>)>>);

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) number: u32,
    open: Tokens,
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Token {}

impl Drop for Token {
    fn drop(&mut self) {
        assert!(
            self.open.0.borrow_mut().1.remove(&self.number),
            "closed twice"
        );
    }
}

impl Tokens {
    /// Opens one.
    pub(crate) fn open(&self) -> Token {
        let mut all = self.0.borrow_mut();
        all.0 += 1;
        let number = all.0;
        all.1.insert(number);
        Token {
            number,
            open: self.clone(),
        }
    }

    pub(crate) fn some(&self, count: usize) -> Vec<Token> {
        (0..count).map(|_| self.open()).collect()
    }

    /// Fails if one is open still.
    pub(crate) fn assert_none(&self) {
        assert!(
            self.0.borrow().1.is_empty(),
            "descriptors are left open: {:?}",
            self.0.borrow().1
        );
    }
}

/// Room for a header, then these bytes and descriptors.
pub(crate) fn parcel(bytes: &[u8], descriptors: Vec<Token>) -> Parcel {
    let mut parcel = Parcel::in_pool(&mut protocol::BufferPool::new());
    parcel.frame.extend_from_slice(bytes);
    parcel.descriptors = descriptors;
    parcel
}

/// Puts bytes behind those that have come, as many as there is room for; returns the others.
pub(crate) fn feed<'a>(reader: &mut Reader, bytes: &'a [u8]) -> &'a [u8] {
    let room = reader.room_in(&mut protocol::BufferPool::new());
    let (now, later) = bytes.split_at(room.min(bytes.len()));
    reader.buffer().extend_from_slice(now);
    later
}
