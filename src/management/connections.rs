//! How many connections there may be: in all, so that memory is bounded, and of one address, so that one client cannot
//! keep the probes of the kubelet out, which would end the broker.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most connections at a time.
pub(crate) const MOST: usize = 512;

/// The most connections at a time from one address.
pub(crate) const MOST_OF_ONE_ADDRESS: usize = 64;

/// The connections that are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of_address: HashMap<IpAddr, usize>,
}

impl Connections {
    /// A place for one more connection from this address, where there is one. Free again when it is dropped.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Place> {
        let mut open = self.open();
        if open.all >= MOST {
            return None;
        }
        let of_address = open.of_address.entry(address).or_default();
        if *of_address >= MOST_OF_ONE_ADDRESS {
            return None;
        }
        *of_address += 1;
        open.all += 1;
        Some(Place { connections: self.clone(), address })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Connections,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.all -= 1;
        if let Entry::Occupied(mut of_address) = open.of_address.entry(self.address) {
            *of_address.get_mut() -= 1;
            if *of_address.get() == 0 {
                of_address.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_address_cannot_keep_another_one_out() {
        let connections = Connections::default();
        let greedy = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1));
        let places: Vec<_> = std::iter::from_fn(|| connections.admit(greedy)).collect();
        assert_eq!(places.len(), MOST_OF_ONE_ADDRESS);
        assert!(connections.admit(Ipv4Addr::new(10, 0, 0, 2).into()).is_some());
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let connections = Connections::default();
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        drop(std::iter::from_fn(|| connections.admit(address)).collect::<Vec<_>>());
        assert!(connections.admit(address).is_some());
        assert!(connections.open().of_address.is_empty());
    }

    #[test]
    fn there_are_never_more_than_the_most() {
        let connections = Connections::default();
        let addresses = (0..=u8::MAX).map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last)));
        let places: Vec<_> = addresses
            .flat_map(|address| (0..3).map_while(|_| connections.admit(address)).collect::<Vec<_>>())
            .collect();
        assert_eq!(places.len(), MOST);
    }
}
