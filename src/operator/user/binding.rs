//! The Secret of a user, with all that a client needs: in the form of the service binding specification.

use ferrymq_api::{CheckedUser, Cluster};
use k8s_openapi::{
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use crate::{
    message_queue::build::{BINDING_TYPE, Binding, binding_entries},
    names,
};

/// The Secret of a user of this password. `authorities` is whom its clients are to trust, as PEM.
pub(crate) fn secret(user: &CheckedUser, cluster: &Cluster, password: &str, authorities: Option<&str>) -> Secret {
    // A client that uses several virtual hosts names the others itself.
    let virtual_host = user.permissions.first().map_or("/", |permission| permission.virtual_host.as_str());
    let mut labels = names::labels(cluster);
    labels.insert("app.kubernetes.io/component".to_owned(), "user".to_owned());
    Secret {
        metadata: ObjectMeta {
            name: Some(names::user_secret(&cluster.name, &user.resource)),
            namespace: Some(user.namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![OwnerReference {
                api_version: format!("{}/{}", ferrymq_api::GROUP, ferrymq_api::VERSION),
                kind: "User".to_owned(),
                name: user.resource.clone(),
                uid: user.uid.clone(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        type_: Some(BINDING_TYPE.to_owned()),
        data: Some(binding_entries(cluster, &Binding { username: &user.name, password, virtual_host, authorities })),
        ..Secret::default()
    }
}
