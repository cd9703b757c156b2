//! A service in the plain form, with Perl and Python at either end. A call is an array that begins with the method's name.

use std::process::{Command, Stdio};

use offspring::{Events, service, worker};

use crate::support::*;

service! {
    /// Keeps words, as byte strings: for Perl.
    pub(crate) trait Words => WordsClient, events = String {
        /// Adds a word, and returns how many there are.
        fn add(&mut self, word: String, times: u32) -> u32;
        /// Returns the words that begin like this, with an event for each.
        fn find(&self, begin: String, events: &Events<String>) -> Vec<String>;
        fn clear(&mut self);
    }
}

service! {
    /// The same in JSON: for Python.
    pub(crate) trait Notes => NotesClient, serialiser = Json, events = String {
        fn add(&mut self, word: String, times: u32) -> u32;
        fn find(&self, begin: Option<String>, events: &Events<String>) -> Vec<String>;
        fn clear(&mut self);
    }
}

#[derive(Default)]
struct List(Vec<String>);

impl List {
    fn add(&mut self, word: &str, times: u32) -> u32 {
        self.0.extend((0..times).map(|_| word.to_owned()));
        self.0.len() as u32
    }

    fn find(&self, begin: &str, events: &Events<String>) -> Vec<String> {
        let found: Vec<_> = self
            .0
            .iter()
            .filter(|word| word.starts_with(begin))
            .cloned()
            .collect();
        for word in &found {
            events.send(word.clone()).unwrap();
        }
        found
    }
}

impl Words for List {
    fn add(&mut self, word: String, times: u32) -> u32 {
        Self::add(self, &word, times)
    }
    fn find(&self, begin: String, events: &Events<String>) -> Vec<String> {
        Self::find(self, &begin, events)
    }
    fn clear(&mut self) {
        self.0.clear();
    }
}

impl Notes for List {
    fn add(&mut self, word: String, times: u32) -> u32 {
        Self::add(self, &word, times)
    }
    fn find(&self, begin: Option<String>, events: &Events<String>) -> Vec<String> {
        Self::find(self, &begin.unwrap_or_default(), events)
    }
    fn clear(&mut self) {
        self.0.clear();
    }
}

worker!(pub(crate) WORDS: dyn Words = List::default, name = "words");
worker!(pub(crate) NOTES: dyn Notes = List::default, name = "notes");

/// Both clients have the same methods.
macro_rules! check {
    ($builder:expr, $prefix:expr, $all:expr) => {{
        let (sender, events) = std::sync::mpsc::channel();
        let rpc = $builder
            .on_event(move |event| sender.send(event).unwrap())
            .begin();
        assert_eq!(rpc.add("one", 2).wait().unwrap(), 2);
        assert_eq!(rpc.add("two", 1).wait().unwrap(), 3);
        assert_eq!(rpc.find($prefix).wait().unwrap(), ["two"]);
        assert_eq!(rpc.find($all).wait().unwrap(), ["one", "one", "two"]);
        rpc.clear().wait().unwrap();
        assert_eq!(rpc.find($all).wait().unwrap(), [""; 0]);
        // Many in flight, and text that is not ASCII.
        let counts = rpc.map_calls(1..=100, |rpc, n| {
            rpc.add("\u{fc}\u{1f980}\n", u32::from(n == 50))
        });
        let counts: Vec<_> = counts.into_iter().map(Result::unwrap).collect();
        assert_eq!(counts, [[0; 49].as_slice(), &[1; 51]].concat());
        assert_eq!(rpc.find($all).wait().unwrap(), ["\u{fc}\u{1f980}\n"]);
        assert!(rpc.join().wait().unwrap().success());
        let events: Vec<String> = events.iter().collect();
        assert_eq!(events, ["two", "one", "one", "two", "\u{fc}\u{1f980}\n"]);
    }};
}

fn script(words: &[&str], text: &str) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(text);
    command
}

