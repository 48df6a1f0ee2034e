//! Who may come in: credentials, tokens and what is kept secret.

pub mod assertions;
pub mod delegations;
pub mod digests;
mod fresh;
pub mod kek;
pub mod keyring;
pub mod opaque;
pub mod passwords;
pub mod principals;
pub mod publishable;
pub mod random;
pub mod revocations;
pub mod seal;
pub mod secret;
pub mod signing;
pub mod storefronts;
pub mod tokens;
pub mod veils;
pub mod witness;
