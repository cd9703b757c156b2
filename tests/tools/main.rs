//! Tests that need programs or rights that not every machine has.
//!
//! Without them the tests are ignored, with the reason (`tests/it/support/harness.rs`).

use std::process::ExitCode;

mod debuggers;
#[path = "../it/support/harness.rs"]
mod harness;
mod hosts;
mod languages;
mod perl;
#[cfg(all(feature = "concurrent", feature = "postcard"))]
mod places;
#[cfg(feature = "json")]
mod python;
mod rights;
mod sandbox;
#[path = "../hostile/seccomp.rs"]
#[expect(dead_code, reason = "the other tests share more")]
mod seccomp;
mod site;
mod ssh;
#[cfg(all(feature = "concurrent", feature = "postcard"))]
#[path = "../hostile/steps.rs"]
mod steps;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the other tests share more")]
mod support;

use harness::{Test, tests};

offspring::init_in_tests!();

offspring::__before_main!(serve_if_asked);

fn serve_if_asked() {
    support::serve_if_asked(|worker| match worker {
        "sum" => perl::SUM.serve(),
        "words" => languages::WORDS.serve(),
        "notes" => languages::NOTES.serve(),
        other => rights::serve(other),
    });
}

const TESTS: &[Test] = tests! {
    "": harness { nextest_finds_them }
    "": hosts { answers_that_are_lost_on_the_way }
    "": sandbox { where_no_signal_can_be_sent }
    "sshd": hosts {
        all_kinds_of_children_share_the_work a_host_is_lost_and_returns hosts_come_and_go_under_load
    }
    "sshd": ssh {
        no_file_of_the_users_is_read calls_and_events large_payloads a_worker_that_ends
        a_banner_on_stderr_does_no_harm a_banner_on_stdout_is_shown
        a_connection_cut_in_the_middle_of_a_call a_connection_cut_in_the_middle_of_a_message
        a_worker_goes_with_the_connection a_host_that_falls_silent a_worker_of_another_version
        a_key_that_is_refused limits_hold_there hosts_come_and_go
    }
    "bash": ssh { a_shell_reads_no_start_up_files }
    "bwrap": sandbox { bubblewrap bubblewrap_without_devices }
    "unshare": sandbox { unshare }
    "setpriv": sandbox { setpriv a_child_that_cannot_be_killed }
    "sudo": sandbox { sudo }
    "pid namespaces": sandbox { a_namespace_of_process_ids a_namespace_without_a_thread }
    "perl": perl { it_is_called it_calls }
    "perl": languages { perl_serves perl_calls }
    "python3": languages { python_serves python_calls }
    "root": rights {
        a_child_of_another_user_has_no_way_back what_is_not_said_of_groups what_a_child_of_another_user_can_do
        rights_that_cannot_be_had
    }
    "strace": debuggers { strace }
    "gdb": debuggers { gdb_says_where gdb_is_talked_to gdb_stops_in_this_process gdb_stops_in_a_child }
    "valgrind": debuggers { valgrind }
    "perf": debuggers { perf }
    "chroot": sandbox { a_root_without_proc }
};

#[cfg(feature = "json")]
const WITH_JSON: &[Test] = tests! {
    "python3": python { the_example_answers an_exception_fails_its_call another_worker_is_refused }
};
#[cfg(not(feature = "json"))]
const WITH_JSON: &[Test] = &[];

#[cfg(all(feature = "concurrent", feature = "postcard"))]
const OF_PLACES: &[Test] = tests! {
    "process 1": places { as_process_1 }
    "bwrap": places { in_a_namespace_of_process_ids where_all_is_read_only without_proc }
};
#[cfg(not(all(feature = "concurrent", feature = "postcard")))]
const OF_PLACES: &[Test] = &[];

/// Returns whether this machine has it.
fn attempt(needs: &str) -> Result<(), String> {
    // A test that is run again is in the place that was attempted.
    if support::told().is_some() {
        return Ok(());
    }
    match needs {
        "sshd" => site::Site::attempt(),
        "bash" => sandbox::attempt(&["bash", "-c", "exec \"$@\"", "bash"]),
        "bwrap" => sandbox::attempt(sandbox::BWRAP),
        #[cfg(all(feature = "concurrent", feature = "postcard"))]
        "process 1" => sandbox::attempt(places::AS_PROCESS_1),
        "unshare" => sandbox::attempt(sandbox::UNSHARE),
        "setpriv" => sandbox::attempt(sandbox::SETPRIV),
        "sudo" => sandbox::attempt(sandbox::SUDO),
        "perl" => sandbox::attempt(&["perl", "-MIPC::Open2", "-e", "exec @ARGV"]),
        "python3" => sandbox::attempt(&[
            "python3",
            "-c",
            "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])",
        ]),
        "pid namespaces" => sandbox::attempt(&["unshare", "--pid", "--fork"]),
        "root" => sandbox::attempt(&["setpriv", "--reuid=1", "--regid=1", "--clear-groups"]),
        "strace" => sandbox::attempt(debuggers::STRACE),
        "gdb" => sandbox::attempt(debuggers::GDB),
        "valgrind" => sandbox::attempt(debuggers::VALGRIND),
        "perf" => sandbox::attempt(debuggers::PERF),
        "chroot" => sandbox::attempt(&["chroot", "/"]),
        other => unreachable!("{other}"),
    }
}

fn main() -> ExitCode {
    match harness::run(&[TESTS, WITH_JSON, OF_PLACES].concat(), attempt) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
