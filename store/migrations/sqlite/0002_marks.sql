-- What is known of the installation as a whole: see marks.go.

CREATE TABLE marks (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
