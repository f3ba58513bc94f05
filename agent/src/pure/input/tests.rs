use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::series::is_absent;
use bellwether_model::time::{Mono, Timestamp};
use bellwether_model::wire::table::Table;
use proptest::prelude::*;

use super::*;
use crate::pure::columns::Owned;
use crate::pure::config::InputPlan;
use crate::pure::files::{CLOCK, DueApart, Files, Root, Source};

/// One input over files that are texts.
struct World {
    plan: InputPlan,
    texts: BTreeMap<String, Vec<u8>>,
    files: Files,
    table: Table,
    owned: Owned,
    input: Box<dyn Input>,
    rows: u64,
}

fn spec(name: &str) -> &'static InputSpec {
    INPUTS.iter().find(|spec| spec.name == name).unwrap()
}

impl World {
    fn new(name: &str, texts: &[(&str, &str)]) -> World {
        let plan = InputPlan::new(spec(name));
        let mut files = Files::default();
        let facts = Facts {
            machine: "m68k".into(),
            incarnation: Incarnation(3),
            page_bytes: 4096,
            ..Facts::default()
        };
        let mut setup =
            Setup { files: Asks::new(&mut files, 0), filters: plan.filters.clone(), facts };
        let input = (plan.spec.make)(&mut setup);
        let table = Table::new(LabelSet::default(), Duration::from_secs(1));
        let mut world = World {
            plan,
            texts: BTreeMap::new(),
            files,
            table,
            owned: Owned::new(1000),
            input,
            rows: 0,
        };
        texts.iter().for_each(|(path, text)| world.write(path, text));
        world
    }

    fn write(&mut self, path: &str, text: impl AsRef<[u8]>) {
        self.texts.insert(path.to_owned(), text.as_ref().to_vec());
    }

    /// Reads what is due, as the shell does; a minute passes from row to row.
    fn read(&mut self, now: Mono) {
        for number in self.files.asked(0).to_vec() {
            let file = self.files.file_mut(number).unwrap();
            if !file.is_due(self.rows, now) && !file.is_due_apart(DueApart::All, now) {
                continue;
            }
            match self.texts.get(file.path()) {
                Some(text) => {
                    file.buffer().clone_from(text);
                    file.was_read(self.rows, now);
                }
                None => file.was_not_read(ReadError::Missing, self.rows, now),
            }
        }
    }

    /// One row: series to value.
    fn row(&mut self) -> Result<BTreeMap<String, f64>, InputError> {
        self.rows += 1;
        let mono = Mono(Duration::from_secs(60 * self.rows));
        let now = Now { wall: Timestamp(1_700_000_000_250), mono };
        self.table.begin_row();
        for _ in 0..4 {
            self.read(mono);
            let row = Row::new(&mut self.table, &mut self.owned);
            self.input.collect(&mut Collect { now, files: Asks::new(&mut self.files, 0), row })?;
        }
        assert!(!self.files.has_unread(0), "{} calls are enough", self.plan.spec.name);
        let columns = self.table.columns().iter().zip(self.table.values());
        let set = columns.filter(|(_, value)| !is_absent(**value));
        Ok(set.map(|(spec, value)| (spec.as_ref().unwrap().labels.to_string(), *value)).collect())
    }
}

const HEADINGS: &str = "Inter-|\n face |\n";

