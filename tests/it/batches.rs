//! Calls that share system calls: no finished answer is lost or waits for a later call, and `started` stays exact.
//!
//! Repetitions are scaled: with `OFFSPRING_TEST_SCALE` at 100 each case runs ten thousand times.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use nix::sys::signal::{Signal, raise};
use offspring::{Builder, Call, Pool, Rpc, Started, Template, worker};
use serde::{Deserialize, Serialize};

use crate::support::*;

/// The job of a call, after it has counted its run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Act {
    Return,
    Die,
    Sleep(Duration),
}

/// A file with a byte per call, which counts its runs. It outlives the child.
fn open(path: String) -> Result<File, String> {
    let file = File::options().read(true).write(true).open(path);
    file.map_err(|error| error.to_string())
}

fn act(runs: &File, number: u32, act: Act) -> u32 {
    let mut count = [0];
    // A byte behind the end of the file counts as zero.
    let _ = runs.read_at(&mut count, number.into()).unwrap();
    runs.write_all_at(&[count[0] + 1], number.into()).unwrap();
    match act {
        Act::Return => {}
        Act::Die => raise(Signal::SIGKILL).unwrap(),
        Act::Sleep(time) => thread::sleep(time),
    }
    number
}

fn one_by_one(runs: &mut File, number: u32, what: Act) -> u32 {
    act(runs, number, what)
}

worker!(BLOCKING: fn(u32, Act) -> u32 = one_by_one, init(String) = open, serialiser = Json);

#[cfg(feature = "concurrent")]
async fn at_once(runs: &File, number: u32, what: Act) -> u32 {
    act(runs, number, what)
}

#[cfg(feature = "concurrent")]
worker!(CONCURRENT: fn(u32, Act) -> u32 = at_once, init(String) = open, serialiser = Json);

type Signature = fn(u32, Act) -> u32;
type Children = Builder<Signature, Json>;

/// Returns the counted runs of `count` calls.
struct Runs {
    temp: Temp,
    file: File,
}

impl Runs {
    fn new() -> Self {
        let temp = Temp::new();
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true);
        let file = options.open(temp.path("runs")).unwrap();
        Self { temp, file }
    }

    fn path(&self) -> String {
        self.temp.path("runs")
    }

    fn none(&self) {
        self.file.set_len(0).unwrap();
    }

    fn of(&self, count: usize) -> Vec<u8> {
        let mut runs = vec![0; count];
        let mut read = 0;
        while let Ok(more @ 1..) = self.file.read_at(&mut runs[read..], read as u64) {
            read += more;
        }
        runs
    }
}

/// Every kind of child, with a name.
fn kinds(runs: &Runs, each: impl Fn(&str, &dyn Fn() -> Children)) {
    let path = || runs.path();
    let template = Template::builder().start().unwrap();
    each("blocking, exec", &|| BLOCKING.init(path()));
    each("blocking, template", &|| {
        BLOCKING.init(path()).template(&template)
    });
    #[cfg(feature = "concurrent")]
    {
        each("concurrent, exec", &|| CONCURRENT.init(path()));
        each("concurrent, template", &|| {
            CONCURRENT.init(path()).template(&template)
        });
    }
}

const HUNDRED: u32 = 100;

/// Returns a hundred calls, of which the last kills the child, and some more behind it.
fn hundred(rpc: &Rpc<Signature, Json>, more: u32) -> Vec<Call<u32>> {
    let act = |n| {
        if n == HUNDRED - 1 {
            Act::Die
        } else {
            Act::Return
        }
    };
    (0..HUNDRED + more).map(|n| rpc.call(n, act(n))).collect()
}

/// G3, G5: the last of a hundred calls kills the child. All finished answers arrive, the last call had started, later ones
/// had not.
#[test]
fn the_last_of_a_hundred_kills_the_child() {
    let _guard = guard();
    let runs = Runs::new();
    kinds(&runs, |kind, children| {
        for round in 0..rounds(100) {
            runs.none();
            let rpc = children().quiet().begin();
            let calls = hundred(&rpc, (round % 3) * 10);
            if round % 2 == 0 {
                // No thread reads before the child has exited.
                until(|| !is_alive(rpc.pid().unwrap()));
            }
            for (n, call) in (0..).zip(calls) {
                let outcome = if round % 4 < 2 {
                    call.wait()
                } else {
                    block_on(call)
                };
                if n < HUNDRED - 1 {
                    assert_eq!(outcome.unwrap(), n, "{kind}");
                    continue;
                }
                let error = outcome.unwrap_err();
                let started = if n == HUNDRED - 1 {
                    Started::Yes
                } else {
                    Started::No
                };
                assert_eq!(error.started(), started, "{kind}, {n}: {error}");
                assert_eq!(error.crash().unwrap().status().signal(), Some(9));
            }
            let mut wanted = vec![1; HUNDRED as usize];
            wanted.resize(HUNDRED as usize + 30, 0);
            assert_eq!(runs.of(wanted.len()), wanted, "{kind}");
            rpc.join().wait().unwrap();
        }
    });
}

