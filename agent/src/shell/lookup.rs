//! Names of the network, looked up by the system, which may hang.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::task::{JoinHandle, spawn_blocking};

/// The look-ups of one target: one at a time.
#[derive(Debug, Default)]
pub struct Lookups {
    under_way: Option<Lookup>,
}

/// A look-up under way. It outlives whoever began it: the next one waits for it instead of
/// beginning another beside it.
#[derive(Debug)]
struct Lookup {
    authority: String,
    answer: JoinHandle<io::Result<Vec<SocketAddr>>>,
}

impl Lookups {
    /// The addresses of `HOST:PORT`; an address is its own.
    ///
    /// # Errors
    /// The name is not known.
    pub async fn find(&mut self, authority: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = authority.parse() {
            return Ok(vec![address]);
        }
        loop {
            let lookup = self.under_way.get_or_insert_with(|| Lookup::begin(authority));
            let answer = (&mut lookup.answer).await;
            let is_it = lookup.authority == authority;
            self.under_way = None;
            if is_it {
                return answer.unwrap_or_else(|error| Err(io::Error::other(error)));
            }
        }
    }
}

impl Lookup {
    fn begin(authority: &str) -> Lookup {
        let name = authority.to_owned();
        let answer = spawn_blocking(move || Ok(name.to_socket_addrs()?.collect()));
        Lookup { authority: authority.to_owned(), answer }
    }
}
