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
// To read the code along that line:
//
//  1. A face of package server translates a request and calls the engine:
//     server/v1.go for our own pages and SDK, server/cotter for Cotter's.
//  2. signin.Engine.Start charges the limits, asks the method (signin/code) how
//     to begin, and saves the attempt, its [Message] and an [AuditEvent] in one
//     commit. Nothing is sent inside the request.
//  3. delivery.Outbox takes the message, derives the code, which is stored
//     nowhere, and hands it to a sender.
//  4. signin.Engine.Answer charges a try before it looks at the answer. The
//     first right one proves the attempt, finds or creates the [User] through
//     package account, and leaves a [Grant].
//  5. signin.Engine.Collect spends the grant and opens a session; package token
//     signs what the app gets, after the commit.
//  6. signin.Engine.Refresh moves the session's counter; the refresh token is
//     derived from it.
//  7. Package client, in somebody else's backend, verifies the access token and
//     turns it into a user of that backend's own database.
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
// Numbers are positive int64s handed out by [Store.NextNumber] over all kinds of
// record; gaps are normal.
package splitpin
