"""A complete Flask backend that logs people in with Splitpin.

Built from the packages that Cotter's customers use: flask, flask-cors,
requests and python-jose. Users live in a table of its own.

Where one of those packages leaves something unchecked, this file checks it,
and a comment beginning with "Left to us" says so. Keep those lines when you
copy the rest.
"""

import hashlib
import os
import secrets
import sqlite3
import sys
import threading
import time
from urllib.parse import quote

import requests
from flask import Flask, g, jsonify, request, session
from flask_cors import CORS
from jose import JOSEError, jwt

# ------------------------------------------------------------------ settings


def required(name, what):
    """Reads a setting without a sensible default; ends the program when it is missing."""
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{name} is not set: {what}")
    return value


PRODUCTION = os.environ.get("PRODUCTION") == "true"
PORT = int(os.environ.get("PORT", "5005"))
DATABASE = os.environ.get("DATABASE", "users.db")

# Where Splitpin runs, and the project this backend belongs to. `splitpin dev`
# prints both.
LOGIN_URL = os.environ.get("LOGIN_URL", "http://localhost:8080").rstrip("/")
PROJECT = required("API_KEY_ID", "the project's key; `splitpin dev` prints it")

# The issuer that the project's tokens name: Splitpin's own URL for the default
# project, that with /p/API_KEY_ID for others. `splitpin project show` prints it.
ISSUER = os.environ.get("LOGIN_ISSUER", LOGIN_URL)

# The one origin whose pages may call this backend with cookies. Never "*".
APP_ORIGIN = os.environ.get("APP_ORIGIN", "http://localhost:3000")

# A token is good for an hour as a bearer token. To log in with, it must be new.
LOGIN_WINDOW = 5 * 60
LEEWAY = 60
LONGEST_TOKEN = 8192
SESSION_SECONDS = 12 * 60 * 60

app = Flask(__name__)
app.config.update(
    # Whoever knows this can forge cookies, so there is no default to forget about.
    SECRET_KEY=required("SESSION_SECRET", "any 32 random bytes, for example from `openssl rand -hex 32`"),
    SESSION_COOKIE_NAME="__Host-session" if PRODUCTION else "session",
    SESSION_COOKIE_SECURE=PRODUCTION,
    SESSION_COOKIE_HTTPONLY=True,
    SESSION_COOKIE_SAMESITE="Lax",
    SESSION_COOKIE_PATH="/",
    MAX_CONTENT_LENGTH=32 * 1024,
)
CORS(app, origins=[APP_ORIGIN], supports_credentials=True)

# --------------------------------------------------------------------- users

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
  id         INTEGER PRIMARY KEY,
  issuer     TEXT NOT NULL,
  project    TEXT NOT NULL,
  subject    TEXT NOT NULL,
  identifier TEXT NOT NULL,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  UNIQUE (issuer, project, subject)
);
CREATE TABLE IF NOT EXISTS sessions (
  id      TEXT PRIMARY KEY, -- SHA-256 of what the cookie holds
  user    INTEGER NOT NULL REFERENCES users (id),
  ends_at INTEGER NOT NULL
);
"""


def db():
    """Returns this request's connection."""
    if "db" not in g:
        g.db = sqlite3.connect(DATABASE, timeout=10)
        g.db.row_factory = sqlite3.Row
    return g.db


@app.teardown_appcontext
def close_db(_):
    if "db" in g:
        g.pop("db").close()


def find_or_create(claims):
    """Returns the row of the token's owner.

    The key is who they are to Splitpin, never an address: addresses change
    hands, subjects do not. Two first logins at once end on the same row.
    """
    return (
        db()
        .execute(
            """INSERT INTO users (issuer, project, subject, identifier) VALUES (?, ?, ?, ?)
               ON CONFLICT (issuer, project, subject) DO UPDATE SET identifier = excluded.identifier
               RETURNING id, subject, identifier""",
            (claims["iss"], claims["aud"], claims["sub"], claims["identifier"]),
        )
        .fetchone()
    )


# -------------------------------------------------------------------- tokens


class Keys:
    """The first key of the project's set, which is the one that signs now.

    Left to us: python-jose fetches nothing. The key is kept for as long as the
    key set's own Cache-Control says, and fetched early, at most once a minute,
    when a signature does not fit it: that is what a rotation looks like.
    """

    URL = f"{LOGIN_URL}/p/{quote(PROJECT, safe='')}/api/v0/token/jwks"
    KEEP, AGAIN = 300, 60

    def __init__(self):
        self._lock = threading.Lock()
        self._key = None
        self._asked = 0.0

    def first(self, older_than=KEEP):
        """Returns the key, fetched anew if the kept one is older than that many seconds."""
        with self._lock:
            kept, now = self._key, time.monotonic()
            if kept is not None and now - self._asked <= older_than:
                return kept
            self._asked = now  # noted before asking: one slow answer holds up one request
        try:
            answer = requests.get(self.URL, timeout=5, allow_redirects=False)
            if answer.status_code != 200:
                raise requests.RequestException(f"the key set answered {answer.status_code}")
            fresh = answer.json()["keys"][0]
        except (requests.RequestException, ValueError, LookupError):
            if kept is None:
                raise
            return kept  # better than nobody
        with self._lock:
            self._key = fresh
        return fresh


