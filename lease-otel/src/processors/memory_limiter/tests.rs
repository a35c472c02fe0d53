//! What is refused at which use of memory, and which limits are refused.

use std::sync::Mutex;

use super::*;
use crate::test_kit::{Kept, Tally, batch, problems};

#[test]
fn limits_are_those_of_the_reference() {
    assert_eq!(Limits::new(100 * MIB, 0), Limits { soft: 80 * MIB, hard: 100 * MIB });
    assert_eq!(Limits::new(100 * MIB, 30 * MIB), Limits { soft: 70 * MIB, hard: 100 * MIB });
}

#[test]
fn what_is_wrong_is_told() {
    let told = |entries: &[(&str, &str)]| {
        problems(entries, |fields| {
            MemoryLimiter.configure(fields);
        })
    };
    assert_eq!(told(&[("check_interval", "1s"), ("limit_mib", "100")]), [] as [&str; 0]);
    assert_eq!(told(&[("check_interval", "1s"), ("limit_percentage", "50")]), [] as [&str; 0]);
    let none = told(&[]);
    assert_eq!(none.len(), 2, "{none:?}");
    let spike = told(&[("check_interval", "1s"), ("limit_mib", "100"), ("spike_limit_mib", "100")]);
    assert_eq!(spike, ["spike_limit_mib: 100 is not less than limit_mib, which is 100"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_back_and_telemetry_keeps_its_term() {
    let settings = Settings {
        interval: Duration::from_secs(1),
        limits: Limits { soft: 80, hard: 100 },
        usage: Arc::new(|| Some(1)),
    };
    let next = Kept::new();
    let id = "memory_limiter".parse().unwrap();
    let (limiter, _work) = settings.start(&id, next.clone(), CancellationToken::new(), Tally::new());
    let (leadership, _control) = lease_core::testing::grant(None);
    limiter.consume(batch(3, Some(leadership.validity()))).await.unwrap();
    let [term] = next.terms().try_into().unwrap();
    assert!(term.unwrap().is_same_term(&leadership.validity()));
}

#[tokio::test(start_paused = true)]
async fn telemetry_is_refused_from_the_soft_limit_on_and_taken_again_below_it() {
    let used = Arc::new(Mutex::new(Some(10)));
    let read = Arc::clone(&used);
    let settings = Settings {
        interval: Duration::from_secs(1),
        limits: Limits { soft: 80, hard: 100 },
        usage: Arc::new(move || *read.lock().unwrap()),
    };
    let (next, tally, stop) = (Kept::new(), Tally::new(), CancellationToken::new());
    let id = "memory_limiter".parse().unwrap();
    let (limiter, work) = settings.start(&id, next.clone(), stop.clone(), tally.clone());
    let work = tokio::spawn(work.unwrap());
    limiter.consume(batch(3, None)).await.unwrap();
    *used.lock().unwrap() = Some(80);
    tokio::time::sleep(Duration::from_millis(1_001)).await;
    let refused = limiter.consume(batch(4, None)).await.unwrap_err();
    assert!(matches!(refused, Refused::Memory { used: 80, limit: 80 }), "{refused}");
    assert_eq!(tally.count("otelcol_processor_refused_metric_points"), 4);
    // What cannot be read changes nothing.
    *used.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_secs(1)).await;
    limiter.consume(batch(1, None)).await.unwrap_err();
    *used.lock().unwrap() = Some(79);
    tokio::time::sleep(Duration::from_secs(1)).await;
    limiter.consume(batch(5, None)).await.unwrap();
    assert_eq!(next.sizes(), [3, 5]);
    stop.cancel();
    work.await.unwrap();
}
