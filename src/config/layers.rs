//! Where settings come from, and how the sources are laid over each other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Profile};
use secrecy::ExposeSecret;

use super::faults::ConfigFault;
use super::{Config, LogFormat};
use crate::cli::Flags;

const PREFIX: &str = "TENANTRY_";
const DEFAULT_FILE: &str = "tenantry.toml";
/// Variables that are read elsewhere than here.
const OTHER_VARIABLES: &[&str] = &["TENANTRY_CONFIG"];

enum Origin {
    File(PathBuf),
    Environment,
    Flags,
}

/// What one source says.
pub(super) struct Layer {
    origin: Origin,
    values: Dict,
}

impl Layer {
    pub fn has(&self, path: &[&str]) -> bool {
        let (last, tables) = path.split_last().expect("a setting has a name");
        let mut table = &self.values;
        for name in tables {
            match table.get(*name).and_then(Value::as_dict) {
                Some(inner) => table = inner,
                None => return false,
            }
        }
        table.contains_key(*last)
    }

    /// How the user knows the source of this setting.
    pub fn source(&self, path: &[&str]) -> String {
        match &self.origin {
            Origin::File(file) => file.display().to_string(),
            Origin::Environment => variable(path),
            Origin::Flags => format!("--{}", flag(path)),
        }
    }

    fn put(&mut self, section: &str, field: &str, value: Value) {
        let table = self.values.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
        if let Value::Dict(_, table) = table {
            table.insert(field.to_owned(), value);
        }
    }

    /// Takes out each value that cannot be read, with the reason, so that one fault does not hide the next.
    fn sift(&mut self, known: &Known, faults: &mut Vec<ConfigFault>) {
        while let Err(error) = extract(std::slice::from_ref(self)) {
            let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
            let reason = known.reason(&error.kind, &path.join("."));
            faults.push(ConfigFault { setting: path.join("."), reason, source: Some(self.source(&path)) });
            if !remove(&mut self.values, &path) {
                self.values = Dict::new();
            }
        }
    }
}

fn variable(path: &[&str]) -> String {
    format!("{PREFIX}{}", path.join("__").to_uppercase())
}

fn flag(path: &[&str]) -> &'static str {
    match path {
        ["data", ..] => "data-dir",
        ["database", ..] => "database-url",
        ["log", ..] => "log-format",
        _ => "listen",
    }
}

/// Takes the value out that stands at the path, or of a list the whole.
fn remove(values: &mut Dict, path: &[&str]) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    match values.get_mut(*name) {
        Some(Value::Dict(_, inner)) if !rest.is_empty() => remove(inner, rest),
        Some(_) => values.remove(*name).is_some(),
        None => false,
    }
}

fn extract(layers: &[Layer]) -> Result<Config, Box<figment::Error>> {
    let start = Figment::new().select(Profile::Default);
    layers
        .iter()
        .fold(start, |all, layer| all.merge(Serialized::defaults(&layer.values)))
        .extract()
        .map_err(Box::new)
}

/// The layers as one, the later over the earlier.
pub(super) fn merge(layers: &[Layer]) -> Config {
    extract(layers).expect("each layer was sifted, and tables merge into tables")
}

/// What each source says, the weakest first; what cannot be understood is a fault and left out.
pub(super) fn read(
    flags: &Flags,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    faults: &mut Vec<ConfigFault>,
) -> Vec<Layer> {
    let known = Known::new();
    let file = match &flags.config {
        Some(file) => from_file(file, faults),
        None if Path::new(DEFAULT_FILE).exists() => from_file(Path::new(DEFAULT_FILE), faults),
        None => None,
    };
    let environment = from_environment(environment, &known, faults);
    let mut layers: Vec<Layer> = file.into_iter().chain([environment, from_flags(flags, faults)]).collect();
    for layer in &mut layers {
        layer.sift(&known, faults);
    }
    layers
}

fn from_file(file: &Path, faults: &mut Vec<ConfigFault>) -> Option<Layer> {
    let mut refuse = |reason: String| {
        faults.push(ConfigFault { setting: String::new(), reason, source: Some(file.display().to_string()) });
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            refuse(format!("the file cannot be read: {error}"));
            return None;
        }
    };
    match Toml::from_str::<Dict>(&text) {
        Ok(values) => Some(Layer { origin: Origin::File(file.to_owned()), values }),
        Err(error) => {
            // The error's own text would quote the line, and with it a secret.
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            refuse(format!("{line}this is not TOML: {}", error.message()));
            None
        }
    }
}

