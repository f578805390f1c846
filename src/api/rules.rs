//! Tests of the rules that the API server checks at admission, without one.

use kube::{CustomResourceExt, core::cel::Validator};
use serde_json::{Value, json};

use crate::{MessageQueue, Topic, User, sentence, yaml::documents};

/// What the rules say of a resource with this name and spec, that had another spec before. Defaults are filled in, as the
/// API server does before it checks.
fn complaints<K: CustomResourceExt>(name: &str, spec: &str, before: Option<&str>) -> Vec<String> {
    let crd = serde_json::to_value(K::crd()).unwrap();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let resource = |spec: &str| {
        let spec = documents(spec).unwrap().remove(0).value();
        let mut resource = json!({"metadata": {"name": name}, "spec": spec});
        fill_in(schema, &mut resource);
        resource
    };
    let before = before.map(resource);
    match Validator::new().validate(schema, &resource(spec), before.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

fn fill_in(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if let (None, Some(default)) = (fields.get(name), schema.get("default")) {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(value) = fields.get_mut(name) {
                    fill_in(schema, value);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                fill_in(schema.get("items").unwrap_or(&Value::Null), item);
            }
        }
        _ => {}
    }
}

fn queue(spec: &str) -> Vec<String> {
    complaints::<MessageQueue>("orders", spec, None)
}

fn queue_change(from: &str, to: &str) -> Vec<String> {
    complaints::<MessageQueue>("orders", to, Some(from))
}

fn topic(spec: &str) -> Vec<String> {
    complaints::<Topic>("order-created", spec, None)
}

fn topic_change(from: &str, to: &str) -> Vec<String> {
    complaints::<Topic>("order-created", to, Some(from))
}

fn user(spec: &str) -> Vec<String> {
    complaints::<User>("billing", spec, None)
}

fn user_change(from: &str, to: &str) -> Vec<String> {
    complaints::<User>("billing", to, Some(from))
}

#[test]
fn what_is_well_is_admitted() {
    assert_eq!(queue("{storage: {size: 20Gi}}"), Vec::<String>::new());
    assert_eq!(
        queue("{replicas: 5, mirrors: 5, storage: {size: 1.5Gi}, config: {memoryHighWater: 1Gi}}"),
        Vec::<String>::new()
    );
    for tls in ["{}", "{mode: Disabled}", "{names: ['*.shop.example', 10.0.0.7], certificateDuration: 1d12h}"] {
        assert_eq!(queue(&format!("{{storage: {{size: 20Gi}}, tls: {tls}}}")), Vec::<String>::new(), "{tls}");
    }
    assert_eq!(topic("{cluster: orders}"), Vec::<String>::new());
    assert_eq!(
        topic("{cluster: orders, partitions: 6, retention: {age: 1d12h, bytes: 1Gi}, queues: [{name: a}]}"),
        Vec::<String>::new()
    );
}

#[test]
fn a_cluster_that_cannot_be_is_refused_with_a_sentence() {
    for (spec, sentence) in [
        ("{replicas: -1, storage: {size: 1Gi}}", sentence::REPLICAS),
        ("{replicas: 100, storage: {size: 1Gi}}", sentence::REPLICAS),
        ("{mirrors: 0, storage: {size: 1Gi}}", sentence::MIRRORS),
        ("{replicas: 2, mirrors: 3, storage: {size: 1Gi}}", sentence::MIRRORS_OVER_REPLICAS),
        ("{storage: {size: plenty}}", sentence::SIZE),
        ("{storage: {size: 1Ki}}", sentence::SIZE),
        ("{storage: {size: 1Gi}, image: ''}", sentence::IMAGE),
        ("{storage: {size: 1Gi}, config: {memoryHighWater: much}}", sentence::MEMORY),
        ("{storage: {size: 1Gi}, listeners: [{name: amqp, protocol: amqp, port: 80}]}", sentence::LISTENER_PORT),
        ("{storage: {size: 1Gi}, listeners: [{name: admin, protocol: amqp, port: 5672}]}", sentence::LISTENER_NAME),
        (
            "{storage: {size: 1Gi}, listeners: [{name: a, protocol: amqp, port: 5672}, {name: b, protocol: amqp, port: 5672}]}",
            sentence::LISTENER_PORTS_UNIQUE,
        ),
        (
            "{storage: {size: 1Gi}, listeners: [{name: s, protocol: amqp, port: 5671, tls: true}]}",
            sentence::TLS_LISTENER_WITHOUT_TLS,
        ),
        (
            "{storage: {size: 1Gi}, tls: {}, listeners: [{name: s, protocol: amqp, port: 5671}]}",
            sentence::TLS_WITHOUT_LISTENER,
        ),
        ("{storage: {size: 1Gi}, tls: {mode: Secret}}", sentence::TLS_SECRET_NAME),
        ("{storage: {size: 1Gi}, tls: {secretName: mine}}", sentence::TLS_SECRET_NAME),
        ("{storage: {size: 1Gi}, tls: {mode: CertManager}}", sentence::TLS_ISSUER),
        ("{storage: {size: 1Gi}, tls: {mode: Secret, secretName: a, names: [b]}}", sentence::TLS_NAMES_UNUSED),
        ("{storage: {size: 1Gi}, tls: {names: ['-b']}}", sentence::TLS_NAMES),
        ("{storage: {size: 1Gi}, tls: {certificateDuration: 59m}}", sentence::TLS_DURATION),
        ("{storage: {size: 1Gi}, tls: {mode: Disabled, certificateDuration: 9d}}", sentence::TLS_DURATION_UNUSED),
        (
            "{storage: {size: 1Gi}, tls: {mode: Secret, secretName: a, authorityDuration: 9d}}",
            sentence::TLS_AUTHORITY_DURATION_UNUSED,
        ),
        ("{storage: {size: 1Gi}, podTemplate: {labels: {ferrymq.io/cluster: x}}}", sentence::RESERVED_LABEL),
        ("{storage: {size: 1Gi}, podTemplate: {annotations: {ferrymq.io/x: x}}}", sentence::RESERVED_ANNOTATION),
        ("{storage: {size: 1Gi, autoGrow: {limit: 1023Mi}}}", sentence::GROW_LIMIT),
        (
            "{storage: {size: 1Gi}, upgrade: {maintenanceWindows: [{cron: '0 3 * *', duration: 2h}]}}",
            sentence::WINDOW_CRON,
        ),
    ] {
        assert_eq!(queue(spec), [sentence], "{spec}");
    }
    assert_eq!(complaints::<MessageQueue>("1st", "{storage: {size: 1Gi}}", None), [sentence::NAME]);
}

#[test]
fn an_exposure_that_cannot_be_is_refused_with_a_sentence() {
    let exposed = |expose: &str| {
        queue(&format!(
            "{{storage: {{size: 1Gi}}, listeners: [{{name: a, protocol: amqp, port: 5672, expose: {expose}}}]}}"
        ))
    };
    let all = "{type: LoadBalancer, port: 443, nodePort: 30000, eachBroker: true, host: mq.a.example, \
               brokerHost: 'mq-{ordinal}-x.a.example', loadBalancerClass: a.example/b, \
               loadBalancerSourceRanges: [203.0.113.0/24, '2001:db8::/32', '::ffff:10.0.0.0/104'], \
               externalTrafficPolicy: Local, annotations: {a.example/b: c}}";
    assert_eq!(exposed(all), Vec::<String>::new());
    for (expose, sentence) in [
        ("{type: NodePort, port: 0}", sentence::EXPOSE_PORT),
        ("{type: ClusterIP, nodePort: 30000}", sentence::EXPOSE_NODE_PORT),
        ("{type: NodePort, loadBalancerSourceRanges: [10.0.0.0/8]}", sentence::EXPOSE_BALANCER),
        ("{type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/33]}", sentence::EXPOSE_RANGES),
        ("{type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.256/8]}", sentence::EXPOSE_RANGES),
        ("{type: ClusterIP, externalTrafficPolicy: Local}", sentence::EXPOSE_TRAFFIC),
        ("{type: NodePort, host: '*.a.example'}", sentence::EXPOSE_HOST),
        ("{type: NodePort, brokerHost: 'mq-{ordinal}.a.example'}", sentence::EXPOSE_BROKER_HOST_UNUSED),
        ("{type: NodePort, eachBroker: true, brokerHost: 'mq{ordinal}.a.example'}", sentence::EXPOSE_BROKER_HOST),
        ("{type: NodePort, annotations: {ferrymq.io/x: y}}", sentence::RESERVED_ANNOTATION),
    ] {
        assert_eq!(exposed(expose), [sentence], "{expose}");
    }
}

#[test]
fn what_cannot_be_changed_is_refused_with_a_sentence() {
    let three = "{replicas: 3, storage: {size: 1Gi}}";
    for (to, sentence) in [
        ("{replicas: 3, mirrors: 1, storage: {size: 1Gi}}", sentence::MIRRORS_CHANGED),
        ("{replicas: 3, storage: {size: 1Gi, storageClassName: fast}}", sentence::STORAGE_CLASS_CHANGED),
    ] {
        assert_eq!(queue_change(three, to), [sentence], "{to}");
    }
    let topic = "{cluster: orders, partitions: 3}";
    for (to, sentence) in [
        ("{cluster: others, partitions: 3}", sentence::TOPIC_CLUSTER_CHANGED),
        ("{cluster: orders, partitions: 3, name: other}", sentence::TOPIC_NAME_CHANGED),
        ("{cluster: orders, partitions: 3, virtualHost: other}", sentence::VIRTUAL_HOST_CHANGED),
        ("{cluster: orders, partitions: 3, type: fanout}", sentence::TYPE_CHANGED),
        ("{cluster: orders, partitions: 3, mirrors: 1}", sentence::TOPIC_MIRRORS_CHANGED),
        ("{cluster: orders, partitions: 2}", sentence::PARTITIONS_LOWERED),
    ] {
        assert_eq!(topic_change(topic, to), [sentence], "{to}");
    }
}

#[test]
fn what_changes_nothing_may_be_written_otherwise() {
    let three = "{replicas: 3, storage: {size: 1Gi}}";
    assert_eq!(queue_change(three, "{replicas: 3, mirrors: 3, storage: {size: 1024Mi}}"), Vec::<String>::new());
    assert_eq!(queue_change("{replicas: 1, storage: {size: 1Gi}}", three), Vec::<String>::new());
    for fewer in ["{replicas: 2, storage: {size: 1Gi}}", "{replicas: 0, storage: {size: 1Gi}}"] {
        assert_eq!(queue_change(three, fewer), Vec::<String>::new());
    }
    assert_eq!(queue_change(three, "{replicas: 3, storage: {size: 2Gi}}"), Vec::<String>::new());
    let mirrored = |replicas| format!("{{replicas: {replicas}, mirrors: 3, storage: {{size: 1Gi}}}}");
    assert_eq!(queue_change(&mirrored(3), &mirrored(0)), Vec::<String>::new());
}

#[test]
fn a_topic_that_cannot_be_is_refused_with_a_sentence() {
    for (spec, sentence) in [
        ("{cluster: ''}", sentence::TOPIC_CLUSTER),
        ("{cluster: orders, name: amq.mine}", sentence::TOPIC_NAME),
        ("{cluster: orders, name: \"a\\nb\"}", sentence::TOPIC_NAME),
        ("{cluster: orders, virtualHost: ''}", sentence::VIRTUAL_HOST),
        ("{cluster: orders, mirrors: 9}", sentence::MIRRORS),
        ("{cluster: orders, partitions: -1}", sentence::PARTITIONS),
        ("{cluster: orders, partitions: 1025}", sentence::PARTITIONS),
        ("{cluster: orders, retention: {age: 1d}}", sentence::RETENTION_WITHOUT_PARTITIONS),
        ("{cluster: orders, partitions: 1, retention: {}}", sentence::RETENTION_EMPTY),
        ("{cluster: orders, partitions: 1, retention: {age: soon}}", sentence::RETENTION_AGE),
        ("{cluster: orders, partitions: 1, retention: {age: 0s}}", sentence::RETENTION_AGE),
        ("{cluster: orders, partitions: 1, retention: {bytes: 1Ki}}", sentence::RETENTION_BYTES),
        ("{cluster: orders, bindings: [{source: ''}]}", sentence::BINDING_SOURCE),
        ("{cluster: orders, queues: [{name: amq.mine}]}", sentence::QUEUE_NAME),
    ] {
        assert_eq!(topic(spec), [sentence], "{spec}");
    }
    assert_eq!(complaints::<Topic>("amq.mine", "{cluster: orders}", None), [sentence::TOPIC_NAME]);
}

#[test]
fn a_user_that_cannot_be_is_refused_with_a_sentence() {
    assert_eq!(user("{cluster: orders}"), Vec::<String>::new());
    let all = "{cluster: orders, name: \"büro 1\", passwordSecret: {name: s, usernameKey: user}, deletionPolicy: Retain, \
               permissions: [{configure: '', write: '^orders\\.', read: .*}, {virtualHost: shop}]}";
    assert_eq!(user(all), Vec::<String>::new());
    for (spec, sentence) in [
        ("{cluster: ''}", sentence::USER_CLUSTER),
        ("{cluster: orders, name: ''}", sentence::USER_NAME),
        ("{cluster: orders, name: \"a\\tb\"}", sentence::USER_NAME),
        ("{cluster: orders, passwordSecret: {name: ''}}", sentence::PASSWORD_SECRET),
        ("{cluster: orders, passwordSecret: {name: s, passwordKey: ''}}", sentence::SECRET_KEY),
        ("{cluster: orders, permissions: [{virtualHost: ''}]}", sentence::VIRTUAL_HOST),
    ] {
        assert_eq!(user(spec), [sentence], "{spec}");
    }
    for field in ["configure", "write", "read"] {
        // The rule cannot be evaluated then, and the API server says why beside the sentence.
        assert_eq!(user(&format!("{{cluster: orders, permissions: [{{{field}: 'a('}}]}}")).len(), 1, "{field}");
    }
    let long = "a".repeat(201);
    assert_eq!(complaints::<User>(&long, "{cluster: orders}", None), [sentence::USER_RESOURCE_NAME]);
}

#[test]
fn whose_user_it_is_and_its_name_stay() {
    let user = "{cluster: orders, name: billing}";
    assert_eq!(user_change(user, "{cluster: others, name: billing}"), [sentence::USER_CLUSTER_CHANGED]);
    assert_eq!(user_change(user, "{cluster: orders, name: other}"), [sentence::USER_NAME_CHANGED]);
    assert_eq!(user_change(user, "{cluster: orders}"), [sentence::USER_NAME_CHANGED]);
    let other = "{cluster: orders, name: billing, permissions: [{read: .*}], deletionPolicy: Retain}";
    assert_eq!(user_change(user, other), Vec::<String>::new());
}
