//! Tests that need programs, or rights, that not every machine has.
//!
//! Where these are not there the tests are ignored, and it is said why; or they fail, if
//! `OFFSPRING_TEST_REQUIRE` names what they need, with commas between. The standard harness
//! ignores only what it was compiled to ignore, so this one stands in its place.

use std::collections::BTreeMap;
use std::io::Write;
use std::thread;

mod debuggers;
mod hosts;
mod perl;
mod rights;
mod sandbox;
mod site;
mod ssh;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the other tests share more")]
mod support;

offspring::init_in_tests!();

offspring::__before_main!(serve_if_asked);

fn serve_if_asked() {
    support::serve_if_asked(|worker| match worker {
        "sum" => perl::SUM.serve(),
        other => rights::serve(other),
    });
}

/// A name, what is needed, the test.
type Test = (&'static str, &'static str, fn());

macro_rules! tests {
    ($($needs:literal: $file:ident { $($test:ident)* })*) => {
        &[$($((concat!(stringify!($file), "::", stringify!($test)), $needs, $file::$test as fn())),*),*]
    };
}

const TESTS: &[Test] = tests! {
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
    "root": rights {
        a_child_of_another_user_has_no_way_back what_is_not_said_of_groups what_a_child_of_another_user_can_do
        rights_that_cannot_be_had
    }
    "strace": debuggers { strace }
    "gdb": debuggers { gdb_says_where gdb_is_talked_to }
    "valgrind": debuggers { valgrind }
    "perf": debuggers { perf }
    "chroot": sandbox { a_root_without_proc }
};

/// Whether this is there.
fn attempt(needs: &str) -> Result<(), String> {
    match needs {
        "" => Ok(()),
        "sshd" => site::Site::attempt(),
        "bash" => sandbox::attempt(&["bash", "-c", "exec \"$@\"", "bash"]),
        "bwrap" => sandbox::attempt(sandbox::BWRAP),
        "unshare" => sandbox::attempt(sandbox::UNSHARE),
        "setpriv" => sandbox::attempt(sandbox::SETPRIV),
        "sudo" => sandbox::attempt(sandbox::SUDO),
        "perl" => sandbox::attempt(&["perl", "-MIPC::Open2", "-e", "exec @ARGV"]),
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

fn main() {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let options: Vec<_> = names.extract_if(.., |one| one.starts_with('-')).collect();
    let is_set = |option: &str| options.iter().any(|own| own == option);
    let required = std::env::var("OFFSPRING_TEST_REQUIRE").unwrap_or_default();
    let is_wanted = |(name, ..): &&Test| {
        let is_meant = |one: &String| name.contains(one) && (one == name || !is_set("--exact"));
        names.is_empty() || names.iter().any(is_meant)
    };
    let tests: Vec<_> = TESTS.iter().filter(is_wanted).collect();
    if is_set("--list") {
        return tests.iter().for_each(|(name, ..)| println!("{name}: test"));
    }
    println!("\nrunning {} tests", tests.len());
    let mut attempts = BTreeMap::new();
    let [mut passed, mut failed, mut ignored] = [0; 3];
    for (name, needs, test) in &tests {
        print!("test {name} ... ");
        std::io::stdout().flush().unwrap();
        let is_there: &Result<_, _> = attempts.entry(needs).or_insert_with(|| attempt(needs));
        let (count, outcome) = match is_there {
            Err(reason) if !required.split(',').any(|own| own == *needs) => (
                &mut ignored,
                format!("ignored, there is no `{needs}`: {reason}"),
            ),
            Err(reason) => (
                &mut failed,
                format!("FAILED: `{needs}` is required: {reason}"),
            ),
            Ok(()) => {
                let running = thread::Builder::new().name((*name).into()).spawn(test);
                match running.unwrap().join() {
                    Ok(()) => (&mut passed, "ok".into()),
                    Err(_) => (&mut failed, "FAILED".into()),
                }
            }
        };
        *count += 1;
        println!("{outcome}");
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {} filtered out\n",
        TESTS.len() - tests.len()
    );
    if failed > 0 {
        std::process::exit(101);
    }
}
