// The parts around a session, each by itself.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Attempt } from "../dist/attempt.js";
import { startSolving } from "../dist/attempts.js";
import { call } from "../dist/call.js";
import { isPassing, SplitpinError } from "../dist/errors.js";
import { Splitpin } from "../dist/index.js";
import { showPasskey } from "../dist/passkey.js";
import { challengeOf, random } from "../dist/pkce.js";
import { localTokens } from "../dist/storage.js";
import { browser } from "../dist/world.js";
import { json, problem, signedIn } from "./around.js";

function put(t, name, value) {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]));
}

test("a challenge is the base64url of the verifier's SHA-256", async () => {
  // RFC 7636, appendix B.
  assert.equal(await challengeOf("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
  assert.match(random(), /^[A-Za-z0-9_-]{43}$/);
  assert.notEqual(random(), random());
});

test("without crypto.subtle the error says what to do", async (t) => {
  put(t, "crypto", { getRandomValues: (b) => b });
  await assert.rejects(challengeOf("v"), { code: "insecure_page", message: /https/ });
});

test("a puzzle is solved on the way, three times in a row at most", async () => {
  const challenge = "10.abc";
  const bodies = [];
  let heard = 0;
  const ask = (patience) => (body) => {
    bodies.push(body);
    const sum = body.puzzle && createHash("sha256").update(body.puzzle).digest();
    if (sum) assert.ok(body.puzzle.startsWith(`${challenge}:`) && sum.readUInt16BE(0) >> 6 === 0, `not solved: ${body.puzzle}`);
    if (bodies.length > patience) return Promise.resolve({ secret: "s" });
    return Promise.reject(new SplitpinError("challenge_required", 429, { challenge }));
  };
  assert.deepEqual(await startSolving(ask(2), { method: "m" }, () => true, () => heard++), { secret: "s" });
  assert.equal(bodies.length, 3);
  assert.equal(heard, 2);

  bodies.length = 0;
  await assert.rejects(startSolving(ask(99), { method: "m" }, () => true), { code: "challenge_required" });
  assert.equal(bodies.length, 4);

  bodies.length = 0;
  await assert.rejects(startSolving(ask(99), { method: "m" }, () => false), { code: "challenge_required" });
  assert.equal(bodies.length, 1);
});

test("an error tells what the server told", async () => {
  const server = { base: "https://id.example/v1", fetch: async () => problem(429, "too_many_starts", { retry_after: 7, field: "identifier", tries_left: 0, challenge: "c" }) };
  await assert.rejects(call(server, "GET", "/x"), (e) => {
    assert.deepEqual(
      [e.code, e.status, e.message, e.requestId, e.retryAfter, e.field, e.triesLeft, e.challenge, e instanceof Error, `${e}`],
      ["too_many_starts", 429, "For the person.", "r1", 7, "identifier", 0, "c", true, "SplitpinError: For the person."],
    );
    return true;
  });
  const strange = { base: "", fetch: async () => json(418, { code: 7, retry_after: "soon", detail: {}, tries_left: null }) };
  await assert.rejects(call(strange, "GET", "/x"), { code: "internal", status: 418, retryAfter: undefined, triesLeft: undefined, message: /did not work/ });
});

test("a request that hangs is given up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const hanging = { base: "", fetch: (_, { signal }) => new Promise((_, refuse) => signal.addEventListener("abort", () => refuse(signal.reason))) };
  const outcome = assert.rejects(call(hanging, "GET", "/x"), (e) => e.code === "offline" && e.cause.name === "AbortError");
  t.mock.timers.tick(20_000);
  await outcome;
});

test("cookies go to the server's own pages alone, and no request is followed elsewhere", async () => {
  let seen;
  await call({ base: "https://id.example/v1", fetch: async (url, init) => ((seen = { url, ...init }), json(200, {})) }, "GET", "/x");
  assert.equal(seen.url, "https://id.example/v1/x");
  assert.deepEqual([seen.credentials, seen.redirect, seen.referrerPolicy, seen.cache], ["same-origin", "error", "no-referrer", "no-store"]);
});

test("what passes and what does not", () => {
  for (const [code, status, passing] of [
    ["offline", 0, true], ["unavailable", 503, true], ["unavailable", 200, true], ["uncertain", 503, true], ["internal", 500, true],
    ["too_many_refreshes", 429, true], ["conflict", 409, true], ["refresh_invalid", 400, false], ["unauthenticated", 401, false],
    ["wrong_code", 401, false], ["signed_out", 0, false], ["internal", 403, false],
  ]) {
    assert.equal(isPassing(new SplitpinError(code, status)), passing, `${code} ${status}`);
  }
  assert.equal(isPassing(new TypeError("a fault of the caller's")), false);
});

test("a tab that sleeps with the lock holds up nobody for ever", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  put(t, "navigator", {
    locks: {
      request: (_, { signal }) => new Promise((_, refuse) => signal.addEventListener("abort", () => refuse(signal.reason))),
    },
  });
  const got = browser.alone("lock", async () => "done");
  t.mock.timers.tick(25_000);
  assert.equal(await got, "done");
});

