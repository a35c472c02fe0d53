//! The exporter `debug`: prints what reaches it, in the form of the Collector.

mod detailed;
mod normal;
mod sampling;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use self::sampling::Sampler;
use super::counters::Counters;
use crate::component::{Consumer, Exporter, ExporterFactory, Kind, Meter, Refused, StartError, Work};
use crate::config::{ComponentId, Fields};
use crate::data::{Batch, Signal, Telemetry};

/// The kind `debug`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Debug;

impl ExporterFactory for Debug {
    fn kind(&self) -> Kind {
        Kind {
            name: "debug",
            aliases: &[],
            summary: "Prints telemetry, for a look at what flows",
            signals: &Signal::ALL,
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Exporter> {
        let words = [("basic", Verbosity::Basic), ("normal", Verbosity::Normal), ("detailed", Verbosity::Detailed)];
        let settings = Settings {
            verbosity: fields.word("verbosity", &words).unwrap_or(Verbosity::Basic),
            sampling_initial: fields.count("sampling_initial", 0, u64::MAX >> 1).unwrap_or(2),
            sampling_thereafter: fields.count("sampling_thereafter", 0, u64::MAX >> 1).unwrap_or(1),
            use_internal_logger: fields.truth("use_internal_logger").unwrap_or(true),
            output_paths: fields.texts("output_paths").map(|paths| paths.into_iter().map(|path| path.value).collect()),
        };
        match &settings.output_paths {
            Some(_) if settings.use_internal_logger => {
                fields.error("output_paths", "is for use_internal_logger: false only; the log goes where all logs go");
            }
            Some(paths) if paths.is_empty() => fields.error("output_paths", "names no place to write to"),
            _ => {}
        }
        fields.accepted(&["sending_queue"]);
        Box::new(settings)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verbosity {
    /// A line for each batch.
    Basic,
    /// And a line for each point, record or span.
    Normal,
    /// And every field of them.
    Detailed,
}

#[derive(Clone, Debug)]
struct Settings {
    verbosity: Verbosity,
    sampling_initial: u64,
    sampling_thereafter: u64,
    use_internal_logger: bool,
    output_paths: Option<Vec<String>>,
}

#[async_trait]
impl Exporter for Settings {
    async fn start(
        &self,
        id: &ComponentId,
        _stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> Result<(Arc<dyn Consumer>, Option<Work>), StartError> {
        let mut outputs: Vec<Output> = Vec::new();
        if self.use_internal_logger {
            outputs.push(Output::Log);
        } else {
            let stdout = ["stdout".to_owned()];
            for path in self.output_paths.as_deref().unwrap_or(&stdout) {
                outputs.push(Output::open(path)?);
            }
        }
        let printer = Printer {
            verbosity: self.verbosity,
            sampler: Mutex::new(Sampler::new(self.sampling_initial, self.sampling_thereafter)),
            outputs: Mutex::new(outputs),
            counters: Counters::new(id, telemetry),
        };
        Ok((Arc::new(printer), None))
    }
}

/// Where is printed to.
enum Output {
    Log,
    To(Box<dyn Write + Send>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "Log",
            Self::To(_) => "To",
        })
    }
}

impl Output {
    fn open(path: &str) -> Result<Self, StartError> {
        Ok(Self::To(match path {
            "stdout" => Box::new(io::stdout()),
            "stderr" => Box::new(io::stderr()),
            path => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Box::new(file.map_err(|error| format!("output_paths: `{path}` cannot be written to: {error}"))?)
            }
        }))
    }
}

#[derive(Debug)]
struct Printer {
    verbosity: Verbosity,
    sampler: Mutex<Sampler>,
    outputs: Mutex<Vec<Output>>,
    counters: Counters,
}

impl Printer {
    /// Prints to all places, and gives the first error.
    fn print(&self, telemetry: &Telemetry) -> io::Result<()> {
        let summary = Summary::of(telemetry);
        let text = match self.verbosity {
            Verbosity::Basic => None,
            Verbosity::Normal => Some(normal::text(telemetry)),
            Verbosity::Detailed => Some(detailed::text(telemetry)),
        };
        // Each message is a sample of its own.
        let (summary_is_drawn, text) = {
            let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
            (sampler.draws(summary.name), text.filter(|text| sampler.draws(text)))
        };
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Ok(());
        for output in outputs.iter_mut() {
            let done = match output {
                Output::Log => {
                    if summary_is_drawn {
                        tracing::info!(exporter = %self.counters.id(), "{summary}");
                    }
                    if let Some(text) = &text {
                        tracing::info!(exporter = %self.counters.id(), "{text}");
                    }
                    Ok(())
                }
                Output::To(out) => (|| {
                    if summary_is_drawn {
                        writeln!(out, "{summary}")?;
                    }
                    if let Some(text) = &text {
                        writeln!(out, "{text}")?;
                    }
                    out.flush()
                })(),
            };
            outcome = outcome.and(done);
        }
        outcome
    }
}

/// The line that is printed of every batch.
struct Summary {
    name: &'static str,
    counts: Vec<(&'static str, usize)>,
}

impl Summary {
    fn of(telemetry: &Telemetry) -> Self {
        let items = telemetry.len();
        match telemetry {
            Telemetry::Metrics(resources) => {
                let scopes = resources.iter().flat_map(|resource| &resource.scope_metrics);
                let metrics = scopes.map(|scope| scope.metrics.len()).sum();
                let counts = vec![("resource metrics", resources.len()), ("metrics", metrics), ("data points", items)];
                Self { name: "Metrics", counts }
            }
            Telemetry::Logs(resources) => {
                Self { name: "Logs", counts: vec![("resource logs", resources.len()), ("log records", items)] }
            }
            Telemetry::Traces(resources) => {
                Self { name: "Traces", counts: vec![("resource spans", resources.len()), ("spans", items)] }
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{{", self.name)?;
        for (index, (what, count)) in self.counts.iter().enumerate() {
            write!(f, "{}\"{what}\": {count}", if index == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}

#[async_trait]
impl Consumer for Printer {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        batch.check()?;
        let signal = batch.telemetry.signal();
        let items = u64::try_from(batch.telemetry.len()).unwrap_or(u64::MAX);
        match self.print(&batch.telemetry) {
            Ok(()) => self.counters.sent(signal, items),
            // Whoever has closed the other end of a pipe does not want it, and a word of it would go the same way.
            Err(error) => {
                self.counters.send_failed(signal, items);
                tracing::debug!(exporter = %self.counters.id(), "nothing was printed: {error}");
            }
        }
        Ok(())
    }

    async fn flush(&self, _deadline: std::time::Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporters::recorded;
    use crate::test_kit::{Logs, Tally, batch, configured, problems};

    #[test]
    fn the_text_is_that_of_the_collector_at_every_verbosity() {
        for recorded in recorded::all() {
            let summary = format!("{}\n", Summary::of(&recorded.telemetry));
            assert_eq!(summary, recorded.basic);
            let normal = format!("{summary}{}\n", normal::text(&recorded.telemetry));
            assert!(normal == recorded.normal, "ours:\n{normal}\nthe Collector's:\n{}", recorded.normal);
            let detailed = format!("{summary}{}\n", detailed::text(&recorded.telemetry));
            assert!(detailed == recorded.detailed, "ours:\n{detailed}\nthe Collector's:\n{}", recorded.detailed);
        }
    }

    async fn started(entries: &[(&str, &str)]) -> (Arc<dyn Consumer>, Arc<Tally>) {
        let (exporter, noted) = configured(entries, |fields| Debug.configure(fields));
        assert_eq!(noted.errors, []);
        let tally = Tally::new();
        let (consumer, _) =
            exporter.start(&"debug".parse().unwrap(), CancellationToken::new(), tally.clone()).await.unwrap();
        (consumer, tally)
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_gets_what_is_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("debug.txt");
        let entries = [
            ("use_internal_logger", "false"),
            ("output_paths", path.to_str().unwrap()),
            ("sampling_initial", "1"),
            ("sampling_thereafter", "2"),
        ];
        let (debug, tally) = started(&entries).await;
        for points in 1..=5 {
            debug.consume(batch(points, None)).await.unwrap();
        }
        let line =
            |points| format!("Metrics\t{{\"resource metrics\": 1, \"metrics\": 1, \"data points\": {points}}}\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), [line(1), line(3), line(5)].concat());
        assert_eq!(tally.count("otelcol_exporter_sent_metric_points"), 15);
    }

    #[tokio::test]
    async fn the_log_is_where_it_goes_by_default() {
        let (logs, _guard) = Logs::keep();
        let (debug, _) = started(&[("verbosity", "normal")]).await;
        debug.consume(batch(2, None)).await.unwrap();
        assert!(logs.text().contains("\"data points\": 2}"), "{}", logs.text());
        assert!(logs.text().contains("dummy{} 1\n"), "{}", logs.text());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = |entries: &[(&str, &str)]| problems(entries, |fields| drop(Debug.configure(fields)));
        assert_eq!(told(&[("verbosity", "loud")]), ["verbosity: `loud` is none of basic, normal, detailed"]);
        assert_eq!(told(&[("output_paths", "stderr")]).len(), 1, "the log goes where all logs go");
    }
}
