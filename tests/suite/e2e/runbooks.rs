//! Runbook pages need what other pages need: the scope `read`, where a principal has it.

use bellwether_tests::harness::{Folder, get, get_as};

use super::daemons::{Collector, TOKEN};

const READER: &str = "fedcba9876543210fedcba9876543210";

#[test]
fn runbooks_are_for_those_who_may_read() {
    let folder = Folder::new("runbooks");
    let token = folder.write_secret("reader", READER);
    let reader = format!("  reader: {{token_file: {}, scopes: [read]}}\n", token.display());
    let collector = Collector::start(&folder, &reader);
    let address = &collector.address;
    for (path, status, text) in [
        ("/runbooks/", 200, "<a href=\"HostDown\">HostDown</a>"),
        ("/runbooks/HostDown", 200, "<h2>Meaning</h2>"),
        ("/runbooks/HostUp", 404, "<a href=\"HostDown\">HostDown</a>"),
    ] {
        assert_eq!(get(address, path).unwrap().status, 401, "{path}");
        assert_eq!(get_as(address, path, TOKEN).unwrap().status, 403, "{path}");
        let answer = get_as(address, path, READER).unwrap();
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(text), "{path}: {}", answer.body);
    }
    assert!(get_as(address, "/", READER).unwrap().body.contains("/runbooks/"));
}
