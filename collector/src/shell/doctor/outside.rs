//! Who is told and who acts: whether keys and certificates can be read, and names looked up.

use std::fs::File;
use std::time::Duration;

use bellwether_model::config::Secret;
use bellwether_platform::clock::Clock;
use bellwether_platform::dial::{Way, from_environment};
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::pure::config::Plan;
use crate::pure::doctor::{self, Checkup, Status};
use crate::pure::guard::plan::HookPlan;
use crate::pure::notify::address::Address;
use crate::pure::notify::plan::Endpoint;
use crate::shell::deliver::prepare::secret_text;
use crate::shell::startup;
use bellwether_platform::sign::SigningKey;

/// A resolver that takes longer is of no use to a page.
const LOOKUP_TIME: Duration = Duration::from_secs(5);

/// Looks at everything that the collector calls.
pub(super) async fn all(plan: &Plan, checkup: &mut Checkup) {
    for receiver in plan.notify.receivers.values() {
        let name = format!("receiver {}", receiver.name);
        keys(&name, &receiver.secrets, checkup);
        endpoint(&name, &receiver.endpoint, checkup).await;
    }
    for alertmanager in &plan.notify.alertmanagers {
        let name = format!("alertmanager {}", alertmanager.name);
        endpoint(&name, &alertmanager.endpoint, checkup).await;
    }
    if let Some(heartbeat) = &plan.notify.heartbeat {
        endpoint("heartbeat", &heartbeat.endpoint, checkup).await;
    }
    for (name, hook) in &plan.hooks.0 {
        let name = format!("hook {name}");
        keys(&name, hook.secrets(), checkup);
        match &**hook {
            HookPlan::Webhook { endpoint: to, .. } => endpoint(&name, to, checkup).await,
            HookPlan::Runner { .. } => {
                let message = "a runner asks for its signals".to_owned();
                checkup.add(&name, (Status::Ok, message));
            }
        }
    }
}

/// Whether keys that sign can be used; nothing is said where they can.
fn keys(name: &str, secrets: &[Secret], checkup: &mut Checkup) {
    for secret in secrets {
        let read = secret_text("the key that signs", secret).and_then(|text| {
            let parsed = SigningKey::parse(&text).map(drop);
            parsed.map_err(|error| format!("the key that signs {error}"))
        });
        if let Err(reason) = read {
            checkup
                .add(name, (Status::Fail, reason))
                .help("run as the user that the collector runs as");
        }
    }
}

/// Whether what is called can be found.
async fn endpoint(name: &str, endpoint: &Endpoint, checkup: &mut Checkup) {
    if let Some(path) = &endpoint.tls.ca
        && let Err(error) = File::open(path)
    {
        let message = format!("the authorities {} cannot be read: {error}", path.display());
        checkup.add(name, (Status::Fail, message));
    }
    if let Some(identity) = &endpoint.tls.identity {
        let now = Clock::collector().now().wall.0.div_euclid(1000);
        let found = match identity.expires() {
            Ok(expires) => doctor::expiry(now, expires),
            Err(error) => (Status::Fail, error.to_string()),
        };
        checkup.add(name, found).help("replace `cert_file` and `key_file`");
    }
    let found = match found(endpoint).await {
        Ok(message) => (Status::Ok, message),
        Err(reason) => (Status::Fail, reason),
    };
    checkup.add(name, found).help("see its `url`, and the resolver of this machine");
}

/// Where an endpoint is, without its path, which may hold a token.
async fn found(endpoint: &Endpoint) -> Result<String, String> {
    let url = secret_text("the URL", &endpoint.url)?;
    let target = Address::parse(&url).map_err(|error| format!("the URL {error}"))?.target;
    let way = match &endpoint.way {
        Some(way) => way.clone(),
        None => from_environment(&target, &startup::around().environment)
            .map_err(|name| format!("{name} names no proxy that can be used"))?
            .map_or(Way::Direct, Way::Proxy),
    };
    if way != Way::Direct {
        return Ok(format!("{target} is reached through a proxy, which looks its name up"));
    }
    let (host, port) = (target.host(), target.port());
    match timeout(LOOKUP_TIME, lookup_host((host, port))).await {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(address) => Ok(format!("{target} is at {}", address.ip())),
            None => Err(format!("{host} has no address")),
        },
        Ok(Err(error)) => Err(format!("{host} is not found: {error}")),
        Err(_) => Err(format!("{host} is not found within {} s", LOOKUP_TIME.as_secs())),
    }
}
