//! A probe of TCP: whether somebody listens, and with TLS whether it is the right one.

use bellwether_platform::tls::Speaks;

use super::reach::Reach;
use crate::pure::probe::{Failure, Sight, TcpPlan};

pub(super) async fn ask(
    reach: &mut Reach,
    plan: &TcpPlan,
    sight: &mut Sight,
) -> Result<(), Failure> {
    let (address, took) = reach.resolve(&plan.host).await;
    sight.lookup = took;
    let address = address?;
    sight.address = Some(address);
    let (stream, _) = reach.connect(address, plan.port).await;
    let stream = stream?;
    if plan.tls {
        let name = reach.server_name().unwrap_or(&plan.host).to_owned();
        reach.secure(stream, &name, Speaks::Anything, sight).await.0?;
    }
    Ok(())
}
