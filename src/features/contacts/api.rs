pub mod read;
pub mod write;

use std::collections::BTreeMap;

use super::queries::retention::TouchedRow;
use super::queries::{Contact, Visible};
use crate::access::actions::{Action, ContactRead, ContactReadOwn};
use crate::access::policy::scope;
use crate::access::{Caller, Permit, Scope};
use crate::journal::{Digest, Entry, Record};
use crate::platform::data_keys::DataKeys;
use crate::platform::ids::UnitId;

use super::wire::ContactView;

/// What the caller may see: all contacts in the scope of `contact.read`, and those that he recorded.
fn readable(caller: &Caller) -> Option<Visible> {
    let scope = scope::<ContactRead>(caller).ok();
    let own = caller.may(ContactReadOwn::ACTION).then(|| caller.worker_id());
    if scope.is_none() && own.is_none() {
        return None;
    }
    Some(Visible {
        roots: scope.as_ref().map_or(&[][..], Scope::roots).to_vec(),
        own,
        today: caller.today(),
    })
}

/// That these contacts were read: an entry a state, at their booths.
fn read_record(contacts: &[Contact]) -> Record {
    let mut states: BTreeMap<UnitId, Vec<&ContactView>> = BTreeMap::new();
    for (state_id, contact) in contacts {
        states.entry(*state_id).or_default().push(contact);
    }
    let entries = states.into_iter().map(|(state_id, contacts)| {
        let ids: Vec<_> = contacts.iter().map(|contact| contact.id.0).collect();
        Entry::new(state_id, state_id, "contact.read", "contact", Digest::of(&ids))
            .at_units(contacts.iter().map(|contact| contact.booth_id))
            .of_uuids(ids)
    });
    Record {
        entries: entries.collect(),
        tallies: Vec::new(),
    }
}

fn record<A>(keys: &DataKeys, permit: &Permit<A>, action: &'static str, contact: &ContactView) -> Record {
    let digest = Digest::keyed(keys, contact);
    Entry::new(permit.state_id(), permit.unit_id(), action, "contact", digest)
        .of_uuids([contact.id.0])
        .into()
}

/// What the program itself did to contacts: an entry a state, at their booths.
#[must_use]
pub fn program_record(action: &'static str, touched: &[TouchedRow]) -> Record {
    let mut states: BTreeMap<UnitId, Vec<&TouchedRow>> = BTreeMap::new();
    for row in touched {
        states.entry(row.state_id).or_default().push(row);
    }
    let entries = states.into_iter().map(|(state_id, rows)| {
        let ids: Vec<_> = rows.iter().map(|row| row.id.0).collect();
        Entry::new(state_id, state_id, action, "contact", Digest::of(&ids))
            .at_units(rows.iter().map(|row| row.booth_id))
            .of_uuids(ids)
    });
    Record {
        entries: entries.collect(),
        tallies: Vec::new(),
    }
}
