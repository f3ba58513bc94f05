use hyper::StatusCode;

use super::backend::{Backend, Mode};
use super::load::Load;
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
async fn a_backend_answers_fails_refuses_and_works_again() {
    let mut backend = Backend::bind("canary", "1.1.0").unwrap();
    backend.turn(Mode::Well).await.unwrap();
    let answer = |status: StatusCode, text: &str| Ok::<_, ()>((status, text.to_owned()));
    let well = get(&backend, "/").await.map_err(drop);
    assert_eq!(well, answer(StatusCode::OK, "canary 1.1.0\n"));
    let page = get(&backend, "/metrics").await.unwrap().1;
    let good = "http_requests_total{version=\"1.1.0\",code=\"200\"} 1\n";
    assert!(page.ends_with(good) && !page.contains("500"), "{page}");
    backend.turn(Mode::Errors).await.unwrap();
    for path in ["/", "/healthz"] {
        assert_eq!(get(&backend, path).await.unwrap().0, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let page = get(&backend, "/metrics").await.unwrap().1;
    let bad = "http_requests_total{version=\"1.1.0\",code=\"500\"} 1\n";
    assert!(page.ends_with(&format!("{good}{bad}")), "{page}");
    backend.turn(Mode::Refuses).await.unwrap();
    let refused = get(&backend, "/").await.unwrap_err();
    assert!(matches!(refused, AskError::Unreachable { .. }), "{refused}");
    backend.turn(Mode::Well).await.unwrap();
    assert_eq!(get(&backend, "/healthz").await.map_err(drop), answer(StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn traffic_is_counted_by_what_became_of_it() {
    let mut backends =
        [Backend::bind("stable", "1.0.0").unwrap(), Backend::bind("canary", "1.1.0").unwrap()];
    backends[0].turn(Mode::Well).await.unwrap();
    backends[1].turn(Mode::Errors).await.unwrap();
    let addresses: Vec<SocketAddr> = backends.iter().map(Backend::address).collect();
    let load = Load::start(&addresses, 1000);
    let enough = || {
        let traffic = load.traffic();
        traffic.good >= 5 && traffic.bad >= 5
    };
    while !enough() {
        tokio::task::yield_now().await;
    }
    assert_eq!(load.traffic().lost, 0);
    backends[1].turn(Mode::Refuses).await.unwrap();
    while load.traffic().lost == 0 {
        tokio::task::yield_now().await;
    }
    assert!(load.traffic().lost > 0);
}

#[test]
fn the_agents_file_probes_every_backend_each_second() {
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
          labels: {demo: 'true', version: '1.0.0'}
        - url: http://127.0.0.1:4002/healthz
          instance: canary
          labels: {demo: 'true', version: '1.1.0'}
    ");
}
