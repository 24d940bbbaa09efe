//! A disk that is full to the brim: a small tmpfs of the test's own, in a namespace of its own.

use std::path::Path;
use std::process::Command;

use crate::full_disk_host;

/// Tells the child where the small disk is mounted.
const DIR: &str = "ATLAS_FULL_DISK";

/// Runs the test again as a child that has `dir` on a tmpfs of `size`; `None` where this system doesn't allow that.
fn on_a_small_disk(test: &str, size: &str) -> Option<()> {
    let allowed = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.as_ref().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: {test}: `unshare -rm mount -t tmpfs` isn't allowed here: {allowed:?}");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=\"$SIZE\" none \"$ATLAS_FULL_DISK\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(DIR, dir.path())
        .env("SIZE", size)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    print!("{said}");
    Some(())
}

#[test]
fn a_full_disk_refuses_appends_and_loses_nothing() {
    match std::env::var_os(DIR) {
        Some(dir) => full_disk_host::fill_and_free(Path::new(&dir)),
        None => _ = on_a_small_disk("full_disk::a_full_disk_refuses_appends_and_loses_nothing", "4m"),
    }
}

#[test]
fn deliveries_go_on_after_a_full_disk() {
    match std::env::var_os(DIR) {
        Some(dir) => full_disk_host::fill_under_dispatch(Path::new(&dir)),
        None => _ = on_a_small_disk("full_disk::deliveries_go_on_after_a_full_disk", "10m"),
    }
}
