//! Which addresses belong to the public Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is one of the public Internet, and stands for itself: not private, local, shared, reserved,
/// for documentation or multicast, and not another address in disguise (mapped, translated or tunnelled).
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !PRIVATE_V4.iter().any(|&(network, bits)| v4_in(ip, network, bits)),
        // Only 2000::/3 is handed out to the public: all else is refused without being named.
        IpAddr::V6(ip) => {
            v6_in(ip, [0x2000, 0], 3) && !PRIVATE_V6.iter().any(|&(network, bits)| v6_in(ip, network, bits))
        }
    }
}

const PRIVATE_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([255, 255, 255, 255], 32),
];

/// Within 2000::/3, by their first 32 bits: protocols (with Teredo), documentation, 6to4, documentation.
const PRIVATE_V6: [([u16; 2], u32); 4] =
    [([0x2001, 0], 23), ([0x2001, 0xdb8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

fn v4_in(ip: Ipv4Addr, network: [u8; 4], bits: u32) -> bool {
    (ip.to_bits() ^ u32::from_be_bytes(network)) >> (32 - bits) == 0
}

/// `bits` is at most 32.
fn v6_in(ip: Ipv6Addr, network: [u16; 2], bits: u32) -> bool {
    let network = u32::from(network[0]) << 16 | u32::from(network[1]);
    ((ip.to_bits() >> 96) as u32 ^ network) >> (32 - bits) == 0
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    #[test]
    fn every_range_that_is_not_public_is_blocked_from_its_first_to_its_last_address() {
        for range in [
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "255.255.255.255/32",
            "::/128",
            "::1/128",
            "::/96",
            "::ffff:0:0/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
        ] {
            let range: IpNet = range.parse().unwrap();
            assert!(!is_public(range.network()) && !is_public(range.broadcast()), "{range}");
        }
        assert!(!is_public("169.254.169.254".parse().unwrap()));
    }

    #[test]
    fn the_addresses_next_to_those_ranges_are_public() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.101.0",
            "203.0.112.255",
            "223.255.255.255",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "3ffe::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
