-- What further ways to sign in need. Every new column has a default: the previous
-- version goes on writing rows, and does not name them.

CREATE TABLE credentials (
	number         INTEGER PRIMARY KEY,
	project        INTEGER NOT NULL,
	of_user        INTEGER NOT NULL,
	kind           TEXT    NOT NULL,
	key            BLOB    NOT NULL,
	data           BLOB    NOT NULL,
	sealed         BLOB    NOT NULL,
	key_generation INTEGER NOT NULL,
	label          TEXT    NOT NULL,
	site           TEXT    NOT NULL,
	device         TEXT    NOT NULL,
	session        INTEGER NOT NULL,
	proof          INTEGER NOT NULL,
	created_at     INTEGER NOT NULL,
	used_at        INTEGER NOT NULL,
	expires_at     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX credentials_key  ON credentials (project, kind, key);
CREATE INDEX        credentials_user ON credentials (of_user);
CREATE INDEX        credentials_site ON credentials (project, kind, site, number);

ALTER TABLE users ADD COLUMN passkey_required INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN seen_at          INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN undone_at        INTEGER NOT NULL DEFAULT 0;

ALTER TABLE attempts ADD COLUMN for_user     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN for_session  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN parent       INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN client_state TEXT    NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN client_data  BLOB    NOT NULL DEFAULT x'';
ALTER TABLE attempts ADD COLUMN pending      BLOB    NOT NULL DEFAULT x'';
ALTER TABLE attempts ADD COLUMN link_tries   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN link_opens   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN credential   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN link         TEXT    NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN whose        BLOB    NOT NULL DEFAULT x'';

ALTER TABLE sessions ADD COLUMN credential INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN claims     TEXT    NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN exchanged_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN proof      INTEGER NOT NULL DEFAULT 0;

ALTER TABLE messages ADD COLUMN fallback TEXT    NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN cost     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN reported_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN report      TEXT    NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN of_user     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN credential  INTEGER NOT NULL DEFAULT 0;
