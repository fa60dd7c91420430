-- What is known of the installation as a whole: see marks.go.

CREATE TABLE marks (
	name  text PRIMARY KEY,
	value text NOT NULL
);
