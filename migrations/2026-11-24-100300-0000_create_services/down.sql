DROP TABLE service_secrets;
DROP TABLE services;
DROP FUNCTION note_service_change();
