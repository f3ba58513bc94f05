//! A plan for tests.

use bellwether_model::config::Environment;

use super::{Plan, read};

/// One lane that may roll back and observe.
pub(crate) const FILE: &str = "collector: {url: 'http://127.0.0.1:9797'}
name: web-1
secret: whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=
allow:
  - service: checkout
    environment: production
    rollback: {run: [/usr/lib/bellwether/hooks/nginx-switch.sh], timeout: 10s}
    observe: {run: [/usr/lib/bellwether/hooks/nginx-switch.sh, observe]}
    versions: '[0-9]+\\.[0-9]+\\.[0-9]+'
";

pub(crate) fn plan() -> Plan {
    let (plan, warnings) = read("hook.yaml", FILE, &Environment::new()).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    plan
}
