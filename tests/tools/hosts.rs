//! Pools with children on this and on other machines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::Command;
use std::thread;
use std::time::Duration;

use offspring::{Builder, Call, Pool, PoolBuilder, Started, Template};

use crate::site::{Host, Site, serve};
use crate::support::pooled::{Do, PLACE, POOLED, both};
use crate::support::*;

type Children = Builder<fn(Do) -> String, Json, u32>;
type Mixed = Pool<fn(Do) -> String, Json, u32>;

fn forked() -> Children {
    let template = Template::builder().env(PLACE, "template").start().unwrap();
    POOLED.init(false).template(&template)
}

fn remote(host: &Host, name: &str) -> Children {
    let worker = format!("export {PLACE}={name}; {}", serve("pooled"));
    // The messages of `ssh` for a lost host do not belong to the output of the tests.
    let children = POOLED.init(false).command(host.ssh(&worker));
    children.capture_stderr(1000)
}

/// A pool of two children here, one from a template, two on the first host, one on the second.
fn mixed(hosts: &[Host; 2]) -> PoolBuilder<fn(Do) -> String, Json, u32> {
    let here = POOLED.init(false).env(PLACE, "here").pool();
    here.max(2)
        .quiet()
        .also(1, forked())
        .also(2, remote(&hosts[0], "one"))
        .also(1, remote(&hosts[1], "two"))
        .start(Duration::ZERO)
        .backoff(Duration::from_millis(10), Duration::from_millis(50))
}

/// Maximum number of children.
const ALL: usize = 6;

/// A line of the file that jobs write: the number of the job, the place, the process id.
struct Line(usize, String, u32);

fn lines(temp: &Temp, file: &str) -> Vec<Line> {
    let read = |line: String| {
        let words: Vec<_> = line.split(' ').collect();
        let [job, place, pid] = words[..] else {
            panic!("{line}")
        };
        Line(job.parse().unwrap(), place.into(), pid.parse().unwrap())
    };
    temp.lines(file).into_iter().map(read).collect()
}

/// Counts the lines of each of `count` jobs.
fn counts(lines: &[Line], jobs: usize) -> Vec<usize> {
    let mut counts = vec![0; jobs];
    lines.iter().for_each(|line| counts[line.0] += 1);
    counts
}

/// A job that waits at a gate between its two lines.
fn held(temp: &Temp, job: usize, gate: &Gate) -> Do {
    let line = |file| Do::Visit(temp.path(file), job.to_string());
    both(line("begun"), both(Do::Gate(gate.name()), line("ended")))
}

fn plain(temp: &Temp, job: usize) -> Do {
    let line = |file| Do::Visit(temp.path(file), job.to_string());
    both(line("begun"), line("ended"))
}

/// Asserts that each child runs a job: each place has as many as it has children.
fn each_has_one(begun: &[Line]) {
    let mut places = BTreeMap::new();
    for Line(_, place, _) in begun {
        *places.entry(place.as_str()).or_default() += 1;
    }
    let all = [("here", 2), ("template", 1), ("one", 2), ("two", 1)];
    assert_eq!(places, BTreeMap::from(all));
    let pids: BTreeSet<_> = begun.iter().map(|line| line.2).collect();
    assert_eq!(pids.len(), ALL);
}

/// Gives each child a job that waits at a gate, and returns when all have begun.
fn occupy(temp: &Temp, gates: &[Gate], pool: &Mixed, first: usize) -> Occupied {
    let job = |(n, gate)| pool.call(held(temp, first + n, gate));
    let calls: Vec<_> = gates.iter().enumerate().map(job).collect();
    let open = gates.iter().map(|gate| Some(gate.reached())).collect();
    (calls, open)
}

/// The calls, and their gates.
type Occupied = (Vec<Call<String, u32>>, Vec<Option<File>>);

fn gates(temp: &Temp, name: &str) -> Vec<Gate> {
    let gate = |n| temp.gate(&format!("{name}{n}"));
    (0..ALL).map(gate).collect()
}

pub(crate) fn all_kinds_of_children_share_the_work() {
    let _guard = guard();
    let site = Site::new();
    let hosts = [site.host(), site.host()];
    let temp = Temp::new();
    let pool = mixed(&hosts).load(1).begin();
    let gates = gates(&temp, "gate");
    let (mut calls, open) = occupy(&temp, &gates, &pool, 0);
    each_has_one(&lines(&temp, "begun"));
    let count = ALL + rounds(300) as usize;
    calls.extend((ALL..count).map(|job| pool.call(plain(&temp, job))));
    drop(open);
    for call in calls {
        assert_eq!(call.wait().unwrap(), "done");
    }
    for file in ["begun", "ended"] {
        assert_eq!(counts(&lines(&temp, file), count), vec![1; count]);
    }
    until(|| pool.status().answered == count as u64);
    let status = pool.status();
    assert_eq!((status.started, status.died), (ALL as u64, 0), "{status:?}");
}

