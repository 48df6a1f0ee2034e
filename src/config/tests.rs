use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::model::ids::RequestId;

const KEK: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn file(text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{}.toml", RequestId::new()));
    std::fs::write(&path, text).unwrap();
    path
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<ConfigFault>> {
    let flags = Flags { config: Some(file(text)), ..Flags::default() };
    load_with(&flags, environment)
}

fn load_with(flags: &Flags, environment: &[(&str, &str)]) -> Result<Config, Vec<ConfigFault>> {
    Config::from_sources(flags, environment.iter().map(|(name, value)| (name.into(), value.into())))
}

/// The names at fault, each with its line.
fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<(String, String)> {
    let faults = load(text, environment).expect_err("the settings have a fault");
    faults.into_iter().map(|fault| (fault.setting.clone(), fault.to_string())).collect()
}

#[test]
fn settings_that_are_left_out_have_their_defaults() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.server.public_url, "http://127.0.0.1:8080");
    assert_eq!(config.server.admin_listen, Some("127.0.0.1:8081".parse().unwrap()));
    assert!(config.server.http_workers >= 1);
    assert_eq!(config.database.url.expose_secret(), "sqlite://./data/tenantry.db");
    assert!(config.database.auto_migrate() && config.database.is_sqlite());
    assert!(matches!(config.secrets.kek(), KekSource::FileOrNew(path) if path.ends_with("data/kek")));
    assert!(config.redis.url().is_none());
}

#[test]
fn the_documented_file_says_every_setting_and_its_default() {
    let documented: String = include_str!("../../docs/tenantry.toml")
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let keys = |text: &str| {
        let sections: toml::Table = text.parse().unwrap();
        let mut keys: Vec<String> = sections
            .iter()
            .flat_map(|(section, fields)| {
                fields.as_table().unwrap().keys().map(move |field| format!("{section}.{field}"))
            })
            .collect();
        keys.sort();
        keys
    };
    let defaults = load("", &[]).unwrap().render_redacted();
    assert_eq!(load(&documented, &[]).unwrap().render_redacted(), defaults);
    assert_eq!(keys(&documented), keys(&defaults));
}

