//! Where clients connect, from within the Kubernetes cluster and from outside of it. Pure.

use ferrymq_api::{BrokerEndpoint, Cluster, ConditionType, Endpoint, ExposeType, Exposure, ListenerPort, Reason};
use serde_json::Value;

use crate::{
    message_queue::{dereference::Observed, verdict::Verdict},
    names,
    objects::Kind,
};

/// Where clients reach each listener of a cluster that has so many brokers.
pub(crate) fn of(cluster: &Cluster, observed: &Observed, brokers: u32) -> Vec<Endpoint> {
    let service = |name: &str, port| format!("{name}.{}.svc:{port}", cluster.namespace);
    let listeners = cluster.listeners.iter().map(|listener| {
        let exposure = listener.exposure.as_ref();
        let each = (0..brokers).filter(|_| exposure.is_some_and(|exposure| exposure.each_broker));
        let brokers = each.filter_map(|ordinal| {
            let port = exposure?.port;
            let name = names::exposed_service(&cluster.name, &listener.name, Some(ordinal));
            Some(BrokerEndpoint {
                name: names::pod(&cluster.name, ordinal),
                address: service(&name, port),
                external: external(cluster, observed, listener, Some(ordinal)),
            })
        });
        Endpoint {
            name: listener.name.clone(),
            protocol: listener.scheme().to_owned(),
            address: service(&names::client_service(&cluster.name), listener.port),
            external: external(cluster, observed, listener, None),
            brokers: brokers.collect(),
        }
    });
    listeners.collect()
}

/// Host and port from outside: of all brokers, or of one of them.
fn external(cluster: &Cluster, observed: &Observed, listener: &ListenerPort, broker: Option<u32>) -> Option<String> {
    let exposure = listener.exposure.as_ref()?;
    let named = match broker {
        Some(ordinal) => exposure.broker_host(ordinal),
        None => exposure.host.clone(),
    };
    let name = names::exposed_service(&cluster.name, &listener.name, broker);
    let service = observed.objects.get(&(Kind::Service, name)).map(|object| &object.data);
    let (given, port) = match exposure.kind {
        ExposeType::ClusterIp => (None, exposure.port),
        ExposeType::LoadBalancer => (balancer(service?), exposure.port),
        ExposeType::NodePort => {
            let port = service?.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64)?;
            (machine(observed, broker), u16::try_from(port).ok()?)
        }
    };
    let host = named.or(given)?;
    Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// The address that a load balancer has.
fn balancer(service: &Value) -> Option<String> {
    let ingress = service.pointer("/status/loadBalancer/ingress/0")?;
    ingress.get("hostname").or_else(|| ingress.get("ip"))?.as_str().map(str::to_owned)
}

/// The address of a broker's machine, or of any machine with a broker.
fn machine(observed: &Observed, broker: Option<u32>) -> Option<String> {
    match broker {
        Some(ordinal) => observed.addresses.get(&ordinal).cloned(),
        None => observed.addresses.values().next().cloned(),
    }
}

/// Whether a listener is reached at the address of a machine, which somebody has to ask for.
pub(crate) fn at_machines(exposure: Option<&ferrymq_api::ExposeSpec>) -> bool {
    exposure.is_some_and(|exposure| {
        let unnamed = exposure.host.is_none() || (exposure.each_broker && exposure.broker_host.is_none());
        exposure.kind == ExposeType::NodePort && unnamed
    })
}

