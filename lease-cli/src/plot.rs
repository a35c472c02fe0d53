//! `lease plot`: a recording as pictures, in the terminal or in a file.

mod held;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use lease_core::Timestamp;

use self::held::Held;
use crate::cli::{Global, Output};
use crate::exit::{Code, Failure};
use crate::picture::{self, Latency, Limit, Part, Picture, Report, Row, Timeline, covered, rounded, visible};
use crate::recording::Recording;
use crate::{files, show};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What `lease watch --record` has written
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// Where to draw: FILE.svg or FILE.html; more than once for several files [default: in the terminal]
    #[arg(short = 'O', long, value_name = "FILE", value_parser = Target::parse)]
    out: Vec<Target>,
}

/// A file to draw into, which is overwritten.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Svg(PathBuf),
    Html(PathBuf),
}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let path = PathBuf::from(text);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg(path)),
            Some("html") => Ok(Self::Html(path)),
            _ => Err("a picture is written as .svg or as .html"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Svg(path) | Self::Html(path) => path,
        }
    }

    /// Refuses a file that could not be written, before anybody waits for what is to be in it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        files::writable(self.path()).map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &io::Error) -> Failure {
        Failure::new(Code::System, format!("{} cannot be written: {error}", self.path().display()))
            .help("use another -O FILE")
    }

    /// Draws what this kind of file holds: the pictures, or a page of them.
    pub(crate) fn write(
        &self,
        pictures: Vec<Picture>,
        page: impl FnOnce(Vec<Picture>) -> Report,
    ) -> Result<(), Failure> {
        let text = match self {
            Self::Svg(_) => picture::svg(&pictures),
            Self::Html(_) => picture::html(&page(pictures)),
        };
        files::write(self.path(), &text).map_err(|error| self.refused(&error))
    }
}

pub(crate) fn plot(arguments: &Arguments, global: &Global) -> Result<(), Failure> {
    if global.output != Output::Table {
        return Err(Failure::new(Code::Usage, "a picture has no other form with --output")
            .help("use -O FILE.svg or -O FILE.html; the recording itself is JSON lines"));
    }
    let recording = Recording::read(&arguments.recording)?;
    let leases = held::held(&recording);
    let source = Source::of(&arguments.recording, &recording);
    let pictures: Vec<Picture> = leases.iter().flat_map(|lease| source.pictures(lease)).collect();
    if arguments.out.is_empty() {
        let (width, colored) = (terminal_width(), global.color.on_stdout());
        let twins: Vec<String> = pictures.iter().map(|picture| picture.terminal(width, colored)).collect();
        return show::print(&twins.join("\n"));
    }
    for (index, target) in arguments.out.iter().enumerate() {
        let again = arguments.out[..index].iter().any(|other| files::are_same(target.path(), other.path()));
        let over = if again { Some("another picture") } else { None };
        let is_recording = files::are_same(target.path(), &arguments.recording);
        if let Some(what) = if is_recording { Some("the recording") } else { over } {
            let message = format!("the picture would overwrite {what}");
            return Err(Failure::new(Code::Usage, message).help("use another -O FILE"));
        }
    }
    let write = |target: &Target| target.write(pictures.clone(), |pictures| source.report(&leases, pictures));
    arguments.out.iter().try_for_each(write)
}

/// Where the pictures come from, in the words of their subtitles.
struct Source {
    file: String,
    began: String,
}

impl Source {
    fn of(path: &Path, recording: &Recording) -> Self {
        let began = recording.sessions.first().map_or_else(String::new, |first| {
            let second = first.began.unix_micros().div_euclid(1_000_000) * 1_000_000;
            Timestamp::from_unix_micros(second).to_string().replace(".000000Z", "Z")
        });
        Self { file: files::quoted(&visible(&path.display().to_string())), began }
    }

    fn pictures(&self, lease: &Held) -> [Picture; 2] {
        [Picture::Timeline(self.timeline(lease)), Picture::Latency(self.renewals(lease))]
    }

    fn timeline(&self, lease: &Held) -> Timeline {
        Timeline {
            title: finding(lease),
            subtitle: format!(
                "Who held the record, as a watch saw it; not who acted. From {}. Drawn by: lease plot {}",
                self.began, self.file
            ),
            from: lease.from,
            until: lease.until,
            lanes: lease.lanes.clone(),
            bands: lease.bands.clone(),
            overlaps: Vec::new(),
            gaps: Row { name: "nobody holds it".to_owned(), spans: lease.vacant.clone() },
            marks: lease.marks.clone(),
        }
    }

    fn renewals(&self, lease: &Held) -> Latency {
        let mut took: Vec<_> = lease.renewals.iter().map(|sample| sample.took).collect();
        took.sort_unstable();
        let title = match (took.get(took.len() / 2), took.last()) {
            (Some(median), Some(max)) => {
                format!("{}: renewed every {}, at most {} apart", lease.name, rounded(*median), rounded(*max))
            }
            _ => format!("{}: no renewal was seen", lease.name),
        };
        // The shortest are those that matter.
        let limits = lease.durations.iter().take(LIMITS_MAX);
        Latency {
            title,
            subtitle: format!(
                "A lease that is not renewed for its duration runs out. Drawn by: lease plot {}",
                self.file
            ),
            measured: "time between two renewals".to_owned(),
            from: lease.from,
            until: lease.until,
            samples: lease.renewals.clone(),
            limits: limits.map(|value| Limit { name: "lease duration".to_owned(), value: *value }).collect(),
        }
    }

    fn report(&self, leases: &[Held], pictures: Vec<Picture>) -> Report {
        let title = match leases {
            [one] => finding(one),
            _ => format!("Who held {} leases", leases.len()),
        };
        let mut parts = vec![Part::Text(EXPLAINED.to_owned())];
        parts.extend(pictures.into_iter().map(Part::Picture));
        Report {
            title,
            subtitle: format!("From {}. Drawn by: lease plot {} -O FILE.html", self.began, self.file),
            parts,
        }
    }
}

/// What there is to see, in a sentence.
fn finding(lease: &Held) -> String {
    let (name, total) = (&lease.name, rounded(lease.watched));
    let vacant = covered(&lease.vacant);
    match lease.lanes.as_slice() {
        [] if lease.watched.is_zero() => format!("{name}: nothing was seen"),
        [] => format!("{name}: nobody held the record in {total}"),
        [only] if vacant.is_zero() => format!("{name}: held by {} throughout {total}", only.name),
        lanes => {
            let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
            let (holders, terms) = (plural(lanes.len(), "holder"), plural(lease.terms, "term"));
            let vacant =
                if vacant.is_zero() { "never vacant".to_owned() } else { format!("nobody for {}", rounded(vacant)) };
            format!("{name}: {holders}, {terms}, {vacant} in {total}")
        }
    }
}

/// How wide the terminal is; a file or a pipe gets what most people can read.
pub(crate) fn terminal_width() -> usize {
    let stdout = io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(100)
}

const EXPLAINED: &str = "A record names a holder from when a watch saw it until the lease duration after the last \
                         renewal that was seen, or until a release, a deletion or another holder. Whether that holder \
                         acted is not in the record: one that was paused or cut off may have acted later than it held.";
const LIMITS_MAX: usize = 3;
