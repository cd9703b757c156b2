//! A library that declares a worker, and re-exports `init` for programs that use it.

pub use offspring::init;

fn negate(number: i32) -> i32 {
    if number == i32::MIN {
        return i32::MAX; // not covered
    }
    -number // covered
}

offspring::worker!(pub NEGATE: fn(i32) -> i32 = negate);

#[cfg(test)]
mod tests {
    #[test]
    fn in_process() {
        let rpc = super::NEGATE.builder().in_process().spawn().unwrap();
        assert_eq!(rpc.call(4).wait().unwrap(), -4);
    }
}
