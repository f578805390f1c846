//! What the API server did not give or take, as a person needs to know it: what it was, who refused, in whose words, and
//! what to do next. Pure.

use ferrymq_api::Reason;
use kube::core::Status;

use crate::{
    error::{ReconcileError, chain},
    message_queue::trouble::Trouble,
};

/// The most of the API server's own words that are repeated, in characters.
const WORDS: usize = 600;

fn stalling(reason: Reason, message: String) -> Trouble {
    Trouble { reason, message, stalls: true }
}

fn passing(reason: Reason, message: String) -> Trouble {
    Trouble { reason, message, stalls: false }
}

/// What there is to say of an error; nothing where it is no business of anybody's, or the status is what cannot be
/// written.
pub(crate) fn of(error: &ReconcileError) -> Option<Trouble> {
    let (what, verb, source) = match error {
        ReconcileError::Read { what, source } => (what, "give", source),
        ReconcileError::Write { what, source } => (what, "take", source),
        ReconcileError::Overwritten { .. } => {
            return Some(stalling(Reason::Overwritten, error.to_string()));
        }
        _ => return None,
    };
    let kube::Error::Api(status) = source else {
        let message = format!("the API server does not {verb} {what}: {}; it is tried again", words(&chain(source)));
        return Some(passing(Reason::ApiServerTroubled, message));
    };
    if status.message.contains("because it is being terminated") {
        // The namespace goes, and all of this with it.
        return None;
    }
    Some(refused(what, verb, status))
}

/// A refusal by its code and its words: Kubernetes' API conventions, "HTTP status codes"; a webhook may give any code.
fn refused(what: &str, verb: &str, status: &Status) -> Trouble {
    let said = words(&status.message);
    if let Some(policy) = policy(&status.message) {
        let message = format!(
            "{policy} denies {what}: {said}; change that policy, or let it leave out what belongs to the cluster"
        );
        return stalling(Reason::AdmissionDenied, message);
    }
    match status.code {
        403 if status.message.contains("exceeded quota") => stalling(
            Reason::QuotaExceeded,
            format!("a quota of the namespace does not allow {what}: {said}; raise it (`kubectl get resourcequota`)"),
        ),
        401 | 403 => stalling(
            Reason::RightsMissing,
            format!(
                "the API server does not {verb} {what}, as the operator may not: {said}; give its service account that \
                 right, which the chart's role has"
            ),
        ),
        409 => passing(
            Reason::WriteConflicts,
            format!(
                "the API server does not {verb} {what}, as somebody else changes it at the same time: {said}; it is tried \
                 again; where it stays, `kubectl get --show-managed-fields -o yaml` says who"
            ),
        ),
        429 | 500.. => {
            let hint = if status.message.contains("failed calling webhook") {
                "; bring back what serves that webhook, or delete its configuration"
            } else {
                ""
            };
            let message = format!("the API server does not {verb} {what}: {said}{hint}; it is tried again");
            passing(Reason::ApiServerTroubled, message)
        }
        code => stalling(
            Reason::Refused,
            format!("the API server does not {verb} {what} (status {code}): {said}; the operator's log has all of it"),
        ),
    }
}

/// Which policy of admission spoke, where one did.
fn policy(message: &str) -> Option<String> {
    let named = |before: &str, quote: char| {
        let (_, after) = message.split_once(before)?;
        after.split(quote).next().filter(|name| !name.is_empty()).map(str::to_owned)
    };
    if message.contains("denied the request") {
        return Some(match named("admission webhook \"", '"') {
            Some(name) => format!("admission webhook {name}"),
            None => "an admission webhook".to_owned(),
        });
    }
    named("ValidatingAdmissionPolicy '", '\'').map(|name| format!("ValidatingAdmissionPolicy {name}"))
}

/// The words of another, on one line, of bearable length, without an end of their own.
fn words(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.trim_end_matches(['.', ';']).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setback(code: u16, message: &str) -> Trouble {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        let source = kube::Error::Api(Box::new(status));
        of(&ReconcileError::Write { what: "StatefulSet orders".to_owned(), source }).unwrap()
    }

    #[test]
    fn who_refuses_is_told_from_the_code_and_the_words() {
        for (code, words, reason, named) in [
            (403, r#"pods "x" is forbidden: exceeded quota: small, requested: pods=1"#, Reason::QuotaExceeded, "small"),
            (
                403,
                r#"statefulsets.apps "orders" is forbidden: User "system:serviceaccount:a:b" cannot patch resource"#,
                Reason::RightsMissing,
                "cannot patch",
            ),
            (
                400,
                r#"admission webhook "no.sets.example" denied the request: not on a Sunday"#,
                Reason::AdmissionDenied,
                "admission webhook no.sets.example denies StatefulSet orders",
            ),
            (
                422,
                "statefulsets.apps \"orders\" is forbidden: ValidatingAdmissionPolicy 'no-sets' with binding 'b' denied request: no",
                Reason::AdmissionDenied,
                "ValidatingAdmissionPolicy no-sets denies",
            ),
            (422, "spec.replicas: Invalid value", Reason::Refused, "status 422"),
        ] {
            let setback = setback(code, words);
            assert_eq!((setback.reason, setback.stalls), (reason, true), "{words}");
            assert!(setback.message.contains(named), "{}", setback.message);
        }
    }

    #[test]
    fn what_passes_by_itself_asks_nobody_for_help() {
        for (code, words, reason) in [
            (409, "the object has been modified", Reason::WriteConflicts),
            (429, "Too many requests, please try again later.", Reason::ApiServerTroubled),
            (500, "etcdserver: request timed out", Reason::ApiServerTroubled),
            (500, r#"Internal error occurred: failed calling webhook "a.b""#, Reason::ApiServerTroubled),
        ] {
            let setback = setback(code, words);
            assert_eq!((setback.reason, setback.stalls), (reason, false), "{words}");
        }
        assert!(setback(500, "failed calling webhook \"a.b\"").message.contains("bring back what serves"));
    }

    #[test]
    fn the_words_of_others_are_bounded() {
        assert!(setback(422, &"very ".repeat(10_000)).message.len() < 2 * WORDS);
    }

    #[test]
    fn nothing_is_said_of_a_namespace_that_goes() {
        let status = Status {
            code: 403,
            message: "namespace shop because it is being terminated".to_owned(),
            ..Status::default()
        };
        let source = kube::Error::Api(Box::new(status));
        assert_eq!(of(&ReconcileError::Write { what: "x".to_owned(), source }), None);
    }
}
