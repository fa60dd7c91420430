-- Times are microseconds since 1970, zero for "not yet"; ids and hashes are
-- blobs, an empty one for the zero value. Every index costs bytes at each
-- write: there are only those that a query of every day needs.

CREATE TABLE counters (
	name  TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('numbers', 0), ('version', 1);

CREATE TABLE projects (
	number     INTEGER PRIMARY KEY,
	id         TEXT    NOT NULL UNIQUE,
	is_default INTEGER NOT NULL,
	settings   TEXT    NOT NULL, -- JSON
	secrets    TEXT    NOT NULL, -- JSON; hashes only
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE data_keys (
	purpose    TEXT    NOT NULL,
	generation INTEGER NOT NULL,
	wrapped    BLOB    NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (purpose, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
	number       INTEGER PRIMARY KEY,
	project      INTEGER NOT NULL,
	use          TEXT    NOT NULL,
	kid          TEXT    NOT NULL,
	public       BLOB    NOT NULL,
	wrapped      BLOB    NOT NULL,
	generation   INTEGER NOT NULL,
	announced_at INTEGER NOT NULL,
	active_at    INTEGER NOT NULL,
	retiring_at  INTEGER NOT NULL,
	gone_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
	number         INTEGER PRIMARY KEY,
	id             BLOB    NOT NULL,
	project        INTEGER NOT NULL,
	identifier     TEXT    NOT NULL,
	kind           INTEGER NOT NULL,
	proved_at      INTEGER NOT NULL,
	client_user_id TEXT    NOT NULL,
	locale         TEXT    NOT NULL,
	created_at     INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_id         ON users (project, id);
CREATE UNIQUE INDEX users_identifier ON users (project, identifier);
CREATE UNIQUE INDEX users_client     ON users (project, client_user_id) WHERE client_user_id <> '';
CREATE INDEX        users_created    ON users (project, created_at);

CREATE TABLE attempts (
	number         INTEGER PRIMARY KEY,
	nonce          BLOB    NOT NULL,
	project        INTEGER NOT NULL,
	purpose        TEXT    NOT NULL,
	method         TEXT    NOT NULL,
	identifier     TEXT    NOT NULL,
	kind           INTEGER NOT NULL,
	starter        BLOB    NOT NULL,
	challenge      BLOB    NOT NULL,
	destination    TEXT    NOT NULL,
	origin         TEXT    NOT NULL,
	form_id        TEXT    NOT NULL,
	data           BLOB    NOT NULL,
	key_generation INTEGER NOT NULL,
	tries          INTEGER NOT NULL,
	max_tries      INTEGER NOT NULL,
	sends          INTEGER NOT NULL,
	next_send_at   INTEGER NOT NULL,
	device         TEXT    NOT NULL,
	network        TEXT    NOT NULL,
	locale         TEXT    NOT NULL,
	created_at     INTEGER NOT NULL,
	expires_at     INTEGER NOT NULL,
	proved_at      INTEGER NOT NULL,
	denied_at      INTEGER NOT NULL,
	collected_at   INTEGER NOT NULL,
	proved_user    INTEGER NOT NULL
) STRICT;

CREATE TABLE grants (
	number      INTEGER PRIMARY KEY,
	hash        BLOB    NOT NULL,
	attempt     INTEGER NOT NULL,
	project     INTEGER NOT NULL,
	for_user    INTEGER NOT NULL,
	challenge   BLOB    NOT NULL,
	destination TEXT    NOT NULL,
	origin      TEXT    NOT NULL,
	created_at  INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL,
	spent_at    INTEGER NOT NULL,
	session     INTEGER NOT NULL
) STRICT;

CREATE TABLE guesses (
	key   INTEGER PRIMARY KEY,
	day   INTEGER NOT NULL,
	wrong BLOB    NOT NULL
) STRICT;

CREATE TABLE sessions (
	number         INTEGER PRIMARY KEY,
	project        INTEGER NOT NULL,
	of_user        INTEGER NOT NULL,
	salt           BLOB    NOT NULL,
	key_generation INTEGER NOT NULL,
	counter        INTEGER NOT NULL,
	older_counter  INTEGER NOT NULL,
	older_at       INTEGER NOT NULL,
	newer_counter  INTEGER NOT NULL,
	newer_at       INTEGER NOT NULL,
	static         INTEGER NOT NULL,
	auth_method    TEXT    NOT NULL,
	auth_at        INTEGER NOT NULL,
	device         TEXT    NOT NULL,
	network        TEXT    NOT NULL,
	origin         TEXT    NOT NULL,
	created_at     INTEGER NOT NULL,
	used_at        INTEGER NOT NULL,
	idle_until     INTEGER NOT NULL,
	expires_at     INTEGER NOT NULL,
	revoked_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_live ON sessions (of_user) WHERE revoked_at = 0;

CREATE TABLE messages (
	number      INTEGER PRIMARY KEY,
	project     INTEGER NOT NULL,
	attempt     INTEGER NOT NULL,
	sequence    INTEGER NOT NULL,
	channel     TEXT    NOT NULL,
	recipient   TEXT    NOT NULL,
	template    TEXT    NOT NULL,
	locale      TEXT    NOT NULL,
	created_at  INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL,
	tries       INTEGER NOT NULL,
	due_at      INTEGER NOT NULL,
	sent_at     INTEGER NOT NULL,
	given_up_at INTEGER NOT NULL,
	reason      TEXT    NOT NULL
) STRICT;
CREATE INDEX messages_due ON messages (due_at) WHERE sent_at = 0 AND given_up_at = 0;

CREATE TABLE audit_events (
	number  INTEGER PRIMARY KEY,
	project INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	kind    TEXT    NOT NULL,
	subject BLOB    NOT NULL,
	of_user INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	session INTEGER NOT NULL,
	network TEXT    NOT NULL,
	detail  TEXT    NOT NULL
) STRICT;

-- The counters of Take as a log: each row holds a batch of them, sixteen bytes
-- each; of two for one key the later row counts.
CREATE TABLE limits (
	number  INTEGER PRIMARY KEY,
	entries BLOB NOT NULL
) STRICT;
