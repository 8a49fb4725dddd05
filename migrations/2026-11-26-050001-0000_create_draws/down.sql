DROP TABLE back_checks;
DROP TABLE draw_items;
DROP TABLE draw_booths;
DROP TABLE draw_frames;
DROP TABLE draws;
