//! docs/seals.md: what is said there of a real receipt holds, by the algorithms of the RFCs alone.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use uuid::Uuid;

use super::{bytes, hash, hashes, root_of_inclusion, sha};

/// The fields of a leaf behind the number of its form; an absent one is empty.
fn fields_of(leaf: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    let mut rest = &leaf[1..];
    while !rest.is_empty() {
        let (length, after) = rest.split_at(4);
        let length = u32::from_be_bytes(length.try_into().unwrap());
        let length = if length == u32::MAX { 0 } else { length as usize };
        fields.push(after[..length].to_vec());
        rest = &after[length..];
    }
    fields
}

#[test]
fn the_worked_example_holds() {
    let guide = include_str!("../../../docs/seals.md");
    let section = guide.split_once("## A worked example").unwrap().1;
    let block = section.split("```").nth(1).unwrap();
    let example: Value = serde_json::from_str(block.strip_prefix("json").unwrap()).unwrap();
    let (receipt, head) = (&example["receipt"], &example["receipt"]["head"]);

    // The leaf names the visit, and its digest is over what the entry made.
    let leaf = bytes(&receipt["leaf"]);
    let fields = fields_of(&leaf);
    assert_eq!((leaf[0], fields.len()), (2, 12));
    let visit: Uuid = receipt["visit_id"].as_str().unwrap().parse().unwrap();
    assert!(fields[8].chunks(16).any(|id| id == visit.as_bytes()));
    let mut made = Vec::new();
    for commitment in receipt["commitments"].as_array().unwrap() {
        let id: Uuid = commitment["visit_id"].as_str().unwrap().parse().unwrap();
        made.extend(id.as_bytes());
        made.extend(
            i32::try_from(commitment["version"].as_i64().unwrap())
                .unwrap()
                .to_be_bytes(),
        );
        made.extend(bytes(&commitment["commitment"]));
    }
    assert_eq!(fields[10], sha(&[&made]));

    // The path leads from the leaf to the head's root.
    let (number, size) = (
        receipt["number"].as_u64().unwrap(),
        head["size"].as_u64().unwrap(),
    );
    let path = hashes(&receipt["hashes"]);
    assert!(!path.is_empty(), "an example of nothing");
    let root = root_of_inclusion(sha(&[&[0], &leaf]), number - 1, size, &path);
    assert_eq!(root, Some(hash(&head["root"])));

    // The head's text is made from its fields, and signed by the key.
    let signed_at: chrono::DateTime<chrono::Utc> = head["signed_at"].as_str().unwrap().parse().unwrap();
    let text = format!(
        "sampark/{}\n{size}\n{}\n{}\n",
        head["state_id"],
        head["root"].as_str().unwrap(),
        signed_at.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
    );
    let key = URL_SAFE_NO_PAD
        .decode(example["key"]["x"].as_str().unwrap())
        .unwrap();
    UnparsedPublicKey::new(&ED25519, key)
        .verify(text.as_bytes(), &bytes(&head["signature"]))
        .unwrap();
}
