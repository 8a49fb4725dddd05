DROP TABLE shortfall_snapshots;
DROP TABLE targets;
