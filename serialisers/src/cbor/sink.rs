use crate::layer::Floats;
use serde::ser::Serializer;
use std::cell::{Cell, RefCell};
use std::io;

/// Where ciborium writes, and how floating-point numbers get there.
///
/// ciborium makes them as short as it can, down to 16 bits. The original never goes below 32,
/// and not every reader knows the shorter ones. So the number is written here, and what ciborium
/// writes for it is dropped.
pub(super) struct Sink<'a> {
    octets: RefCell<&'a mut Vec<u8>>,
    closed: Cell<bool>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(octets: &'a mut Vec<u8>) -> Self {
        Self {
            octets: RefCell::new(octets),
            closed: Cell::new(false),
        }
    }

    #[inline]
    fn push(&self, octets: &[u8]) {
        if !self.closed.get() {
            self.octets.borrow_mut().extend_from_slice(octets);
        }
    }

    #[inline]
    fn push_float(&self, value: f64) {
        let short = value as f32;
        if f64::from(short) == value {
            self.push(&[0xfa]);
            self.push(&short.to_be_bytes());
        } else {
            self.push(&[0xfb]);
            self.push(&value.to_be_bytes());
        }
    }
}

impl io::Write for &Sink<'_> {
    #[inline]
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.push(octets);
        Ok(octets.len())
    }

    #[inline]
    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        self.push(octets);
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Floats for Sink<'_> {
    #[inline]
    fn f32<S: Serializer>(&self, serializer: S, value: f32) -> Result<S::Ok, S::Error> {
        self.f64(serializer, value.into())
    }

    #[inline]
    fn f64<S: Serializer>(&self, serializer: S, value: f64) -> Result<S::Ok, S::Error> {
        self.push_float(value);
        self.closed.set(true);
        let written = serializer.serialize_f64(value);
        self.closed.set(false);
        written
    }
}