fn interface(name: &str, bytes: u64) -> String {
    format!("{name}: {bytes} 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
}

#[test]
fn the_list_is_consistent() {
    let names: BTreeSet<_> = INPUTS.iter().map(|spec| spec.name).collect();
    assert_eq!(names.len(), INPUTS.len());
    let families: Vec<_> = INPUTS.iter().flat_map(|spec| spec.families).collect();
    let unique: BTreeSet<_> = families.iter().map(|family| family.name).collect();
    assert_eq!(unique.len(), families.len());
    for family in families {
        assert!(family.help.ends_with('.'), "{}", family.name);
        let is_counter = family.kind == bellwether_model::series::MetricType::Counter;
        assert_eq!(is_counter, family.name.ends_with("_total"), "{}", family.name);
    }
    // Patterns of devices compile.
    INPUTS.iter().for_each(|spec| assert_eq!(InputPlan::new(spec).spec.name, spec.name));
}

#[test]
fn interfaces_come_and_go() {
    let one = format!("{HEADINGS}{}", interface("eth0", 1));
    let mut world = World::new("netdev", &[(("net/dev"), &one)]);
    world.write("class/net/eth0/statistics/rx_nohandler", "77\n");
    let row = world.row().unwrap();
    assert_eq!(row.len(), 17);
    assert_eq!(row[r#"node_network_receive_nohandler_total{device="eth0"}"#], 77.0);
    assert_eq!(row[r#"node_network_transmit_compressed_total{device="eth0"}"#], 16.0);

    world.write("net/dev", format!("{HEADINGS}{}{}", interface("w:0", 2), interface("eth0", 5)));
    // The name ends at the first colon, where the kernel's does.
    let error = world.row().unwrap_err();
    assert_eq!(error.to_string(), "net/dev:3: sixteen counters expected");

    world.write("net/dev", format!("{HEADINGS}{}{}", interface("a", 2), interface("eth0", 5)));
    let row = world.row().unwrap();
    assert_eq!((row.len(), world.table.live()), (33, 33), "the broken name's columns ended");
    assert_eq!(row[r#"node_network_receive_bytes_total{device="eth0"}"#], 5.0);

    world.write("net/dev", format!("{HEADINGS}{}", interface("a", 3)));
    assert_eq!(world.row().unwrap().len(), 16);
    assert_eq!(world.table.live(), 16);
    assert_eq!(world.files.asked(0).len(), 2, "files of the gone are asked for no more");
}

#[test]
fn disks_have_the_counters_their_kernel_has() {
    for (counters, series) in [(11, 11), (15, 15), (17, 17), (20, 17)] {
        let numbers = (1..=counters).map(|n| (n * 1000).to_string()).collect::<Vec<_>>();
        let line = format!("   8       0 sda {}\n", numbers.join(" "));
        let mut world = World::new("diskstats", &[("diskstats", &line)]);
        let row = world.row().unwrap();
        assert_eq!(row.len(), series + 1, "{counters} counters and the info");
        assert_eq!(row[r#"node_disk_read_bytes_total{device="sda"}"#], 3000.0 * 512.0);
        assert_eq!(row[r#"node_disk_io_time_seconds_total{device="sda"}"#], 10.0);
    }
    let mut world = World::new("diskstats", &[("diskstats", "8 0 sda 1 2 3\n")]);
    let error = world.row().unwrap_err().to_string();
    assert_eq!(error, "diskstats:1: eleven counters or more expected");
}

#[test]
fn what_udev_knows_of_a_disk_may_change() {
    let line = " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n";
    let mut world = World::new("diskstats", &[("diskstats", line)]);
    let info = |row: &BTreeMap<String, f64>| -> Vec<String> {
        row.keys().filter(|series| series.contains("_info")).cloned().collect()
    };
    let bare = r#"node_disk_info{device="sda",major="8",minor="0",rotational="0"}"#;
    assert_eq!(info(&world.row().unwrap()), [bare]);
    world.write("run/udev/data/b8:0", "E:ID_MODEL=M 1\nE:DM_NAME=x\nE:broken\n");
    world.write("block/sda/queue/rotational", "1\n");
    let known = [
        r#"node_disk_device_mapper_info{device="sda",name="x"}"#,
        r#"node_disk_info{device="sda",major="8",minor="0",model="M 1",rotational="1"}"#,
    ];
    assert_eq!(info(&world.row().unwrap()), known);
    assert_eq!(world.table.live(), 13);
    world.write("diskstats", " 8 16 sda 1 2 3 4 5 6 7 8 9 10 11\n");
    assert_eq!(
        info(&world.row().unwrap())[0],
        bare.replace("\"0\",rot", "\"16\",rot").replace(r#"rotational="0""#, r#"rotational="1""#)
    );
}

#[test]
fn memory_fields_keep_their_names_and_units() {
    let mut world = World::new(
        "meminfo",
        &[("meminfo", "MemTotal: 4 kB\nActive(anon):  1 kB\nHugePages_Free: 7\nNew-One: 2 kB\n\n")],
    );
    let row = world.row().unwrap();
    let expected = [
        ("node_memory_Active_anon_bytes", 1024.0),
        ("node_memory_HugePages_Free", 7.0),
        ("node_memory_MemTotal_bytes", 4096.0),
        ("node_memory_New_One_bytes", 2048.0),
    ];
    assert_eq!(row, expected.map(|(name, value)| (name.to_owned(), value)).into());
    world.write("meminfo", "MemTotal: 4 MB\n");
    assert_eq!(world.row().unwrap_err().to_string(), "meminfo:1: unknown unit");
}

#[test]
fn processors_come_and_go_and_their_counters_never_fall() {
    let idle = r#"node_cpu_seconds_total{cpu="1",mode="idle"}"#;
    let mut world =
        World::new("cpu", &[("stat", "cpu  1 1 1 1\ncpu1 1 2 3 40000 5\nintr 1 cpu\n")]);
    let row = world.row().unwrap();
    assert_eq!((row.len(), row[idle]), (10, 400.0));
    assert_eq!(row[r#"node_cpu_guest_seconds_total{cpu="1",mode="nice"}"#], 0.0);
    world.write("stat", "cpu  1 1 1 1\ncpu1 1 2 3 39900 5 6 7 8 9 10\n");
    assert_eq!(world.row().unwrap()[idle], 400.0);
    world.write("stat", "cpu  1 1 1 1\ncpu1 1 2 3 100 5 6 7 8 9 10\ncpu3 1 1 1 1\n");
    let row = world.row().unwrap();
    assert_eq!((row.len(), row[idle]), (20, 1.0));
    world.write("stat", "cpu  1 1 1 1\ncpu3 1 1 1 1\n");
    assert_eq!(world.row().unwrap().len(), 10);
    world.write("stat", "cpu  1 1 1 1\ncpu3 1 1 x 1\n");
    assert_eq!(world.row().unwrap_err().to_string(), "stat:2: ticks of each mode expected");
}

#[test]
fn the_names_of_the_system_follow_the_host_name() {
    let texts = ["domainname", "hostname", "osrelease", "ostype", "version"]
        .map(|name| (format!("sys/kernel/{name}"), format!("{name} 1\n")));
    let texts = texts.each_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    let mut world = World::new("uname", &texts);
    let series = |row: BTreeMap<String, f64>| row.into_keys().collect::<Vec<_>>().concat();
    assert_eq!(
        series(world.row().unwrap()),
        "node_uname_info{domainname=\"domainname 1\",machine=\"m68k\",nodename=\"hostname 1\",\
         release=\"osrelease 1\",sysname=\"ostype 1\",version=\"version 1\"}"
    );
    world.write("sys/kernel/arch", "riscv64\n");
    world.write("sys/kernel/hostname", "other\n");
    assert!(series(world.row().unwrap()).contains(r#"machine="riscv64",nodename="other""#));
    assert_eq!(world.table.live(), 1);
    world.texts.remove("sys/kernel/ostype");
    let error = world.row().unwrap_err().to_string();
    assert_eq!(error, "sys/kernel/ostype: no such file");
}

#[test]
fn time_is_told_with_zone_and_sources() {
    let mut world = World::new("time", &[]);
    let row = world.row().unwrap();
    assert_eq!(row["node_time_seconds"], 1_700_000_000.25);
    assert_eq!(row[r#"node_time_zone_offset_seconds{time_zone="UTC"}"#], 0.0);
    assert_eq!(row.len(), 2);
    // A zone in the second version of the format: one rule, no transitions.
    let block = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\0\0\x4d\x58\0\0IST\0";
    let head = b"TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    world.write("etc/localtime", [&head[..], block, head, block, b"\nIST-5:30\n"].concat());
    let path = "devices/system/clocksource/clocksource0/";
    world.write(&format!("{path}available_clocksource"), "tsc hpet \n");
    world.write(&format!("{path}current_clocksource"), "hpet\n");
    let row = world.row().unwrap();
    assert_eq!(row[r#"node_time_zone_offset_seconds{time_zone="IST"}"#], 19_800.0);
    assert_eq!(row.len(), 5);
}

const SOFTNET: &str = "net/softnet_stat:1: nine hexadecimal numbers or more expected";

#[test]
fn a_line_of_no_number_is_an_error_with_its_place() {
    let cases = [
        ("stat", "stat", "cpu 1\nbtime x\n", "stat:2: a whole number expected"),
        ("loadavg", "loadavg", "0.1 0.2\n", "loadavg:1: three load averages expected"),
        ("meminfo", "meminfo", "A: 1 kB\nB: -1 kB\n", "meminfo:2: a whole number expected"),
        ("diskstats", "diskstats", "8 x\n", "diskstats:1: device numbers and a name expected"),
        ("netdev", "net/dev", "\n\neth0 1\n", "net/dev:3: a device name expected"),
        ("vmstat", "vmstat", "nr_x\npgfault x\n", "vmstat:2: a whole number expected"),
        ("softnet", "net/softnet_stat", "1 2\n", SOFTNET),
        ("filefd", "sys/fs/file-nr", "1 2\n", "sys/fs/file-nr:1: three whole numbers expected"),
        ("netclass", "net/dev", "\n\neth0 1\n", "net/dev:3: a device name expected"),
    ];
    for (input, path, text, error) in cases {
        let mut world = World::new(input, &[(path, text)]);
        assert_eq!(world.row().unwrap_err().to_string(), error);
        let mut world = World::new(input, &[]);
        assert_eq!(world.row().unwrap_err().to_string(), format!("{path}: no such file"));
    }
}

#[test]
fn what_a_kernel_does_not_offer_is_absent_and_comes_with_its_files() {
    let cases = [
        ("conntrack", "sys/net/netfilter/nf_conntrack_count"),
        ("pressure", "pressure/memory"),
        ("schedstat", "schedstat"),
    ];
    for (input, path) in cases {
        let mut world = World::new(input, &[]);
        assert_eq!(world.row(), Err(InputError::Absent), "{input}");
        world.write("sys/net/netfilter/nf_conntrack_max", "9\n");
        let text = match input {
            "conntrack" => "1\n",
            "pressure" => "some avg10=0.00 total=2500000\n",
            _ => "version 15\ncpu0 0 0 0 0 0 0 1 2 3\n",
        };
        world.write(path, text);
        assert!(!world.row().unwrap().is_empty(), "{input}");
    }
}

#[test]
fn protocols_are_found_anew_when_their_names_change() {
    let texts = [
        ("net/netstat", "TcpExt: A ListenDrops\nTcpExt: 1 2\n"),
        ("net/snmp", "Tcp: MaxConn CurrEstab\nTcp: -1 5\nUdp: InErrors\nUdp: 7\n"),
    ];
    let mut world = World::new("netstat", &texts);
    let expected = [
        ("node_netstat_TcpExt_ListenDrops", 2.0),
        ("node_netstat_Tcp_CurrEstab", 5.0),
        ("node_netstat_Udp_InErrors", 7.0),
    ];
    assert_eq!(world.row().unwrap(), expected.map(|(name, value)| (name.to_owned(), value)).into());
    world.write("net/snmp", "Tcp: CurrEstab\nTcp: 6\n");
    world.write("net/snmp6", "Udp6InErrors 3\nnothing 4\nIp6InDelivers 5\n");
    let row = world.row().unwrap();
    assert_eq!((row.len(), world.table.live()), (3, 3));
    assert_eq!(row["node_netstat_Tcp_CurrEstab"], 6.0);
    assert_eq!(row["node_netstat_Udp6_InErrors"], 3.0);
    world.write("net/snmp", "Tcp: InSegs CurrEstab\nTcp: 6\n");
    assert_eq!(world.row().unwrap_err().to_string(), "net/snmp:2: a value is missing");
}

#[test]
fn sockets_have_the_fields_their_protocol_has() {
    let mut world = World::new("sockstat", &[]);
    assert_eq!(world.row().unwrap().len(), 0, "no version of IP is on");
    world.write("net/sockstat", "sockets: used 9\nTCP: inuse 1 tw 2 mem 3\n");
    let row = world.row().unwrap();
    assert_eq!((row.len(), row["node_sockstat_TCP_mem_bytes"]), (5, 3.0 * 4096.0));
    world.write("net/sockstat", "sockets: used 9\nTCP: inuse 4 mem 5\n");
    world.write("net/sockstat6", "TCP6: inuse 6\n");
    let row = world.row().unwrap();
    let names: Vec<&str> = row.keys().map(String::as_str).collect();
    let mem = ["node_sockstat_TCP_mem", "node_sockstat_TCP_mem_bytes"];
    let all = ["node_sockstat_TCP6_inuse", "node_sockstat_TCP_inuse", mem[0], mem[1]];
    assert_eq!(names, [&all[..], &["node_sockstat_sockets_used"]].concat());
    assert_eq!(world.table.live(), 5);
    world.write("net/sockstat", "TCP: inuse\n");
    let error = world.row().unwrap_err().to_string();
    assert_eq!(error, "net/sockstat:1: a name and a whole number expected");
}

#[test]
fn mounts_come_go_fail_and_recover() {
    let line = |point: &str| format!("1 1 8:1 / {point} rw shared:1 - ext4 /dev/a rw\n");
    let mut world = World::new("filesystem", &[("self/mountinfo", &line("/x"))]);
    world.write("/x", "10 9 8 7 6");
    let size = |point: &str| {
        let labels = format!("device=\"/dev/a\",fstype=\"ext4\",mountpoint=\"{point}\"");
        format!("node_filesystem_size_bytes{{{labels}}}")
    };
    assert_eq!(world.row().unwrap()[&size("/x")], 10.0, "the agent's own list");
    world.write("1/mountinfo", [line("/y"), line("/y"), line("/dev/z")].concat());
    world.write("/y", "20 9 8 7 6");
    let row = world.row().unwrap();
    assert_eq!((row.len(), world.table.live(), row[&size("/y")]), (7, 7, 20.0));
    world.texts.remove("/y");
    let row = world.row().unwrap();
    let labels = "device=\"/dev/a\",device_error=\"no such file or directory\",fstype=\"ext4\",\
                  mountpoint=\"/y\"";
    let expected = [("device_error", 1.0), ("readonly", 0.0)];
    let expected =
        expected.map(|(name, value)| (format!("node_filesystem_{name}{{{labels}}}"), value));
    assert_eq!(row, expected.into());
    world.write("/y", "30 9 8 7 6");
    let row = world.row().unwrap();
    assert_eq!((row.len(), world.table.live(), row[&size("/y")]), (7, 7, 30.0));
    world.write("1/mountinfo", "");
    assert_eq!((world.row().unwrap().len(), world.files.asked(0).len()), (0, 2));
}

#[test]
fn too_many_mounts_are_an_error_of_each_row() {
    let line = |n: usize| format!("1 1 8:1 / /{n} rw shared:1 - ext4 /dev/a rw\n");
    let list: String = (0..=crate::pure::roster::NAMES_MAX).map(line).collect();
    let mut world = World::new("filesystem", &[("1/mountinfo", &list)]);
    for _ in 0..2 {
        assert_eq!(world.row().unwrap_err(), InputError::TooManyDevices);
    }
    world.write("1/mountinfo", line(0));
    assert!(world.row().is_ok());
}

#[test]
fn the_state_of_an_interface_changes_its_info_and_nothing_else() {
    let list = format!("{HEADINGS}{}", interface("a", 1));
    let mut world = World::new("netclass", &[("net/dev", &list)]);
    assert_eq!(world.row().unwrap().len(), 0, "nothing is told of it");
    for (file, text) in [("operstate", "up\n"), ("flags", "0x3\n"), ("speed", "100\n")] {
        world.write(&format!("class/net/a/{file}"), text);
    }
    let row = world.row().unwrap();
    assert_eq!(row[r#"node_network_speed_bytes{device="a"}"#], 12_500_000.0);
    assert_eq!(row[r#"node_network_info{adminstate="up",device="a",operstate="up"}"#], 1.0);
    let edits = world.table.edits().len();
    world.write("class/net/a/operstate", "down\n");
    world.write("class/net/a/speed", "");
    let row = world.row().unwrap();
    assert_eq!(row[r#"node_network_up{device="a"}"#], 0.0);
    assert_eq!(row[r#"node_network_info{adminstate="up",device="a",operstate="down"}"#], 1.0);
    assert_eq!((row.len(), world.table.live()), (3, 3));
    assert_eq!((edits, world.table.edits().len()), (4, 3), "{:?}", world.table.edits());
    world.write("net/dev", HEADINGS);
    assert_eq!((world.row().unwrap().len(), world.files.asked(0).len()), (0, 1));
    assert_eq!(world.table.live(), 0);
}

#[test]
fn the_clock_is_told_in_seconds_and_ratios() {
    let mut world =
        World::new("timex", &[(CLOCK, "0 8193 -1500 65536 2 3 7 10000 0 0 0 0 0 0 0 0 37")]);
    let row = world.row().unwrap();
    assert_eq!(row["node_timex_offset_seconds"], -1.5e-6);
    assert_eq!(row["node_timex_frequency_adjustment_ratio"], 1.000_001);
    assert_eq!((row["node_timex_sync_status"], row["node_timex_tai_offset_seconds"]), (1.0, 37.0));
    world.write(CLOCK, "5 64 -1500 0 2 3 7 10000 0 0 0 0 0 0 0 0 0");
    let row = world.row().unwrap();
    assert_eq!((row["node_timex_offset_seconds"], row["node_timex_sync_status"]), (-1.5e-3, 0.0));
    world.write(CLOCK, "5 64");
    let error = world.row().unwrap_err().to_string();
    assert_eq!(error, "adjtimex:1: seventeen whole numbers expected");
}

#[test]
fn no_two_rows_of_an_agent_have_the_same_number() {
    let mut world = World::new("sequence", &[]);
    let mut value = || world.row().unwrap()["bellwether_agent_sequence"];
    let first = value();
    assert!(first > 3.0 * 4_294_967_296.0, "{first}");
    assert!(value() > first);
}

#[test]
fn an_input_at_its_bound_keeps_what_it_has() {
    let text = format!("{HEADINGS}{}{}", interface("a", 1), interface("b", 2));
    let mut world = World::new("netdev", &[("net/dev", &text)]);
    world.owned = Owned::new(20);
    assert_eq!(world.row().unwrap().len(), 20);
    assert_eq!(world.owned.left_out(), 12);
}

proptest! {
    /// Whatever the files hold, an input answers and stays within its bound.
    #[test]
    fn any_bytes_are_a_row_or_an_error(
        input in 0..INPUTS.len(),
        texts in proptest::collection::vec(
            proptest::collection::vec(
                prop_oneof![Just(b' '), Just(b'\n'), Just(b':'), b'0'..=b':', any::<u8>()], 0..200,
            ),
            3,
        ),
    ) {
        let mut world = World::new(INPUTS[input].name, &[]);
        for text in texts {
            for number in world.files.asked(0).to_vec() {
                let path = world.files.file(number).unwrap().path().to_owned();
                world.write(&path, &text);
            }
            if let Ok(row) = world.row() {
                prop_assert!(row.len() <= 1000);
            }
        }
    }
}

#[test]
fn roots_are_where_the_reference_says() {
    for spec in INPUTS {
        let world = World::new(spec.name, &[]);
        for number in world.files.asked(0) {
            let file = world.files.file(*number).unwrap();
            if file.source() == Source::Clock {
                continue;
            }
            let is_listed = spec.files.iter().any(|pattern| {
                let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
                file.path().starts_with(start) && file.path().ends_with(end)
            });
            assert!(is_listed, "{}: {}", spec.name, file.path());
            let is_sys = file.path().starts_with("devices/");
            assert_eq!(is_sys, file.root() == Root::Sys, "{}", file.path());
        }
    }
}
