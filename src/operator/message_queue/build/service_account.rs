//! Brokers have an account of their own, and no token of it: they never speak to the API server.

use ferrymq_api::Cluster;
use k8s_openapi::api::core::v1::ServiceAccount;

use super::object_meta;
use crate::names;

pub(crate) fn service_account(cluster: &Cluster) -> ServiceAccount {
    ServiceAccount {
        metadata: object_meta(cluster, names::service_account(&cluster.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    #[test]
    fn brokers_get_no_token_for_the_api_server() {
        let account = service_account(&cluster("{storage: {size: 1Gi}}"));
        assert_eq!(account.automount_service_account_token, Some(false));
    }
}
