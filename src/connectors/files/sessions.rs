//! The one thing that files cannot do: end a session that Dovecot has open. Its administration over HTTP
//! can, where a server's settings say how to reach it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::model::connector::{Fault, Target};

const PATIENCE: Duration = Duration::from_secs(10);
/// How often, and how long apart, it is looked whether sessions that were told to end have ended.
const LOOKS: u32 = 60;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// The exit code of a `kick` that found nobody.
const NOBODY: i64 = 68;

/// Where a Dovecot takes orders, and by which key.
pub(super) struct Sessions {
    url: Url,
    key: SecretString,
}

impl Sessions {
    /// None if the settings name no Dovecot; sessions then last until they end by themselves.
    pub fn of(target: &Target) -> Result<Option<Self>, Fault> {
        if !target.settings.contains_key("doveadm_url") {
            return Ok(None);
        }
        let url = Url::parse(target.text("doveadm_url")?)
            .map_err(|_| Fault::Denied("the server's setting `doveadm_url` is no URL".into()))?;
        let key = target.credentials.clone();
        let key =
            key.ok_or_else(|| Fault::Denied("the server has no credentials for `doveadm_url`".into()))?;
        Ok(Some(Self { url, key }))
    }

    /// Ends the sessions of the users that fit a mask, and returns once there are none.
    pub async fn end(&self, masks: &[String]) -> Result<(), Fault> {
        // The key must not follow a redirect or pass through a proxy of the surroundings.
        let client = Client::builder().timeout(PATIENCE).redirect(Policy::none()).no_proxy().build();
        let client = client.map_err(|error| Fault::Denied(format!("no HTTP client: {error}")))?;
        for mask in masks {
            let mut looks = 0;
            while self.kick(&client, mask).await? {
                looks += 1;
                if looks == LOOKS {
                    return Err(Fault::unavailable("Dovecot's sessions were told to end and did not"));
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        }
        Ok(())
    }

    /// Whether there was anybody to end the session of.
    async fn kick(&self, client: &Client, mask: &str) -> Result<bool, Fault> {
        let url = self.url.join("/doveadm/v1").map_err(|error| Fault::Denied(error.to_string()))?;
        let key = format!("X-Dovecot-API {}", STANDARD.encode(self.key.expose_secret()));
        let asked =
            client.post(url).header("authorization", key).json(&json!([["kick", {"mask": [mask]}, ""]]));
        let lost = |error: reqwest::Error| Fault::unavailable(format!("Dovecot's administration: {error}"));
        let answer = asked.send().await.map_err(lost)?;
        match answer.status() {
            StatusCode::OK => understood(&answer.json().await.map_err(lost)?),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Fault::Denied("Dovecot's administration does not take the API key".into()))
            }
            status => Err(Fault::unavailable(format!("Dovecot's administration answered {status}"))),
        }
    }
}

/// Errors come with status 200 as well.
fn understood(answer: &Value) -> Result<bool, Fault> {
    match (answer[0][0].as_str(), answer[0][1]["exitCode"].as_i64()) {
        (Some("doveadmResponse"), _) => Ok(true),
        (Some("error"), Some(NOBODY)) => Ok(false),
        (Some("error"), Some(code)) => Err(Fault::unavailable(format!("Dovecot's `kick` ended with {code}"))),
        _ => Err(Fault::Denied("what answers at `doveadm_url` is not doveadm".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_inside_an_answer_200_is_told_by_its_exit_code() {
        let error = |code| json!([["error", {"type": "exitCode", "exitCode": code}, ""]]);
        assert_eq!(understood(&json!([["doveadmResponse", [], ""]])), Ok(true));
        assert_eq!(understood(&error(68)), Ok(false));
        assert!(matches!(understood(&error(75)), Err(Fault::Unavailable { .. })));
        assert!(matches!(
            understood(&json!([["error", {"type": "unknownMethod"}, ""]])),
            Err(Fault::Denied(_))
        ));
    }
}
