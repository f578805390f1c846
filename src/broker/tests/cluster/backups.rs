//! What a cluster archives, and clusters that are made of it.

use std::path::Path;

use ferrymq_archive::{Archive, Base, Destination, Place, Secret};
use ferrymq_broker::{BackupState, BackupView, RestoreOrder, RestoreTarget};

use super::*;

fn archive_in(directory: &Path) -> Archive {
    let place = Place::Directory { path: directory.to_owned() };
    Archive::new(Destination::open(place).unwrap(), "shop/orders/1", None)
}

fn opener(archive: &Archive) -> ArchiveOpener {
    let archive = archive.clone();
    ArchiveOpener::new(move || Ok(archive.clone()))
}

fn archives_to(archive: &Archive) -> Archives {
    let to = Archiving {
        archive: opener(archive),
        cluster: "orders".into(),
        most_held_bytes: 1 << 30,
        most_bytes_a_second: None,
    };
    Archives { to: Some(to), from: None }
}

async fn archiving(brokers: usize, archive: &Archive) -> Cluster {
    let cluster = Cluster::unformed(brokers, SEGMENT_BYTES, archives_to(archive)).await;
    cluster.node(0).form(cluster.formation()).await.unwrap();
    cluster.all_serve().await;
    cluster
}

/// A new cluster, of what was archived.
async fn restored(brokers: usize, archive: &Archive, target: RestoreTarget) -> Cluster {
    let cluster = restoring(brokers, archive, target, false).await;
    cluster.all_serve().await;
    cluster
}

/// A new cluster that is made of what was archived.
async fn restoring(brokers: usize, archive: &Archive, target: RestoreTarget, allow_partial: bool) -> Cluster {
    let archives = Archives { to: None, from: Some(opener(&archive.of("shop/orders"))) };
    let cluster = Cluster::unformed(brokers, SEGMENT_BYTES, archives).await;
    let restore = Some(RestoreOrder { target, allow_partial });
    let formation = Formation { cluster_id: "another".into(), restore, ..cluster.formation() };
    // The archive is read meanwhile.
    while let Err(FormError::NotYet(_)) = cluster.node(0).form(formation.clone()).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster
}

async fn all_archived(cluster: &Cluster) {
    let archived = || {
        let mut figures = cluster.nodes.iter().flatten().map(|node| node.archive_figures().unwrap());
        figures.all(|figures| figures.reached && figures.failing.is_none() && figures.lag.is_zero())
    };
    // Twice, as what was confirmed a moment ago waits to be seen.
    for _ in 0..2 {
        until("all is archived", archived).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
}

async fn back_up(cluster: &Cluster, name: &str) -> BackupView {
    loop {
        let view = cluster.node(0).back_up(name, None).await.unwrap();
        match view.state {
            BackupState::Completed => return view,
            BackupState::Running => tokio::time::sleep(Duration::from_millis(20)).await,
            BackupState::Failed => panic!("{}", view.message),
        }
    }
}

const QUEUES: [&str; 3] = ["a", "b", "c"];

/// A client of a cluster that has these queues.
async fn with_queues(cluster: &Cluster) -> Client {
    let client = cluster.client(0).await;
    for name in QUEUES {
        client.declare(name).await;
    }
    client
}

async fn publish(client: &mut Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        client.publish(QUEUES[number as usize % 3], &format!("{number:04}")).await;
    }
    client.all_confirmed().await;
}

/// A cluster of one broker that has thirty messages, and a client of it.
async fn with_thirty(archive: &Archive) -> (Cluster, Client) {
    let cluster = archiving(1, archive).await;
    let mut client = with_queues(&cluster).await;
    publish(&mut client, 0..30).await;
    (cluster, client)
}

/// All that is in a queue, in its order.
async fn content(cluster: &Cluster, name: &str, messages: usize) -> Vec<String> {
    let mut client = cluster.client(0).await;
    client.consume(name, 0).await;
    let mut got = bodies(&client.receive(messages).await);
    if let Ok(more) = tokio::time::timeout(Duration::from_millis(300), client.receive(1)).await {
        got.extend(bodies(&more));
    }
    got
}

