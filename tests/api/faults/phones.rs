//! Phones that record until they are told to stop, and write down what they sent and heard.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Field;
use super::history::History;
use crate::support::Client;

/// What all phones of a run share.
#[derive(Clone)]
pub struct Phones {
    /// Where the server is; it may come back elsewhere.
    address: Arc<Mutex<SocketAddr>>,
    enough: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    heard: Arc<Notify>,
    answers: Arc<Mutex<Answers>>,
    history: History,
}

/// What was answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// How often each status came; 0 stands for a connection that broke.
    pub statuses: BTreeMap<u16, usize>,
    /// The codes of the problems among them.
    pub codes: BTreeMap<String, usize>,
    /// How long the slowest answer other than 200 took.
    pub slowest_refusal: Duration,
}

/// Phones at work.
pub struct Crew {
    pub phones: Phones,
    running: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Every phone of the field uploads batch after batch; one that is not acknowledged is sent again until it is.
    pub fn start(field: &Field, address: SocketAddr, batch: usize) -> Self {
        let phones = Phones {
            address: Arc::new(Mutex::new(address)),
            enough: Arc::default(),
            acknowledged: Arc::default(),
            heard: Arc::default(),
            answers: Arc::default(),
            history: field.history.clone(),
        };
        let (campaign, booth, household) = (field.campaign, field.world.unit("S1-B1"), field.household);
        let running = field.tokens.iter().map(|token| {
            let (phones, token) = (phones.clone(), token.clone());
            actix_web::rt::spawn(async move {
                while !phones.enough.load(Ordering::SeqCst) {
                    let visits: Vec<Value> = (0..batch)
                        .map(|_| super::visit(campaign, booth, household))
                        .collect();
                    phones.upload(&token, &visits).await;
                }
            })
        });
        Self {
            running: running.collect(),
            phones,
        }
    }

    /// Lets each phone finish its batch.
    pub async fn stop(self) -> Answers {
        self.phones.enough.store(true, Ordering::SeqCst);
        for phone in self.running {
            phone.await.unwrap();
        }
        self.phones.answers()
    }
}

impl Phones {
    /// The server is elsewhere now.
    pub fn turn_to(&self, address: SocketAddr) {
        *self.address.lock().unwrap() = address;
    }

    pub fn answers(&self) -> Answers {
        self.answers.lock().unwrap().clone()
    }

    /// Waits until so many more batches were acknowledged.
    pub async fn wait_for(&self, batches: usize) {
        let until = self.acknowledged.load(Ordering::SeqCst) + batches;
        while self.acknowledged.load(Ordering::SeqCst) < until {
            self.heard.notified().await;
        }
    }

    /// Sends a batch until every visit of it is acknowledged.
    pub async fn upload(&self, token: &str, visits: &[Value]) {
        let body = json!({ "visits": visits });
        // It tries fifty times a second at most, more often than any phone does.
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        pace.tick().await;
        loop {
            let address = *self.address.lock().unwrap();
            let client = Client::new(address, Some(token.to_owned())).patience(Duration::from_secs(30));
            self.history.sent(visits);
            let began = Instant::now();
            let answer = client.try_post("/v1/visits/batch", &body).await;
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            self.note(status, began.elapsed());
            match answer {
                Ok(answer) if status == 200 => {
                    self.history.answered(&answer.json["results"]);
                    break;
                }
                // A machine so busy that the request itself did not arrive in time: it says so, and the phone sends it again.
                Ok(_) if status == 408 => {}
                Ok(answer) => {
                    assert_eq!(status, 503, "{}", answer.text());
                    assert!(answer.header("retry-after").is_some());
                    let code = answer.json["code"].as_str().unwrap().to_owned();
                    *self.answers.lock().unwrap().codes.entry(code).or_default() += 1;
                }
                Err(_) => {}
            }
            self.history.unanswered();
            pace.tick().await;
        }
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        self.heard.notify_one();
    }

    fn note(&self, status: u16, took: Duration) {
        let mut answers = self.answers.lock().unwrap();
        *answers.statuses.entry(status).or_default() += 1;
        if status != 200 {
            answers.slowest_refusal = answers.slowest_refusal.max(took);
        }
    }
}

impl Answers {
    pub fn refused(&self) -> usize {
        self.statuses.get(&503).copied().unwrap_or_default()
    }

    pub fn broken(&self) -> usize {
        self.statuses.get(&0).copied().unwrap_or_default()
    }
}
