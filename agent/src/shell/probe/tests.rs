use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_platform::listener::{Limits, Listener, Safeguards, service_fn};
use bellwether_platform::tls::{IdentityFiles, ServerFiles, ServerTls};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use super::*;
use crate::pure::config::{Overrides, Surroundings, read};
use crate::pure::probe::series::series;

/// The targets of a section `inputs.probe`, written in one line of YAML.
fn plans(section: &str) -> Vec<TargetPlan> {
    let text = format!("inputs: {{probe: {{{section}}}}}\n");
    let around = Surroundings { host_name: "h".to_owned(), ..Surroundings::default() };
    read("f", &text, &around, &Overrides::default()).unwrap().0.probes
}

fn probe_all(plans: &[TargetPlan]) -> Vec<Sight> {
    let mut results: Vec<Probed> = Probing::once(plans, &Clock::agent()).unwrap().take().collect();
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, sight)| sight).collect()
}

/// One probe of a URL, by a module's keys of `http` or `tcp`.
fn probe(url: &str, http: &str) -> Sight {
    let prober = if url.starts_with("tcp:") { "tcp" } else { "http" };
    let section = format!(
        "modules: {{m: {{prober: {prober}, timeout: 5s, {prober}: {{{http}}}}}}}, \
         targets: [{{url: '{url}', module: m}}]"
    );
    probe_all(&plans(&section)).remove(0)
}

/// What a sight tells, by series.
fn told(sight: &Sight) -> std::collections::BTreeMap<String, f64> {
    let series = series(sight, Duration::ZERO);
    let named = series.iter().map(|sample| {
        let labels = sample.labels.iter().map(|(name, value)| (*name, value.as_str()));
        let labels = LabelSet::new(labels).unwrap().to_string().replace("{}", "");
        (format!("{}{labels}", sample.family.name), sample.value)
    });
    named.collect()
}

fn words(sight: &Sight) -> &str {
    sight.failure.as_ref().map_or("fine", |failure| &failure.words)
}

/// Answers each connection by a function of the head that came over it; connections stay open
/// until the test ends.
fn serve_at(
    address: &str,
    answer: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                answer(&mut stream, &String::from_utf8_lossy(&head));
                // Until the other side is gone.
                stream.read_exact(&mut byte).ok();
            });
        }
    });
    address
}

fn serve(answer: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static) -> SocketAddr {
    serve_at("127.0.0.1:0", answer)
}

/// The same bytes for everyone.
fn always(text: &'static str) -> SocketAddr {
    serve(move |stream, _| stream.write_all(text.as_bytes()).unwrap())
}

/// A port of this machine where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_good_answer_is_told_with_its_phases() {
    let address = always(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\
         Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello",
    );
    let sight = probe(&format!("http://{address}/x"), "");
    assert_eq!(words(&sight), "fine");
    let told = told(&sight);
    for (series, value) in [
        ("probe_success", 1.0),
        ("probe_ip_protocol", 4.0),
        ("probe_ip_addr_hash", 3_668_918_509.0),
        ("probe_failed_due_to_regex", 0.0),
        ("probe_http_status_code", 200.0),
        ("probe_http_version", 1.1),
        ("probe_http_redirects", 0.0),
        ("probe_http_ssl", 0.0),
        ("probe_http_content_length", 5.0),
        ("probe_http_uncompressed_body_length", 5.0),
        ("probe_http_last_modified_timestamp_seconds", 784_111_777.0),
        ("probe_http_duration_seconds{phase=\"tls\"}", 0.0),
    ] {
        assert_eq!(told.get(series), Some(&value), "{series}: {told:?}");
    }
    let phase = |name| told[&format!("probe_http_duration_seconds{{phase={name:?}}}")];
    assert!(phase("connect") > 0.0 && phase("processing") > 0.0, "{told:?}");
    let all = ["resolve", "connect", "tls", "processing", "transfer"].map(phase);
    assert!(all.iter().sum::<f64>() <= told["probe_duration_seconds"], "{told:?}");
    assert!(!told.keys().any(|series| series.contains("ssl_") || series.contains("tls_")));
}

