//! The plain form and numbers with Perl at either end. The Perl code reads and writes strings as the original does.

use std::process::{Command, Stdio};

use offspring::worker;

use crate::support::*;

worker!(pub(crate) SUM: fn(..Vec<f64>) -> (f64, bool) = |numbers: Vec<f64>| {
    let sum = numbers.iter().sum();
    (sum, sum > 0.0)
}, name = "sum");

fn perl(script: &str) -> Command {
    let mut perl = Command::new("perl");
    perl.args(["-e", script]);
    perl
}

/// Perl adds what Rust sends, as a worker would.
pub(crate) fn it_is_called() {
    let _guard = guard();
    let script = r#"
        binmode STDIN; binmode STDOUT; $| = 1;
        while (8 == read STDIN, my $header, 8) {
            my ($id, $length) = unpack "NN", $header;
            read STDIN, my $arguments, $length;
            my $sum = 0;
            $sum += $_ for unpack "(w/a*)*", $arguments;
            print pack "NN/a*", $id, pack "(w/a*)*", $sum, $sum > 0;
        }
    "#;
    let rpc = SUM.command(perl(script)).plain().begin();
    for (numbers, sum) in [
        (&[3.0, 4.0][..], 7.0),
        (&[-0.5, 0.25], -0.25),
        (&[1e300, 5e-324, 1e15], 1e300),
        (&[f64::MAX, f64::MAX], f64::INFINITY),
        (&[f64::NEG_INFINITY, 1.0], f64::NEG_INFINITY),
    ] {
        assert_eq!(rpc.call(numbers).wait().unwrap(), (sum, sum > 0.0));
    }
    let (sum, _) = rpc.call([f64::INFINITY, f64::NEG_INFINITY]).wait().unwrap();
    assert!(sum.is_nan());
    rpc.join().wait().unwrap();
}

/// Perl calls `$rpc->(…)` of a worker in Rust, and checks the results.
pub(crate) fn it_calls() {
    let _guard = guard();
    let script = r#"
        use IPC::Open2;
        my $pid = open2 my $from, my $to, @ARGV;
        binmode $from; binmode $to;
        for my $numbers ([3, 4], [-0.5, 0.25], [1e300, 1e15], [9**9**9, 1], [-9**9**9, 1]) {
            my $sum = 0;
            $sum += $_ for @$numbers;
            syswrite $to, pack "NN/a*", 7, pack "(w/a*)*", @$numbers;
            8 == read $from, my $header, 8 or die "no answer";
            my ($id, $length) = unpack "NN", $header;
            read $from, my $answer, $length;
            my ($value, $positive) = unpack "(w/a*)*", $answer;
            $id == 7 && $value == $sum && !!$positive == ($sum > 0) or die "@$numbers: $value $positive";
        }
        close $to;
        waitpid $pid, 0;
        exit $?;
    "#;
    let worker = serving("sum");
    let mut perl = perl(script);
    perl.arg(worker.get_program()).args(worker.get_args());
    let output = perl.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
