//! A phone as docs/sync.md tells to write one: what it keeps of the answers of `/v1/sync`, and its hashes.

use std::collections::{BTreeMap, BTreeSet};

use sampark::journal::Digest;
use serde_json::{Value, json};

use super::Client;

/// The kinds, in the order in which they are applied.
pub const KINDS: [&str; 6] = ["grants", "units", "campaigns", "households", "visits", "tasks"];

/// What a phone does not do as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It keeps the households of booths that are its no more.
    KeepsLostBooths,
    /// It does not forget what is gone.
    KeepsWhatIsGone,
    /// It keeps an item as it first came.
    TakesNoChanges,
    /// It loses the last item of a page.
    LosesAnItem,
}

impl Fault {
    pub const ALL: [Self; 4] = [
        Self::KeepsLostBooths,
        Self::KeepsWhatIsGone,
        Self::TakesNoChanges,
        Self::LosesAnItem,
    ];
}

/// What came by sync. What waits to be sent is another store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Phone {
    pub cursor: Option<String>,
    /// Items by kind and id.
    pub items: BTreeMap<&'static str, BTreeMap<String, Value>>,
    pub booths: BTreeSet<i64>,
    /// Whether the last answer that was applied had nothing after it.
    pub complete: bool,
    /// Which fault it is made with, for tests of the tests.
    pub fault: Option<Fault>,
}

fn id_of(item: &Value) -> String {
    match &item["id"] {
        Value::String(id) => id.clone(),
        id => id.to_string(),
    }
}

impl Phone {
    pub fn of(&self, kind: &str) -> &BTreeMap<String, Value> {
        static NONE: BTreeMap<String, Value> = BTreeMap::new();
        self.items.get(kind).unwrap_or(&NONE)
    }

    /// The hash of what is held of a kind: each item's first 8 bytes of SHA-256 over `<id>:<rev>`, XORed.
    pub fn hash(&self, kind: &str) -> String {
        let mut hash = [0; 8];
        for (id, item) in self.of(kind) {
            let digest = Digest::of_bytes(format!("{id}:{}", item["rev"].as_str().unwrap()).as_bytes());
            hash.iter_mut().zip(digest.0).for_each(|(sum, byte)| *sum ^= byte);
        }
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn hashes(&self) -> Value {
        let hashes = KINDS
            .iter()
            .map(|kind| ((*kind).to_owned(), json!(self.hash(kind))));
        Value::Object(hashes.collect())
    }

    /// What it sends.
    pub fn request(&self, limit: usize) -> Value {
        let mut body = json!({"cursor": self.cursor, "limit": limit});
        if self.complete {
            body["held"] = self.hashes();
        }
        body
    }

    /// Takes a page in.
    pub fn apply(&mut self, page: &Value) {
        if page["fresh"] == true {
            *self = Self {
                fault: self.fault,
                ..Self::default()
            };
        }
        for kind in list(&page["reset"]) {
            self.items.remove(kind.as_str().unwrap());
        }
        for booth in list(&page["booths"]["gained"]) {
            self.booths.insert(booth.as_i64().unwrap());
        }
        for booth in list(&page["booths"]["lost"]) {
            self.booths.remove(&booth.as_i64().unwrap());
            if self.fault != Some(Fault::KeepsLostBooths) {
                self.forget("households", "booth_id", booth);
            }
        }
        for kind in ["grants", "units", "campaigns", "tasks"] {
            for id in list(&page["gone"][kind]) {
                if self.fault == Some(Fault::KeepsWhatIsGone) {
                    continue;
                }
                let gone = self.items.entry(kind).or_default().remove(&id.to_string());
                assert!(gone.is_some(), "{kind} {id} is gone, but was never there");
            }
        }
        for booth in list(&page["replaced"]["booths"]) {
            self.forget("households", "booth_id", booth);
        }
        for day in list(&page["replaced"]["days"]) {
            if self.fault != Some(Fault::TakesNoChanges) {
                self.forget("visits", "visited_on", day);
            }
        }
        for kind in KINDS {
            let items = list(&page[kind]);
            for (n, item) in items.iter().enumerate() {
                let held = self.items.entry(kind).or_default();
                let left_out = match self.fault {
                    Some(Fault::LosesAnItem) => n + 1 == items.len(),
                    Some(Fault::TakesNoChanges) => held.contains_key(&id_of(item)),
                    _ => false,
                };
                if !left_out {
                    held.insert(id_of(item), item.clone());
                }
            }
        }
        self.cursor = Some(page["cursor"].as_str().unwrap().to_owned());
        self.complete = page["has_more"] == false;
    }

    fn forget(&mut self, kind: &'static str, field: &str, value: &Value) {
        self.items
            .entry(kind)
            .or_default()
            .retain(|_, item| &item[field] != value);
    }

    /// Syncs until nothing is left; the pages that came. What it then holds is what it is told to hold.
    pub async fn sync(&mut self, client: &Client, limit: usize) -> Vec<Value> {
        let mut pages = Vec::new();
        loop {
            let page = client
                .post("/v1/sync", self.request(limit))
                .await
                .expect(200)
                .json;
            self.apply(&page);
            pages.push(page);
            assert!(pages.len() < 2_000, "sync has no end");
            if self.complete {
                break;
            }
        }
        assert_eq!(
            pages.last().unwrap()["hashes"],
            self.hashes(),
            "what is held is not what must be"
        );
        pages
    }

    /// A fresh phone of the same worker.
    pub async fn fresh(client: &Client) -> Self {
        let mut phone = Self::default();
        phone.sync(client, 2_000).await;
        phone
    }

    /// Whether it holds the same as another, whatever their cursors.
    #[track_caller]
    pub fn assert_holds_the_same(&self, other: &Self, after: &str) {
        for kind in KINDS {
            assert_eq!(self.of(kind), other.of(kind), "{kind} after {after}");
        }
        assert_eq!(self.booths, other.booths, "booths after {after}");
    }
}

/// The number of items in a page.
pub fn count(page: &Value) -> usize {
    KINDS.iter().map(|kind| list(&page[*kind]).len()).sum()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
