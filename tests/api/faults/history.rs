//! The history checker: what every phone sent and what it was answered, held against what is stored. It knows nothing of
//! how the server works, only what it promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio_postgres::Client as Database;
use uuid::Uuid;

use crate::exactness::{Figures, live, recounted};

/// One thing that happened, in the order in which it did.
#[derive(Clone, Debug)]
enum Event {
    Sent(Vec<Facts>),
    /// Visits with what was said of each.
    Answered(Vec<(Uuid, String)>),
    /// Nobody knows: a timeout, a reset, 503.
    Unanswered,
}

/// A visit as sent and as stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facts {
    pub id: Uuid,
    pub booth_id: i32,
    pub outcome: String,
    pub people_met: i32,
}

impl Facts {
    fn of(visit: &Value) -> Self {
        Self {
            id: id_of(visit),
            booth_id: i32::try_from(visit["booth_id"].as_i64().unwrap()).unwrap(),
            outcome: visit["outcome"].as_str().unwrap().to_owned(),
            people_met: i32::try_from(visit["people_met"].as_i64().unwrap()).unwrap(),
        }
    }
}

pub fn id_of(visit: &Value) -> Uuid {
    visit["id"].as_str().unwrap().parse().unwrap()
}

/// The log that all phones write.
#[derive(Clone, Default)]
pub struct History {
    events: Arc<Mutex<Vec<Event>>>,
    database_fails: bool,
}

/// What is stored.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub visits: Vec<Facts>,
    /// The visits that entries of the journal speak of, numbered or not, each as often as it is spoken of.
    pub journalled: Vec<Uuid>,
    /// Numbers of each state's journal, in order.
    pub numbers: BTreeMap<i32, Vec<i64>>,
    /// How long each state's journal says that it is.
    pub heads: BTreeMap<i32, i64>,
    /// The figures of every unit, campaign and day: as kept, and counted anew.
    pub live: Figures,
    pub recounted: Figures,
    /// Connections that have lain in a transaction for more than a second.
    pub idle: i64,
}

impl History {
    /// Where the database fails, the server itself writes again what it does not know the end of: a visit may then be
    /// `duplicate` the first time its phone hears of it.
    pub fn of_failing_database() -> Self {
        Self {
            database_fails: true,
            ..Self::default()
        }
    }

    fn add(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    pub fn sent(&self, visits: &[Value]) {
        self.add(Event::Sent(visits.iter().map(Facts::of).collect()));
    }

    pub fn answered(&self, results: &Value) {
        let said = |item: &Value| (id_of(item), item["status"].as_str().unwrap().to_owned());
        self.add(Event::Answered(
            results.as_array().unwrap().iter().map(said).collect(),
        ));
    }

    pub fn unanswered(&self) {
        self.add(Event::Unanswered);
    }

    /// Visits that were acknowledged; requests that nobody knows the end of.
    pub fn counts(&self) -> (usize, usize) {
        let (mut known, mut unknown) = (BTreeSet::new(), 0);
        for event in self.events.lock().unwrap().iter() {
            match event {
                Event::Answered(said) => known.extend(said.iter().map(|(id, _)| *id)),
                Event::Unanswered => unknown += 1,
                Event::Sent(_) => {}
            }
        }
        (known.len(), unknown)
    }

    /// Everything that does not fit.
    pub fn judge(&self, stored: &Stored) -> Vec<String> {
        let mut wrong = self.judge_answers();
        let mut sent = BTreeMap::new();
        let mut acknowledged = BTreeSet::new();
        for event in self.events.lock().unwrap().iter() {
            match event {
                Event::Sent(visits) => sent.extend(visits.iter().map(|visit| (visit.id, visit.clone()))),
                Event::Answered(said) => acknowledged.extend(said.iter().map(|(id, _)| *id)),
                Event::Unanswered => {}
            }
        }
        let ids: BTreeSet<Uuid> = stored.visits.iter().map(|visit| visit.id).collect();
        for id in acknowledged.difference(&ids) {
            wrong.push(format!("lost: {id} was acknowledged and is not stored"));
        }
        for visit in &stored.visits {
            match sent.get(&visit.id) {
                None => wrong.push(format!("unattempted: {} is stored and nobody sent it", visit.id)),
                Some(sent) if sent != visit => {
                    wrong.push(format!("altered: {sent:?} is stored as {visit:?}"));
                }
                Some(_) => {}
            }
        }
        for id in repeated(stored.visits.iter().map(|visit| visit.id)) {
            wrong.push(format!("twice: {id} has two rows"));
        }
        wrong.extend(judge_journal(stored, &ids));
        wrong.extend(judge_figures(stored));
        if stored.idle > 0 {
            wrong.push(format!("idle: {} connections lie in a transaction", stored.idle));
        }
        wrong
    }

    /// What phones were told, by itself.
    fn judge_answers(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut attempts, mut known) = (BTreeMap::<Uuid, usize>::new(), BTreeSet::new());
        for event in self.events.lock().unwrap().iter() {
            match event {
                Event::Sent(visits) => {
                    for visit in visits {
                        *attempts.entry(visit.id).or_default() += 1;
                    }
                }
                Event::Answered(said) => {
                    for (id, status) in said {
                        let tries = attempts.get(id).copied().unwrap_or_default();
                        let fits = match status.as_str() {
                            "created" => tries > 0 && !known.contains(id),
                            // Somebody must have sent it before.
                            "duplicate" => tries > usize::from(!self.database_fails),
                            _ => false,
                        };
                        if !fits {
                            let before = if known.contains(id) { ", known before" } else { "" };
                            wrong.push(format!(
                                "answer: {id} was answered {status} at try {tries}{before}"
                            ));
                        }
                        known.insert(*id);
                    }
                }
                Event::Unanswered => {}
            }
        }
        wrong
    }

