// The puzzle that a busy network is asked before more messages are sent: find
// the smallest n such that SHA-256(challenge ":" n) begins with so many zero
// bits.
//
// It is worked in slices on the page's own thread. A worker would need a
// source of its own in the policy, and crypto.subtle costs a promise per hash
// and is missing on plain http.

const rounds = new Uint32Array(64);
const initial = new Uint32Array(8);

// The constants of FIPS 180-4: fractional parts of the roots of the first primes.
(() => {
  let found = 0;
  for (let n = 2; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    if (found < 8) initial[found] = fraction(Math.sqrt(n));
    rounds[found++] = fraction(Math.cbrt(n));
  }
  function fraction(x: number): number {
    return (x - Math.floor(x)) * 4294967296;
  }
})();

const w = new Uint32Array(64);

/** Mixes one block of 64 bytes into state. */
function compress(state: Uint32Array, block: DataView, at: number): void {
  for (let i = 0; i < 16; i++) w[i] = block.getUint32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = w[i - 16]! + s0 + w[i - 7]! + s1;
  }
  let a = state[0]!, b = state[1]!, c = state[2]!, d = state[3]!;
  let e = state[4]!, f = state[5]!, g = state[6]!, h = state[7]!;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + rounds[i]! + w[i]!) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0;
    d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  state[0]! += a; state[1]! += b; state[2]! += c; state[3]! += d;
  state[4]! += e; state[5]! += f; state[6]! += g; state[7]! += h;
}

/**
 * SHA-256 of prefix followed by something short, as eight words. The blocks
 * that the prefix fills are hashed once, and no memory is taken per hash: this
 * is the inner loop of the puzzle. Both texts are ASCII; the result is only
 * good until the next call.
 */
export function hasher(prefix: string): (rest: string) => Uint32Array {
  const whole = prefix.length & ~63;
  const start = initial.slice();
  const bytes = new Uint8Array(Math.max(whole, 192));
  const view = new DataView(bytes.buffer);
  const put = (text: string, at: number): void => {
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  };
  put(prefix.slice(0, whole), 0);
  for (let at = 0; at < whole; at += 64) compress(start, view, at);

  const used = prefix.length - whole;
  const state = new Uint32Array(8);
  let shape = -1; // length of the rest that padding and length were written for
  return (rest) => {
    const end = used + rest.length;
    const size = (end + 72) & ~63;
    if (rest.length !== shape) {
      bytes.fill(0);
      put(prefix.slice(whole), 0);
      bytes[end] = 0x80;
      view.setUint32(size - 4, (whole + end) * 8);
      shape = rest.length;
    }
    put(rest, used);
    state.set(start);
    for (let at = 0; at < size; at += 64) compress(state, view, at);
    return state;
  };
}

/** The number of zero bits that a hash begins with. */
export function zeros(hash: Uint32Array): number {
  let n = 0;
  for (const word of hash) {
    if (word !== 0) return n + Math.clz32(word);
    n += 32;
  }
  return n;
}

/** A puzzle harder than this is no puzzle but a mistake; nobody would wait for it. */
const hardest = 26;

/**
 * Solves a challenge "BITS.text" and returns what to send as puzzle. Rejects
 * when the challenge makes no sense or wanted() says that nobody waits any more.
 */
export async function solve(challenge: string, wanted: () => boolean): Promise<string> {
  const bits = Number(/^(\d{1,2})\.[\w-]+$/.exec(challenge)?.[1] ?? NaN);
  if (!(bits >= 0 && bits <= hardest)) throw new Error("unknown challenge");
  const hash = hasher(challenge + ":");
  for (let n = 0; ; ) {
    const slice = Date.now() + 12; // leaves the page time to draw
    while (Date.now() < slice) {
      for (let i = 0; i < 64; i++, n++) {
        if (zeros(hash(String(n))) >= bits) return `${challenge}:${n}`;
      }
    }
    if (!wanted()) throw new Error("unwanted");
    await new Promise((next) => setTimeout(next));
  }
}
