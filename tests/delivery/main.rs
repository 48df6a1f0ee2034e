//! Events reach the endpoints that are to hear of them, at least once, whatever fails on the way.

mod database;
mod endpoints;
mod fairness;
mod feed;
mod receiver;
mod retries;
mod world;
