//! Receipts: for whoever made a visit, that it is in the sealed journal.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};

use actix_web::{get, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::access::Caller;
use crate::features::seals::wire::{CommitmentView, ReceiptView, encoded};
use crate::features::visits::{VersionRow, VisitRow, commitment, find_visit, versions_of};
use crate::journal::head::HeadView;
use crate::journal::seal::{SignedHead, head_covering};
use crate::journal::stored::entries_by;
use crate::journal::{StoredEntry, tree};
use crate::platform::body::Path;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{UnitId, VisitId, WorkerId};
use crate::platform::reply::Reply;

/// A head that covers an entry, and the proof that leads to it; `None` while none does.
type Proved = Option<(SignedHead, Vec<String>)>;

/// The receipt of a visit
///
/// For its newest version: the entry that made it, and the proof that the entry is in a signed tree.
#[utoipa::path(
    operation_id = "get_receipt", tag = "journal", security(("bearer" = ["visit.read", "visit.read_own"])),
    params(("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")),
    responses(
        (status = 200, description = "How to check it: docs/seals.md.", body = ReceiptView),
        (status = 404, description = "No such visit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/visits/{id}/receipt")]
pub async fn get_receipt(caller: Caller, id: Path<VisitId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let receipt = db
        .read(async |tx| {
            let visit = find_visit(tx, db.keys(), &caller, *id).await?;
            let mut receipt = receipts_of(tx, &[&visit]).await?.pop();
            if let Some(receipt) = &mut receipt
                && receipt.number.is_some()
            {
                receipt.commitments = commitments(tx, db.keys(), &visit).await?;
            }
            receipt.ok_or_else(ApiError::not_found)
        })
        .await?;
    Ok(Reply::ok(&receipt)?.with_content_tag())
}

/// The receipts of these visits, in their order, without the commitments of their neighbours: for a phone's sync. The
/// visits are ones that the caller may see.
///
/// # Errors
/// What the database says.
pub async fn receipts_of(tx: &mut Tx, visits: &[&VisitRow]) -> Result<Vec<ReceiptView>, ApiError> {
    let mut states: BTreeMap<UnitId, Vec<(WorkerId, DateTime<Utc>)>> = BTreeMap::new();
    for visit in visits {
        let written = (visit.changed_by, visit.changed_at);
        states.entry(visit.state_id).or_default().push(written);
    }
    let mut entries: HashMap<(UnitId, Uuid, i32), StoredEntry> = HashMap::new();
    for (state_id, written) in states {
        for entry in entries_by(tx, state_id, &written).await? {
            for (id, version) in entry.made_versions() {
                entries.insert((state_id, id, version), entry.clone());
            }
        }
    }
    let mut proofs: HashMap<(UnitId, i64), Proved> = HashMap::new();
    let mut receipts = Vec::with_capacity(visits.len());
    for visit in visits {
        let entry = entries.get(&(visit.state_id, visit.id.0, visit.version));
        let mut proof = None;
        if let Some(entry) = entry {
            let key = (entry.state_id, entry.number);
            if let Slot::Vacant(slot) = proofs.entry(key) {
                slot.insert(prove(tx, entry).await?);
            }
            proof = proofs.get(&key).cloned().flatten();
        }
        let (head, hashes) = proof.unzip();
        receipts.push(ReceiptView {
            visit_id: visit.id,
            version: visit.version,
            state_id: visit.state_id,
            number: entry.map(|entry| entry.number),
            leaf: entry
                .and_then(StoredEntry::canonical)
                .map(|leaf| STANDARD.encode(leaf)),
            commitments: Vec::new(),
            hashes: hashes.unwrap_or_default(),
            head: head.map(HeadView::from),
        });
    }
    Ok(receipts)
}

/// The first signed head that covers an entry, with the path to it.
async fn prove(tx: &mut Tx, entry: &StoredEntry) -> Result<Option<(SignedHead, Vec<String>)>, ApiError> {
    let Some(head) = head_covering(tx, entry.state_id, entry.number).await? else {
        return Ok(None);
    };
    let (Ok(number), Ok(size)) = (u64::try_from(entry.number), u64::try_from(head.size)) else {
        return Ok(None);
    };
    let proof = tree::inclusion_proof(tx, entry.state_id, number, size).await?;
    Ok(proof.map(|proof| (head, encoded(&proof))))
}

/// What the entry that made this version made, in its order.
async fn commitments(
    tx: &mut Tx,
    keys: &DataKeys,
    visit: &VisitRow,
) -> Result<Vec<CommitmentView>, ApiError> {
    let written = [(visit.changed_by, visit.changed_at)];
    let entries = entries_by(tx, visit.state_id, &written).await?;
    let made = entries
        .iter()
        .map(StoredEntry::made_versions)
        .find(|made| made.contains(&(visit.id.0, visit.version)))
        .unwrap_or_default();
    let ids: Vec<Uuid> = made.iter().map(|(id, _)| *id).collect();
    let versions: HashMap<(Uuid, i32), VersionRow> = versions_of(tx, keys, visit.state_id, &ids)
        .await?
        .into_iter()
        .map(|row| ((row.kept_id.0, row.kept_version), row))
        .collect();
    let views = made.into_iter().filter_map(|(id, version)| {
        let commitment = commitment(&versions.get(&(id, version))?.visit)?;
        Some(CommitmentView {
            visit_id: VisitId(id),
            version,
            commitment: STANDARD.encode(commitment.0),
        })
    });
    Ok(views.collect())
}
