//! The table of the descriptors of a value.
//!
//! While a value is encoded, its descriptors are collected. They are added to the output's table once
//! the whole value is encoded. So a value that fails half-way leaves none in the table, and a panic
//! closes them. A decoder takes each descriptor once. The others are closed with the table.

use crate::error::Error;
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

/// The table of descriptors that are sent with a value: part of an
/// [`Output`](crate::Output).
///
/// ```
/// use offspring_serialisers::Output;
///
/// let mut bytes = Vec::new();
/// let mut output = Output::new(&mut bytes);
/// let (bytes, descriptors) = output.split();
/// bytes.extend(b"abc");
/// assert!(!descriptors.are_carried());
/// ```
#[derive(Debug)]
pub struct Descriptors<'a> {
    table: Option<&'a mut Vec<OwnedFd>>,
    /// Index in the table of the first descriptor of this value.
    first: usize,
}

impl<'a> Descriptors<'a> {
    /// `table` is `None` if the link carries no descriptors.
    pub(crate) fn new(table: Option<&'a mut Vec<OwnedFd>>) -> Self {
        let first = table.as_ref().map_or(0, |table| table.len());
        Self { table, first }
    }

    /// Returns whether the link carries descriptors.
    ///
    /// ```
    /// # use offspring_serialisers::Output;
    /// let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    /// let mut output = Output::with_descriptors(&mut bytes, &mut descriptors);
    /// assert!(output.split().1.are_carried());
    /// ```
    pub fn are_carried(&self) -> bool {
        self.table.is_some()
    }

    pub(crate) fn push(&mut self, descriptor: OwnedFd) -> Result<u32, Error> {
        let collected = self.collect();
        let index = collected.add(|| Ok(descriptor))?;
        self.accept(collected);
        Ok(index)
    }

    /// Starts to collect the descriptors of a value that is encoded next.
    pub(crate) fn collect(&self) -> Collected {
        let before = self.table.as_ref().map(|table| table.len() - self.first);
        Collected {
            before,
            descriptors: RefCell::default(),
        }
    }

    /// Adds the descriptors of a value that is encoded.
    pub(crate) fn accept(&mut self, collected: Collected) {
        if let Some(table) = &mut self.table {
            table.append(&mut collected.descriptors.into_inner());
        }
    }
}

/// The descriptors of a value that is being encoded.
#[derive(Debug)]
pub(crate) struct Collected {
    /// Number of descriptors before them in the table. `None` if the link carries none.
    before: Option<usize>,
    descriptors: RefCell<Vec<OwnedFd>>,
}

impl Collected {
    pub(crate) fn are_carried(&self) -> bool {
        self.before.is_some()
    }

    /// Adds the descriptor that `duplicate` returns, and returns its index in the table.
    pub(crate) fn add(
        &self,
        duplicate: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<u32, Error> {
        let none = || {
            Error::new(
                "descriptors cannot be sent here: the link carries none (that of a `program` does, unless it is `plain`)",
            )
        };
        let before = self.before.ok_or_else(none)?;
        let failed = |error| Error::new(format!("a descriptor cannot be duplicated: {error}"));
        let duplicate = duplicate().map_err(failed)?;
        let mut descriptors = self.descriptors.borrow_mut();
        let index = u32::try_from(before + descriptors.len());
        let index = index.map_err(|_| Error::new("more descriptors than can be counted"))?;
        descriptors.push(duplicate);
        Ok(index)
    }
}

/// The descriptors that arrived with a value.
#[derive(Debug, Default)]
pub(crate) struct Received(RefCell<Vec<Option<OwnedFd>>>);

impl Received {
    pub(crate) fn new(descriptors: Vec<OwnedFd>) -> Self {
        Self(RefCell::new(descriptors.into_iter().map(Some).collect()))
    }

    /// Duplicates those that are not taken, at the same indices.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let descriptors = self.0.borrow();
        let clone = |descriptor: &Option<OwnedFd>| {
            let clone = descriptor.as_ref().map(OwnedFd::try_clone);
            clone.transpose()
        };
        let clones: io::Result<Vec<_>> = descriptors.iter().map(clone).collect();
        clones.map(|clones| Self(RefCell::new(clones)))
    }

    /// Returns the number that arrived, taken or not.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn take(&self, index: u32) -> Result<OwnedFd, Error> {
        let came = self.count();
        let mut descriptors = self.0.borrow_mut();
        let place = usize::try_from(index).ok();
        let Some(descriptor) = place.and_then(|index| descriptors.get_mut(index)) else {
            return Err(Error::new(format!(
                "the value has a descriptor of index {index}, but {came} came along"
            )));
        };
        let taken = || Error::new(format!("the value has the descriptor {index} twice"));
        descriptor.take().ok_or_else(taken)
    }
}
