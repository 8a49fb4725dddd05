DROP TABLE totals;
DROP TABLE tally_inbox;
DROP TABLE journal_heads;
DROP TABLE journal;
DROP TABLE journal_inbox;
