//! Users: what they may do, how long they may stay, and what outlives a restart.

use ferrymq_broker::{User, UserPermission, UserRefusal};
use ferrymq_core::{BindingDeclaration, ExchangeDeclaration, ExchangeKind};

use super::*;

/// May read what begins with `orders.`, and write nothing.
fn reader(owner: &str, password: &str) -> User {
    User {
        name: "reader".into(),
        owner_name: format!("shop/{owner}"),
        owner_uid: owner.into(),
        password: password.into(),
        password_version: format!("of {password}"),
        permissions: vec![permission("", "", "^orders\\.")],
    }
}

fn permission(configure: &str, write: &str, read: &str) -> UserPermission {
    UserPermission { virtual_host: "/".into(), configure: configure.into(), write: write.into(), read: read.into() }
}

async fn log_in(node: &Node, password: &str) -> Result<ferrymq_core::Identity, LoginRefused> {
    node.authenticate(login("reader", password, [10, 0, 0, 1].into())).await
}

async fn opened(node: &Node, password: &str) -> Client {
    let identity = log_in(node, password).await.unwrap();
    let (sender, events) = events();
    let session = node.open(&identity, VirtualHostName::root(), sender).await.unwrap();
    Client { session, events, published: 0, confirmed: Vec::new(), arrived: Vec::new() }
}

fn named(name: &str) -> QueueName {
    QueueName::new(name.to_owned()).unwrap()
}

