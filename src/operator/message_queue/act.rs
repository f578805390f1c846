//! What is done besides writing objects: the cluster is formed, its user is told, one pod is replaced. At most one such act
//! a reconcile; the next one sees what became of it.

use std::time::Duration;

use ferrymq_admin_api::{Client as AdminClient, Formation, Member, NewUser, Phase, Reason as Refusal, RestoreOrder};
use ferrymq_api::{Cluster, FormationRecord, MessageQueue, Reason};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::events::EventType,
};

use crate::{
    context::Context,
    error::{ReconcileError, chain},
    links::admin_client,
    message_queue::{
        backups,
        dereference::{Credentials, Observed},
        forming::Forming,
        machines::{self, LostVolume, Machine, MachineState},
        plan::Plan,
        reclaim,
        restart::Restart,
        scaling,
        trouble::Trouble,
        volumes,
    },
    names,
};

/// How long a broker may take to form the cluster: it asks every member.
const FORMING_PATIENCE: Duration = Duration::from_secs(20);

/// What was done, as far as the status has to know it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Done {
    /// The record of the forming, where it has changed.
    pub(crate) formation: Option<FormationRecord>,
    /// The state of the credentials that the brokers were told.
    pub(crate) credentials_version: Option<String>,
    /// Why forming did not succeed, as the broker says it.
    pub(crate) forming_refused: Option<(Reason, String)>,
    /// Why no broker is restarted now, where one is to be.
    pub(crate) restart_waits: Option<String>,
    /// The broker that was just restarted.
    pub(crate) restarted: Option<String>,
    /// Why a broker cannot be emptied, as the brokers say it.
    pub(crate) scale_refused: Option<String>,
    /// Why a volume cannot grow, as the API server says it.
    pub(crate) growth_refused: Option<String>,
    /// What the API server did not give or take.
    pub(crate) setback: Option<Trouble>,
}

/// What was done before something did not go on is noted as well.
pub(crate) async fn carry_out(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    context: &Context,
    done: &mut Done,
) -> Result<(), ReconcileError> {
    let recorded = resource.status.as_ref().and_then(|status| status.formation.clone());
    match &plan.forming {
        Forming::Record(record) => {
            let note =
                format!("{} brokers are there and empty; forming cluster {}", record.members.len(), record.cluster_id);
            context.tell(resource, EventType::Normal, "FormingCluster", "Form", note).await;
            done.formation = Some(record.clone());
        }
        Forming::Adopt(record) => {
            let note = format!("the volumes hold cluster {}, which goes on", record.cluster_id);
            context.tell(resource, EventType::Normal, "ClusterFound", "Form", note).await;
            done.formation = Some(record.clone());
        }
        Forming::Form(record) => match form(cluster, record, observed).await {
            Ok(()) => {
                let note = format!("cluster {} is formed", record.cluster_id);
                context.tell(resource, EventType::Normal, "ClusterFormed", "Form", note).await;
                done.formation = Some(FormationRecord { complete: true, ..record.clone() });
                done.credentials_version.clone_from(&observed.credentials.version);
            }
            Err(error) => {
                tracing::warn!(cluster = %cluster.name, error = %chain(&error), "the cluster is not formed yet");
                done.forming_refused = Some((refusal(cluster, &error), chain(&error)));
            }
        },
        Forming::Finish => {
            done.formation = recorded.map(|record| FormationRecord { complete: true, ..record });
        }
        Forming::Wait(_) | Forming::Done | Forming::DataLost(_) | Forming::Foreign(_) => {}
    }
    if let Some((ordinal, machine)) = machines::forced(observed) {
        force(resource, ordinal, machine, observed, context).await?;
    }
    reclaim::reclaim(cluster, observed, context).await?;
    volumes::grow(resource, cluster, observed, context, done).await?;
    if matches!(plan.forming, Forming::Finish | Forming::Done) {
        backups::carry_out(resource, cluster, observed, Timestamp::now(), context).await?;
        done.credentials_version = tell_credentials(resource, cluster, observed).await;
        done.scale_refused = scaling::carry_out(resource, cluster, observed, &plan.scale.step, context).await?;
        if let Some(LostVolume::GiveUp(ordinal)) = plan.lost_volume {
            return scaling::give_up(resource, observed, ordinal, context).await;
        }
        restart(resource, cluster, observed, plan, context, done).await?;
    } else if let (Restart::Replace(ordinal), Forming::Wait(_) | Forming::Form(_)) = (&plan.restart, &plan.forming) {
        replace(resource, *ordinal, "it cannot start as it is", observed, context, done).await?;
    }
    Ok(())
}

pub(crate) fn client(observed: &Observed, ordinal: u32) -> Result<Option<AdminClient>, ReconcileError> {
    match observed.address(ordinal) {
        Some(address) => {
            let Credentials { token, trust, .. } = &observed.credentials;
            Ok(Some(admin_client(&address, token, trust.as_ref())?))
        }
        None => Ok(None),
    }
}

async fn form(cluster: &Cluster, record: &FormationRecord, observed: &Observed) -> Result<(), ReconcileError> {
    let members = record.members.iter().filter_map(|member| {
        let ordinal = u32::try_from(member.ordinal).ok()?;
        Some(Member { ordinal, uuid: member.uuid.clone(), zone: observed.zones.get(&ordinal).cloned() })
    });
    let mirrors = record.mirrors.and_then(|mirrors| u8::try_from(mirrors).ok()).unwrap_or(cluster.mirrors);
    let formation = Formation {
        cluster_id: record.cluster_id.clone(),
        members: members.collect(),
        default_mirrors: mirrors,
        users: vec![user(observed)],
        restore: cluster.restore.as_ref().map(|restore| RestoreOrder {
            backup: restore.backup.clone(),
            time: restore.time,
            allow_partial: restore.allow_partial,
        }),
    };
    let is_there = |member: &&Member| observed.node(member.ordinal).is_some_and(|node| node.uuid == member.uuid);
    let member = formation.members.iter().find(is_there).ok_or(ReconcileError::NoMember)?;
    let client = client(observed, member.ordinal)?.ok_or(ReconcileError::NoMember)?;
    Ok(client.with_timeout(FORMING_PATIENCE).form(&formation).await?)
}

