export { type Options, Splitpin } from "./splitpin.js";
export { Attempt, type StartOptions } from "./attempt.js";
export { type OpenedLink } from "./opened.js";
export { type PasskeyOptions, type PasskeySignIn } from "./ceremony.js";
export { type ErrorCode, isPassing, type LocalCode, type ServerCode, SplitpinError } from "./errors.js";
export { type SignInOptions } from "./redirect.js";
export { type SignedIn } from "./session.js";
export type { CodeForm, Credential, Link, LinkForm, Needs, Project, Session, User } from "./shapes.js";
export { type TokenStorage } from "./storage.js";
