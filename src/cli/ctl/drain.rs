//! Emptying a broker, and taking it out of its cluster.

use std::time::Duration;

use ferrymq_admin_api::{Client, Draining, NodeRemoval, NodeView, ShardView};

use super::CtlError;

/// How often the broker is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(client: &Client, ordinal: u32, undo: bool, no_wait: bool) -> Result<String, CtlError> {
    client.drain(&Draining { ordinal, draining: !undo }).await?;
    if undo {
        return Ok(format!("broker {ordinal} gets its share again\n"));
    }
    if no_wait {
        return Ok(format!("broker {ordinal} is being emptied; `ferrymq ctl cluster` shows what it still holds\n"));
    }
    let mut told = None;
    loop {
        let cluster = client.cluster().await?;
        let Some(node) = cluster.nodes.iter().find(|node| node.ordinal == ordinal) else {
            return Ok(format!("broker {ordinal} is none of this cluster any more\n"));
        };
        if !node.draining {
            return Err(CtlError::Call(format!(
                "broker {ordinal} is not being emptied any more; somebody has undone it"
            )));
        }
        if node.replicas == 0 {
            return Ok(format!(
                "broker {ordinal} holds nothing; `ferrymq ctl remove {ordinal}` takes it out of the cluster\n"
            ));
        }
        let state = progress(node, &cluster.shards);
        if told.as_ref() != Some(&state) {
            eprintln!("{state}");
            told = Some(state);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// How far it is, as a line.
fn progress(node: &NodeView, shards: &[ShardView]) -> String {
    let without = shards.iter().filter(|shard| shard.leader.is_none()).count();
    let waits = match without {
        0 => String::new(),
        1 => "; a shard has no leader, and waits for a majority of its brokers".to_owned(),
        more => format!("; {more} shards have no leader, and wait for a majority of their brokers"),
    };
    format!("broker {} still holds {} shards, and leads {} of them{waits}", node.ordinal, node.replicas, node.leaders)
}

pub(super) async fn remove(client: &Client, ordinal: u32) -> Result<String, CtlError> {
    client.remove_node(&NodeRemoval { ordinal }).await?;
    Ok(format!("broker {ordinal} is none of this cluster any more; stop it, and do not start it with its data again\n"))
}
