//! An HTTP/1.1 server on the loopback address that answers as a test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Such as `POST /offers HTTP/1.1`.
    pub(crate) line: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// The server. It lives as long as the process of the test.
pub(crate) struct Server {
    pub(crate) address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// `answer` gives the bytes to send; a connection ends after what says `connection: close`.
    pub(crate) fn start(answer: impl Fn(&Received) -> String + Send + Sync + 'static) -> Self {
        Self::over(|connection| connection, answer)
    }

    /// As [`start`](Self::start), over what `wrap` makes of each connection.
    pub(crate) fn over<S: Read + Write>(
        wrap: impl Fn(TcpStream) -> S + Send + Sync + 'static,
        answer: impl Fn(&Received) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, answer, wrap) = (received.clone(), Arc::new(answer), Arc::new(wrap));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (log, answer, wrap) = (log.clone(), answer.clone(), wrap.clone());
                std::thread::spawn(move || serve(wrap(connection.unwrap()), &log, &*answer));
            }
        });
        Self { address, received }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came until now, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Received {
    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

/// An answer with a body of JSON.
pub(crate) fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn serve<S: Read + Write>(connection: S, log: &Mutex<Vec<Received>>, answer: &dyn Fn(&Received) -> String) {
    let mut reader = BufReader::new(connection);
    while let Some(received) = read(&mut reader) {
        log.lock().unwrap().push(received.clone());
        let answer = answer(&received);
        // Whoever asked may be gone.
        let connection = reader.get_mut();
        let sent = connection.write_all(answer.as_bytes()).and_then(|()| connection.flush());
        if sent.is_err() || answer.contains("connection: close") {
            return;
        }
    }
}

fn read<S: Read>(reader: &mut BufReader<S>) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(length) if length > 0 => {}
            _ => return None,
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |line: &String| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    let headers: BTreeMap<String, String> = lines[1..].iter().map(header).collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Received { line: lines[0].clone(), headers, body: String::from_utf8(body).unwrap() })
}
