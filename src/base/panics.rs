//! Catching panics of the user's code.

/// Runs the user's code. The error is the text of its panic.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    outcome.map_err(|panic| {
        let text = panic_text(&*panic);
        discard_panic(panic);
        text
    })
}

/// Drops the payload of a panic. If its destructor panics, the payload of that second panic is leaked.
pub(crate) fn discard_panic(payload: Box<dyn std::any::Any + Send>) {
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload)));
    if let Err(another) = dropped {
        std::mem::forget(another);
    }
}

/// Returns the text of a panic, or `Box<dyn Any>` for a payload that is no string.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    text(panic).unwrap_or("Box<dyn Any>").to_owned()
}

/// Returns the text of a payload that is a string.
pub(crate) fn text(panic: &(dyn std::any::Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}
