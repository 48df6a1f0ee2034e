//! What the rows and Dovecot are made to say, in the order that lets every step be repeated.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::database::Database;
use super::doveadm::Doveadm;
use super::rows::{self, Mailbox};
use crate::model::connector::{Fault, Observed};
use crate::model::services::Access;

/// One installation, opened.
pub struct Hosting {
    pub database: Arc<Database>,
    pub doveadm: Doveadm,
}

impl Hosting {
    /// Whether both halves answer, and how much there is.
    pub async fn test(&self) -> Result<Observed, Fault> {
        let (domains, mailboxes) = rows::counts(&self.database).await?;
        self.doveadm.test().await?;
        Ok(facts(json!({
            "database": self.database.engine(),
            "domains": domains,
            "mailboxes": mailboxes,
        })))
    }

    /// Gives the service's domains the access and ends what may no longer be open. A degraded service
    /// has no sessions either: mail is collected, nobody reads it.
    pub async fn set_access(&self, owner: &str, access: Access) -> Result<Observed, Fault> {
        rows::set_access(&self.database, owner, access).await?;
        let domains = rows::domains_of(&self.database, owner).await?;
        if access != Access::Full {
            let masks: Vec<_> = domains.iter().map(|domain| format!("*@{domain}")).collect();
            self.doveadm.end_sessions(&masks).await?;
        }
        Ok(facts(json!({ "access": access, "domains": domains.len() })))
    }

    pub async fn ensure_domain(&self, name: &str, owner: &str, access: Access) -> Result<Observed, Fault> {
        if !rows::insert_domain(&self.database, name, owner, access).await? {
            match rows::domain(&self.database, name).await? {
                Some(found) if found.owner != owner => return Err(foreign("domain", name)),
                Some(found) if found.access != access.as_str() => {
                    return self.set_access(owner, access).await;
                }
                Some(_) => {}
                None => return Err(contested(name)),
            }
        }
        Ok(facts(json!({ "access": access })))
    }

    /// Makes the mailbox; its access is that of its domain.
    pub async fn ensure_mailbox(&self, address: &str, wanted: &Mailbox) -> Result<Observed, Fault> {
        let access = match rows::domain(&self.database, &wanted.domain).await? {
            Some(domain) if domain.owner == wanted.owner => domain.access,
            Some(_) => return Err(foreign("domain", &wanted.domain)),
            None => {
                return Err(Fault::Invalid(format!("the domain {} is not on this server", wanted.domain)));
            }
        };
        match rows::mailbox(&self.database, address).await? {
            None => {
                if !rows::insert_mailbox(&self.database, address, wanted).await? {
                    return Err(contested(address));
                }
            }
            Some(found) if found.owner != wanted.owner => return Err(foreign("mailbox", address)),
            Some(found) if found == *wanted => {}
            Some(found) if found.password == wanted.password => {
                rows::update_mailbox(&self.database, address, wanted).await?;
            }
            Some(_) => {
                // Who knows the old password only must not stay inside. Asked before as well, so that a
                // Dovecot that is down is met while the row still tells the next attempt what to do.
                let session = [address.to_owned()];
                self.doveadm.end_sessions(&session).await?;
                rows::update_mailbox(&self.database, address, wanted).await?;
                self.doveadm.end_sessions(&session).await?;
            }
        }
        Ok(facts(json!({ "access": access, "quota_mb": wanted.quota_mb })))
    }

    /// Removes the owner's mailbox: closed first, its row last, so that a repeated call finds what is left.
    pub async fn remove_mailbox(&self, address: &str, owner: &str) -> Result<(), Fault> {
        if rows::close_mailbox(&self.database, address, owner).await? == 0 {
            return Ok(());
        }
        self.doveadm.end_sessions(&[address.to_owned()]).await?;
        let home = self.doveadm.home(address).await?.ok_or_else(|| stranger(address))?;
        if !is_own_home(&home, address) {
            return Err(Fault::Denied(format!(
                "Dovecot keeps {address} in {home}; only a folder that ends in its domain and its name is \
                 deleted"
            )));
        }
        self.doveadm.delete_folder(home.trim_end_matches('/')).await?;
        rows::delete_mailbox(&self.database, address, owner).await?;
        Ok(())
    }

