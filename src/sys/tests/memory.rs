//! Memory files.

use super::{alone, limit_descriptors, open_descriptors, pipe};
use crate::sys::memory::{SealedMap, SharedFile, SharedMap, create_file};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::ftruncate;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

const STEADY: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);
const FROZEN: SealFlag = STEADY.union(SealFlag::F_SEAL_WRITE);

fn file(size: i64, seals: SealFlag) -> OwnedFd {
    let file = create_file().unwrap();
    ftruncate(&file, size).unwrap();
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    file
}

fn duplicate(file: impl AsFd) -> OwnedFd {
    file.as_fd().try_clone_to_owned().unwrap()
}

/// Returns the mappings of the crate's memory files in this process.
fn mapped() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("/memfd:offspring"))
        .count()
}

fn numbers(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 7 + n / 251) as u8).collect()
}

#[test]
fn what_is_sealed_comes_out_as_it_was() {
    for length in [0, 1, 4095, 4096, 4097, 1 << 20] {
        let bytes = numbers(length);
        let copied = SealedMap::copy(&bytes).unwrap();
        let built = SealedMap::build(length, |room| {
            assert!(room.iter().all(|&byte| byte == 0));
            room.copy_from_slice(&bytes);
        });
        for sealed in [copied, built.unwrap()] {
            assert_eq!(sealed.bytes(), bytes);
            let opened = SealedMap::open(duplicate(sealed.file())).unwrap();
            drop(sealed);
            assert_eq!(opened.bytes(), bytes);
        }
    }
}

#[test]
fn no_process_can_change_what_is_sealed() {
    for sealed in [
        SealedMap::copy(b"abc").unwrap(),
        SealedMap::build(3, |room| room.copy_from_slice(b"abc")).unwrap(),
    ] {
        let mut file = File::from(duplicate(sealed.file()));
        assert!(file.write(b"x").is_err());
        assert!(file.set_len(0).is_err() && file.set_len(9).is_err());
        assert!(!can_be_mapped_to_write(&file));
        let unseal = FcntlArg::F_ADD_SEALS(SealFlag::empty());
        assert!(fcntl(&file, unseal).is_err());
        assert_eq!(sealed.bytes(), b"abc");
    }
}

fn can_be_mapped_to_write(file: impl AsFd) -> bool {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let length = NonZeroUsize::new(4096).unwrap();
    // SAFETY: the kernel chooses the place.
    match unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, 0) } {
        // SAFETY: it was just mapped, and no other code knows the address.
        Ok(place) => unsafe { munmap(place, 4096) }.is_ok(),
        Err(_) => false,
    }
}

