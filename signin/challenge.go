package signin

import (
	"crypto/subtle"
	"encoding/base64"

	"github.com/splitpin/splitpin"
)

// challengeBytes is the length of what Challenge returns: an attempt's id and the
// starter's secret.
const challengeBytes = 16 + 16

// Challenge is what somebody signs who answers an attempt with a key: the id of the
// attempt and the secret of its starter, in base64url. So a signature is about one
// attempt, 192 of its bits are random, nothing of it need be stored, and whoever sends a
// signature sends along what lets it near the attempt. It is empty where the secret is
// none of ours.
func Challenge(id splitpin.AttemptID, secret splitpin.Secret) string {
	random, err := base64.RawURLEncoding.Strict().DecodeString(secret.Reveal())
	if err != nil || len(random) != 16 {
		return ""
	}
	b := id.Bytes()
	return base64.RawURLEncoding.EncodeToString(append(b[:], random...))
}

// ParseChallenge reads what Challenge wrote. What it returns may be an invention: only
// an attempt knows whether a secret is right.
func ParseChallenge(challenge string) (id splitpin.AttemptID, secret splitpin.Secret, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || len(b) != challengeBytes {
		return id, "", false
	}
	id, err = splitpin.ParseAttemptID(base64.RawURLEncoding.EncodeToString(b[:16]))
	if err != nil {
		return id, "", false
	}
	return id, splitpin.Secret(base64.RawURLEncoding.EncodeToString(b[16:])), true
}

// Challenged reports whether challenge is that of a.
func Challenged(a *splitpin.Attempt, challenge string) bool {
	id, secret, ok := ParseChallenge(challenge)
	if !ok || id != a.ID {
		return false
	}
	hash := starterHash(secret.Reveal())
	return subtle.ConstantTimeCompare(hash[:], a.Starter[:]) == 1
}
