//! Units moved while others record, again and again: totals and lineages stay what they must be.

use serde_json::json;

use crate::exactness::assert_exact;
use crate::support::Settings;
use crate::units::Setting;

#[actix_web::test]
async fn moves_and_recordings_at_once_leave_every_total_exact() {
    let s = Setting::with(Settings {
        poster: true,
        pool_size: 8,
    })
    .await;
    let campaign = s.world.campaign("IN").await;
    let mut tasks = Vec::new();
    for n in 0..8 {
        let client = s.admin.client.clone();
        let (path, parents) = match n % 2 {
            0 => (s.path("S1-B1", "/placements"), ["S1-M2", "S1-M1"]),
            _ => (s.path("S1-B5", "/placements"), ["S1-M1", "S1-M2"]),
        };
        let parents = parents.map(|code| s.world.unit(code));
        tasks.push(actix_web::rt::spawn(async move {
            for (turn, parent) in parents.iter().cycle().take(6).enumerate() {
                let from = format!("2026-11-{:02}", 18 + (turn + n) % 6);
                let body = json!({"tree": "organisation", "parent_id": parent, "valid_from": from});
                let answer = client.post(&path, body).await;
                assert!([200, 201, 503].contains(&answer.status), "{}", answer.text());
            }
        }));
    }
    for booth in ["S1-B1", "S1-B5"] {
        let client = s.admin.client.clone();
        let booth = s.world.unit(booth);
        tasks.push(actix_web::rt::spawn(async move {
            for n in 0..30 {
                let visit = json!({
                    "id": uuid::Uuid::new_v4(), "campaign_id": campaign, "booth_id": booth, "outcome": "met", "people_met": 1,
                    "visited_at": format!("2026-11-{:02}T10:00:00+05:30", 18 + n % 6),
                });
                let answer = client.post("/v1/visits", visit).await;
                assert!([201, 503].contains(&answer.status), "{}", answer.text());
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_exact(&s.world.db, "moves and recordings at once").await;
    let twice = "SELECT count(*) FROM (SELECT FROM placements a JOIN placements b USING (unit_id, tree)
         WHERE a.valid_from < b.valid_from AND (a.valid_to IS NULL OR a.valid_to > b.valid_from)) x";
    let overlaps: i64 = s.world.db.query_one(twice, &[]).await.unwrap().get(0);
    assert_eq!(overlaps, 0, "a unit has one parent a tree and day");
}

/// The lineages as a walk up the placements gives them, day by day, against those that are kept.
pub async fn assert_lineages_follow_placements(db: &tokio_postgres::Client) {
    let sql = "
        WITH RECURSIVE days AS (
            SELECT DISTINCT valid_from AS day FROM placements
            UNION SELECT valid_to FROM placements WHERE valid_to IS NOT NULL
            UNION SELECT valid_from FROM lineages UNION SELECT date '0001-01-01'
        ), up AS (
            SELECT u.id, u.id AS above, day FROM units u, days
            UNION SELECT up.id, p.parent_id, up.day FROM up JOIN placements p ON p.unit_id = up.above
                AND p.valid_from <= up.day AND (p.valid_to IS NULL OR p.valid_to > up.day)
        ), walked AS (
            SELECT id, day, array_agg(above ORDER BY above) AS unit_ids FROM up GROUP BY id, day
        )
        SELECT count(*) FROM walked w LEFT JOIN lineages l ON l.unit_id = w.id AND l.valid_from <= w.day
            AND (l.valid_to IS NULL OR l.valid_to > w.day)
        WHERE l.unit_ids IS DISTINCT FROM w.unit_ids";
    let wrong: i64 = db.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(wrong, 0, "lineages that differ from a walk up the placements");
}

#[actix_web::test]
async fn lineages_are_what_a_walk_up_the_placements_gives_after_any_moves() {
    let s = Setting::new().await;
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut state = seed | 1;
    let mut next = move |n: usize| {
        // xorshift: enough to shuffle moves.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % 1_000_003).unwrap() % n
    };
    let moves = [
        ("S1-B1", "organisation", ["S1-M1", "S1-M2", "S1-D1", "S1"]),
        ("S1-M1", "organisation", ["S1-D1", "S1", "S1-D1", "S1"]),
        ("S1-B5", "electorate", ["S1-AC1", "S1-AC2", "S1-PC1", "S1"]),
        ("S1-AC2", "electorate", ["S1-PC1", "S1", "S1-PC1", "S1"]),
    ];
    for _ in 0..40 {
        let (unit, tree, parents) = moves[next(moves.len())];
        let day = format!("20{:02}-{:02}-15", 20 + next(8), 1 + next(12));
        let answer = s.place(&s.admin, unit, tree, parents[next(4)], &day).await;
        assert!(answer.status < 300, "{}", answer.text());
        assert_lineages_follow_placements(&s.world.db).await;
    }
}
