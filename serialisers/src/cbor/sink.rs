use crate::layer::Floats;
use std::cell::RefCell;
use std::io;

/// Where ciborium writes.
///
/// ciborium makes floats as short as it can, down to 16 bits. The original never goes below 32,
/// and not every reader knows the shorter ones. So what ciborium has written for a float is
/// replaced.
pub(super) struct Sink<'a>(RefCell<&'a mut Vec<u8>>);

impl<'a> Sink<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(RefCell::new(bytes))
    }
}

impl Floats for Sink<'_> {
    fn written(&self) -> usize {
        self.0.borrow().len()
    }

    fn replace(&self, kept: usize, value: f64) {
        let mut bytes = self.0.borrow_mut();
        bytes.truncate(kept);
        let short = value as f32;
        if f64::from(short) == value {
            bytes.push(0xfa);
            bytes.extend_from_slice(&short.to_be_bytes());
        } else {
            bytes.push(0xfb);
            bytes.extend_from_slice(&value.to_be_bytes());
        }
    }
}

impl io::Write for &Sink<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
