//! From where a key may be used.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A range of addresses in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange(IpNet);

/// A text that is no range, has bits behind its prefix, or is IPv4 in the clothes of IPv6.
#[derive(Debug, thiserror::Error)]
#[error("not a range of addresses")]
pub struct NoRange;

impl FromStr for AddressRange {
    type Err = NoRange;
    fn from_str(text: &str) -> Result<Self, NoRange> {
        let range: IpNet = text.parse().map_err(|_| NoRange)?;
        let mapped = matches!(range, IpNet::V6(range) if range.addr().to_ipv4_mapped().is_some());
        match range == range.trunc() && !mapped {
            true => Ok(Self(range)),
            false => Err(NoRange),
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl serde::Serialize for AddressRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for AddressRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for AddressRange {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9A-Fa-f:.]+/[0-9]{1,3}$"))
            .description(Some(
                "A range of IPv4 or IPv6 addresses in CIDR notation, with no bits behind its prefix.",
            ))
            .examples(["203.0.113.0/24"])
            .into()
    }
}

impl utoipa::ToSchema for AddressRange {}

/// Whether a list admits an address; an empty one admits all, and any other only what is known.
pub fn admits(list: &[AddressRange], address: Option<IpAddr>) -> bool {
    list.is_empty() || address.is_some_and(|address| list.iter().any(|range| range.0.contains(&address)))
}

/// Whether a list admits nothing that another one does not.
pub fn lies_inside(list: &[AddressRange], other: &[AddressRange]) -> bool {
    if other.is_empty() {
        return true;
    }
    let other = IpNet::aggregate(&other.iter().map(|range| range.0).collect());
    !list.is_empty() && list.iter().all(|range| other.iter().any(|other| other.contains(&range.0)))
}

/// The part of an address that tells the network and not the host: /24 or /48.
pub fn network(address: IpAddr) -> String {
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new_assert(address, length).trunc().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &[&str]) -> Vec<AddressRange> {
        ranges.iter().map(|range| range.parse().unwrap()).collect()
    }

    #[test]
    fn only_ranges_as_they_are_meant_are_read() {
        for right in ["0.0.0.0/0", "203.0.113.7/32", "::/0", "2001:db8::/48", "2001:db8::1/128"] {
            assert_eq!(right.parse::<AddressRange>().unwrap().to_string(), right);
        }
        for wrong in [
            "",
            "203.0.113.7",
            "203.0.113.7/24",
            "203.0.113.0/33",
            "::ffff:203.0.113.0/120",
            "2001:db8::1/48",
            "a/8",
        ] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_admits_what_lies_in_one_of_its_ranges_and_an_empty_one_admits_all() {
        let admits = |ranges: &[&str], address: &str| admits(&list(ranges), Some(address.parse().unwrap()));
        let ranges = ["203.0.113.0/24", "2001:db8::/48"];
        assert!(
            admits(&ranges, "203.0.113.255") && admits(&ranges, "2001:db8:0:ffff::1") && admits(&[], "::1")
        );
        assert!(!admits(&ranges, "203.0.114.0") && !admits(&ranges, "2001:db8:1::1"));
        assert!(!super::admits(&list(&ranges), None) && super::admits(&[], None));
    }

    #[test]
    fn a_list_lies_inside_another_if_nothing_is_outside() {
        let inside = |inner: &[&str], outer: &[&str]| lies_inside(&list(inner), &list(outer));
        assert!(inside(&["10.1.0.0/16"], &["10.0.0.0/8"]) && inside(&[], &[]) && inside(&["::/0"], &[]));
        assert!(inside(&["10.0.0.0/8"], &["10.0.0.0/9", "10.128.0.0/9"]), "two halves are the whole");
        assert!(!inside(&["10.0.0.0/7"], &["10.0.0.0/8"]) && !inside(&[], &["0.0.0.0/0"]));
        assert!(!inside(&["10.1.0.0/16", "::/0"], &["10.0.0.0/8"]));
    }

    #[test]
    fn of_an_address_only_its_network_is_kept() {
        assert_eq!(network("203.0.113.77".parse().unwrap()), "203.0.113.0/24");
        assert_eq!(network("2001:db8:1:2::3".parse().unwrap()), "2001:db8:1::/48");
    }
}
