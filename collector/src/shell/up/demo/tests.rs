use hyper::StatusCode;

use super::backend::{Backend, Mode};
use super::load::Load;
use super::proxy::Proxy;
use super::*;
use crate::shell::ask::{AskError, Form, ask};
use crate::shell::cli::Target;

async fn get(backend: &Backend, path: &str) -> Result<(StatusCode, String), AskError> {
    let url = format!("http://{}", backend.address());
    let target = Target { url, token_file: None, ca_file: None };
    let (status, body) = ask(&target, hyper::Method::GET, path, Form::None).await?;
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_backend_answers_fails_and_works_again() {
    let mut backend = Backend::bind("canary", "1.1.0").unwrap();
    backend.turn(Mode::Well);
    let answer = |status: StatusCode, text: &str| Ok::<_, ()>((status, text.to_owned()));
    let well = get(&backend, "/").await.map_err(drop);
    assert_eq!(well, answer(StatusCode::OK, "canary 1.1.0\n"));
    backend.turn(Mode::Errors);
    for path in ["/", "/healthz"] {
        assert_eq!(get(&backend, path).await.unwrap().0, StatusCode::INTERNAL_SERVER_ERROR);
    }
    backend.turn(Mode::Well);
    assert_eq!(get(&backend, "/healthz").await.map_err(drop), answer(StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn traffic_is_counted_by_what_became_of_it() {
    let mut backends =
        [Backend::bind("stable", "1.0.0").unwrap(), Backend::bind("canary", "1.1.0").unwrap()];
    backends[0].turn(Mode::Well);
    backends[1].turn(Mode::Errors);
    let refuses = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [good, bad] = backends.each_ref().map(Backend::address);
    let loads = [good, bad, refuses].map(|address| Load::start(address, 1000));
    let enough = || {
        let [good, bad, lost] = loads.each_ref().map(Load::traffic);
        good.good >= 5 && bad.bad >= 5 && lost.lost >= 5
    };
    while !enough() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_proxy_asks_in_turn_whom_its_file_names_and_each_counts_its_requests() {
    let dir = std::env::temp_dir().join(format!("bellwether-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("serving");
    std::fs::write(&file, "1.0.0 1.1.0\n").unwrap();
    let mut backends =
        [Backend::bind("stable", "1.0.0").unwrap(), Backend::bind("canary", "1.1.0").unwrap()];
    backends.iter_mut().for_each(|backend| backend.turn(Mode::Well));
    backends[1].turn(Mode::Errors);
    let proxy = Proxy::bind().unwrap();
    let mut server = load::Server::new(proxy.address());
    let named: Vec<_> = backends.iter().map(|b| (b.version().to_owned(), b.address())).collect();
    proxy.start(&named, file.clone());
    let mut answers = [0; 2];
    for _ in 0..10 {
        let place = usize::from(server.ask().await != Some(StatusCode::OK));
        answers[place] += 1;
    }
    assert_eq!(answers, [5, 5]);
    let page = get(&backends[1], "/metrics").await.map_err(drop).unwrap().1;
    assert!(page.contains("http_requests_total{code=\"500\",version=\"1.1.0\"} 5"), "{page}");
    std::fs::write(&file, "1.0.0\n").unwrap();
    let mut in_a_row = 0;
    while in_a_row < 10 {
        in_a_row = if server.ask().await == Some(StatusCode::OK) { in_a_row + 1 } else { 0 };
        tokio::task::yield_now().await;
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_agents_file_probes_and_scrapes_every_backend_each_second() {
    let backends =
        [Backend::bind("stable", "1.0.0").unwrap(), Backend::bind("canary", "1.1.0").unwrap()];
    let text = agent_file(&backends);
    let told = text.replace(&backends[0].address().to_string(), "127.0.0.1:4001");
    let told = told.replace(&backends[1].address().to_string(), "127.0.0.1:4002");
    insta::assert_snapshot!(told, @"
    # Written anew by each `bellwether up --demo`.
    inputs:
      probe:
        interval: 1s
        job: demo
        targets:
        - url: http://127.0.0.1:4001/healthz
          instance: stable
          labels: {demo: 'true'}
        - url: http://127.0.0.1:4002/healthz
          instance: canary
          labels: {demo: 'true'}
      scrape:
        scrape_configs:
        - job_name: demo
          scrape_interval: 1s
          static_configs:
          - targets: ['127.0.0.1:4001']
            labels: {demo: 'true', instance: stable}
          - targets: ['127.0.0.1:4002']
            labels: {demo: 'true', instance: canary}
    ");
}
