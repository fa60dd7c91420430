// What /v1 takes and gives. Names and meanings are those of api/openapi.yaml,
// which a test holds against this file. Durations are whole seconds from the
// moment of the answer; times are RFC 3339 in UTC.

export interface StartRequest {
  /** "email_code" */
  method: string;
  /** As the person typed it; absent where the method finds out who it is. */
  identifier?: string;
  /** Absent: sign_in. */
  purpose?: "" | "sign_in" | "enrol" | "confirm" | "complete";
  /** For sign_in. */
  code_challenge?: string;
  redirect_url?: string;
  origin?: string;
  form_id?: string;
  /** Id of the user whose address must be proved; absent: anybody's will do. For sign_in. */
  user_id?: string;
  locale?: string;
  puzzle?: string;
  /** Token of the captcha that `captcha_required` asks for. */
  captcha?: string;
  /** To be reached by; absent: the method's choice. */
  channel?: string;
  /** To be asked, for social accounts. */
  provider?: string;
  /** Comes back with the result. */
  state?: string;
  /** The same: flat, at most 1 KiB. */
  client_data?: object;
  /** For methods with a link: it leads to redirect_url instead of a page of the server. */
  redirect_link?: boolean;
  parent?: AttemptRef;
  /** For enrol: an attempt that was just proved for the same page, instead of an access token. */
  proof?: AttemptRef;
  /** For enrol: Cotter's SDK goes on, in the page of the site. */
  hand_over?: boolean;
}

/** What the starter of another attempt holds. */
export interface AttemptRef {
  id: string;
  secret: string;
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
  /** The message has a link. */
  link?: LinkForm;
  /** Where the browser must go, at a provider. */
  location?: string;
  /** Options for navigator.credentials, in their JSON form. */
  passkey?: { challenge: string } & Record<string, unknown>;
  needs?: Needs;
  tries_left: number;
  expires_in: number;
  /** 0: at once. -1: no more messages for this attempt. */
  resend_in: number;
}

/** What will be added once an address is proved by an attempt with the purpose complete. */
export interface Needs {
  kind: string;
  label?: string;
  /** That must be proved; absent: any. */
  address?: string;
}

/** What the starter shows while a link is on its way. */
export interface LinkForm {
  /** What is asked for where the link is opened elsewhere. */
  digits: string;
  /** let_in: `grant` has the code. refused, dead: the code of the message still works. */
  state: "open" | "here" | "let_in" | "refused" | "dead";
}

export interface LinkRequest {
  link: string;
}

/** What whoever opened a link may know. */
export interface Link {
  /** Masked. */
  account: string;
  /** That asked. */
  device?: string;
  place?: string;
  /** On which it was asked; absent: a page of the server. */
  site?: string;
  asked_ago: number;
  expires_in: number;
  /** This browser asked: a tap is enough. */
  same_browser: boolean;
  /** The digits were entered a moment ago: a tap is enough. */
  handed_over: boolean;
  may_let_in: boolean;
  may_hand_over: boolean;
  state: "open" | "proved" | "collected";
  /** Where the attempt leads, where no site's page asked. */
  continue?: string;
  /** The message signed somebody in. The link does nothing any more but `disown` that. */
  signed_in?: LinkSignIn;
}

/** A sign-in that can be disowned. */
export interface LinkSignIn {
  /** In seconds. */
  ago: number;
  device?: string;
}

export interface AdmitRequest {
  link: string;
  way: "here" | "let_in" | "hand_over";
  /** Of the asking screen. */
  digits?: string;
  /** After recovery_offered: the person lost the passkey, and begins a recovery. */
  recover?: boolean;
  code_challenge?: string;
  redirect_url?: string;
  origin?: string;
  state?: string;
}

export interface Admitted {
  granted?: Granted;
  /** For hand_over: where to go on. */
  location?: string;
}

export interface CodeForm {
  length: number;
  alphabet: string;
}

export interface Granted {
  /** Absent where the purpose was another than signing in. */
  authorization_code?: string;
  challenge_id?: number;
  expires_in: number;
  /** The credential that was shown or added. */
  credential_id?: string;
  redirect_url?: string;
  state?: string;
  client_data?: object;
  /** A passkey is required of this person, who has none or cannot use it: offer to make one at once. */
  make_passkey?: boolean;
  /** For who came with a passkey: somebody may be getting in without it. */
  recovery?: Recovery;
}

/** Somebody who proved the address waits to get into the account without its passkey. */
export interface Recovery {
  /** To be removed like any credential, which cancels it. */
  credential_id: string;
  begun_at: string;
  /** Seconds; 0: a code signs in now. */
  opens_in: number;
  /** That began it. */
  device?: string;
  /** The page of the message that told of it. A POST of choice=undo cancels it. */
  cancel_url: string;
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
  /** What a backend added to its tokens. */
  claims?: object;
  created_at: string;
  used_at: string;
  expires_at: string;
}

/** Something a user can sign in with besides the address or number. */
export interface Credential {
  id: string;
  kind: "passkey" | "social" | "browser" | "recovery";
  label: string;
  /** That made it. */
  device?: string;
  /** Where it is good. */
  site?: string;
  created_at: string;
  /** Absent: never since. */
  used_at?: string;
  /** Absent: it does not. */
  expires_at?: string;
  /** Of a social account, such as "GITHUB". */
  provider?: string;
  /** Of a passkey: "synced" or "single_device", and "counter_went_back". */
  facts?: string[];
}

/** What the answer to any call about credentials holds. */
export interface Credentials {
  credentials: Credential[];
  /** The passkeys that are good at the site of this page; absent: nobody can be sure that these would be all. */
  accepted?: Accepted;
}

/** For signalAllAcceptedCredentials. */
export interface Accepted {
  rp_id: string;
  user_id: string;
  credential_ids: string[];
}

export interface Project {
  id: string;
  name: string;
  colour?: string;
  logo_url?: string;
  locale: string;
  methods: string[];
  /** The channels that a form may offer, by method, the ordinary one first. */
  channels?: Record<string, string[]>;
  /** The providers of the method social: the name is for requests, the label for people. */
  providers?: Provider[];
}

export interface Provider {
  name: string;
  label: string;
}
