//! Rule packs that come with the program: rule files as data, and a page for each alert that says
//! what it means and what to do.
//!
//! The files lie in `rules/packs`; nothing here reads them at run time.

#[cfg(test)]
mod tests;

/// Alerts of a host: a rule file of Prometheus' kind.
pub const HOST: &str = include_str!("../packs/host.yaml");

/// The alert of `bellwether up --demo`.
pub const DEMO: &str = include_str!("../packs/demo.yaml");

/// What people call the packs in a list of rule files, and their texts.
pub const ALL: &[(&str, &str)] = &[("demo", DEMO), ("host", HOST)];

macro_rules! runbooks {
    ($($alert:literal,)*) => {
        /// Pages in Markdown by the alerts they are of, in the order of the names.
        pub const RUNBOOKS: &[(&str, &str)] =
            &[$(($alert, include_str!(concat!("../packs/runbooks/", $alert, ".md")))),*];
    };
}

runbooks! {
    "DemoBackendDown",
    "HostAgentBehind",
    "HostAgentInputFailing",
    "HostAgentLosingData",
    "HostAgentSpoolFilling",
    "HostClockNotSynchronised",
    "HostClockOffset",
    "HostClockWrong",
    "HostConntrackFull",
    "HostCpuSaturated",
    "HostCpuStolen",
    "HostDiskSaturated",
    "HostDiskSlow",
    "HostDiskStuck",
    "HostDown",
    "HostEntropyLow",
    "HostFileDescriptorsExhausted",
    "HostFilesystemFillingFast",
    "HostFilesystemFillingUp",
    "HostFilesystemFull",
    "HostFilesystemReadOnly",
    "HostFilesystemUnanswered",
    "HostFlapping",
    "HostInodesExhausted",
    "HostInodesFillingUp",
    "HostIoStalled",
    "HostLinkDown",
    "HostLinkSaturated",
    "HostListenOverflows",
    "HostMemoryExhausted",
    "HostMemoryLow",
    "HostMemoryStalled",
    "HostNetworkDrops",
    "HostNetworkErrors",
    "HostOomKill",
    "HostRebooted",
    "HostRebootingRepeatedly",
    "HostRunQueueLong",
    "HostSoftnetDrops",
    "HostSwapFull",
    "HostSwapping",
    "HostTcpRetransmits",
}

/// The text of a pack.
#[must_use]
pub fn pack(name: &str) -> Option<&'static str> {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// The page of an alert.
#[must_use]
pub fn runbook(alert: &str) -> Option<&'static str> {
    let at = RUNBOOKS.binary_search_by(|(known, _)| (*known).cmp(alert)).ok()?;
    RUNBOOKS.get(at).map(|(_, page)| *page)
}
