//! More than one election on one store.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use lease_core::{Leadership, PhaseKind};
use lease_memory::{MemoryLock, MemoryStore, Outcome, RequestCounts, Requests};
use tokio::time::{Instant, sleep};

use crate::support::{P, ms, polling, until_phase, until_standby, watching};

/// Marks its bearer as the one who acts, for as long as it lives.
struct Acting(Rc<Cell<Option<usize>>>);

impl Acting {
    fn begin(acting: &Rc<Cell<Option<usize>>>, who: usize) -> Self {
        assert_eq!(acting.get(), None, "{who} starts to act while another does");
        acting.set(Some(who));
        Self(Rc::clone(acting))
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// What becomes of the links, drawn from a seed.
async fn trouble(locks: &[MemoryLock], seed: u64, lasts: Duration) {
    let mut random = seed;
    let mut draw = |below: u64| {
        // A linear congruential generator is random enough to mix faults, and the same everywhere.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let end = Instant::now() + lasts;
    while Instant::now() < end {
        let lock = &locks[usize::try_from(draw(2)).unwrap()];
        match draw(6) {
            0 => lock.always(Requests::All, Outcome::Hang),
            1 => lock.always(Requests::Writes, Outcome::LoseReply),
            2 => lock.always(Requests::Reads, Outcome::unavailable()),
            3 => lock.script(Requests::Writes, Outcome::LoseRequest),
            _ => lock.heal(),
        }
        sleep(ms(100 + draw(6_000))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_elections_on_one_store_never_act_at_once_under_partitions() {
    for seed in 0..20 {
        let store = MemoryStore::new();
        let locks = [store.lock("jobs"), store.lock("jobs")];
        let elections =
            [polling(&locks[0], "a").seed(seed).start().unwrap(), watching(&locks[1], "b").seed(seed).start().unwrap()];
        let acting = Rc::new(Cell::new(None));
        let terms = RefCell::new(BTreeMap::<usize, u64>::new());
        let tokens = RefCell::new(Vec::new());
        let runs = elections.iter().enumerate().map(|(who, election)| {
            let (acting, terms, tokens) = (&acting, &terms, &tokens);
            Box::pin(election.run(async move |leadership: Leadership| {
                let _acting = Acting::begin(acting, who);
                *terms.borrow_mut().entry(who).or_default() += 1;
                tokens.borrow_mut().push(leadership.token());
                loop {
                    sleep(ms(25)).await;
                    assert_eq!(leadership.check(), Ok(()), "{who} acts after its hold");
                    assert_eq!(acting.get(), Some(who));
                }
            }))
        });
        tokio::select! {
            _ = select_all(runs) => panic!("an election ended by itself"),
            () = trouble(&locks, seed, Duration::from_mins(5)) => {}
        }
        assert!(tokens.borrow().is_sorted_by(|a, b| a < b), "seed {seed}: {tokens:?}");
        let count: u64 = terms.borrow().values().sum();
        assert!(count >= 3 && terms.borrow().len() == 2, "seed {seed} changed the leader too seldom: {terms:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_candidates_contend_for_one_release_with_two_writes_each_at_most() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let locks: Vec<MemoryLock> = (0..50).map(|_| store.lock("jobs")).collect();
    let fleet: Vec<_> = locks
        .iter()
        .enumerate()
        .map(|(index, lock)| watching(lock, &format!("standby-{index}")).start().unwrap())
        .collect();
    for standby in &fleet {
        until_standby(standby).await;
    }
    let writes = |counts: RequestCounts| counts.creates + counts.updates;
    let before: Vec<u64> = locks.iter().map(|lock| writes(lock.counts())).collect();
    assert!(before.iter().all(|count| *count == 0), "a standby has written: {before:?}");

    let released_at = Instant::now();
    drop(leadership);
    let (winner, _, _) = select_all(fleet.iter().map(|standby| Box::pin(standby.campaign()))).await;
    assert!(released_at.elapsed() <= ms(500), "taken after {:?}", released_at.elapsed());
    let winner = winner.unwrap();
    sleep(10 * P).await;
    assert!(winner.is_valid());
    let leaders = fleet.iter().filter(|standby| standby.status().borrow().phase == PhaseKind::Leading).count();
    assert_eq!(leaders, 1);
    for (lock, standby) in locks.iter().zip(&fleet) {
        if standby.status().borrow().phase != PhaseKind::Leading {
            let writes = writes(lock.counts());
            assert!(writes <= 2, "{} has written {writes} times", standby.identity());
        }
    }
    // A shutdown waits for the work, and this is all there is of it.
    drop(winner);
    join_all(fleet.into_iter().map(lease_core::Election::shutdown)).await;
}

#[tokio::test(start_paused = true)]
async fn leases_of_different_names_do_not_touch_each_other() {
    let store = MemoryStore::new();
    let one = polling(&store.lock("one"), "a").start().unwrap();
    let two = polling(&store.lock("two"), "b").start().unwrap();
    until_phase(&one, PhaseKind::Leading).await;
    until_phase(&two, PhaseKind::Leading).await;
}
