//! What nodes say of topics.

use ferrymq_broker::{Topic, TopicPage};
use ferrymq_core::ExchangeKind;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_topics_comes_in_parts() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let node = cluster.node(0);
        for name in ["c", "a", "d", "b"] {
            let topic = Topic {
                virtual_host: "/".into(),
                name: name.into(),
                owner_name: "o".into(),
                owner_uid: "o".into(),
                adopt: false,
                kind: ExchangeKind::Topic,
                mirrors: None,
                bindings: Vec::new(),
                queues: Vec::new(),
                log: None,
            };
            node.declare_topic(topic).await.unwrap();
        }
        let part = async |after: Option<&str>, limit: Option<usize>| {
            let after = after.map(|name| ("/".to_owned(), name.to_owned()));
            let page = TopicPage { after, limit: limit.map(|limit| limit.try_into().unwrap()) };
            let list = node.topics_after("", page).await.unwrap();
            (list.topics.into_iter().map(|view| view.topic.name).collect::<String>(), list.more)
        };
        assert_eq!(part(None, Some(3)).await, ("abc".to_owned(), true));
        assert_eq!(part(Some("c"), Some(3)).await, ("d".to_owned(), false));
        assert_eq!(part(Some("bb"), Some(2)).await, ("cd".to_owned(), false), "a topic that is not there has a place");
        assert_eq!(part(Some("d"), Some(3)).await, (String::new(), false));
        assert_eq!(part(None, None).await, ("abcd".to_owned(), false));
    })
    .await;
}
