//! SECOND FLOOR: who is calling and what he may do.
//!
//! * [`keyring`]: the keys that sign tokens, and how they are replaced.
//! * [`code_keys`]: the same of the keys under which one-time codes and second factors are kept.
//! * [`tokens`]: the signed access token; it says who, never what he may do.
//! * [`caller`]: token > live worker with his grants; the first argument of every handler.
//! * `live`: the session with its grants, or the service, behind a token.
//! * [`actions`], [`roles`]: what can be done, and the roles as sets of it, in one table.
//! * [`fields`]: what of a thing is not for everyone who sees the thing.
//! * [`policy`]: the answers. A [`Permit`] is proof that this caller may do this action at this unit, a [`Scope`] the set
//!   of subtrees that he may see; both are made in `policy` alone, and queries ask for them, so that a forgotten check
//!   does not compile.
//! * [`refusals`]: who was told that he may not, counted.
//!
//! Invariants: no grant, nothing; who may not even read a unit learns nothing of it (404), who may read but not do gets
//! 403; check and act are one transaction.

pub mod actions;
pub mod caller;
pub mod code_keys;
pub mod fields;
pub mod keyring;
mod live;
pub mod policy;
pub mod refusals;
pub mod roles;
pub mod tokens;
mod watch;

pub use caller::{Access, Caller, Follower, Reader, Ticket};
pub use keyring::KeyRing;
pub use live::Strength;
pub use policy::{Permit, Scope};
pub use roles::Role;
pub use watch::Watch;
