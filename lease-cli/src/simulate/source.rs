//! What is to be played, from a preset or a file and what the command line changes in it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lease_core::Pretty;
use lease_memory::sim::{Replay, RuleName, Scenario, ScenarioError, ScheduleError, Setting, SettingError, Three};

use super::{Arguments, PresetName, UNSAFE};
use crate::exit::{Code, Failure};
use crate::files::quoted;
use crate::picture::visible;

/// A scenario and how to play it.
#[derive(Debug)]
pub(super) struct Plan {
    /// The preset or the file.
    pub(super) name: String,
    pub(super) scenario: Scenario,
    pub(super) settings: Vec<Setting>,
    pub(super) seed: u64,
    pub(super) runs: u64,
    /// The arguments that play all of it again, without the seed and the number of runs.
    all: String,
    /// Those that all settings have in common.
    base: String,
}

impl Plan {
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Failure> {
        let (name, text, mut scenario) = match (arguments.preset, &arguments.scenario) {
            (Some(PresetName::Scenario(preset)), _) => {
                (preset.as_str().to_owned(), preset.yaml().to_owned(), Scenario::preset(preset))
            }
            (_, Some(path)) => {
                let (text, scenario) = read(path)?;
                (visible(&path.display().to_string()), text, scenario)
            }
            (_, None) => return Err(Failure::new(Code::Usage, "there is nothing to play")),
        };
        if let Some(nodes) = arguments.nodes {
            scenario.nodes = usize::from(nodes);
        }
        if let Some(until) = arguments.until {
            scenario.until = until;
        }
        if let Err((event, fault)) = scenario.check() {
            let place = event.map_or_else(String::new, |index| format!(", event {}", index + 1));
            return Err(Failure::new(Code::Configuration, format!("{name}{place}: {fault}"))
                .help("change --until or --nodes, or the scenario"));
        }
        let settings = settings(arguments, &scenario, &|index| match Scenario::place_of_compared(&text, index) {
            Some((line, column)) => format!("{name}:{line}:{column}: "),
            None => format!("{name}: "),
        })?;
        let what = arguments.preset.map_or_else(|| quoted(&name), |preset| format!("--preset {}", preset.name()));
        let mut rest = String::new();
        rest.extend(arguments.nodes.map(|nodes| format!(" --nodes {nodes}")));
        rest.extend(arguments.until.map(|until| format!(" --until {}", Pretty(until))));
        let compare = given("--compare", &arguments.compare, Three::to_string);
        let rule = given("--rule", &arguments.rule, |rule| RuleName::from(*rule).as_str().to_owned());
        let safety = if arguments.unsafe_timing { " --unsafe-timing" } else { "" };
        let all = format!("{what}{rest}{compare}{rule}{safety}");
        Ok(Self {
            name,
            settings,
            seed: arguments.seed.unwrap_or(scenario.seed),
            runs: arguments.runs.unwrap_or(scenario.runs),
            scenario,
            all,
            base: what + &rest,
        })
    }

    pub(super) fn is_unsafe(&self) -> bool {
        self.settings.iter().any(|setting| setting.is_unsafe)
    }

    /// What is played, in a line.
    pub(super) fn heading(&self) -> String {
        let Self { name, scenario, seed, runs, .. } = self;
        let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let candidates = plural(scenario.nodes as u64, "candidate");
        let runs = plural(*runs, "run");
        let label = if self.is_unsafe() { format!("{UNSAFE}: ") } else { String::new() };
        format!(
            "{label}{name}: {}; {candidates}, {runs} of {} each, from seed {seed}",
            visible(&scenario.about),
            Pretty(scenario.until)
        )
    }

    /// The command that plays all of it again.
    pub(super) fn command(&self) -> String {
        format!("lease simulate {} --seed {} --runs {}", self.all, self.seed, self.runs)
    }

    /// The command that shows one run of one setting.
    pub(super) fn command_of(&self, setting: &Setting, seed: u64) -> String {
        let rule = if setting.name == self.scenario.rule {
            String::new()
        } else {
            format!(" --rule {}", setting.name.as_str())
        };
        let safety = if setting.is_unsafe { " --unsafe-timing" } else { "" };
        format!("lease simulate {} --compare {}{rule}{safety} --seed {seed} --runs 1", self.base, setting.three)
    }
}

