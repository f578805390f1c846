//! `ferrymq ctl restore`: the data of a cluster of one broker, made of an archive on this machine.
//!
//! ```text
//!   archive --> a broker in this process --> DIR/<name>/<name>-0
//!                  ^      |
//!                form   left, problems           the broker restores as on Kubernetes; here it is formed and watched
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `arguments.rs` | what is typed |
//! | `drill.rs` | a backup, restored to see whether it can be |
//! | `directory.rs` | the directory: what was made in it goes again, unless all went well |
//! | `watcher.rs` | how far the broker is, and when it is to be given up |
//!
//! What is made is what `ferrymq dev --data-dir DIR` makes: it goes on with it, and so does a broker by itself. Invariants:
//! the record that the cluster is formed comes last, so that half a cluster is never taken for one; nothing listens but on
//! the loopback, and no client is served.

mod arguments;
mod directory;
mod drill;
mod error;
mod watcher;

use std::path::Path;

use ferrymq_admin_api::{
    ArchiveConfiguration, Client, Configuration, Formation, Listener, Member, Protocol, RestorationView, RestoreOrder,
};
use ferrymq_server::Running;

pub use arguments::RestoreArguments;
pub(super) use drill::run as drill;
pub use error::RestoreError;

use self::{directory::NewDirectory, watcher::Watcher};
use super::{
    Answer,
    backup::{self, ArchivedCluster},
};
use crate::{
    dev::{Place, Record, asked_to_stop},
    told::told,
};

/// Any port of the loopback.
const ANYWHERE: &str = "127.0.0.1:0";

/// Does what was typed, and gives what is to be printed.
///
/// # Errors
///
/// [`RestoreError`]; what was made is removed then.
pub(super) async fn run(arguments: &RestoreArguments) -> Result<Answer, RestoreError> {
    let source = backup::configuration(&arguments.archive)?;
    let archive = ferrymq_server::open_archive(&source).map_err(backup::BackupError::from)?;
    let (cluster, note) = backup::one(&archive).await?;
    if let Some(note) = note {
        eprintln!("restore: {note}");
    }
    if let Some(name) = &arguments.backup {
        backup::has_backup(&archive, name).await?;
    }
    let directory = NewDirectory::take(&arguments.to_dir)?;
    let name = last_of(cluster.name()).to_owned();
    let place = Place::take(&arguments.to_dir, &name)?;
    let order = RestoreOrder {
        backup: arguments.backup.clone(),
        time: arguments.time.map(|moment| moment.0),
        allow_partial: arguments.allow_partial,
    };
    let made = make(order, source, &cluster, &place, &name).await?;
    let text = print(&arguments.to_dir, &place, &name, &made);
    directory.keep();
    Ok(text.into())
}

/// Makes a cluster in a directory; gives what of it was restored. The broker is stopped when this returns.
async fn make(
    order: RestoreOrder,
    source: ArchiveConfiguration,
    cluster: &ArchivedCluster,
    place: &Place,
    name: &str,
) -> Result<RestorationView, RestoreError> {
    let (token_file, token) = place.token()?;
    // Where the uid was not typed, the broker looks into the newest that has what is wanted.
    let source = ArchiveConfiguration { folder: folder(&source, cluster), ..source };
    let is_directory = matches!(source.destination, ferrymq_admin_api::ArchiveDestination::Directory { .. });
    let broker = format!("{name}-0");
    let lasting = Configuration {
        cluster: name.to_owned(),
        data_directory: place.path(&broker),
        peer_address: "127.0.0.1:740{ordinal}".to_owned(),
        link_listen: "127.0.0.1:7400".to_owned(),
        admin_listen: "127.0.0.1:7500".to_owned(),
        metrics_listen: None,
        token_file,
        listeners: vec![Listener {
            name: "amqp".to_owned(),
            protocol: Protocol::Amqp,
            address: "127.0.0.1:5672".to_owned(),
            tls: None,
        }],
        internal_tls: None,
        memory_high_water_bytes: None,
        archive: None,
        restore_from: None,
    };
    let now = Configuration {
        // There are no others, and nobody is asked.
        peer_address: ANYWHERE.to_owned(),
        link_listen: ANYWHERE.to_owned(),
        admin_listen: ANYWHERE.to_owned(),
        listeners: Vec::new(),
        restore_from: Some(source),
        ..lasting.clone()
    };
    let started = ferrymq_server::start(now, 0, None).await;
    let running = started.map_err(|error| RestoreError::Broker { what: format!("did not start: {}", told(&error)) })?;
    let restored = tokio::select! {
        restored = restore(&running, &token, order, is_directory) => restored,
        why = running.failed() => Err(RestoreError::Broker { what: format!("cannot go on: {why}") }),
        () = asked_to_stop() => Err(RestoreError::Stopped),
    };
    running.stop().await;
    let (formation, view) = restored?;
    place.write(&format!("{broker}.json"), &lasting)?;
    place.write(Record::FILE, &Record::of(&formation))?;
    Ok(view)
}

/// Forms the cluster, and waits until all of it is there.
async fn restore(
    running: &Running,
    token: &str,
    order: RestoreOrder,
    is_directory: bool,
) -> Result<(Formation, RestorationView), RestoreError> {
    let lost =
        |error: &dyn std::error::Error| RestoreError::Broker { what: format!("does not answer: {}", told(error)) };
    let client = Client::new(&format!("http://{}", running.admin_address()), token).map_err(|error| lost(&error))?;
    let node = client.node().await.map_err(|error| lost(&error))?;
    let member = Member { ordinal: node.ordinal, uuid: node.uuid, zone: None };
    let watcher = Watcher::new(client, is_directory, order.allow_partial);
    let formation = Formation { restore: Some(order), ..Record::new(vec![member], 1).formation() };
    watcher.form(&formation).await?;
    let view = watcher.all_there().await?;
    Ok((formation, view))
}

/// The folder that the broker is to look into.
fn folder(source: &ArchiveConfiguration, cluster: &ArchivedCluster) -> String {
    if source.folder.is_empty() { cluster.name().to_owned() } else { source.folder.clone() }
}

fn last_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn print(directory: &Path, place: &Place, name: &str, made: &RestorationView) -> String {
    let RestorationView { folder, what, shards, missing, .. } = made;
    let root = place.root().display();
    let mut text = format!("{what} of {folder} is restored in {root}: {shards} shards\n");
    if !missing.is_empty() {
        text.push_str(&format!("\nleft out, as it is damaged or missing:\n  {}\n", missing.join("\n  ")));
    }
    text.push_str(&format!(
        "\nIt is a cluster of one broker. To serve it on this machine, with a MessageQueue of the name {name} in the file:\n\
         \x20   ferrymq dev -f FILE --data-dir {}\n\
         or the broker by itself, which listens at 127.0.0.1:5672 until its configuration says otherwise:\n\
         \x20   FERRYMQ_NODE_NAME={name}-0 ferrymq broker --config {root}/{name}-0.json\n\
         Clients log in as the users that there were, or from this machine as guest, password guest.\n",
        directory.display(),
    ));
    text
}
