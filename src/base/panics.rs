//! Panics of code that is not the crate's: they go no further.

/// Runs foreign code; a panic goes no further, and says what it said.
pub(crate) fn shielded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    outcome.map_err(|panic| {
        let text = panic_text(&*panic);
        discard_panic(panic);
        text
    })
}

/// Drops the payload of a panic. It may panic when it is dropped, and so may the payload of that panic, which is leaked.
pub(crate) fn discard_panic(payload: Box<dyn std::any::Any + Send>) {
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload)));
    if let Err(another) = dropped {
        std::mem::forget(another);
    }
}

/// The text of a panic; that of the standard library if it has none.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("Box<dyn Any>").to_owned()
}
