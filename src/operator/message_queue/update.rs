//! Restarts that are to come, and whether they may begin: in a maintenance window, where there are any, and when somebody
//! has approved, where that is asked for. Until then brokers keep the template that they have, so that one that stops by
//! itself comes back as it was. Pure.

use ferrymq_api::{Approval, Cluster};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::objects::fingerprint;

/// Restarts that are to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    /// What somebody approves it by.
    pub(crate) id: String,
    /// What the brokers are to run.
    pub(crate) image: String,
    /// They run what the spec asks for: it is the operator that brings another image.
    pub(crate) by_operator: bool,
    /// The brokers, in the order in which they are restarted.
    pub(crate) brokers: Vec<u32>,
    /// Whether it may begin, or go on.
    pub(crate) gate: Gate,
}

/// Whether restarts may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// They may.
    Open,
    /// When somebody has approved.
    Approval,
    /// When the next maintenance window opens.
    Window(Option<Timestamp>),
}

/// What is to be run, and who wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The mark of what pods are built from.
    pub(crate) mark: &'a str,
    /// The image.
    pub(crate) image: &'a str,
    /// The spec asks for nothing new; the operator brings another image.
    pub(crate) by_operator: bool,
}

impl Target<'_> {
    /// What somebody approves it by: it is another one for every other target.
    pub(crate) fn id(self) -> String {
        fingerprint(&json!([self.mark, self.image]))
    }
}

/// Whether brokers may be brought to this target now.
pub(crate) fn gate(cluster: &Cluster, target: Target<'_>, approved: Option<&str>, now: Timestamp) -> Gate {
    let policy = &cluster.upgrade;
    // An operator that is upgraded restarts nobody who has not asked for it: by a window, or by approving.
    let must_be_approved = policy.approval == Approval::Manual || (target.by_operator && policy.windows.is_empty());
    if must_be_approved && approved != Some(target.id().as_str()) {
        return Gate::Approval;
    }
    if policy.is_open(now) { Gate::Open } else { Gate::Window(policy.next_opening(now)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    const WINDOW: &str = "maintenanceWindows: [{cron: '0 3 * * *', duration: 2h}]";

    fn decided(upgrade: &str, by_operator: bool, approved: bool, time: &str) -> Gate {
        let cluster = cluster(&format!("{{storage: {{size: 1Gi}}, upgrade: {{{upgrade}}}}}"));
        let target = Target { mark: "m", image: "ferrymq:2", by_operator };
        let id = target.id();
        gate(&cluster, target, approved.then_some(id.as_str()), time.parse().unwrap())
    }

    #[test]
    fn what_the_spec_asks_for_begins_at_once_unless_it_says_otherwise() {
        let (night, day) = ("2026-11-22T03:30:00Z", "2026-11-22T12:00:00Z");
        let tomorrow = Gate::Window(Some("2026-11-23T03:00:00Z".parse().unwrap()));
        let manual = "approval: Manual";
        let both = format!("{WINDOW}, {manual}");
        for (upgrade, approved, time, gate) in [
            ("", false, day, Gate::Open),
            (WINDOW, false, day, tomorrow),
            (WINDOW, false, night, Gate::Open),
            (manual, false, day, Gate::Approval),
            (manual, true, day, Gate::Open),
            (both.as_str(), false, night, Gate::Approval),
            (both.as_str(), true, day, tomorrow),
            (both.as_str(), true, night, Gate::Open),
        ] {
            assert_eq!(decided(upgrade, false, approved, time), gate, "{upgrade} {approved} {time}");
        }
    }

    #[test]
    fn what_the_operator_brings_waits_for_a_window_or_for_somebody_who_approves() {
        let (night, day) = ("2026-11-22T03:30:00Z", "2026-11-22T12:00:00Z");
        assert_eq!(decided("", true, false, day), Gate::Approval);
        assert_eq!(decided("", true, true, day), Gate::Open);
        assert_eq!(decided(WINDOW, true, false, night), Gate::Open);
        assert!(matches!(decided(WINDOW, true, false, day), Gate::Window(Some(_))));
    }

    #[test]
    fn an_approval_is_of_one_plan_and_no_other() {
        let cluster = cluster("{storage: {size: 1Gi}, upgrade: {approval: Manual}}");
        let target = |image| Target { mark: "m", image, by_operator: false };
        let approved = target("ferrymq:2").id();
        let now = "2026-11-22T03:30:00Z".parse().unwrap();
        assert_eq!(gate(&cluster, target("ferrymq:2"), Some(&approved), now), Gate::Open);
        assert_eq!(gate(&cluster, target("ferrymq:3"), Some(&approved), now), Gate::Approval);
    }
}
