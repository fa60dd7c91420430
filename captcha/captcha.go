// Package captcha asks a provider of captchas whether a token was given to a person.
//
// Two providers are known: reCAPTCHA v2 (invisible) of Google, and Turnstile of
// Cloudflare. Both take the same question in the same form. Without one of them
// configured nothing of this is used: what asks programs to slow down by default is
// a puzzle of our own (package signin).
//
// The provider learns that somebody signs in at this server, not who: neither the
// person's address nor their network is sent.
package captcha

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
)

// A Provider is somebody who tells people from programs.
type Provider struct {
	Name   string
	Script string // what a page loads; it calls the function named by the parameter onload
	Hosts  string // sources of the policy of that page, apart by spaces
	Object string // global that the script makes, with render and execute
	// Invisible says that it works without a box to tick, when it is told to.
	Invisible bool
	verify    string
}

var providers = []Provider{
	{
		Name: "recaptcha", Script: "https://www.google.com/recaptcha/api.js", Object: "grecaptcha", Invisible: true,
		Hosts:  "https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/ https://recaptcha.google.com/recaptcha/",
		verify: "https://www.google.com/recaptcha/api/siteverify",
	},
	{
		Name: "turnstile", Script: "https://challenges.cloudflare.com/turnstile/v0/api.js", Object: "turnstile",
		Hosts:  "https://challenges.cloudflare.com",
		verify: "https://challenges.cloudflare.com/turnstile/v0/siteverify",
	},
}

// Find returns the provider of that name.
func Find(name string) (Provider, error) {
	i := slices.IndexFunc(providers, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, fmt.Errorf("%q is no provider of captchas: there are recaptcha and turnstile", name)
	}
	return providers[i], nil
}

// A Verifier asks one provider. Its fields are set before it is used.
type Verifier struct {
	Provider Provider
	Secret   splitpin.Secret
	// Host is that of the page on which the captcha stood. A token for another page, with
	// the same keys, is refused.
	Host   string
	Client *http.Client // of package outgoing
	URL    string       // asked instead of the provider's own; for tests
}

// longest is the most that a token may have; Turnstile promises 2048 bytes, and those of
// reCAPTCHA stay below this.
const longest = 8192

// ours are answers that blame the question, and not who is asked about.
var ours = []string{"missing-input-secret", "invalid-input-secret", "bad-request", "internal-error"}

// Verify reports whether a token was given to a person on our page. A provider calls a
// token good once. An error tells that nobody knows: the provider was not reached, or
// does not know the secret.
func (v *Verifier) Verify(ctx context.Context, token string) (bool, error) {
	if token == "" || len(token) > longest {
		return false, nil
	}
	form := url.Values{"secret": {v.Secret.Reveal()}, "response": {token}}
	at := v.URL
	if at == "" {
		at = v.Provider.verify
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return false, fmt.Errorf("asking %s: %w", v.Provider.Name, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := v.Client.Do(r)
	if err != nil {
		return false, fmt.Errorf("asking %s: %w", v.Provider.Name, err)
	}
	defer answer.Body.Close()
	var said struct {
		Success  bool     `json:"success"`
		Hostname string   `json:"hostname"`
		Errors   []string `json:"error-codes"`
	}
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Errorf("asking %s: it answered %s", v.Provider.Name, answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return false, fmt.Errorf("asking %s: reading its answer: %w", v.Provider.Name, err)
	}
	for _, code := range said.Errors {
		if slices.Contains(ours, code) {
			return false, fmt.Errorf("asking %s: %w", v.Provider.Name, errors.New(code))
		}
	}
	return said.Success && said.Hostname == v.Host, nil
}