    /// Fails with everything that does not fit.
    #[track_caller]
    pub fn assert_fits(&self, stored: &Stored) {
        let wrong = self.judge(stored);
        assert!(
            wrong.is_empty(),
            "{} things do not fit:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
    }
}

fn repeated(ids: impl Iterator<Item = Uuid>) -> BTreeSet<Uuid> {
    let mut seen = BTreeSet::new();
    ids.filter(|id| !seen.insert(*id)).collect()
}

fn judge_journal(stored: &Stored, ids: &BTreeSet<Uuid>) -> Vec<String> {
    let mut wrong = Vec::new();
    let journalled: BTreeSet<Uuid> = stored.journalled.iter().copied().collect();
    for id in ids.difference(&journalled) {
        wrong.push(format!("journal: {id} is stored and no entry speaks of it"));
    }
    for id in journalled.difference(ids) {
        wrong.push(format!("journal: an entry speaks of {id}, which is not stored"));
    }
    for id in repeated(stored.journalled.iter().copied()) {
        wrong.push(format!("twice: two entries record {id}"));
    }
    for (state, numbers) in &stored.numbers {
        let whole = numbers.iter().zip(1..).all(|(number, wanted)| *number == wanted);
        let length = i64::try_from(numbers.len()).unwrap();
        if !whole || stored.heads.get(state) != Some(&length) {
            wrong.push(format!(
                "hole: state {state} has {length} entries, its head says {:?}",
                stored.heads.get(state)
            ));
        }
    }
    wrong
}

fn judge_figures(stored: &Stored) -> Vec<String> {
    let keys: BTreeSet<_> = stored.live.keys().chain(stored.recounted.keys()).collect();
    let differ = keys.into_iter().filter_map(|key| {
        let (live, recounted) = (stored.live.get(key), stored.recounted.get(key));
        (live != recounted)
            .then(|| format!("totals: unit, campaign, day {key:?} has {live:?}, counted {recounted:?}"))
    });
    differ.collect()
}

impl Stored {
    /// Reads it all.
    pub async fn read(db: &Database) -> Self {
        let mut stored = Self {
            live: live(db).await,
            recounted: recounted(db).await,
            ..Self::default()
        };
        for row in db
            .query("SELECT id, booth_id, outcome, people_met FROM visits", &[])
            .await
            .unwrap()
        {
            stored.visits.push(Facts {
                id: row.get(0),
                booth_id: row.get(1),
                outcome: row.get(2),
                people_met: row.get(3),
            });
        }
        let entries = "SELECT unnest(subject_uuids) FROM (
                SELECT action, subject_uuids FROM journal UNION ALL SELECT action, subject_uuids FROM journal_inbox) j
            WHERE action = 'visit.record'";
        for row in db.query(entries, &[]).await.unwrap() {
            stored.journalled.push(row.get(0));
        }
        let numbers = "SELECT state_id, number FROM journal ORDER BY state_id, number";
        for row in db.query(numbers, &[]).await.unwrap() {
            stored.numbers.entry(row.get(0)).or_default().push(row.get(1));
        }
        for row in db
            .query("SELECT state_id, size FROM journal_heads", &[])
            .await
            .unwrap()
        {
            stored.heads.insert(row.get(0), row.get(1));
        }
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '1 second'";
        stored.idle = db.query_one(idle, &[]).await.unwrap().get(0);
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BOOTH: i32 = 7;

