//! Bad weather, in simulated time: an API server that is slow, fails, refuses or is gone, under the operator as it runs.
//! Each call is counted: an hour of any of it costs little more than one attempt a minute.

mod api_server;

use std::{sync::Arc, time::Duration};

use ferrymq_api::{ConditionType, Reason};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    fixture::settings,
    lease::Election,
    metrics::Metrics,
    run::{Clients, controllers},
    settings::LeaseSettings,
};
use api_server::{ApiServer, Weather};

const HOUR: Duration = Duration::from_secs(3_600);

/// Sixty attempts of thirteen reads and a write, those of the first minute, and watches that begin anew every five minutes.
const CALLS_AN_HOUR: usize = 1_550;

/// How many watches there are.
const WATCHES: usize = 16;

/// The operator at work on a cluster that was just made, with this API server.
async fn under<T>(server: &Arc<ApiServer>, story: impl Future<Output = T>) -> T {
    let clients = Clients { calls: server.client(), watches: server.client() };
    tokio::select! {
        () = controllers(clients, settings(), Metrics::default()) => panic!("the operator ended"),
        outcome = story => outcome,
    }
}

/// Reason, status and message of a condition of the cluster.
fn says(server: &ApiServer, kind: ConditionType) -> (String, String, String) {
    let cluster = server.cluster();
    let conditions = cluster["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let condition = conditions.into_iter().find(|condition| condition["type"] == kind.as_str()).unwrap_or_default();
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("status"), text("message"))
}

fn refusal(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "code": code, "message": message})
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_said_and_tried_again_seldom_until_it_is_taken() {
    let quota = "services \"orders-nodes\" is forbidden: exceeded quota: small, requested: count/services=1";
    let rights = "secrets is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"secrets\"";
    let denied = "admission webhook \"no.example\" denied the request: not on a Sunday";
    let (stalled, reconciling) = (ConditionType::Stalled, ConditionType::Reconciling);
    for (code, message, kind, reason) in [
        (403, quota, stalled, Reason::QuotaExceeded),
        (403, rights, stalled, Reason::RightsMissing),
        (400, denied, stalled, Reason::AdmissionDenied),
        (422, "spec.ports: Invalid value", stalled, Reason::Refused),
        (409, "the object has been modified", reconciling, Reason::WriteConflicts),
        (429, "Too many requests, please try again later", reconciling, Reason::ApiServerTroubled),
        (503, "apiserver is shutting down", reconciling, Reason::ApiServerTroubled),
    ] {
        let server = ApiServer::new(Weather::Refuses(refusal(code, message)));
        under(&server, async {
            sleep(HOUR).await;
            let (why, held, sentence) = says(&server, kind);
            assert_eq!((why.as_str(), held.as_str()), (reason.as_str(), "True"), "{sentence}");
            assert!(sentence.contains("ServiceAccount orders") && sentence.contains(message), "{sentence}");
            let calls = server.calls();
            assert!(calls < CALLS_AN_HOUR, "{code}: {calls} calls in an hour");
            assert!(server.events() <= 2, "{code}: {} events", server.events());

            server.set(Weather::Fine);
            sleep(Duration::from_secs(90)).await;
            assert!(server.has("statefulsets/orders"), "it goes on by itself");
            assert_eq!(says(&server, stalled).1, "False");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_asks_for_time_is_given_it() {
    let mut answer = refusal(429, "the server is overloaded");
    answer["details"] = json!({"retryAfterSeconds": 120});
    let server = ApiServer::new(Weather::Refuses(answer));
    under(&server, async {
        sleep(HOUR).await;
        let writes = server.writes_of("serviceaccounts");
        assert!(writes <= 31, "{writes} writes in an hour, though two minutes were asked for after each");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_in_trouble_with_everything_is_not_stormed() {
    for weather in [Weather::Fails, Weather::Gone, Weather::Slow(Duration::from_secs(20)), Weather::Conflicts] {
        let server = ApiServer::new(Weather::Fine);
        under(&server, async {
            sleep(Duration::from_secs(30)).await;
            assert!(server.has("statefulsets/orders"));
            let before = server.calls();
            server.set(weather.clone());
            server.touch();
            sleep(HOUR).await;
            let calls = server.calls() - before;
            // The watches begin anew twice a minute each, and find nobody.
            assert!(calls < CALLS_AN_HOUR + WATCHES * 130, "{weather:?}: {calls} calls in an hour");
            server.set(Weather::Fine);
            server.remove("statefulsets/orders");
            sleep(Duration::from_secs(120)).await;
            assert!(server.has("statefulsets/orders"), "{weather:?}: it goes on by itself");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_changes_an_object_back_each_time_is_named_and_not_answered_for_ever() {
    let server = ApiServer::new(Weather::Reverts("statefulsets", "/spec/updateStrategy/type", json!("RollingUpdate")));
    under(&server, async {
        sleep(HOUR).await;
        let (why, held, sentence) = says(&server, ConditionType::Stalled);
        assert_eq!((why.as_str(), held.as_str()), (Reason::Overwritten.as_str(), "True"), "{sentence}");
        assert!(sentence.contains("StatefulSet orders") && sentence.contains("spec.updateStrategy.type"), "{sentence}");
        let writes = server.writes_of("statefulsets");
        assert!(writes < 80, "{writes} writes in an hour");
        assert!(server.calls() < CALLS_AN_HOUR, "{} calls in an hour", server.calls());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_cannot_renew_its_lease_ends_before_another_may_begin() {
    let lease = LeaseSettings {
        namespace: "ferrymq-system".to_owned(),
        name: "ferrymq-operator".to_owned(),
        holder: "one".to_owned(),
    };
    for weather in [Weather::Gone, Weather::Fails, Weather::Slow(Duration::from_secs(20))] {
        let server = ApiServer::new(Weather::Fine);
        let mut election = Election::new(server.client(), lease.clone());
        election.win().await;
        server.set(weather);
        let since = tokio::time::Instant::now();
        election.keep().await;
        assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    }
}
