//! What may know what: the direction between the rooms of `src`, and what belongs into one room only.

use std::path::{Path, PathBuf};

/// Each room and the other rooms that it may name. A room that is not here may name every other one.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("store", &["model"]),
    ("domain", &["model", "store"]),
    ("connectors", &["model"]),
    ("access", &["model", "store"]),
    ("engine", &["access", "clock", "domain", "model", "store", "telemetry"]),
    ("delivery", &["access", "clock", "domain", "model", "store", "telemetry"]),
    (
        "api",
        &["access", "clock", "config", "delivery", "domain", "limits", "model", "store", "telemetry", "wire"],
    ),
    ("bulk", &["access", "api", "domain", "model", "store"]),
    ("admin", &["telemetry"]),
    ("wire", &["config"]),
    ("limits", &["model"]),
    ("cli", &["config", "model"]),
    ("clock", &["model"]),
    ("config", &["cli", "model"]),
    ("folder", &["model"]),
    ("telemetry", &["clock", "config", "model"]),
    ("demo", &["cli", "clock", "config", "folder", "model", "program", "telemetry"]),
];
/// What the API uses of the delivery: the rules for addresses and headers, and how an endpoint's secrets are made and sealed.
const API_USES_OF_DELIVERY: [&str; 4] = [
    "crate::delivery::guard",
    "crate::delivery::headers",
    "crate::delivery::secrets",
    "crate::delivery::sign",
];
const ALL: &[&str] = &["program", "main", "lib"];
const LONGEST: usize = 500;
/// The check of the role that serves reads the database's own catalogue, once, at the start.
const SQL_BESIDE_STORE: [&str; 1] = ["src/program/open.rs"];

struct File {
    path: String,
    text: String,
}

impl File {
    fn room(&self) -> &str {
        let inside = self.path.trim_start_matches("src/");
        inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The lines of code, without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//"))
    }
}

fn files() -> Vec<File> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    assert!(found.len() > 100);
    let read = |path: PathBuf| File {
        text: std::fs::read_to_string(&path).expect("sources are text"),
        path: path.strip_prefix(root).expect("it is in the repository").display().to_string(),
    };
    found.into_iter().map(read).collect()
}

