//! Who may come in: credentials, tokens and what is kept secret.

pub mod kek;
pub mod passwords;
pub mod principals;
pub mod random;
pub mod seal;
pub mod secret;
pub mod signing;
pub mod tokens;
