DROP TRIGGER workers_activity_changed ON workers;
DROP FUNCTION note_worker_change();
DROP TRIGGER sessions_gone ON sessions;
DROP TRIGGER sessions_changed ON sessions;
DROP TRIGGER grants_gone ON grants;
DROP TRIGGER grants_changed ON grants;
DROP TRIGGER grants_given ON grants;
DROP FUNCTION note_access_changes();
DROP TABLE access_changes;
