//! A broker is emptied, or has its share again: as `ferrymq ctl drain`, from outside of the pods.

use std::{io::Write, time::Duration};

use ferrymq_admin_api::Draining;

use crate::mq::{
    PluginError,
    access::{Access, Broker},
    status::bar,
    write,
};

/// How often the brokers are asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Empties a broker, and tells how far that is; ending this does not end that.
pub(crate) async fn drain(access: &Access, broker: &str, out: &mut impl Write) -> Result<(), PluginError> {
    let (cluster, ordinal) = parts(broker)?;
    // The operator would undo it at once: to it the spec is what is wanted.
    if !access.cluster(cluster).await?.spec.paused {
        return Err(PluginError::NotPaused { broker: broker.to_owned(), cluster: cluster.to_owned() });
    }
    let other = tell(access, broker, true).await?;
    let mut first = None;
    let mut told = None;
    loop {
        let view = other.client.cluster().await?;
        let node = view.nodes.iter().find(|node| node.ordinal == ordinal).filter(|node| node.draining);
        let Some(node) = node else {
            return Err(PluginError::Call(format!("{broker} is not being emptied any more; somebody has undone it")));
        };
        if node.replicas == 0 {
            return write(
                out,
                &format!("{broker} holds nothing; `kubectl mq undrain {broker}` gives it its share again\n"),
            );
        }
        let holds = i32::try_from(node.replicas).unwrap_or(i32::MAX);
        if told.replace(holds) != Some(holds) {
            let first = *first.get_or_insert(holds);
            write(out, &format!("{broker} is emptied  {}  {holds} shards to go\n", bar(first - holds, first)))?;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Lets a broker have its share again.
pub(crate) async fn undrain(access: &Access, broker: &str, out: &mut impl Write) -> Result<(), PluginError> {
    tell(access, broker, false).await?;
    write(out, &format!("{broker} gets its share again\n"))
}

/// Tells the cluster what is to become of a broker; the broker that was told it.
async fn tell(access: &Access, broker: &str, draining: bool) -> Result<Broker, PluginError> {
    let (cluster, ordinal) = parts(broker)?;
    access.cluster(cluster).await?;
    let (other, view) = access.any_broker(cluster).await?;
    if !view.nodes.iter().any(|node| node.ordinal == ordinal) {
        let (name, namespace) = (broker.to_owned(), access.namespace.clone());
        return Err(PluginError::NotFound { kind: "broker", name, namespace });
    }
    other.client.drain(&Draining { ordinal, draining }).await?;
    Ok(other)
}

/// Cluster and ordinal of a broker's pod.
fn parts(broker: &str) -> Result<(&str, u32), PluginError> {
    let parts = broker.rsplit_once('-').filter(|(cluster, _)| !cluster.is_empty());
    let parts = parts.and_then(|(cluster, ordinal)| Some((cluster, ordinal.parse().ok()?)));
    parts.ok_or_else(|| PluginError::NotABroker(broker.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_its_cluster_and_its_ordinal() {
        assert_eq!(parts("orders-eu-12").unwrap(), ("orders-eu", 12));
        assert!(["orders", "orders-x", "-1"].into_iter().all(|name| parts(name).is_err()));
    }
}
