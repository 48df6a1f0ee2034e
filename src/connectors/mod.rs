//! The outside systems: one folder or file for each connector, and the register that knows them by name.

use std::sync::Arc;

use crate::model::catalog::service_types::ServiceType;
use crate::model::connector::{Connector, Descriptor, Register};

pub mod files;
pub mod mail;

/// The connectors of an installation, each under the name in its descriptor.
#[derive(Debug, Clone)]
pub struct Connectors(Vec<Arc<dyn Connector>>);

impl Connectors {
    /// Those that come with the program. A new connector is one line here.
    pub fn standard() -> Self {
        Self::of(vec![Arc::new(files::Files::new()), Arc::new(mail::Mail::new())])
    }

    /// A register of just these; of two with one name the first counts.
    pub fn of(connectors: Vec<Arc<dyn Connector>>) -> Self {
        Self(connectors)
    }

    /// The connector that servers call by this name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.0.iter().find(|connector| connector.descriptor().name == name).cloned()
    }

    /// All connectors in their own words, in the register's order.
    pub fn descriptors(&self) -> Vec<Descriptor> {
        self.0.iter().map(|connector| connector.descriptor().clone()).collect()
    }

    /// The names of the connectors that can provide such a service.
    pub fn providing(&self, service_type: ServiceType) -> Vec<&'static str> {
        let descriptors = self.0.iter().map(|connector| connector.descriptor());
        descriptors
            .filter(|known| known.service_types.contains(&service_type))
            .map(|known| known.name)
            .collect()
    }
}

impl Register for Connectors {
    fn get(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.get(name)
    }

    fn descriptors(&self) -> Vec<Descriptor> {
        self.descriptors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_type_has_a_connector_and_every_connector_its_own_name() {
        let register = Connectors::standard();
        for service_type in ServiceType::ALL {
            assert!(!register.providing(*service_type).is_empty(), "nothing provides {service_type}");
        }
        let mut names: Vec<_> = register.descriptors().iter().map(|known| known.name).collect();
        assert!(names.iter().all(|name| register.get(name).is_some()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), register.descriptors().len());
        assert!(register.get("nonsuch").is_none());
    }
}
