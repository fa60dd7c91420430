package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
)

// Nobody's passkeys are made useless by a change of sites or of the public URL, unless
// the operator says so.
func TestPasskeysAreNotOrphaned(t *testing.T) {
	folder := t.TempDir()
	if err := keyring.WriteMasterFile(filepath.Join(folder, "key"), keyring.NewMaster()); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"HOST": "127.0.0.1", "PORT": "1", "TLS": "none", "FROM": "login@example.com"} {
		t.Setenv("SPLITPIN_SMTP_"+name, value)
	}
	config := configFile(t, folder)
	try := func(args ...string) (string, bool) {
		t.Helper()
		var out bytes.Buffer
		status := run(context.Background(), terminal{strings.NewReader(""), &out, &out}, append(args, "--config", config))
		return out.String(), status == 0
	}
	must := func(args ...string) string {
		t.Helper()
		out, ok := try(args...)
		if !ok {
			t.Fatalf("splitpin %s:\n%s", strings.Join(args, " "), out)
		}
		return out
	}
	mustNot := func(says string, args ...string) {
		t.Helper()
		if out, ok := try(args...); ok || !strings.Contains(out, says) {
			t.Errorf("splitpin %s: %v, want a refusal that says %q:\n%s", strings.Join(args, " "), ok, says, out)
		}
	}
	must("project", "create", "--name", "Shop", "--origin", "https://shop.example", "--origin", "https://club.example")
	passkeys(t, filepath.Join(folder, "data", databaseFile), "shop.example", "shop.example", "login.example.com")

	must("project", "set", "--remove-origin", "https://club.example") // there are none for it
	mustNot("the passkeys for shop.example any more, of which there are 2", "project", "set", "--remove-origin", "https://shop.example")
	mustNot("--give-up-passkeys login.example.com", "project", "set", "--passkey-site", "shop.example")
	mustNot("is the host of none of the project's pages", "project", "set", "--passkey-site", "example")
	mustNot("write it like shop.example", "project", "set", "--passkey-site", "https://shop.example")
	must("project", "set", "--origin", "https://shop.example", "--add-origin", "https://www.shop.example") // the host stays

	must("serve", "--check")
	t.Setenv("SPLITPIN_PUBLIC_URL", "https://id.example.com")
	mustNot("1 passkeys for login.example.com, which nobody could use", "serve", "--check")
	must("project", "set", "--give-up-passkeys", "login.example.com")
	must("serve", "--check")
	out := must("project", "set", "--passkey-site", "shop.example")
	if !strings.Contains(out, `https://shop.example/.well-known/webauthn`) || !strings.Contains(out, `{"origins":["https://id.example.com","https://www.shop.example"]}`) {
		t.Errorf("the site must tell of the other pages, and the command says:\n%s", out)
	}
	mustNot("is the host of none of the project's pages", "project", "set", "--origin", "https://www.shop.example", "--give-up-passkeys", "shop.example")

	// What was given up and is a site again is as good as any.
	t.Setenv("SPLITPIN_PUBLIC_URL", "https://login.example.com")
	must("project", "set", "--passkey-site", "")
	mustNot("the passkeys for login.example.com any more", "project", "set", "--passkey-site", "shop.example")
}

// passkeys puts one passkey for each site into a database, of the one project there is.
func passkeys(t *testing.T, database string, sites ...string) {
	t.Helper()
	db, err := store.Open(t.Context(), database, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all, err := db.Projects(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("the projects are %v, %v", all, err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i, site := range sites {
		number := func() int64 {
			n, err := db.NextNumber(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		u := &splitpin.User{Number: number(), ID: splitpin.NewUUID(), Project: all[0].Number, Identifier: fmt.Sprintf("ada%d@example.org", i), Kind: splitpin.Email, ProvedAt: now, CreatedAt: now}
		c := &splitpin.Credential{Number: number(), Project: u.Project, User: u.Number, Kind: splitpin.PasskeyCredential, Key: [32]byte{1, byte(i)}, Site: site, CreatedAt: now}
		for _, record := range []splitpin.Record{u, c} {
			err := db.Change(t.Context(), splitpin.Reads{User: u.Number}, func(*splitpin.Records) (splitpin.Writes, error) {
				return splitpin.Writes{Create: []splitpin.Record{record}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
