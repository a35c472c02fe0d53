//! The processor `memory_limiter`: refuses telemetry while the process uses too much memory.

mod usage;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::component::{Consumer, Kind, Meter, Processor, ProcessorFactory, Refused, Work};
use crate::config::{ComponentId, Fields};
use crate::data::{Batch, Signal};

/// The kind `memory_limiter`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryLimiter;

impl ProcessorFactory for MemoryLimiter {
    fn kind(&self) -> Kind {
        Kind {
            name: "memory_limiter",
            aliases: &[],
            summary: "Refuses telemetry while memory is short",
            signals: &Signal::ALL,
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Processor> {
        let interval = fields.duration("check_interval").map(|found| found.value).unwrap_or_default();
        if interval.is_zero() {
            fields.error("check_interval", "is missing, or zero: how often memory is looked at, such as 1s");
        }
        let limits = Limits::read(fields);
        fields.accepted(&["min_gc_interval_when_soft_limited", "min_gc_interval_when_hard_limited"]);
        Box::new(Settings { interval, limits, usage: Arc::new(usage::resident) })
    }
}

const MIB: u64 = 1 << 20;

/// What may be used, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Limits {
    /// From here on telemetry is refused.
    soft: u64,
    /// What is not to be reached.
    hard: u64,
}

impl Limits {
    /// Without a spike limit, a fifth of the limit is kept free for what comes between two looks.
    fn new(limit: u64, spike: u64) -> Self {
        let spike = if spike == 0 { limit / 5 } else { spike };
        Self { soft: limit - spike, hard: limit }
    }

    fn read(fields: &mut Fields<'_>) -> Self {
        let mut count = |key, most| fields.count(key, 0, most).unwrap_or(0);
        let (limit, spike) = (count("limit_mib", u32::MAX.into()), count("spike_limit_mib", u32::MAX.into()));
        let (percent, spike_percent) = (count("limit_percentage", 100), count("spike_limit_percentage", 100));
        if limit == 0 && percent == 0 {
            fields.error("limit_mib", "give `limit_mib`, or `limit_percentage` of the memory that there is");
            return Self::default();
        }
        if limit > 0 && limit <= spike {
            fields.error("spike_limit_mib", format_args!("{spike} is not less than limit_mib, which is {limit}"));
            return Self::default();
        }
        if percent > 0 && percent <= spike_percent {
            let message = format!("{spike_percent} is not less than limit_percentage, which is {percent}");
            fields.error("spike_limit_percentage", message);
            return Self::default();
        }
        if limit > 0 {
            return Self::new(limit * MIB, spike * MIB);
        }
        let Some(total) = usage::total(Path::new("/")) else {
            fields.error("limit_percentage", "the amount of memory is unknown here: give `limit_mib`");
            return Self::default();
        };
        Self::new(total / 100 * percent, total / 100 * spike_percent)
    }
}

/// Says how many bytes are in use, if that can be found out.
type Usage = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

#[derive(Clone)]
struct Settings {
    interval: Duration,
    limits: Limits,
    usage: Usage,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interval, limits, usage: _ } = self;
        f.debug_struct("Settings").field("interval", interval).field("limits", limits).finish_non_exhaustive()
    }
}

impl Processor for Settings {
    fn start(
        &self,
        id: &ComponentId,
        next: Arc<dyn Consumer>,
        stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> (Arc<dyn Consumer>, Option<Work>) {
        let limiter = Arc::new(Limiter {
            id: id.clone(),
            next,
            telemetry,
            limits: self.limits,
            usage: Arc::clone(&self.usage),
            refused_at: AtomicU64::new(0),
        });
        limiter.look();
        let work = Arc::clone(&limiter).watch(self.interval, stop).boxed();
        (limiter, Some(work))
    }
}

struct Limiter {
    id: ComponentId,
    next: Arc<dyn Consumer>,
    telemetry: Arc<dyn Meter>,
    limits: Limits,
    usage: Usage,
    /// The bytes that were in use when refusing began; zero while nothing is refused.
    refused_at: AtomicU64,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("limits", &self.limits)
            .field("refused_at", &self.refused_at)
            .finish_non_exhaustive()
    }
}

impl Limiter {
    async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look(),
                () = stop.cancelled() => return,
            }
        }
    }

    /// Compares what is used with what may be, and says so when that changes what is done.
    fn look(&self) {
        let Some(used) = (self.usage)() else { return };
        let Limits { soft, hard } = self.limits;
        let before = self.refused_at.swap(if used >= soft { used.max(1) } else { 0 }, Ordering::Relaxed);
        let (used_mib, limit_mib) = (used / MIB, soft / MIB);
        if used >= soft && before == 0 {
            let beyond = if used >= hard { "hard" } else { "soft" };
            tracing::warn!(
                processor = %self.id, used_mib, limit_mib,
                "memory is above the {beyond} limit: telemetry is refused until it is below the soft limit"
            );
        } else if used < soft && before != 0 {
            tracing::info!(processor = %self.id, used_mib, limit_mib, "memory is below the limit: telemetry is taken again");
        }
    }
}

#[async_trait]
impl Consumer for Limiter {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        let used = self.refused_at.load(Ordering::Relaxed);
        if used == 0 {
            return self.next.consume(batch).await;
        }
        let items = u64::try_from(batch.telemetry.len()).unwrap_or(u64::MAX);
        let counter = match batch.telemetry.signal() {
            Signal::Metrics => "otelcol_processor_refused_metric_points",
            Signal::Logs => "otelcol_processor_refused_log_records",
            Signal::Traces => "otelcol_processor_refused_spans",
        };
        self.telemetry.add(counter, &self.id, items);
        Err(Refused::Memory { used, limit: self.limits.soft })
    }

    async fn flush(&self, deadline: std::time::Instant) {
        self.next.flush(deadline).await;
    }
}

#[cfg(test)]
mod tests;
