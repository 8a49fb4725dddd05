//! Lists: seek paging with an opaque cursor, never offsets.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, Code};

/// How many items a list gives when it is not told.
pub const DEFAULT_LIMIT: u16 = 50;
/// How many it gives at most.
pub const MAX_LIMIT: u16 = 500;

/// `limit` and `cursor`, flattened into the query of every list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// How many items at most: 1 to 500, 50 if not given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, example = 50)]
    #[serde(default)]
    pub limit: Option<String>,
    /// `next_cursor` of the answer before; opaque.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `cursor` to get the next page; null at the end.
    pub next_cursor: Option<String>,
}

impl Paging {
    /// How many items to fetch.
    ///
    /// # Errors
    /// 422 if `limit` is not a whole number from 1 to 500.
    pub fn limit(&self) -> Result<i64, ApiError> {
        let Some(text) = &self.limit else {
            return Ok(i64::from(DEFAULT_LIMIT));
        };
        match text.parse::<u16>() {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(i64::from(limit)),
            _ => Err(ApiError::field(
                "/limit",
                "out_of_range",
                format!("must be a whole number from 1 to {MAX_LIMIT}"),
            )),
        }
    }

    /// Where to go on from. `list` names the list, so that a cursor of one is refused by another.
    ///
    /// # Errors
    /// 400 if the cursor is not one that we made for this list.
    pub fn after<K: DeserializeOwned>(&self, list: &str) -> Result<Option<K>, ApiError> {
        self.cursor
            .as_deref()
            .map(|cursor| decode(list, cursor))
            .transpose()
    }
}

impl<T> Page<T> {
    /// A page whose reader knows himself where the next one begins: lists that look at a bounded number of rows.
    pub fn with_next<K: Serialize>(list: &str, items: Vec<T>, next: Option<K>) -> Self {
        Self {
            items,
            next_cursor: next.map(|key| encode(list, &key)),
        }
    }

    /// A page from rows fetched with `limit + 1`: the one too many shows that there is a next page.
    pub fn new<R, K: Serialize>(
        list: &str,
        mut rows: Vec<R>,
        limit: i64,
        key: impl Fn(&R) -> K,
        view: impl FnMut(R) -> T,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more {
            rows.last().map(|last| encode(list, &key(last)))
        } else {
            None
        };
        Self {
            items: rows.into_iter().map(view).collect(),
            next_cursor,
        }
    }
}

const CHECK_LENGTH: usize = 6;

fn check(list: &str, key: &[u8]) -> [u8; CHECK_LENGTH] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(list.as_bytes());
    context.update(&[0]);
    context.update(key);
    let mut out = [0; CHECK_LENGTH];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// The cursor for a position. The check sum guards against accidents and tinkering, not against a forger: a cursor
/// carries no authority, every page is filtered by the caller's scope anew.
pub fn encode<K: Serialize>(list: &str, key: &K) -> String {
    encode_bytes(list, &serde_json::to_vec(key).unwrap_or_default())
}

/// The same for a position that is written as bytes.
pub fn encode_bytes(list: &str, key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([key, &check(list, key)].concat())
}

/// 400: not a cursor that we made for this list.
#[must_use]
pub fn bad_cursor() -> ApiError {
    ApiError::new(Code::BadCursor, "the cursor was not made by this list")
}

/// The position that a cursor stands for.
///
/// # Errors
/// 400 if it is not one that [`encode`] made for this list.
pub fn decode<K: DeserializeOwned>(list: &str, cursor: &str) -> Result<K, ApiError> {
    serde_json::from_slice(&decode_bytes(list, cursor)?).map_err(|_| bad_cursor())
}

/// The same for one that [`encode_bytes`] made.
///
/// # Errors
/// As [`decode`].
pub fn decode_bytes(list: &str, cursor: &str) -> Result<Vec<u8>, ApiError> {
    let mut key = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad_cursor())?;
    let at = key.len().checked_sub(CHECK_LENGTH).ok_or_else(bad_cursor)?;
    let sum = key.split_off(at);
    if sum == check(list, &key) {
        Ok(key)
    } else {
        Err(bad_cursor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_whole_and_only_to_its_own_list() {
        let cursor = encode("visits", &(7, "x"));
        assert_eq!(
            decode::<(i32, String)>("visits", &cursor).unwrap(),
            (7, "x".to_owned())
        );
        assert_eq!(
            decode::<(i32, String)>("units", &cursor).unwrap_err().code(),
            Code::BadCursor
        );
    }

    proptest::proptest! {
        #[test]
        fn no_cursor_panics(text in ".{0,200}") {
            let _ = decode::<(i32, String)>("visits", &text);
        }
    }
}