keys = Keys()


def decode(token, key):
    return jwt.decode(
        token,
        key,
        algorithms="ES256",
        audience=PROJECT,
        issuer=ISSUER,
        # Left to us: python-jose checks a claim that is there and lets a missing one pass.
        options={f"require_{claim}": True for claim in ("aud", "iss", "sub", "iat", "exp")} | {"leeway": LEEWAY},
    )


def verify(token):
    """Returns the claims of a valid access token of this project, or None."""
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
        return None
    try:
        try:
            claims = decode(token, keys.first())
        except JOSEError:
            claims = decode(token, keys.first(older_than=Keys.AGAIN))
    except (JOSEError, requests.RequestException, LookupError, ValueError) as err:
        app.logger.warning("verifying an access token: %s", err)
        return None

    # Left to us: python-jose does not know what a token is for. Without these
    # lines an id token would log people in.
    if claims.get("type") != "client_access_token" or claims.get("scope") != "access":
        return None
    if claims["iat"] > time.time() + LEEWAY or not isinstance(claims.get("identifier"), str):
        return None
    return claims


# ----------------------------------------------------------------------- app


@app.before_request
def not_too_large():
    """Refuses large bodies before they are read.

    Left to us: MAX_CONTENT_LENGTH guards forms in every version of Flask, but
    JSON only in newer ones; and a body that does not tell its length is not
    counted at all.
    """
    length = request.content_length
    if (length or 0) > app.config["MAX_CONTENT_LENGTH"] or (length is None and "Transfer-Encoding" in request.headers):
        return jsonify(error="Too large"), 413
    return None


@app.before_request
def only_from_the_app():
    """Refuses what changes something and comes from a page that is not the app's.

    Left to us: flask-cors only tells browsers who may read an answer; the
    request itself has arrived by then.
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    if origin is not None:
        ours = origin == APP_ORIGIN
    else:
        ours = site in (None, "same-origin")
    return None if ours else (jsonify(error="Not from this page"), 403)


@app.post("/login")
def login():
    payload = request.get_json()
    token = payload.get("oauth_token") if isinstance(payload, dict) else None
    claims = verify(token.get("access_token") if isinstance(token, dict) else None)
    if claims is None or claims["iat"] < time.time() - LOGIN_WINDOW:
        return "Invalid access token", 403

    # The rest of the payload (email, user, …) was written by the browser: whoever
    # holds it can change it. Only the verified claims say who this is.
    user = find_or_create(claims)

    # Left to us: Flask's session is a signed cookie and nothing on this side, so
    # a copy of it would outlive the logout. It holds a random id here, new at
    # each login, and the session is a row that a logout deletes.
    end_session()
    session_id = secrets.token_urlsafe(32)
    now = int(time.time())
    db().execute("DELETE FROM sessions WHERE ends_at <= ?", (now,))
    db().execute("INSERT INTO sessions VALUES (?, ?, ?)", (digest(session_id), user["id"], now + SESSION_SECONDS))
    db().commit()
    session["id"] = session_id
    return jsonify(user=dict(user))


@app.get("/me")
def me():
    user = db().execute(
        """SELECT users.id, subject, identifier FROM sessions JOIN users ON users.id = sessions.user
           WHERE sessions.id = ? AND ends_at > ?""",
        (digest(session.get("id", "")), int(time.time())),
    ).fetchone()
    if user is None:
        return jsonify(error="Not logged in"), 401
    answer = jsonify(user=dict(user))
    answer.headers["Cache-Control"] = "no-store"
    return answer


@app.post("/logout")
def logout():
    end_session()
    db().commit()
    return "", 204


def end_session():
    """Ends the session of this request, if it has one, on both sides."""
    db().execute("DELETE FROM sessions WHERE id = ?", (digest(session.get("id", "")),))
    session.clear()


def digest(session_id):
    return hashlib.sha256(session_id.encode()).hexdigest()


def prepare():
    connection = sqlite3.connect(DATABASE)
    connection.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
    connection.close()


prepare()

if __name__ == "__main__":
    print(f"http://localhost:{PORT} accepts logins from {APP_ORIGIN}", flush=True)
    app.run(host="127.0.0.1", port=PORT)  # Flask's own server is for development; see the README
