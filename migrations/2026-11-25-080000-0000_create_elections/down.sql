DROP TABLE election_results;
DROP TABLE election_seats;
DROP TABLE party_names;
DROP TABLE parties;
DROP TABLE elections;
