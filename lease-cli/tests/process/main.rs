//! Real processes: what happens to a command, and to all that it started, when anything above it is
//! killed, stopped or stuck. No cluster: the term follows a script.

mod kept;
mod roles;
mod world;

use std::io::Write;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Signal, kill_process};

use kept::{
    a_command_that_cannot_run_is_no_start, a_keeper_that_says_that_it_is_still_killing_is_waited_for,
    a_kept_command_is_asked_to_stop_when_the_term_drains,
    a_kept_command_that_fails_ends_the_work_so_that_its_failures_are_counted,
    a_kept_command_that_has_ended_well_runs_again_in_the_same_term,
    a_kept_tree_dies_when_its_work_is_dropped_and_the_term_is_kept_until_then,
    a_kept_tree_dies_with_a_killed_collector, a_kept_tree_dies_with_a_killed_keeper,
    a_lost_term_ends_a_kept_tree_with_its_daemons_before_the_term_is_let_go,
    a_lost_term_whose_work_is_dropped_kills_at_once, a_stuck_keeper_dies_with_its_tree_when_its_work_is_dropped,
    a_stuck_keeper_is_given_up_after_the_deadline_of_a_lost_term,
    a_stuck_keeper_is_given_up_while_the_lease_is_renewed, the_deadline_is_waited_for_when_a_keeper_was_killed,
    what_a_kept_command_writes_becomes_log_records,
};
use roles::{Script, now};
use world::{Namespace, World, alive, wait_for, zombies_under};

