//! The same seeds under client-go's rule and under ours, in the simulator: what years would show that no test can wait for.

use lease_memory::sim::{Batch, Family, Rule};

use super::candidate::Peer;
use super::{CompareError, Rig};

pub(super) fn run(rig: &Rig<'_>) -> Result<(), CompareError> {
    for (rule, peer, [overlaps, longest, years]) in [
        (Rule::OURS, Peer::Ours, RELEASING),
        (Rule::ClientGo { release_on_cancel: true }, Peer::ClientGo, RELEASING),
        (Rule::ClientGo { release_on_cancel: false }, Peer::ClientGo, KEEPING),
    ] {
        let batch = Batch {
            families: vec![Family::Ordinary],
            from: 0,
            seeds: rig.options.seeds,
            rule: Some(rule),
            threads: None,
        };
        let outcome = batch.play(&|_| {});
        if let Some(finding) = outcome.finding {
            return Err(CompareError::scene(finding.to_string()));
        }
        #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
        let seconds = |ns: u64| ns as f64 / 1e9;
        let years_played = seconds(outcome.stats.simulated_ns) / SECONDS_PER_YEAR;
        // Where an assumption of the theorem is broken, nobody is to blame.
        let blamed: Vec<u64> = (outcome.stats.overlaps.iter())
            .filter(|overlap| overlap.excuse.is_none())
            .map(lease_memory::sim::Overlap::span_ns)
            .collect();
        let count = u32::try_from(blamed.len()).unwrap_or(u32::MAX);
        rig.record.used(overlaps, peer, f64::from(count) / years_played * 1_000.0)?;
        rig.record.used(longest, peer, seconds(blamed.into_iter().max().unwrap_or(0)))?;
        rig.record.used(years, peer, years_played)?;
    }
    Ok(())
}

/// Overlaps in a thousand cluster-years, the longest in seconds, and how many years were played; with release on cancel.
pub(super) const RELEASING: [&str; 3] = ["sim_overlaps", "sim_longest_s", "sim_years"];
/// The same without, which is client-go's default.
pub(super) const KEEPING: [&str; 3] = ["sim_overlaps_keeping", "sim_longest_keeping_s", "sim_years_keeping"];
const SECONDS_PER_YEAR: f64 = 31_557_600.0;
