import assert from "node:assert/strict";
import { test } from "node:test";

import { hour, json, minute, problem, Server, signedIn, World } from "./around.js";

const offline = () => {
  throw new TypeError("Failed to fetch");
};

test("a token that is good asks nobody", async () => {
  const { session, server, world } = await signedIn();
  world.pass(58 * minute);
  assert.equal(await session.token(), "access-1");
  assert.equal(server.calls.length, 0);
});

test("a token near its end is renewed, once for all who ask", async () => {
  const { session, server, world } = await signedIn();
  world.locks = false; // in one page none is needed
  world.pass(59 * minute);
  const got = await Promise.all(Array.from({ length: 50 }, () => session.token()));
  assert.deepEqual(new Set(got), new Set(["access-2"]));
  assert.equal(server.calls.length, 1);
});

for (const locks of [true, false]) {
  test(`three tabs share one rotation at each expiry, ${locks ? "with" : "without"} locks`, async () => {
    const { sessions, server, world } = await signedIn({ tabs: 3 });
    world.locks = locks;
    for (let expiry = 1; expiry <= 5; expiry++) {
      world.pass(hour);
      const got = await Promise.all(sessions.flatMap((s) => [s.token(), s.token()]));
      assert.ok(got.every(Boolean), `somebody was logged out: ${got}`);
      assert.equal(server.rotations, expiry);
      if (locks) assert.equal(server.calls.length, expiry);
    }
  });
}

test("without locks, an answer that comes late does not put back an old token", async () => {
  const { sessions, server, world } = await signedIn({ tabs: 2 });
  world.locks = false;
  world.pass(hour);
  let release;
  const held = new Promise((r) => (release = r));
  server.trouble.push(async () => {
    const answer = server.answer("/token", { refresh_token: "1:1" });
    await held;
    return answer;
  });
  const late = sessions[0].token();
  await new Promise(setImmediate);
  assert.ok(await sessions[1].token());
  world.pass(hour);
  const newest = await sessions[1].token();
  assert.equal(server.rotations, 2);
  release();
  assert.equal(await late, newest);
  world.pass(hour);
  assert.ok(await sessions[0].token(), "the late answer was saved, and its token looked stolen");
});

test("no failure that may pass logs anybody out", async (t) => {
  const page = "<!doctype html><title>Hotel Wi-Fi</title>";
  const failures = {
    "no network": offline,
    "a call that was given up": () => {
      throw new DOMException("", "AbortError");
    },
    429: () => problem(429, "too_many_refreshes", { retry_after: 30 }, { "Retry-After": "30" }),
    500: () => problem(500, "internal"),
    503: () => problem(503, "unavailable", {}, { "Retry-After": "1" }),
    "503 uncertain": () => problem(503, "uncertain"),
    "a proxy's 502": () => new Response("<html>Bad Gateway", { status: 502 }),
    "a proxy's 400": () => new Response("<html>Bad Request", { status: 400 }),
    "a proxy's 400 as JSON": () => json(400, { message: "Refresh token is not valid" }),
    "a gateway's 401": () => json(401, { error: "unauthorised" }),
    "a gateway's 403": () => json(403, { error: "forbidden" }),
    "a page of a captive portal": () => new Response(page, { status: 200, headers: { "Content-Type": "text/html" } }),
    "an empty answer": () => new Response("", { status: 200 }),
    "another service's answer": () => json(200, { ok: true }),
    "null": () => json(200, null),
    "half an answer": () => new Response('{"access_token":"a', { status: 200 }),
    "tokens without a life": () => json(200, { access_token: "a", refresh_token: "1:2" }),
    "a project that is gone": () => problem(401, "unknown_project"),
    "a wrong host": () => problem(421, "misdirected"),
    404: () => problem(404, "not_found"),
  };
  for (const [name, failure] of Object.entries(failures)) {
    await t.test(name, async () => {
      const { session, sessions, server, storage, world } = await signedIn({ tabs: 2 });
      const heard = [];
      sessions.forEach((s) => s.listen((now) => heard.push(now)));
      const before = storage.text;
      world.pass(hour);
      server.trouble = Array(10).fill(failure);
      await assert.rejects(session.token(), (error) => error.name === "SplitpinError" && error.code !== "refresh_invalid");
      assert.equal(storage.text, before);
      assert.deepEqual(heard, []);
      server.trouble = [];
      world.pass(2 * minute);
      assert.equal(await session.token(), "access-2");
    });
  }
});

