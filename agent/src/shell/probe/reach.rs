//! To the other side, step by step and each step timed: the name, TCP, TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bellwether_platform::clock::Clock;
use bellwether_platform::tls::{LookTls, Speaks, Wire};
use tokio::net::TcpStream;

use crate::pure::probe::address::choose;
use crate::pure::probe::{AddressPlan, Failure, Sight, TargetPlan};
use crate::shell::lookup::Lookups;

/// The way to one target.
pub(super) struct Reach {
    address: AddressPlan,
    server_name: Option<String>,
    tls: Arc<LookTls>,
    pub(super) clock: Clock,
    lookups: Lookups,
}

impl Reach {
    pub(super) fn new(plan: &TargetPlan, tls: Arc<LookTls>, clock: Clock) -> Reach {
        let server_name = plan.tls.server_name.clone();
        Reach { address: plan.address, server_name, tls, clock, lookups: Lookups::default() }
    }

    /// The name that a certificate must be for, if the plan names one.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The address of a name that is asked, and how long that took.
    pub(super) async fn resolve(&mut self, host: &str) -> (Result<IpAddr, Failure>, Duration) {
        let begun = self.clock.now().mono;
        let found = self.look_up(host).await;
        let took = self.clock.now().mono.since(begun);
        let address = found.and_then(|all| {
            choose(self.address, &all)
                .ok_or_else(|| Failure::new("the name has no address of the family"))
        });
        (address, took)
    }

    async fn look_up(&mut self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        // The port is not looked up.
        let found = self.lookups.find(&format!("{host}:0")).await;
        let found = found.map_err(|error| Failure::new(format!("no address: {error}")))?;
        Ok(found.iter().map(SocketAddr::ip).collect())
    }

    /// Connects over TCP.
    pub(super) async fn connect(
        &self,
        address: IpAddr,
        port: u16,
    ) -> (Result<TcpStream, Failure>, Duration) {
        let begun = self.clock.now().mono;
        let stream = TcpStream::connect((address, port)).await;
        let took = self.clock.now().mono.since(begun);
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        (stream.map_err(|error| Failure::new(format!("cannot connect: {error}"))), took)
    }

    /// Shakes hands; what is seen is put into the sight also if that fails.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        name: &str,
        speaks: Speaks,
        sight: &mut Sight,
    ) -> (Result<Wire, Failure>, Duration) {
        let begun = self.clock.now().mono;
        let (seen, wire) = self.tls.handshake(begun, stream, name, speaks).await;
        sight.tls = Some(seen);
        let took = self.clock.now().mono.since(begun);
        (wire.map_err(|reason| Failure::new(format!("TLS failed: {reason}"))), took)
    }
}
