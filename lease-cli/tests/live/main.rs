//! `lease run` with real processes on a real API server: whatever is killed or stopped, no two act at once.

mod agents;
mod collectors;
mod deploy;
mod electors;
mod exits;
mod faults;
mod mixed;
mod records;
mod rights;
mod servers;
mod singleton;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{panic, thread};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::judge::Judge;
use testbed::process::{Program, Signal, wait_until};
use testbed::{Cluster, boottime_ns};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait for leases to run out, and hardly need a processor meanwhile.
    arguments.test_threads.get_or_insert(THREADS);
    let trials = TESTS.iter().map(|(name, test)| Trial::test(*name, || named(name, *test)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Runs a test in a thread of its name: what is left out, and what panics, is said under it.
fn named(name: &str, test: fn()) -> Result<(), Failed> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(test)?;
    thread.join().or_else(|payload| panic::resume_unwind(payload))
}

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())),*]
    };
}

/// The longest come first, so that none of them is left to run alone at the end.
const TESTS: &[(&str, fn())] = tests![
    servers::a_short_outage_changes_nothing_and_a_long_one_ends_the_term_in_time,
    electors::terms_that_come_and_go_leave_nothing_behind,
    mixed::a_fleet_of_both_kinds_takes_turns,
    mixed::each_kind_takes_over_from_the_other,
    records::a_strange_record_is_waited_out_or_taken_as_it_says,
    records::what_no_candidate_may_touch_is_left_alone_and_named,
    faults::a_killed_supervisor_takes_its_tree_with_it,
    faults::everything_killed_at_once_is_taken_over,
    faults::a_request_to_end_hands_over_at_once,
    faults::a_tree_that_does_not_drain_is_killed_before_the_release,
    faults::a_stopped_supervisor_loses_the_lease_and_its_tree_in_time,
    faults::a_killed_guardian_ends_the_term,
    faults::a_stopped_guardian_ends_the_term,
    faults::a_deleted_lease_ends_the_term_and_nobody_acts_too_early,
    faults::an_overwritten_holder_ends_the_term,
    faults::two_of_one_exact_identity_never_act_at_once,
    electors::a_collector_and_a_stock_candidate_take_over_from_each_other,
    electors::receivers_are_split_over_two_replicas_by_two_leases,
    electors::a_server_that_denies_pods_is_told_of_and_the_rest_goes_on,
    singleton::a_leader_that_was_stopped_sends_nothing_when_it_wakes,
    singleton::a_leader_whose_lease_is_deleted_sends_nothing_more,
    singleton::a_leader_whose_lease_is_deleted_by_the_program_sends_nothing_more,
    singleton::a_leader_that_is_killed_is_followed_by_one,
    singleton::a_leader_that_is_asked_to_end_leaves_no_gap,
    collectors::a_collector_that_is_killed_is_taken_over_and_its_command_dies,
    collectors::a_collector_that_was_stopped_sends_nothing_when_it_wakes,
    collectors::a_collector_whose_lease_is_taken_sends_nothing_more,
    collectors::a_collector_that_is_asked_to_end_hands_over_at_once,
    deploy::the_server_would_take_every_manifest,
    deploy::a_collector_with_the_least_rights_works,
    rights::a_slow_credential_plugin_keeps_the_lease,
    rights::three_verbs_on_one_name_suffice,
    rights::with_list_and_watch_a_release_is_taken_at_once,
    rights::a_missing_right_is_named_with_the_rule_that_grants_it,
    rights::a_single_try_without_any_right_is_denied_at_once,
    exits::the_command_gets_its_environment_and_its_code_is_passed_on,
    exits::a_held_lease_is_not_acquired_and_says_by_whom,
    exits::a_free_lease_is_acquired_however_short_the_wait,
    exits::a_lost_lease_can_end_the_program,
    exits::a_command_is_run_again_under_the_same_term,
    exits::a_job_that_succeeded_keeps_the_lease_for_a_while,
    exits::nobody_there_is_unreachable,
    exits::leases_are_shown_watched_and_deleted,
    exits::a_standby_says_who_leads,
    exits::a_namespace_that_does_not_exist_is_told,
    exits::the_first_word_comes_at_once,
];

/// Replicas that contend for one lease.
struct Fleet<'c> {
    cluster: &'c Cluster,
    namespace: String,
    acts: TempDir,
}

/// How the replicas' durations are set.
const QUICK: [&str; 6] = ["--lease-duration", "4s", "--renew-deadline", "3s", "--retry-period", "1s"];
/// Durations at which polling is slow.
const SLOW: [&str; 6] = ["--lease-duration", "30s", "--renew-deadline", "18s", "--retry-period", "4s"];
/// How long a test waits for what has to come: no promise, only an end to waiting.
const SOON: Duration = Duration::from_mins(1);
/// Tests at once.
const THREADS: usize = 8;

