use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bellwether_model::id::{GroupId, StoreId};
use bellwether_model::time::Nanos;
use bellwether_model::wire::answer::{CONTENT_TYPE, Case, RefusedColumn, RefusedReason};
use bellwether_platform::clock::{ManualTime, Reading};
use bellwether_platform::dial::Way;
use bellwether_platform::disk::sim::SimDisk;
use bellwether_platform::listener::{Limits, Listener, service_fn};
use bellwether_platform::stop;
use bellwether_platform::tls::ClientFiles;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use prometheus::Registry;

use super::*;
use crate::pure::input::Facts;
use crate::shell::spool::Setup;

/// Shipping from a spool of its own to these collectors, with what the sampler has of it.
pub(super) fn shipping(urls: &[String]) -> (Frames, Ship, ManualTime) {
    let setup = Setup {
        dir: "/state".into(),
        bounds: Bounds { bytes_max: 64 << 20, age_max: Duration::from_secs(3600) },
        sync: SpoolSync::Auto,
        machine: String::new(),
        boot: bellwether_model::id::BootId::default(),
    };
    let random = Random { agent: AgentId([1; 16]), nonce: Nonce(1) };
    let spool = Spool::open(Arc::new(SimDisk::new(1)), setup, random).unwrap();
    let (sink, feed) = frames(spool.origin());
    let metrics = ShipMetrics::new(&Registry::new(), Arc::clone(&Facts::default().own));
    let plan = |url: &String| CollectorPlan {
        url: url.clone(),
        token: None,
        tls: ClientFiles::default(),
        server_name: None,
        way: Way::Direct,
    };
    let plans: Vec<CollectorPlan> = urls.iter().map(plan).collect();
    let reading = Reading { mono: Mono::default(), system: Nanos(0) };
    let (clock, time) = Clock::manual_agent(reading);
    (sink, Ship::new(spool, clock, &plans, feed, metrics).unwrap(), time)
}

#[tokio::test]
async fn a_collector_that_swallows_all_does_not_keep_the_time_of_another_away() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let urls = [silent.local_addr().unwrap(), listener.address()].map(|at| format!("http://{at}"));
    let service = service_fn(|_: Request<Incoming>| {
        let mut answer = Answer::new(Case::Applied, StoreId::default());
        (answer.received, answer.answered) = (Nanos(500_000_000_000), Nanos(500_000_000_000));
        let mut body = Vec::new();
        answer.put(&mut body);
        let response = Response::builder().header("content-type", CONTENT_TYPE);
        std::future::ready(Ok::<_, Infallible>(
            response.body(Full::new(Bytes::from(body))).unwrap(),
        ))
    });
    let (_stopper, stop) = stop::stop();
    tokio::spawn(listener.serve(service, Limits::default(), stop));
    let (_sink, mut ship, _time) = shipping(&urls);
    ship.ask_time().await;
    assert_eq!(ship.clock.now().wall.0, 500_000);
    assert!(ship.lanes.iter().all(|lane| lane.client.is_some()));
}

#[tokio::test]
async fn columns_that_a_collector_does_not_take_are_counted_by_reason() {
    let (_sink, mut ship, _time) = shipping(&["http://127.0.0.1:1".to_owned()]);
    let mut answer = Answer::new(Case::RefusedColumns, StoreId::default());
    let reasons = [RefusedReason::SeriesPerAgent, RefusedReason::Labels, RefusedReason::Labels];
    let column = |reason| RefusedColumn { group: GroupId(0), place: 1, reason };
    answer.columns = reasons.map(column).into();
    for refused in [3, 100, 0] {
        answer.refused = refused;
        answer.columns.truncate(refused as usize);
        let client = ship.lanes[0].client.take().unwrap();
        let answered = client::Answered { answer: answer.clone(), retry_after: None };
        let (sent, received) = (Mono::default(), Mono::default());
        let lane = ship.lanes[0].id;
        ship.outcome(Outcome { lane, client, result: Ok(answered), sent, received }).unwrap();
    }
    let of = &ship.report().collectors[0];
    let counts: Vec<(&str, u64)> =
        of.columns_refused.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(counts, [("labels", 4), ("series_per_agent", 2), ("unnamed", 97)]);
    assert_eq!(ship.metrics.columns_refused.get(), 103);
}
