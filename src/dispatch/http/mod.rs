//! Deliveries to http endpoints: a POST of the data of each call. What is sent stands in `request`, what an answer means in
//! `answer`, and how many calls a host gets in `hosts`.
//!
//! A call blocks a thread of the host's runtime (`spawn_blocking`), which needs neither I/O nor timers for it. How it
//! ended goes on record as the end of a function does.

mod answer;
mod hosts;
mod request;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::delivery::Function;
use super::{Delivery, DispatchError, Emit, HandlerError, MAX_ANSWER_BYTES, Options};
use crate::config::HttpTarget;
use crate::storage::Clock;
use answer::{Answer, Content};
use hosts::{Admission, Hosts};

/// See the head of this file.
pub(super) struct Http {
    agent: Agent,
    hosts: Hosts,
    clock: Arc<dyn Clock>,
}

/// An attempt at an endpoint may begin, or is held back. Once all clones are gone, and the calls have ended, another
/// attempt at the host may begin.
#[derive(Clone)]
pub(super) struct Turn {
    admitted: Result<Arc<Admission>, HandlerError>,
    agent: Agent,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Http {
    pub(super) fn new(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, DispatchError> {
        let limit = options.max_http_per_host.max(1);
        let authorities = options.http_authorities.as_deref().map(authorities).transpose()?;
        let tls = TlsConfig::builder().root_certs(authorities.unwrap_or(RootCerts::WebPki)).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A guest takes nothing from the environment of its host's process.
            .proxy(options.http_proxy.as_deref().map(proxy).transpose()?)
            .tls_config(tls)
            .max_idle_connections_per_host(limit)
            .max_idle_connections(limit.saturating_mul(8))
            .user_agent(concat!("atlas/", env!("CARGO_PKG_VERSION")));
        Ok(Self { agent: config.build().new_agent(), hosts: Hosts::new(limit, options.http_breaker), clock })
    }

    /// Waits until a call to the target's host may be made.
    pub(super) async fn turn(&self, target: &HttpTarget) -> Option<Turn> {
        let admitted = self.hosts.turn(target.host(), &*self.clock).await;
        let admitted = admitted.map(Arc::new).map_err(|refused| refused.into_error(target));
        Some(Turn { admitted, agent: self.agent.clone(), clock: self.clock.clone() })
    }

    /// Ends what is being called, and calls nothing more: nobody waits for it, and threads that hang in a call would keep
    /// the host's runtime from ending.
    pub(super) fn shut_down(&self) {
        self.agent.clone().shutdown();
    }
}

fn authorities(pem: &[u8]) -> Result<RootCerts, DispatchError> {
    let faulty = |what: String| DispatchError::Option { name: "http_authorities", what };
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        match item.map_err(|error| faulty(format!("it can't be read: {error}; expected certificates as PEM")))? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            _ => return Err(faulty("there is something else than a certificate in it".to_owned())),
        }
    }
    match certificates.is_empty() {
        true => Err(faulty("it holds no certificate; expected at least one, as PEM".to_owned())),
        false => Ok(RootCerts::new_with_certs(&certificates)),
    }
}

fn proxy(url: &str) -> Result<Proxy, DispatchError> {
    let what = |error| format!("it is no URL of a proxy: {error}; expected one such as http://proxy.example:3128");
    // Without the URL, which may hold a password.
    Proxy::new(url).map_err(|error| DispatchError::Option { name: "http_proxy", what: what(error) })
}

impl Turn {
    /// The call as a function of the host's. It takes no longer than `timeout`.
    pub(super) fn function(self, target: &HttpTarget, timeout: Duration, runtime: &Handle) -> Function {
        let (target, runtime) = (Arc::new(target.clone()), runtime.clone());
        Arc::new(move |delivery| {
            let (turn, target, runtime) = (self.clone(), target.clone(), runtime.clone());
            Box::pin(async move {
                let admission = turn.admitted?;
                let work = move || {
                    let outcome = call(&turn.agent, &target, &delivery, timeout, &*turn.clock);
                    let failed = matches!(&outcome, Err(HandlerError::Retry(_) | HandlerError::RetryAfter(..)));
                    admission.ended(failed, &*turn.clock);
                    outcome
                };
                match runtime.spawn_blocking(work).await {
                    Ok(outcome) => outcome,
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        // The runtime is going, and takes this with it.
                        Err(_) => std::future::pending().await,
                    },
                }
            })
        })
    }
}

/// Calls the endpoint. Blocking.
fn call(
    agent: &Agent,
    target: &HttpTarget,
    delivery: &Delivery,
    timeout: Duration,
    clock: &dyn Clock,
) -> Result<Emit, HandlerError> {
    let request::Request { headers, body } = request::of(delivery, target);
    let mut sending = agent.post(&target.url);
    for (name, value) in &headers {
        sending = sending.header(*name, value);
    }
    let mut response = sending.config().timeout_global(Some(timeout)).build().send(&body[..]).map_err(|error| {
        let what = format!("POST {}: {error}", target.url_without_query());
        match error {
            // It won't be another URL or header the next time.
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => HandlerError::Fatal(what),
            _ => HandlerError::Retry(what),
        }
    })?;
    let status = response.status();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content = read(response.body_mut().as_reader());
    let answer = Answer { status, retry_after: retry_after.as_deref(), content };
    answer::outcome(target, answer, clock.now_micros())
}

/// Reads a body, up to the limit.
fn read(body: impl Read) -> Content {
    let mut bytes = Vec::new();
    let broken = body.take(MAX_ANSWER_BYTES as u64 + 1).read_to_end(&mut bytes).err().map(|error| error.to_string());
    let is_whole = bytes.len() <= MAX_ANSWER_BYTES;
    bytes.truncate(MAX_ANSWER_BYTES);
    Content { bytes, is_whole, broken }
}
