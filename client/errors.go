package client

import "errors"

// The faults of a token. Each of them also is [ErrInvalidToken]:
//
//	errors.Is(err, client.ErrExpired)      // this one
//	errors.Is(err, client.ErrInvalidToken) // any of them
//
// The text around them says what was found, what was wanted and what to do
// about it. It is for the backend's log: it holds the issuer, audience and key id
// that somebody sent, shortened and quoted, and never the token.
var (
	ErrMalformed     error = fault("the access token is not a well-formed ES256 JWT")
	ErrTooLarge      error = fault("the access token is larger than 8 KiB")
	ErrAlgorithm     error = fault("the access token is not signed with ES256")
	ErrUnknownKey    error = fault("the access token is signed with a key that the server does not publish")
	ErrSignature     error = fault("the signature of the access token does not match")
	ErrExpired       error = fault("the access token has expired")
	ErrNotYetValid   error = fault("the access token is not valid yet")
	ErrTooOld        error = fault("the access token was issued too long ago to log in with")
	ErrWrongType     error = fault("the token is not an access token")
	ErrWrongIssuer   error = fault("the access token is from another issuer")
	ErrWrongAudience error = fault("the access token is for another project")
)

// ErrInvalidToken is every fault that the token itself has. Whoever presents it
// has to sign in again.
var ErrInvalidToken = errors.New("the access token is not valid")

// ErrNoToken says that a request carries no token at all.
var ErrNoToken = errors.New("the request carries no access token")

// ErrKeysUnavailable says that the keys could not be fetched, so that nothing is
// known about the token. It may pass: answer 503, and throw no session away.
var ErrKeysUnavailable = errors.New("the server's keys are not available")

// fault is one of the ways in which a token can be wrong.
type fault string

func (f fault) Error() string { return string(f) }

// Is makes every fault an ErrInvalidToken.
func (f fault) Is(target error) bool { return target == ErrInvalidToken }

// shown makes text from a token fit for an error: short enough for a log line.
// Callers quote it with %q, which takes care of control characters.
func shown(text string) string {
	const most = 120
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