#[test]
fn the_environment_wins_over_the_file_and_flags_win_over_both() {
    let text = "[server]\nlisten = '127.0.0.1:1'\nadmin_listen = '127.0.0.1:11'\ndrain_delay_seconds = 1\n";
    let environment = [
        ("TENANTRY_SERVER__LISTEN", "127.0.0.1:2"),
        ("TENANTRY_SERVER__ADMIN_LISTEN", ""),
        ("TENANTRY_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
        ("TENANTRY_DATABASE__AUTO_MIGRATE", "false"),
        ("TENANTRY_CONFIG", "elsewhere.toml"),
        ("PATH", "/bin"),
    ];
    let flags = Flags {
        config: Some(file(text)),
        listen: Some("127.0.0.1:3".parse().unwrap()),
        data_dir: Some("/srv/50% ?".into()),
        log_format: Some(LogFormat::Json),
        ..Flags::default()
    };
    let config = load_with(&flags, &environment).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:3".parse().unwrap());
    assert_eq!(config.server.admin_listen, None);
    assert_eq!(config.server.drain_delay_seconds, 1);
    assert!(config.render_redacted().contains(r#"trusted_proxies = ["10.0.0.0/8", "192.0.2.7/32"]"#));
    assert!(!config.database.auto_migrate());
    assert_eq!(config.database.url.expose_secret(), "sqlite:///srv/50%25 %3F/tenantry.db");
    assert_eq!(config.log.format, LogFormat::Json);
}

/// CFG-1
#[test]
fn each_fault_in_the_file_is_named() {
    let table = [
        ("[server]\nlisten = '0.0.0.0:80'\npublic_url = 'https://a.example'", "server.listen"),
        ("[server]\nlisten = '[::]:80'\npublic_url = 'https://a.example'", "server.listen"),
        ("[server]\nlisten = '0.0.0.0:80'\nbehind_tls_proxy = true", "server.public_url"),
        ("[server]\nlisten = 'localhost'", "server.listen"),
        ("[server]\nadmin_listen = '127.0.0.1:8080'", "server.admin_listen"),
        ("[server]\nadmin_listen = 'here'", "server.admin_listen"),
        ("[server]\npublic_url = 'http://api.example'", "server.public_url"),
        ("[server]\npublic_url = 'http://127.0.0.1.example'", "server.public_url"),
        ("[server]\npublic_url = 'https://a.example/'", "server.public_url"),
        ("[server]\npublic_url = 'https://u:p@a.example'", "server.public_url"),
        ("[server]\npublic_url = 'ftp://localhost'", "server.public_url"),
        ("[server]\npublic_url = 'api'", "server.public_url"),
        ("[server]\ntls_certificate = '/c.pem'", "server.tls_key"),
        ("[server]\ntls_key = '/k.pem'", "server.tls_key"),
        (
            "[server]\nbehind_tls_proxy = true\ntls_certificate = '/c'\ntls_key = '/k'",
            "server.behind_tls_proxy",
        ),
        ("[server]\ntrusted_proxies = ['10.0.0.0/8', 'proxy']", "server.trusted_proxies"),
        ("[server]\ntrusted_proxies = [5]", "server.trusted_proxies.0"),
        ("[server]\nbehind_tls_proxy = 'yes'", "server.behind_tls_proxy"),
        ("[server]\nhttp_workers = -1", "server.http_workers"),
        ("[server]\ndrain_delay_seconds = 61", "server.drain_delay_seconds"),
        ("[server]\nmax_connections = 0", "server.max_connections"),
        ("[server]\nlissten = ''", "server.lissten"),
        ("server = 5", "server"),
        ("listen = ''", "listen"),
        ("[database]\nurl = 'mysql://db/x'", "database.url"),
        ("[database]\nmigrate_url = 'postgres://db/x'", "database.migrate_url"),
        ("[database]\nurl = 'postgres://db/x'\nmigrate_url = 'sqlite:x'", "database.migrate_url"),
        ("[database]\nmax_connections = 0", "database.max_connections"),
        ("[redis]\nurl = 'http://cache'", "redis.url"),
        ("[secrets]\nkek = 'c2hvcnQ='", "secrets.kek"),
        ("[secrets]\nkek = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY= c2hvcnQ='", "secrets.kek"),
        ("[secrets]\nkek = 'not base64 at all, but longer than 32 bytes'", "secrets.kek"),
        ("[secrets]\nkek_file = '/nowhere/kek'", "secrets.kek_file"),
        ("[secrets]\nkek_file = '/dev/null'", "secrets.kek_file"),
        ("[worker]\nslots = 0", "worker.slots"),
        ("[worker]\npoll_milliseconds = 1", "worker.poll_milliseconds"),
        ("[worker]\nlease_seconds = 1", "worker.lease_seconds"),
        ("[webhooks]\nallow_hosts = ['hooks.internal']", "webhooks.allow_hosts"),
        ("[webhooks]\nallow_http = 1", "webhooks.allow_http"),
        ("[webhooks]\nblock_networks = ['203.0.113.0/33']", "webhooks.block_networks"),
        ("[log]\nformat = 'xml'", "log.format"),
        ("[log]\nfilter = 'a=b=c'", "log.filter"),
        ("[tokens]\nlifetime_seconds = 3601", "tokens.lifetime_seconds"),
        ("[tokens]\nidempotency_retention_hours = 23", "tokens.idempotency_retention_hours"),
        ("[tokens]\nidempotency_retention_hours = 721", "tokens.idempotency_retention_hours"),
    ];
    for (text, setting) in table {
        let found = faults(text, &[]);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [setting], "{text}");
        assert!(found[0].1.contains(setting) && !found[0].1.contains('\n'), "{}", found[0].1);
    }
}

/// CFG-1, CFG-3: an address that is open to the network may be listened on where TLS is ended.
#[test]
fn with_a_certificate_an_open_address_may_be_listened_on() {
    let text = "[server]\nlisten = '0.0.0.0:443'\npublic_url = 'https://a.example'\ntls_certificate = '/c'\ntls_key = '/k'";
    assert!(load(text, &[]).unwrap().server.tls().is_some());
    assert_eq!(faults(&text.replace("https", "http"), &[])[0].0, "server.public_url");
}

/// CFG-1
#[test]
fn all_faults_are_told_at_once_each_with_where_it_was_given() {
    let text = "[server]\nlissten = 1\nlisten = 5\nmax_connections = 'many'\n[worker]\nslots = 0\n[jobs]\n";
    let environment = [
        ("TENANTRY_SERVER__MAX_CONNECTIONS", "12"),
        ("TENANTRY_LOG__FORMAT", "xml"),
        ("TENANTRY_WORKER__LEASE_SECONDS", "1"),
        ("TENANTRY_SERVER__LISEN", "x"),
    ];
    let found: Vec<String> = faults(text, &environment).into_iter().map(|(_, line)| line).collect();
    let expected = [
        ("TENANTRY_SERVER__LISEN: ", "did you mean TENANTRY_SERVER__LISTEN?"),
        (".toml: server.lissten: ", "did you mean server.listen?"),
        (".toml: server.listen: ", "must be"),
        (".toml: server.max_connections: ", "must be a whole number"),
        (".toml: jobs: ", "there is no setting of this name"),
        ("TENANTRY_LOG__FORMAT: log.format: ", "must be one of auto, text, json"),
        (".toml: worker.slots: ", "must be from 1 to 256"),
        ("TENANTRY_WORKER__LEASE_SECONDS: worker.lease_seconds: ", "must be from 5 to 600"),
    ];
    for (start, reason) in expected {
        assert!(
            found.iter().any(|line| line.contains(start) && line.contains(reason)),
            "{start} in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn unknown_variables_are_refused_by_name() {
    let table = [
        ("TENANTRY_SERVER__LISTN", "did you mean TENANTRY_SERVER__LISTEN?"),
        ("TENANTRY_SERVER_LISTEN", "did you mean TENANTRY_SERVER__LISTEN?"),
        ("TENANTRY_LISTEN", "did you mean TENANTRY_SERVER__LISTEN?"),
        ("TENANTRY_DATABASE_URL", "did you mean TENANTRY_DATABASE__URL?"),
        ("TENANTRY_QQQQQQ", "there is no setting of this name"),
        ("TENANTRY_server__listen", "did you mean TENANTRY_SERVER__LISTEN?"),
    ];
    for (name, reason) in table {
        let found = faults("", &[(name, "127.0.0.1:80")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].1.starts_with(name) && found[0].1.contains(reason), "{}", found[0].1);
    }
}

#[test]
fn a_cluster_with_a_service_called_tenantry_does_not_stop_the_start() {
    let made = [
        ("TENANTRY_SERVICE_HOST", "10.96.0.7"),
        ("TENANTRY_SERVICE_PORT", "8080"),
        ("TENANTRY_SERVICE_PORT_HTTP", "8080"),
        ("TENANTRY_PORT", "tcp://10.96.0.7:8080"),
        ("TENANTRY_PORT_8080_TCP", "tcp://10.96.0.7:8080"),
        ("TENANTRY_PORT_8080_TCP_ADDR", "10.96.0.7"),
        ("TENANTRY_ADMIN_SERVICE_HOST", "10.96.0.8"),
    ];
    assert_eq!(faults("", &made).len(), made.len());
    let in_cluster: Vec<_> = made.into_iter().chain([("KUBERNETES_SERVICE_HOST", "10.96.0.1")]).collect();
    assert!(load("", &in_cluster).is_ok());
    let slip: Vec<_> = in_cluster.into_iter().chain([("TENANTRY_SERVER_LISTEN", "x")]).collect();
    assert_eq!(faults("", &slip).len(), 1);
}

#[test]
fn a_file_that_is_named_must_be_there_and_be_toml() {
    let flags = Flags { config: Some("/nowhere/tenantry.toml".into()), ..Flags::default() };
    let missing = load_with(&flags, &[]).unwrap_err();
    assert!(missing[0].to_string().starts_with("/nowhere/tenantry.toml: the file cannot be read"));
    let broken = faults("[server]\n\nlisten = 'hunter2\n", &[]);
    assert!(
        broken[0].1.contains("line 3: this is not TOML") && !broken[0].1.contains("hunter2"),
        "{}",
        broken[0].1
    );
}

const SECRETS: [&str; 5] = ["hunter2-app", "hunter2-owner", "hunter2-cache", "hunter2-query", KEK];

#[test]
fn no_secret_is_shown_with_the_settings_in_effect() {
    let text = format!(
        "[database]\nurl = 'postgres://app:hunter2-app@db/x?password=hunter2-query'\n\
         migrate_url = 'postgres://owner:hunter2-owner@db/x'\n\
         [redis]\nurl = 'rediss://:hunter2-cache@cache:6380/1'\n[secrets]\nkek = '{KEK}'\n"
    );
    let config = load(&text, &[]).unwrap();
    assert!(matches!(config.secrets.kek(), KekSource::Given(kek) if holds_keks(kek.expose_secret())));
    assert!(!config.database.auto_migrate());
    let shown = config.render_redacted();
    for shown in [&shown, &format!("{config:?}")] {
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    assert!(shown.contains(r#"kek = "***""#) && shown.contains("app:***@db"), "{shown}");
}

#[test]
fn no_secret_is_shown_with_a_fault_even_if_it_stands_in_the_wrong_place() {
    let wrong = "postgres://app:hunter2-app@db/x";
    let all: toml::Table = load("", &[]).unwrap().render_redacted().parse().unwrap();
    let settings = all
        .iter()
        .flat_map(|(section, fields)| fields.as_table().unwrap().keys().map(move |field| (section, field)));
    for (section, field) in settings {
        let variable = format!("TENANTRY_{}__{}", section.to_uppercase(), field.to_uppercase());
        for value in [wrong, "hunter2-app", "[\"hunter2-app\"]", "{ a = \"hunter2-app\" }"] {
            let quoted = format!("[{section}]\n{field} = '''{value}'''");
            let bare = format!("[{section}]\n{field} = {value}");
            for outcome in [load("", &[(&variable, value)]), load(&quoted, &[]), load(&bare, &[])] {
                for fault in outcome.err().unwrap_or_default() {
                    assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault}");
                }
            }
        }
    }
}

#[test]
fn a_flag_that_is_wrong_is_named_as_a_flag() {
    let flags =
        Flags { database_url: Some(SecretString::from("db")), config: Some(file("")), ..Flags::default() };
    let found = load_with(&flags, &[]).unwrap_err();
    assert_eq!(found[0].to_string(), "--database-url: database.url: must begin with sqlite: or postgres://");
}

#[test]
fn classes_of_keys_are_names_with_units_each_once() {
    let class = |name: &str, units| (name.to_owned(), units);
    let config = load("[limits]\nkey_per_minute = 50", &[]).unwrap();
    let known = [class("standard", 50), class("bulk", 2000), class("high", 20_000)];
    assert_eq!(config.limits.key_classes(), known);
    let config = load("", &[("TENANTRY_LIMITS__CLASSES", "night_2=20")]).unwrap();
    assert_eq!(config.limits.key_classes(), [class("standard", 6000), class("night_2", 20)]);
    for wrong in [
        "bulk",
        "bulk=",
        "Bulk=100",
        "bulk=19",
        "bulk=2000000000",
        "=100",
        "bulk=100,bulk=200",
        "standard=100",
    ] {
        let found = faults("", &[("TENANTRY_LIMITS__CLASSES", wrong)]);
        assert_eq!(found.len(), 1, "{wrong}");
        assert_eq!(found[0].0, "limits.classes", "{wrong}");
    }
}

#[test]
fn a_redis_that_cannot_be_one_is_refused_and_none_is_shown() {
    for wrong in
        ["http://127.0.0.1", "redis://", "redis://host:port", "redis://:secret@host/zero", "localhost:6379"]
    {
        let found = faults("", &[("TENANTRY_REDIS__URL", wrong)]);
        assert_eq!(found.len(), 1, "{wrong}");
        assert!(found[0].0 == "redis.url" && !found[0].1.contains("secret"), "{found:?}");
    }
    let config = load("", &[("TENANTRY_REDIS__URL", "rediss://:hunter2@redis.internal:6380/2")]).unwrap();
    assert!(config.redis.url().is_some());
    let shown = config.render_redacted();
    assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
}