    /// Removes the owner's domain with the mailboxes in it.
    pub async fn remove_domain(&self, name: &str, owner: &str) -> Result<(), Fault> {
        for address in rows::mailboxes_of_domain(&self.database, name, owner).await? {
            self.remove_mailbox(&address, owner).await?;
        }
        rows::delete_domain(&self.database, name, owner).await?;
        Ok(())
    }

    /// Removes all that is the owner's.
    pub async fn remove_all(&self, owner: &str) -> Result<(), Fault> {
        for domain in rows::domains_of(&self.database, owner).await? {
            self.remove_domain(&domain, owner).await?;
        }
        Ok(())
    }

    pub async fn observe_domain(&self, name: &str, owner: &str) -> Result<Option<Observed>, Fault> {
        match rows::domain(&self.database, name).await? {
            None => Ok(None),
            Some(found) if found.owner != owner => Err(foreign("domain", name)),
            Some(found) => Ok(Some(facts(json!({ "access": found.access })))),
        }
    }

    pub async fn observe_mailbox(&self, address: &str, owner: &str) -> Result<Option<Observed>, Fault> {
        let found = match rows::mailbox(&self.database, address).await? {
            None => return Ok(None),
            Some(found) if found.owner != owner => return Err(foreign("mailbox", address)),
            Some(found) => found,
        };
        let domain = rows::domain(&self.database, &found.domain).await?;
        let usage = self.doveadm.usage(address).await?.ok_or_else(|| stranger(address))?;
        Ok(Some(facts(json!({
            "access": domain.map(|domain| domain.access),
            "state": found.state,
            "quota_mb": found.quota_mb,
            "storage_kb": usage.storage_kb,
            "messages": usage.messages,
        }))))
    }
}

/// The mailbox's row as it is wanted.
pub fn wanted(address: &str, owner: &str, password: Option<&str>, quota_mb: i64) -> Result<Mailbox, Fault> {
    let (local, domain) =
        address.split_once('@').ok_or_else(|| Fault::Invalid(format!("{address} is no mail address")))?;
    if local.is_empty() || local.starts_with('.') || address.contains(['/', '%', '*', '?']) {
        return Err(Fault::Invalid(format!("{address} cannot be a folder's name")));
    }
    Ok(Mailbox {
        domain: domain.to_owned(),
        owner: owner.to_owned(),
        state: rows::ACTIVE.to_owned(),
        password: password.map(str::to_owned),
        quota_mb,
    })
}

/// Whether the folder is this mailbox's alone: `…/<domain>/<name>`.
fn is_own_home(home: &str, address: &str) -> bool {
    let mut parts = home.trim_end_matches('/').rsplit('/');
    let (name, domain) = (parts.next(), parts.next());
    home.starts_with('/') && address.split_once('@') == name.zip(domain) && !home.contains("/../")
}

fn foreign(what: &str, name: &str) -> Fault {
    Fault::Foreign(format!("the {what} {name} is in the hosting database and not ours"))
}

fn contested(name: &str) -> Fault {
    Fault::unavailable(format!("{name} was made or removed by somebody else at the same moment"))
}

fn stranger(address: &str) -> Fault {
    Fault::Denied(format!(
        "Dovecot does not know {address}, which is in the hosting database; does it read the same one?"
    ))
}

fn facts(value: Value) -> Observed {
    match value {
        Value::Object(facts) => Observed { facts },
        _ => Observed { facts: Map::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_the_mailbox_alone_is_ever_deleted() {
        let alice = "alice@acme.example";
        assert!(is_own_home("/srv/mail/acme.example/alice", alice));
        assert!(is_own_home("/srv/mail/acme.example/alice/", alice));
        for shared in [
            "/srv/mail",
            "/srv/mail/acme.example",
            "/",
            "",
            "acme.example/alice",
            "/srv/mail/other.example/alice",
        ] {
            assert!(!is_own_home(shared, alice), "{shared}");
        }
    }

    #[test]
    fn an_address_that_leads_out_of_its_folder_is_refused() {
        for odd in ["..@acme.example", "@acme.example", "a/b@acme.example", "*@acme.example", "alice"] {
            assert!(matches!(wanted(odd, "svc", None, 1), Err(Fault::Invalid(_))), "{odd}");
        }
        assert!(wanted("a.b+c@acme.example", "svc", None, 1).is_ok());
    }
}
