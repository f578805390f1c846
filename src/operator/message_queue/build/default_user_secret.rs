//! The first user's name and password, with all else that a client needs: a Secret in the form of the service binding
//! specification (servicebinding.io, "well-known Secret entries").

use std::collections::BTreeMap;

use ferrymq_api::{Cluster, ListenerPort, ListenerProtocol};
use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::object_meta;
use crate::{message_queue::dereference::Credentials, names};

/// The type of a Secret that has all that a client needs.
pub(crate) const BINDING_TYPE: &str = "servicebinding.io/rabbitmq";

/// The key of the authorities that a client is to trust.
pub(crate) const AUTHORITIES_KEY: &str = "ca.crt";

/// Who a client is, and whom it is to trust.
pub(crate) struct Binding<'a> {
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    pub(crate) virtual_host: &'a str,
    /// Who signed the certificates of listeners with TLS, as PEM.
    pub(crate) authorities: Option<&'a str>,
}

pub(crate) fn default_user_secret(cluster: &Cluster, credentials: &Credentials, authorities: Option<&str>) -> Secret {
    let Credentials { username, password, .. } = credentials;
    Secret {
        metadata: object_meta(cluster, names::default_user_secret(&cluster.name)),
        type_: Some(BINDING_TYPE.to_owned()),
        data: Some(binding_entries(cluster, &Binding { username, password, virtual_host: "/", authorities })),
        ..Secret::default()
    }
}

/// What a client needs to connect as this user.
pub(crate) fn binding_entries(cluster: &Cluster, binding: &Binding<'_>) -> BTreeMap<String, ByteString> {
    let host = format!("{}.{}.svc", names::client_service(&cluster.name), cluster.namespace);
    let mut entries = BTreeMap::from([
        ("type", "rabbitmq".to_owned()),
        ("provider", "ferrymq".to_owned()),
        ("username", binding.username.to_owned()),
        ("password", binding.password.to_owned()),
        ("host", host.clone()),
        ("virtual-host", binding.virtual_host.to_owned()),
    ]);
    let (user, password) = (percent_encoded(binding.username), percent_encoded(binding.password));
    // Where a URI ends with a slash, the virtual host is not named, and is the first one.
    let path = if binding.virtual_host == "/" { String::new() } else { percent_encoded(binding.virtual_host) };
    let uri =
        |listener: &ListenerPort| format!("{}://{user}:{password}@{host}:{}/{path}", listener.scheme(), listener.port);
    let amqp = |tls| {
        let mut listeners = cluster.listeners.iter();
        listeners.find(|listener| listener.protocol == ListenerProtocol::Amqp && listener.tls == tls)
    };
    let (plain, secure) = (amqp(false), amqp(true));
    if let Some(listener) = plain.or(secure) {
        entries.insert("port", listener.port.to_string());
        entries.insert("uri", uri(listener));
    }
    if let Some(secure) = secure {
        entries.insert("amqps-port", secure.port.to_string());
        entries.insert("amqps-uri", uri(secure));
        entries.extend(binding.authorities.map(|authorities| (AUTHORITIES_KEY, authorities.to_owned())));
    }
    entries.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect()
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
        let secret = default_user_secret(&cluster("{storage: {size: 1Gi}}"), &credentials(), None);
        let data = secret.data.unwrap();
        let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        assert_eq!(text("uri"), "amqp://user-1:p%40ss%2F@orders.shop.svc:5672/");
        assert_eq!((text("host"), text("port")), ("orders.shop.svc".to_owned(), "5672".to_owned()));
        assert_eq!(text("password"), "p@ss/");
        assert!(!data.contains_key("amqps-uri"));
    }

    #[test]
    fn with_tls_a_client_also_finds_whom_to_trust() {
        let secret = default_user_secret(&cluster("{storage: {size: 1Gi}, tls: {}}"), &credentials(), Some("PEM"));
        let data = secret.data.unwrap();
        let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        assert_eq!(text("uri"), "amqp://user-1:p%40ss%2F@orders.shop.svc:5672/");
        assert_eq!(text("amqps-uri"), "amqps://user-1:p%40ss%2F@orders.shop.svc:5671/");
        assert_eq!((text("amqps-port"), text("ca.crt")), ("5671".to_owned(), "PEM".to_owned()));
    }
}
