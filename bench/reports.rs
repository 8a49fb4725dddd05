//! What reports of a state cost, from ten thousand booths to the 138,771 of Uttar Pradesh with a million visits.

use std::path::Path;
use std::time::{Duration, Instant};

use sampark::access::KeyRing;
use sampark::platform::clock::Clock;
use sampark::platform::embedded_postgres::EmbeddedPostgres;
use sampark::platform::ids::{SessionId, WorkerId};
use sampark::platform::migrations;
use uuid::Uuid;

use crate::http::Connection;
use crate::program::Program;
use crate::world::{count, execute};

const SIZES: [i64; 3] = [10_000, 40_000, 138_771];
const REQUESTS: usize = 200;

/// A state of so many booths: 92 in a mandal, 20 mandals in a district, 344 booths in an assembly constituency, five of those
/// in a parliamentary one. Seven days with a visit in each booth; of three posts two are held and one confirmed; 20 tasks for every booth,
/// each done by a tenth of them; a stop of a tour in every mandal.
fn state_of(booths: i64) -> String {
    format!(
        "INSERT INTO units (id, code, level, name, state_id, doors, created_at, updated_at)
         SELECT id, 'U' || id, level, 'Unit ' || id, CASE WHEN id = 1 THEN 1 ELSE 2 END, 250, now(), now() FROM (
             SELECT 1 AS id, 'nation' AS level UNION ALL SELECT 2, 'state'
             UNION ALL SELECT 100 + n, 'district' FROM generate_series(0, {booths} / 1840) n
             UNION ALL SELECT 500 + n, 'parliamentary_constituency' FROM generate_series(0, {booths} / 1720) n
             UNION ALL SELECT 1000 + n, 'assembly_constituency' FROM generate_series(0, {booths} / 344) n
             UNION ALL SELECT 10000 + n, 'mandal' FROM generate_series(0, {booths} / 92) n
             UNION ALL SELECT 100000 + n, 'booth' FROM generate_series(0, {booths} - 1) n) u;
         INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
         SELECT id, '0001-01-01', state_id, CASE level
             WHEN 'nation' THEN ARRAY[1] WHEN 'state' THEN ARRAY[1, 2]
             WHEN 'district' THEN ARRAY[1, 2, id] WHEN 'parliamentary_constituency' THEN ARRAY[1, 2, id]
             WHEN 'assembly_constituency' THEN ARRAY[1, 2, 500 + (id - 1000) / 5, id]
             WHEN 'mandal' THEN ARRAY[1, 2, 100 + (id - 10000) / 20, id]
             ELSE ARRAY[1, 2, 100 + (id - 100000) / 1840, 500 + (id - 100000) / 1720, 1000 + (id - 100000) / 344,
                        10000 + (id - 100000) / 92, id] END
         FROM units;
         INSERT INTO placements (unit_id, tree, parent_id, valid_from)
         SELECT id, 'organisation', 10000 + (id - 100000) / 92, date '0001-01-01' FROM units WHERE level = 'booth'
         UNION ALL SELECT id, 'electorate', 1000 + (id - 100000) / 344, date '0001-01-01' FROM units WHERE level = 'booth';
         INSERT INTO campaigns (id, unit_id, name, starts_on, created_at, updated_at)
         VALUES (1, 2, 'Bench', '2026-10-01', now(), now());
         INSERT INTO workers (id, unit_id, name, created_at, updated_at)
         SELECT 10 + 2 * (id - 100000) + k, id, 'Worker', now(), now() FROM units, generate_series(0, 1) k WHERE level = 'booth';
         INSERT INTO workers (id, unit_id, name, created_at, updated_at) VALUES (1, 2, 'Leader', now(), now());
         INSERT INTO grants (id, worker_id, role, unit_id, valid_from, created_at)
         SELECT id, id, 'booth_worker', unit_id, '2026-01-01', now() FROM workers WHERE id >= 10;
         INSERT INTO grants (id, worker_id, role, unit_id, valid_from, created_at) VALUES (1, 1, 'state_admin', 2, '2020-01-01', now());
         INSERT INTO post_confirmations (grant_id, confirmed_at) SELECT id, now() FROM grants WHERE id % 2 = 0;
         INSERT INTO committee_rules (unit_id, campaign_id, version, posts, reason, made_at)
         VALUES (2, 0, 1, '[{{\"post\": \"booth_worker\", \"count\": 3}}]', 'Bench', now());
         INSERT INTO totals (state_id, unit_id, campaign_id, day, visits, met, people_met, doors_reached)
         SELECT 2, id, 1, current_date - ((id % 4) + 4 * k)::int, 1, (id + k) % 2, (id + k) % 2, (id + k) % 2
         FROM units, generate_series(0, 6) k WHERE level = 'booth';
         INSERT INTO totals (state_id, unit_id, campaign_id, day, visits, met, people_met, doors_reached)
         SELECT 2, u, 1, t.day, sum(t.visits), sum(t.met), sum(t.people_met), sum(t.doors_reached)
         FROM totals t JOIN lineages l ON l.unit_id = t.unit_id CROSS JOIN unnest(l.unit_ids) u
         WHERE u NOT IN (1, t.unit_id) GROUP BY u, t.day;
         INSERT INTO totals_to_date (state_id, unit_id, campaign_id, visits, met, people_met, doors_reached)
         SELECT state_id, unit_id, campaign_id, sum(visits), sum(met), sum(people_met), sum(doors_reached)
         FROM totals GROUP BY state_id, unit_id, campaign_id;
         INSERT INTO targets (state_id, unit_id, level, indicator, value, valid_from, reason, set_at)
         SELECT 2, 2, level, indicator, 50, '2026-01-01', 'Bench', now()
         FROM unnest(ARRAY['state', 'district', 'mandal', 'parliamentary_constituency']) level,
              unnest(ARRAY['visits_per_booth', 'doors_reached_share', 'contact_rate', 'full_committees_share', 'posts_vacant',
                           'tasks_done_share', 'stops_made_share']) indicator;
         INSERT INTO tasks (id, state_id, unit_id, level, title, instructions, evidence, set_on, due_on, created_at, changed_at)
         SELECT n, 2, 2, 'booth', 'Task ' || n, '', 'none', current_date - 30, current_date + 30, now(), now()
         FROM generate_series(1, 20) n;
         INSERT INTO task_reports (state_id, id, task_id, unit_id, worker_id, reported_at, received_at, counted_at, status, sent_digest)
         SELECT 2, md5(k || '-' || u.id)::uuid, k, u.id, 10, now(), now(), now(), 'done', sha256('bench')
         FROM generate_series(1, 20) k JOIN units u ON u.level = 'booth' AND u.id % 10 = k % 10;
         INSERT INTO task_units (state_id, unit_id, task_id, status, report_id, reported_by, counted_at)
         SELECT state_id, unit_id, task_id, status, id, worker_id, counted_at FROM task_reports;
         INSERT INTO task_totals (state_id, unit_id, task_id, accepted, done, verified, returned)
         SELECT 2, a, s.task_id, 0, count(*), 0, 0
         FROM task_units s JOIN lineages l ON l.unit_id = s.unit_id CROSS JOIN unnest(l.unit_ids) a
         WHERE a <> 1 GROUP BY a, s.task_id;
         INSERT INTO pravas (id, state_id, unit_id, leader_id, title, starts_on, ends_on, created_at, changed_at)
         SELECT n, 2, 2, 1, 'Pravas ' || n, current_date - 20, current_date, now(), now() FROM generate_series(1, 20) n;
         INSERT INTO pravas_stops (pravas_id, state_id, unit_id, day, purpose, changed_at, report_id, held)
         SELECT 1 + id % 20, 2, id, current_date - 1 - id % 20, 'Bench', now(), md5(id::text)::uuid, id % 3 > 0
         FROM units WHERE level = 'mandal';
         INSERT INTO devices (id, worker_id, created_at, last_seen_at) VALUES ('{device}', 1, now(), now());
         INSERT INTO sessions (id, worker_id, device_id, strength, created_at, expires_at)
         VALUES ('{session}', 1, '{device}', 'totp', now(), '2100-01-01');
         ANALYZE",
        device = Uuid::nil(),
        session = Uuid::nil(),
    )
}

