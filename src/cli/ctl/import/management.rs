//! RabbitMQ's management API: what is declared there. Every call is bounded in time and in the size of its answer.

use std::{path::Path, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use ferrymq_tls::Trust;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    ImportError,
    definitions::{Binding, Definitions, Exchange, Permission, Policy, Queue, User},
    side::Endpoint,
};
use crate::told::told;

/// The longest that a call may take: a broker of a hundred thousand queues thinks about them.
const CALL: Duration = Duration::from_secs(60);
/// The most bytes of an answer that are read.
const MOST_BYTES: usize = 256 << 20;
/// Exchanges or queues that are asked for at once, the most that RabbitMQ gives.
const PAGE: usize = 500;

/// One part of a list.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    page_count: usize,
}

/// A client of the management API.
pub(super) struct Management {
    http: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    base: String,
    user: String,
    authorization: String,
}

impl Management {
    /// The API at `base`, as the user of `from`.
    ///
    /// # Errors
    ///
    /// Where the address is none, or it is not known whom to trust.
    pub(super) fn new(base: &str, from: &Endpoint, authorities: Option<&Path>) -> Result<Self, ImportError> {
        let base = base.trim_end_matches('/').to_owned();
        let wrong = |reason: &str| ImportError::Management { base: base.clone(), reason: reason.to_owned() };
        let uri = base
            .parse::<Uri>()
            .ok()
            .filter(|uri| !base.contains('@') && matches!(uri.scheme_str(), Some("http" | "https")));
        let Some(host) = uri.as_ref().and_then(Uri::host) else {
            return Err(ImportError::Management {
                base: "--from-management".to_owned(),
                reason: "is no address of it; it should look like http://rabbit:15672".to_owned(),
            });
        };
        let trust = match authorities {
            Some(path) => {
                let pem = std::fs::read(path).map_err(|error| {
                    wrong(&format!(
                        "cannot read the authorities from {}: {error}; name their file by --from-management-ca-file",
                        path.display()
                    ))
                })?;
                Some(Trust::new(&pem, host).map_err(|error| wrong(&told(&error)))?)
            }
            None if base.starts_with("https:") => {
                return Err(wrong(
                    "it is not known whom to trust; name the file with the authorities of its certificate by --from-management-ca-file",
                ));
            }
            None => None,
        };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        connector.enforce_http(false);
        let builder = HttpsConnectorBuilder::new();
        let connector = match trust {
            Some(trust) => {
                builder.with_tls_config(trust.client.clone()).https_only().enable_http1().wrap_connector(connector)
            }
            // Only ever asked for http.
            None => builder.with_tls_config(nobody()).https_or_http().enable_http1().wrap_connector(connector),
        };
        let credentials = BASE64_STANDARD.encode(format!("{}:{}", from.user(), from.password()));
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            base,
            user: from.user().to_owned(),
            authorization: format!("Basic {credentials}"),
        })
    }

    /// All that is declared in a virtual host, and who may do what there.
    ///
    /// # Errors
    ///
    /// Where the API cannot be asked, refuses, or has no such virtual host. What only an administrator may see is left out
    /// for another user.
    pub(super) async fn definitions(&self, virtual_host: &str) -> Result<Definitions, ImportError> {
        let name = escaped(virtual_host);
        Ok(Definitions {
            exchanges: self.list::<Exchange>(&format!("/api/exchanges/{name}")).await?,
            queues: self.list::<Queue>(&format!("/api/queues/{name}")).await?,
            bindings: self.get::<Vec<Binding>>(&format!("/api/bindings/{name}")).await?,
            policies: self.seen::<Policy>(&format!("/api/policies/{name}")).await?,
            users: self.seen::<User>("/api/users").await?,
            permissions: self.seen::<Permission>(&format!("/api/vhosts/{name}/permissions")).await?,
        })
    }

    /// A list, part by part.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ImportError> {
        let mut all = Vec::new();
        let mut number = 1;
        loop {
            let page: Page<T> = self.get(&format!("{path}?pagination=true&page={number}&page_size={PAGE}")).await?;
            all.extend(page.items);
            if number >= page.page_count {
                return Ok(all);
            }
            number += 1;
        }
    }

    /// A list that not every user may see.
    async fn seen<T: DeserializeOwned>(&self, path: &str) -> Result<Option<Vec<T>>, ImportError> {
        match self.ask(path).await? {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Ok(None),
            (status, body) => self.read(path, status, &body).map(Some),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ImportError> {
        let (status, body) = self.ask(path).await?;
        self.read(path, status, &body)
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, Bytes), ImportError> {
        let request = Request::get(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, &self.authorization)
            .body(Empty::new())
            .map_err(|error| self.wrong(told(&error)))?;
        let call = async {
            let answer = self.http.request(request).await.map_err(|error| {
                let advice = "is its plugin on (rabbitmq-plugins enable rabbitmq_management), and the address right?";
                self.wrong(format!("cannot be reached: {}; {advice}", told(&error)))
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
            let body = body.map_err(|error| self.wrong(format!("its answer to {path} stopped half-way: {error}")))?;
            Ok((status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(CALL, call).await;
        answered.unwrap_or_else(|_| Err(self.wrong(format!("did not answer {path} within {} s", CALL.as_secs()))))
    }

    fn read<T: DeserializeOwned>(&self, path: &str, status: StatusCode, body: &[u8]) -> Result<T, ImportError> {
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                let user = &self.user;
                let reason = format!(
                    "does not let in user '{user}': the password is wrong, or the user lacks the tag `management` \
                     (rabbitmqctl set_user_tags {user} administrator)"
                );
                return Err(self.wrong(reason));
            }
            StatusCode::NOT_FOUND => {
                return Err(
                    self.wrong(format!("has no {path}: the virtual host of --from is not there, or not this user's"))
                );
            }
            other => {
                let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
                return Err(self.wrong(format!("answered {path} with {other}: {text}")));
            }
        }
        serde_json::from_slice(body)
            .map_err(|error| self.wrong(format!("answered {path} with something that is not understood: {error}")))
    }

    fn wrong(&self, reason: String) -> ImportError {
        ImportError::Management { base: self.base.clone(), reason }
    }
}

/// TLS that trusts nobody.
fn nobody() -> rustls::ClientConfig {
    rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

/// A name as a part of a path.
fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::import::side::Side;

    #[test]
    fn any_name_is_a_part_of_a_path() {
        assert_eq!(escaped("/"), "%2F");
        assert_eq!(escaped("a b/é?"), "a%20b%2F%C3%A9%3F");
    }

    #[test]
    fn what_is_no_address_and_whom_nobody_can_vouch_for_are_refused() {
        ferrymq_tls::install();
        let from = Endpoint::new(Side::RabbitMq, &"amqp://mover:secret@rabbit".parse().unwrap(), None).unwrap();
        for (base, told) in [
            ("rabbit:15672", "it should look like"),
            ("http://mover:secret@rabbit:15672", "it should look like"),
            ("https://rabbit:15671", "--from-management-ca-file"),
        ] {
            let Err(error) = Management::new(base, &from, None) else { panic!("{base} was taken") };
            assert!(error.to_string().contains(told) && !error.to_string().contains("secret"), "{error}");
        }
        assert!(Management::new("http://rabbit:15672/", &from, None).is_ok());
    }
}
