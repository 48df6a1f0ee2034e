use std::fmt;
use std::ops::RangeInclusive;

use super::layers::Layer;

/// One thing that is wrong with the settings. Shows as one line that names the setting and where it was
/// given, and never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// As in the file, `server.listen`; empty if no one setting is at fault.
    pub setting: String,
    pub reason: String,
    /// The file, variable or flag that gave the value; none if it is the default.
    pub source: Option<String>,
}

impl std::error::Error for ConfigFault {}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = [self.source.as_deref().unwrap_or_default(), &self.setting];
        let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
        write!(f, "{}: {}", place.join(": "), self.reason.replace('\n', " "))
    }
}

/// Collects faults while settings are checked.
pub(super) struct Checks<'a> {
    layers: &'a [Layer],
    faults: &'a mut Vec<ConfigFault>,
}

impl<'a> Checks<'a> {
    pub fn new(layers: &'a [Layer], faults: &'a mut Vec<ConfigFault>) -> Self {
        Self { layers, faults }
    }

    pub fn refuse(&mut self, setting: &str, reason: impl Into<String>) {
        let path: Vec<&str> = setting.split('.').collect();
        let given_by = self.layers.iter().rev().find(|layer| layer.has(&path));
        let source = given_by.map(|layer| layer.source(&path));
        self.faults.push(ConfigFault { setting: setting.to_owned(), reason: reason.into(), source });
    }

    /// Refuses what cannot be the name of an operation.
    pub fn operations(&mut self, setting: &str, names: &[String]) {
        let named = |name: &String| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        if !names.iter().all(named) {
            self.refuse(setting, "must be operations as the document names them, such as keys_create");
        }
    }

    pub fn within(&mut self, setting: &str, value: u64, range: RangeInclusive<u64>) {
        if !range.contains(&value) {
            self.refuse(setting, format!("must be from {} to {}", range.start(), range.end()));
        }
    }
}
