//! Faults that are put into a healthy day, one for each group of the host pack.

use super::{HostDay, STEP};

/// What goes wrong, and which alerts fire in the two hours after it, no others.
#[derive(Debug)]
pub struct Fault {
    /// In words.
    pub about: &'static str,
    /// The group of the pack that looks for it.
    pub group: &'static str,
    /// The alerts of the group that fire.
    pub alerts: &'static [&'static str],
    put: fn(&mut HostDay, usize),
}

impl Fault {
    /// Puts the fault into a day, from a step on.
    pub fn put(&self, day: &mut HostDay, from: usize) {
        (self.put)(day, from);
    }
}

/// Seconds after a number of steps.
fn seconds(steps: f64) -> f64 {
    steps * STEP.as_secs_f64()
}

/// The faults.
pub const FAULTS: &[Fault] = &[
    Fault {
        about: "the host is silent",
        group: "host-presence",
        alerts: &["HostDown"],
        put: |day, from| day.change("up", from, |_, _, _| 0.0),
    },
    Fault {
        about: "a process runs away, and forks",
        group: "host-processors",
        alerts: &["HostCpuSaturated", "HostRunQueueLong"],
        put: |day, from| {
            // What is not idle is busy: the idle time stands still.
            day.change("node_cpu_seconds_total", from, |since, before, _| {
                before + seconds(since) / 100.0
            });
            day.change("node_procs_running", from, |_, _, healthy| healthy + 20.0);
        },
    },
    Fault {
        about: "memory leaks until the kernel kills",
        group: "host-memory",
        alerts: &["HostMemoryExhausted", "HostMemoryLow", "HostMemoryStalled", "HostOomKill"],
        put: |day, from| {
            day.change("node_memory_MemAvailable_bytes", from, |since, before, _| {
                before * (1.0 - since / 60.0).max(0.01)
            });
            for metric in [
                "node_pressure_memory_waiting_seconds_total",
                "node_pressure_memory_stalled_seconds_total",
            ] {
                day.change(metric, from, |since, before, _| before + seconds(since) * 0.4);
            }
            day.change("node_vmstat_oom_kill", from, |since, before, _| {
                if since < 120.0 { before } else { before + 1.0 }
            });
        },
    },
    Fault {
        about: "a log file grows until nothing is left",
        group: "host-filesystems",
        alerts: &["HostFilesystemFillingFast", "HostFilesystemFull"],
        put: |day, from| {
            day.change("node_filesystem_avail_bytes", from, |since, before, _| {
                before * (1.0 - since / 480.0).max(0.0)
            });
        },
    },
    Fault {
        about: "a disk stops",
        group: "host-disks",
        alerts: &["HostDiskStuck"],
        put: |day, from| {
            day.change("node_disk_io_now", from, |_, _, _| 3.0);
            for metric in ["node_disk_reads_completed_total", "node_disk_writes_completed_total"] {
                day.change(metric, from, |_, before, _| before);
            }
        },
    },
    Fault {
        about: "a cable is bad",
        group: "host-network",
        alerts: &["HostNetworkErrors", "HostTcpRetransmits"],
        put: |day, from| {
            day.change("node_network_receive_errs_total", from, |since, before, _| {
                before + seconds(since) * 30.0
            });
            day.change("node_netstat_Tcp_RetransSegs", from, |since, before, _| {
                before + seconds(since) * 20.0
            });
        },
    },
    Fault {
        about: "descriptors leak, and the clock runs off",
        group: "host-kernel",
        alerts: &["HostClockOffset", "HostClockWrong", "HostFileDescriptorsExhausted"],
        put: |day, from| {
            day.change("node_filefd_allocated", from, |since, before, _| before + since * 20e3);
            day.change("node_timex_offset_seconds", from, |since, _, _| since / 1000.0);
            day.change("bellwether_agent_clock_ahead_of_system_seconds", from, |since, _, _| {
                -since / 100.0
            });
        },
    },
    Fault {
        about: "a collector is away longer than the spool lasts, and an input breaks",
        group: "host-agent",
        alerts: &[
            "HostAgentBehind",
            "HostAgentInputFailing",
            "HostAgentLosingData",
            "HostAgentSpoolFilling",
        ],
        put: |day, from| {
            let bytes = "bellwether_agent_spool_bytes";
            day.change(bytes, from, |since, before, _| before + since * 2e6);
            let age = "bellwether_agent_oldest_unacked_seconds";
            day.change(age, from, |since, _, _| seconds(since));
            let lost = "bellwether_agent_samples_dropped_total";
            day.begin(lost, ("reason", "spool_full"), from + 300, 5000.0);
            day.change("node_scrape_collector_success", from, |_, _, _| 0.0);
        },
    },
];
