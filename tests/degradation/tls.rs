//! TLS that the program ends itself, as clients find it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::tls::TlsInfo;
use reqwest::{Certificate, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output().unwrap();
    assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
}

/// An authority of our own, and what it signs.
struct Authority(PathBuf);

impl Authority {
    fn new(folder: &Path) -> Self {
        let (key, certificate) = (folder.join("ca.key"), folder.join("ca.pem"));
        let files = ["-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()];
        let what =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        openssl(&[&what[..], &["-subj", "/CN=authority"], &files].concat());
        Self(folder.to_owned())
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A certificate for this machine of that name, with a key of its own.
    fn sign(&self, name: &str) {
        let (key, asked, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let what = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let subject = format!("/CN={name}");
        let files = ["-subj", &subject, "-keyout", &self.file(&key), "-out", &self.file(&asked)];
        openssl(&[&what[..], &files].concat());
        std::fs::write(self.0.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &self.file(&asked),
            "-CA",
            &self.file("ca.pem"),
            "-CAkey",
            &self.file("ca.key"),
            "-CAcreateserial",
            "-extfile",
            &self.file("names"),
            "-out",
            &self.file(&certificate),
        ]);
    }

    /// Puts them where the program looks.
    fn install(&self, certificate: &str, key: &str) {
        std::fs::copy(self.0.join(format!("{certificate}.pem")), self.0.join("server.pem")).unwrap();
        std::fs::copy(self.0.join(format!("{key}.key")), self.0.join("server.key")).unwrap();
    }

    fn client(&self) -> Client {
        let root = Certificate::from_pem(&std::fs::read(self.0.join("ca.pem")).unwrap()).unwrap();
        Client::builder().tls_certs_only([root]).tls_info(true).no_proxy().build().unwrap()
    }

    /// Whether a client that speaks only this version comes through, and what it says of it.
    fn speaks(&self, to: SocketAddr, version: &str) -> (bool, String) {
        let (to, authority) = (to.to_string(), self.file("ca.pem"));
        // Old versions are offered only at level 0.
        let arguments = [
            "s_client",
            "-connect",
            &to,
            version,
            "-CAfile",
            &authority,
            "-verify_return_error",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ];
        let asked = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().unwrap();
        (asked.status.success(), String::from_utf8_lossy(&asked.stdout).into_owned())
    }
}

/// Asks something and says under which certificate it was answered.
async fn shown(client: &Client, address: SocketAddr) -> Vec<u8> {
    let answer = client.get(format!("https://{address}/v1/openapi.json")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    let certificate = answer.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec();
    answer.bytes().await.unwrap();
    certificate
}

/// CFG-3, CFG-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_ended_with_certificates_that_are_read_again_when_asked() {
    let installation = Installation::new();
    let authority = Authority::new(&installation.folder);
    for name in ["first", "second"] {
        authority.sign(name);
    }
    authority.install("first", "first");
    let installation = installation
        .with("SERVER__TLS_CERTIFICATE", authority.file("server.pem"))
        .with("SERVER__TLS_KEY", authority.file("server.key"));
    let checked = String::from_utf8(installation.run(&["config", "check"]).stdout).unwrap();
    assert!(
        checked.contains(&authority.file("server.pem")) && checked.contains(&authority.file("server.key")),
        "{checked}"
    );
    let key = installation.key();
    let served = installation.serve().await;
    let listen = installation.listen;

    for (version, taken) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false), ("-tls1", false)] {
        let (comes_through, said) = authority.speaks(listen, version);
        assert_eq!(comes_through, taken, "{version}: {said}");
    }
    let kept = authority.client();
    let me = kept.get(format!("https://{listen}/v1/me")).bearer_auth(&key).send().await.unwrap();
    assert_eq!(me.status(), 200);
    let metadata =
        kept.get(format!("https://{listen}/.well-known/oauth-authorization-server")).send().await.unwrap();
    let metadata: Value = metadata.json().await.unwrap();
    assert_eq!(metadata["issuer"], format!("https://{listen}"));

    // In clear nothing is answered, and nobody is sent to ask again.
    for asked in ["GET /v1/me HTTP/1.1\r\nHost: here\r\n\r\n", "POST /oauth/token HTTP/1.0\r\n\r\n"] {
        let (mut stream, mut told) = (TcpStream::connect(listen).await.unwrap(), Vec::new());
        stream.write_all(asked.as_bytes()).await.unwrap();
        let _ = tokio::time::timeout(LONGEST, stream.read_to_end(&mut told)).await.expect("it stays open");
        assert!(!String::from_utf8_lossy(&told).contains("HTTP"), "{told:?}");
    }
    // Nor is a handshake waited for that does not come.
    let mut silent = TcpStream::connect(listen).await.unwrap();
    silent.write_all(&[22]).await.unwrap();
    let end = tokio::time::timeout(LONGEST, silent.read(&mut [0; 16])).await.expect("it stays open");
    assert!(matches!(end, Ok(0) | Err(_)));

    let first = shown(&kept, listen).await;
    let failed = |text: &str| installation.said().matches(text).count();
    authority.install("second", "second");
    served.send("-HUP");
    until("they are read again", async || failed("were read again") == 1).await;
    let second = shown(&authority.client(), listen).await;
    assert_ne!(first, second, "who comes is shown the new one");
    assert_eq!(shown(&kept, listen).await, first, "who was there stays connected");

    let mut times = 0;
    let mut broken = async |what: &str| {
        times += 1;
        served.send("-HUP");
        until(what, async || failed("cannot be used; those from before stay") == times).await;
        assert_eq!(shown(&authority.client(), listen).await, second, "{what}");
    };
    authority.install("first", "second");
    broken("a key to another certificate").await;
    std::fs::File::create(authority.file("server.pem")).unwrap().write_all(b"nonsense").unwrap();
    broken("no certificate").await;
    std::fs::remove_file(authority.file("server.key")).unwrap();
    broken("no key").await;
    assert_eq!(shown(&kept, listen).await, first);
    served.kill();

    let refused = installation.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), said.lines().count()), (Some(78), 1), "{said}");
    assert!(said.contains("server.tls_certificate"), "{said}");
    installation.remove();
}
