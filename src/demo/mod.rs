//! The story that `tenantry demo` tells, as an outside client.

use crate::cli::Flags;
use crate::config::Config;
use crate::program::Stop;

/// Tells the story.
pub async fn run(_: Config, _: Flags, _: bool) -> Result<u8, Stop> {
    Err(Stop::failed("the story is being written"))
}
