//! The arguments of a pool's call, for as long as the call may have to be sent
//! once more.

/// What is sent, until it is certain that it will not be sent again. While it is
/// sent, the sender has it. What is given back here is to be dropped without the
/// lock.
pub(super) struct Kept<T> {
    request: Option<T>,
    is_settled: bool,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            request: None,
            is_settled: false,
        }
    }
}

impl<T> Kept<T> {
    pub(super) fn new(request: T) -> Self {
        Self {
            request: Some(request),
            is_settled: false,
        }
    }

    pub(super) fn take(&mut self) -> T {
        let request = self.request.take();
        request.expect("what waits to be sent is there")
    }

    /// It may have to be sent once more, unless that was settled meanwhile.
    pub(super) fn put(&mut self, request: T) -> Option<T> {
        if self.is_settled {
            return Some(request);
        }
        self.request.replace(request)
    }

    /// It will not be sent again.
    pub(super) fn settle(&mut self) -> Option<T> {
        self.is_settled = true;
        self.request.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer may come while the sender still has what it sends.
    #[test]
    fn what_was_settled_meanwhile_is_not_kept() {
        let mut kept = Kept::default();
        assert_eq!(kept.put("sent"), None);
        assert_eq!(kept.take(), "sent");
        assert_eq!(kept.settle(), None);
        assert_eq!(kept.put("sent"), Some("sent"));
        assert_eq!(kept.settle(), None);
    }
}
