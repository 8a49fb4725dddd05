COMMENT ON COLUMN sessions.revoked_why IS 'logout, device_revoked, token_reuse, signed_in_again.';
ALTER TABLE sessions DROP COLUMN strength;
DROP TABLE second_factors;
DROP TABLE sign_in_days;
DROP TABLE sign_in_guards;
DROP TABLE otp_outbox;
DROP INDEX otp_challenges_created_idx;
ALTER TABLE otp_challenges DROP COLUMN given_by, DROP COLUMN kind, DROP COLUMN device_id;
