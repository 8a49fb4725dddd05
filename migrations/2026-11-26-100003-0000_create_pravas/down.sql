DROP TABLE pravas_stop_tasks;
DROP TABLE pravas_findings;
DROP TABLE pravas_reviews;
DROP TABLE pravas_reports;
DROP TABLE pravas_stops;
DROP TABLE pravas_seats;
DROP TABLE pravas;
