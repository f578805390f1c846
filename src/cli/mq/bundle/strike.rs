//! What must not be seen is struck out.

use k8s_openapi::api::core::v1::Secret;

use super::Entry;
use crate::mq::access::Access;

/// What stands where something was struck out.
const STRUCK: &str = "[struck out]";

/// Entries of the clients' Secret that are no secrets: they say where to connect.
const OPEN: [&str; 6] = ["type", "provider", "host", "port", "virtual-host", "ca.crt"];

/// What is shorter is no secret that anybody guesses from it, and would be struck out of words.
const LEAST: usize = 8;

/// What must not be seen.
#[derive(Debug, Default)]
pub(super) struct Strike(Vec<String>);

impl Strike {
    /// What the Secrets of a cluster hold. Where they cannot be read, nothing of them can have come from here.
    pub(super) async fn of_cluster(access: &Access, cluster: &str) -> Self {
        Self::of(access.of_cluster::<Secret>("Secrets", cluster).await.unwrap_or_default())
    }

    fn of(secrets: Vec<Secret>) -> Self {
        let entries = secrets.into_iter().flat_map(|secret| secret.data.unwrap_or_default());
        let values = entries.filter(|(key, _)| !OPEN.contains(&key.as_str())).map(|(_, value)| value.0);
        let mut hidden: Vec<String> = values
            .filter_map(|value| String::from_utf8(value).ok())
            .map(|value| value.trim().to_owned())
            .filter(|value| value.len() >= LEAST)
            .collect();
        // The longest first: one may be a part of another.
        hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(hidden)
    }

    pub(super) fn out_of(&self, entry: Entry) -> Entry {
        let text = self.0.iter().fold(entry.text, |text, hidden| text.replace(hidden.as_str(), STRUCK));
        Entry { text, ..entry }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn what_secrets_hold_is_struck_out_wherever_it_stands() {
        let data =
            [("password", "kV9tHq2LxW"), ("uri", "amqp://user:kV9tHq2LxW@orders.shop.svc:5672/"), ("port", "5672")];
        let data = data.map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())));
        let strike = Strike::of(vec![Secret { data: Some(data.into()), ..Secret::default() }]);
        let text = "login kV9tHq2LxW at amqp://user:kV9tHq2LxW@orders.shop.svc:5672/, port 5672";
        let struck = strike.out_of(Entry::new("logs/orders-0.log", text)).text;
        assert_eq!(struck, "login [struck out] at [struck out], port 5672");
    }

    #[test]
    fn a_cluster_whose_secrets_cannot_be_read_is_left_as_it_is() {
        let entry = Entry::new("index.txt", "all is well");
        assert_eq!(Strike::default().out_of(entry.clone()), entry);
    }
}
