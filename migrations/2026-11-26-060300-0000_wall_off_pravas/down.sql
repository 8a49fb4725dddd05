DROP POLICY pravas_reports_made ON pravas_reports;
DROP POLICY pravas_reports_seen ON pravas_reports;
ALTER TABLE pravas_reports NO FORCE ROW LEVEL SECURITY;
ALTER TABLE pravas_reports DISABLE ROW LEVEL SECURITY;
