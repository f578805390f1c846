//! Clusters that are archived, and clusters that are made of an archive: their resources, and what is waited for.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ferrymq_api::{Backup, MessageQueue};

use crate::metrics::samples;
use crate::store::{SECRET, STORED};
use crate::traffic::{Traffic, connect};
use crate::world::{READY, World, until};

/// How long what was confirmed may take to be in the archive, on a busy machine.
pub(crate) const ARCHIVED: Duration = Duration::from_secs(30);

/// How long a backup may take, on a busy machine.
pub(crate) const BACKED_UP: Duration = Duration::from_secs(180);

/// Two queues that get everything: one that is consumed at once, and one that nobody reads yet.
pub(crate) const JOBS: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {name: jobs}
spec:
  cluster: orders
  queues: [{name: work}, {name: later}]
";

/// A cluster that is archived; `more` is what is said of its backups besides.
pub(crate) fn archived(replicas: u32, destination: &str, more: &str) -> String {
    format!(
        "
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {{name: orders}}
spec:
  replicas: {replicas}
  storage: {{size: 1Gi, reclaimPolicy: Delete}}
  backup: {{destination: {destination}, encryptionSecret: archive{more}}}
"
    )
}

/// A cluster that is made of an archive; `from` is what is said of that besides where it is.
pub(crate) fn restored(name: &str, replicas: u32, destination: &str, from: &str) -> String {
    format!(
        "
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  storage: {{size: 1Gi, reclaimPolicy: Delete}}
  restoreFrom: {{destination: {destination}, {from}}}
"
    )
}

pub(crate) fn backup(name: &str) -> String {
    backup_with(name, "")
}

/// A backup, with more in its spec.
pub(crate) fn backup_with(name: &str, more: &str) -> String {
    labelled_backup(name, "", more)
}

/// A backup with labels, and with more in its spec.
pub(crate) fn labelled_backup(name: &str, labels: &str, more: &str) -> String {
    format!(
        "
apiVersion: ferrymq.io/v1alpha1
kind: Backup
metadata: {{name: {name}, labels: {{{labels}}}}}
spec: {{cluster: orders{more}}}
"
    )
}

/// Makes a backup; how long it took.
pub(crate) fn back_up(world: &World, name: &str) -> Duration {
    world.apply(&backup(name));
    world.wait_condition(&format!("backup/{name}"), "Complete", BACKED_UP)
}

/// Of what a backup is, as its resource says.
pub(crate) async fn state_of(world: &World, name: &str) -> Option<ferrymq_api::BackupStatus> {
    world.api::<Backup>().get(name).await.ok()?.status
}

/// A namespace with a cluster that is archived, and with the queues of [`JOBS`].
pub(crate) async fn begin(world: &World, cluster: &str) {
    world.apply(&format!("{SECRET}---{cluster}"));
    world.wait_ready("messagequeue/orders", READY);
    world.apply(JOBS);
    world.wait_ready("topic/jobs", READY);
    world.condition::<MessageQueue>("orders", "ContinuousArchiving", ("True", "Archived"), READY).await;
}

/// A new namespace with a cluster `orders` of so many brokers, ready, which was made of what another namespace's had.
pub(crate) async fn made_again(story: &str, replicas: u32, destination: &str, from: &str) -> World {
    let world = World::new(story).await;
    let since = Instant::now();
    world.apply(&format!("{SECRET}---{}", restored("orders", replicas, destination, from)));
    world.wait_ready("messagequeue/orders", STORED);
    println!("measured: {story}: ready after {:.1} s", since.elapsed().as_secs_f64());
    world.apply(JOBS);
    world.wait_ready("topic/jobs", READY);
    world
}

/// Publishes so many messages to the queues of [`JOBS`], and waits until they are confirmed.
pub(crate) async fn published(traffic: &mut Traffic, name: &str, pod: &str, messages: u64) {
    traffic.publish(name, "jobs", pod);
    traffic.flowing(messages, READY).await;
    traffic.stop_publishing().await;
}

/// Waits until all that is confirmed now is in the archive; and the time, right after that.
pub(crate) async fn all_archived(world: &World) -> u64 {
    let confirmed = now() + 1;
    until("all to be archived", ARCHIVED, async || {
        let mut until = u64::MAX;
        for pod in world.pods().await {
            until = until.min(*samples(&pod).await.get("ferrymq_archived_until_seconds")? as u64);
        }
        (until > confirmed).then_some(())
    })
    .await;
    now()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

/// A time of the clock, as the API writes it.
pub(crate) fn time_text(seconds: u64) -> String {
    let time = k8s_openapi::jiff::Timestamp::from_second(seconds.cast_signed()).expect("it is a time");
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How many messages are in the two queues.
pub(crate) async fn counts(world: &World) -> (u64, u64) {
    (count(world, "work").await, count(world, "later").await)
}

async fn count(world: &World, queue: &str) -> u64 {
    let brokers = world.brokers().await;
    let link = connect(&brokers[0].uri).await.expect("a broker takes connections");
    let options = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    let declared = link.channel.queue_declare(queue.into(), options, Default::default()).await;
    declared.expect("the queue is there").message_count().into()
}
