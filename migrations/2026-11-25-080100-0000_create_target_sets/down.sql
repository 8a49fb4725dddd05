DROP TABLE target_set_members;
DROP TABLE target_set_clusters;
DROP TABLE target_set_versions;
DROP TABLE target_sets;