#[test]
fn what_another_could_change_is_not_sealed() {
    let too_little = [
        SealFlag::empty(),
        STEADY,
        FROZEN - SealFlag::F_SEAL_WRITE,
        FROZEN - SealFlag::F_SEAL_SHRINK,
        FROZEN - SealFlag::F_SEAL_GROW,
        STEADY | SealFlag::from_bits_retain(libc::F_SEAL_FUTURE_WRITE),
    ];
    for seals in too_little {
        let error = SealedMap::open(file(100, seals)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{seals:?}");
    }
    SealedMap::open(file(100, FROZEN)).unwrap();
}

#[test]
fn what_is_no_memory_file_is_refused_unread() {
    let (read, write) = pipe();
    let others = [
        read,
        write,
        File::open("/proc/self/exe").unwrap().into(),
        File::open("/dev/zero").unwrap().into(),
        nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::empty())
            .unwrap()
            .0,
    ];
    for other in others {
        let error = SealedMap::open(duplicate(&other)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let error = SharedFile::new(other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}

/// A page of a file of huge pages may be missing when it is touched. Passes on a machine without huge pages.
#[test]
fn a_file_of_huge_pages_is_refused() {
    let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_HUGETLB | MFdFlags::MFD_CLOEXEC;
    let Ok(file) = memfd_create("test", flags) else {
        return;
    };
    fcntl(&file, FcntlArg::F_ADD_SEALS(FROZEN)).unwrap();
    let error = SealedMap::open(file).unwrap_err();
    assert!(error.to_string().contains("ordinary pages"), "{error}");
}

/// A forked process has a writable mapping.
#[test]
fn what_cannot_be_sealed_is_copied() {
    let file = file(3, SealFlag::empty());
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let length = NonZeroUsize::new(3).unwrap();
    // SAFETY: the kernel chooses the place.
    let place = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &file, 0) }.unwrap();
    File::from(duplicate(&file)).write_all(b"abc").unwrap();
    let sealed = SealedMap::seal_and_map(file, 3).unwrap();
    // SAFETY: the mapping is of three bytes, and no other code uses it.
    unsafe { place.cast::<u8>().write_volatile(b'x') };
    assert_eq!(sealed.bytes(), b"abc");
    assert!(!can_be_mapped_to_write(sealed.file()));
    // SAFETY: it is this test's own.
    unsafe { munmap(place, 3) }.unwrap();
}

#[test]
fn what_lasts_is_seen_by_all_holders() {
    for length in [0, 1, 7, 8, 4096, 100_000] {
        let ours = SharedMap::create(length).unwrap();
        let found = SharedFile::new(duplicate(ours.file())).unwrap();
        assert_eq!(found.identity, ours.identity());
        let theirs = found.map().unwrap();
        assert_eq!((ours.len(), theirs.len()), (length, length));
        let (bytes, mut came) = (numbers(length), vec![1; length]);
        theirs.read(0, &mut came);
        assert_eq!(came, vec![0; length]);
        ours.write(0, &bytes);
        theirs.read(0, &mut came);
        assert_eq!(came, bytes);
        theirs.fill(9);
        ours.read(0, &mut came);
        assert_eq!(came, vec![9; length]);
    }
}

#[test]
fn what_lasts_must_have_a_size_that_lasts() {
    let size = 100;
    for seals in [
        SealFlag::empty(),
        SealFlag::F_SEAL_SHRINK,
        SealFlag::F_SEAL_GROW,
        SealFlag::F_SEAL_WRITE,
    ] {
        let error = SharedFile::new(file(size, seals)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{seals:?}");
    }
    for length in [0, 100] {
        let found = SharedFile::new(file(length, STEADY)).unwrap();
        assert_eq!(found.map().unwrap().len(), length as usize);
    }
    // What cannot be written to is of the other kind.
    assert!(SharedFile::new(file(size, FROZEN)).unwrap().map().is_err());
    let ours = SharedMap::create(100).unwrap();
    assert!(ftruncate(duplicate(ours.file()), 0).is_err());
    assert!(SealedMap::open(duplicate(ours.file())).is_err());
}

#[test]
fn two_files_are_never_the_same() {
    let (one, other) = (SharedMap::create(9).unwrap(), SharedMap::create(9).unwrap());
    let again = SharedFile::new(duplicate(one.file())).unwrap();
    assert_eq!(again.identity, one.identity());
    assert_ne!(other.identity(), one.identity());
}

#[test]
fn beyond_the_end_is_a_panic_and_touches_nothing() {
    let memory = SharedMap::create(10).unwrap();
    memory.fill(1);
    for (at, count) in [(0, 11), (10, 1), (11, 0), (usize::MAX, 1), (3, 20)] {
        let mut bytes = vec![2; count];
        assert!(catch_unwind(AssertUnwindSafe(|| memory.write(at, &bytes))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| memory.read(at, &mut bytes))).is_err());
    }
    memory.read(10, &mut []);
    let mut all = [0; 10];
    memory.read(0, &mut all);
    assert_eq!(all, [1; 10]);
}

/// Writes to bytes of the same word do not affect each other.
#[test]
fn neighbours_do_not_disturb_each_other() {
    let memory = SharedMap::create(8).unwrap();
    thread::scope(|scope| {
        for at in 0..8 {
            let memory = &memory;
            scope.spawn(move || {
                let mut mine = [0];
                for round in 0..20_000_u32 {
                    memory.write(at, &[round as u8]);
                    memory.read(at, &mut mine);
                    assert_eq!(mine[0], round as u8);
                }
            });
        }
    });
}

#[test]
fn nothing_stays_mapped_or_open() {
    alone("memory::nothing_stays_mapped_or_open", || {
        let (open, maps) = (open_descriptors(), mapped());
        let sealed = SealedMap::copy(&numbers(9999)).unwrap();
        let built = SealedMap::build(9999, |room| room.fill(1)).unwrap();
        let lasting = SharedMap::create(9999).unwrap();
        let other = SharedFile::new(duplicate(lasting.file()))
            .unwrap()
            .map()
            .unwrap();
        assert_eq!(
            (open_descriptors().len(), mapped()),
            (open.len() + 4, maps + 4)
        );
        assert!(catch_unwind(|| SealedMap::build(9, |_| panic!("in the middle"))).is_err());
        assert!(SealedMap::open(file(9, STEADY)).is_err());
        drop((sealed, built, lasting, other));
        assert_eq!((open_descriptors(), mapped()), (open, maps));
    });
}

#[test]
fn without_room_there_is_an_error() {
    assert!(SealedMap::build(usize::MAX >> 1, |_| unreachable!()).is_err());
    assert!(SharedMap::create(usize::MAX).is_err());
    assert!(SharedMap::create(usize::MAX >> 1).is_err());
    // More than any address space has: a sender's claim.
    assert!(SealedMap::open(file(i64::MAX - 4095, FROZEN)).is_err());
    alone("memory::without_room_there_is_an_error", || {
        limit_descriptors(3);
        assert_eq!(
            SealedMap::copy(b"a").unwrap_err().raw_os_error(),
            Some(libc::EMFILE)
        );
        assert_eq!(
            SharedMap::create(1).unwrap_err().raw_os_error(),
            Some(libc::EMFILE)
        );
        // The leak checker of a sanitizer opens files at the exit of the process.
        limit_descriptors(64);
    });
}