test("the final refusal logs out in every tab, and in no other case", async () => {
  const { sessions, server, storage, world } = await signedIn({ tabs: 3 });
  const heard = [[], [], []];
  sessions.forEach((s, i) => s.listen((now) => heard[i].push(now)));
  server.ended = true;
  world.pass(hour);
  assert.equal(await sessions[1].token(), null);
  await new Promise(setImmediate);
  assert.deepEqual(heard, [[null], [null], [null]]);
  assert.equal(storage.text, null);
  assert.equal(await sessions[0].token(), null);
  assert.equal(server.calls.length, 1);
});

test("a refusal of a token that another tab has replaced is not final", async () => {
  const { sessions, server, storage, world } = await signedIn({ tabs: 2 });
  world.locks = false;
  world.pass(hour);
  server.trouble.push(async () => {
    await sessions[1].token(); // rotates meanwhile
    return problem(400, "refresh_invalid");
  });
  assert.equal(await sessions[0].token(), JSON.parse(storage.text).access_token);
});

for (const days of [-400, -3, 3, 400]) {
  test(`a clock that is wrong by ${days} days costs no refresh`, async () => {
    const world = new World();
    const server = new Server(world);
    const fake = Object.assign(new World(), { wall: () => world.time + days * 24 * hour, now: () => world.mono, sleep: world.sleep });
    const { session } = await signedIn({ world: fake, server });
    for (let i = 0; i < 100; i++) {
      world.pass(6 * minute);
      assert.ok(await session.token());
    }
    assert.equal(server.rotations, 10);
  });
}

test("a clock that is set, forward or back, costs one refresh at most", async () => {
  for (const by of [-400 * 24 * hour, -hour, hour, 400 * 24 * hour]) {
    const { session, server, world } = await signedIn();
    world.pass(10 * minute);
    await session.token();
    world.time += by;
    for (let i = 0; i < 8; i++) {
      assert.ok(await session.token());
      world.pass(5 * minute);
    }
    assert.equal(server.rotations, by > 0 ? 1 : 0);
    world.pass(10 * minute);
    assert.ok(await session.token());
    assert.equal(server.rotations, 1, "the token was used beyond its end");
  }
});

test("a page that finds a token from the future does not trust it", async () => {
  const { sessions, server, world } = await signedIn({ tabs: 2 });
  world.pass(30 * minute);
  world.time -= hour;
  assert.equal(await sessions[1].token(), "access-2");
  assert.equal(server.rotations, 1);
});

test("a machine that slept, with its monotonic clock, wakes up to a fresh token", async () => {
  const { session, server, world } = await signedIn();
  world.pass(5 * minute);
  await session.token();
  world.time += 2 * hour;
  assert.equal(await session.token(), "access-2");
  assert.equal(server.rotations, 1);
});

test("what passes is tried again, with pauses that grow, and are random", async () => {
  const { session, server, world } = await signedIn();
  world.pass(hour);
  server.trouble = [offline, () => problem(500, "internal")];
  assert.equal(await session.token(), "access-2");
  assert.deepEqual(world.slept, [750, 1500]);
  assert.equal(server.calls.length, 3);
});

test("Retry-After is waited for, where it is short", async () => {
  const { session, server, world } = await signedIn();
  world.pass(hour);
  server.trouble = [() => new Response("<html>", { status: 503, headers: { "Retry-After": "4" } })];
  assert.equal(await session.token(), "access-2");
  assert.deepEqual(world.slept, [4000]);
});

test("where it is long, nobody asks before", async () => {
  const { session, server, world } = await signedIn();
  world.pass(hour);
  server.trouble = Array(50).fill(() => problem(429, "too_many_refreshes", { retry_after: 600 }));
  for (let i = 0; i < 9; i++) {
    await assert.rejects(session.token(), { code: "too_many_refreshes", retryAfter: 600 });
    world.pass(minute);
  }
  assert.equal(server.calls.length, 1);
  assert.deepEqual(world.slept, []);
  server.trouble = [];
  world.pass(minute);
  assert.equal(await session.token(), "access-2");
});

test("a proxy that asks for a year is asked again after ten minutes", async () => {
  const { session, server, world } = await signedIn();
  world.pass(hour);
  server.trouble = [() => new Response("<html>", { status: 503, headers: { "Retry-After": "31536000" } })];
  await assert.rejects(session.token(), { code: "unavailable" });
  world.pass(10 * minute);
  assert.equal(await session.token(), "access-2");
});

test("a server that stays away is asked ever more seldom, and at once when the network is back", async () => {
  const { session, server, world } = await signedIn();
  world.pass(hour);
  server.trouble = Array(1000).fill(offline);
  for (let i = 0; i < 600; i++) {
    await assert.rejects(session.token(), { code: "offline" });
    world.pass(1000);
  }
  assert.ok(server.calls.length < 60, `${server.calls.length} calls in ten minutes`);
  server.trouble = [];
  session.online();
  assert.equal(await session.token(), "access-2");
});

