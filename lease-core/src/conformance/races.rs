//! Concurrent writers: the compare and the swap are one.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::support::{create, ensure, held, read};
use super::{Checked, DeleteHarness, Harness, Lease, Violation};
use crate::lock::{LockError, LockErrorKind, ResourceLock};
use crate::record::{LeaseRecord, Versioned};

/// Of five concurrent updates from one version one succeeds, the others are conflicts, and the record is
/// the winner's; in every round.
pub async fn of_five_racers_one_wins_each_round<H: Harness>(harness: &H, lease: &Lease<H>) -> Checked {
    create(&lease.one, &held("nobody", 0)).await?;
    for round in 1..=harness.round_count() {
        let seen = [read(&lease.one).await?, read(&lease.two).await?];
        let answers = race(lease, round, Some(seen)).await?;
        judge(lease, round, answers).await?;
    }
    Ok(())
}

/// Of five concurrent creates of an absent lease one succeeds, the others are conflicts, and the record is
/// the winner's; in every round.
pub async fn of_five_creators_one_wins_each_round<H: DeleteHarness>(harness: &H, lease: &Lease<H>) -> Checked {
    for round in 1..=harness.round_count() {
        let answers = race(lease, round, None).await?;
        judge(lease, round, answers).await?;
        harness.delete(&lease.guard).await;
    }
    Ok(())
}

/// Five tasks, on both handles, each read a count and write one more until it is written; at the end the
/// count is the number of the writes that succeeded.
pub async fn a_counter_by_compare_and_swap_loses_nothing<H: Harness>(harness: &H, lease: &Lease<H>) -> Checked {
    create(&lease.one, &LeaseRecord { transitions: 0, ..held("nobody", 0) }).await?;
    let each = harness.round_count();
    let mut tasks = JoinSet::new();
    for (racer, lock) in handles(lease).into_iter().enumerate() {
        tasks.spawn(async move {
            for _ in 0..each {
                add_one(&*lock, racer).await?;
            }
            Ok::<(), Violation>(())
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.map_err(|error| Violation::new(format!("a racer's request panics: {error}")))??;
    }
    let (count, expected) = (read(&lease.two).await?.record.transitions, each * RACER_COUNT);
    ensure!(count == expected, "{expected} additions were acknowledged, and the count is {count}");
    Ok(())
}

async fn add_one(lock: &impl ResourceLock, racer: usize) -> Checked {
    for _ in 0..ATTEMPTS_MAX {
        let seen = read(lock).await?;
        // Lets the others read the same version, also where requests are answered at once.
        tokio::task::yield_now().await;
        let transitions = seen.record.transitions + 1;
        let record = LeaseRecord { transitions, ..held(&format!("racer-{racer}"), transitions) };
        match lock.update(&seen, &record).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == LockErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Violation::new(format!("racer {racer} is refused {ATTEMPTS_MAX} times in a row")))
}

/// Five writers at once: updates from what was seen, or creates where nothing was.
async fn race<H: Harness>(lease: &Lease<H>, round: u32, seen: Option<[Versioned; 2]>) -> Result<Answers, Violation> {
    let start = Arc::new(Barrier::new(RACER_COUNT as usize));
    let mut tasks = JoinSet::new();
    for (racer, lock) in handles(lease).into_iter().enumerate() {
        let seen = seen.as_ref().map(|seen| seen[racer % 2].clone());
        // Another holder in each round, so that no write is a mere renewal.
        let record = held(&format!("racer-{racer}-of-round-{round}"), round);
        let start = start.clone();
        tasks.spawn(async move {
            start.wait().await;
            let answer = match seen {
                Some(seen) => lock.update(&seen, &record).await,
                None => lock.create(&record).await,
            };
            (record, answer)
        });
    }
    let mut answers = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        answers.push(joined.map_err(|error| Violation::new(format!("a racer's request panics: {error}")))?);
    }
    Ok(answers)
}

/// The answers of one round, each with what was to be written.
type Answers = Vec<(LeaseRecord, Result<Versioned, LockError>)>;

async fn judge<H: Harness>(lease: &Lease<H>, round: u32, answers: Answers) -> Checked {
    let mut winners = Vec::new();
    for (record, answer) in answers {
        match answer {
            Ok(_) => winners.push(record),
            Err(error) if error.kind() == LockErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    let [winner] = &winners[..] else {
        return Err(Violation::new(format!("round {round} has {} winners: {winners:?}", winners.len())));
    };
    let found = read(&lease.one).await?.record;
    ensure!(found == *winner, "round {round} was won with {winner:?}, and a read shows {found:?}");
    Ok(())
}

/// The two handles in turn, one for each racer.
fn handles<H: Harness>(lease: &Lease<H>) -> Vec<Arc<H::Lock>> {
    [&lease.one, &lease.two].into_iter().cycle().take(RACER_COUNT as usize).cloned().collect()
}

const RACER_COUNT: u32 = 5;
/// Every refusal is another racer's success, so nobody is refused so often by a sound lock.
const ATTEMPTS_MAX: u32 = 10_000;
