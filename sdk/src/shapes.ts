// What /v1 takes and gives. Names and meanings are those of api/openapi.yaml,
// which a test holds against this file. Durations are whole seconds from the
// moment of the answer; times are RFC 3339 in UTC.

export interface StartRequest {
  /** "email_code" */
  method: string;
  /** As the person typed it. */
  identifier: string;
  purpose?: string;
  code_challenge: string;
  redirect_url?: string;
  origin?: string;
  form_id?: string;
  locale?: string;
  puzzle?: string;
}

export interface StartResponse {
  attempt: Attempt;
  /** Proves who started it. Shown this once. */
  secret: string;
}

/** What its starter may know of an attempt. It does not tell whether there is such a user. */
export interface Attempt {
  id: string;
  method: string;
  purpose: string;
  identifier: string;
  state: "open" | "proved" | "denied" | "expired" | "collected";
  /** How the code looks that was sent; absent where none was. */
  code?: CodeForm;
  tries_left: number;
  expires_in: number;
  /** 0: at once. -1: no more messages for this attempt. */
  resend_in: number;
}

export interface CodeForm {
  length: number;
  alphabet: string;
}

export interface Granted {
  authorization_code: string;
  challenge_id: number;
  expires_in: number;
}

export interface TokenRequest {
  grant_type: "authorization_code" | "refresh_token";
  code?: string;
  code_verifier?: string;
  challenge_id?: number;
  redirect_url?: string;
  refresh_token?: string;
}

export interface Tokens {
  access_token: string;
  id_token: string;
  refresh_token: string;
  expires_in: number;
  token_type: "Bearer";
  auth_method: string;
  /** With an authorization code. */
  user?: User;
}

export interface User {
  /** The subject of tokens. */
  id: string;
  identifier: string;
  kind: "email" | "phone" | "other";
  /** Whether somebody proved the identifier in this project. */
  proved: boolean;
  client_user_id?: string;
  locale?: string;
  created_at: string;
  updated_at: string;
}

/** A session as the list of sessions shows it. */
export interface Session {
  id: string;
  /** The one that the access token is from. */
  current: boolean;
  auth_method: string;
  device?: string;
  created_at: string;
  used_at: string;
  expires_at: string;
}

export interface Project {
  id: string;
  name: string;
  colour?: string;
  logo_url?: string;
  locale: string;
  methods: string[];
}
