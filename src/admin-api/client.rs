//! What the operator, `dev` and `ctl` call with. Every call is bounded in time and in the size of its answer.

use std::time::Duration;

use bytes::Bytes;
use ferrymq_tls::Trust;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, ResponseFuture, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    AdminError, BackupRemoval, BackupRequest, BackupView, ClusterStatus, Draining, Formation, NewUser, NodeRemoval,
    NodeStatus, Safety, TopicDeclaration, TopicList, TopicRemoval, TopicView, TopicsAfter, UserDeclaration,
    UserRemoval, UserView, routes,
};

/// The longest that a call may take, but [`Client::hand_over`].
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that [`Client::hand_over`] may take: the node itself gives up after 20 seconds.
pub const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(25);

/// The longest that [`Client::topics_after`] may take: the node itself answers after 5 seconds.
const TOPICS_AFTER_TIMEOUT: Duration = Duration::from_secs(8);

/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is none.
    #[error("'{url}' is no address of an admin API; it should look like http://127.0.0.1:7500")]
    Address {
        /// What was given.
        url: String,
    },
    /// The base URL begins with `https`, and it is not known whom to trust; or the other way round.
    #[error(
        "'{url}' is to be called by {scheme}; give https together with the authorities of the cluster, and only then"
    )]
    Scheme {
        /// What was given.
        url: String,
        /// What was expected.
        scheme: &'static str,
    },
    /// The token cannot be put into a header.
    #[error("the token holds characters that no HTTP header can carry; write a new one of letters and digits")]
    Token,
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The broker refused it.
    #[error(transparent)]
    Refused(#[from] AdminError),
    /// Nobody answers there, or the connection broke.
    #[error("{base} cannot be reached")]
    Unreachable {
        /// Who was asked.
        base: String,
        /// What went wrong on the way.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// No answer in time.
    #[error("{base} did not answer {route} within {} s", timeout.as_secs_f32())]
    TimedOut {
        /// Who was asked.
        base: String,
        /// For what.
        route: &'static str,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The answer stopped half-way, or has more bytes than a client reads.
    #[error("the answer of {base} to {route} could not be read: {reason}")]
    Broken {
        /// Who was asked.
        base: String,
        /// For what.
        route: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// The answer is not what the admin API says.
    #[error("{base} answered {route} with status {status} and something that is no answer of an admin API: {text}")]
    NotUnderstood {
        /// Who was asked.
        base: String,
        /// For what.
        route: &'static str,
        /// The answer's status.
        status: u16,
        /// How its body begins.
        text: String,
    },
    /// What was to be sent could not be written as JSON.
    #[error("the request for {route} cannot be written")]
    Unwritable {
        /// What was to be asked for.
        route: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl CallError {
    /// The broker's refusal, where it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&AdminError> {
        match self {
            Self::Refused(error) => Some(error),
            _ => None,
        }
    }
}

/// How connections are opened.
#[derive(Clone)]
enum Http {
    Plain(HttpClient<HttpConnector, Full<Bytes>>),
    Secure(HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Http {
    fn new(trust: Option<&Trust>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(2)));
        let mut builder = HttpClient::builder(TokioExecutor::new());
        builder.pool_idle_timeout(Duration::from_secs(20));
        let Some(trust) = trust else { return Self::Plain(builder.build(connector)) };
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust.client.clone())
            .https_only()
            // Pods are called by their addresses, and their certificate is for the cluster.
            .with_server_name_resolver(FixedServerNameResolver::new(trust.name.clone()))
            .enable_http1()
            .wrap_connector(connector);
        Self::Secure(builder.build(connector))
    }

    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match self {
            Self::Plain(client) => client.request(request),
            Self::Secure(client) => client.request(request),
        }
    }
}

/// A client of one node's admin API. Cheap to clone; the clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: Http,
    trust: Option<Trust>,
    base: String,
    authorization: Option<header::HeaderValue>,
    timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the node at `base` (`http://10.0.0.7:7500`). White space around the token is passed over.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the address or the token is none.
    pub fn new(base: &str, token: &str) -> Result<Self, ClientError> {
        Self::with(base, token, None)
    }

    /// A client of the node at `base` (`https://10.0.0.7:7500`), which must show a certificate that is trusted.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the address or the token is none.
    pub fn over_tls(base: &str, token: &str, trust: &Trust) -> Result<Self, ClientError> {
        Self::with(base, token, Some(trust))
    }

    fn with(base: &str, token: &str, trust: Option<&Trust>) -> Result<Self, ClientError> {
        let base = base.trim_end_matches('/').to_owned();
        let uri = base.parse::<Uri>().ok().filter(|uri| uri.authority().is_some());
        let scheme = if trust.is_some() { "https" } else { "http" };
        match uri.as_ref().and_then(Uri::scheme_str) {
            Some(given) if given == scheme => {}
            Some("http" | "https") => return Err(ClientError::Scheme { url: base, scheme }),
            _ => return Err(ClientError::Address { url: base }),
        }
        let mut authorization =
            header::HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| ClientError::Token)?;
        authorization.set_sensitive(true);
        let http = Http::new(trust);
        Ok(Self { http, trust: trust.cloned(), base, authorization: Some(authorization), timeout: CALL_TIMEOUT })
    }

    /// The same client, with another limit on how long a call may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same client for another node of the cluster.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`] where the address is none.
    pub fn at(&self, base: &str) -> Result<Self, ClientError> {
        let other = Self::with(base, "", self.trust.as_ref())?;
        Ok(Self { base: other.base, ..self.clone() })
    }

    /// The node's address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether the node serves clients.
    ///
    /// # Errors
    ///
    /// [`CallError`]; a node that is not ready is no error.
    pub async fn ready(&self) -> Result<bool, CallError> {
        let (status, _) = self.call(Method::GET, routes::READYZ, Bytes::new(), self.timeout).await?;
        Ok(status.is_success())
    }

    /// What the node says of itself.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn node(&self) -> Result<NodeStatus, CallError> {
        self.get(routes::NODE).await
    }

    /// What the cluster looks like from the node.
    ///
    /// # Errors
    ///
    /// [`CallError`]; refused as [`NotFormed`](crate::Reason::NotFormed) where the node has no cluster.
    pub async fn cluster(&self) -> Result<ClusterStatus, CallError> {
        self.get(routes::CLUSTER).await
    }

    /// Forms the cluster.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn form(&self, formation: &Formation) -> Result<(), CallError> {
        self.send(Method::POST, routes::FORM, formation).await
    }

    /// Whether the node may stop now.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn safe_to_stop(&self) -> Result<Safety, CallError> {
        self.get(routes::SAFE_TO_STOP).await
    }

    /// Gives all that the node leads to others.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn hand_over(&self) -> Result<(), CallError> {
        let timeout = self.timeout.max(HAND_OVER_TIMEOUT);
        let (status, body) = self.call(Method::POST, routes::HAND_OVER, Bytes::new(), timeout).await?;
        self.done(routes::HAND_OVER, status, &body)
    }

    /// Empties a node of the cluster, or lets it have its share again; how far that is shows in [`Client::cluster`].
    ///
    /// # Errors
    ///
    /// [`CallError`]; refused as [`WouldNotFit`](crate::Reason::WouldNotFit) where the others could not hold what it has.
    pub async fn drain(&self, draining: &Draining) -> Result<(), CallError> {
        self.send(Method::PUT, routes::DRAINING, draining).await
    }

    /// Takes a node that was emptied out of the cluster; success where it is not there.
    ///
    /// # Errors
    ///
    /// [`CallError`]; refused as [`WouldNotFit`](crate::Reason::WouldNotFit) where it still holds something.
    pub async fn remove_node(&self, removal: &NodeRemoval) -> Result<(), CallError> {
        self.send(Method::DELETE, routes::NODES, removal).await
    }

    /// Makes a backup of the cluster, or says how far it is.
    ///
    /// # Errors
    ///
    /// [`CallError`]; refused as [`Incompatible`](crate::Reason::Incompatible) where the node archives nothing.
    pub async fn back_up(&self, request: &BackupRequest) -> Result<BackupView, CallError> {
        let body = written(routes::BACKUP, request)?;
        let (status, body) = self.call(Method::POST, routes::BACKUP, body, self.timeout).await?;
        self.read(routes::BACKUP, status, &body)
    }

    /// Removes a backup, and what no other needs; success where it is not there.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn remove_backup(&self, removal: &BackupRemoval) -> Result<(), CallError> {
        self.send(Method::DELETE, routes::BACKUP, removal).await
    }

    /// Declares a topic, and gives it as it is then.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn declare_topic(&self, topic: &TopicDeclaration) -> Result<TopicView, CallError> {
        let body = written(routes::TOPIC, topic)?;
        let (status, body) = self.call(Method::PUT, routes::TOPIC, body, self.timeout).await?;
        self.read(routes::TOPIC, status, &body)
    }

    /// All topics.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn topics(&self) -> Result<TopicList, CallError> {
        self.get(routes::TOPICS).await
    }

    /// A part of the topics, as soon as all of them are of another version than the known one, and after at most five seconds.
    /// A node of an earlier build gives all of them.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn topics_after(&self, after: &TopicsAfter) -> Result<TopicList, CallError> {
        let body = written(routes::TOPICS_AFTER, after)?;
        let (status, body) = self.call(Method::POST, routes::TOPICS_AFTER, body, TOPICS_AFTER_TIMEOUT).await?;
        self.read(routes::TOPICS_AFTER, status, &body)
    }

    /// Removes a topic; success where it is not there.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn remove_topic(&self, removal: &TopicRemoval) -> Result<(), CallError> {
        self.send(Method::DELETE, routes::TOPIC, removal).await
    }

    /// Declares a user, and gives it as it is then.
    ///
    /// # Errors
    ///
    /// [`CallError`]; refused as [`Incompatible`](crate::Reason::Incompatible) where the cluster itself has a user of that
    /// name.
    pub async fn declare_user(&self, user: &UserDeclaration) -> Result<UserView, CallError> {
        let body = written(routes::USER, user)?;
        let (status, body) = self.call(Method::PUT, routes::USER, body, self.timeout).await?;
        self.read(routes::USER, status, &body)
    }

    /// All users.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn users(&self) -> Result<Vec<UserView>, CallError> {
        self.get(routes::USERS).await
    }

    /// Removes a user; success where it is not there.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn remove_user(&self, removal: &UserRemoval) -> Result<(), CallError> {
        self.send(Method::DELETE, routes::USER, removal).await
    }

    /// Makes a user that may do everything, or gives it a new password.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn put_user(&self, user: &NewUser) -> Result<(), CallError> {
        self.send(Method::PUT, routes::USERS, user).await
    }

    async fn get<T: DeserializeOwned>(&self, route: &'static str) -> Result<T, CallError> {
        let (status, body) = self.call(Method::GET, route, Bytes::new(), self.timeout).await?;
        self.read(route, status, &body)
    }

    async fn send<T: Serialize>(&self, method: Method, route: &'static str, what: &T) -> Result<(), CallError> {
        let (status, body) = self.call(method, route, written(route, what)?, self.timeout).await?;
        self.done(route, status, &body)
    }

    async fn call(
        &self,
        method: Method,
        route: &'static str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let mut request = Request::builder().method(method).uri(format!("{}{route}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(|error| self.broken(route, error.to_string()))?;
        let exchange = async {
            let answer = self
                .http
                .request(request)
                .await
                .map_err(|source| CallError::Unreachable { base: self.base.clone(), source })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|error| {
                let reason = match error.downcast_ref::<LengthLimitError>() {
                    Some(_) => format!("it has more than {MAX_ANSWER_BYTES} bytes"),
                    None => error.to_string(),
                };
                self.broken(route, reason)
            })?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(CallError::TimedOut { base: self.base.clone(), route, timeout }))
    }

    fn done(&self, route: &'static str, status: StatusCode, body: &[u8]) -> Result<(), CallError> {
        if status.is_success() { Ok(()) } else { Err(self.refusal(route, status, body)) }
    }

    fn read<T: DeserializeOwned>(&self, route: &'static str, status: StatusCode, body: &[u8]) -> Result<T, CallError> {
        if !status.is_success() {
            return Err(self.refusal(route, status, body));
        }
        serde_json::from_slice(body).map_err(|_| self.not_understood(route, status, body))
    }

    fn refusal(&self, route: &'static str, status: StatusCode, body: &[u8]) -> CallError {
        match serde_json::from_slice::<AdminError>(body) {
            Ok(error) => CallError::Refused(error),
            Err(_) => self.not_understood(route, status, body),
        }
    }

    fn not_understood(&self, route: &'static str, status: StatusCode, body: &[u8]) -> CallError {
        let text = String::from_utf8_lossy(body).chars().take(200).collect();
        CallError::NotUnderstood { base: self.base.clone(), route, status: status.as_u16(), text }
    }

    fn broken(&self, route: &'static str, reason: String) -> CallError {
        CallError::Broken { base: self.base.clone(), route, reason }
    }
}

