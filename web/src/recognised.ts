// A browser of somebody's own, which was told to remember a sign-in: it keeps a key pair
// for one project, site and person in the storage of our origin, which browsers give to
// each top-level site apart. The private half cannot be read, only used. The server
// knows the public half, for as long as the session of that sign-in lasts.
//
// What is signed is made of what this page knows itself, and not of what it was told:
// package signin/browser lists it.

import { type Attempts, type SignInGrant, startSolving } from "../../sdk/src/attempts";
import { SplitpinError as Problem } from "../../sdk/src/errors";
import { base64url } from "../../sdk/src/pkce";
import type { StartRequest } from "../../sdk/src/shapes";
import type { Proof } from "./proof";

/** The page that asks, as the server wrote it. */
export interface Place {
  project: string; // API key id
  domain: string; // origin of the site that frames this page; empty: it stands alone
  rememberDays: number; // zero: the project has none of this
}

interface Kept {
  identifier: string;
  keys: CryptoKeyPair;
  until: number; // by this machine's clock, in milliseconds
  usedAt: number;
}

/** Whether this browser can be told to remember anything. */
export function remembers(at: Place): boolean {
  return at.rememberDays > 0 && typeof indexedDB === "object" && !!globalThis.crypto?.subtle;
}

// ---------------------------------------------------------------- what is kept

/** How long the browser may take to open its storage, in milliseconds. */
const patience = 3_000;

/** Runs one request on the keys. */
async function store<T>(mode: IDBTransactionMode, run: (keys: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const db = await new Promise<IDBDatabase>((done, failed) => {
    const opening = indexedDB.open("splitpin", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    opening.onsuccess = () => done(opening.result);
    opening.onerror = opening.onblocked = () => failed(opening.error);
    setTimeout(failed, patience); // some versions of Safari never answer
  });
  try {
    return await new Promise<T>((done, failed) => {
      const transaction = db.transaction("keys", mode);
      const request = run(transaction.objectStore("keys"));
      transaction.oncomplete = () => done(request.result);
      transaction.onerror = transaction.onabort = () => failed(transaction.error);
    });
  } finally {
    db.close();
  }
}

const site = (at: Place): string => at.domain || location.origin;
const name = (at: Place, identifier: string): string[] => [at.project, site(at), canonical(identifier)];

/** As the server writes an address, for all that people type here. */
const canonical = (identifier: string): string => identifier.trim().toLowerCase();

async function find(at: Place, identifier: string): Promise<Kept | undefined> {
  if (!remembers(at)) return undefined;
  try {
    const kept = (await store("readonly", (keys) => keys.get(name(at, identifier)))) as Kept | undefined;
    if (kept && Date.now() < kept.until) return kept;
    if (kept) await forget(at, identifier);
  } catch {
    // Storage is switched off: nobody is known here.
  }
  return undefined;
}

/** Whether this browser keeps a key of that person. Whether it is good, the server says. */
export async function isKept(at: Place, identifier: string): Promise<boolean> {
  return (await find(at, identifier)) !== undefined;
}

/** Who was here last, of those whom fits admits; undefined: nobody who wants to be known. */
export async function lastKept(at: Place, fits: (identifier: string) => boolean): Promise<string | undefined> {
  if (!remembers(at)) return undefined;
  try {
    const range = IDBKeyRange.bound([at.project, site(at)], [at.project, site(at), []]);
    const all = (await store("readonly", (keys) => keys.getAll(range))) as Kept[];
    const live = all.filter((k) => Date.now() < k.until && fits(k.identifier));
    return live.sort((a, b) => b.usedAt - a.usedAt)[0]?.identifier;
  } catch {
    return undefined;
  }
}

async function forget(at: Place, identifier: string): Promise<void> {
  await store("readwrite", (keys) => keys.delete(name(at, identifier))).catch(() => {});
}

// ---------------------------------------------------------------- to be remembered

/**
 * Remembers the person who has just proved who it is. Where that fails nothing is
 * remembered, and nothing else is different: it never throws.
 */
export async function remember(attempts: Attempts, at: Place, identifier: string, proof: Proof): Promise<void> {
  if (!remembers(at)) return;
  try {
    const keys = (await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"])) as CryptoKeyPair;
    const until = Date.now() + at.rememberDays * 86_400_000;
    const kept: Kept = { identifier: canonical(identifier), keys, until, usedAt: Date.now() };
    // First here, then there: what cannot be kept need not be known.
    await store("readwrite", (all) => all.put(kept, name(at, identifier)));
    try {
      const body: StartRequest = { method: "browser", purpose: "enrol", proof, ...(at.domain && { origin: at.domain }) };
      const started = await startSolving((b) => attempts.start(b), body, () => true);
      const answer = await sign(at, kept, body, { id: started.attempt.id, secret: started.secret });
      await attempts.answer(started.attempt.id, started.secret, answer);
    } catch {
      await forget(at, identifier);
    }
  } catch {
    // No storage for keys: this browser remembers nobody.
  }
}

// ---------------------------------------------------------------- to come back

export interface Back {
  granted: SignInGrant;
  proof: Proof;
}

/**
 * Shows the key of that person; undefined where there is none, or the server does not
 * take it. The person must have asked for it by a tap. body is what the attempt is
 * for, without its method.
 */
export async function comeBack(attempts: Attempts, at: Place, identifier: string, body: Omit<StartRequest, "method">): Promise<Back | undefined> {
  const kept = await find(at, identifier);
  if (!kept) return undefined;
  try {
    const request: StartRequest = { ...body, method: "browser", identifier: kept.identifier, ...(at.domain && { origin: at.domain }) };
    const started = await startSolving((b) => attempts.start(b), request, () => true);
    const proof = { id: started.attempt.id, secret: started.secret };
    const granted = await attempts.answer(proof.id, proof.secret, await sign(at, kept, request, proof));
    await store("readwrite", (all) => all.put({ ...kept, usedAt: Date.now() }, name(at, identifier))).catch(() => {});
    return { granted, proof };
  } catch (error) {
    // Its session is over, or somebody took it back. Other failures may pass.
    if (error instanceof Problem && ["wrong_answer", "credential_unknown", "too_many_tries"].includes(error.code)) await forget(at, identifier);
    return undefined;
  }
}

async function sign(at: Place, kept: Kept, body: StartRequest, { id, secret }: Proof): Promise<object> {
  const challenge = base64url(Uint8Array.from([...bytes(id), ...bytes(secret)]));
  const texts = [
    "splitpin recognised browser 1",
    body.purpose ?? "sign_in",
    at.project,
    site(at),
    kept.identifier,
    body.redirect_url ?? "",
    body.code_challenge ?? "",
    challenge,
  ].map((text) => new TextEncoder().encode(text));
  const signed = new Uint8Array(texts.reduce((n, text) => n + 4 + text.length, 0));
  let end = 0;
  for (const text of texts) {
    new DataView(signed.buffer).setUint32(end, text.length);
    signed.set(text, end + 4);
    end += 4 + text.length;
  }
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, kept.keys.privateKey, signed);
  const key = await crypto.subtle.exportKey("spki", kept.keys.publicKey);
  return { public_key: base64url(new Uint8Array(key)), challenge, signature: base64url(new Uint8Array(signature)) };
}

const bytes = (text: string): number[] => Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
