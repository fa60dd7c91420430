// Package token makes and checks what a sign-in leaves: access and id tokens,
// refresh tokens, signed identity tokens, and the key sets they are verified
// with.
//
// # Keys
//
// Every project signs with keys of its own, so that a verifier which checks
// nothing but the signature still cannot take one project's token for
// another's. ES256 keys sign access and id tokens and nothing else; an Ed25519
// key signs identity tokens. A key passes four states:
//
//	announced ──▶ active ──▶ retiring ──▶ gone
//	in the set,   signs      in the set,  forgotten
//	not used                 not used
//
// rotate.go holds the rules of when it may move on.
//
// # Hot path
//
// [Service.Mint] and [Service.Verify] read one immutable snapshot of unwrapped
// keys and take no lock. [Service.Reload] replaces it; the server calls that
// when the store's Version grows.
//
// # Files
//
//   - service.go: the snapshot, and how keys are made and read
//   - mint.go: access and id tokens; claims.go how they are written
//   - verify.go: the server's own check of an access token
//   - refresh.go: refresh tokens, and the decision over one that is shown
//   - identity.go: the signed identity token (contract 4.5)
//   - keyset.go: the published key sets
//   - rotate.go: the rotation machine
package token
