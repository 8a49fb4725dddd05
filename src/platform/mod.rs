//! GROUND FLOOR: what any such service needs and that knows nothing of visits: configuration, clock, database,
//! errors, ids, paging, request bodies, telemetry. Imports nothing else of ours.

pub mod background;
pub mod backups;
pub mod body;
pub mod clock;
pub mod config;
pub mod csv;
pub mod data_keys;
pub mod db;
pub mod dial;
pub mod durability;
pub mod embedded_postgres;
pub mod error;
pub mod idempotency;
pub mod ids;
pub mod inflate;
pub mod limits;
pub mod load;
pub mod location;
pub mod log_writer;
pub mod migrations;
pub mod objects;
pub mod page;
pub mod personal;
pub mod private_files;
pub mod problems;
pub mod reach;
pub mod reply;
pub mod shares;
pub mod standby;
pub mod statement;
pub mod stored;
pub mod telemetry;
pub mod upload;
pub mod validate;
pub mod wall;
