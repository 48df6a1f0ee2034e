use serde::Serialize;
use utoipa::ToSchema;

use crate::model::quotas::QuotaKey;
use crate::model::services::specs::ResourceType;
use crate::stored_as_text;

stored_as_text! {
    /// What a plan can be made of.
    pub enum ServiceType {
        Mail = "mail",
        Dns = "dns",
        Web = "web",
    }
}

impl ServiceType {
    pub fn title(self) -> &'static str {
        match self {
            ServiceType::Mail => "Hosted mail",
            ServiceType::Dns => "DNS",
            ServiceType::Web => "Web hosting",
        }
    }

    pub fn resource_types(self) -> Vec<ResourceType> {
        ResourceType::ALL.iter().copied().filter(|resource| resource.service_type() == self).collect()
    }

    /// The quota keys that its resources take from.
    pub fn quota_keys(self) -> Vec<QuotaKey> {
        let mut keys: Vec<_> = self.resource_types().iter().flat_map(|r| r.quota_keys()).copied().collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

/// A service type and the connectors that provide it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ServiceTypeDescription)]
pub struct ServiceTypeView {
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    pub title: &'static str,
    pub resource_types: Vec<ResourceType>,
    pub quota_keys: Vec<QuotaKey>,
    pub connectors: Vec<&'static str>,
}
