//! Dovecot's administration over HTTP: what is asked of it and what its answers mean.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::model::connector::Fault;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Commands in one call.
const BATCH: usize = 50;
/// How often, and how long apart, it is looked whether sessions that were told to end have ended.
const LOOKS: u32 = 60;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// doveadm's exit codes (sysexits), the ones with a meaning of their own.
const NO_SUCH_USER: i64 = 67;
const NOT_FOUND: i64 = 68;
const NO_PERMISSION: i64 = 77;

/// A client for any Dovecot, made once.
pub fn client() -> Result<Client, reqwest::Error> {
    // The key must not follow a redirect or pass through a proxy of the surroundings.
    Client::builder().timeout(PATIENCE).redirect(Policy::none()).no_proxy().build()
}

/// One Dovecot's administration.
pub struct Doveadm {
    pub client: Client,
    pub url: Url,
    pub key: SecretString,
}

/// What one command came to.
#[derive(Debug)]
enum Outcome {
    Done(Value),
    Exit(i64),
}

/// What a mailbox holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    pub storage_kb: i64,
    pub messages: i64,
}

impl Doveadm {
    /// Asks something that changes nothing.
    pub async fn test(&self) -> Result<(), Fault> {
        self.one("who", json!({ "mask": ["*@tenantry.invalid"] })).await.map(drop)
    }

    /// Ends all sessions of the users that the masks fit, and returns once they have ended.
    pub async fn end_sessions(&self, masks: &[String]) -> Result<(), Fault> {
        let mut open: Vec<&String> = masks.iter().collect();
        for _ in 0..LOOKS {
            let mut still = Vec::new();
            for masks in open.chunks(BATCH) {
                let commands: Vec<_> = masks.iter().map(|mask| ("kick", json!({ "mask": [mask] }))).collect();
                for (mask, outcome) in masks.iter().zip(self.call(&commands).await?) {
                    match outcome {
                        Outcome::Exit(NOT_FOUND) => {}
                        Outcome::Done(_) => still.push(*mask),
                        Outcome::Exit(code) => return Err(exit("kick", code)),
                    }
                }
            }
            if still.is_empty() {
                return Ok(());
            }
            open = still;
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(Fault::unavailable("Dovecot's sessions were told to end and did not"))
    }

    /// How much mail the user has; none if Dovecot has no such user.
    pub async fn usage(&self, user: &str) -> Result<Option<Usage>, Fault> {
        let roots = match self.one("quotaGet", json!({ "user": user })).await? {
            Outcome::Done(roots) => roots,
            Outcome::Exit(NO_SUCH_USER) => return Ok(None),
            Outcome::Exit(code) => return Err(exit("quotaGet", code)),
        };
        let of = |kind: &str| {
            let root = roots.as_array()?.iter().find(|root| root["type"] == kind)?;
            root["value"].as_str()?.parse().ok()
        };
        match (of("STORAGE"), of("MESSAGE")) {
            (Some(storage_kb), Some(messages)) => Ok(Some(Usage { storage_kb, messages })),
            _ => Err(Fault::Denied("Dovecot counts no quota; its plugin `quota` is needed".into())),
        }
    }

    /// The folder with all that Dovecot keeps for the user; none if it has no such user.
    pub async fn home(&self, user: &str) -> Result<Option<String>, Fault> {
        match self.one("user", json!({ "userMask": [user], "field": "home" })).await? {
            Outcome::Done(found) => match found[user]["home"].as_str() {
                Some(home) => Ok(Some(home.to_owned())),
                None => Err(Fault::Denied(format!("Dovecot has no home for {user}"))),
            },
            Outcome::Exit(NO_SUCH_USER) => Ok(None),
            Outcome::Exit(code) => Err(exit("user", code)),
        }
    }

    /// Deletes the folder with all that is in it, and returns once nothing of it is left.
    pub async fn delete_folder(&self, folder: &str) -> Result<(), Fault> {
        let fs = |path: Value| json!({ "fsDriver": "posix", "fsArgs": "", "path": path });
        let mut whole = fs(json!([format!("{folder}/")]));
        whole["recursive"] = json!(true);
        match self.one("fsDelete", whole).await? {
            Outcome::Done(_) | Outcome::Exit(NOT_FOUND) => {}
            Outcome::Exit(code) => return Err(exit("fsDelete", code)),
        }
        // That left the folders, empty. They are found from above and deleted from below.
        let mut folders = Vec::new();
        let mut level = vec![folder.to_owned()];
        while !level.is_empty() {
            let mut below = Vec::new();
            for some in level.chunks(BATCH) {
                let commands: Vec<_> = some.iter().map(|path| ("fsIterDirs", fs(json!(path)))).collect();
                for (path, outcome) in some.iter().zip(self.call(&commands).await?) {
                    match outcome {
                        Outcome::Done(found) => {
                            let names = found.as_array().into_iter().flatten();
                            below.extend(
                                names.filter_map(|name| Some(format!("{path}/{}", name["path"].as_str()?))),
                            );
                        }
                        Outcome::Exit(NOT_FOUND) => {}
                        Outcome::Exit(code) => return Err(exit("fsIterDirs", code)),
                    }
                }
            }
            folders.append(&mut level);
            level = below;
        }
        folders.reverse();
        for some in folders.chunks(BATCH) {
            let commands: Vec<_> = some.iter().map(|path| ("fsDelete", fs(json!([path])))).collect();
            for outcome in self.call(&commands).await? {
                match outcome {
                    Outcome::Done(_) | Outcome::Exit(NOT_FOUND) => {}
                    Outcome::Exit(code) => return Err(exit("fsDelete", code)),
                }
            }
        }
        Ok(())
    }

    async fn one(&self, command: &str, parameters: Value) -> Result<Outcome, Fault> {
        let mut outcomes = self.call(&[(command, parameters)]).await?;
        outcomes.pop().ok_or_else(|| Fault::unavailable("doveadm did not answer the command"))
    }

    /// Runs the commands in their order: one outcome for each.
    async fn call(&self, commands: &[(&str, Value)]) -> Result<Vec<Outcome>, Fault> {
        let asked: Vec<Value> = commands
            .iter()
            .enumerate()
            .map(|(at, (command, parameters))| json!([command, parameters, at.to_string()]))
            .collect();
        let key = STANDARD.encode(self.key.expose_secret());
        let mut authorization = HeaderValue::try_from(format!("X-Dovecot-API {key}"))
            .map_err(|_| Fault::Denied("doveadm's API key cannot be sent".into()))?;
        authorization.set_sensitive(true);
        let answer = self
            .client
            .post(self.url.clone())
            .header(AUTHORIZATION, authorization)
            .json(&asked)
            .send()
            .await
            .map_err(lost)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Fault::Denied("doveadm refuses the API key".into()));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Fault::unavailable(format!("doveadm answers {status}")));
            }
            status => return Err(Fault::Denied(format!("doveadm_url leads to an answer {status}"))),
        }
        let answers: Vec<(String, Value, String)> = answer.json().await.map_err(lost)?;
        outcomes(answers, commands)
    }
}

