use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::networks::Networks;

/// The networks whose word is taken for where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Networks);

impl TrustedProxies {
    /// The address that a request came from: the peer's own, unless the peer is a trusted proxy; then the
    /// right-most address of `X-Forwarded-For` that is none. `forwarded` are the header's lines in order.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.to_canonical();
        for hop in forwarded.rev().flat_map(|line| line.rsplit(',')) {
            if !self.0.contains(client) {
                break;
            }
            match address(hop.trim()) {
                Some(hop) => client = hop.to_canonical(),
                // A proxy that does not know from where it was asked is the last that is known.
                None => break,
            }
        }
        client
    }
}

/// The address of a hop, which some proxies write with its port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let proxies: TrustedProxies =
            serde_json::from_value(serde_json::json!(["10.0.0.0/8", "fd00::/8"])).unwrap();
        proxies.client(peer.parse().unwrap(), forwarded.iter().copied()).to_string()
    }

    /// CFG-5
    #[test]
    fn a_stranger_cannot_say_that_it_comes_from_elsewhere() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &["10.0.0.1"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["192.0.2.66, 203.0.113.9"]), "203.0.113.9");
    }

    /// CFG-5
    #[test]
    fn the_rightmost_hop_that_is_no_proxy_of_ours_is_the_client() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1, 10.0.0.7"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.1", "198.51.100.1", "10.0.0.7, fd00::7"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.7"]), "10.0.0.7");
    }
}