test("while the old token lasts, a server that is away costs one try and no waiting", async () => {
  const { session, server, world } = await signedIn();
  world.pass(59 * minute + 1000);
  server.trouble = Array(10).fill(offline);
  for (let i = 0; i < 50; i++) {
    assert.equal(await session.token(), "access-1");
    world.pass(20);
  }
  assert.equal(server.calls.length, 1);
  assert.deepEqual(world.slept, []);
  world.pass(minute);
  await assert.rejects(session.token(), { code: "offline" });
});

test("a token that was refused is renewed once, and not one after the other", async () => {
  const { session, server } = await signedIn();
  assert.equal(await session.token("access-1"), "access-2");
  assert.equal(await session.token("access-1"), "access-2", "the newer one was not tried");
  assert.equal(server.rotations, 1);
  for (let i = 0; i < 10; i++) assert.equal(await session.token("access-2"), "access-2");
  assert.equal(server.rotations, 1);
});

test("a refresh that was under way does not bring back who logged out", async () => {
  const { session, sessions, server, storage, world } = await signedIn({ tabs: 2 });
  world.pass(hour);
  let logOut;
  server.trouble.push(async () => {
    const answer = server.answer("/token", { refresh_token: "1:1" });
    logOut = sessions[1].close();
    await logOut;
    return answer;
  });
  assert.equal(await session.token(), null);
  assert.equal(storage.text, null);
  assert.ok(server.ended);
});

test("nor does it put the old one in the place of who signed in meanwhile", async () => {
  const { session, sessions, server, storage, world } = await signedIn({ tabs: 2 });
  world.pass(hour);
  server.trouble.push(async () => {
    const answer = server.answer("/token", { refresh_token: "1:1" });
    server.lifetime = 1800;
    server.trouble.push(() => {
      server.counter = 10;
      return json(200, { ...server.tokens(), user: { id: "u2" } });
    });
    await sessions[1].open({ grant_type: "authorization_code", code: "c2" });
    return answer;
  });
  await session.token();
  assert.equal(JSON.parse(storage.text).user.id, "u2");
  assert.equal((await session.current()).user.id, "u2");
});

test("logging out is told to the server, again where that fails, and happens here in any case", async () => {
  const { sessions, server, storage } = await signedIn({ tabs: 2 });
  const heard = [];
  sessions[1].listen((now) => heard.push(now));
  server.trouble = [offline];
  await sessions[0].close();
  assert.deepEqual(server.calls.map((c) => [c.path, c.body.refresh_token, c.init.keepalive]), [["/logout", "1:1", true], ["/logout", "1:1", true]]);
  await new Promise(setImmediate);
  assert.deepEqual(heard, [null]);

  await sessions[0].open({ grant_type: "authorization_code", code: "c" });
  server.trouble = Array(9).fill(offline);
  await assert.rejects(sessions[0].close(), { code: "offline" });
  assert.equal(storage.text, null);
});

test("listeners hear who signed in and out, in any tab, and of nothing else", async () => {
  const { sessions, world } = await signedIn({ tabs: 2 });
  await new Promise(setImmediate);
  const heard = [];
  const stop = sessions[1].listen((now) => heard.push(now?.user.identifier ?? null));
  world.pass(hour);
  await sessions[0].token();
  await sessions[0].close();
  await sessions[0].open({ grant_type: "authorization_code", code: "c" });
  await new Promise(setImmediate);
  assert.deepEqual(heard, [null, "ada@example.org"]);
  stop();
  await sessions[0].close();
  await new Promise(setImmediate);
  assert.equal(heard.length, 2);
});

test("what is in storage and not ours is nobody", async () => {
  const { session, storage } = await signedIn();
  const tab = storage.tab();
  for (const text of ["", "null", "{", "42", '"x"', "[]", "{}", '{"id":"1"}']) {
    tab.set(text);
    assert.equal(await session.token(), null, text);
    assert.equal(await session.current(), null, text);
  }
});

test("a code is collected again where the answer was lost, and a refused one is not", async () => {
  const { session, server } = await signedIn();
  server.trouble = [offline];
  assert.equal((await session.open({ grant_type: "authorization_code", code: "c" })).user.id, "u1");
  server.calls.length = 0;
  server.trouble = [() => problem(400, "grant_invalid")];
  await assert.rejects(session.open({ grant_type: "authorization_code", code: "c" }), { code: "grant_invalid", status: 400, message: "For the person.", requestId: "r1" });
  assert.equal(server.calls.length, 1);
});
