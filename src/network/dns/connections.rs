//! Connections to the DNS server: how many there may be, and what is done with one.
//!
//! Owns letting clients in; reading and writing messages is hickory's, and what is answered the handler's. hickory's own server takes
//! every connection there is, and turns in a circle when the process has no more files; so its loop is not used, its parts are.
//! The surprise: who has too many connections is not made to wait but hung up on, or it would be in everybody's way: there is one
//! queue for all clients.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_server::net::tcp::TcpStream;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::MessageType;
use hickory_server::server::{Request, RequestHandler, ResponseHandle, TimeoutStream};
use tokio::net::TcpListener;

use super::lock;

/// Of all clients, and of one. Far below what a process may have open where nobody has raised that (1024), and what is open besides
/// are the questions that wait for a resolver.
const MOST: usize = 256;
const MOST_OF_ONE: usize = 32;
/// Without a whole question a connection ends.
const IDLE: Duration = Duration::from_secs(5);
/// Answers of one connection that wait for its client.
const UNREAD: usize = 16;
/// Until it is tried again where the system has no files or no memory for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections each client has.
type Open = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Lets clients in at each of these, as many as there may be at all of them together. Never comes back.
pub(super) async fn serve<H: RequestHandler>(listeners: Vec<TcpListener>, handler: Arc<H>) {
    let open = Open::default();
    let all = listeners.into_iter().map(|listener| accept(listener, handler.clone(), open.clone()));
    futures_util::future::join_all(all).await;
}

async fn accept<H: RequestHandler>(listener: TcpListener, handler: Arc<H>, open: Open) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                // Otherwise it is dropped here, and the client hears of it at once.
                if let Some(place) = Place::take(&open, client.ip()) {
                    tokio::spawn(converse(stream, client, handler.clone(), place));
                }
            }
            // A client that is gone again is no reason to wait, but the kernel has no other errors of a single client here.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// One question after the other, until the client has had enough or says nothing.
async fn converse<H: RequestHandler>(
    stream: tokio::net::TcpStream,
    client: SocketAddr,
    handler: Arc<H>,
    _place: Place,
) {
    let (stream, answers) = TcpStream::from_stream_with_buffer_size(AsyncIoTokioAsStd(stream), client, UNREAD);
    let mut questions = TimeoutStream::new(stream, IDLE);
    while let Some(Ok(message)) = questions.next().await {
        let (bytes, _) = message.into_parts();
        // Who does not speak DNS, or answers where it should ask, has nothing to say here.
        let Ok(request) = Request::from_bytes(bytes, client, Protocol::Tcp) else { return };
        if request.metadata.message_type == MessageType::Response {
            return;
        }
        let answer = ResponseHandle::new(client, answers.clone(), Protocol::Tcp);
        handler.handle_request::<_, TokioTime>(&request, answer).await;
    }
}

/// A connection's place among those that there may be, until this is dropped.
struct Place(Open, IpAddr);

impl Place {
    fn take(open: &Open, client: IpAddr) -> Option<Self> {
        let mut all = lock(open);
        let own = all.get(&client).copied().unwrap_or(0);
        if own >= MOST_OF_ONE || all.values().sum::<usize>() >= MOST {
            return None;
        }
        all.insert(client, own + 1);
        Some(Self(open.clone(), client))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.0);
        if let Some(own) = all.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                all.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_can_have_only_so_many_places_and_gives_them_back() {
        let open = Open::default();
        let client = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).expect("few")]);
        let mut held: Vec<_> = (0..MOST_OF_ONE).map(|_| Place::take(&open, client(1)).expect("a place")).collect();
        assert!(Place::take(&open, client(1)).is_none());
        held.pop();
        held.push(Place::take(&open, client(1)).expect("the one that was given back"));
        for other in 2..=MOST / MOST_OF_ONE {
            held.extend((0..MOST_OF_ONE).map(|_| Place::take(&open, client(other)).expect("a place")));
        }
        assert!(Place::take(&open, client(99)).is_none(), "that is as many as there may be of all");
        held.clear();
        assert!(lock(&open).is_empty());
    }
}