/// A host is lost while each child runs a job and calls wait, and returns later.
pub(crate) fn a_host_is_lost_and_returns() {
    let _guard = guard();
    let site = Site::new();
    let hosts = [site.host(), site.host()];
    let temp = Temp::new();
    let pool = mixed(&hosts).load(1).idle(ALL).begin();
    until(|| pool.status().idle == ALL);
    let first = gates(&temp, "first");
    let (mut calls, mut open) = occupy(&temp, &first, &pool, 0);
    let begun = lines(&temp, "begun");
    each_has_one(&begun);
    let lost: Vec<_> = begun.iter().filter(|line| line.1 == "one").collect();
    // One of the two calls that will be lost is repeatable.
    let (again, never) = (lost[0].0, lost[1].0);
    let call = calls.remove(again).repeat(1);
    calls.insert(again, call);
    let count = ALL + 20;
    calls.extend((ALL..count).map(|job| pool.call(plain(&temp, job))));
    hosts[0].down();
    let failed = pool.status().failed;
    until(|| pool.status().died == 2 && pool.status().failed > failed + 2);
    // The workers there notice that the link is cut, and must not go on.
    until(|| lost.iter().all(|line| !is_alive(line.2)));
    // Its own gate first: it runs as soon as another child is free, and waits at the gate again.
    drop(open[again].take());
    drop(open);
    drop(first[again].reached());
    for (job, call) in calls.into_iter().enumerate() {
        let outcome = quickly(|| call.wait());
        if job == never {
            let error = outcome.unwrap_err();
            assert!(error.is_child_dead(), "{error}");
            assert_ne!(error.started(), Started::No);
        } else {
            assert_eq!(outcome.unwrap(), "done", "{job}");
        }
    }
    let mut wanted = vec![1; count];
    wanted[again] = 2;
    assert_eq!(counts(&lines(&temp, "begun"), count), wanted);
    (wanted[again], wanted[never]) = (1, 0);
    let ended = lines(&temp, "ended");
    assert_eq!(counts(&ended, count), wanted);
    assert!(ended.iter().all(|line| line.1 != "one"));

    hosts[0].up();
    until(|| pool.status().idle == ALL);
    let second = gates(&temp, "second");
    let (calls, open) = occupy(&temp, &second, &pool, count);
    each_has_one(&lines(&temp, "begun").split_off(count + 1));
    drop(open);
    for call in calls {
        assert_eq!(call.wait().unwrap(), "done");
    }
}

/// Hosts are lost, cut off and reachable again at any time. No call runs twice, and what is reported of each is true.
pub(crate) fn hosts_come_and_go_under_load() {
    let _guard = guard();
    let site = Site::new();
    let hosts = [site.host(), site.host()];
    let temp = Temp::new();
    let pool = mixed(&hosts).load(3).idle(ALL).begin();
    until(|| pool.status().idle == ALL);
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let count = rounds(1000) as usize;
    let calls: Vec<_> = (0..count)
        .map(|job| pool.call(both(plain(&temp, job), Do::Sleep(1))))
        .collect();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let waits = scope.spawn(|| calls.into_iter().map(Call::wait).collect());
        let mut random = Random(seed | 1);
        while !waits.is_finished() {
            let host = &hosts[random.below(2) as usize];
            match random.below(2) {
                0 => host.cut(),
                _ => {
                    host.down();
                    thread::sleep(Duration::from_millis(random.below(30)));
                    host.up();
                }
            }
            thread::sleep(Duration::from_millis(random.below(300)));
        }
        waits.join().unwrap()
    });
    pool.join().wait().unwrap();
    // Workers that were cut off may still run.
    quickly(|| drop(site));
    let begun = counts(&lines(&temp, "begun"), count);
    let ended = counts(&lines(&temp, "ended"), count);
    for (job, outcome) in outcomes.iter().enumerate() {
        let ran = (begun[job], ended[job]);
        match outcome {
            Ok(_) => assert_eq!(ran, (1, 1), "seed {seed}, job {job}"),
            Err(error) => {
                assert!(error.is_child_dead(), "seed {seed}, job {job}: {error}");
                assert_ne!(error.started(), Started::No, "seed {seed}, job {job}");
                assert!(ran.0 <= 1 && ran.1 <= 1, "seed {seed}, job {job}: {ran:?}");
            }
        }
    }
}

/// An answer is sent and lost: the call behind it has begun, too, and must not run again.
pub(crate) fn answers_that_are_lost_on_the_way() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let worker = serving("pooled");
    let mut relay = Command::new("sh");
    relay.args(["-c", "\"$@\" | cat", "sh"]);
    relay.arg(worker.get_program()).args(worker.get_args());
    relay.env(PLACE, "there");
    let pool = POOLED.init(false).command(relay).pool();
    let pool = pool.max(1).quiet();
    let pool = pool.backoff(Duration::ZERO, Duration::ZERO);
    let pool = pool.begin();
    let calls = [held(&temp, 0, &gate), plain(&temp, 1)].map(|job| pool.call(job));
    let open = gate.reached();
    let [shell] = children()[..] else {
        panic!("{:?}", children())
    };
    let worker = lines(&temp, "begun")[0].2;
    let mut others = children_of(shell).into_iter();
    let cat = others.find(|pid| *pid != worker).unwrap();
    stop(cat);
    drop(open);
    until(|| counts(&lines(&temp, "ended"), 2) == [1, 1]);
    kill_process(shell);
    kill_process(cat);
    for call in calls {
        let error = quickly(|| call.wait().unwrap_err());
        assert_eq!(error.started(), Started::Unknown, "{error}");
    }
    pool.join().wait().unwrap();
    until(|| !is_alive(worker));
    assert_eq!(counts(&lines(&temp, "begun"), 2), [1, 1]);
}
