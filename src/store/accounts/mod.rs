/// What an account is read from, of `accounts a`.
macro_rules! account_columns {
    () => {
        "a.id, a.path, a.parent_id, a.type, a.status, a.environment, a.name, a.contact_email, a.country,
         a.locale, a.time_zone, a.currency, a.external_id, a.external_id_by, a.fingerprint, a.metadata,
         a.delegation, a.require_idempotency_key, a.signup_policy, a.order_policy, a.version, a.created_at, a.updated_at"
    };
}

#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod accounts;
pub mod branding;
pub mod console;
pub mod keys;
pub mod members;
pub mod requests;
pub mod search;
pub mod signups;
pub mod spending;
pub mod storefront_keys;
