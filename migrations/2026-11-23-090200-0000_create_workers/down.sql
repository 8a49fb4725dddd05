DROP TABLE grants;
DROP TABLE workers;
