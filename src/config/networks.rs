use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// Networks, each as `10.0.0.0/8` or as one address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    pub fn to_vec(&self) -> Vec<IpNet> {
        self.0.clone()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let network = |text: &String| {
            text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        let wrong = texts.iter().enumerate().filter(|(_, text)| network(text).is_none());
        let wrong: Vec<String> = wrong.map(|(at, _)| (at + 1).to_string()).collect();
        if wrong.is_empty() {
            return Ok(Self(texts.iter().filter_map(network).collect()));
        }
        Err(D::Error::custom(format!(
            "must be networks such as 10.0.0.0/8; wrong is number {}",
            wrong.join(", ")
        )))
    }
}
