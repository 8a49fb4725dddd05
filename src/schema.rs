// @generated automatically by Diesel CLI.

diesel::table! {
    /// Every version of a campaign's questions: an answer keeps the version it was given under.
    campaign_questions (campaign_id, version) {
        /// The campaign.
        campaign_id -> Int4,
        /// From 1.
        version -> Int4,
        /// [{"key","type","options","required","labels"}].
        questions -> Jsonb,
        /// Asked from then on.
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// A drive (sampark abhiyan): period, scope, questions, issue codes, targets.
    campaigns (id) {
        /// Our number for the campaign.
        id -> Int4,
        /// It runs in this unit and all below it.
        unit_id -> Int4,
        /// Name shown to workers.
        name -> Text,
        /// First day; no visit counts before it.
        starts_on -> Date,
        /// Last day; null: open.
        ends_on -> Nullable<Date>,
        /// Whether visits may carry a support score; off by default, for privacy.
        collect_support -> Bool,
        /// Issue codes with labels by language: [{"code","labels":{"en":…}}].
        issues -> Jsonb,
        /// Targets by indicator.
        targets -> Jsonb,
        /// The version of the questions that is asked now.
        question_version -> Int4,
        /// Counts the changes; the ETag.
        version -> Int4,
        /// The worker who made it.
        created_by -> Nullable<Int4>,
        /// When it was made.
        created_at -> Timestamptz,
        /// When it was last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// Phones on which a worker has signed in. A phone that two workers share is two rows.
    devices (worker_id, id) {
        /// The phone's own id for itself.
        id -> Uuid,
        /// Whose.
        worker_id -> Int4,
        /// Name that the phone gave.
        name -> Nullable<Text>,
        /// android, ios, …
        platform -> Nullable<Text>,
        /// Version of the app at the last sign-in.
        app_version -> Nullable<Text>,
        /// First sign-in.
        created_at -> Timestamptz,
        /// Last sign-in or refresh.
        last_seen_at -> Timestamptz,
    }
}

diesel::table! {
    /// Which doors a campaign has reached, and on which day each was first reached: what makes doors_reached exact under late uploads and voids.
    doors (state_id, campaign_id, household_id) {
        /// The state.
        state_id -> Int4,
        /// The campaign.
        campaign_id -> Int4,
        /// The household.
        household_id -> Uuid,
        /// The earliest live contact, by day and then by id.
        first_contact_visit_id -> Nullable<Uuid>,
        /// Its day: the day on which the door counts.
        first_contact_on -> Nullable<Date>,
        /// That day before the last write, so that one statement can tell from where to where the count moved.
        previous_contact_on -> Nullable<Date>,
        /// Live contacts.
        contacts -> Int4,
    }
}

diesel::table! {
    /// A role that a worker holds at a unit from a day to a day. It reaches the unit and all below it in either tree.
    grants (id) {
        /// Our number for the grant.
        id -> Int4,
        /// Who holds it.
        worker_id -> Int4,
        /// Set of actions, see access/roles.rs.
        role -> Text,
        /// Where.
        unit_id -> Int4,
        /// First day on which it holds.
        valid_from -> Date,
        /// Last day on which it holds; null: until ended.
        valid_to -> Nullable<Date>,
        /// The worker who gave it; null for the command line.
        given_by -> Nullable<Int4>,
        /// When it was given.
        created_at -> Timestamptz,
        /// When it was taken away; it then holds on no day from that one on, and still tells which booths were his before.
        ended_at -> Nullable<Timestamptz>,
        /// Who took it away.
        ended_by -> Nullable<Int4>,
    }
}

diesel::table! {
    /// Doors that can be visited: a label such as a house number, never a name.
    households (state_id, id) {
        /// The phone's id for it.
        id -> Uuid,
        /// The state of its booth.
        state_id -> Int4,
        /// The booth it belongs to, for ever.
        booth_id -> Int4,
        /// House number or the like; no names of electors.
        label -> Text,
        /// How many electors live there, if known.
        electors -> Nullable<Int4>,
        /// Latitude in degrees (WGS 84), if known.
        lat -> Nullable<Float8>,
        /// Longitude in degrees (WGS 84), if known.
        lon -> Nullable<Float8>,
        /// Counts the changes; the ETag.
        version -> Int4,
        /// The worker who first wrote it.
        created_by -> Nullable<Int4>,
        /// When it was first written.
        created_at -> Timestamptz,
        /// When it was last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// The first answer to a POST that carried an Idempotency-Key, written in the transaction of its effect.
    idempotency_keys (actor_id, key) {
        /// Whose key: another's key is another key.
        actor_id -> Int4,
        /// The key as sent.
        key -> Text,
        /// SHA-256 of method, path and body: the same key with another request is refused.
        request_digest -> Bytea,
        /// HTTP status of the first answer.
        status -> Int2,
        /// Its Location header.
        location -> Nullable<Text>,
        /// Its ETag header.
        etag -> Nullable<Text>,
        /// Its body.
        body -> Bytea,
        /// When; kept for a week.
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// Every write, numbered 1, 2, 3 … within its state in the order in which commits became visible. A number once seen is final.
    journal (state_id, number) {
        /// The state whose journal it is; the nation's id for what belongs to no state.
        state_id -> Int4,
        /// Place in the state's journal, from 1, without a hole.
        number -> Int8,
        /// The unit it happened at; decides who may read it.
        unit_id -> Int4,
        /// The worker who did it; null for the program itself.
        actor_id -> Nullable<Int4>,
        /// The device it was done from.
        device_id -> Nullable<Uuid>,
        /// What was done.
        action -> Text,
        /// What kind of thing it was done to.
        subject -> Text,
        /// Which, for what we number.
        subject_ids -> Array<Nullable<Int4>>,
        /// Which, for what the phone names.
        subject_uuids -> Array<Nullable<Uuid>>,
        /// SHA-256 over what was written.
        digest -> Bytea,
        /// When, by the server's clock.
        at -> Timestamptz,
        /// RFC 6962 leaf hash of the entry's canonical form.
        leaf_hash -> Bytea,
    }
}

diesel::table! {
    /// How long each state's journal is. Changed by the poster alone, under its lock.
    journal_heads (state_id) {
        /// The state (or the nation).
        state_id -> Int4,
        /// Entries numbered so far.
        size -> Int8,
    }
}

diesel::table! {
    /// Derived from placements whenever they change: all units above a unit in both trees, itself included, on each day. A unit's first row reaches back for ever, so every day has exactly one.
    lineages (unit_id, valid_from) {
        /// The unit whose lineage this is.
        unit_id -> Int4,
        /// First day; 0001-01-01 means since ever.
        valid_from -> Date,
        /// The day on which it no longer holds; null while it holds.
        valid_to -> Nullable<Date>,
        /// The state of the unit.
        state_id -> Int4,
        /// The unit and all above it in both trees, ascending.
        unit_ids -> Array<Nullable<Int4>>,
    }
}

diesel::table! {
    /// One-time codes sent. The code itself is nowhere: only its HMAC under a server key.
    otp_challenges (id) {
        /// The challenge; bound into the hash.
        id -> Uuid,
        /// Whom the code was sent to.
        worker_id -> Int4,
        /// HMAC-SHA-256 of challenge and code.
        code_hash -> Bytea,
        /// When it was made; limits how often codes are sent.
        created_at -> Timestamptz,
        /// When it stops working.
        expires_at -> Timestamptz,
        /// Tries begun; committed before the comparison, at most 5.
        tries -> Int2,
        /// When it was used, or ended by a newer one.
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Where a unit hangs in each of the two trees, from day to day. Redrawing adds a row; the past stays.
    placements (unit_id, tree, valid_from) {
        /// The unit placed.
        unit_id -> Int4,
        /// organisation (nation, state, district, mandal, shakti kendra, booth) or electorate (nation, state, parliamentary, assembly constituency, booth).
        tree -> Text,
        /// The unit straight above it in that tree.
        parent_id -> Int4,
        /// First day; 0001-01-01 means since ever.
        valid_from -> Date,
        /// The day on which it no longer holds; null while it holds.
        valid_to -> Nullable<Date>,
    }
}

diesel::table! {
    /// Opaque refresh tokens, by their SHA-256. Each is used once, then replaced.
    refresh_tokens (hash) {
        /// SHA-256 of the token.
        hash -> Bytea,
        /// The family.
        session_id -> Uuid,
        /// The token it replaced; null for the first.
        parent_hash -> Nullable<Bytea>,
        /// When it was made.
        created_at -> Timestamptz,
        /// When it stops working if it is not used.
        expires_at -> Timestamptz,
        /// When it was replaced. Taken once more while its successor is unused, since replies get lost.
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// One sign-in on one device, and the family of refresh tokens that grew from it.
    sessions (id) {
        /// The sid claim of its access tokens.
        id -> Uuid,
        /// Who signed in.
        worker_id -> Int4,
        /// On which device.
        device_id -> Uuid,
        /// When.
        created_at -> Timestamptz,
        /// When it ends at the latest, however often it is refreshed.
        expires_at -> Timestamptz,
        /// When it was ended: logout, device revoked, theft of a token.
        revoked_at -> Nullable<Timestamptz>,
        /// logout, device_revoked, token_reuse, signed_in_again.
        revoked_why -> Nullable<Text>,
    }
}

diesel::table! {
    /// The ledger: posted counts of every unit below the nation, by campaign and day. What a unit really has is this plus what lies in tally_inbox.
    totals (state_id, unit_id, campaign_id, day) {
        /// The state.
        state_id -> Int4,
        /// The unit.
        unit_id -> Int4,
        /// The campaign.
        campaign_id -> Int4,
        /// The day of the visits.
        day -> Date,
        /// Live visits.
        visits -> Int4,
        /// Contacts: visits whose outcome is met.
        met -> Int4,
        /// Visits whose outcome is not_home.
        not_home -> Int4,
        /// Visits whose outcome is refused.
        refused -> Int4,
        /// Visits whose outcome is moved.
        moved -> Int4,
        /// Visits whose outcome is locked.
        locked -> Int4,
        /// Visits whose outcome is inaccessible.
        inaccessible -> Int4,
        /// People met, summed over live visits.
        people_met -> Int4,
        /// Doors with a contact, each counted once, on the day of its earliest live contact.
        doors_reached -> Int4,
        /// Visits that recorded support 1.
        support_1 -> Int4,
        /// Visits that recorded support 2.
        support_2 -> Int4,
        /// Visits that recorded support 3.
        support_3 -> Int4,
        /// Visits that recorded support 4.
        support_4 -> Int4,
        /// Visits that recorded support 5.
        support_5 -> Int4,
        /// Live visits with a flag.
        flagged -> Int4,
        /// Live visits that a coordinator verified.
        verified -> Int4,
        /// Visits that a coordinator rejected.
        rejected -> Int4,
        /// Visits taken back; they are out of every other figure.
        voided -> Int4,
    }
}

diesel::table! {
    /// Every node of the organisation: nation, state, district, mandal, shakti kendra, booth, parliamentary and assembly constituency.
    units (id) {
        /// Our number for the unit.
        id -> Int4,
        /// The code by which imports and people know it, unique in the whole installation (S24-AC001-B0001).
        code -> Text,
        /// What kind of node it is; fixed for its life.
        level -> Text,
        /// Name in Latin script. Names are no keys: many occur twice.
        name -> Text,
        /// Name in the local script, if known.
        name_local -> Nullable<Text>,
        /// The state it lies in, for ever: itself for a state, the nation's own id for the nation. First in the key of every hot table.
        state_id -> Int4,
        /// Electors on the roll, if known.
        electors -> Nullable<Int4>,
        /// Doors (households) to be visited, if known: the denominator of coverage.
        doors -> Nullable<Int4>,
        /// Latitude in degrees (WGS 84), if known.
        lat -> Nullable<Float8>,
        /// Longitude in degrees (WGS 84), if known.
        lon -> Nullable<Float8>,
        /// Counts the changes; the ETag.
        version -> Int4,
        /// When it was first written.
        created_at -> Timestamptz,
        /// When it was last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// Versions of visits that a later one replaced, whole. Nothing is ever overwritten.
    visit_versions (state_id, visit_id, version) {
        /// The state.
        state_id -> Int4,
        /// The visit.
        visit_id -> Uuid,
        /// Which version this was.
        version -> Int4,
        /// The visits row as it stood.
        content -> Jsonb,
        /// Who had written it.
        changed_by -> Int4,
        /// When it was written.
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    /// One attempt at one door: the version that counts now. Earlier versions are in visit_versions.
    visits (state_id, id) {
        /// The state of the booth.
        state_id -> Int4,
        /// The phone's id, unique within the state.
        id -> Uuid,
        /// The booth visited.
        booth_id -> Int4,
        /// The campaign it counts for.
        campaign_id -> Int4,
        /// Who made it.
        worker_id -> Int4,
        /// From which device it was uploaded.
        device_id -> Nullable<Uuid>,
        /// The door, if it is a known one.
        household_id -> Nullable<Uuid>,
        /// When, by the phone's clock, as sent.
        visited_at -> Timestamptz,
        /// The day it counts on: that instant's day in the operating time zone, bounded by campaign and receipt.
        visited_on -> Date,
        /// When the server stored it.
        received_at -> Timestamptz,
        /// met is a contact; the others are not.
        outcome -> Text,
        /// door, phone, street or meeting.
        channel -> Text,
        /// How many people were spoken to.
        people_met -> Int4,
        /// 1 to 5, only where the campaign collects it.
        support -> Nullable<Int2>,
        /// Issue codes of the campaign, as a JSON array.
        issues -> Jsonb,
        /// Answers by question key.
        answers -> Jsonb,
        /// The version of the questions that was asked.
        question_version -> Int4,
        /// Free text of at most 500 characters.
        note -> Nullable<Text>,
        /// Latitude in degrees (WGS 84).
        lat -> Nullable<Float8>,
        /// Longitude in degrees (WGS 84).
        lon -> Nullable<Float8>,
        /// Accuracy of the position in metres.
        accuracy_m -> Nullable<Float4>,
        /// Whether the phone says that the position was made up.
        mock -> Nullable<Bool>,
        /// How long the visit took, in seconds.
        duration_s -> Nullable<Int4>,
        /// A machine's doubts: [{"code","measured","bound"}].
        flags -> Jsonb,
        /// A coordinator's verdict.
        review -> Text,
        /// From 1; each correction and void adds one.
        version -> Int4,
        /// SHA-256 of the content as first sent, by which a resend is known.
        sent_digest -> Bytea,
        /// Who wrote this version.
        changed_by -> Int4,
        /// When this version was written.
        changed_at -> Timestamptz,
        /// When it was taken back; it is then out of every figure.
        voided_at -> Nullable<Timestamptz>,
        /// Why it was taken back.
        void_reason -> Nullable<Text>,
    }
}

diesel::table! {
    /// People of the cadre (karyakartas). No citizen who is visited is ever here.
    workers (id) {
        /// Our number for the worker.
        id -> Int4,
        /// The unit on whose roster he stands; who manages workers there or above manages him.
        unit_id -> Int4,
        /// Name as he wants to be called.
        name -> Text,
        /// E.164 number; he signs in with it.
        phone -> Text,
        /// BCP 47 tag of the language for messages.
        language -> Text,
        /// False: cannot sign in, and every token of his is void.
        active -> Bool,
        /// Party he came from, for an entrant.
        origin_party -> Nullable<Text>,
        /// Day an entrant joined.
        origin_joined_on -> Nullable<Date>,
        /// Counts the changes, those of his grants included; the ETag.
        version -> Int4,
        /// When he was put on the roster.
        created_at -> Timestamptz,
        /// When this row was last changed.
        updated_at -> Timestamptz,
    }
}

diesel::joinable!(campaign_questions -> campaigns (campaign_id));
diesel::joinable!(campaigns -> units (unit_id));
diesel::joinable!(devices -> workers (worker_id));
diesel::joinable!(grants -> units (unit_id));
diesel::joinable!(households -> units (booth_id));
diesel::joinable!(lineages -> units (unit_id));
diesel::joinable!(otp_challenges -> workers (worker_id));
diesel::joinable!(refresh_tokens -> sessions (session_id));
diesel::joinable!(sessions -> workers (worker_id));
diesel::joinable!(workers -> units (unit_id));

diesel::allow_tables_to_appear_in_same_query!(
    campaign_questions,
    campaigns,
    devices,
    doors,
    grants,
    households,
    idempotency_keys,
    journal,
    journal_heads,
    lineages,
    otp_challenges,
    placements,
    refresh_tokens,
    sessions,
    totals,
    units,
    visit_versions,
    visits,
    workers,
);
