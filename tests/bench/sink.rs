//! Takes what a Prometheus writes remotely and counts the bytes of the connections, both ways.
//!
//! `bench-sink ADDRESS`: every POST is answered 204; `GET /bytes` tells the bytes received and sent
//! so far, and the requests. It shares the machine with what is measured and does nothing else.

mod taking;

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    requests: AtomicU64,
}

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: bench-sink ADDRESS");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("bench-sink: {address}: {error}");
            return ExitCode::from(2);
        }
    };
    println!("bench-sink: listening on http://{address}");
    let counts = Counts::default();
    taking::serve(&listener, move |request| {
        if request.is_get() {
            let (bytes, requests) =
                (counts.bytes.load(Ordering::Relaxed), counts.requests.load(Ordering::Relaxed));
            return taking::answer(&format!("{bytes} {requests}\n"));
        }
        let taken = taking::answer("");
        let bytes = u64::try_from(request.bytes() + taken.len()).unwrap_or(0);
        counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        counts.requests.fetch_add(1, Ordering::Relaxed);
        taken
    });
    ExitCode::SUCCESS
}
