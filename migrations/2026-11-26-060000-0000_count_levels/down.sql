DROP TRIGGER lineages_counted_anew ON lineages;
DROP TRIGGER lineages_counted_out ON lineages;
DROP TRIGGER lineages_counted_in ON lineages;
DROP FUNCTION count_levels();
DROP TABLE level_counts;