    fn visit(people: i32) -> Value {
        json!({"id": Uuid::new_v4(), "booth_id": BOOTH, "outcome": "met", "people_met": people})
    }

    fn answers(visits: &[Value], status: &str) -> Value {
        visits
            .iter()
            .map(|visit| json!({"id": visit["id"], "status": status}))
            .collect()
    }

    /// Two visits sent, one answer lost, both sent again; and what a right server has stored then.
    fn right() -> (History, Stored, Vec<Value>) {
        let (history, visits) = (History::default(), vec![visit(1), visit(2)]);
        history.sent(&visits);
        history.unanswered();
        history.sent(&visits);
        history.answered(&answers(&visits, "duplicate"));
        let day = "2026-11-23".parse().unwrap();
        let figures = Figures::from([((BOOTH, 1, day), vec![2, 3]), ((2, 1, day), vec![2, 3])]);
        let stored = Stored {
            visits: visits.iter().map(Facts::of).collect(),
            journalled: visits.iter().map(id_of).collect(),
            numbers: BTreeMap::from([(2, vec![1, 2, 3])]),
            heads: BTreeMap::from([(2, 3)]),
            live: figures.clone(),
            recounted: figures,
            idle: 0,
        };
        (history, stored, visits)
    }

    #[test]
    fn a_right_history_fits() {
        let (history, stored, _) = right();
        assert_eq!(history.judge(&stored), Vec::<String>::new());
        assert_eq!(history.counts(), (2, 1));
        // What was never answered may be there or not.
        let open = [visit(3)];
        history.sent(&open);
        history.unanswered();
        assert_eq!(history.judge(&stored), Vec::<String>::new());
    }

    /// Each falsehood is found, by its name.
    #[test]
    fn false_histories_are_found() {
        type Lie = (&'static str, fn(&History, &mut Stored, &[Value]));
        let lies: [Lie; 15] = [
            ("lost", |_, stored, _| {
                stored.visits.pop();
            }),
            ("unattempted", |_, stored, _| {
                stored.visits.push(Facts::of(&visit(1)))
            }),
            ("altered", |_, stored, _| stored.visits[0].people_met = 9),
            ("twice", |_, stored, _| {
                stored.visits.push(stored.visits[0].clone())
            }),
            ("twice", |_, stored, _| {
                stored.journalled.push(stored.journalled[0])
            }),
            ("journal", |_, stored, _| {
                stored.journalled.pop();
            }),
            ("journal", |_, stored, _| stored.journalled.push(Uuid::new_v4())),
            ("hole", |_, stored, _| {
                stored.numbers.get_mut(&2).unwrap().remove(1);
            }),
            ("hole", |_, stored, _| {
                stored.heads.insert(2, 4);
            }),
            ("totals", |_, stored, _| {
                stored.live.pop_first();
            }),
            ("totals", |_, stored, _| {
                stored.live.values_mut().next().unwrap()[1] += 1;
            }),
            ("idle", |_, stored, _| stored.idle = 1),
            ("answer", |history, _, visits| {
                // Created, though it was known already.
                history.sent(visits);
                history.answered(&answers(visits, "created"));
            }),
            ("answer", |history, stored, _| {
                // Known, though nobody had sent it before.
                let first = [visit(4)];
                history.sent(&first);
                history.answered(&answers(&first, "duplicate"));
                stored.visits.push(Facts::of(&first[0]));
                stored.journalled.push(id_of(&first[0]));
            }),
            ("answer", |history, _, visits| {
                history.sent(visits);
                history.answered(&answers(visits, "rejected"));
            }),
        ];
        for (n, (name, lie)) in lies.into_iter().enumerate() {
            let (history, mut stored, visits) = right();
            lie(&history, &mut stored, &visits);
            let wrong = history.judge(&stored);
            assert!(
                wrong.iter().any(|wrong| wrong.starts_with(name)),
                "lie {n} ({name}) was believed: {wrong:?}"
            );
        }
    }
}
