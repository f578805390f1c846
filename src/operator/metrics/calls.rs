//! A layer of the client, which counts what is asked of the API server.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use prometheus_client::metrics::{counter::Counter, family::Family};
use tower::{Layer, Service};

use super::Labels;

/// Counts by verb and status. Cheap to clone; the same counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Family<Labels<2>, Counter>);

impl Calls {
    pub(super) fn counts(&self) -> Family<Labels<2>, Counter> {
        self.0.clone()
    }

    pub(super) fn count(&self, verb: &str, code: &str) {
        self.0.get_or_create_owned(&[("verb", verb.to_owned()), ("code", code.to_owned())]).inc();
    }
}

impl<S> Layer<S> for Calls {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, calls: self.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub(crate) struct Counting<S> {
    inner: S,
    calls: Calls,
}

impl<S, B, R> Service<Request<B>> for Counting<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, calls) = (verb(&request), self.calls.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().ok().map(Response::status);
            calls.count(verb, code.as_ref().map_or("error", |code| code.as_str()));
            answer
        })
    }
}

/// As the API server names what is done; a list counts as a get.
fn verb<B>(request: &Request<B>) -> &'static str {
    let watches = || request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    match *request.method() {
        Method::GET if watches() => "watch",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_counted_by_its_verb_and_by_what_comes_of_it() {
        let calls = Calls::default();
        let mut service = calls.layer(tower::service_fn(|request: Request<()>| async move {
            match request.uri().path() {
                "/gone" => Err("no connection"),
                _ => Ok(Response::builder().status(409).body(()).unwrap()),
            }
        }));
        for (method, uri) in [("GET", "/a?watch=true"), ("PATCH", "/a"), ("PATCH", "/b"), ("DELETE", "/gone")] {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let _ = service.call(request).await;
        }
        let counted = |verb: &str, code: &str| {
            calls.0.get(&[("verb", verb.to_owned()), ("code", code.to_owned())]).map_or(0, |count| count.get())
        };
        assert_eq!((counted("watch", "409"), counted("patch", "409"), counted("delete", "error")), (1, 2, 1));
    }
}