/// Every grade stands for two months, but a fifth of the booths got theirs ten days ago.
const HISTORY: &str = "
    UPDATE grade_changes SET graded_on = graded_on - 60;
    INSERT INTO grade_changes (state_id, unit_id, graded_on, grade, previous, score, rule_unit_id, rule_version)
    SELECT state_id, unit_id, current_date - 10, grade, CASE grade WHEN 'A' THEN 'B' ELSE 'A' END, score, rule_unit_id, rule_version
    FROM strengths WHERE level = 'booth' AND unit_id % 5 = 0;
    UPDATE strengths SET changed_on = current_date - 60;
    UPDATE strengths SET changed_on = current_date - 10, settled_on = current_date - 60,
           previous = CASE grade WHEN 'A' THEN 'B' ELSE 'A' END
    WHERE level = 'booth' AND unit_id % 5 = 0";

/// Prints a table: a row a report, a column a size.
pub async fn measure(postgres: &EmbeddedPostgres, dir: &Path) {
    let mut rows: Vec<(&str, Vec<String>)> = [
        "committees/children?level=district",
        "shortfalls?level=state&campaign=1",
        "shortfalls?level=district&campaign=1",
        "shortfalls?level=parliamentary_constituency&campaign=1",
        "shortfalls?level=mandal&campaign=1",
        "task-counts",
        "task-counts/children?level=district",
        "strength?level=district",
    ]
    .map(|path| (path, Vec::new()))
    .to_vec();
    for booths in SIZES {
        let name = format!("reports_{booths}");
        execute(&postgres.url("postgres"), &format!("CREATE DATABASE {name}")).await;
        let url = postgres.url(&name);
        migrations::run(&url).await.unwrap();
        eprintln!("a state of {booths} booths");
        execute(&url, &state_of(booths)).await;
        let started = Instant::now();
        let program = Program::serve(dir, &url);
        let waiting =
            "SELECT (SELECT count(*) FROM cadre_changes) + (SELECT count(*) FROM units WHERE level = 'state')
                              - (SELECT count(*) FROM grading_runs WHERE finished_at IS NOT NULL)";
        while count(&url, waiting).await > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        eprintln!(
            "counted and graded after {:.1} s",
            started.elapsed().as_secs_f64()
        );
        execute(&url, HISTORY).await;
        execute(&url, "VACUUM ANALYZE").await;
        let keys = KeyRing::load_or_make(dir).unwrap();
        let now = Clock::system(chrono_tz::Asia::Kolkata).now();
        let token = keys.sign(WorkerId(1), SessionId(Uuid::nil()), now).unwrap();
        let mut client = Connection::open(program.address, &token).await;
        for (path, cells) in &mut rows {
            let path = format!("/v1/units/2/{path}");
            let mut times = Vec::new();
            for _ in 0..REQUESTS {
                let started = Instant::now();
                let (status, body) = client.get(&path).await;
                assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
                times.push(started.elapsed().as_secs_f64() * 1000.0);
            }
            times.sort_by(f64::total_cmp);
            cells.push(format!(
                "{:.1} / {:.1}",
                times[REQUESTS / 2],
                times[REQUESTS * 99 / 100]
            ));
        }
    }
    println!(
        "\n| report, ms: median / 99th of a hundred | 10,000 booths | 40,000 | 138,771 |\n|---|---:|---:|---:|"
    );
    for (path, cells) in rows {
        println!("| `{path}` | {} |", cells.join(" | "));
    }
}