fn exchange(name: &str) -> ExchangeName {
    ExchangeName::new(name.to_owned()).unwrap()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>, sentence: &str) {
    match outcome {
        Err(Refusal::Forbidden { reason }) => assert_eq!(reason, sentence),
        other => panic!("{other:?} where this was expected: {sentence}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_does_what_it_may_and_nothing_else() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let mut owner = cluster.client(0).await;
        for name in ["orders.eu", "invoices"] {
            owner.declare(name).await;
            owner.publish(name, "m").await;
        }
        owner.all_confirmed().await;
        let node = cluster.node(0);
        node.declare_user(reader("a", "one")).await.unwrap();
        let mut client = opened(node, "one").await;
        let Client { session, .. } = &client;
        let on = |permission: &str, what: &str, name: &str| {
            format!("{permission} access to {what} '{name}' in vhost '/' refused for user 'reader'")
        };
        refused(session.declare_queue(queue("orders.eu")).await, &on("configure", "queue", "orders.eu"));
        refused(session.delete_queue(&named("orders.eu"), false, false).await, &on("configure", "queue", "orders.eu"));
        refused(session.purge_queue(&named("invoices")).await, &on("read", "queue", "invoices"));
        refused(session.get(&named("invoices")).await, &on("read", "queue", "invoices"));
        refused(session.subscribe(reading("invoices", 1, None)).await, &on("read", "queue", "invoices"));
        let published = session.publish(message("orders.eu", "m"), None, None).await;
        refused(published, &on("write", "exchange", "amq.default"));
        let binding = BindingDeclaration {
            source: exchange("amq.topic"),
            queue: named("orders.eu"),
            routing_key: RoutingKey::new("#".to_owned()).unwrap(),
        };
        refused(session.bind(binding.clone()).await, &on("write", "queue", "orders.eu"));
        refused(session.unbind(binding).await, &on("write", "queue", "orders.eu"));
        let declared = ExchangeDeclaration {
            name: exchange("new"),
            kind: ExchangeKind::Topic,
            durable: true,
            auto_delete: false,
            internal: false,
        };
        refused(session.declare_exchange(declared).await, &on("configure", "exchange", "new"));
        refused(session.delete_exchange(&exchange("new"), false).await, &on("configure", "exchange", "new"));
        let unnamed = session.declare_queue(queue("")).await;
        assert!(
            matches!(&unnamed, Err(Refusal::Forbidden { reason }) if reason.starts_with("configure access to queue 'amq.gen-")),
            "{unnamed:?}"
        );
        // To look whether something is there, nothing is needed.
        assert_eq!(session.check_queue(&named("invoices")).await.unwrap().messages, 1);
        session.check_exchange(&exchange("amq.topic")).await.unwrap();
        client.consume("orders.eu", 1).await;
        assert_eq!(bodies(&client.receive(1).await), ["m"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_may_do_changes_at_once_for_those_that_are_there() {
    in_time(async {
        let cluster = Cluster::of(3).await;
        let owner = cluster.client(0).await;
        owner.declare("orders.eu").await;
        let mut user = reader("a", "one");
        cluster.node(0).declare_user(user.clone()).await.unwrap();
        until("every node knows the user", || {
            cluster.nodes.iter().flatten().all(|node| node.users().is_ok_and(|users| users.len() == 2))
        })
        .await;
        let client = opened(cluster.node(2), "one").await;
        let publish = || client.session.publish(message("orders.eu", "m"), None, None);
        assert!(publish().await.is_err());
        user.permissions = vec![permission("", "^amq\\.default$", "")];
        cluster.node(0).declare_user(user.clone()).await.unwrap();
        loop {
            if publish().await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        user.permissions = Vec::new();
        cluster.node(1).declare_user(user).await.unwrap();
        loop {
            if publish().await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Without permissions nobody opens the virtual host, and everybody is who it is.
        let identity = log_in(cluster.node(1), "one").await.unwrap();
        let opened = cluster.node(1).open(&identity, VirtualHostName::root(), events().0).await.map(drop);
        refused(opened, "access to vhost '/' refused for user 'reader'");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay_when_the_password_changes_and_go_when_the_user_does() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        cluster.client(0).await.declare("orders.eu").await;
        let node = cluster.node(0);
        node.declare_user(reader("a", "one")).await.unwrap();
        let mut client = opened(node, "one").await;
        node.declare_user(reader("a", "two")).await.unwrap();
        assert!(matches!(log_in(node, "one").await, Err(LoginRefused::Credentials { .. })));
        assert!(log_in(node, "two").await.is_ok());
        assert!(client.session.get(&named("orders.eu")).await.unwrap().is_none());
        // Another's user is left alone.
        node.remove_user("reader", "b", true).await.unwrap();
        assert!(log_in(node, "two").await.is_ok());
        node.remove_user("reader", "a", true).await.unwrap();
        assert!(matches!(log_in(node, "two").await, Err(LoginRefused::Credentials { .. })));
        let refusal = client.session.get(&named("orders.eu")).await;
        refused(refusal, "read access to queue 'orders.eu' in vhost '/' refused for user 'reader'");
        let reason = loop {
            if let Event::Closing(reason) = client.events.recv().await.unwrap() {
                break reason;
            }
        };
        assert_eq!(reason, "user 'reader' was deleted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_users_outlive_a_restart_and_have_one_owner() {
    in_time(async {
        let mut cluster = Cluster::of(1).await;
        let declared = cluster.node(0).declare_user(reader("a", "one")).await.unwrap();
        cluster.stop(0).await;
        cluster.start(0).await;
        cluster.all_serve().await;
        let node = cluster.node(0);
        let users = node.users().unwrap();
        assert_eq!(users.iter().find(|user| user.name == "reader"), Some(&declared));
        assert!(users.iter().any(|user| user.name == "guest" && user.declared.is_none()));
        let other = node.declare_user(reader("b", "one")).await;
        assert_eq!(other, Err(UserRefusal::Owned { owner: "shop/a".into() }));
        let guest = User { name: "guest".into(), ..reader("a", "one") };
        assert_eq!(node.declare_user(guest).await, Err(UserRefusal::OfCluster { name: "guest".into() }));
        let mut wrong = reader("a", "one");
        wrong.permissions[0].write = "orders(".into();
        let said = node.declare_user(wrong).await.unwrap_err().to_string();
        assert!(
            said.contains("'orders(', write on '/', is no regular expression: ") && said.contains("unclosed group")
        );
        let mut elsewhere = reader("a", "one");
        elsewhere.permissions[0].virtual_host = "shop".into();
        let said = node.declare_user(elsewhere).await;
        assert_eq!(said, Err(UserRefusal::NoVirtualHost { name: "shop".into() }));
        let client = opened(node, "one").await;
        assert!(client.session.publish(message("orders.eu", "m"), None, None).await.is_err());
    })
    .await;
}
