//! The file itself, in a browser, from the disk.

use std::path::PathBuf;
use std::process::Command;

use chromium::{Page, View, is_installed};

#[path = "../../tests/browser/chromium.rs"]
#[allow(dead_code, reason = "this test uses a part")]
mod chromium;

/// The playground.
fn written(directory: &tempfile::TempDir) -> PathBuf {
    let page = directory.path().join("playground.html");
    let mut write = Command::new(env!("CARGO_BIN_EXE_helloop-playground"));
    let output = write.arg("--output").arg(&page).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

#[test]
fn a_file_on_the_disk_is_a_loop_that_goes_back() {
    if !is_installed() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}#seed=7&act=0:hundred&at=30", written(&directory).display());
    let mut page = Page::open(&url, View::WIDE);
    let shows = |moment: &str| {
        format!("document.querySelector('#moment-value').textContent === 'moment {moment}'")
    };
    page.until(&shows("30 of 30"));
    let told = page.text("#narrator");
    page.press("#step-resume");
    page.until(&shows("31 of 31"));
    page.press("#back-resume");
    page.until(&shows("30 of 31"));
    assert_eq!(page.text("#narrator"), told);
    page.press("[data-scenario='gather']");
    page.until("location.hash === '#seed=7&act=0:hundred,30:gather&at=30'");
    page.press("#resume");
    page.until("document.querySelector('#conversations').textContent.includes('was cancelled')");
    // A seed of the hostile worlds, by the link that its campaign prints.
    page.value("location.hash = 'world=hostile&seed=17&at=60'");
    page.until(&shows("60 of 60"));
    page.press("#open-log");
    page.until("document.querySelector('#log-text').textContent.includes('accepts a connection')");
    page.press("#close-log");
    page.value("location.hash = 'world=other&seed=17'");
    page.until("document.querySelector('#banner').textContent.includes('world=other')");
    page.value("location.hash = 'seed=7&act=0:nobody'");
    page.until("document.querySelector('#banner').textContent.includes('`0:nobody`')");
    page.assert_content();
}

#[test]
fn arguments_that_make_no_sense_are_explained() {
    for (argument, named) in [("--outptu", "--help"), ("--output", "needs the name")] {
        let mut write = Command::new(env!("CARGO_BIN_EXE_helloop-playground"));
        let output = write.arg(argument).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
}
