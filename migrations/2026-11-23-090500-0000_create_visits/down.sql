DROP TABLE visit_versions;
DROP TABLE visits;
