-- What further ways to sign in need. Every new column has a default: the previous
-- version goes on writing rows, and does not name them. Tables are altered in the
-- order in which steps write them, so that no step and this wait for each other.

CREATE TABLE credentials (
	number         bigint  PRIMARY KEY,
	project        bigint  NOT NULL,
	of_user        bigint  NOT NULL,
	session        bigint  NOT NULL,
	proof          bigint  NOT NULL,
	created_at     bigint  NOT NULL,
	used_at        bigint  NOT NULL,
	expires_at     bigint  NOT NULL,
	key_generation integer NOT NULL,
	kind           text    NOT NULL,
	key            bytea   NOT NULL,
	data           bytea   NOT NULL,
	sealed         bytea   NOT NULL,
	label          text    NOT NULL,
	site           text    NOT NULL,
	device         text    NOT NULL
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX credentials_key  ON credentials (project, kind, key);
CREATE INDEX        credentials_user ON credentials (of_user);
CREATE INDEX        credentials_site ON credentials (project, kind, site, number);

ALTER TABLE users
	ADD COLUMN seen_at          bigint  NOT NULL DEFAULT 0,
	ADD COLUMN undone_at        bigint  NOT NULL DEFAULT 0,
	ADD COLUMN passkey_required boolean NOT NULL DEFAULT false;

ALTER TABLE attempts
	ADD COLUMN for_user     bigint  NOT NULL DEFAULT 0,
	ADD COLUMN for_session  bigint  NOT NULL DEFAULT 0,
	ADD COLUMN parent       bigint  NOT NULL DEFAULT 0,
	ADD COLUMN credential   bigint  NOT NULL DEFAULT 0,
	ADD COLUMN link_tries   integer NOT NULL DEFAULT 0,
	ADD COLUMN link_opens   integer NOT NULL DEFAULT 0,
	ADD COLUMN client_state text    NOT NULL DEFAULT '',
	ADD COLUMN client_data  bytea   NOT NULL DEFAULT '',
	ADD COLUMN pending      bytea   NOT NULL DEFAULT '',
	ADD COLUMN link         text    NOT NULL DEFAULT '',
	ADD COLUMN whose        bytea   NOT NULL DEFAULT '';

ALTER TABLE sessions
	ADD COLUMN credential bigint NOT NULL DEFAULT 0,
	ADD COLUMN claims     text   NOT NULL DEFAULT '',
	ADD COLUMN exchanged_at bigint NOT NULL DEFAULT 0,
	ADD COLUMN proof      bigint NOT NULL DEFAULT 0;

ALTER TABLE messages
	ADD COLUMN cost        bigint NOT NULL DEFAULT 0,
	ADD COLUMN fallback    text   NOT NULL DEFAULT '',
	ADD COLUMN reported_at bigint NOT NULL DEFAULT 0,
	ADD COLUMN report      text   NOT NULL DEFAULT '',
	ADD COLUMN of_user     bigint NOT NULL DEFAULT 0,
	ADD COLUMN credential  bigint NOT NULL DEFAULT 0;
