// Where the result goes, where it goes to an address: redirect URLs, which may
// be of a site, of an app or of a program on this machine.

/**
 * Whether a URL leads to an app or to a program on this machine. Any program may
 * claim such an address, so a result goes there by a tap only, on a screen that
 * names it.
 */
export function leavesBrowser(url: string): boolean {
  if (url.startsWith(`${location.origin}/`)) return false; // a page of ours
  const m = /^(https?):\/\/(?:[^@/?#]*@)?(\[[^\]]*\]|[^:/?#]*)/i.exec(url);
  return !m || /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/i.test(m[2]!);
}

/** Adds parameters to the query of a URL, in place of any of the same name. */
export function withParams(url: string, params: Record<string, string>): string {
  const [beforeHash = "", ...hash] = url.split("#");
  const [path = "", ...query] = beforeHash.split("?");
  const kept = query
    .join("?")
    .split("&")
    .filter((pair) => pair !== "" && !(decode(pair.split("=")[0] ?? "") in params));
  for (const [k, v] of Object.entries(params)) kept.push(`${encodeURIComponent(k)}=${encodeURIComponent(v)}`);
  return path + "?" + kept.join("&") + (hash.length ? "#" + hash.join("#") : "");
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The part of a URL that tells a person where it leads: host and port, or the scheme of an app. */
export function host(url: string): string {
  const m = /^([a-z][a-z0-9+.-]*):\/\/(?:[^@/?#]*@)?([^/?#]*)/i.exec(url);
  if (!m) return url;
  return /^https?$/i.test(m[1]!) ? m[2]! : `${m[1]}://${m[2]}`;
}
