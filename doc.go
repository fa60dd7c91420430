// Package splitpin holds the nouns of passwordless sign-in and the contract of
// the store that keeps them. It imports the standard library only; everything
// else in this module is built on it.
//
// # One sign-in, from the first request to the tokens
//
// Every sign-in is an [Attempt]. Someone starts it, an answer proves it, and
// the one who may collect it gets a [Session] from it, once.
//
//	start ──▶ attempt ──▶ answer ──▶ proof ──▶ collect ──▶ session ──▶ tokens
//	           │  │                    │                      │
//	           │  └─▶ outbox ─▶ sender │                      └─▶ refresh: same session, next token
//	           └── limits, audit ──────┘
//
// To read the code along that line, with "file: function" to look for:
//
// Start. The page (web/src/form.ts) posts an address to /v1/attempts.
//
//   - server/routes.go: Server.v1 is the table of routes; server/server.go: Server.call
//     resolves the project, and server/v1.go: Server.startAttempt translates.
//   - signin/start.go: Engine.Start asks the method how to begin (signin/code/code.go:
//     Email.Begin), charges the limits (signin/limits.go: Engine.chargeStart), and saves
//     the attempt, its [Message] and an [AuditEvent] in one commit. Nothing is sent
//     inside the request, and nothing in the answer depends on whether there is such a
//     user.
//
// Send. The code is stored nowhere.
//
//   - cmd/splitpin/installation.go: installation.work runs everything that happens
//     without a request; the engine itself starts no goroutine.
//   - delivery/outbox.go: Outbox.Reserve finds a place for the message before that commit, and
//     takes it when that is done. Outbox.Step asks signin/engine.go: Engine.Secret for the code, which signin/code/code.go: short.Secret derives.
//   - delivery/template.go: Templates.Render writes the mail; delivery/smtp.go: SMTP.Send
//     hands it over.
//
// Answer. The page posts what the person typed.
//
//   - signin/answer.go: Engine.Answer charges a try before it looks at the answer, in the
//     commit that would spend the attempt. signin/answer.go: decideAnswer is the rule.
//   - The first right answer proves the attempt, finds or creates the [User]
//     (account/user.go: Prove) and leaves a [Grant]: the authorization code, of which
//     the database keeps a hash.
//
// Some answers take more than one step, and end in the same proof.
//
//   - Where a stranger must be asked (a provider, a service that made the code), the try is
//     charged in a commit of its own. signin/answer.go: Engine.fetch asks, outside of
//     any transaction, and Engine.decideFetched decides by what came back.
//   - Whoever comes back from a provider says yes on a page of ours: signin/pending.go:
//     Engine.Agree. Where nobody vouches for the address, a code of ours completes the
//     attempt: Engine.completeParent.
//   - A link is borne by whoever opens it, and that may be a scanner. signin/bearer.go:
//     Engine.Open says what it is for and changes nothing; Engine.Admit decides what a
//     press of the bearer's is good for.
//
// Collect. Whoever holds the code and the verifier gets the session.
//
//   - signin/collect.go: Engine.Collect spends the grant and opens the [Session];
//     signin/collect.go: decideCollect is the rule.
//   - token/mint.go: Service.Mint signs, after the commit. A token names an address only
//     if that person proved it.
//
// Stay. The refresh token is derived from the session's counter.
//
//   - signin/session.go: Engine.Refresh moves the session on;
//     token/refresh.go: Service.DecideRefresh tells a race of tabs from theft.
//
// Log in. In somebody else's backend, which shares nothing with us but public
// keys:
//
//   - client/verifier.go: Verifier.Verify checks the access token offline;
//     client/site.go: Site.Login turns it into a user of that backend's own database.
//
// Cotter's clients enter by server/cotter/face.go, and meet the same engine.
//
// # A step of the engine
//
// Steps read load, decide, save. A step names what it needs ([Reads]), a pure
// function decides over what was loaded ([Records]), and what that function
// returns ([Writes]) is saved in one transaction: see [Store]. Rules are
// therefore plain functions, which tests and a simulator can run without a
// database.
//
// # Units
//
// Times are UTC in whole microseconds; the zero time means "not yet" or "never".
// Numbers are positive int64s handed out by [Store.NextNumber], which serves all
// kinds of record; gaps are normal. Two records of one kind never share a number; a
// [Grant] has that of its [Attempt], and so has the [Session] that it opens.
package splitpin
