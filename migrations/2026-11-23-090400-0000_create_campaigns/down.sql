DROP TABLE doors;
DROP TABLE households;
DROP TABLE campaign_questions;
DROP TABLE campaigns;
