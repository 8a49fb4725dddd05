//! What each index of visits costs: recording with it and without it, in turns. An index is dropped and made again as it was.

use std::net::SocketAddr;
use std::time::Duration;

use crate::http;
use crate::median;
use crate::world::{self, World};

/// The indexes beside the primary key. The partial ones hold flagged visits alone.
const INDEXES: [&str; 7] = [
    "visits_booth_idx",
    "visits_day_idx",
    "visits_received_idx",
    "visits_flagged_idx",
    "visits_queue_booth_idx",
    "visits_queue_idx",
    "journal_actor_idx",
];

/// Prints the table: the speed without an index over the speed with it.
pub async fn run(address: SocketAddr, world: &World, url: &str, rounds: usize, time: Duration) {
    println!("\n| without | single visits | batches of 100 |\n|---|---:|---:|");
    for index in INDEXES {
        let definition = world::text(url, &format!("SELECT pg_get_indexdef('{index}'::regclass)")).await;
        let (mut single, mut batch) = (vec![], vec![]);
        for round in 0..rounds {
            eprintln!("{index}: round {} of {rounds}", round + 1);
            let mut speeds = [[0.0; 2]; 2];
            // Whichever comes first has the smaller tables: they take turns.
            for turn in 0..2 {
                let without = (round + turn) % 2 == 0;
                if without {
                    world::execute(url, &format!("DROP INDEX {index}")).await;
                }
                speeds[usize::from(without)] = [
                    http::visits(address, world, 64, 1, true, time).await,
                    http::visits(address, world, 8, 100, false, time).await,
                ];
                if without {
                    world::execute(url, &definition).await;
                }
            }
            single.push(speeds[1][0] / speeds[0][0]);
            batch.push(speeds[1][1] / speeds[0][1]);
        }
        let spread = |values: &[f64]| {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            format!("{:.2} ({least:.2} to {most:.2})", median(values.to_vec()))
        };
        println!("| `{index}` | {} | {} |", spread(&single), spread(&batch));
    }
}
