//! The story of `tenantry demo`, told by the built program.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tenantry-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program as a newcomer starts it, except that temporary folders are made in `temporary`. Settings that point
/// elsewhere are there to be left alone.
fn demo(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary)
        .env("TENANTRY_DATABASE__URL", "postgres://nobody@127.0.0.1:1/production")
        .env("TENANTRY_CONFIG", "/nowhere/tenantry.toml");
    command
}

fn told(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    assert!(out.contains("All came as told"), "{out}");
    out.into_owned()
}

#[test]
fn the_story_is_told_and_leaves_nothing_behind() {
    let folder = Folder::new("told");
    let output = demo(&folder.0, &["--exit", "--listen", "127.0.0.1:0"]).output().unwrap();
    let story = told(&output);
    for sentence in [
        "[ 1/37]",
        "[37/37]",
        "export CRM_KEY=tnk_live_",
        "-H \"Authorization: Bearer $CRM_KEY\"",
        "Idempotency-Replayed: true",
        "409 Conflict",
        "\"code\": \"quota_exceeded\"",
        "\"title\": \"Raise the quantity from 2 to 3\"",
        "10 mx.hosting.example.",
        "nologin=y reason=Account_suspended",
        "\"reason_code\": \"abuse.spam\", \"placed_by_role\": \"operator\"",
        "\"pointer\": \"/items/0/quantitty\"",
        "\"code\": \"account_not_found\"",
        "service.suspended",
        "webhook-signature: v1,",
    ] {
        assert!(story.contains(sentence), "{sentence:?} is not in\n{story}");
    }
    assert!(!story.contains('\x1b'), "colours are for terminals");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing was wrong on the way");
    assert!(folder.is_empty());
}

#[test]
fn in_a_kept_folder_the_story_can_be_told_again_although_the_port_is_taken() {
    let folder = Folder::new("again");
    let data = folder.0.join("data");
    // Whoever holds it, it is taken.
    let _held = TcpListener::bind("127.0.0.1:8080");
    let tell = || demo(&folder.0, &["--exit", "--data", data.to_str().unwrap()]).output().unwrap();
    let first = told(&tell());
    assert!(first.contains("127.0.0.1:8080 is taken by another program"), "{first}");
    let second = told(&tell());
    assert!(second.contains("alice@acme-2.example") && !first.contains("acme-2"), "{second}");
    for domain in ["acme.example", "acme-2.example"] {
        assert!(data.join("hosting/dns/zones").join(format!("{domain}.zone")).exists(), "{domain}");
    }
    assert!(std::fs::read_to_string(data.join("tenantry.toml")).unwrap().contains("allow_hosts"));
}

#[test]
fn after_the_story_the_server_stays_up_until_it_is_told_to_stop() {
    let folder = Folder::new("stays");
    let mut child = demo(&folder.0, &["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let docs = lines.find(|line| line.contains("/docs (needs no network)")).expect("the end of the story");
    let address = docs.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let answer = std::net::TcpStream::connect(address).and_then(|mut stream| {
        use std::io::{Read, Write};
        let mut text = String::new();
        write!(stream, "GET /docs HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut text).map(|_| text)
    });
    assert!(answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200")), "{answer:?}");
    assert!(!folder.is_empty());
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert!(lines.any(|line| line == "Stopped."));
    assert!(child.wait().unwrap().success());
    assert!(folder.is_empty());
}

#[test]
fn what_the_demo_cannot_do_is_said_before_it_begins() {
    let folder = Folder::new("refused");
    for (arguments, reason) in [
        (["--database-url", "postgres://localhost/x"], "leave --database-url out"),
        (["--listen", "0.0.0.0:0"], "server.listen"),
    ] {
        let output = demo(&folder.0, &[&arguments[..], &["--exit"]].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        assert!(folder.is_empty(), "nothing is left behind");
    }
}
