//! The first user's name and password, with all else that a client needs: a Secret in the form of the service binding
//! specification (servicebinding.io, "well-known Secret entries").

use std::collections::BTreeMap;

use ferrymq_api::{Cluster, ListenerProtocol};
use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::object_meta;
use crate::{message_queue::dereference::Credentials, names};

/// The type of a Secret that has all that a client needs.
pub(crate) const BINDING_TYPE: &str = "servicebinding.io/rabbitmq";

pub(crate) fn default_user_secret(cluster: &Cluster, credentials: &Credentials) -> Secret {
    Secret {
        metadata: object_meta(cluster, names::default_user_secret(&cluster.name)),
        type_: Some(BINDING_TYPE.to_owned()),
        data: Some(binding_entries(cluster, &credentials.username, &credentials.password, "/")),
        ..Secret::default()
    }
}

/// What a client needs to connect as this user.
pub(crate) fn binding_entries(
    cluster: &Cluster,
    username: &str,
    password: &str,
    virtual_host: &str,
) -> BTreeMap<String, ByteString> {
    let host = format!("{}.{}.svc", names::client_service(&cluster.name), cluster.namespace);
    let mut entries = BTreeMap::from([
        ("type", "rabbitmq".to_owned()),
        ("provider", "ferrymq".to_owned()),
        ("username", username.to_owned()),
        ("password", password.to_owned()),
        ("host", host.clone()),
        ("virtual-host", virtual_host.to_owned()),
    ]);
    if let Some(amqp) = cluster.listeners.iter().find(|listener| listener.protocol == ListenerProtocol::Amqp) {
        let (user, password) = (percent_encoded(username), percent_encoded(password));
        // Where a URI ends with a slash, the virtual host is not named, and is the first one.
        let path = if virtual_host == "/" { String::new() } else { percent_encoded(virtual_host) };
        entries.insert("port", amqp.port.to_string());
        entries.insert("uri", format!("amqp://{user}:{password}@{host}:{}/{path}", amqp.port));
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
        let secret = default_user_secret(&cluster("{storage: {size: 1Gi}}"), &credentials());
        let data = secret.data.unwrap();
        let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        assert_eq!(text("uri"), "amqp://user-1:p%40ss%2F@orders.shop.svc:5672/");
        assert_eq!((text("host"), text("port")), ("orders.shop.svc".to_owned(), "5672".to_owned()));
        assert_eq!(text("password"), "p@ss/");
    }
}
