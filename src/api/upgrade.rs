//! When brokers that serve may be restarted, and who has to agree.

use std::{fmt, time::Duration};

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::{SignedDuration, Timestamp};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Problem, TimeSpan, sentence};

/// When brokers that serve may be restarted, and who has to agree. A broker that serves nothing is replaced at any time.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeSpec {
    /// The only times at which restarts begin. Default: any time. Where there are some, a newer operator moves brokers
    /// whose image the spec does not name to its own image in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance_windows: Vec<MaintenanceWindow>,

    /// Whether a person has to agree. With `Manual` nothing that restarts brokers begins until the plan in the status is
    /// approved: `kubectl annotate mq/NAME --overwrite ferrymq.io/approved-plan=ID`.
    #[serde(default)]
    pub approval: Approval,
}

/// A time at which restarts may begin.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// When it opens, as in a crontab: minute, hour, day of the month, month, day of the week.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^\\s*(\\S+\\s+){4}\\S+\\s*$')").message(sentence::WINDOW_CRON))]
    pub cron: String,

    /// How long it stays open, such as `2h`.
    pub duration: TimeSpan,

    /// Where the clock hangs, such as `Europe/Berlin`. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

/// Whether a person has to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Approval {
    /// Nobody is asked.
    #[default]
    Automatic,
    /// Somebody approves each plan.
    Manual,
}

/// [`UpgradeSpec`], checked.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct UpgradePolicy {
    /// The only times at which restarts begin; any, where there are none.
    pub windows: Vec<Window>,
    /// Whether a person has to agree.
    pub approval: Approval,
}

/// [`MaintenanceWindow`], checked.
#[derive(Clone)]
pub struct Window {
    /// As it was written, with its time zone: what two windows are compared by.
    text: String,
    opens: Crontab,
    stays: SignedDuration,
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {:#}", self.text, self.stays)
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.stays) == (&other.text, other.stays)
    }
}

impl UpgradePolicy {
    pub(crate) fn check(spec: &UpgradeSpec, problems: &mut Vec<Problem>) -> Self {
        if spec.maintenance_windows.len() > 16 {
            problems.push(Problem::new("spec.upgrade.maintenanceWindows", sentence::WINDOWS_TOO_MANY));
        }
        let windows = spec.maintenance_windows.iter().enumerate();
        Self {
            windows: windows.filter_map(|(index, window)| Window::check(window, index, problems)).collect(),
            approval: spec.approval,
        }
    }

    /// Whether restarts may begin at this time, as far as windows say.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.windows.is_empty() || self.windows.iter().any(|window| window.is_open(now))
    }

    /// When the next window opens after this time.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        self.windows.iter().filter_map(|window| window.opens_after(now)).min()
    }
}

impl Window {
    fn check(window: &MaintenanceWindow, index: usize, problems: &mut Vec<Problem>) -> Option<Self> {
        let field = |name: &str| format!("spec.upgrade.maintenanceWindows[{index}].{name}");
        let stays = match window.duration.duration() {
            Ok(stays) if (Duration::from_secs(60)..=Duration::from_secs(7 * 86_400)).contains(&stays) => {
                SignedDuration::try_from(stays).ok()
            }
            Ok(_) => {
                problems.push(Problem::new(field("duration"), sentence::WINDOW_DURATION));
                None
            }
            Err(error) => {
                problems.push(Problem::new(field("duration"), error.to_string()));
                None
            }
        };
        let zone = window.time_zone.as_deref().unwrap_or_default();
        match crontab(&window.cron, zone) {
            Ok(opens) => {
                let text = format!("{} {zone}", window.cron).trim_end().to_owned();
                Some(Self { text, opens, stays: stays? })
            }
            Err(why) => {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                problems.push(Problem::new(field("cron"), format!("{}{why}", sentence::WINDOW_CRON)));
                None
            }
        }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        let Ok(since) = now.checked_sub(self.stays) else { return false };
        self.opens_after(since).is_some_and(|opened| opened <= now)
    }

    fn opens_after(&self, time: Timestamp) -> Option<Timestamp> {
        next_time(&self.opens, time)
    }
}

/// Times, as a crontab says them in five fields; in UTC where the zone is empty. An error says why not, where there is more
/// to say than that they are not five.
pub(crate) fn crontab(cron: &str, zone: &str) -> Result<Crontab, String> {
    if cron.split_ascii_whitespace().count() != 5 {
        return Err(String::new());
    }
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    let times = cronexpr::parse_crontab_with(format!("{cron} {zone}").trim_end(), options);
    times.map_err(|error| error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" "))
}

/// The first of the times after this one.
pub(crate) fn next_time(times: &Crontab, time: Timestamp) -> Option<Timestamp> {
    times.find_next(MakeTimestamp(time)).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(windows: &[(&str, &str, Option<&str>)]) -> (UpgradePolicy, Vec<String>) {
        let windows = windows.iter().map(|(cron, duration, zone)| MaintenanceWindow {
            cron: (*cron).to_owned(),
            duration: TimeSpan((*duration).to_owned()),
            time_zone: zone.map(str::to_owned),
        });
        let spec = UpgradeSpec { maintenance_windows: windows.collect(), approval: Approval::Automatic };
        let mut problems = Vec::new();
        let policy = UpgradePolicy::check(&spec, &mut problems);
        (policy, problems.into_iter().map(|problem| problem.to_string()).collect())
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_window_is_open_from_its_minute_on_for_as_long_as_it_says() {
        // 2026-11-22 is a Sunday.
        let (policy, problems) = policy(&[("0 3 * * 0", "2h", None)]);
        assert_eq!(problems, [""; 0]);
        for (time, open) in [
            ("2026-11-22T02:59:59Z", false),
            ("2026-11-22T03:00:00Z", true),
            ("2026-11-22T04:59:59Z", true),
            ("2026-11-22T05:00:00Z", false),
            ("2026-11-23T03:30:00Z", false),
        ] {
            assert_eq!(policy.is_open(at(time)), open, "{time}");
        }
        assert_eq!(policy.next_opening(at("2026-11-22T03:00:00Z")), Some(at("2026-11-29T03:00:00Z")));
    }

    #[test]
    fn a_window_follows_the_clocks_of_its_zone() {
        let (policy, _) = policy(&[("30 2 * * *", "30m", Some("Europe/Berlin"))]);
        assert!(policy.is_open(at("2026-11-22T01:45:00Z")));
        assert!(policy.is_open(at("2026-07-22T00:45:00Z")));
        assert!(!policy.is_open(at("2026-07-22T01:45:00Z")));
    }

    #[test]
    fn without_windows_any_time_is_right() {
        let (policy, _) = policy(&[]);
        assert!(policy.is_open(at("2026-11-22T01:45:00Z")));
        assert_eq!(policy.next_opening(at("2026-11-22T01:45:00Z")), None);
    }

    #[test]
    fn what_is_no_window_is_told_by_its_field() {
        let (_, problems) = policy(&[
            ("0 3 * *", "2h", None),
            ("61 3 * * *", "2h", None),
            ("0 3 * * *", "soon", None),
            ("0 3 * * *", "10s", None),
            ("0 3 * * *", "2h", Some("Atlantis")),
        ]);
        let fields: Vec<&str> = problems.iter().filter_map(|problem| problem.split(": ").next()).collect();
        assert_eq!(
            fields,
            ["0].cron", "1].cron", "2].duration", "3].duration", "4].cron"]
                .map(|field| format!("spec.upgrade.maintenanceWindows[{field}"))
        );
    }
}