impl<'c> Fleet<'c> {
    fn new(cluster: &'c Cluster, name: &str) -> Self {
        Self { cluster, namespace: cluster.namespace(name), acts: TempDir::new().expect("a directory") }
    }

    /// The program `lease`, with the rights of this user.
    fn lease(&self, user: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lease"));
        command.env("KUBECONFIG", self.cluster.api().kubeconfig(user)).env_remove("LEASE_BACKEND");
        command.args(["--namespace", &self.namespace]);
        command
    }

    /// A replica of this name whose command is a worker; more flags for either.
    fn replica(&self, name: &str, flags: &[&str], worker: &[&str]) -> Program {
        self.run(&[&["--identity", name], &QUICK[..], flags].concat(), worker)
    }

    fn run(&self, flags: &[&str], worker: &[&str]) -> Program {
        let mut command = self.lease("admin");
        command.args(["run", LEASE]).args(flags).arg("--").arg(testbed::worker());
        command.arg("--log-dir").arg(self.acts.path()).args(worker);
        Program::spawn(command).expect("lease starts")
    }

    /// A replica that leads, and one that stands by.
    fn pair(&self, worker: &[&str]) -> (Program, Program) {
        let leader = self.replica("a", &[], worker);
        self.acquit(1);
        (leader, self.standby("b", worker))
    }

    /// A replica that has seen that another leads.
    fn standby(&self, name: &str, worker: &[&str]) -> Program {
        let standby = self.replica(name, &[], worker);
        standby.wait_for_line("the holder has changed", SOON).expect("the standby sees the leader");
        standby
    }

    /// The path of the lease on the server.
    fn path(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{LEASE}", self.namespace)
    }

    /// Ends the leader, whose release must make the standby lead at once: because it watches, not because it polls.
    fn hand_over(&self, leader: &mut Program, standby: &Program, code: i32) {
        // A standby that polls looks again a retry period after this at the soonest.
        let seen = standby.wait_for_line("the holder has changed", SOON).expect("the standby sees the leader");
        leader.signal(Signal::TERM).expect("it runs");
        assert_eq!(leader.wait(SOON).expect("it ends").code(), Some(code), "the command's own code");
        let leading = standby.wait_for_line("leading", SOON).expect("it takes over");
        let polled = Duration::from_nanos(leading.at_ns - seen.at_ns);
        assert!(polled < Duration::from_secs(4), "{polled:?}: a poll may have shown the release");
        self.acquit(2);
        let acts = self.judge().acts().to_vec();
        let last = acts.iter().rev().find(|act| act.term == acts[0].term).expect("it is there itself");
        let vacant = Duration::from_nanos(leading.at_ns - last.at_ns);
        // Not until the next act: what it takes to start a command is the machine's.
        assert!(vacant < Duration::from_secs(1), "{vacant:?} from the last act to the next term");
    }

    /// Gives a user the rights of a `ClusterRole` with these rules, and waits until the server grants `last`.
    fn grant_everywhere(&self, user: &str, rules: &Value, last: &Value) {
        let (api, name) = ("rbac.authorization.k8s.io", self.namespace.as_str());
        let version = format!("{api}/v1");
        let about = json!({"name": name});
        self.cluster
            .api()
            .apply(&json!({"apiVersion": version, "kind": "ClusterRole", "metadata": about, "rules": rules}));
        self.cluster.api().apply(&json!({"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": about,
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": api, "kind": "User", "name": user}]}));
        assert!(wait_until(SOON, || self.cluster.api().may(user, last)), "the server grants what it was given");
    }

    fn judge(&self) -> Judge {
        Judge::read(self.acts.path()).expect("logs that can be read")
    }

    /// Nothing was wrong, and so many terms acted. A command that has just begun is given time to act.
    fn acquit(&self, terms: usize) {
        wait_until(SOON, || self.judge().terms().len() >= terms);
        self.judge().acquit(terms);
    }

    /// From this moment until another term acted.
    fn takeover_after(&self, moment_ns: u64) -> Duration {
        let takeover = || self.judge().takeover_after(moment_ns);
        assert!(wait_until(SOON, || takeover().is_some()), "nobody took over");
        takeover().expect("it has just been there").delay
    }
}

/// Waits until the replica's command runs, and returns its process.
fn acting(replica: &Program) -> u32 {
    acting_after(replica, 0)
}

/// The same, for a term that began after so many lines.
fn acting_after(replica: &Program, mark: usize) -> u32 {
    let line = replica.wait_for_line_after(mark, "the command runs", SOON).expect("it leads");
    let pid = line.text.rsplit_once("pid=").expect("the line names the process").1;
    pid.parse().expect("a number")
}

/// Its guardian: the parent of its command.
fn guardian(command: u32) -> u32 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(command.to_string()).join("stat"));
    let stat = stat.expect("the command runs");
    let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
    parent.and_then(|parent| parent.parse().ok()).expect("the fourth field is the parent")
}

fn now_ns() -> u64 {
    boottime_ns()
}

const LEASE: &str = "lead";
