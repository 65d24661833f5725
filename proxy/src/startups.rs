//! How many unauthenticated connections one address may have: without a bound, one peer could take all places
//! and never say who it is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Unauthenticated connections by address.
#[derive(Debug)]
pub struct Startups {
    per_address_max: usize,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One of them; given back when it is dropped.
#[derive(Debug)]
pub struct StartupPlace(Option<(Arc<Startups>, IpAddr)>);

impl Startups {
    /// None yet.
    pub fn new(per_address_max: usize) -> Self {
        Self { per_address_max, open: Mutex::default() }
    }

    /// A place for a client; `None` if its address has all of its own. Clients of this machine are exempt.
    pub fn enter(self: &Arc<Self>, from: Option<IpAddr>) -> Option<StartupPlace> {
        let Some(ip) = from.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_loopback()) else {
            return Some(StartupPlace(None));
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_default();
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        Some(StartupPlace(Some((Arc::clone(self), ip))))
    }
}

impl Drop for StartupPlace {
    fn drop(&mut self) {
        let Some((startups, ip)) = self.0.take() else { return };
        let mut open = startups.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&ip) {
            Some(1) | None => drop(open.remove(&ip)),
            Some(count) => *count -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_no_more() {
        let startups = Arc::new(Startups::new(2));
        let of = |text: &str| Some(text.parse().unwrap());
        let first = startups.enter(of("10.0.0.1"));
        let second = startups.enter(of("::ffff:10.0.0.1"));
        assert!(first.is_some() && second.is_some());
        assert!(startups.enter(of("10.0.0.1")).is_none());
        assert!(startups.enter(of("10.0.0.2")).is_some(), "another address has its own");
        drop(first);
        let third = startups.enter(of("10.0.0.1"));
        assert!(third.is_some());
        drop((second, third));
        assert!(startups.open.lock().unwrap().is_empty(), "nothing is kept of who left");
    }

    #[test]
    fn this_machine_is_exempt() {
        let startups = Arc::new(Startups::new(0));
        for from in [None, Some("127.0.0.9"), Some("::1"), Some("::ffff:127.0.0.1")] {
            assert!(startups.enter(from.map(|text| text.parse().unwrap())).is_some(), "{from:?}");
        }
        assert!(startups.enter(Some("10.0.0.1".parse().unwrap())).is_none());
    }
}
