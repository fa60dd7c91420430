package project_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/store/enginetest"
)

// Each address and each setting of it has a secret of its own, which stays the same
// until an installation gets other keys: then there is none.
func TestCompletionSecret(t *testing.T) {
	db, now, master := enginetest.Open(t), time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC), keyring.NewMaster()
	ring, err := keyring.Open(t.Context(), db, now, master)
	if err != nil {
		t.Fatal(err)
	}
	at := func(id, url string) *splitpin.Project {
		p := &splitpin.Project{ID: id}
		p.Settings.Site.Completion = project.NewCompletion(ring, url)
		return p
	}
	shop := at("shop", "https://shop.example/hook")
	secret := func(p *splitpin.Project) string {
		t.Helper()
		s, err := project.CompletionSecret(ring, p)
		if err != nil {
			t.Fatal(err)
		}
		return s.Reveal()
	}
	first := secret(shop)
	if !strings.HasPrefix(first, "whsec_") || secret(shop) != first {
		t.Errorf("got %s and then %s, want one that stays", first, secret(shop))
	}
	if secret(at("shop", "https://shop.example/hook")) == first {
		t.Error("the address was set anew and the secret is the old one")
	}
	other := *shop
	other.ID = "club"
	if secret(&other) == first {
		t.Error("another project with the same settings has the same secret")
	}
	if none := project.NewCompletion(ring, ""); none != (splitpin.Completion{}) {
		t.Errorf("no address makes %+v", none)
	}

	err = keyring.Change(t.Context(), db, func(r *splitpin.Records) (splitpin.Writes, error) {
		writes, _, _, err := keyring.Succeed(r.DataKeys, []keyring.Master{master}, keyring.NewMaster(), now)
		return writes, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(t.Context()); err != nil && !errors.Is(err, keyring.ErrWrongMaster) {
		t.Fatal(err)
	}
	if s, err := project.CompletionSecret(ring, shop); err == nil {
		t.Errorf("a copy with keys of its own still makes the secret %s", s.Reveal())
	}
}
