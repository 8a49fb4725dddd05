DROP TABLE lineages;
DROP TABLE placements;
DROP TABLE units;
