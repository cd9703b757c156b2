//! The payloads of hello and of failures: what is read can be written, and is then read as the same.

use arbitrary::Unstructured;

use crate::protocol::{Failure, Hello, Role, VERSION, may_be_hello, show};

pub(crate) fn run(data: &[u8]) {
    let _ = (may_be_hello(data), show(data));
    if let Ok(hello) = Hello::parse(data) {
        assert!(hello.version != VERSION || hello.to_bytes() == data);
        assert!(hello.version != VERSION || Hello::parse(&hello.to_bytes()).unwrap() == hello);
        let _ = hello.is_of_child();
        for name in ["worker", "max-message", "error", "limits", ""] {
            let (field, text, number) = (hello.field(name), hello.text(name), hello.number(name));
            assert!(field.is_some() || (text.is_empty() && number.is_none()));
        }
    }
    if let Ok(failure) = Failure::parse(data) {
        let again = Failure::parse(&failure.to_bytes()).unwrap();
        let is_short = data.len() < 4 << 10;
        assert!(!is_short || again == failure);
    }
    let _ = written(&mut Unstructured::new(data));
}

/// Fields are read as they were written, the first of those with one name.
fn written(data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let fields: Vec<(&str, &[u8])> = data.arbitrary()?;
    let role = if data.arbitrary()? {
        Role::Parent
    } else {
        Role::Child
    };
    let hello = fields
        .iter()
        .fold(Hello::new(role), |hello, (name, value)| {
            hello.with(name, value)
        });
    match Hello::parse(&hello.to_bytes()) {
        Ok(read) => {
            assert!(fields.len() <= 64 && read == hello);
            for (name, _) in &fields {
                let first = fields
                    .iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| *value);
                assert_eq!(read.field(name), first);
            }
        }
        Err(violation) => assert!(fields.len() > 64, "{violation:?}"),
    }
    Ok(())
}
