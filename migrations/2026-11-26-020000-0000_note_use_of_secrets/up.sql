-- When each secret of a service was last used: whether the old one can be ended is seen, not guessed.

ALTER TABLE service_secrets ADD COLUMN last_used_at timestamptz;
COMMENT ON COLUMN service_secrets.last_used_at IS 'When a token was last asked for with it.';
