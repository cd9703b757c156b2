use crate::layer::Floats;
use std::cell::RefCell;
use std::io;

/// The output of ciborium.
///
/// ciborium encodes floats in as few bits as possible, down to 16. The Perl original writes 32 or 64
/// bits, and not every reader knows shorter floats. So ciborium's encoding of a float is replaced.
pub(super) struct FloatSink<'a>(RefCell<&'a mut Vec<u8>>);

impl<'a> FloatSink<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(RefCell::new(bytes))
    }
}

impl Floats for FloatSink<'_> {
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

impl io::Write for &FloatSink<'_> {
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
