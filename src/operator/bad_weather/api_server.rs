//! An API server in this process: it keeps objects as they are written, counts what it is asked, and has its weather.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

use crate::fixture::resource;

/// What the API server does with what it is asked.
#[derive(Debug, Clone)]
pub(super) enum Weather {
    /// As it is asked.
    Fine,
    /// It refuses every write so, but for statuses and events.
    Refuses(Value),
    /// It fails with everything.
    Fails,
    /// Whoever asks finds nobody.
    Gone,
    /// It takes so long.
    Slow(Duration),
    /// Every write is a conflict, also of statuses.
    Conflicts,
    /// Somebody sets a field of objects of a kind each time that they are written.
    Reverts(&'static str, &'static str, Value),
}

pub(super) struct ApiServer(Mutex<State>);

struct State {
    weather: Weather,
    /// By their path.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Method and path.
    asked: Vec<(Method, String)>,
}

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

const CLUSTER: &str = "/apis/ferrymq.io/v1alpha1/namespaces/shop/messagequeues/orders";

impl ApiServer {
    /// With a cluster that was just made.
    pub(super) fn new(weather: Weather) -> Arc<Self> {
        let mut cluster = serde_json::to_value(resource("{replicas: 3, storage: {size: 1Gi}}")).unwrap();
        cluster["metadata"]["resourceVersion"] = json!("1");
        cluster["metadata"]["creationTimestamp"] = json!("2026-11-22T12:00:00Z");
        let objects = BTreeMap::from([(CLUSTER.to_owned(), cluster)]);
        Arc::new(Self(Mutex::new(State { weather, objects, version: 1, asked: Vec::new() })))
    }

    pub(super) fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { server.answer(request).await }
        });
        Client::new(service, "default")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn set(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// The cluster, as it is kept.
    pub(super) fn cluster(&self) -> Value {
        self.state().objects[CLUSTER].clone()
    }

    pub(super) fn has(&self, object: &str) -> bool {
        self.state().objects.keys().any(|path| path.ends_with(object))
    }

    pub(super) fn remove(&self, object: &str) {
        self.state().objects.retain(|path, _| !path.ends_with(object));
    }

    /// Something has to be written again.
    pub(super) fn touch(&self) {
        self.remove("statefulsets/orders");
    }

    /// How often it was asked for anything.
    pub(super) fn calls(&self) -> usize {
        self.state().asked.len()
    }

    /// How often an object of a kind was to be written.
    pub(super) fn writes_of(&self, kind: &str) -> usize {
        let state = self.state();
        let writes = state.asked.iter().filter(|(method, path)| *method != Method::GET && path.contains(kind));
        writes.count()
    }

    /// How many events were written.
    pub(super) fn events(&self) -> usize {
        self.writes_of("/events")
    }

    async fn answer(&self, request: Request<Body>) -> Result<Answer, BoxError> {
        let (parts, body) = request.into_parts();
        let (method, path) = (parts.method, parts.uri.path().to_owned());
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let body = body.collect().await?.to_bytes();
        let weather = {
            let mut state = self.state();
            state.asked.push((method.clone(), path.clone()));
            state.weather.clone()
        };
        let is_write = method != Method::GET;
        let is_aside = path.ends_with("/status") || path.contains("/events");
        match weather {
            Weather::Refuses(answer) if is_write && !is_aside => return Ok(said(&answer)),
            Weather::Conflicts if is_write => {
                return Ok(said(&json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "modified"})));
            }
            Weather::Fails => {
                return Ok(said(&json!({"kind": "Status", "code": 500, "message": "etcd has no leader"})));
            }
            Weather::Gone => return Err("connection refused".into()),
            Weather::Slow(time) => tokio::time::sleep(time).await,
            _ => {}
        }
        if query.contains("watch=true") {
            let silence = StreamBody::new(futures::stream::pending());
            return Ok(Response::new(silence.boxed_unsync()));
        }
        Ok(if is_write { self.write(&method, &path, &body) } else { self.read(&path) })
    }

    fn read(&self, path: &str) -> Answer {
        let state = self.state();
        if let Some(object) = state.objects.get(path) {
            return said(object);
        }
        if is_collection(path) {
            let (before, kind) = path.rsplit_once('/').unwrap_or_default();
            // The same kind of another group is another one.
            let group = before.split("/namespaces/").next().unwrap_or_default();
            let is_one = |path: &str| path.starts_with(group) && path.contains(&format!("/{kind}/"));
            let items: Vec<&Value> =
                state.objects.iter().filter(|(path, _)| is_one(path)).map(|(_, object)| object).collect();
            return said(&json!({"kind": "List", "apiVersion": "v1",
                "metadata": {"resourceVersion": state.version.to_string()}, "items": items}));
        }
        said(&json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": format!("no {path}")}))
    }

    fn write(&self, method: &Method, path: &str, body: &[u8]) -> Answer {
        let mut state = self.state();
        let mut object: Value = serde_json::from_slice(body).unwrap();
        state.version += 1;
        let place = if *method == Method::POST {
            format!("{path}/{}", object["metadata"]["name"].as_str().unwrap())
        } else {
            path.trim_end_matches("/status").to_owned()
        };
        if *method == Method::PUT
            && object["metadata"]["resourceVersion"] != state.objects[&place]["metadata"]["resourceVersion"]
        {
            return said(&json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "modified"}));
        }
        object["metadata"]["uid"] = object["metadata"].get("uid").cloned().unwrap_or_else(|| json!(place));
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        if let Weather::Reverts(kind, field, value) = &state.weather
            && path.contains(kind)
            && let Some(field) = object.pointer_mut(field)
        {
            *field = value.clone();
        }
        state.objects.insert(place, object.clone());
        said(&object)
    }
}

/// Whether a path names all of a kind: `…/v1/pods`, `…/v1/namespaces/shop/pods`.
fn is_collection(path: &str) -> bool {
    let segments = path.trim_start_matches("/apis/").trim_start_matches("/api/").split('/').count();
    let before = if path.starts_with("/apis/") { 2 } else { 1 };
    matches!(segments - before, 1 | 3)
}

fn said(answer: &Value) -> Answer {
    let code = if answer["kind"] == "Status" { answer["code"].as_u64().unwrap() } else { 200 };
    let body = Full::new(Bytes::from(serde_json::to_vec(answer).unwrap()));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(u16::try_from(code).unwrap()).body(body).unwrap()
}