/// What kind of refusal it is where a cluster is not formed.
fn refusal(cluster: &Cluster, error: &ReconcileError) -> Reason {
    let ReconcileError::Broker(error) = error else { return Reason::FormationRefused };
    match error.refusal().map(|refusal| refusal.reason) {
        Some(Refusal::NotRestored) => Reason::RestoreRefused,
        // The archive is being read.
        Some(Refusal::Unavailable) if cluster.restore.is_some() => Reason::Restoring,
        _ => Reason::FormationRefused,
    }
}

fn user(observed: &Observed) -> NewUser {
    NewUser {
        name: observed.credentials.username.clone(),
        password: observed.credentials.password.clone(),
        loopback_only: false,
    }
}

/// Tells the brokers the user of the Secret, where they were not told of this state of it: after the cluster was found on
/// retained volumes, and after somebody changed the Secret.
async fn tell_credentials(resource: &MessageQueue, cluster: &Cluster, observed: &Observed) -> Option<String> {
    let version = observed.credentials.version.clone()?;
    let told = resource.status.as_ref().and_then(|status| status.credentials_version.as_ref());
    if told == Some(&version) {
        return None;
    }
    let mut why = None;
    for ordinal in serving(observed) {
        let Ok(Some(client)) = client(observed, ordinal) else { continue };
        match client.put_user(&user(observed)).await {
            Ok(()) => return Some(version),
            Err(error) => why = Some(chain(&error)),
        }
    }
    tracing::warn!(cluster = %cluster.name, error = why, "the brokers were not told the default user yet");
    None
}

pub(crate) fn serving(observed: &Observed) -> Vec<u32> {
    let serving = |ordinal: &&u32| observed.node(**ordinal).is_some_and(|node| node.phase == Phase::Serving);
    observed.brokers.keys().filter(serving).copied().collect()
}

async fn restart(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    context: &Context,
    done: &mut Done,
) -> Result<(), ReconcileError> {
    match &plan.restart {
        Restart::None | Restart::Hold => Ok(()),
        Restart::Wait(why) => {
            done.restart_waits = Some(why.clone());
            Ok(())
        }
        Restart::Replace(ordinal) => {
            replace(resource, *ordinal, "to run what the spec asks for", observed, context, done).await
        }
        Restart::Ask(ordinal) => {
            let name = names::pod(&cluster.name, *ordinal);
            match safe_to_stop(observed, *ordinal).await {
                Ok(safety) if safety.safe => {
                    replace(resource, *ordinal, "to run what the spec asks for", observed, context, done).await
                }
                Ok(safety) => {
                    done.restart_waits = Some(format!("{name} is to be restarted, and waits: {}", safety.reason));
                    Ok(())
                }
                Err(error) => {
                    done.restart_waits = Some(format!(
                        "{name} is to be restarted, and does not say whether it may be: {}",
                        chain(&error)
                    ));
                    Ok(())
                }
            }
        }
    }
}

async fn safe_to_stop(observed: &Observed, ordinal: u32) -> Result<ferrymq_admin_api::Safety, ReconcileError> {
    let Some(client) = client(observed, ordinal)? else {
        return Ok(ferrymq_admin_api::Safety { safe: false, reason: "it has no address".to_owned() });
    };
    Ok(client.safe_to_stop().await?)
}

/// Removes a pod whose machine is dead: this one, and no other of its name.
async fn force(
    resource: &MessageQueue,
    ordinal: u32,
    machine: &Machine,
    observed: &Observed,
    context: &Context,
) -> Result<(), ReconcileError> {
    let Some(pod) = observed.pods.get(&ordinal) else { return Ok(()) };
    let name = pod.name_any();
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }.grace_period(0);
    let api = Api::<Pod>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    match api.delete(&name, &parameters).await {
        Ok(_) => {
            let why = match machine.state {
                MachineState::Gone => "is gone",
                _ => "is out of service, as its taint says",
            };
            let note = format!("{name} is removed without waiting: its machine {} {why}", machine.name);
            context.tell(resource, EventType::Warning, "PodForced", "Heal", note).await;
            Ok(())
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(ReconcileError::Write { what: format!("the deletion of Pod {name}"), source }),
    }
}

/// Deletes a pod, this one and no other of its name: its volume stays, and the StatefulSet makes it anew.
async fn replace(
    resource: &MessageQueue,
    ordinal: u32,
    why: &str,
    observed: &Observed,
    context: &Context,
    done: &mut Done,
) -> Result<(), ReconcileError> {
    let Some(pod) = observed.pods.get(&ordinal) else { return Ok(()) };
    let name = pod.name_any();
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let api = Api::<Pod>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    match api.delete(&name, &parameters).await {
        Ok(_) => {
            let note = format!("restarting {name} {why}");
            context.tell(resource, EventType::Normal, "RestartingBroker", "Restart", note).await;
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        Err(source) => return Err(ReconcileError::Write { what: format!("the deletion of Pod {name}"), source }),
    }
    done.restarted = Some(name);
    Ok(())
}
