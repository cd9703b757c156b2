//! How a caller moves or lends a descriptor.

use super::{Descriptor, DescriptorRef};
use crate::send_as::SendAs;
use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{ChildStderr, ChildStdin, ChildStdout};

impl<T: AsFd> SendAs<Descriptor<T>> for T {
    type Form = Descriptor<T>;

    fn into_form(self) -> Descriptor<T> {
        Descriptor(self)
    }
}

impl<'a, T: AsFd> SendAs<Descriptor<T>> for &'a T {
    type Form = DescriptorRef<'a>;

    fn into_form(self) -> DescriptorRef<'a> {
        DescriptorRef(self.as_fd())
    }
}

/// Not for all `T`: it would be a second way for a `BorrowedFd` as a `Descriptor<BorrowedFd>`.
macro_rules! lent {
    ($($owner:ty)*) => {$(
        impl<'a> SendAs<Descriptor<$owner>> for BorrowedFd<'a> {
            type Form = DescriptorRef<'a>;

            fn into_form(self) -> DescriptorRef<'a> {
                DescriptorRef(self)
            }
        }

        impl<'a> SendAs<Descriptor<$owner>> for DescriptorRef<'a> {
            type Form = Self;

            fn into_form(self) -> Self {
                self
            }
        }
    )*};
}

lent! {
    OwnedFd File PipeReader PipeWriter
    TcpStream TcpListener UdpSocket
    UnixStream UnixListener UnixDatagram
    ChildStdin ChildStdout ChildStderr
}
