package project

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// NewCompletion returns an address that hears of completed forms, with a secret of its
// own. The empty url is nobody's.
func NewCompletion(ring *keyring.Ring, url string) splitpin.Completion {
	if url == "" {
		return splitpin.Completion{}
	}
	c := splitpin.Completion{URL: url, Generation: ring.Current(keyring.Webhook)}
	rand.Read(c.Salt[:]) // never fails: see crypto/rand
	return c
}

// CompletionSecret derives the secret that signs what the address is told, in the form
// of Standard Webhooks. Its error wraps keyring.ErrDestroyed where the installation's
// keys were replaced since, as in a copy: then nobody is told anything until
// the address is set anew.
func CompletionSecret(ring *keyring.Ring, p *splitpin.Project) (splitpin.Secret, error) {
	c := p.Settings.Site.Completion
	mac, err := ring.MAC(keyring.Webhook, c.Generation, []byte("completion"), []byte(p.ID), c.Salt[:])
	if err != nil {
		return "", fmt.Errorf("deriving the secret of completions: %w", err)
	}
	return splitpin.Secret("whsec_" + base64.StdEncoding.EncodeToString(mac[:])), nil
}
