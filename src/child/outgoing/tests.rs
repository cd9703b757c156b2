//! Of what leaves the child.

use super::*;
use crate::protocol::HEADER;
use crate::sys::Link;

/// Reads until so many octets have come.
fn read(link: &Link, count: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    while octets.len() < count {
        assert!(link.recv(&mut octets, count, &mut None).unwrap() > 0);
    }
    octets
}

fn parcel(fill: u8, length: usize) -> Parcel {
    let mut parcel = Parcel::new();
    parcel.frame.resize(HEADER + length, fill);
    parcel
}

/// What waits to be written goes before a frame with descriptors, and these
/// come with their own.
#[test]
fn descriptors_overtake_nothing() {
    let (link, theirs) = Link::pair().unwrap();
    let (_page, fd) = Page::create().unwrap();
    let own = Some(Page::open(fd.try_clone().unwrap()).unwrap());
    let port = Port::from_socket(theirs).unwrap();
    let abilities = Abilities {
        carries: 100,
        holds: false,
    };
    let outgoing = Outgoing::new(port, Form::Full, 1000, (own, 0), abilities);
    let outgoing = Arc::new(outgoing);
    let (first, mut second) = (parcel(1, 10), parcel(2, 10));
    second.descriptors.push(fd);
    let mut queue = outgoing.queue.lock();
    outgoing.put(&mut queue, &first.frame);
    outgoing
        .send_parcel_in(&mut queue, &mut second, true)
        .unwrap();
    drop(queue);
    let want = [&first.frame[..], &announcement(1), &second.frame].concat();
    let (mut octets, mut arrival) = (Vec::new(), None);
    while octets.len() < want.len() {
        assert!(link.recv(&mut octets, 1000, &mut arrival).unwrap() > 0);
    }
    assert!(octets == want);
    assert_eq!(arrival.unwrap().descriptors.len(), 1);
    assert_eq!(outgoing.queue.lock().place, want.len() as u64);
}

#[test]
fn what_sleeps_for_a_full_link_is_safe() {
    let (link, theirs) = Link::pair().unwrap();
    let (page, fd) = Page::create().unwrap();
    let own = Some(Page::open(fd).unwrap());
    let port = Port::from_socket(theirs).unwrap();
    let mut full = 0;
    while let Some(count) = port.try_send(&[0; 1000]).unwrap() {
        full += count;
    }
    let abilities = Abilities {
        carries: 100,
        holds: false,
    };
    let outgoing = Outgoing::new(port, Form::Full, 1 << 30, (own, full as u64), abilities);
    let outgoing = Arc::new(outgoing);
    let mut sent = parcel(7, 1000);
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| outgoing.result(1, &mut sent, false).unwrap());
        let late = Instant::now() + Duration::from_secs(20);
        let mut safe = Vec::new();
        while safe.is_empty() && Instant::now() < late {
            safe = page.rescue(full as u64);
        }
        assert!(!sends.is_finished(), "the link is full");
        let octets = read(&link, full + HEADER + 1000);
        assert!(safe.len() == HEADER + 1000 && octets[full..] == safe);
    });
}

#[test]
fn one_that_holds_goes_on_while_the_link_is_full() {
    let (link, theirs) = Link::pair().unwrap();
    let (page, fd) = Page::create().unwrap();
    let own = Some(Page::open(fd).unwrap());
    let port = Port::from_socket(theirs).unwrap();
    let abilities = Abilities {
        carries: 100,
        holds: true,
    };
    let outgoing = Outgoing::new(port, Form::Full, 1 << 30, (own, 0), abilities);
    let outgoing = Arc::new(outgoing);
    let mut sent = Vec::new();
    // Nobody reads, and this thread never sleeps for it.
    for fill in (0..=u8::MAX).cycle() {
        let mut parcel = parcel(fill, 1000);
        outgoing.result(1, &mut parcel, true).unwrap();
        sent.extend_from_slice(&parcel.frame);
        outgoing.try_flush().unwrap();
        let queue = outgoing.queue.lock();
        if queue.octets.len() + parcel.frame.len() > HELD {
            assert!(queue.full);
            // If the process died now, nothing would be lost.
            let written = queue.place as usize;
            assert_eq!(page.rescue(queue.place), sent[written..]);
            break;
        }
    }
    // Now somebody reads, and the watcher writes the rest, without a word.
    assert!(read(&link, sent.len()) == sent);
    // What does not fit any more waits for the reader, and comes last.
    let (mut small, mut large) = (parcel(1, 10), parcel(2, 1 << 20));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            outgoing.result(1, &mut small, true).unwrap();
            outgoing.result(1, &mut large, true).unwrap();
        });
        let octets = read(&link, 2 * HEADER + 10 + (1 << 20));
        assert_eq!(octets[HEADER..HEADER + 10], [1; 10]);
        assert!(octets[2 * HEADER + 10..].iter().all(|octet| *octet == 2));
    });
}

/// X82: what was put into the page stays there when the link breaks, and nothing
/// comes behind what was refused.
#[test]
fn a_broken_link_leaves_the_page_as_it_is() {
    for holds in [false, true] {
        let (link, theirs) = Link::pair().unwrap();
        let (page, fd) = Page::create().unwrap();
        let own = Some(Page::open(fd).unwrap());
        let port = Port::from_socket(theirs).unwrap();
        let abilities = Abilities {
            carries: 100,
            holds,
        };
        let outgoing = Outgoing::new(port, Form::Full, 1 << 30, (own, 0), abilities);
        let outgoing = Arc::new(outgoing);
        let (mut first, mut second, mut third) = (parcel(1, 10), parcel(2, 10), parcel(3, 10));
        let large = || parcel(4, HELD);
        let mut queue = outgoing.queue.lock();
        outgoing.put(&mut queue, &first.frame);
        drop(queue);
        drop(link);
        // It is in the page, and the next hears of it.
        outgoing.result(2, &mut second, false).unwrap();
        let want = [&first.frame[..], &second.frame].concat();
        for more in [false, true] {
            assert!(outgoing.result(3, &mut third, more).is_err());
            assert!(outgoing.result(4, &mut large(), more).is_err());
            assert!(outgoing.event(&mut first).is_err());
            assert!(outgoing.flush().is_err());
            assert!(page.rescue(0) == want, "holds: {holds}");
        }
    }
}
