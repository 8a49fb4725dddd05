//! Receipts: for whoever made a visit, that it is in the sealed journal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use actix_web::{get, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::access::Caller;
use crate::features::seals::wire::{CommitmentView, ReceiptView, encoded};
use crate::features::visits::{VersionRow, VisitRow, commitment, find_visit, versions_of};
use crate::journal::head::HeadView;
use crate::journal::seal::{SignedHead, heads_covering};
use crate::journal::stored::entries_by;
use crate::journal::{StoredEntry, tree};
use crate::platform::body::Path;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{UnitId, VisitId, WorkerId};
use crate::platform::reply::Reply;

/// By an entry's number: a head that covers it, and the proof that leads to it.
type Proofs = HashMap<i64, (SignedHead, Vec<String>)>;

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
    let mut proofs: HashMap<UnitId, Proofs> = HashMap::new();
    for (state_id, written) in states {
        let found = entries_by(tx, state_id, &written).await?;
        proofs.insert(state_id, prove(tx, state_id, &found).await?);
        for entry in found {
            for (id, version) in entry.made_versions() {
                entries.insert((state_id, id, version), entry.clone());
            }
        }
    }
    let mut receipts = Vec::with_capacity(visits.len());
    for visit in visits {
        let entry = entries.get(&(visit.state_id, visit.id.0, visit.version));
        let proof = entry.and_then(|entry| proofs.get(&entry.state_id)?.get(&entry.number));
        let (head, hashes) = proof.cloned().unzip();
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

/// The first signed head that covers each of a state's entries, with the path to it; nothing of those that none covers.
async fn prove(tx: &mut Tx, state_id: UnitId, entries: &[StoredEntry]) -> Result<Proofs, ApiError> {
    let numbers: BTreeSet<i64> = entries.iter().map(|entry| entry.number).collect();
    let numbers: Vec<i64> = numbers.into_iter().collect();
    let heads: Vec<(i64, SignedHead)> = heads_covering(tx, state_id, &numbers)
        .await?
        .into_iter()
        .collect();
    let asked = heads.iter().map(|(number, head)| {
        let number = u64::try_from(*number).map_err(ApiError::internal)?;
        let size = u64::try_from(head.size).map_err(ApiError::internal)?;
        Ok((number, size))
    });
    let asked: Vec<(u64, u64)> = asked.collect::<Result<_, ApiError>>()?;
    let paths = tree::inclusion_proofs(tx, state_id, &asked).await?;
    let proved = heads.into_iter().zip(paths);
    Ok(proved
        .filter_map(|((number, head), path)| Some((number, (head, encoded(&path?)))))
        .collect())
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