/// Runs a script that starts the worker of this name, and returns what it prints.
fn run(mut script: Command, worker: &str) -> String {
    let worker = serving(worker);
    script.arg(worker.get_program()).args(worker.get_args());
    let output = script.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

const PERL_SERVER: &str = r#"
    use strict;
    my @words;
    my $event = sub { print pack "NN/a*", 0, pack "(w/a*)*", @_ };
    my %methods = (
        add => sub { push @words, ($_[0]) x $_[1]; scalar @words },
        find => sub { my $begin = shift; my @found = grep /^\Q$begin/, @words; $event->($_) for @found; @found },
        clear => sub { @words = (); () },
    );
    binmode STDIN; binmode STDOUT; $| = 1;
    while (8 == read STDIN, my $header, 8) {
        my ($id, $length) = unpack "NN", $header;
        read STDIN, my $arguments, $length;
        my ($method, @arguments) = unpack "(w/a*)*", $arguments;
        my $code = $methods{$method} or die "no method $method";
        my @result = $code->(@arguments);
        print pack "NN/a*", $id, pack "(w/a*)*", @result;
    }
"#;

const PERL_CLIENT: &str = r#"
    use strict;
    use IPC::Open2;
    my $pid = open2 my $from, my $to, @ARGV;
    binmode $from; binmode $to;
    my ($id, @events) = (0);
    my $rpc = sub {
        syswrite $to, pack "NN/a*", ++$id, pack "(w/a*)*", @_;
        while (8 == read $from, my $header, 8) {
            my ($answered, $length) = unpack "NN", $header;
            read $from, my $answer, $length;
            my @strings = unpack "(w/a*)*", $answer;
            return @strings if $answered == $id;
            push @events, @strings;
        }
        die "no answer to @_";
    };
    my $is = sub { my ($expected, @got) = @_; "@got" eq $expected or die "@got instead of $expected" };
    $is->("2", $rpc->(add => "one", 2));
    $is->("3", $rpc->(add => "two", 1));
    $is->("two", $rpc->(find => "t"));
    $is->("one one two", $rpc->(find => ""));
    $is->("", $rpc->("clear"));
    $is->("", $rpc->(find => ""));
    $is->("two one one two", @events);
    # A method that there is not ends the child.
    eval { $rpc->(none => 1) };
    $@ =~ /no answer to none 1/ or die "there was an answer";
    waitpid $pid, 0;
    exit !($? >> 8 == 101);
"#;

const PYTHON_SERVER: &str = r#"
import json, struct, sys

def read(stream):
    header = stream.read(8)
    if len(header) < 8:
        return None
    number, length = struct.unpack(">II", header)
    return number, json.loads(stream.read(length))

def write(stream, number, value):
    payload = json.dumps(value).encode()
    stream.write(struct.pack(">II", number, len(payload)) + payload)
    stream.flush()

class Notes:
    def __init__(self):
        self.words = []

    def add(self, word, times):
        self.words += [word] * times
        return len(self.words)

    def find(self, begin):
        found = [word for word in self.words if word.startswith(begin or "")]
        for word in found:
            write(sys.stdout.buffer, 0, word)
        return found

    def clear(self):
        self.words.clear()

notes = Notes()
while frame := read(sys.stdin.buffer):
    number, (method, *arguments) = frame
    write(sys.stdout.buffer, number, getattr(notes, method)(*arguments))
"#;

pub(crate) fn perl_serves() {
    let _guard = guard();
    let perl = || script(&["perl", "-e"], PERL_SERVER);
    check!(WORDS.command(perl()).plain(), "t", "");
    // A pool of them, too.
    let pool = WORDS.command(perl()).plain().pool().max(2).begin();
    let added = pool.map_calls(0..20, |words, n| words.add(n.to_string(), 0));
    assert!(added.into_iter().all(|count| count.unwrap() == 0));
    pool.join().wait().unwrap();
}

pub(crate) fn perl_calls() {
    let _guard = guard();
    run(script(&["perl", "-e"], PERL_CLIENT), "words");
}

pub(crate) fn python_serves() {
    let _guard = guard();
    let python = script(&["python3", "-c"], PYTHON_SERVER);
    check!(
        NOTES.command(python).plain(),
        Some("t".to_owned()),
        None::<String>
    );
}

pub(crate) fn python_calls() {
    let _guard = guard();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python_parent.py");
    let printed = run(script(&["python3"], path), "notes");
    // A method that there is not ends the child.
    let wanted = "2\n3\n['two']\n['one', 'one', 'two']\n\
                  events: ['two', 'one', 'one', 'two']\n\
                  the worker ended during none\nstatus: 101\n";
    assert_eq!(printed, wanted);
}
