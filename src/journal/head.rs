//! A signed head as it is told: in answers, and in files that are kept elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::seal::SignedHead;
use crate::platform::ids::UnitId;

/// A signed tree head: what the tree over a state's journal was at a size. Keep one, and nothing before it can be changed
/// without your being able to show it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeadView {
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    /// How many entries it covers.
    #[schema(example = 42)]
    pub size: i64,
    /// RFC 6962 tree hash over their leaves, in base64.
    pub root: String,
    pub signed_at: DateTime<Utc>,
    /// The key, as in `/.well-known/seal-keys.json`.
    pub kid: String,
    /// Ed25519 over `text`, in base64.
    pub signature: String,
    /// What is signed: name, size, root and time, a line each.
    pub text: String,
}

impl From<SignedHead> for HeadView {
    fn from(head: SignedHead) -> Self {
        Self {
            text: head.text(),
            state_id: head.state_id,
            size: head.size,
            root: STANDARD.encode(head.root),
            signed_at: head.signed_at,
            kid: head.kid,
            signature: STANDARD.encode(head.signature),
        }
    }
}

impl HeadView {
    /// Back; `None` if it holds no base64. Its text is not believed but made anew.
    #[must_use]
    pub fn into_head(self) -> Option<SignedHead> {
        Some(SignedHead {
            state_id: self.state_id,
            size: self.size,
            root: STANDARD.decode(self.root).ok()?,
            signed_at: self.signed_at,
            kid: self.kid,
            signature: STANDARD.decode(self.signature).ok()?,
        })
    }
}