fn of_queue(numbers: std::ops::Range<u32>, queue: u32) -> Vec<String> {
    numbers.filter(|number| number % 3 == queue).map(|number| format!("{number:04}")).collect()
}

fn now() -> u64 {
    ferrymq_replication::task::time_of_day()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cluster_had_is_there_again_in_another_one() {
    in_time(async {
        let directory = TempDir::new().unwrap();
        let archive = archive_in(directory.path());
        let cluster = archiving(3, &archive).await;
        let mut client = with_queues(&cluster).await;
        publish(&mut client, 0..300).await;
        // The first 60 of a are settled, and 10 more are held by somebody.
        let mut consumer = cluster.client(1).await;
        consumer.consume("a", 70).await;
        let held = consumer.receive(70).await;
        consumer.accept(&held[..60]);
        let view = back_up(&cluster, "first").await;
        assert!(view.shards_done == view.shards && view.bytes > 0);
        all_archived(&cluster).await;
        let middle = now();
        publish(&mut client, 300..600).await;
        back_up(&cluster, "second").await;
        publish(&mut client, 600..900).await;
        client.declare("late").await;
        client.publish("late", "late").await;
        client.all_confirmed().await;
        all_archived(&cluster).await;
        drop(cluster);

        let to_first = RestoreTarget::Backup("first".into());
        for (brokers, target, upto) in [
            (1, RestoreTarget::Latest, 900),
            (3, RestoreTarget::Latest, 900),
            (2, to_first, 300),
            (1, RestoreTarget::Time(middle), 300),
        ] {
            let cluster = restored(brokers, &archive, target.clone()).await;
            for (number, name) in (0..).zip(QUEUES) {
                let mut wanted = of_queue(0..upto, number);
                wanted.drain(..if number == 0 { 60 } else { 0 });
                assert_eq!(content(&cluster, name, wanted.len()).await, wanted, "{name} of {target:?}");
            }
            if upto == 900 {
                assert_eq!(content(&cluster, "late", 1).await, ["late"]);
            }
            let mut client = cluster.client(0).await;
            client.declare("new").await;
            client.publish("new", "new").await;
            client.all_confirmed().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_not_as_it_was_backed_up_is_named() {
    in_time(async {
        let directory = TempDir::new().unwrap();
        let archive = archive_in(directory.path());
        let (cluster, _client) = with_thirty(&archive).await;
        back_up(&cluster, "true").await;
        drop(cluster);
        let mut forged = archive.backup("true").await.unwrap();
        let cut = forged.shards.iter_mut().find(|cut| cut.group == 1).unwrap();
        let digest = cut.digest.clone();
        // Of another state, in the same format.
        let last = if digest.ends_with('0') { "1" } else { "0" };
        cut.digest.replace_range(digest.len() - 1.., last);
        forged.name = "forged".into();
        archive.put_backup(&forged).await.unwrap();

        let target = RestoreTarget::Backup("forged".into());
        let cluster = restoring(1, &archive, target.clone(), false).await;
        let problems = || cluster.node(0).restoration().map(|view| view.problems.join("; ")).unwrap_or_default();
        until("a problem is told", || !problems().is_empty()).await;
        let problem = problems();
        assert!(problem.contains("shard 1 is not as it was backed up") && problem.contains(&digest), "{problem}");
        drop(cluster);
        let cluster = restoring(1, &archive, target, true).await;
        cluster.all_serve().await;
        let wanted = of_queue(0..30, 1);
        assert_eq!(content(&cluster, "b", wanted.len()).await, wanted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_name_that_was_removed_is_another_one() {
    in_time(async {
        let directory = TempDir::new().unwrap();
        let archive = archive_in(directory.path());
        let (cluster, mut client) = with_thirty(&archive).await;
        let one = back_up(&cluster, "first").await;
        publish(&mut client, 30..60).await;
        back_up(&cluster, "second").await;
        let kept = archive.backup("second").await.unwrap().shards;
        cluster.node(0).remove_backup("first").await.unwrap();
        for cut in &kept {
            // What only the first needed.
            let oldest = Base::index_in(&cut.base);
            while archive.bases(cut.group).await.unwrap().iter().any(|base| Base::index_in(base) < oldest) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        publish(&mut client, 60..90).await;
        let again = back_up(&cluster, "first").await;
        assert!(again.began_at > one.began_at);
        drop(cluster);
        let cluster = restored(1, &archive, RestoreTarget::Backup("first".into())).await;
        for (number, name) in (0..).zip(QUEUES) {
            let wanted = of_queue(0..90, number);
            assert_eq!(content(&cluster, name, wanted.len()).await, wanted, "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_in_which_nothing_happened_is_not_written_again() {
    in_time(async {
        let directory = TempDir::new().unwrap();
        let archive = archive_in(directory.path());
        let (cluster, mut client) = with_thirty(&archive).await;
        back_up(&cluster, "first").await;
        client.publish("a", "more").await;
        client.all_confirmed().await;
        back_up(&cluster, "second").await;
        let (first, second) = (archive.backup("first").await.unwrap(), archive.backup("second").await.unwrap());
        let pairs = || first.shards.iter().zip(&second.shards);
        let written = pairs().filter(|(one, other)| one.base != other.base).count();
        assert_eq!(written, 1, "{first:?}, {second:?}");
        drop(cluster);
        let cluster = restored(1, &archive, RestoreTarget::Backup("second".into())).await;
        assert_eq!(content(&cluster, "a", 11).await.last().map(String::as_str), Some("more"));
        assert_eq!(content(&cluster, "b", 10).await, of_queue(0..30, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_nothing_is_restored_is_said_again_and_again() {
    in_time(async {
        let directory = TempDir::new().unwrap();
        let archive = archive_in(directory.path());
        let cluster = restoring(1, &archive, RestoreTarget::Latest, false).await;
        let restore = Some(RestoreOrder { target: RestoreTarget::Latest, allow_partial: false });
        let formation = Formation { cluster_id: "another".into(), restore, ..cluster.formation() };
        for _ in 0..3 {
            let refused = cluster.node(0).form(formation.clone()).await.unwrap_err();
            assert!(refused.to_string().contains("there is no archive of a cluster in"), "{refused}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_store_that_never_answers_is_let_go_of() {
    in_time(async {
        // Connections are made, and nothing comes.
        let store = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let place = Place::S3 {
            bucket: "backups".into(),
            prefix: String::new(),
            endpoint: Some(format!("http://{}", store.local_addr().unwrap())),
            region: None,
            credentials: Some(("access".into(), Secret::new("secret".into()))),
            authorities: None,
        };
        let archive = Archive::new(Destination::open(place).unwrap(), "shop/orders/1", None);
        let mut archives = archives_to(&archive);
        archives.to = archives.to.map(|to| Archiving { most_held_bytes: SEGMENT_BYTES, ..to });
        let cluster = Cluster::unformed(1, SEGMENT_BYTES, archives).await;
        cluster.node(0).form(cluster.formation()).await.unwrap();
        cluster.all_serve().await;
        let mut client = with_queues(&cluster).await;
        client.consume("a", 0).await;
        for _ in 0..400 {
            client.publish("a", &"x".repeat(100_000)).await;
            let deliveries = client.receive(1).await;
            client.accept(&deliveries);
        }
        let segments = || {
            let files = std::fs::read_dir(cluster.directory.path().join("0/journal")).unwrap();
            let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.ends_with(".journal")).count()
        };
        until("what was settled is gone from the disk", || segments() <= 3).await;
        assert!(cluster.node(0).archive_figures().unwrap().held_bytes <= SEGMENT_BYTES);
    })
    .await;
}
