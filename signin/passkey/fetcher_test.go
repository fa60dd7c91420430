package passkey_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/passkey"
	"github.com/splitpin/splitpin/signin/signintest"
)

func TestFetcher(t *testing.T) {
	signintest.RunFetcher(t, signintest.Fetching{
		Method: func(h *signintest.House) signin.Fetcher { return passkey.Method{PublicURL: h.PublicURL} },
		Holder: func(h *signintest.House) signintest.Holder {
			d := newDevice("shop.example", h.Origin)
			return func(t testing.TB, s *signin.Started) json.RawMessage {
				options := challenged(s)
				if s.Attempt.Purpose == splitpin.Enrol {
					return json.RawMessage(d.makes(t, options))
				}
				return json.RawMessage(d.shows(t, options))
			}
		},
		Wrong: func(_ *signintest.House, s *signin.Started, right json.RawMessage) map[string]json.RawMessage {
			other := base64.RawURLEncoding.EncodeToString([]byte("another credential"))
			wrong := map[string]json.RawMessage{
				"a credential of nobody": json.RawMessage(strings.ReplaceAll(string(right), idOf(t, right), other)),
				"another page":           json.RawMessage(altered(t, string(right), "clientDataJSON", func(c map[string]any) { c["origin"] = "https://evil.example" })),
				"another challenge": json.RawMessage(altered(t, string(right), "clientDataJSON", func(c map[string]any) {
					c["challenge"] = base64.RawURLEncoding.EncodeToString([]byte(signin.Challenge(s.Attempt.ID, "AAAAAAAAAAAAAAAAAAAAAA")))
				})),
			}
			return wrong
		},
	})
}

// idOf is the id of the credential in an answer.
func idOf(t *testing.T, answer json.RawMessage) string {
	t.Helper()
	var c struct{ ID string }
	if err := json.Unmarshal(answer, &c); err != nil || c.ID == "" {
		t.Fatalf("the answer has the id %q, %v", c.ID, err)
	}
	return c.ID
}