/// The same with a kill from outside at any moment. The counted runs say which calls were finished, because each is
/// finished before the next one starts.
#[test]
fn a_hundred_are_killed_anywhere() {
    let _guard = guard();
    let runs = Runs::new();
    kinds(&runs, |kind, children| {
        let mut random = Random::new();
        for round in 0..rounds(100) {
            runs.none();
            let rpc = children().quiet().begin();
            rpc.ready().wait().unwrap();
            let moment = Duration::from_micros(random.below(2000));
            let outcomes: Vec<_> = thread::scope(|scope| {
                let calls: Vec<_> = (0..HUNDRED).map(|n| rpc.call(n, Act::Return)).collect();
                let wait = || calls.into_iter().map(Call::wait).collect();
                let kills = || {
                    thread::sleep(moment);
                    kill_process(rpc.pid().unwrap());
                };
                if round % 2 == 0 {
                    scope.spawn(kills);
                    return wait();
                }
                kills();
                wait()
            });
            let ran = runs.of(HUNDRED as usize);
            let count = ran.iter().filter(|runs| **runs == 1).count();
            assert!(
                ran.is_sorted_by(|one, next| one >= next) && ran[0] <= 1,
                "{kind}: {ran:?}"
            );
            let started: Vec<_> = outcomes
                .iter()
                .map(|outcome| match outcome {
                    Ok(_) => None,
                    Err(error) => Some(error.started()),
                })
                .collect();
            let finished = started
                .iter()
                .take_while(|started| started.is_none())
                .count();
            // The last call that was counted may not have finished.
            assert!(
                finished <= count && count <= finished + 1,
                "{kind}: {count}, {started:?}"
            );
            for (n, started) in started.iter().enumerate().skip(finished) {
                // The child may have been killed before the call was counted.
                let may = if n == finished {
                    count == n || *started == Some(Started::Yes)
                } else {
                    *started == Some(Started::No)
                };
                assert!(may, "{kind}: {n} of {count}, {started:?}");
            }
            rpc.join().wait().unwrap();
        }
    });
}

/// In a pool, calls that had not started run in another child: none is lost, and none runs twice.
#[test]
fn the_last_of_a_hundred_kills_a_child_of_a_pool() {
    let _guard = guard();
    let runs = Runs::new();
    kinds(&runs, |kind, children| {
        let of = |max: usize| -> Pool<Signature, Json> {
            let pool = children().pool().quiet().max(max).idle(max);
            let pool = pool.load(HUNDRED as usize).start(Duration::ZERO);
            pool.backoff(Duration::ZERO, Duration::ZERO).begin()
        };
        for max in [1, 2] {
            let pool = of(max);
            for _ in 0..rounds(50) {
                runs.none();
                until(|| pool.status().idle == max);
                for (n, call) in (0..).zip(hundred(&pool, 20)) {
                    match call.wait() {
                        Ok(number) => assert_eq!(number, n, "{kind}"),
                        Err(error) => {
                            assert_eq!(n, HUNDRED - 1, "{kind}: {error}");
                            assert_eq!(error.started(), Started::Yes, "{kind}: {error}");
                        }
                    }
                }
                let all = HUNDRED as usize + 20;
                assert_eq!(runs.of(all), vec![1; all], "{kind}");
            }
            pool.join().wait().unwrap();
        }
    });
}

/// How the answer of a quick call is awaited.
#[derive(Debug, Clone, Copy)]
enum Way {
    Wait,
    Await,
    Callback,
    /// By the thread that waits for the slow call.
    Others,
}

/// Answers to quick calls do not wait for a slow one that is sent with them: each arrives within milliseconds.
#[test]
fn quick_answers_do_not_wait_for_a_slow_call() {
    let _guard = guard();
    let runs = Runs::new();
    kinds(&runs, |kind, children| {
        for way in [Way::Wait, Way::Await, Way::Callback, Way::Others] {
            let mut took: Vec<_> = (0..5).map(|_| slowest_answer(&children, way)).collect();
            took.sort_unstable();
            // The promise is a few milliseconds. A loaded machine may take longer,
            // but not the whole second of the slow call.
            let (usual, worst) = (took[2], took[4]);
            assert!(
                usual < limit(Duration::from_millis(50)),
                "{kind}, {way:?}: {took:?}"
            );
            assert!(worst < SLOW / 2, "{kind}, {way:?}: {took:?}");
        }
    });
}

const SLOW: Duration = Duration::from_secs(1);

/// A hundred quick calls are sent with a slow one, and another behind it.
fn slowest_answer(children: &dyn Fn() -> Children, way: Way) -> Duration {
    let rpc = children().quiet().begin();
    rpc.call(0, Act::Return).wait().unwrap();
    let start = Instant::now();
    let quick: Vec<_> = (0..HUNDRED).map(|n| rpc.call(n, Act::Return)).collect();
    let slow = rpc.call(HUNDRED, Act::Sleep(SLOW));
    let behind = rpc.call(0, Act::Return);
    let slowest = thread::scope(|scope| {
        let others = matches!(way, Way::Others);
        let (waits, keeps) = if others {
            (Some(slow), None)
        } else {
            (None, Some(slow))
        };
        let waits = scope.spawn(|| waits.map(Call::wait));
        let slowest = match way {
            Way::Wait => {
                answers(quick);
                start.elapsed()
            }
            Way::Await => {
                quick
                    .into_iter()
                    .for_each(|call| _ = block_on(call).unwrap());
                start.elapsed()
            }
            Way::Callback | Way::Others => {
                let (sender, came) = channel();
                for call in quick {
                    let sender = sender.clone();
                    call.on_done(move |_| sender.send(start.elapsed()).unwrap());
                }
                drop(sender);
                came.iter().max().unwrap()
            }
        };
        rpc.kill();
        // They fail with the child, if they were awaited too late.
        let _ = (waits.join().unwrap(), keeps.map(Call::wait));
        slowest
    });
    let _ = behind.wait();
    rpc.join().wait().unwrap();
    slowest
}
