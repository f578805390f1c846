//! What brokers show each other, and the operator shows them.

use std::collections::BTreeMap;

use ferrymq_api::Cluster;
use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::object_meta;
use crate::{message_queue::dereference::Credentials, names};

pub(crate) fn token_secret(cluster: &Cluster, credentials: &Credentials) -> Secret {
    let token = ByteString(credentials.token.clone().into_bytes());
    Secret {
        metadata: object_meta(cluster, names::token_secret(&cluster.name)),
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([(names::TOKEN_FILE.to_owned(), token)])),
        ..Secret::default()
    }
}
