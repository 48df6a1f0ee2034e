//! Every connector against the shared suite and, where it has one, against its real server.

mod dovecot;
mod probe;
mod suite;

mod files;
mod files_dns;
mod files_web;
mod mail;
mod mail_site;
