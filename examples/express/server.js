// A complete Express backend that logs people in with Splitpin, built from the
// packages that Cotter's customers use: express, cors, cotter-node,
// cotter-token-js and express-session. Users live in a table of its own.
//
// Where one of those packages leaves something unchecked, this file checks it,
// and a comment beginning with "Left to us" says so. Keep those lines when you
// copy the rest.

"use strict";

const cors = require("cors");
const express = require("express");
const session = require("express-session");
const { Constants, CotterValidateJWT } = require("cotter-node");
const { CotterAccessToken } = require("cotter-token-js");
const { Database } = require("node-sqlite3-wasm");

// ---------------------------------------------------------------- settings

const production = process.env.NODE_ENV === "production";
const port = Number(process.env.PORT || 3005);

// Where Splitpin runs, and the project this backend belongs to. `splitpin dev`
// prints both.
const splitpinURL = (process.env.LOGIN_URL || "http://localhost:8080").replace(/\/+$/, "");
const project = required("API_KEY_ID", "the project's key; `splitpin dev` prints it");

// The issuer that the project's tokens name: Splitpin's own URL for the default
// project, that with /p/API_KEY_ID for others. `splitpin project show` prints it.
const issuer = process.env.LOGIN_ISSUER || splitpinURL;

// The one origin whose pages may call this backend with cookies. Never "*".
const appOrigin = process.env.APP_ORIGIN || "http://localhost:3000";

// Whoever knows this can forge sessions, so there is no default to forget about.
const sessionSecret = required("SESSION_SECRET", "any 32 random bytes, for example from `openssl rand -hex 32`");

// cotter-node fetches BaseURL + "/token/jwks". The project's own base path
// serves that project's keys only, so a token of another project fails on its
// signature already. The keys are kept until this process ends: restart it
// after `splitpin keys rotate`.
Constants.BaseURL = `${splitpinURL}/p/${encodeURIComponent(project)}/api/v0`;

// A token is good for an hour as a bearer token. To log in with, it must be new.
const loginWindowSeconds = 5 * 60;
const leewaySeconds = 60;
const longestToken = 8192;

// ------------------------------------------------------------------- users

const db = new Database(process.env.DATABASE || "users.db");
db.exec(`CREATE TABLE IF NOT EXISTS users (
  id         INTEGER PRIMARY KEY,
  issuer     TEXT NOT NULL,
  project    TEXT NOT NULL,
  subject    TEXT NOT NULL,
  identifier TEXT NOT NULL,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  UNIQUE (issuer, project, subject)
)`);

// findOrCreate returns the row of the token's owner. The key is who they are
// to Splitpin, never an address: addresses change hands, subjects do not. Two
// first logins at once end on the same row.
function findOrCreate(claims) {
  return db.get(
    `INSERT INTO users (issuer, project, subject, identifier) VALUES (?, ?, ?, ?)
     ON CONFLICT (issuer, project, subject) DO UPDATE SET identifier = excluded.identifier
     RETURNING id, subject, identifier`,
    [claims.iss, claims.aud, claims.sub, claims.identifier],
  );
}

// ------------------------------------------------------------------- tokens

// verify returns the claims of a valid access token of this project, or null.
// CotterValidateJWT throws when it cannot get the keys or when the token is no
// JWT at all; that is a refusal too.
async function verify(token) {
  if (typeof token !== "string" || token.length > longestToken) return null;
  try {
    if (!(await CotterValidateJWT(token))) return null;
    const claims = new CotterAccessToken(token).payload;

    // Left to us: cotter-node looks at signature, algorithm, exp and nbf, and
    // at nothing else. Without these lines an id token would log people in, and
    // so would a token made for another app by the same issuer.
    const now = Date.now() / 1000;
    const good =
      claims.aud === project &&
      claims.iss === issuer &&
      claims.type === "client_access_token" &&
      claims.scope === "access" &&
      typeof claims.exp === "number" && // without it jsonwebtoken takes a token for ever
      typeof claims.iat === "number" &&
      claims.iat <= now + leewaySeconds &&
      typeof claims.sub === "string" &&
      claims.sub !== "" &&
      typeof claims.identifier === "string";
    return good ? claims : null;
  } catch (err) {
    console.error("verifying an access token:", err.message);
    return null;
  }
}

