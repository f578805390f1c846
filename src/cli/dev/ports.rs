//! Where each broker listens: on the loopback, one port above the broker before it.

use std::{collections::BTreeMap, net::TcpListener};

use ferrymq_api::Cluster;

/// The most brokers that dev runs: a broker's link address ends with its ordinal, which has one digit.
pub(super) const MOST_BROKERS: u32 = 10;

const LINK: u16 = 7400;
const ADMIN: u16 = 7500;

/// Where the brokers of one cluster listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ports {
    listeners: Vec<(String, u16)>,
    link: u16,
    admin: u16,
    brokers: u32,
}

/// Why brokers cannot listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Too many brokers for one process.
    #[error("spec.replicas: {brokers} brokers are too many for one process; dev runs at most {MOST_BROKERS}")]
    TooManyBrokers {
        /// How many are asked for.
        brokers: u32,
    },
    /// No broker at all.
    #[error("spec.replicas: there is nothing to run, as it is 0; say how many brokers dev is to run")]
    NoBrokers,
    /// The base port is none.
    #[error("--base-port {base} does not do; it must be divisible by 10, at least 1030 and at most {}", most_base(*listeners))]
    Base {
        /// What was given.
        base: u16,
        /// How many listeners there are.
        listeners: usize,
    },
    /// Two brokers, or two uses, would have the same port.
    #[error(
        "port {port} would be both {one} and {other}: dev gives each broker the port above the one before it; put spec.listeners further apart, or give --base-port"
    )]
    Clash {
        /// The port.
        port: u16,
        /// Who would have it.
        one: String,
        /// Who would have it too.
        other: String,
    },
    /// Somebody listens there already.
    #[error("port {port} ({of}) cannot be listened at: {reason}; stop what has it, or give another --base-port")]
    Taken {
        /// The port.
        port: u16,
        /// What it is for.
        of: String,
        /// What the system says.
        reason: String,
    },
}

/// The highest base at which every block of ten still fits.
fn most_base(listeners: usize) -> u16 {
    let blocks = u16::try_from(listeners).unwrap_or(u16::MAX).saturating_add(2).saturating_mul(10);
    (u16::MAX - blocks) / 10 * 10
}

impl Ports {
    /// The ports of a cluster of so many brokers.
    ///
    /// # Errors
    ///
    /// [`PortError`].
    pub(super) fn new(cluster: &Cluster, brokers: u32, base: Option<u16>) -> Result<Self, PortError> {
        if brokers == 0 {
            return Err(PortError::NoBrokers);
        }
        if brokers > MOST_BROKERS {
            return Err(PortError::TooManyBrokers { brokers });
        }
        let count = cluster.listeners.len();
        let ports = match base {
            None => Self {
                listeners: cluster.listeners.iter().map(|listener| (listener.name.clone(), listener.port)).collect(),
                link: LINK,
                admin: ADMIN,
                brokers,
            },
            Some(base) if base % 10 == 0 && (1030..=most_base(count)).contains(&base) => {
                // The first listener has the base itself; the others come after links and admin API.
                let bases = std::iter::once(base).chain((base + 30..).step_by(10));
                Self {
                    listeners: cluster.listeners.iter().map(|listener| listener.name.clone()).zip(bases).collect(),
                    link: base + 10,
                    admin: base + 20,
                    brokers,
                }
            }
            Some(base) => return Err(PortError::Base { base, listeners: count }),
        };
        ports.distinct()?;
        Ok(ports)
    }

    /// Address of a listener of a broker.
    pub(super) fn listener(&self, name: &str, ordinal: u32) -> String {
        let base = self.listeners.iter().find(|(listener, _)| listener == name).map_or(0, |(_, port)| *port);
        format!("127.0.0.1:{}", above(base, ordinal))
    }

    /// Address of the admin API of a broker.
    pub(super) fn admin(&self, ordinal: u32) -> String {
        format!("127.0.0.1:{}", above(self.admin, ordinal))
    }

    /// Link address of every broker, with `{ordinal}` in its place.
    pub(super) fn link(&self) -> String {
        format!("127.0.0.1:{}{{ordinal}}", self.link / 10)
    }