fn outcomes(answers: Vec<(String, Value, String)>, asked: &[(&str, Value)]) -> Result<Vec<Outcome>, Fault> {
    let in_order = answers.iter().enumerate().all(|(at, answer)| answer.2 == at.to_string());
    if answers.len() != asked.len() || !in_order {
        return Err(Fault::unavailable("doveadm did not answer every command"));
    }
    answers
        .into_iter()
        .zip(asked)
        .map(|((kind, body, _), (command, _))| match (kind.as_str(), body["type"].as_str()) {
            ("doveadmResponse", _) => Ok(Outcome::Done(body)),
            ("error", Some("exitCode")) => Ok(Outcome::Exit(body["exitCode"].as_i64().unwrap_or_default())),
            ("error", Some("unknownMethod")) => {
                Err(Fault::Denied(format!("this Dovecot has no command {command}")))
            }
            _ => Err(Fault::unavailable(format!("doveadm could not run {command}"))),
        })
        .collect()
}

fn exit(command: &str, code: i64) -> Fault {
    let told = format!("doveadm {command} ended with code {code}; Dovecot's log says why");
    if code == NO_PERMISSION { Fault::Denied(told) } else { Fault::unavailable(told) }
}

fn lost(error: reqwest::Error) -> Fault {
    let what = if error.is_timeout() {
        "doveadm did not answer within 10 seconds"
    } else if error.is_connect() {
        "doveadm cannot be reached"
    } else {
        "doveadm's answer was lost"
    };
    Fault::unavailable(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: Value) -> Result<Vec<Outcome>, Fault> {
        outcomes(serde_json::from_value(answer).unwrap(), &[("kick", json!({}))])
    }

    #[test]
    fn an_error_inside_an_answer_200_is_told_by_its_exit_code() {
        let gone = read(json!([["error", {"type": "exitCode", "exitCode": 68}, "0"]])).unwrap();
        assert!(matches!(gone[..], [Outcome::Exit(NOT_FOUND)]), "{gone:?}");
        let done = read(json!([["doveadmResponse", [], "0"]])).unwrap();
        assert!(matches!(done[..], [Outcome::Done(_)]), "{done:?}");
    }

    #[test]
    fn an_unknown_command_is_denied_and_a_missing_answer_may_come_later() {
        let unknown = read(json!([["error", {"type": "unknownMethod", "exitCode": 0}, "0"]]));
        assert!(matches!(unknown, Err(Fault::Denied(_))), "{unknown:?}");
        let missing = read(json!([]));
        assert!(matches!(missing, Err(Fault::Unavailable { .. })), "{missing:?}");
        let swapped = read(json!([["doveadmResponse", [], "7"]]));
        assert!(matches!(swapped, Err(Fault::Unavailable { .. })), "{swapped:?}");
    }
}
