//! The certificates that a broker serves with: loaded at the start, and again whenever their files change.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::SystemTime};

use ferrymq_admin_api::{CertificatePurpose, CertificateView, Configuration, Listener};
use ferrymq_tls::{ClientSide, ClusterSide, Reloaded, ServerName, Side};
use tokio::task::JoinSet;

use crate::StartError;

/// The certificates of a broker. Cheap to clone; the same ones.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    cluster: Option<(Arc<Reloaded<ClusterSide>>, ServerName<'static>)>,
    /// By directory: several listeners may share one.
    clients: BTreeMap<PathBuf, Arc<Reloaded<ClientSide>>>,
}

impl Certificates {
    /// Loads them. Without the cluster's own a broker does not start. It does without one for clients: what it holds for
    /// others is worth more than a listener, which refuses its clients until there is a certificate.
    pub(crate) fn open(configuration: &Configuration) -> Result<Self, StartError> {
        let cluster = match &configuration.internal_tls {
            None => None,
            Some(tls) => {
                let name = ServerName::try_from(tls.name.clone())
                    .map_err(|_| StartError::InternalName { name: tls.name.clone() })?;
                Some((Reloaded::load(&tls.directory, name.clone()).map_err(StartError::Certificate)?, name))
            }
        };
        let directories = configuration.listeners.iter().filter_map(|listener| listener.tls.clone());
        let clients = directories.map(|directory| {
            let side = Reloaded::open(&directory, ());
            (directory, side)
        });
        Ok(Self { cluster, clients: clients.collect() })
    }

    /// Those of links and of the admin API, and the name that they are for.
    pub(crate) fn cluster(&self) -> Option<(Arc<Reloaded<ClusterSide>>, ServerName<'static>)> {
        self.cluster.clone()
    }

    /// Those of a listener; none where it speaks no TLS.
    pub(crate) fn of(&self, listener: &Listener) -> Option<Arc<Reloaded<ClientSide>>> {
        self.clients.get(listener.tls.as_ref()?).cloned()
    }

    /// Looks at the files until what is given is dropped.
    pub(crate) fn keep_up(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some((side, _)) = &self.cluster {
            tasks.spawn(side.clone().keep_up());
        }
        for side in self.clients.values() {
            tasks.spawn(side.clone().keep_up());
        }
        tasks
    }

    /// What people are told of them.
    pub(crate) fn views(&self) -> Vec<CertificateView> {
        let cluster = self.cluster.iter().map(|(side, _)| view(side, CertificatePurpose::Cluster));
        let clients = self.clients.values().map(|side| view(side, CertificatePurpose::Clients));
        cluster.chain(clients).collect()
    }
}

fn view<T: Side>(side: &Reloaded<T>, purpose: CertificatePurpose) -> CertificateView {
    let current = side.current();
    let certificate = current.as_ref().map(|side| side.certificate());
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    CertificateView {
        purpose,
        serial: certificate.map(|certificate| certificate.serial.clone()),
        not_after: certificate.map(|certificate| seconds(certificate.not_after)),
        problem: side.problem(),
    }
}