test("what goes wrong under the lock is not done again without", async (t) => {
  let times = 0;
  put(t, "navigator", { locks: { request: async (_name, _options, work) => work() } });
  await assert.rejects(
    browser.alone("lock", async () => {
      times++;
      throw new Error("on purpose");
    }),
    /on purpose/,
  );
  assert.equal(times, 1);
});

test("where localStorage takes nothing, tokens live in the page, and nothing old stays behind", (t) => {
  const map = new Map([["k", "old"]]);
  let full = false;
  let off = false;
  const check = () => {
    if (off) throw new DOMException("", "SecurityError");
  };
  put(t, "localStorage", {
    getItem: (k) => (check(), map.get(k) ?? null),
    setItem: (k, v) => {
      check();
      if (full) throw new DOMException("", "QuotaExceededError");
      map.set(k, v);
    },
    removeItem: (k) => (check(), map.delete(k)),
  });
  const storage = localTokens("k");
  assert.equal(storage.get(), "old");
  full = true;
  storage.set("new");
  assert.equal(map.get("k"), undefined, "an old refresh token stays where the next page would find it");
  assert.equal(storage.get(), "new");
  full = false;
  storage.set("newer");
  assert.equal(map.get("k"), "newer");
  assert.equal(storage.get(), "newer");
  storage.remove();
  assert.equal(storage.get(), null);

  off = true;
  const without = localTokens("k");
  assert.equal(without.get(), null);
  without.set("here");
  assert.equal(without.get(), "here");
  without.remove();
  assert.equal(without.get(), null);
});

test("mistakes in the call are named", () => {
  for (const [options, message] of [
    [{ server: "id.example.com", project: "p" }, /server holds "id.example.com"/],
    [{ server: "", project: "p" }, /server/],
    [{ server: "javascript:alert(1)", project: "p" }, /server/],
    [{ server: "https://", project: "p" }, /server/],
    [{ server: "https://id.example.com", project: "" }, /project is empty/],
    [{ server: "https://id.example.com", project: "p", apis: ["api.example.com"] }, /apis holds "api.example.com"/],
  ]) {
    assert.throws(() => new Splitpin(options), (e) => e.code === "invalid_options" && message.test(e.message));
  }
});

test("whoever could not come back does not leave", async (t) => {
  put(t, "location", { href: "https://app.example.com/x", pathname: "/x", assign: () => assert.fail("the page was left") });
  const auth = new Splitpin({ server: "https://id.example.com", project: "p" });
  put(t, "sessionStorage", { getItem: () => null, setItem: () => { throw new DOMException("", "SecurityError"); } });
  await assert.rejects(auth.signIn(), { code: "storage_off" });
});

test("the access token goes to the origins that were listed, and to no other", async (t) => {
  const sent = [];
  put(t, "fetch", async (request) => {
    sent.push(request.url ?? request);
    return json(200, {});
  });
  put(t, "location", { origin: "https://app.example.com" });
  let kept = JSON.stringify({ id: "1", access_token: "a", refresh_token: "1:1", lifetime: 3600, at: Date.now(), user: {} });
  const storage = { get: () => kept, set: (v) => (kept = v), remove: () => (kept = null) };
  const auth = new Splitpin({ server: "https://id.example.com", project: "p", storage, apis: ["https://api.example.com/v2/"] });
  for (const url of ["https://api.example.com/x", "https://app.example.com/y"]) await auth.fetch(url);
  for (const url of [
    "https://api.example.com.evil.example/", "https://evil.example/https://api.example.com", "http://api.example.com/",
    "https://api.example.com:8443/", "https://id.example.com/",
  ]) {
    await assert.rejects(auth.fetch(url), { code: "origin_not_listed" }, url);
  }
  assert.deepEqual(sent, ["https://api.example.com/x", "https://app.example.com/y"]);
});

