//! FIRST FLOOR: the journal that every write appends to, and the poster that carries it into the ledgers.
//!
//! * [`mod@write`]: `Db::write` is the only way to write; it cannot end without a [`Record`] of what was done.
//! * [`answers`]: the first answer to a request, for whoever sends it again.
//! * [`entry`]: one entry for a whole write; [`leaf`]: its canonical form and RFC 6962 leaf hash.
//! * [`commitment`]: how an entry proves content that it does not hold, and that may be erased.
//! * [`tally`]: the change to the counts, one row per booth, campaign and day; [`work`]: that to the counts of tasks.
//! * [`merkle`], [`tree`]: the RFC 6962 tree over a state's entries; [`seal`], [`keys`]: its heads, signed.
//! * [`rows`]: rows beside visits, of which the journal seals every version.
//! * [`stored`]: entries read back.
//! * [`poster`]: numbers the entries and adds the tallies to the totals, in one transaction per state.
//! * [`read`]: reads what is posted by number, within a scope, from a cursor on.
//! * [`tail`]: waits until the journal grows, whichever process posts.
//!
//! Invariants: an entry and its tallies are committed with what they tell of; a number once seen is final and none
//! below it appears later; what a unit has = `totals` + `tally_inbox`, in one snapshot.

pub mod answers;
pub mod commitment;
pub mod entry;
pub mod head;
pub mod keys;
pub mod leaf;
pub mod merkle;
pub mod poster;
pub mod read;
pub mod rows;
pub mod seal;
pub mod stored;
pub mod tail;
pub mod tally;
pub mod tree;
pub mod work;
pub mod write;

pub use entry::{Actor, Digest, Entry};
pub use keys::SealKeys;
pub use poster::Poster;
pub use stored::StoredEntry;
pub use tally::{Counters, Tally};
pub use work::{WorkCounters, WorkTally};
pub use write::Record;
