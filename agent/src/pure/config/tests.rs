use bellwether_platform::dial::Proxy;
use bellwether_platform::principal::TokenHash;
use bellwether_platform::tls::IdentityFiles;

use super::*;
use crate::pure::input::INPUTS;

fn around() -> Surroundings {
    Surroundings {
        host_name: "web1".to_owned(),
        data_dir: "/var/lib/bellwether".into(),
        environment: [("TOKEN".to_owned(), "t0ps3cret".to_owned())].into(),
    }
}

pub(super) fn plan(text: &str) -> Plan {
    match read("agent.yaml", text, &around(), &Overrides::default()) {
        Ok((plan, warnings)) if warnings.is_empty() => plan,
        Ok((_, warnings)) => panic!("{warnings}"),
        Err(problems) => panic!("{problems}"),
    }
}

pub(super) fn problems(text: &str) -> String {
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
    assert_eq!(slow, ["timex", "filesystem", "netclass", "arp", "self"]);
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
        collector: Some("https://h:1/".to_owned()),
        token_file: Some("/t".into()),
        ca_file: Some("/ca".into()),
    };
    let text = "agent: {data_dir: /y}\nexporter: {listen: '127.0.0.1:1'}\n\
                collectors: [{url: 'http://a:1'}]\n";
    let (plan, _) = read("f", text, &around(), &over).unwrap();
    assert_eq!(plan.agent.state_dir, PathBuf::from("/x/agent"));
    assert_eq!(plan.exporter.listen.port(), 0);
    let collector = CollectorPlan {
        url: "https://h:1".to_owned(),
        token: Some(Secret::file("/t")),
        tls: ClientFiles { ca: Some("/ca".into()), identity: None },
        server_name: None,
        way: Way::Direct,
    };
    assert_eq!(plan.collectors, [collector]);
    for over in [
        Overrides { collector: Some("h".to_owned()), ..Overrides::default() },
        Overrides { listen: Some(([0, 0, 0, 0], 1).into()), ..Overrides::default() },
    ] {
        assert_eq!(read("f", "", &around(), &over).unwrap_err().len(), 1);
    }
}

#[test]
fn a_collector_is_reached_by_tls_and_through_proxies() {
    let collectors = plan(
        "collectors:\n  - {url: 'https://c:9797', token: '${TOKEN}', ca_file: /ca, server_name: d, \
         cert_file: /c, key_file: /k, proxy: 'http://u:p4ssword@p:3128'}\n  \
         - {url: 'https://c:443', proxy: none}\n  - {url: 'https://c:1', proxy_file: /p}\n",
    );
    assert!(!format!("{collectors:?}").contains("p4ssword"));
    let [first, second, third] = collectors.collectors.try_into().unwrap();
    assert_eq!(first.way, Way::Proxy(Proxy::parse("http://u:p4ssword@p:3128").unwrap()));
    let identity = Some(IdentityFiles { cert: "/c".into(), key: "/k".into() });
    assert_eq!(first.tls, ClientFiles { ca: Some("/ca".into()), identity });
    assert_eq!(first.server_name.as_deref(), Some("d"));
    assert_eq!((second.way, second.tls), (Way::Direct, ClientFiles::default()));
    assert_eq!(third.way, Way::ProxyFile("/p".into()));

    let bad = problems(
        "collectors:\n  - {url: 'https://c:1', cert_file: /c}\n  \
         - {url: 'https://c:1', proxy: 'socks5://u:hunter2@p:1'}\n",
    );
    let expected = "agent.yaml:2:37: error[cfg007]: `cert_file` needs `key_file`\n\
        agent.yaml:3:33: error[cfg013]: `proxy` must be a proxy's http://[USER:PASSWORD@]HOST:PORT\n";
    assert_eq!(bad, expected);
}