    /// Checks that nobody listens at any of the ports. Brokers find out by themselves as well; here it is said with what
    /// the port is for, and before anything is started.
    ///
    /// # Errors
    ///
    /// [`PortError::Taken`].
    pub(super) fn check_free(&self, cluster: &str) -> Result<(), PortError> {
        for (port, of) in self.all(cluster) {
            if let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
                return Err(PortError::Taken { port, of, reason: error.to_string() });
            }
        }
        Ok(())
    }

    fn distinct(&self) -> Result<(), PortError> {
        let mut seen = BTreeMap::new();
        for (port, one) in self.all("broker") {
            if let Some(other) = seen.insert(port, one.clone()) {
                return Err(PortError::Clash { port, one: other, other: one });
            }
        }
        Ok(())
    }

    fn all(&self, cluster: &str) -> impl Iterator<Item = (u16, String)> {
        let own = [("links".to_owned(), self.link), ("admin API".to_owned(), self.admin)];
        let bases: Vec<_> = self.listeners.iter().cloned().chain(own).collect();
        let cluster = cluster.to_owned();
        (0..self.brokers).flat_map(move |ordinal| {
            let of = format!("of {cluster}-{ordinal}");
            bases.clone().into_iter().map(move |(what, base)| (above(base, ordinal), format!("{what} {of}")))
        })
    }
}

/// The port of the broker with this ordinal; ordinals are below [`MOST_BROKERS`].
fn above(base: u16, ordinal: u32) -> u16 {
    base.saturating_add(u16::try_from(ordinal).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::{super::desired::cluster, *};

    #[test]
    fn the_first_broker_is_at_the_standard_ports() {
        let ports = Ports::new(&cluster(""), 3, None).unwrap();
        assert_eq!(
            (ports.listener("amqp", 0), ports.admin(0)),
            ("127.0.0.1:5672".to_owned(), "127.0.0.1:7500".to_owned())
        );
        assert_eq!(
            (ports.listener("amqp", 2), ports.admin(2)),
            ("127.0.0.1:5674".to_owned(), "127.0.0.1:7502".to_owned())
        );
        assert_eq!(ports.link(), "127.0.0.1:740{ordinal}");
    }

    #[test]
    fn a_base_port_moves_all_of_them() {
        let ports = Ports::new(&cluster(""), 3, Some(20_000)).unwrap();
        assert_eq!(
            (ports.listener("amqp", 1), ports.admin(1)),
            ("127.0.0.1:20001".to_owned(), "127.0.0.1:20021".to_owned())
        );
        assert_eq!(ports.link(), "127.0.0.1:2001{ordinal}");
    }

    #[test]
    fn a_base_port_that_does_not_do_is_refused() {
        for base in [20_001, 80, 65_510] {
            assert!(matches!(Ports::new(&cluster(""), 3, Some(base)), Err(PortError::Base { .. })), "{base}");
        }
        assert!(Ports::new(&cluster(""), 3, Some(most_base(1))).is_ok());
    }

    #[test]
    fn listeners_that_are_too_close_are_refused() {
        let close =
            cluster(", listeners: [{name: one, protocol: amqp, port: 5672}, {name: two, protocol: amqp, port: 5673}]");
        let told = Ports::new(&close, 3, None).unwrap_err().to_string();
        assert!(told.starts_with("port 5673 would be both two of broker-0 and one of broker-1"), "{told}");
        assert!(Ports::new(&close, 3, Some(20_000)).is_ok());
    }

    #[test]
    fn eleven_brokers_are_too_many() {
        assert_eq!(Ports::new(&cluster(""), 0, None), Err(PortError::NoBrokers));
        assert_eq!(Ports::new(&cluster(""), 11, None), Err(PortError::TooManyBrokers { brokers: 11 }));
    }

    #[test]
    fn a_port_that_is_taken_is_said_with_what_it_is_for() {
        let ports = (0..50).find_map(|attempt| {
            let ports = Ports::new(&cluster(""), 1, Some(21_000 + 30 * attempt)).unwrap();
            let port = 21_000 + 30 * attempt;
            TcpListener::bind(("127.0.0.1", port)).ok().map(|listener| (ports, port, listener))
        });
        let (ports, port, _listener) = ports.unwrap();
        let told = ports.check_free("orders").unwrap_err().to_string();
        assert!(told.starts_with(&format!("port {port} (amqp of orders-0) cannot be listened at")), "{told}");
    }
}
