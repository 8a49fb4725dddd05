ALTER TABLE visits ALTER COLUMN booth_id RESET (n_distinct);
