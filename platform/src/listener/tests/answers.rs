//! Answers that nobody takes: their bytes have a budget, and their connections an end.

use super::*;

/// More than the buffers of two sockets.
const LARGE: usize = 16 << 20;

async fn serve(
    limits: Limits,
    answers: Answers,
) -> (SocketAddr, Arc<ListenerStats>, Stopper, JoinHandle<io::Result<()>>) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, stats) = (listener.address(), listener.stats());
    let (stopper, stop) = stop();
    let service = service_fn(move |_| {
        let held = answers.hold(Bytes::from(vec![b'x'; LARGE]));
        let mut response = Response::new(Full::new(held.clone().unwrap_or_default()));
        if held.is_none() {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        async move { Ok::<_, Infallible>(response) }
    });
    (address, stats, stopper, tokio::spawn(listener.serve(service, limits, stop)))
}

/// Asks and reads the first line.
async fn ask(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&get("/")).await.unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    (stream, String::from_utf8(line.to_vec()).unwrap())
}

#[tokio::test]
async fn answers_that_are_not_taken_have_a_budget_and_an_end() {
    let limits = Limits { stall_time: LATER, ..Limits::default() };
    let answers = Answers::new(u32::try_from(2 * LARGE).unwrap() + 1);
    let (address, stats, stopper, serving) = serve(limits, answers.clone()).await;
    let (_one, first) = ask(address).await;
    let (_two, second) = ask(address).await;
    let (_three, third) = ask(address).await;
    assert_eq!([&*first, &*second, &*third], ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 503"]);
    let [bytes, refused] = answers.figures();
    assert_eq!((bytes.value, refused.value), (2 * LARGE as u64, 1));
    let ended = async {
        while answers.figures()[0].value > 0 {
            yield_now().await;
        }
    };
    timeout(NEVER, ended).await.expect("the readers to be cut off");
    assert_eq!(stats.answer_late.get(), 2);
    let (mut fourth, line) = ask(address).await;
    assert_eq!(line, "HTTP/1.1 200");
    let mut rest = Vec::new();
    while rest.len() < LARGE {
        assert_ne!(fourth.read_buf(&mut rest).await.unwrap(), 0);
    }
    drop(fourth);
    stopper.stop();
    serving.await.unwrap().unwrap();
    assert_eq!(answers.figures()[0].value, 0);
}
