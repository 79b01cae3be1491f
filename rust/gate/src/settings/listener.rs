//! Settings of the listeners: from whom a PROXY header is taken.

use std::net::IpAddr;

use super::SettingsError;

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether `peer` is one of them. An IPv4 address is the same one when it came by an IPv6 socket.
    pub(crate) fn contains(&self, peer: IpAddr) -> bool {
        let same = |difference: u128, bits: u32| {
            bits - self.prefix.min(bits) >= u128::BITS - difference.leading_zeros()
        };
        match (self.address, peer.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => {
                same(u128::from(own.to_bits() ^ peer.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(peer)) => same(own.to_bits() ^ peer.to_bits(), 128),
            _ => false,
        }
    }
}

/// `192.0.2.0/24`, `2001:db8::7`.
pub(super) fn networks(field: &str, texts: &[String]) -> Result<Vec<Network>, SettingsError> {
    let network = |text: &String| {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.as_str(), None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(bits), |prefix| prefix.parse().ok())?;
        (prefix <= bits).then_some(Network { address, prefix })
    };
    (texts.iter().enumerate())
        .map(|(index, text)| {
            network(text).ok_or_else(|| {
                let problem = format!("{text:?} is no network such as 192.0.2.0/24 or 2001:db8::7");
                SettingsError::new(format!("{field}[{index}]"), problem)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_begins_like_it() {
        let contains = |network: &str, peer: &str| {
            let networks = networks("n", &[network.to_owned()]).expect("a network");
            networks[0].contains(peer.parse().expect("an address"))
        };
        assert!(contains("192.0.2.0/24", "192.0.2.255"));
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.1"));
        assert!(!contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("::/0", "2001:db8::1"));
        for wrong in [
            "192.0.2.0/33",
            "192.0.2/24",
            "host",
            "::1/129",
            "::1/",
            "/8",
        ] {
            assert!(networks("n", &[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