/// The rooms that a line of code names, those of a list in braces too.
fn named(line: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && depth == 0 && c.is_alphabetic() => {
                            start = false;
                            rooms.push(first_word(&list[at..]));
                        }
                        _ => {}
                    }
                }
            }
            None => rooms.push(first_word(rest)),
        }
    }
    rooms
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// What a file names although it may not.
fn trespasses(file: &File) -> Vec<String> {
    let room = file.room();
    let Some((_, may)) = MAY_NAME.iter().find(|(known, _)| *known == room) else {
        assert!(
            ALL.contains(&room),
            "{}: a room without a rule; say in tests/layers.rs what it may name",
            file.path
        );
        return Vec::new();
    };
    let rooms: Vec<_> = MAY_NAME.iter().map(|(room, _)| *room).chain(ALL.iter().copied()).collect();
    let mut found = Vec::new();
    for line in file.code() {
        for other in named(line).into_iter().filter(|other| rooms.contains(other) && *other != room) {
            let narrow = room == "api" && other == "delivery";
            let allowed = may.contains(&other)
                && (!narrow || API_USES_OF_DELIVERY.iter().any(|use_| line.contains(use_)));
            if !allowed {
                found.push(format!("{}: {room} names {other}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

/// Lines with SQL in a literal.
fn sql(file: &File) -> Vec<String> {
    let keyword = |line: &str| {
        let literal = line.split('"').skip(1).collect::<String>();
        let text = if line.contains('"') { literal.as_str() } else { line.trim_start() };
        ["SELECT ", "INSERT INTO ", "DELETE FROM "].iter().any(|word| text.contains(word))
            || text.split_once("UPDATE ").is_some_and(|(_, rest)| rest.contains(" SET "))
    };
    file.code().filter(|line| keyword(line)).map(|line| format!("{}: {}", file.path, line.trim())).collect()
}

fn made_up(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}

#[test]
fn each_room_names_only_what_it_may() {
    let found: Vec<_> = files().iter().flat_map(trespasses).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_trespass_would_be_found() {
    for (path, line) in [
        ("src/model/text.rs", "use crate::store::Db;"),
        ("src/store/facts.rs", "    let x = crate::domain::digest(&1);"),
        ("src/domain/work.rs", "use crate::api::Problem;"),
        ("src/connectors/mod.rs", "pub use crate::{model::Time, store::{Db, Conn}};"),
        ("src/engine/job.rs", "use crate::api::State;"),
        ("src/api/wait.rs", "use crate::delivery::Delivery;"),
        ("src/api/wait.rs", "use crate::connectors::Connectors;"),
        ("src/demo/mod.rs", "use crate::store::Db;"),
    ] {
        assert_eq!(trespasses(&made_up(path, line)).len(), 1, "{path}: {line}");
    }
    for (path, line) in [
        ("src/store/facts.rs", "use crate::model::Time;"),
        ("src/api/wait.rs", "use crate::delivery::guard::Guard;"),
        ("src/model/text.rs", "//! Not for use crate::store::Db;"),
        ("src/store/engine.rs", "        $crate::store::engine::Sql {"),
        ("src/program/open.rs", "use crate::api::State;"),
    ] {
        assert!(trespasses(&made_up(path, line)).is_empty(), "{path}: {line}");
    }
}

#[test]
fn sql_is_written_in_the_store_and_in_connectors_only() {
    let elsewhere = |file: &&File| {
        !matches!(file.room(), "store" | "connectors") && !SQL_BESIDE_STORE.contains(&file.path.as_str())
    };
    let files = files();
    let found: Vec<_> = files.iter().filter(elsewhere).flat_map(sql).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(
        files.iter().filter(|file| file.room() == "store").flat_map(sql).count() > 50,
        "it is found where it is"
    );
    assert_eq!(sql(&made_up("src/api/x.rs", "let s = \"UPDATE accounts a SET name = $1\";")).len(), 1);
    assert!(sql(&made_up("src/api/x.rs", "let s = \"the update of a SET\";")).is_empty());
}

#[test]
fn no_file_holds_more_than_one_can_read_at_once() {
    for file in files() {
        let lines = file.text.lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines", file.path);
    }
}

#[test]
fn only_the_store_asks_which_engine_it_is_on() {
    for file in files().iter().filter(|file| !matches!(file.room(), "store" | "program" | "main")) {
        for line in file.code() {
            assert!(
                !line.contains("Db::Postgres") && !line.contains("Db::Sqlite"),
                "{}: {}",
                file.path,
                line.trim()
            );
        }
    }
}

/// The handlers that anybody may call, and so have no [`Caller`].
const FOR_ANYBODY: [&str; 1] = ["keys_report_leaked"];

/// AUTHZ-2: there is no way into a handler of the API but through a caller whose scope stands in its type, and it is the
/// scope that the document names.
#[test]
fn each_handler_has_a_caller_with_the_documented_scope() {
    let mut handlers = 0;
    for file in files().iter().filter(|file| file.path.starts_with("src/api/v1/")) {
        for part in file.text.split("#[utoipa::path(").skip(1) {
            let after = |mark: &str| part.split_once(mark).map(|(_, rest)| rest).unwrap_or_default();
            let signature = after("async fn ").split('{').next().unwrap_or_default();
            let name = signature.split('(').next().unwrap_or_default();
            handlers += 1;
            if FOR_ANYBODY.contains(&name) {
                continue;
            }
            let demanded = signature
                .split_once("Caller<need::")
                .map(|(_, rest)| rest.split('>').next().unwrap_or_default());
            let demanded = demanded.unwrap_or_else(|| panic!("{}: {name} takes no caller", file.path));
            let told = after("\"oauth2\" = [\"").split('"').next().unwrap_or_default();
            let scope: tenantry::model::scopes::Scope =
                told.parse().unwrap_or_else(|_| panic!("{name} tells {told:?}"));
            assert_eq!(format!("{scope:?}"), demanded, "{}: {name}", file.path);
        }
    }
    assert!(handlers > 60, "{handlers}");
}

/// IDEM-8: what a request with an `Idempotency-Key` was answered is remembered by the door alone; whatever else names the
/// records forgets old ones.
#[test]
fn only_the_door_remembers_what_was_answered() {
    let mut records = 0;
    for file in files().iter().filter(|file| file.path != "src/store/replies.rs") {
        for line in file.code() {
            let calls = ["begin(", "find(", "take_over(", "finish("].map(|name| format!("replies::{name}"));
            if calls.iter().any(|call| line.contains(call.as_str())) {
                assert_eq!(file.path, "src/api/door.rs", "{}", line.trim());
                records += 1;
            }
            assert!(!line.contains("INTO replies"), "{}: {}", file.path, line.trim());
        }
    }
    assert_eq!(records, 4, "the door has changed");
}

/// ISO-5: what is remembered between requests, by what, and why that is of one account only. A new cache has to be
/// thought about here.
const CACHES: [(&str, &str); 8] = [
    // What a row says, by its own key: API keys and storefronts' keys, each of which has one account.
    ("src/access/fresh.rs", "Cache<K, (Moment, V)>"),
    ("src/access/principals.rs", "Remembered<KeyId, Option<Arc<Credential>>>"),
    ("src/access/storefronts.rs", "Remembered<KeyId, Option<Arc<Storefront>>>"),
    // Whether the very token was revoked.
    ("src/access/revocations.rs", "Remembered<Arc<str>, bool>"),
    // With what the very account's own addresses are sealed.
    ("src/access/veils.rs", "Cache<AccountId, Key>"),
    // How often the very key failed from the very address.
    ("src/api/oauth/failures.rs", "Cache<Pair, Times>"),
    // The token itself, by its SHA-256, and what it says.
    ("src/api/state.rs", "Cache<[u8; 32], Arc<Claims>>"),
    // A server's database and credentials, by a SHA-256 over both: whoever has other ones has another pool.
    ("src/connectors/mail/mod.rs", "Cache<[u8; 32], Arc<Database>>"),
];

#[test]
fn each_cache_is_kept_by_what_belongs_to_one_account() {
    let mut found = 0;
    for file in files() {
        for line in file.code().filter(|line| line.contains("Cache<") || line.contains(": Remembered<")) {
            let known = CACHES.iter().any(|(path, kept)| *path == file.path && line.contains(kept));
            assert!(known, "{}: {}", file.path, line.trim());
            found += 1;
        }
    }
    assert_eq!(found, CACHES.len());
}