#[test]
fn proxies_of_the_environment_count_where_the_file_says_nothing() {
    let mut around = around();
    let set = [("HTTPS_PROXY", "http://p:3128"), ("http_proxy", "q:1"), ("NO_PROXY", ".here")];
    let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
    around.environment.extend(set);
    let text = "collectors:\n  - {url: 'https://c:1'}\n  - {url: 'http://c:1'}\n  \
                - {url: 'https://a.here:1'}\n  - {url: 'https://127.0.0.1:1'}\n  \
                - {url: 'https://c:1', proxy: none}\n";
    let (plan, warnings) = read("f", text, &around, &Overrides::default()).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    let ways: Vec<Way> = plan.collectors.into_iter().map(|collector| collector.way).collect();
    let via = |text| Way::Proxy(Proxy::parse(text).unwrap());
    let expected = [via("http://p:3128"), via("http://q:1"), Way::Direct, Way::Direct, Way::Direct];
    assert_eq!(ways, expected);

    around.environment.insert("HTTPS_PROXY".to_owned(), "socks5://p:1".to_owned());
    let over = Overrides { collector: Some("https://c:1".to_owned()), ..Overrides::default() };
    let (plan, warnings) = read("f", "", &around, &over).unwrap();
    assert_eq!((plan.collectors.len(), warnings.len()), (1, 1), "{warnings}");
    assert!(warnings.to_string().contains("`HTTPS_PROXY` is not"), "{warnings}");
}

#[test]
fn a_token_without_tls_is_warned_of_beyond_this_machine() {
    for (url, warned) in [
        ("http://c:1", true),
        ("http://10.0.0.1:1", true),
        ("http://localhost:1", false),
        ("http://[::1]:1", false),
        ("https://c:1", false),
    ] {
        let text = format!("collectors: [{{url: '{url}', token_file: /t}}]\n");
        let (_, warnings) = read("f", &text, &around(), &Overrides::default()).unwrap();
        assert_eq!(warnings.len(), usize::from(warned), "{url}: {warnings}");
    }
}

#[test]
fn the_page_is_shown_to_the_network_by_tls_and_to_those_with_a_token() {
    let tls = "tls: {cert_file: /c, key_file: /k}";
    let certified = "tls: {cert_file: /c, key_file: /k, client_ca_file: /ca}";
    for (exporter, good) in [
        (tls.to_owned(), false),
        ("token_file: /t".to_owned(), false),
        (format!("{tls}, token_file: /t"), true),
        (certified.to_owned(), true),
    ] {
        let text = format!("exporter: {{listen: '0.0.0.0:9100', {exporter}}}\n");
        let read = read("f", &text, &around(), &Overrides::default());
        assert_eq!(read.is_ok(), good, "{text}");
    }
    let exporter = plan("exporter: {token: 0123456789abcdef}\n").exporter;
    assert_eq!(exporter.token, Some(TokenSource::Hash(TokenHash::of(b"0123456789abcdef"))));
    assert!(exporter.has_readers() && exporter.tls.is_none());
    assert!(problems("exporter: {token: short}\n").contains("must be 16 to 512 printable"));
}

#[test]
fn every_problem_is_named_with_its_place() {
    let text = "agent: {job: ''}\n\
                collectors:\n  - {url: 'ftp://c:9797', token: abc}\n  - {url: 'http://c'}\n  \
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
        "collectors[].ca_file",
        "collectors[].proxy",
        "exporter.listen",
        "exporter.tls.cert_file",
        "inputs.netdev.device_exclude",
        "inputs.filesystem.mount_point_include",
        "inputs.sequence.rows_per_second",
        "inputs.probe.targets[].url",
        "inputs.probe.modules.<name>.http.valid_status_codes",
        "inputs.probe.modules.<name>.http.bearer_token_file",
        "inputs.scrape.interval",
        "inputs.scrape.scrape_configs[].static_configs[].targets",
        "inputs.scrape.scrape_configs[].metric_relabel_configs[].source_labels",
        "inputs.scrape.scrape_configs[].basic_auth.password_file",
        "inputs.scrape.scrape_configs[].version.build_info",
        "limits.series_per_input",
        "spool.sync",
        "labels",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}