#[test]
fn a_wrong_status_and_answers_that_are_none_fail() {
    let down = always("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    let sight = probe(&format!("http://{down}"), "");
    assert_eq!((words(&sight), told(&sight)["probe_http_status_code"]), ("status 500", 500.0));
    assert_eq!(words(&probe(&format!("http://{down}"), "valid_status_codes: [5xx]")), "fine");

    let sight = probe(&format!("http://{}", nobody()), "");
    assert!(words(&sight).starts_with("cannot connect: Connection refused"), "{sight:?}");
    assert_eq!(told(&sight)["probe_http_duration_seconds{phase=\"connect\"}"], 0.0);
    assert_eq!(told(&sight)["probe_ip_protocol"], 4.0);

    for (text, expected) in [
        ("SSH-2.0-x\r\n", "no answer: "),
        ("", "no answer: "),
        ("HTTP/1.1 200 OK\r\nContent-Le", "no answer: "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell", "the body broke off: "),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the body broke off: "),
    ] {
        let address = serve(move |stream, _| {
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let sight = probe(&format!("http://{address}"), "");
        assert!(words(&sight).starts_with(expected), "{text:?}: {sight:?}");
        assert_eq!(told(&sight)["probe_success"], 0.0);
    }
    let endless = serve(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        while stream.write_all(b"a: b\r\n").is_ok() {}
    });
    let sight = probe(&format!("http://{endless}"), "");
    assert!(words(&sight).starts_with("no answer: "), "{sight:?}");
}

#[test]
fn one_deadline_bounds_the_whole_probe_and_what_was_seen_by_then_is_told() {
    let silent = always("");
    let slow_head = always("HTTP/1.1 200 OK\r\nSer");
    let slow_body = always("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell");
    let urls = [silent, slow_head, slow_body];
    let targets: Vec<String> =
        urls.iter().map(|address| format!("{{url: 'http://{address}', timeout: 100ms}}")).collect();
    let sights = probe_all(&plans(&format!("targets: [{}]", targets.join(", "))));
    let statuses: Vec<f64> = sights.iter().map(|s| told(s)["probe_http_status_code"]).collect();
    assert_eq!(statuses, [0.0, 0.0, 200.0]);
    for sight in &sights {
        assert_eq!(words(sight), "not done within 100ms");
        assert!(told(sight)["probe_duration_seconds"] >= 0.1);
        assert!(told(sight)["probe_http_duration_seconds{phase=\"connect\"}"] > 0.0);
    }
    let phase = "probe_http_duration_seconds{phase=\"processing\"}";
    assert_eq!((told(&sights[0])[phase], told(&sights[1])[phase]), (0.0, 0.0));
    assert!(told(&sights[2])[phase] > 0.0);
    assert_eq!(told(&sights[2])["probe_http_uncompressed_body_length"], 4.0);
}

#[test]
fn redirects_are_followed_to_their_bound() {
    let ended = always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&heads);
    let address = serve(move |stream, head| {
        seen.lock().unwrap().push(head.to_owned());
        let to = match head {
            _ if head.contains(" /loop ") => "loop".to_owned(),
            _ if head.contains(" /a ") => "./b/../c".to_owned(),
            _ if head.contains(" /bad ") => "gopher://x".to_owned(),
            _ => format!("http://{ended}/x"),
        };
        let text = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(text.as_bytes()).unwrap();
    });
    let sight = probe(&format!("http://{address}/a"), "headers: {X-A: b}");
    assert_eq!((words(&sight), told(&sight)["probe_http_redirects"]), ("fine", 2.0));
    assert_eq!(told(&sight)["probe_http_content_length"], 2.0);
    let paths: Vec<String> = heads
        .lock()
        .unwrap()
        .drain(..)
        .map(|head| head.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(paths, ["/a", "/c"]);

    let sight = probe(&format!("http://{address}/loop"), "");
    assert_eq!((words(&sight), told(&sight)["probe_http_redirects"]), ("status 302", 11.0));
    assert_eq!(heads.lock().unwrap().drain(..).count(), 11);

    let sight = probe(&format!("http://{address}/a"), "follow_redirects: false");
    assert_eq!((words(&sight), told(&sight)["probe_http_redirects"]), ("status 302", 1.0));
    let known = "follow_redirects: false, valid_status_codes: [302]";
    assert_eq!(words(&probe(&format!("http://{address}/a"), known)), "fine");
    let sight = probe(&format!("http://{address}/bad"), "");
    assert_eq!(words(&sight), "redirected to what is no URL of http or https");
}

#[test]
fn what_is_private_is_not_told_to_where_a_redirect_leads() {
    let (tell, heads) = channel();
    let (tell, other) = (Mutex::new(tell.clone()), Mutex::new(tell));
    let elsewhere = serve(move |stream, head| {
        other.lock().unwrap().send(head.to_owned()).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let address = serve(move |stream, head| {
        tell.lock().unwrap().send(head.to_owned()).unwrap();
        let head = format!("HTTP/1.1 307 X\r\nLocation: http://{elsewhere}/\r\n");
        stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes()).unwrap();
    });
    let file = std::env::temp_dir().join(format!("bellwether-probe-key-{}", std::process::id()));
    std::fs::write(&file, "from-file\n").unwrap();
    let sight = probe(
        &format!("http://{address}/p?q=1"),
        &format!(
            "method: POST, body: text, bearer_token: t0ken, headers: {{X-Plain: a, Host: named}}, \
             header_files: {{X-Key: {}}}",
            file.display()
        ),
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(words(&sight), "fine");
    let (first, second) = (heads.recv().unwrap(), heads.recv().unwrap());
    let has = |head: &str, line: &str| head.to_lowercase().contains(&format!("{line}\r\n"));
    assert!(first.starts_with("POST /p?q=1 HTTP/1.1\r\n"), "{first}");
    for line in ["host: named", "authorization: bearer t0ken", "x-key: from-file", "x-plain: a"] {
        assert!(has(&first, line), "{line}: {first}");
    }
    assert!(has(&first, "content-length: 4") && has(&first, "connection: close"), "{first}");
    assert!(first.to_lowercase().contains("user-agent: bellwether-agent/"), "{first}");
    assert!(second.starts_with("POST / HTTP/1.1\r\n") && has(&second, "content-length: 4"));
    assert!(has(&second, "x-plain: a") && has(&second, &format!("host: {elsewhere}")));
    assert!(!second.contains("t0ken") && !second.contains("from-file"), "{second}");

    let gone = probe(&format!("http://{address}/"), "header_files: {X-Key: /no/such}");
    assert_eq!(words(&gone), "cannot read \"/no/such\": entity not found");
    let odd = probe(&format!("http://{address}/"), "header_files: {X-Key: /dev/zero}");
    assert_eq!(words(&odd), "cannot read \"/dev/zero\": it is no regular file");
}

#[test]
fn bodies_are_looked_at_up_to_their_bound() {
    let address = always("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nVia: x\r\n\r\nall good");
    let url = format!("http://{address}");
    let judged = |http: &str| {
        let sight = probe(&url, http);
        let by_pattern = told(&sight)["probe_failed_due_to_regex"];
        (words(&sight).to_owned(), by_pattern)
    };
    assert_eq!(judged("fail_if_body_not_matches_regexp: ['go+d$']").0, "fine");
    assert_eq!(judged("fail_if_body_not_matches_regexp: [bad]").1, 1.0);
    assert_eq!(judged("fail_if_body_matches_regexp: [ALL, '(?i)ALL']").1, 1.0);
    assert_eq!(judged("fail_if_header_matches: [{header: via, regexp: x}]").1, 1.0);
    assert_eq!(judged("body_size_limit: 8B").0, "fine");
    let (reason, by_pattern) = judged("body_size_limit: 7B, fail_if_body_matches_regexp: [all]");
    assert_eq!((reason.as_str(), by_pattern), ("the body is longer than 7 bytes", 0.0));

    // One that does not end is read up to a mebibyte.
    let endless = serve(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let sight = probe(&format!("http://{endless}"), "");
    assert_eq!(words(&sight), "the body is longer than 1048576 bytes");
    assert_eq!(told(&sight)["probe_http_uncompressed_body_length"], 1_048_576.0);
    assert_eq!(told(&sight)["probe_http_content_length"], -1.0);
}

#[test]
fn ports_are_open_or_closed() {
    let open = probe(&format!("tcp://{}", always("")), "");
    assert_eq!(words(&open), "fine");
    let names: Vec<String> = told(&open).into_keys().collect();
    let expected = [
        "probe_dns_lookup_time_seconds",
        "probe_duration_seconds",
        "probe_failed_due_to_regex",
        "probe_ip_addr_hash",
        "probe_ip_protocol",
        "probe_success",
        "probe_timeout_seconds",
    ];
    assert_eq!(names, expected);
    let closed = probe(&format!("tcp://{}", nobody()), "");
    assert!(words(&closed).starts_with("cannot connect: "), "{closed:?}");
    let nowhere = probe("tcp://no-such-name.invalid:1", "");
    assert!(words(&nowhere).starts_with("no address: "), "{nowhere:?}");
    assert_eq!(told(&nowhere)["probe_ip_protocol"], 0.0);
    let greets = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = format!("tcp://{}", greets.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = greets.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let plain = probe(&plain, "tls: true");
    assert!(words(&plain).starts_with("TLS failed: "), "{plain:?}");
}

#[test]
fn names_and_addresses_of_either_family() {
    let answer = |stream: &mut TcpStream, _: &str| {
        stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").unwrap();
    };
    let six = serve_at("[::1]:0", answer);
    let sight = probe(&format!("http://{six}/"), "");
    assert_eq!((words(&sight), told(&sight)["probe_ip_protocol"]), ("fine", 6.0));
    assert_eq!(told(&sight)["probe_http_content_length"], 0.0);
    let four = serve_at("127.0.0.1:0", answer);
    let url = format!("http://localhost:{}/", four.port());
    let sight = probe(&url, "preferred_ip_protocol: ip4");
    assert_eq!((words(&sight), told(&sight)["probe_ip_protocol"]), ("fine", 4.0));
    let sight = probe(&format!("http://{four}/"), "ip_protocol_fallback: false");
    assert_eq!(words(&sight), "the name has no address of the family");
}

/// An authority and a server with a certificate of it, on a runtime of its own.
struct Secured {
    folder: std::path::PathBuf,
    address: SocketAddr,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Secured {
    /// For `localhost`; `until` is the year in which it expires.
    fn new(name: &str, until: i32) -> Secured {
        let pid = std::process::id();
        let folder = std::env::temp_dir().join(format!("bellwether-probe-{name}-{pid}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.not_after = date_time_ymd(2044, 1, 1);
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let cert = params.signed_by(&key, &authority).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
            path
        };
        write("ca.pem", &authority.pem());
        let identity = IdentityFiles {
            cert: write("cert.pem", &cert.pem()),
            key: write("key.pem", &key.serialize_pem()),
        };
        let (tell, told) = channel();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let tls = ServerTls::open(ServerFiles { identity, client_ca: None }).unwrap();
                let safe = Safeguards { tls: Some(tls), ..Safeguards::default() };
                let listener = Listener::bind_guarded("127.0.0.1:0".parse().unwrap(), safe);
                let listener = listener.unwrap();
                tell.send(listener.address()).unwrap();
                let hello = service_fn(|_: Request<hyper::body::Incoming>| async {
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hi"))))
                });
                let (_stopper, stop) = stop::stop();
                listener.serve(hello, Limits::default(), stop).await.unwrap();
            });
        });
        Secured { folder, address: told.recv().unwrap(), authority }
    }

    fn probe(&self, scheme: &str, host: &str, tls: &str, more: &str) -> Sight {
        let url = format!("{scheme}://{host}:{}", self.address.port());
        let tls = tls.replace("CA", self.folder.join("ca.pem").to_str().unwrap());
        let http = format!("preferred_ip_protocol: ip4, tls_config: {{{tls}}}{more}");
        probe(&url, &http)
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

#[test]
fn tls_by_a_private_authority() {
    let secured = Secured::new("private", 2042);
    let sight = secured.probe("https", "localhost", "ca_file: CA", "");
    assert_eq!(words(&sight), "fine");
    let told_of = told(&sight);
    for (series, value) in [
        ("probe_http_ssl", 1.0),
        ("probe_http_version", 2.0),
        ("probe_http_content_length", 2.0),
        ("probe_ssl_earliest_cert_expiry", 2_272_147_200.0),
        ("probe_ssl_last_chain_expiry_timestamp_seconds", 2_272_147_200.0),
        ("probe_tls_version_info{version=\"TLS 1.3\"}", 1.0),
    ] {
        assert_eq!(told_of.get(series), Some(&value), "{series}: {told_of:?}");
    }
    assert!(told_of.keys().any(|s| s.starts_with("probe_tls_cipher_info{cipher=\"TLS_")));
    let leaf = told_of.keys().find(|s| s.starts_with("probe_ssl_last_chain_info")).unwrap();
    assert!(leaf.contains("subjectalternative=\"localhost\""), "{leaf}");
    assert!(leaf.contains("issuer=\"CN=an authority"), "{leaf}");
    assert!(told_of["probe_http_duration_seconds{phase=\"tls\"}"] > 0.0);
    assert!(secured.authority.pem().contains("BEGIN"));

    let forbidden = secured.probe("https", "localhost", "ca_file: CA", ", fail_if_ssl: true");
    assert_eq!(words(&forbidden), "answered over TLS");
    let named = secured.probe("https", "127.0.0.1", "ca_file: CA, server_name: localhost", "");
    assert_eq!(words(&named), "fine");
    // The header names the server where the URL has an address.
    let host = secured.probe("https", "127.0.0.1", "ca_file: CA", ", headers: {Host: localhost}");
    assert_eq!(words(&host), "fine");
    let over_tcp = secured.probe("tcp", "localhost", "ca_file: CA", ", tls: true");
    assert_eq!(words(&over_tcp), "fine");
    assert_eq!(told(&over_tcp)["probe_ssl_earliest_cert_expiry"], 2_272_147_200.0);
    assert!(told(&over_tcp).contains_key("probe_tls_version_info{version=\"TLS 1.3\"}"));
}

#[test]
fn an_expiry_is_told_also_of_certificates_that_are_not_taken() {
    let expired = Secured::new("expired", 2020);
    let expiry = 1_577_836_800.0;
    let refused = expired.probe("https", "localhost", "ca_file: CA", "");
    assert!(words(&refused).starts_with("TLS failed: its certificate expired on 2020-01-01"));
    assert_eq!(told(&refused)["probe_ssl_earliest_cert_expiry"], expiry);
    assert_eq!(told(&refused)["probe_http_ssl"], 0.0);
    assert!(!told(&refused).keys().any(|series| series.contains("tls_version")));
    let other = Secured::new("other", 2042);
    let ca = format!("ca_file: {}", other.folder.join("ca.pem").display());
    let unknown = expired.probe("https", "localhost", &ca, "");
    assert_eq!((told(&unknown)["probe_success"], words(&unknown) != "fine"), (0.0, true));
    assert_eq!(told(&unknown)["probe_ssl_earliest_cert_expiry"], expiry);
    let misnamed = other.probe("https", "127.0.0.1", "ca_file: CA", "");
    assert!(words(&misnamed).contains("its certificate is for localhost"), "{misnamed:?}");
    let anyone = expired.probe("https", "localhost", "insecure_skip_verify: true", "");
    assert_eq!(words(&anyone), "fine");
    assert_eq!(told(&anyone)["probe_ssl_earliest_cert_expiry"], expiry);
    assert!(!told(&anyone).contains_key("probe_ssl_last_chain_expiry_timestamp_seconds"));
    let lost = expired.probe("https", "localhost", "ca_file: /no/such", "");
    assert_eq!(words(&lost), "TLS failed: \"/no/such\" does not exist");
}

#[test]
fn a_dead_target_holds_up_no_other_and_results_come_until_the_end() {
    let alive = always("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let dead = always("");
    let plans = plans(&format!(
        "interval: 1s, targets: [{{url: 'http://{dead}'}}, {{url: 'http://{alive}'}}]"
    ));
    let probing = Probing::start(&plans, &Clock::agent()).unwrap();
    let results: Vec<Probed> = probing.results.iter().take(6).collect();
    let of = |wanted| results.iter().filter(move |(place, _)| *place == wanted);
    assert!(of(0).count() >= 2 && of(1).count() >= 2, "{results:?}");
    assert!(of(0).all(|(_, sight)| words(sight) == "not done within 1s"));
    assert!(of(1).all(|(_, sight)| words(sight) == "fine"));
    let Probing { stopper, .. } = &probing;
    stopper.as_ref().unwrap().stop();
    // The channel closes once the thread and its tasks have ended.
    assert!(probing.results.iter().count() < 10);
    assert!(Probing::start(&[], &Clock::agent()).unwrap().stopper.is_none(), "no thread");
}

#[tokio::test]
async fn a_system_without_a_thread_to_give_is_an_error() {
    // No address space has room for such a stack.
    let thread = thread::Builder::new().stack_size(1 << 47);
    let result =
        Probing::on(thread, &plans("targets: [{url: 'tcp://127.0.0.1:1'}]"), &Clock::agent());
    assert!(result.is_err());
}
