package signin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

// A number that rested for long opens no account by itself that can be opened otherwise:
// somebody else may have it now (security 32).
func TestNumbersGetNewOwners(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name    string
		kind    splitpin.CredentialKind // that the user has besides; empty: none
		visits  []time.Duration         // since the visit before
		refused bool                    // the last of them
	}{
		{"after half a year", splitpin.PasskeyCredential, []time.Duration{181 * day}, true},
		{"with a social account", splitpin.SocialCredential, []time.Duration{181 * day}, true},
		{"with nothing else", "", []time.Duration{181 * day}, false},
		{"a little earlier", splitpin.PasskeyCredential, []time.Duration{179 * day}, false},
		{"who comes each month", splitpin.PasskeyCredential, []time.Duration{29 * day, 29 * day, 29 * day, 29 * day, 29 * day, 29 * day, 29 * day}, false},
		{"half a year after coming twice", splitpin.PasskeyCredential, []time.Duration{29 * day, 179 * day}, false},
		{"and half a year later", splitpin.PasskeyCredential, []time.Duration{29 * day, 179 * day, 181 * day}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := phones(t, nil)
			ann := h.from(1)
			visit := func() error {
				started, err := ann.text(german(1))
				if err != nil {
					t.Fatal(err)
				}
				o := ann.opened(started)
				granted, err := o.answer(o.right())
				if err != nil {
					return err
				}
				_, err = h.Collect(t.Context(), o.collection(granted))
				return err
			}
			if err := visit(); err != nil {
				t.Fatal(err)
			}
			u := h.load(splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: german(1)}}).User
			if !u.SeenAt.Equal(start.Truncate(day)) {
				t.Errorf("seen at %v", u.SeenAt)
			}
			if test.kind != "" {
				number, err := h.db.NextNumber(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				c := &splitpin.Credential{Number: number, Project: u.Project, User: u.Number, Kind: test.kind, Key: [32]byte{1}, CreatedAt: start}
				err = h.db.Change(t.Context(), splitpin.Reads{User: u.Number}, func(*splitpin.Records) (splitpin.Writes, error) {
					return splitpin.Writes{Create: []splitpin.Record{c}}, nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			for i, wait := range test.visits {
				h.clock.wait(wait)
				err := visit()
				switch last := i == len(test.visits)-1; {
				case last && test.refused:
					refused(t, "the last visit", err, account.ErrReassigned)
					if events := h.events(german(1)); !strings.HasSuffix(events, " answer_refused") {
						t.Errorf("what is remembered: %s", events)
					}
				case err != nil:
					t.Fatalf("visit %d: %v", i, err)
				}
			}
		})
	}
}