fn from_environment(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    known: &Known,
    faults: &mut Vec<ConfigFault>,
) -> Layer {
    let mut layer = Layer { origin: Origin::Environment, values: Dict::new() };
    let all: Vec<(String, OsString)> =
        environment.into_iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value)).collect();
    let in_cluster = all.iter().any(|(name, _)| name == "KUBERNETES_SERVICE_HOST");
    let is_ours = |name: &str| {
        name.starts_with(PREFIX)
            && !OTHER_VARIABLES.contains(&name)
            && !(in_cluster && is_made_by_kubernetes(name))
    };
    let mut ours: Vec<_> = all.into_iter().filter(|(name, _)| is_ours(name)).collect();
    ours.sort();
    for (name, value) in ours {
        let mut refuse = |reason| {
            faults.push(ConfigFault { setting: String::new(), reason, source: Some(name.clone()) });
        };
        let Some((setting, kind)) = known.by_variable(&name) else {
            refuse(known.unknown_variable(&name));
            continue;
        };
        let Some(text) = value.to_str() else {
            refuse("the value is not UTF-8".to_owned());
            continue;
        };
        let (section, field) = setting.split_once('.').expect("settings are listed as section.field");
        layer.put(section, field, from_text(text, kind));
    }
    layer
}

/// Whether Kubernetes makes a variable of this name, in every pod, for a service called `tenantry` or `tenantry-…`.
fn is_made_by_kubernetes(name: &str) -> bool {
    let of_a_port = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.ends_with("_PORT")
            || name.contains("_SERVICE_PORT_")
            || name.split_once("_PORT_").is_some_and(|(_, rest)| of_a_port(rest)))
}

/// The text as a value of the kind that the setting's default has.
fn from_text(text: &str, kind: &Value) -> Value {
    let read = || text.parse::<Value>().unwrap_or_else(|never| match never {});
    match kind {
        Value::String(..) | Value::Char(..) => Value::from(text),
        Value::Array(..) if !text.trim_start().starts_with('[') => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into()
        }
        _ => read(),
    }
}

fn from_flags(flags: &Flags, faults: &mut Vec<ConfigFault>) -> Layer {
    let mut layer = Layer { origin: Origin::Flags, values: Dict::new() };
    if let Some(dir) = &flags.data_dir {
        match dir.to_str() {
            Some(dir) => layer.put("data", "dir", dir.into()),
            None => faults.push(ConfigFault {
                setting: "data.dir".to_owned(),
                reason: "the value is not UTF-8".to_owned(),
                source: Some(format!("--{}", flag(&["data"]))),
            }),
        }
    }
    if let Some(url) = &flags.database_url {
        layer.put("database", "url", url.expose_secret().into());
    }
    if let Some(listen) = flags.listen {
        layer.put("server", "listen", listen.to_string().into());
    }
    if let Some(format) = flags.log_format.map(LogFormat::as_str) {
        layer.put("log", "format", format.into());
    }
    layer
}

/// Every setting there is, each with its default.
struct Known(BTreeMap<String, Value>);

impl Known {
    fn new() -> Self {
        let defaults = Value::serialize(Config::default()).expect("the defaults are plain values");
        let sections = defaults.into_dict().unwrap_or_default().into_iter();
        let settings = sections.flat_map(|(section, fields)| {
            let fields = fields.into_dict().unwrap_or_default().into_iter();
            fields.map(move |(field, value)| (format!("{section}.{field}"), value))
        });
        Self(settings.collect())
    }

    fn by_variable(&self, name: &str) -> Option<(&str, &Value)> {
        let named = |setting: &str| variable(&setting.split('.').collect::<Vec<_>>()) == name;
        self.0.iter().find(|(setting, _)| named(setting)).map(|(setting, value)| (setting.as_str(), value))
    }

    fn unknown_variable(&self, name: &str) -> String {
        let asked = name.trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
        match self.nearest(&asked) {
            Some(setting) => {
                let variable = variable(&setting.split('.').collect::<Vec<_>>());
                format!("there is no setting of this name; did you mean {variable}?")
            }
            None => "there is no setting of this name".to_owned(),
        }
    }

    /// The setting or section that was most likely meant.
    fn nearest(&self, asked: &str) -> Option<&str> {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let likeness = |known: &str| {
            let field = if last(known) == last(asked) { 0.9 } else { 0.0 };
            strsim::normalized_damerau_levenshtein(known, asked).max(field)
        };
        let sections = self.0.keys().filter_map(|setting| setting.split('.').next());
        sections
            .chain(self.0.keys().map(String::as_str))
            .map(|known| (likeness(known), known))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, known)| known)
    }

    /// What is wrong, without the value: it might be a secret that was put in the wrong place.
    fn reason(&self, kind: &Kind, setting: &str) -> String {
        match kind {
            Kind::UnknownField(..) => match self.nearest(setting) {
                Some(known) => format!("there is no setting of this name; did you mean {known}?"),
                None => "there is no setting of this name".to_owned(),
            },
            Kind::UnknownVariant(_, words) => format!("must be one of {}", words.join(", ")),
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
                format!("must be {}", in_words(expected))
            }
            Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "the number is out of range".to_owned(),
            Kind::Message(message) => message.clone(),
            _ => "the value cannot be read".to_owned(),
        }
    }
}

fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a string" | "string" => "a text",
        other if other.starts_with("struct ") => "a table of settings",
        other => other,
    }
}
