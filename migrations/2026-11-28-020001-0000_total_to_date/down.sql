DROP TABLE totals_to_date;