test("a screen waits for its link, until it is let in", async (t) => {
  put(t, "document", Object.assign(new EventTarget(), { hidden: false }));
  const granted = { authorization_code: "c", challenge_id: 1, expires_in: 300 };
  const looks = (state, link) => () => json(200, { id: "a", state, link: { digits: "42", state: link }, tries_left: 5, expires_in: 600, resend_in: 0 });
  const offline = () => {
    throw new TypeError("Failed to fetch");
  };
  const waits = async (...answers) => {
    const { world, server, session } = await signedIn();
    const asked = [];
    const inner = server.fetch;
    server.fetch = (url, init) => {
      if (!url.includes("/attempts/")) return inner(url, init);
      asked.push(url.slice(url.indexOf("/attempts/")));
      return answers.shift()();
    };
    const attempt = new Attempt({ expires_in: 600, resend_in: 0 }, { id: "a", secret: "s", verifier: "v" }, { server, session, world, key: "k" });
    return { attempt, asked, world };
  };

  const open = looks("open", "open");
  const letIn = await waits(open, offline, () => problem(503, "unavailable"), open, looks("proved", "let_in"), () => json(200, granted));
  assert.equal((await letIn.attempt.wait()).user.id, "u1");
  assert.equal(letIn.asked.at(-1), "/attempts/a/grant");
  assert.deepEqual(letIn.world.slept, Array(5).fill(2000));

  for (const [code, last] of [
    ["attempt_elsewhere", looks("collected", "here")],
    ["link_refused", looks("open", "refused")],
    ["link_refused", looks("open", "dead")],
    ["attempt_over", looks("expired", "open")],
    ["attempt_unknown", () => problem(404, "attempt_unknown")],
  ]) {
    await assert.rejects((await waits(open, last)).attempt.wait(), { code });
  }

  const slow = await waits(...Array(40).fill(open), looks("expired", "open"));
  const listening = t.mock.method(document, "addEventListener");
  const silent = t.mock.method(document, "removeEventListener");
  await assert.rejects(slow.attempt.wait(), { code: "attempt_over" });
  const heard = ({ mock }) => mock.calls.map(({ arguments: [type, listener] }) => ({ type, listener }));
  assert.equal(heard(listening).length, 41);
  assert.deepEqual(heard(silent), heard(listening), "listeners are left behind");
  assert.deepEqual(slow.world.slept, [...Array(30).fill(2000), ...Array(11).fill(6000)]);

  // Nobody sees the page; then somebody does, long before it would ask again.
  const unseen = await waits(looks("proved", "let_in"), () => json(200, granted));
  const naps = [];
  unseen.world.sleep = () => new Promise((wake) => naps.push(wake));
  document.hidden = true;
  const seen = unseen.attempt.wait();
  for (let n = 0; n < 3; n++) {
    naps.shift()();
    await new Promise(setImmediate);
  }
  assert.deepEqual(unseen.asked, []);
  document.hidden = false;
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal((await seen).user.id, "u1");

  // The code of the same message, entered on this screen.
  const typed = await waits(() => json(200, granted), open, open);
  const waiting = typed.attempt.wait();
  const now = await typed.attempt.answer("123456");
  assert.equal(await waiting, now);

  const stopped = await waits(open, open, open);
  const stop = new AbortController();
  const left = stopped.attempt.wait(stop.signal);
  stop.abort("gone");
  await assert.rejects(left, (e) => e === "gone");
});

// Those of LocalCode and ServerCode, of the types that the package has.
const codes = [...readFileSync(new URL("../dist/errors.d.ts", import.meta.url), "utf8").matchAll(/(?<=[|=] )"(\w+)"/g)].map(([, code]) => code);

test("every error has a sentence for the person", async (t) => {
  assert.ok(codes.length > 50 && codes.includes("passkey_site") && codes.includes("offline"), `only ${codes} were found`);
  for (const code of [...codes, "one_of_a_newer_server"]) {
    const { message } = new SplitpinError(code);
    assert.match(message, /^[A-Z].*\.$/, code);
    assert.ok(!message.includes(code), code);
  }

  // What a browser says of passkeys.
  const fails = async (says, expected) => {
    put(t, "navigator", { credentials: { get: () => says } });
    await assert.rejects(showPasskey({ challenge: "" }), (e) => e.code === expected && /passkey/i.test(e.message) && e.message !== new SplitpinError("internal").message);
  };
  await fails(null, "passkey_unsupported");
  put(t, "PublicKeyCredential", class {});
  await fails(Promise.reject(new DOMException("", "SecurityError")), "passkey_site");
  await fails(Promise.reject(new DOMException("", "NotAllowedError")), "passkey_cancelled");
  await fails(Promise.reject(new DOMException("", "InvalidStateError")), "passkey_registered");
  await fails(Promise.resolve(null), "passkey_cancelled");

  // What never reached the server, or something else answered.
  for (const [fetch, expected] of [
    [async () => Promise.reject(new TypeError("Failed to fetch")), { code: "offline", status: 0, message: /cannot be reached/ }],
    [async () => new Response("<html>", { status: 502 }), { code: "unavailable", status: 502, message: /just now/ }],
    [async () => json(404, {}), { code: "internal", status: 404, message: /did not work/ }],
  ]) {
    await assert.rejects(call({ base: "", fetch }, "GET", "/x"), expected);
  }
});
