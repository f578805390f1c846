//! The first user's name and password, with all else that a client needs: a Secret in the form of the service binding
//! specification (servicebinding.io, "well-known Secret entries").

use std::collections::BTreeMap;

use ferrymq_api::{Cluster, ListenerProtocol};
use k8s_openapi::api::core::v1::Secret;

use super::object_meta;
use crate::{message_queue::dereference::Credentials, names};

pub(crate) fn default_user_secret(cluster: &Cluster, credentials: &Credentials) -> Secret {
    let host = format!("{}.{}.svc", names::client_service(&cluster.name), cluster.namespace);
    let mut entries = BTreeMap::from([
        ("type", "rabbitmq".to_owned()),
        ("provider", "ferrymq".to_owned()),
        ("username", credentials.username.clone()),
        ("password", credentials.password.clone()),
        ("host", host.clone()),
        ("virtual-host", "/".to_owned()),
    ]);
    if let Some(amqp) = cluster.listeners.iter().find(|listener| listener.protocol == ListenerProtocol::Amqp) {
        let (user, password) = (percent_encoded(&credentials.username), percent_encoded(&credentials.password));
        entries.insert("port", amqp.port.to_string());
        entries.insert("uri", format!("amqp://{user}:{password}@{host}:{}/", amqp.port));
    }
    Secret {
        metadata: object_meta(cluster, names::default_user_secret(&cluster.name)),
        type_: Some("servicebinding.io/rabbitmq".to_owned()),
        data: Some(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), k8s_openapi::ByteString(value.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// A text as part of a URL: RFC 3986, section 2.1; all but the unreserved characters.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, credentials};

    #[test]
    fn a_client_finds_all_that_it_needs() {
        let secret = default_user_secret(&cluster("{storage: {size: 1Gi}}"), &credentials());
        let data = secret.data.unwrap();
        let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        assert_eq!(text("uri"), "amqp://user-1:p%40ss%2F@orders.shop.svc:5672/");
        assert_eq!((text("host"), text("port")), ("orders.shop.svc".to_owned(), "5672".to_owned()));
        assert_eq!(text("password"), "p@ss/");
    }
}
