use super::*;
use crate::pure::input::INPUTS;

fn around() -> Surroundings {
    Surroundings {
        host_name: "web1".to_owned(),
        data_dir: "/var/lib/bellwether".into(),
        environment: [("TOKEN".to_owned(), "t0ps3cret".to_owned())].into(),
    }
}

fn plan(text: &str) -> Plan {
    match read("agent.yaml", text, &around(), &Overrides::default()) {
        Ok((plan, warnings)) if warnings.is_empty() => plan,
        Ok((_, warnings)) => panic!("{warnings}"),
        Err(problems) => panic!("{problems}"),
    }
}

fn problems(text: &str) -> String {
    let problems = read("agent.yaml", text, &around(), &Overrides::default()).unwrap_err();
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn an_empty_file_is_a_whole_plan() {
    let plan = plan("");
    assert_eq!(plan.agent.state_dir, PathBuf::from("/var/lib/bellwether/agent"));
    let target = r#"{environment="production",instance="web1",job="node"}"#;
    assert_eq!(plan.target.to_string(), target);
    assert_eq!(plan.exporter.listen.to_string(), "127.0.0.1:9798");
    assert_eq!(plan.collectors, []);
    let names: Vec<_> = plan.inputs.iter().map(|input| input.spec.name).collect();
    let all = INPUTS.iter().filter(|spec| spec.is_default).map(|spec| spec.name);
    assert_eq!(names, all.collect::<Vec<_>>());
    let slow = plan.inputs.iter().filter(|input| input.cadence() == Duration::from_secs(15));
    let slow: Vec<_> = slow.map(|input| input.spec.name).collect();
    assert_eq!(slow, ["timex", "filesystem", "netclass", "arp"]);
    let common = plan.inputs.iter().filter(|input| input.cadence() == Duration::from_secs(1));
    assert_eq!(common.count(), names.len() - slow.len());
    let spool = SpoolPlan { bytes_max: 512 << 20, age_max: SPOOL_AGE, sync: SpoolSync::Auto };
    assert_eq!(plan.spool, spool);
}

#[test]
fn everything_can_be_said() {
    let plan = plan(
        "agent: {instance: '{host}:9100', environment: staging, job: linux, data_dir: /srv/b}\n\
         collectors:\n  - {url: 'http://127.0.0.1:9797/', token: '${TOKEN}'}\n  \
         - {url: 'http://[::1]:1', token_file: /etc/t}\n  - url: http://c:9797\n\
         exporter: {listen: '127.0.0.1:9100'}\n\
         inputs:\n  interval: 5s\n  cpu: {interval: 1s}\n  meminfo: {enabled: false}\n  \
         netdev: {device_exclude: '^lo$'}\n  diskstats: {device_include: sd}\n  \
         netclass: {interval: 20s}\n  vmstat: {field_include: '^nr_'}\n  \
         filesystem: {fs_type_exclude: '^nfs'}\n  \
         sequence: {enabled: true, rows_per_second: 100}\n\
         spool: {bytes_max: 1GiB, age_max: 2d, sync: always}\n\
         limits: {series_per_input: 500}\n\
         labels: {rack: '7'}\n",
    );
    let target = r#"{environment="staging",instance="web1:9100",job="linux",rack="7"}"#;
    assert_eq!(plan.target.to_string(), target);
    assert_eq!(plan.agent.state_dir, PathBuf::from("/srv/b/agent"));
    let collectors: Vec<_> = plan.collectors.iter().map(|c| (c.url.as_str(), &c.token)).collect();
    let expected = [
        ("http://127.0.0.1:9797", &Some(Secret::text("t0ps3cret"))),
        ("http://[::1]:1", &Some(Secret::file("/etc/t"))),
        ("http://c:9797", &None),
    ];
    assert_eq!(collectors, expected);
    assert!(!format!("{plan:?}").contains("t0ps3cret"));
    let input = |name| plan.inputs.iter().find(|input| input.spec.name == name);
    assert!(input("meminfo").is_none());
    assert_eq!(input("cpu").unwrap().cadence(), Duration::from_secs(1));
    assert_eq!(input("time").unwrap().cadence(), Duration::from_secs(5));
    assert_eq!(input("sequence").unwrap().cadence(), Duration::from_millis(10));
    assert_eq!(input("uname").unwrap().series_max, 500);
    assert_eq!(input("arp").unwrap().cadence(), Duration::from_secs(15));
    assert_eq!(input("netclass").unwrap().cadence(), Duration::from_secs(20));
    let vmstat = &input("vmstat").unwrap().filters[0];
    assert!(vmstat.takes(b"nr_dirty") && !vmstat.takes(b"pgfault"));
    let [points, types] = &input("filesystem").unwrap().filters[..] else { panic!() };
    assert!(types.takes(b"ext4") && types.takes(b"proc") && !types.takes(b"nfs4"));
    assert!(points.takes(b"/home") && !points.takes(b"/dev/shm"), "its default stays");
    let netdev = &input("netdev").unwrap().filters[0];
    assert!(netdev.takes(b"eth0") && !netdev.takes(b"lo"));
    let disks = &input("diskstats").unwrap().filters[0];
    assert!(disks.takes(b"sda1") && !disks.takes(b"vda"));
    assert_eq!((plan.spool.bytes_max, plan.spool.sync), (1 << 30, SpoolSync::Always));
}

#[test]
fn flags_stand_over_the_file() {
    let over = Overrides {
        data_dir: Some("/x".into()),
        listen: Some(([127, 0, 0, 1], 0).into()),
        collector: Some("http://h:1/".to_owned()),
        token_file: Some("/t".into()),
    };
    let text = "agent: {data_dir: /y}\nexporter: {listen: '127.0.0.1:1'}\n\
                collectors: [{url: 'http://a:1'}]\n";
    let (plan, _) = read("f", text, &around(), &over).unwrap();
    assert_eq!(plan.agent.state_dir, PathBuf::from("/x/agent"));
    assert_eq!(plan.exporter.listen.port(), 0);
    let collector = CollectorPlan { url: "http://h:1".to_owned(), token: Some(Secret::file("/t")) };
    assert_eq!(plan.collectors, [collector]);
    for over in [
        Overrides { collector: Some("h".to_owned()), ..Overrides::default() },
        Overrides { listen: Some(([0, 0, 0, 0], 1).into()), ..Overrides::default() },
    ] {
        assert_eq!(read("f", "", &around(), &over).unwrap_err().len(), 1);
    }
}

#[test]
fn every_problem_is_named_with_its_place() {
    let text = "agent: {job: ''}\n\
                collectors:\n  - {url: 'https://c:9797', token: abc}\n  - {url: 'http://c'}\n  \
                - {url: 'http://c:0'}\n  - {url: 'http://u@c:1'}\n  - {}\n\
                exporter: {listen: '0.0.0.0:9798'}\n\
                inputs:\n  interval: 1500ms\n  cpus: {}\n  netdev: {device_include: '('}\n  \
                diskstats: {device_include: a, device_exclude: b}\n  \
                sequence: {rows_per_second: 3}\n  loadavg: {rows_per_second: 1}\n\
                spool: {bytes_max: 1B, sync: never}\n\
                labels: {job: x, 9a: b, __x: y}\n";
    insta::assert_snapshot!(problems(text));
}

#[test]
fn the_reference_has_every_key() {
    let docs = docs();
    let names: Vec<&str> = docs.iter().map(|doc| doc.name.as_str()).collect();
    for name in [
        "agent.instance",
        "collectors[].token_file",
        "exporter.listen",
        "inputs.netdev.device_exclude",
        "inputs.filesystem.mount_point_include",
        "inputs.sequence.rows_per_second",
        "limits.series_per_input",
        "spool.sync",
        "labels",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}