/// A scenario and its text.
fn read(path: &Path) -> Result<(String, Scenario), Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(Code::unread(&error), format!("scenario {shown} cannot be read: {error}"))
            .help("name a file, or use --preset")
    })?;
    if Replay::is_one(&text) {
        let help = format!("lease simulate --replay {}", quoted(&shown.to_string()));
        return Err(
            Failure::new(Code::Configuration, format!("{shown} is not a scenario but a replay file")).help(help)
        );
    }
    let scenario = Scenario::from_yaml(&text).map_err(|error| {
        let one = |error: &ScenarioError| {
            let place = match (error.line, error.column) {
                (Some(line), Some(column)) => format!(":{line}:{column}"),
                _ => String::new(),
            };
            Failure::new(Code::Configuration, format!("{shown}{place}: {}", error.what))
        };
        // What to do is said once, below the last.
        let help = "the keys of a scenario are described in docs/simulate.md";
        let all: Vec<&ScenarioError> = std::iter::once(&error).chain(&error.others).collect();
        let last = all.len() - 1;
        let told = all.into_iter().enumerate().map(|(index, error)| {
            let failure = one(error);
            Some(if index == last { failure.help(help) } else { failure })
        });
        Failure::all(told)
    })?;
    Ok((text, scenario))
}

/// Each of the durations with each of the rules. What the scenario compares has a place in it.
fn settings(
    arguments: &Arguments,
    scenario: &Scenario,
    place: &dyn Fn(usize) -> String,
) -> Result<Vec<Setting>, Failure> {
    let compared = if arguments.compare.is_empty() { &scenario.compare } else { &arguments.compare };
    let mut rules: Vec<RuleName> = arguments.rule.iter().map(|rule| (*rule).into()).collect();
    if rules.is_empty() {
        rules.push(scenario.rule);
    }
    let mut settings: Vec<Setting> = Vec::new();
    for (index, three) in compared.iter().enumerate() {
        for rule in &rules {
            let setting = Setting::new(*three, *rule, arguments.unsafe_timing).map_err(|error| {
                let place = if arguments.compare.is_empty() { place(index) } else { String::new() };
                refused(&place, &error, arguments.unsafe_timing)
            })?;
            if !settings.contains(&setting) {
                settings.push(setting);
            }
        }
    }
    if settings.len() > SETTINGS_MAX {
        let what = format!("{} settings are too many for a table and a picture", settings.len());
        return Err(Failure::new(Code::Usage, what).help(format!("compare at most {SETTINGS_MAX}")));
    }
    Ok(settings)
}

fn refused(place: &str, error: &SettingError, unsafe_timing: bool) -> Failure {
    let failure = Failure::new(Code::Configuration, format!("{place}{error}"));
    let can_be_run = |three: &Three| Setting::new(*three, RuleName::Ours, true).is_ok();
    match error {
        SettingError::Ours { three, .. } if !unsafe_timing && can_be_run(three) => {
            failure.help("--unsafe-timing runs them all the same")
        }
        SettingError::Ours { three, .. } if three.retry < SHORTEST || three.renew < SHORTEST => {
            failure.help("they are below what can be simulated")
        }
        SettingError::Ours { .. } => failure.help("they are beyond what can be simulated"),
        SettingError::ClientGo { .. } => failure.help("client-go would refuse to start with them"),
    }
}

pub(super) fn cannot_be_run(error: &ScheduleError) -> Failure {
    Failure::of(Code::Configuration, error)
}

/// A flag with its values, as it was given; nothing when it was not.
fn given<T>(flag: &str, values: &[T], shown: impl Fn(&T) -> String) -> String {
    let values: Vec<String> = values.iter().map(shown).collect();
    if values.is_empty() { String::new() } else { format!(" {flag} {}", values.join(",")) }
}

const SETTINGS_MAX: usize = 20;
/// Nothing shorter can be reckoned with.
const SHORTEST: Duration = Duration::from_millis(1);
