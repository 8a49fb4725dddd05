//! The problem codes: each with its status, its title and the page that explains it (`/problems/<code>`).

macro_rules! codes {
    ($($variant:ident $code:literal $status:literal $title:literal $help:literal)+) => {
        /// What went wrong, in one stable word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($variant),+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word itself, as in `code` and at the end of `type`.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $code),+ } }

            /// HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status),+ } }

            /// The `title`: the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title),+ } }

            /// What to do about it.
            #[must_use]
            pub const fn help(self) -> &'static str { match self { $(Self::$variant => $help),+ } }
        }
    };
}

codes! {
    UnreadableBody "unreadable_body" 400 "The body cannot be read" "The body is not JSON, or breaks off. Send one JSON value in UTF-8."
    BadCursor "bad_cursor" 400 "The cursor is not one of ours" "Use `next_cursor` of the last answer unchanged, with the same path and filters, or leave it out to start afresh."
    BadHeader "bad_header" 400 "A header cannot be used" "See `detail` for which header and what it must hold."
    UnsupportedGrantType "unsupported_grant_type" 400 "This kind of sign-in is not offered" "Use grant_type `otp`, `totp`, `refresh_token` or, as a service, `client_credentials`."
    Unauthenticated "unauthenticated" 401 "Sign in first" "Send `Authorization: Bearer <access token>`. When the token has expired, refresh it; when that fails, sign in again."
    InvalidCode "invalid_code" 401 "The code is not right" "Codes work once, for five minutes and five tries, and a newer one ends the older. Ask for a new one."
    InvalidRefreshToken "invalid_refresh_token" 401 "The refresh token is not valid" "It has expired, was used already, or its session was ended. Sign in again with a one-time code."
    InvalidClient "invalid_client" 401 "The service is not known by this secret" "`client_id` or `client_secret` is wrong, the secret was ended, or the service is not active. After twenty wrong ones in a row, wait a quarter of an hour."
    Forbidden "forbidden" 403 "Your grants do not allow this" "You may see this, but not do that to it. A coordinator of the unit can give the role that may."
    SecondFactorRequired "second_factor_required" 403 "Sign in with your second factor" "A code by message alone does not give what coordinators and administrators may do. Sign in with `totp`, the password of your app; who has no app yet asks whoever manages him for a code that is read out, and sets the app up with it."
    OwnVisit "own_visit" 403 "Nobody reviews his own visits" "The visit is yours, or was uploaded from a phone on which you sign in. Somebody else who may review here has to judge it."
    NotFound "not_found" 404 "There is no such thing" "It does not exist, or lies outside your grants."
    MethodNotAllowed "method_not_allowed" 405 "This method is not served here" "See the `Allow` header, or /docs."
    NotAcceptable "not_acceptable" 406 "No such representation" "Answers are application/json, exports text/csv or application/x-ndjson."
    RequestTimeout "request_timeout" 408 "The request took too long to arrive" "Send it again."
    VisitConflict "visit_conflict" 409 "Another visit has this id" "The id is taken by a visit with other content; the stored one is in `stored`. To change it, PATCH it; for another visit, use a new id."
    Conflict "conflict" 409 "It contradicts what is stored" "See `detail`."
    AlreadyVoided "already_voided" 409 "The visit was voided" "A voided visit can no longer be changed."
    VisitRejected "visit_rejected" 409 "The visit was rejected" "Its author cannot correct a rejected visit. Whoever reviews it can take the verdict back, or correct it himself."
    VisitChanged "visit_changed" 409 "The visit was changed in the meantime" "Your verdict names another version than the one that counts now. Read the visit again, then judge it."
    WeekSigned "week_signed" 409 "The week is signed" "A mandal's week is signed once, and its visits are then closed to their authors. Who stands above the mandal can reopen it."
    DrawOpen "draw_open" 409 "The unit has such a draw already" "A unit has one draw at a time for a campaign and period. Close it before you request another."
    DrawPending "draw_pending" 409 "The draw is not drawn yet" "No signed head covers its request. Seed it (`POST /v1/draws/{id}/seed`), and again a moment later if that is not enough."
    DrawClosed "draw_closed" 409 "The draw is closed" "A closed draw does not change. Request another."
    AlreadyChecked "already_checked" 409 "The visit was checked" "Somebody's back-check of this visit came first, and it counts. Nothing more is to be done."
    BackCheckConflict "back_check_conflict" 409 "Another back-check has this id" "The id is taken by a back-check with other content. What was recorded stands; for another visit, use a new id."
    RequestInFlight "request_in_flight" 409 "The same request is still being answered" "Another request with this Idempotency-Key is under way. Wait, then send it again."
    CursorTooOld "cursor_too_old" 410 "The cursor is too old" "Start afresh without a cursor."
    PreconditionFailed "precondition_failed" 412 "It was changed in the meantime" "Your If-Match names an older version. Read it again, then decide again."
    PayloadTooLarge "payload_too_large" 413 "The body is too large" "Bodies hold at most 256 KiB, batches 1 MiB, after decompression. Send less at once."
    UriTooLong "uri_too_long" 414 "The address is too long" "Path and query hold at most 8 KiB."
    UnsupportedMediaType "unsupported_media_type" 415 "This kind of body is not read here" "Send application/json (imports: text/csv), plain or with Content-Encoding gzip or zstd."
    Invalid "invalid" 422 "The request is understood but not valid" "`errors` names every field that is wrong, by JSON pointer, and how to mend it."
    UnknownCampaign "unknown_campaign" 422 "There is no such campaign for this booth" "The campaign does not exist, or does not run in the booth's units."
    OutsideScope "outside_scope" 422 "The booth is not yours" "The booth does not exist, or was yours neither on the day of the visit nor today."
    UnknownHousehold "unknown_household" 422 "The booth has no such household" "PUT the household first, and use the booth that it belongs to."
    IdempotencyMismatch "idempotency_mismatch" 422 "The Idempotency-Key was used for another request" "Use a new key for a new request."
    ImportRejected "import_rejected" 422 "The file has errors; nothing was imported" "`errors` lists line, column and reason of every bad row. Mend them and send the file again."
    ScopeTooWide "scope_too_wide" 422 "There are more booths than a phone should hold" "Sync is for work in the field: at most 500 booths under all grants together. Read what lies above by the lists and totals, page by page."
    PreconditionRequired "precondition_required" 428 "Say which version you are changing" "Send `If-Match` with the `ETag` of what you read."
    TooManyRequests "too_many_requests" 429 "Too many requests" "Wait as long as `Retry-After` says."
    SignInSuspended "sign_in_suspended" 429 "Sign-in by message is suspended for today" "Too many wrong codes were tried over all accounts. Sign in with grant_type `totp`, or with a code that your coordinator reads out."
    HeadersTooLarge "headers_too_large" 431 "The headers are too large" "At most 64 headers of 32 KiB together are read."
    Internal "internal" 500 "Something went wrong on our side" "It has been logged under `request_id`. Sending the same request again is safe."
    Unavailable "unavailable" 503 "The service cannot answer just now" "Wait as long as `Retry-After` says, then send the same request again."
    StorageFull "storage_full" 503 "There is no room left to store this" "Nothing of the request was stored. Send it again later."
}

impl Code {
    /// The code with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_distinct_and_found_by_name() {
        for code in Code::ALL {
            assert_eq!(Code::find(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.status()), "{}", code.as_str());
        }
    }
}
