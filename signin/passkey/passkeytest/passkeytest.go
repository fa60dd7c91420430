// Package passkeytest makes the keys of authenticators that exist in tests only.
package passkeytest

import "github.com/descope/virtualwebauthn"

// NewCredential returns a new key pair of the kind. The library writes a coordinate of a
// P-256 key without its leading zeros, which RFC 9053, 7.1.1 forbids and no authenticator
// does: one key in 128 would be refused, so such keys are not used.
func NewCredential(kind virtualwebauthn.KeyType) virtualwebauthn.Credential {
	for {
		c := virtualwebauthn.NewCredential(kind)
		if kind != virtualwebauthn.KeyTypeEC2 || len(c.Key.AttestationData()) == wholeEC2 {
			return c
		}
	}
}

// wholeEC2 is how many bytes a COSE key of P-256 has with both coordinates whole.
const wholeEC2 = 77