fn main() -> ExitCode {
    if let Some(code) = lease_cli::child::stage(std::env::args_os()).or_else(roles::play) {
        return code;
    }
    let trials = TESTS.iter().map(|(name, test)| {
        Trial::test(*name, || {
            test();
            Ok::<(), Failed>(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}

const TESTS: &[(&str, fn())] = tests![
    the_command_s_own_end_is_reported,
    a_command_that_cannot_run_is_told_from_one_that_failed,
    standard_input_and_environment_are_the_command_s,
    a_hold_that_is_not_renewed_ends_with_the_stop_signal,
    a_tree_that_ignores_the_stop_signal_is_killed_by_the_deadline,
    a_stopped_supervisor_does_not_stop_the_deadline,
    a_stuck_supervisor_does_not_stop_the_deadline,
    the_tree_dies_with_a_killed_supervisor,
    the_tree_dies_with_a_killed_guardian,
    the_tree_dies_with_a_stopped_guardian,
    the_command_dies_when_all_above_it_are_killed_at_once,
    a_lost_term_ends_the_tree_although_the_hold_goes_on,
    renewing_goes_on_while_the_command_drains,
    a_second_request_to_end_kills_at_once,
    what_the_command_leaves_behind_is_stopped_too,
    work_that_was_done_is_not_lost_with_the_term,
    a_tree_that_keeps_moving_is_killed,
    other_signals_reach_the_command,
    the_guardian_outlives_what_terminals_send,
    orphans_are_reaped,
    as_pid_1_it_reaps_what_others_leave_to_it,
    the_command_has_the_keyboard,
    an_interrupt_from_the_keyboard_is_meant_for_all,
    a_lost_term_ends_a_kept_tree_with_its_daemons_before_the_term_is_let_go,
    a_kept_command_is_asked_to_stop_when_the_term_drains,
    a_kept_tree_dies_when_its_work_is_dropped_and_the_term_is_kept_until_then,
    a_command_that_cannot_run_is_no_start,
    what_a_kept_command_writes_becomes_log_records,
    a_kept_command_that_has_ended_well_runs_again_in_the_same_term,
    a_kept_command_that_fails_ends_the_work_so_that_its_failures_are_counted,
    a_kept_tree_dies_with_a_killed_collector,
    a_kept_tree_dies_with_a_killed_keeper,
    a_stuck_keeper_is_given_up_after_the_deadline_of_a_lost_term,
    a_stuck_keeper_is_given_up_while_the_lease_is_renewed,
    a_keeper_that_says_that_it_is_still_killing_is_waited_for,
    a_stuck_keeper_dies_with_its_tree_when_its_work_is_dropped,
    a_lost_term_whose_work_is_dropped_kills_at_once,
    the_deadline_is_waited_for_when_a_keeper_was_killed,
];

fn the_command_s_own_end_is_reported() {
    assert_eq!(World::with_shell(Script::STEADY, "exit 7").verdict(), "7 Itself 0");
    assert_eq!(World::with_shell(Script::STEADY, "kill -9 $$").verdict(), "137 Itself 0");
}

fn a_command_that_cannot_run_is_told_from_one_that_failed() {
    let not_found = World::with_command(Script::STEADY, &["/no/such/program"]).verdict();
    assert_eq!(not_found, "127 NotRun(Os { code: 2, kind: NotFound, message: \"No such file or directory\" }) 0");
    let not_executable = World::with_command(Script::STEADY, &["/etc/passwd"]).verdict();
    assert!(not_executable.starts_with("126 NotRun"), "{not_executable}");
    assert_eq!(World::with_shell(Script::STEADY, "exit 127").verdict(), "127 Itself 0");
}

fn standard_input_and_environment_are_the_command_s() {
    let mut world = World::with_shell(Script::STEADY, "read line; echo \"$line $LEASE_TEST_TOKEN\" > $DIR/out");
    world.stdin().write_all(b"hello\n").expect("somebody reads");
    assert_eq!(world.file("out"), "hello 42\n");
    assert_eq!(world.verdict(), "0 Itself 0");
}

/// Three renewals and then none.
const FADING: Script = Script { renewals: 3, ..Script::STEADY };
/// How late an act may be after the instant at which it should have been stopped: a signal's delivery
/// and a scheduler's turn, on a machine that is busy with other tests.
const LATENESS_MAX_NS: u64 = 150_000_000;

fn a_hold_that_is_not_renewed_ends_with_the_stop_signal() {
    let mut world = World::with_actor(FADING, "plain");
    assert_eq!(world.verdict(), "143 Over 0");
    let (ends_ns, kill_ns) = world.last_hold_ns();
    let last_ns = world.last_act_ns();
    assert!(last_ns + 20_000_000 > ends_ns, "stopped {} ms early", (ends_ns - last_ns) / 1_000_000);
    assert!(last_ns < kill_ns, "not stopped by the stop signal");
}

/// The last act came after the end of the hold, and before anybody else may act.
fn assert_killed_by_the_deadline(world: &mut World) {
    let (ends_ns, kill_ns) = world.last_hold_ns();
    let last_ns = world.last_act_ns();
    assert!(last_ns > ends_ns, "killed before the hold ended");
    assert!(last_ns < kill_ns + LATENESS_MAX_NS, "killed {} ms late", (last_ns - kill_ns) / 1_000_000);
}

fn a_tree_that_ignores_the_stop_signal_is_killed_by_the_deadline() {
    let mut world = World::with_actor(FADING, "tree");
    world.actors(3);
    assert_eq!(world.verdict(), "137 Over 0");
    assert_killed_by_the_deadline(&mut world);
}

fn a_stopped_supervisor_does_not_stop_the_deadline() {
    let mut world = World::with_actor(Script::STEADY, "tree");
    world.actors(3);
    world.signal(Signal::STOP);
    world.wait_until_all_are_gone();
    let gone_ns = now().boottime_nanos();
    world.signal(Signal::CONT);
    assert_eq!(world.verdict(), "137 Over 0");
    let last_ns = world.last_act_ns();
    assert!(last_ns < gone_ns);
    // What the supervisor says after it went on is of no use here: it renews a term that is over.
    let longest_ns = (Script::STEADY.hold_ms + Script::STEADY.grace_ms) * 1_000_000;
    assert!(gone_ns - last_ns < longest_ns);
}

fn a_stuck_supervisor_does_not_stop_the_deadline() {
    let mut world = World::with_actor(Script { stuck_after_ms: Some(500), ..Script::STEADY }, "tree");
    world.actors(3);
    world.line("stuck");
    world.wait_until_all_are_gone();
    world.signal(Signal::KILL);
    assert_killed_by_the_deadline(&mut world);
}

/// From the fault to the last act.
const AT_ONCE_NS: u64 = 300_000_000;

fn assert_gone_at_once(world: &World, fault: impl FnOnce()) {
    world.actors(3);
    let fault_ns = now().boottime_nanos();
    fault();
    world.wait_until_all_are_gone();
    let took_ns = world.last_act_ns().saturating_sub(fault_ns);
    assert!(took_ns < AT_ONCE_NS, "acted for {} ms", took_ns / 1_000_000);
}

fn the_tree_dies_with_a_killed_supervisor() {
    let world = World::with_actor(Script::STEADY, "tree");
    let guardian = world.guardian();
    assert_gone_at_once(&world, || world.signal(Signal::KILL));
    wait_for("the end of the guardian", || (!alive(guardian)).then_some(()));
}

fn the_tree_dies_with_a_killed_guardian() {
    let mut world = World::with_actor(Script::STEADY, "tree");
    let guardian = world.guardian();
    assert_gone_at_once(&world, || kill_process(guardian, Signal::KILL).expect("the guardian is there"));
    assert_eq!(world.verdict(), "137 Breach(GuardianDied) 0");
}

fn the_tree_dies_with_a_stopped_guardian() {
    let mut world = World::with_actor(Script::STEADY, "tree");
    let guardian = world.guardian();
    assert_gone_at_once(&world, || kill_process(guardian, Signal::STOP).expect("the guardian is there"));
    assert_eq!(world.verdict(), "137 Breach(GuardianStopped) 0");
}

fn the_command_dies_when_all_above_it_are_killed_at_once() {
    let world = World::with_actor(Script::STEADY, "stubborn");
    let guardian = world.guardian();
    let command = world.actors(1)[0];
    // Stopped first, so that neither can do anything about the death of the other.
    kill_process(guardian, Signal::STOP).expect("the guardian is there");
    world.signal(Signal::STOP);
    for pid in [guardian, world.supervisor_pid()] {
        let _ = kill_process(pid, Signal::KILL);
    }
    wait_for("the end of the command", || (!alive(command)).then_some(()));
}

fn a_lost_term_ends_the_tree_although_the_hold_goes_on() {
    let mut world = World::with_actor(Script { hold_ms: 60_000, over_after_ms: Some(400), ..Script::STEADY }, "tree");
    let kill_ns: u64 = world.line("over").parse().expect("a number");
    assert_eq!(world.verdict(), "137 Over 0");
    let last_ns = world.last_act_ns();
    assert!(last_ns < kill_ns + LATENESS_MAX_NS, "killed {} ms late", (last_ns - kill_ns) / 1_000_000);
}

fn renewing_goes_on_while_the_command_drains() {
    // The drain takes longer than a hold, so without renewals the deadline would come first.
    let mut world = World::with_actor(Script { drain_ms: 1500, ..Script::STEADY }, "tree");
    world.actors(3);
    let asked_ns = now().boottime_nanos();
    world.signal(Signal::TERM);
    assert_eq!(world.verdict(), "137 Asked 15");
    let took_ms = (world.last_act_ns() - asked_ns) / 1_000_000;
    assert!((1400..1500 + LATENESS_MAX_NS / 1_000_000).contains(&took_ms), "drained for {took_ms} ms");
}

fn a_second_request_to_end_kills_at_once() {
    let mut world = World::with_shell(
        Script::STEADY,
        "trap 'echo asked > $DIR/asked' TERM; echo up > $DIR/up; while :; do sleep 0.05; done",
    );
    world.file("up");
    world.signal(Signal::TERM);
    world.file("asked");
    world.signal(Signal::INT);
    assert_eq!(world.verdict(), "137 Asked 15");
}

fn what_the_command_leaves_behind_is_stopped_too() {
    let mut world = World::with_actor(Script { drain_ms: 300, ..Script::STEADY }, "parent");
    assert_eq!(world.verdict(), "0 Itself 0");
    let left: Vec<_> = world.actors(0).into_iter().filter(|pid| alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?} outlived the run");
}

fn work_that_was_done_is_not_lost_with_the_term() {
    // The hold ends while what the command has left behind is still being asked to stop.
    let mut world = World::with_actor(Script { drain_ms: 60_000, ..FADING }, "parent");
    assert_eq!(world.verdict(), "0 Itself 0");
    let left: Vec<_> = world.actors(0).into_iter().filter(|pid| alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?} outlived the run");
}

fn a_tree_that_keeps_moving_is_killed() {
    let world = World::with_actor(Script::STEADY, "moving");
    world.actors(20);
    world.signal(Signal::KILL);
    // It is gone when nobody has acted for as long as a hundred hops take.
    wait_for("an end of the hops", || {
        let quiet_ns = now().boottime_nanos().saturating_sub(world.last_act_ns());
        (quiet_ns > 1_000_000_000).then_some(())
    });
}

fn other_signals_reach_the_command() {
    let mut world = World::with_shell(
        Script::STEADY,
        "trap 'echo usr1 > $DIR/usr1' USR1; trap 'echo hup > $DIR/hup; exit 3' HUP; echo up > $DIR/up; while :; do sleep 0.02; done",
    );
    world.file("up");
    world.signal(Signal::USR1);
    world.file("usr1");
    world.signal(Signal::HUP);
    world.file("hup");
    assert_eq!(world.verdict(), "3 Itself 0");
}

fn the_guardian_outlives_what_terminals_send() {
    let mut world = World::with_shell(Script::STEADY, "echo up > $DIR/up; read line; exit 5");
    world.file("up");
    let guardian = world.guardian();
    for signal in [Signal::INT, Signal::HUP, Signal::QUIT, Signal::TERM] {
        kill_process(guardian, signal).expect("the guardian is there");
    }
    world.stdin().write_all(b"on\n").expect("somebody reads");
    assert_eq!(world.verdict(), "5 Itself 0");
    wait_for("the end of the guardian", || (!alive(guardian)).then_some(()));
}

fn orphans_are_reaped() {
    let world = World::with_shell(
        Script::STEADY,
        "for i in 1 2 3 4 5 6 7 8 9; do (true &); done; echo up > $DIR/up; while :; do sleep 0.05; done",
    );
    world.file("up");
    let guardian = world.guardian();
    wait_for("the end of all zombies", || (zombies_under(guardian) == 0).then_some(()));
}

/// As in a container: somebody enters it, as `kubectl exec` does, and leaves a child behind. Nobody but PID 1 can reap that.
fn as_pid_1_it_reaps_what_others_leave_to_it() {
    let Some(namespace) = Namespace::possible() else {
        println!("skipped: no namespace of processes can be made here (unshare --pid --fork --mount-proc)");
        return;
    };
    let mut world = World::within(
        namespace,
        "echo $(cat /proc/1/comm) > $DIR/first; echo $$ > $DIR/up
         until [ -s $DIR/orphan ]; do sleep 0.05; done
         while [ -e /proc/$(cat $DIR/orphan) ]; do sleep 0.05; done
         exit 7",
    );
    world.file("up");
    assert_ne!(world.file("first"), "sh\n", "the supervisor is the first, and not the command");
    // It ends at once, before the child that it leaves behind.
    let orphan = "sh -c 'until [ -e $DIR/left ]; do sleep 0.05; done; echo $$ > $DIR/orphan' & exit 0";
    world.enter(namespace, orphan);
    world.leave("left");
    assert_eq!(world.verdict(), "7 Itself 0");
}

fn the_command_has_the_keyboard() {
    let (mut world, mut keyboard) =
        World::with_shell_in_terminal(Script::STEADY, "echo up > $DIR/up; read line; echo $line > $DIR/line; exit 3");
    world.file("up");
    // Ctrl-Z suspends nothing: a lease is not held by a command that stands still.
    keyboard.write_all(b"\x1ahello\n").expect("a terminal");
    assert_eq!(world.file("line"), "hello\n");
    assert_eq!(world.verdict(), "3 Itself 0");
}

fn an_interrupt_from_the_keyboard_is_meant_for_all() {
    // Not a shell: some lose an interrupt that comes while they start a program.
    let (mut world, mut keyboard) = World::with_actor_in_terminal(Script::STEADY, "plain");
    world.actors(1);
    keyboard.write_all(b"\x03").expect("a terminal");
    assert_eq!(world.verdict(), "130 Itself 2");
}
