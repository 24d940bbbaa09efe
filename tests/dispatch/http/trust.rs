//! Endpoints over https, with an authority of one's own, and through a proxy. The certificates were made for these tests, and hold
//! for a hundred years.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use atlas::Atlas;
use atlas::dispatch::{Options, Outcome};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::server::{Server, answer};
use super::{delivered, handler};
use crate::world::World;

const AUTHORITY: &[u8] = include_bytes!("certificates/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("certificates/server.pem");
const KEY: &[u8] = include_bytes!("certificates/server.key.pem");

fn secure_server() -> (Server, String) {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let wrap =
        move |connection: TcpStream| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), connection);
    let server = Server::over(wrap, |_| answer("200 OK", "{\"secret\": 7}"));
    let url = server.url("/offers").replace("http://", "https://");
    (server, url)
}

fn of(authorities: Option<&[u8]>, proxy: Option<String>) -> Options {
    Options { http_authorities: authorities.map(<[u8]>::to_vec), http_proxy: proxy, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_over_https_is_called_where_its_authority_is_trusted() {
    let (server, url) = secure_server();
    let world = World::new(json!([handler("tell", json!({ "url": url, "answer": "output" }))]));
    let atlas = world.open(Atlas::builder().dispatch_options(of(Some(AUTHORITY), None))).await;
    let done = delivered(&atlas).await;
    assert_eq!(done[0].outcome, Some(Outcome::Success), "{done:?}");
    assert_eq!(done[0].output.as_ref().unwrap().to_string(), "{\"secret\":7}");
    let received = server.received();
    assert_eq!((received.len(), received[0].line.as_str()), (1, "POST /offers HTTP/1.1"));
    atlas.close().await.unwrap();

    // Nobody that the endpoint's certificate leads to is trusted: nothing is sent.
    let atlas = world.open(Atlas::builder()).await;
    let done = delivered(&atlas).await;
    assert!(done[0].parked && done[0].error.as_ref().unwrap().contains("certificate"), "{done:?}");
    assert_eq!(server.received().len(), 1);
    atlas.close().await.unwrap();
}

/// Passes on what comes for any host, once it was asked to.
fn proxy() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, count) = (client.unwrap(), count.clone());
            std::thread::spawn(move || pass_on(client, &count));
        }
    });
    (url, asked)
}

fn pass_on(mut client: TcpStream, asked: &AtomicU32) {
    let mut lines = BufReader::new(client.try_clone().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let target = first.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
    asked.fetch_add(1, Ordering::SeqCst);
    let mut server = TcpStream::connect(target).unwrap();
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
    let (mut back, mut to_client) = (server.try_clone().unwrap(), client);
    std::thread::spawn(move || std::io::copy(&mut back, &mut to_client));
    let mut buffer = [0; 4096];
    while let Ok(length) = lines.read(&mut buffer)
        && length > 0
    {
        server.write_all(&buffer[..length]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_where_there_is_one() {
    let (secure, url) = secure_server();
    let plain = Server::start(|_| answer("204 No Content", ""));
    let world = World::new(json!([handler("secure", json!(url)), handler("plain", json!(plain.url("/")))]));
    let (proxy, asked) = proxy();
    let atlas = world.open(Atlas::builder().dispatch_options(of(Some(AUTHORITY), Some(proxy)))).await;
    let done = delivered(&atlas).await;
    assert!(done.iter().all(|delivery| delivery.outcome == Some(Outcome::Success)), "{done:?}");
    assert_eq!((secure.received().len(), plain.received().len(), asked.load(Ordering::SeqCst)), (1, 1, 2));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_that_cant_be_used_is_told_at_open() {
    let world = World::new(json!([]));
    for (options, expected) in [
        (of(Some(b"no certificate"), None), "option http_authorities: it holds no certificate"),
        (of(Some(KEY), None), "option http_authorities: there is something else than a certificate"),
        (of(None, Some("not a proxy".to_owned())), "option http_proxy: it is no URL of a proxy"),
        (of(None, Some("ftp://user:password@proxy".to_owned())), "option http_proxy: it is no URL of a proxy"),
    ] {
        let error = Atlas::builder().dispatch_options(options).open_with(world.environment()).await.unwrap_err();
        assert!(error.to_string().contains(expected) && !error.to_string().contains("password@"), "{error}");
    }
}
