-- Times are microseconds since 1970, zero for "not yet"; ids and hashes are bytea,
-- an empty one for the zero value. Wide columns come first, so that nothing is lost
-- to alignment. Every index costs bytes at each write: there are only those that a
-- query of every day needs. Rows that change leave room in their page (fillfactor),
-- so that the new version needs no new entries in the indexes.

CREATE TABLE counters (
	value bigint NOT NULL,
	name  text   PRIMARY KEY
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
INSERT INTO counters (name, value) VALUES ('numbers', 0), ('version', 1);

-- Emptied by the recovery from a crash, and on a standby that takes over. Who finds
-- here what was there before knows that no commit was lost meanwhile.
CREATE UNLOGGED TABLE incarnation (
	single boolean PRIMARY KEY CHECK (single),
	id     uuid    NOT NULL
);

CREATE TABLE projects (
	number     bigint  PRIMARY KEY,
	created_at bigint  NOT NULL,
	updated_at bigint  NOT NULL,
	is_default boolean NOT NULL,
	id         text    NOT NULL UNIQUE,
	settings   text    NOT NULL, -- JSON
	secrets    text    NOT NULL  -- JSON; hashes only
);

CREATE TABLE data_keys (
	created_at bigint  NOT NULL,
	generation integer NOT NULL,
	purpose    text    NOT NULL,
	wrapped    bytea   NOT NULL,
	PRIMARY KEY (purpose, generation)
);

CREATE TABLE signing_keys (
	number       bigint  PRIMARY KEY,
	project      bigint  NOT NULL,
	announced_at bigint  NOT NULL,
	active_at    bigint  NOT NULL,
	retiring_at  bigint  NOT NULL,
	gone_at      bigint  NOT NULL,
	generation   integer NOT NULL,
	use          text    NOT NULL,
	kid          text    NOT NULL,
	public       bytea   NOT NULL,
	wrapped      bytea   NOT NULL
);

CREATE TABLE users (
	number         bigint   PRIMARY KEY,
	project        bigint   NOT NULL,
	proved_at      bigint   NOT NULL,
	created_at     bigint   NOT NULL,
	updated_at     bigint   NOT NULL,
	kind           smallint NOT NULL,
	id             bytea    NOT NULL,
	identifier     text     NOT NULL,
	client_user_id text     NOT NULL,
	locale         text     NOT NULL
) WITH (fillfactor = 95);
CREATE UNIQUE INDEX users_id         ON users (project, id);
CREATE UNIQUE INDEX users_identifier ON users (project, identifier);
CREATE UNIQUE INDEX users_client     ON users (project, client_user_id) WHERE client_user_id <> '';
CREATE INDEX        users_created    ON users (project, created_at);

CREATE TABLE attempts (
	number         bigint   PRIMARY KEY,
	project        bigint   NOT NULL,
	next_send_at   bigint   NOT NULL,
	created_at     bigint   NOT NULL,
	expires_at     bigint   NOT NULL,
	proved_at      bigint   NOT NULL,
	denied_at      bigint   NOT NULL,
	collected_at   bigint   NOT NULL,
	proved_user    bigint   NOT NULL,
	key_generation integer  NOT NULL,
	tries          integer  NOT NULL,
	max_tries      integer  NOT NULL,
	sends          integer  NOT NULL,
	kind           smallint NOT NULL,
	nonce          bytea    NOT NULL,
	purpose        text     NOT NULL,
	method         text     NOT NULL,
	identifier     text     NOT NULL,
	starter        bytea    NOT NULL,
	challenge      bytea    NOT NULL,
	destination    text     NOT NULL,
	origin         text     NOT NULL,
	form_id        text     NOT NULL,
	data           bytea    NOT NULL,
	device         text     NOT NULL,
	network        text     NOT NULL,
	locale         text     NOT NULL
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);

CREATE TABLE grants (
	number      bigint PRIMARY KEY,
	attempt     bigint NOT NULL,
	project     bigint NOT NULL,
	for_user    bigint NOT NULL,
	created_at  bigint NOT NULL,
	expires_at  bigint NOT NULL,
	spent_at    bigint NOT NULL,
	session     bigint NOT NULL,
	hash        bytea  NOT NULL,
	challenge   bytea  NOT NULL,
	destination text   NOT NULL,
	origin      text   NOT NULL
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);

CREATE TABLE guesses (
	key   bigint PRIMARY KEY,
	day   bigint NOT NULL,
	wrong bytea  NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);

CREATE TABLE sessions (
	number         bigint  PRIMARY KEY,
	project        bigint  NOT NULL,
	of_user        bigint  NOT NULL,
	counter        bigint  NOT NULL,
	older_counter  bigint  NOT NULL,
	older_at       bigint  NOT NULL,
	newer_counter  bigint  NOT NULL,
	newer_at       bigint  NOT NULL,
	auth_at        bigint  NOT NULL,
	created_at     bigint  NOT NULL,
	used_at        bigint  NOT NULL,
	idle_until     bigint  NOT NULL,
	expires_at     bigint  NOT NULL,
	revoked_at     bigint  NOT NULL,
	key_generation integer NOT NULL,
	static         boolean NOT NULL,
	salt           bytea   NOT NULL,
	auth_method    text    NOT NULL,
	device         text    NOT NULL,
	network        text    NOT NULL,
	origin         text    NOT NULL
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);
CREATE INDEX sessions_live ON sessions (of_user) WHERE revoked_at = 0;

CREATE TABLE messages (
	number      bigint  PRIMARY KEY,
	project     bigint  NOT NULL,
	attempt     bigint  NOT NULL,
	created_at  bigint  NOT NULL,
	expires_at  bigint  NOT NULL,
	due_at      bigint  NOT NULL,
	sent_at     bigint  NOT NULL,
	given_up_at bigint  NOT NULL,
	sequence    integer NOT NULL,
	tries       integer NOT NULL,
	channel     text    NOT NULL,
	recipient   text    NOT NULL,
	template    text    NOT NULL,
	locale      text    NOT NULL,
	reason      text    NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX messages_due ON messages (due_at, number) WHERE sent_at = 0 AND given_up_at = 0;

CREATE TABLE audit_events (
	number  bigint PRIMARY KEY,
	project bigint NOT NULL,
	at      bigint NOT NULL,
	of_user bigint NOT NULL,
	attempt bigint NOT NULL,
	session bigint NOT NULL,
	kind    text   NOT NULL,
	subject bytea  NOT NULL,
	network text   NOT NULL,
	detail  text   NOT NULL
);

-- The counters of Take: when the bucket of a key will be full again.
CREATE TABLE limits (
	key  bigint PRIMARY KEY,
	mark bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);

-- splitpin.GuessesKey, so that what hangs on an attempt is found in the round trip
-- that finds the attempt.
CREATE FUNCTION guesses_key(project bigint, identifier text) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE RETURN
	(('x' || encode(substr(sha256(
		'\x6775657373657300'::bytea || int8send(project) || '\x00'::bytea || convert_to(identifier, 'UTF8')
	), 1, 8), 'hex'))::bit(64) >> 1)::bigint;