/// What the condition says.
pub(crate) fn judge(cluster: &Cluster, observed: &Observed, brokers: u32) -> Verdict {
    let kind = ConditionType::ListenersExposed;
    let outside = |exposure: &Exposure| exposure.kind != ExposeType::ClusterIp;
    let exposed = cluster.listeners.iter().filter(|listener| listener.exposure.as_ref().is_some_and(outside)).count();
    let mut waiting = Vec::new();
    for (listener, endpoint) in cluster.listeners.iter().zip(of(cluster, observed, brokers)) {
        if !listener.exposure.as_ref().is_some_and(outside) {
            continue;
        }
        let service = |broker| names::exposed_service(&cluster.name, &listener.name, broker);
        waiting.extend(endpoint.external.is_none().then(|| service(None)));
        let brokers = (0..).zip(&endpoint.brokers).filter(|(_, broker)| broker.external.is_none());
        waiting.extend(brokers.map(|(ordinal, _)| service(Some(ordinal))));
    }
    if waiting.is_empty() {
        let message = match exposed {
            0 => "no listener is exposed to outside of the Kubernetes cluster".to_owned(),
            1 => "one listener is exposed, and has its addresses".to_owned(),
            exposed => format!("{exposed} listeners are exposed, and have their addresses"),
        };
        return Verdict { kind, status: Some(true), reason: Reason::AddressesAssigned, message };
    }
    let message = format!(
        "nothing has given an address to Service {}; see kubectl describe service {}",
        waiting.join(", "),
        waiting.first().map_or("", String::as_str)
    );
    Verdict { kind, status: Some(false), reason: Reason::AddressesPending, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::cluster;

    fn exposed(expose: &str) -> Cluster {
        cluster(&format!(
            "{{storage: {{size: 1Gi}}, listeners: [{{name: amqp, protocol: amqp, port: 5672, expose: {expose}}}]}}"
        ))
    }

    fn with_service(name: &str, service: Value) -> Observed {
        let mut observed = Observed::default();
        let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}});
        object.as_object_mut().unwrap().extend(service.as_object().unwrap().clone());
        let key = (Kind::Service, name.to_owned());
        observed.objects.insert(key, serde_json::from_value(object).unwrap());
        observed
    }

    fn external(cluster: &Cluster, observed: &Observed) -> Option<String> {
        of(cluster, observed, 3).remove(0).external
    }

    #[test]
    fn a_load_balancer_is_waited_for_and_then_told() {
        let cluster = exposed("{type: LoadBalancer, port: 443}");
        let observed = with_service("orders-ext-amqp", json!({"spec": {}}));
        assert_eq!(external(&cluster, &observed), None);
        let waits = judge(&cluster, &observed, 3);
        assert_eq!((waits.status, waits.reason), (Some(false), Reason::AddressesPending));
        assert!(waits.message.contains("orders-ext-amqp"), "{}", waits.message);
        let given = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}});
        let observed = with_service("orders-ext-amqp", given);
        assert_eq!(external(&cluster, &observed).as_deref(), Some("203.0.113.7:443"));
        assert_eq!(judge(&cluster, &observed, 3).status, Some(true));
    }

    #[test]
    fn a_port_of_machines_is_told_with_one_of_them_unless_there_is_a_name() {
        let service = json!({"spec": {"ports": [{"port": 5672, "nodePort": 30123}]}});
        let mut observed = with_service("orders-ext-amqp", service);
        observed.addresses.insert(1, "fd00::7".to_owned());
        assert_eq!(external(&exposed("{type: NodePort}"), &observed).as_deref(), Some("[fd00::7]:30123"));
        let named = exposed("{type: NodePort, host: mq.a.example}");
        assert_eq!(external(&named, &observed).as_deref(), Some("mq.a.example:30123"));
    }

    #[test]
    fn each_broker_has_an_address_of_its_own() {
        let cluster = exposed("{type: ClusterIP, eachBroker: true}");
        let brokers = of(&cluster, &Observed::default(), 2).remove(0).brokers;
        let addresses: Vec<_> = brokers.iter().map(|broker| broker.address.as_str()).collect();
        assert_eq!(addresses, ["orders-ext-amqp-0.shop.svc:5672", "orders-ext-amqp-1.shop.svc:5672"]);
        assert_eq!(judge(&cluster, &Observed::default(), 2).status, Some(true));
    }
}
