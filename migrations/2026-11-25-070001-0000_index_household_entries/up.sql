-- A phone that syncs asks which households of its booths changed since it last did: it must not walk the whole state's
-- journal for that. Only entries about households are in the index, so recording visits pays nothing.
CREATE INDEX journal_households_idx ON journal (unit_id, number) WHERE subject = 'household';
