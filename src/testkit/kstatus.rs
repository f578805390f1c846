//! What Flux, kpt and others who go by kstatus make of a resource: the rules of
//! `sigs.k8s.io/cli-utils/pkg/kstatus`, for kinds of which it knows nothing in particular.

use serde_json::Value;

/// What kstatus makes of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kstatus {
    /// It is what its spec asks for.
    Current,
    /// It is on its way there.
    InProgress,
    /// It cannot get there.
    Failed,
    /// It is being deleted.
    Terminating,
}

impl Kstatus {
    /// By the first rule that holds: its deletion, whether its latest generation was seen, `Reconciling` and `Stalled` in the
    /// order in which they are listed, `Ready`. A resource of which none of them speaks is taken for current.
    #[must_use]
    pub fn of(resource: &Value) -> Self {
        let metadata = &resource["metadata"];
        if metadata["deletionTimestamp"].as_str().is_some_and(|time| !time.is_empty()) {
            return Self::Terminating;
        }
        let observed = resource["status"]["observedGeneration"].as_i64();
        if let (Some(generation), Some(observed)) = (metadata["generation"].as_i64(), observed)
            && generation != observed
        {
            return Self::InProgress;
        }
        let conditions = || resource["status"]["conditions"].as_array().into_iter().flatten();
        let told =
            conditions().filter(|condition| condition["status"] == "True").find_map(
                |condition| match condition["type"].as_str() {
                    Some("Reconciling") => Some(Self::InProgress),
                    Some("Stalled") => Some(Self::Failed),
                    _ => None,
                },
            );
        let ready =
            || conditions().find(|condition| condition["type"] == "Ready").map(|ready| ready["status"] == "True");
        match (told, ready()) {
            (Some(told), _) => told,
            (None, Some(false)) => Self::InProgress,
            (None, _) => Self::Current,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(observed: i64, conditions: &[(&str, &str)]) -> Kstatus {
        let conditions: Vec<Value> =
            conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        Kstatus::of(&json!({
            "metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions},
        }))
    }

    #[test]
    fn the_latest_generation_must_have_been_seen() {
        assert_eq!(with(1, &[("Ready", "True")]), Kstatus::InProgress);
        assert_eq!(with(2, &[("Ready", "True")]), Kstatus::Current);
    }

    #[test]
    fn reconciling_and_stalled_go_before_ready() {
        assert_eq!(with(2, &[("Ready", "True"), ("Reconciling", "True"), ("Stalled", "False")]), Kstatus::InProgress);
        assert_eq!(with(2, &[("Ready", "False"), ("Reconciling", "False"), ("Stalled", "True")]), Kstatus::Failed);
        assert_eq!(with(2, &[("Ready", "Unknown")]), Kstatus::InProgress);
    }

    #[test]
    fn what_says_nothing_is_current_and_what_goes_terminates() {
        assert_eq!(Kstatus::of(&json!({"metadata": {"generation": 1}})), Kstatus::Current);
        assert_eq!(
            Kstatus::of(&json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
            Kstatus::Terminating
        );
    }
}
