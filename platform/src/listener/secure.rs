//! From a connection just accepted to one that HTTP is read from: the handshake of TLS, within the
//! time of a head. Whoever speaks HTTP without it is told so in HTTP.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::ListenerStats;
use crate::stop::Stop;
use crate::tls::Wire;

/// The text that a request without TLS is answered with, with status 400.
pub const SPEAKS_TLS: &str = "this port speaks TLS: use https://\n";
/// Bytes read from whoever is being told, so that the answer is not lost in a reset.
const UNREAD_BYTES: u64 = 64 << 10;

enum Greeting {
    Secured(Box<TlsStream<TcpStream>>),
    /// It began like a request.
    Plaintext,
    Failed(io::Error),
}

/// The handshake; `None` if the connection ends here.
pub(super) async fn secure(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    time: Duration,
    stats: &ListenerStats,
    stop: &Stop,
) -> Option<Wire> {
    let greeting = tokio::select! {
        biased; // what came in time counts, however late this task is run
        greeting = timeout(time, greet(stream, acceptor)) => greeting,
        () = stop.stopped() => return None,
    };
    match greeting {
        Ok(Greeting::Secured(stream)) => return Some(Wire::Tls(stream)),
        Ok(Greeting::Plaintext) => stats.plaintext.add(1),
        Ok(Greeting::Failed(error)) => {
            stats.handshakes_failed.add(1);
            tracing::debug!(%error, "TLS handshake failed");
        }
        Err(_) => stats.handshakes_late.add(1),
    }
    None
}

async fn greet(mut stream: TcpStream, acceptor: TlsAcceptor) -> Greeting {
    let mut first = [0];
    match stream.peek(&mut first).await {
        // Requests begin with the name of a method; a handshake begins with 22.
        Ok(1) if first.iter().all(u8::is_ascii_uppercase) => {
            tell(&mut stream).await;
            Greeting::Plaintext
        }
        Ok(_) => match acceptor.accept(stream).await {
            Ok(stream) => Greeting::Secured(Box::new(stream.into())),
            Err(error) => Greeting::Failed(error),
        },
        Err(error) => Greeting::Failed(error),
    }
}

/// Whoever does not listen loses nothing.
async fn tell(stream: &mut TcpStream) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{SPEAKS_TLS}",
        SPEAKS_TLS.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        tokio::io::copy(&mut stream.take(UNREAD_BYTES), &mut tokio::io::sink()).await.ok();
    }
}