fn written<T: Serialize>(route: &'static str, what: &T) -> Result<Bytes, CallError> {
    serde_json::to_vec(what).map(Bytes::from).map_err(|source| CallError::Unwritable { route, source })
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::Reason;

    /// Answers one connection's first request with this, and gives what was asked.
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let count = socket.read(&mut request).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(request.get(..count).unwrap_or_default()).into_owned()
        });
        (base, asked)
    }

    #[tokio::test]
    async fn a_call_shows_the_token_and_gives_the_answer() {
        let body = r#"{"safe":true,"reason":"","later":1}"#;
        let answer: &'static str =
            Box::leak(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_boxed_str());
        let (base, asked) = server(answer).await;
        let safety = Client::new(&base, " secret\n").unwrap().safe_to_stop().await.unwrap();
        assert!(safety.safe);
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /admin/v1/safe-to-stop HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer secret\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_refusal_keeps_the_brokers_reason_and_sentence() {
        let body = r#"{"reason":"NotFormed","message":"orders-0 belongs to no cluster yet"}"#;
        let answer: &'static str = Box::leak(
            format!("HTTP/1.1 409 Conflict\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_boxed_str(),
        );
        let (base, _asked) = server(answer).await;
        let error = Client::new(&base, "secret").unwrap().cluster().await.unwrap_err();
        assert_eq!(error.refusal().map(|refusal| refusal.reason), Some(Reason::NotFormed));
        assert_eq!(error.to_string(), "orders-0 belongs to no cluster yet");
    }

    #[tokio::test]
    async fn a_broker_that_says_nothing_costs_no_more_than_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::new(&base, "secret").unwrap().with_timeout(Duration::from_millis(50));
        assert!(matches!(client.node().await, Err(CallError::TimedOut { .. })));
    }

    #[tokio::test]
    async fn something_else_that_speaks_http_is_not_taken_for_a_broker() {
        let (base, _asked) = server("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nnginx").await;
        let error = Client::new(&base, "secret").unwrap().node().await.unwrap_err();
        assert!(matches!(error, CallError::NotUnderstood { status: 404, .. }), "{error}");
    }

    #[test]
    fn an_address_without_a_scheme_is_refused() {
        assert!(matches!(Client::new("10.0.0.1:7500", "t"), Err(ClientError::Address { .. })));
    }
}