// ---------------------------------------------------------------------- app

const app = express();
app.disable("x-powered-by");
if (production) app.set("trust proxy", 1); // the one proxy that ends TLS, so that secure cookies are set

app.use(cors({ origin: appOrigin, credentials: true }));

// Left to us: cors only tells browsers who may read an answer. The request
// itself has arrived by then, so what changes something is refused here when
// it comes from a page that is not the app's.
app.use((req, res, next) => {
  if (req.method === "GET" || req.method === "HEAD" || req.method === "OPTIONS") return next();
  const origin = req.get("Origin");
  const site = req.get("Sec-Fetch-Site");
  const ours = origin !== undefined ? origin === appOrigin : site === undefined || site === "same-origin";
  if (!ours) return res.status(403).json({ error: "Not from this page" });
  next();
});

app.use(express.json({ limit: "32kb" }));

app.use(
  session({
    secret: sessionSecret,
    resave: false,
    saveUninitialized: false, // no cookie before a login
    name: production ? "__Host-session" : "session",
    cookie: {
      httpOnly: true,
      secure: production,
      sameSite: "lax",
      path: "/",
      maxAge: 12 * 60 * 60 * 1000,
    },
    // Left to us: sessions are kept in this process's memory, which grows and is
    // gone after a restart. For more than a try, give a `store`.
  }),
);

app.post("/login", async (req, res, next) => {
  const claims = await verify(req.body?.oauth_token?.access_token);
  if (claims === null || claims.iat < Date.now() / 1000 - loginWindowSeconds) {
    return res.status(403).send("Invalid access token");
  }

  // The rest of the payload (email, user, …) was written by the browser: whoever
  // holds it can change it. Only the verified claims say who this is.
  const user = findOrCreate(claims);

  // A new session id, so that one planted before the login is worth nothing.
  req.session.regenerate((err) => {
    if (err) return next(err);
    req.session.userID = user.id;
    req.session.save((err) => {
      if (err) return next(err);
      res.json({ user });
    });
  });
});

app.get("/me", (req, res) => {
  const user = req.session.userID && db.get("SELECT id, subject, identifier FROM users WHERE id = ?", req.session.userID);
  if (!user) return res.status(401).json({ error: "Not logged in" });
  res.set("Cache-Control", "no-store").json({ user });
});

app.post("/logout", (req, res, next) => {
  req.session.destroy((err) => {
    if (err) return next(err);
    res.clearCookie(production ? "__Host-session" : "session", {
      httpOnly: true,
      secure: production,
      sameSite: "lax",
      path: "/",
    });
    res.sendStatus(204);
  });
});

// Left to us: Express would show the stack of an error to the caller.
app.use((err, req, res, next) => {
  if (res.headersSent) return next(err);
  const status = err.status >= 400 && err.status < 500 ? err.status : 500;
  if (status === 500) console.error(err);
  res.status(status).json({ error: status === 413 ? "Too large" : status < 500 ? "Bad request" : "Something went wrong" });
});

const server = app.listen(port, "127.0.0.1", (err) => {
  if (err) {
    console.error(`cannot listen on port ${port}: ${err.message}; set PORT to another`);
    process.exit(1);
  }
  console.log(`http://localhost:${server.address().port} accepts logins from ${appOrigin}`);
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    server.close(() => {
      db.close();
      process.exit(0);
    });
    server.closeAllConnections();
  });
}

// required reads a setting that has no sensible default, and ends the program
// when it is missing.
function required(name, what) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set: ${what}`);
    process.exit(1);
  }
  return value;
}
