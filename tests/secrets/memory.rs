//! What is in the program's memory stays there.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;

use super::*;

/// Who the program runs as where the tests run as the superuser, for whom the system makes no difference.
const NOBODY: u32 = 65_534;

/// SEC-4
#[tokio::test]
async fn no_core_is_dumped_and_no_other_process_reads_the_memory() {
    let installation = Installation::new();
    // A place that everybody reaches.
    let folder = std::env::temp_dir().join(installation.folder.file_name().unwrap());
    fs::create_dir(&folder).unwrap();
    let program = folder.join("tenantry");
    fs::copy(env!("CARGO_BIN_EXE_tenantry"), &program).unwrap();
    let is_root = fs::metadata(&folder).unwrap().uid() == 0;
    let mut command = std::process::Command::new(&program);
    if is_root {
        chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command
        .args(["serve", "--data-dir"])
        .arg(folder.join("data"))
        .current_dir(&folder)
        .env("TENANTRY_SERVER__LISTEN", installation.listen.to_string())
        .env("TENANTRY_SERVER__ADMIN_LISTEN", installation.admin.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    common::until("it serves", async || is_ready(&installation).await).await;
    let process = format!("/proc/{}", child.id());
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<&str> = core.trim_start_matches("Max core file size").split_whitespace().collect();
    assert_eq!(values[..2], ["0", "0"], "{core}");
    // The files of a process that may not be dumped belong to the superuser, whoever runs it.
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let runs_as = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    assert!(!runs_as.contains("\t0\t"), "it runs as the superuser: {runs_as}");
    assert_eq!(fs::metadata(format!("{process}/mem")).unwrap().uid(), 0);
    let sent = std::process::Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = child.wait().unwrap();
    assert!(ended.signal().is_some() && !ended.core_dumped(), "{ended}");
    fs::remove_dir_all(folder).unwrap();
    installation.remove();
}
