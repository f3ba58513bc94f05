//! `judge`, `verify` and `key` as their users start them: exit codes, files, what is said.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use bellwether_tests::harness::{Daemon, Folder, daemon};
use bellwether_tests::rollouts::{Fault, Plan, Regression, Rollout, Scenario, Traffic, csv};

const TRAFFIC: Traffic = Traffic { rps: 200.0, share: 0.05, error: 0.001 };

/// A table of a rollout of half an hour whose canary fails a part of its requests.
fn table(path: &Path, part: Option<f64>, seconds: u32) {
    let regression = part.map(|part| Regression { fault: Fault::Part(part), begins: 30 });
    let traffic = Some(TRAFFIC);
    let plan = Plan { scenario: Scenario::Healthy, traffic, regression, seconds };
    fs::write(path, csv(Rollout::new(&plan, 11))).unwrap();
}

/// Runs the program in a folder that is also where it keeps state.
fn run(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(daemon(Daemon::Collector))
        .args(words)
        .current_dir(folder)
        .env("BELLWETHER_DATA_DIR", folder.join("state"))
        .env_remove("COLUMNS")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn the_exit_code_is_the_verdict() {
    let folder = Folder::new("judge");
    let at = folder.path();
    table(&at.join("fail.csv"), Some(0.2), 120);
    table(&at.join("open.csv"), None, 40);
    // A healthy canary passes once enough has been seen.
    let busy = Traffic { rps: 4000.0, share: 0.5, error: 0.01 };
    let plan =
        Plan { scenario: Scenario::Healthy, traffic: Some(busy), regression: None, seconds: 600 };
    fs::write(at.join("pass.csv"), csv(Rollout::new(&plan, 3))).unwrap();
    fs::write(at.join("wrong.csv"), "second,canary_n\n0,x\n").unwrap();

    for (file, code, verdict) in
        [("pass.csv", 0, "pass"), ("fail.csv", 1, "fail"), ("open.csv", 3, "inconclusive")]
    {
        let (found, out, error) = run(at, &["judge", file, "--alpha", "0.001"]);
        assert_eq!((found, error.as_str()), (code, ""), "{file}: {out}");
        assert!(out.starts_with(&format!("{verdict}: ")), "{out}");
        assert!(out.contains("1/α = 1000") && out.contains('┤'), "{out}");
        let (found, out, _) = run(at, &["judge", file, "--alpha", "0.001", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((found, shown["verdict"].as_str()), (code, Some(verdict)));
        for key in ["decision_second", "first_bad_second", "log_e", "smallest_ratio"] {
            assert!(shown.get(key).is_some(), "{key}: {out}");
        }
        if verdict == "fail" {
            let decided = shown["decision_second"].as_i64().unwrap();
            assert!((30..75).contains(&decided), "{decided}");
            assert!(shown["log_e"].as_f64().unwrap() >= 6.9, "{out}");
        }
    }
    for (files, of, code, said) in [
        (
            ["fail.csv", "open.csv"],
            "measures",
            1,
            "fail: the mean evidence of 2 measures has reached",
        ),
        (["fail.csv", "pass.csv"], "rollouts", 1, "fail: 1 of 2 rollouts fail; "),
        (["pass.csv", "open.csv"], "rollouts", 3, "inconclusive: 0 of 2 rollouts fail; "),
        (["pass.csv", "pass.csv"], "measures", 0, "pass: the mean evidence of 2 measures has not"),
    ] {
        let words = ["judge", files[0], files[1], "--alpha", "0.001", "--together", of];
        let (found, out, error) = run(at, &words);
        assert_eq!((found, error.as_str()), (code, ""), "{files:?} {of}: {out}");
        assert!(out.starts_with(said), "{out}");
    }
    // Nobody hears why, and the exit code still says it.
    let deaf = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(daemon(Daemon::Collector));
    command.args(["judge", "wrong.csv", "--alpha", "0.001"]).current_dir(at).stderr(deaf);
    assert_eq!(command.status().unwrap().code(), Some(2));
    let (code, out, error) = run(at, &["judge", "wrong.csv", "--alpha", "0.001"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("csv005") && error.contains("wrong.csv:1:1"), "{error}");
    for words in [
        &["judge", "none.csv", "--alpha", "0.001"][..],
        &["judge", "fail.csv", "--alpha", "0"],
        &["judge", "fail.csv", "--alpha", "2"],
        &["judge", "fail.csv", "--alpha", "nan"],
        &["judge", "fail.csv", "--alpha", "0.01", "--rho", "0"],
        &["judge", "fail.csv"],
        &["judge", "fail.csv", "open.csv", "--alpha", "0.01"],
        &["judge", "fail.csv", "open.csv", "--alpha", "0.01", "--record", "r.json"],
        &["judge", ".", "--alpha", "0.01"],
    ] {
        let (code, out, error) = run(at, words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {error}");
        assert!(!error.is_empty(), "{words:?}");
    }
}

#[test]
fn records_are_verified_and_changed_ones_are_not() {
    let folder = Folder::new("verify");
    let at = folder.path();
    table(&at.join("a.csv"), Some(0.2), 120);
    table(&at.join("b.csv"), None, 60);
    let (code, public, _) = run(at, &["key", "make", "my.key"]);
    assert!(code == 0 && public.starts_with("ed25519:"), "{public}");
    assert_eq!(fs::read_to_string(at.join("my.key.pub")).unwrap(), public);
    assert_eq!(run(at, &["key", "show", "my.key"]).1, public);
    let (code, _, error) = run(at, &["key", "make", "my.key"]);
    assert!(code == 2 && error.contains("exists already"), "{error}");

    let judge = |file: &str, more: &[&str]| {
        let words = [&["judge", file, "--alpha", "0.001"], more].concat();
        run(at, &words).0
    };
    assert_eq!(judge("a.csv", &["--record", "1.json", "--key", "my.key"]), 1);
    let second = ["--record", "2.json", "--key", "my.key", "--previous", "1.json"];
    assert_eq!(judge("b.csv", &second), 3);
    let verify = |records: &[&str], key: &str| {
        let words = [&["verify"], records, &["--key", key]].concat();
        run(at, &words)
    };
    let (code, out, error) = verify(&["1.json", "2.json"], "my.key.pub");
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.contains("1.json: good: fail in second "), "{out}");
    for (target, more) in
        [(".", &[][..]), ("a.csv", &[]), ("my.key", &[]), ("1.json", &["--previous", "1.json"])]
    {
        let words = [&["--record", target, "--key", "my.key"], more].concat();
        let before = fs::read(at.join(target)).ok();
        assert_eq!(judge("a.csv", &words), 2, "{target}");
        assert!(before.is_none() || fs::read(at.join(target)).ok() == before, "{target}");
    }
    // What others sign, in another order, without its beginning, or changed.
    assert_eq!(verify(&["2.json", "1.json"], "my.key.pub").0, 1);
    assert_eq!(verify(&["2.json"], "my.key.pub").0, 1);
    let hash = out.lines().find_map(|line| line.strip_prefix("  hash ")).unwrap();
    assert_eq!(verify(&["2.json", "--after", hash], "my.key.pub").0, 0);
    run(at, &["key", "make", "other.key"]);
    let (code, out, _) = verify(&["1.json"], "other.key.pub");
    assert!(code == 1 && out.contains("signed by another key"), "{out}");
    let mut bytes = fs::read(at.join("1.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["body"]["outcome"]["verdict"], "fail");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(at.join("changed.json"), &bytes).unwrap();
    let (code, out, _) = verify(&["changed.json"], "my.key.pub");
    assert!(code == 1 && out.contains("changed.json: FAILED\n"), "{out}");
    assert!(out.contains("the signature does not fit"), "{out}");

    // What cannot be read, and keys that are none.
    assert_eq!(verify(&["none.json"], "my.key.pub").0, 2);
    let (code, _, error) = verify(&["1.json"], "my.key");
    assert!(code == 2 && error.contains("looks like a secret key"), "{error}");
    let (code, _, error) = run(
        at,
        &["judge", "a.csv", "--alpha", "0.001", "--record", "3.json", "--key", "my.key.pub"],
    );
    assert!(code == 2 && error.contains("public key"), "{error}");
    assert!(!at.join("3.json").exists());
}

#[test]
fn without_a_key_this_machine_has_its_own() {
    let folder = Folder::new("own-key");
    let at = folder.path();
    table(&at.join("a.csv"), None, 20);
    let words = ["judge", "a.csv", "--alpha", "0.001", "--record", "r.json"];
    let (code, _, error) = run(at, &words);
    assert_eq!(code, 3, "{error}");
    let made = error.split("made the key ").nth(1).unwrap_or_else(|| panic!("{error}"));
    let key = made.split(" to sign").next().unwrap().to_owned();
    let (code, out, error) = run(at, &["verify", "r.json", "--key", &format!("{key}.pub")]);
    assert_eq!(code, 0, "{out}{error}");
    // It is made once.
    let first = fs::read(at.join("r.json")).unwrap();
    let (_, _, error) = run(at, &words);
    assert_eq!(error, "");
    assert_eq!(fs::read(at.join("r.json")).unwrap(), first);
}
