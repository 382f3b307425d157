//! A test that cannot run on a machine is listed at the end of `make test`, or fails with `UPLOAD_SKIP_NOTHING=1`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Image, have};

/// Without a path there is no `mkfs`.
#[test]
#[ignore = "is run by the tests below, with an empty PATH"]
fn cannot_run() {
    assert!(Image::make("ext4").is_none());
    assert!(!have(&["df"]));
}

/// Runs `cannot_run` with this setting alone.
fn run(setting: Option<(&str, &OsStr)>) -> Output {
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "skipped::cannot_run", "--ignored", "--nocapture"]).env("PATH", "");
    test.env_remove("UPLOAD_SKIPPED").env_remove("UPLOAD_SKIP_NOTHING").envs(setting).output().unwrap()
}

fn said(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr)
        .contains("skipped: house: skipped::cannot_run: no ext4 can be made or mounted here")
}

/// The text that `make test` prints at its end.
fn end(list: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/skipped.sh");
    let output = Command::new(script).env("UPLOAD_SKIPPED", list).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_could_not_run_is_listed_once() {
    let list = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(end(list.path()), "Nothing was skipped.\n");
    for _ in 0..2 {
        let output = run(Some(("UPLOAD_SKIPPED", list.path().as_os_str())));
        assert!(output.status.success(), "{output:?}");
    }
    let expected = "Skipped, as this machine cannot run them:\n    \
        house: skipped::cannot_run: no df here\n    \
        house: skipped::cannot_run: no ext4 can be made or mounted here, with mkfs.ext4 and mount\n";
    assert_eq!(end(list.path()), expected);
}

#[test]
fn where_nothing_may_be_left_out_it_fails() {
    let output = run(Some(("UPLOAD_SKIP_NOTHING", "1".as_ref())));
    assert!(!output.status.success() && said(&output), "{output:?}");
}

/// `cargo test` sets no `UPLOAD_SKIPPED`.
#[test]
fn without_a_list_it_is_said_aloud() {
    let output = run(None);
    assert!(output.status.success() && said(&output), "{output:?}");
}
