package cotter_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
)

const zeroID = "00000000-0000-0000-0000-000000000000"

func lookupOff(a, _ *splitpin.Project) { a.Settings.Lookup = splitpin.LookupOff }

// Whom a look-up tells about, and whom it answers with zeros: React Native gives
// up its sign-up where an unknown user were an error.
func TestLookUp(t *testing.T) {
	tests := []struct {
		name   string
		change func(a, b *splitpin.Project)
		query  string // after /user; ID stands for the user's
		secret string
		found  bool
		whole  bool // with what the user did since
	}{
		{name: "stranger", query: "?identifier=ada%40example.org", found: true},
		{name: "stranger, as the person typed it", query: "?identifier=" + url.QueryEscape(" Ada@Example.ORG"), found: true},
		{name: "stranger by id", query: "/ID", found: true},
		{name: "an app key opens nothing", query: "/ID", secret: appKeyA, found: true},
		{name: "an app's dummy secret", query: "/ID", secret: "dummy", found: true},
		{name: "backend", query: "?identifier=ada@example.org", secret: secretA, found: true, whole: true},
		{name: "backend by id", query: "/ID", secret: secretA, found: true, whole: true},
		{name: "stranger, unknown", query: "?identifier=bob@example.org"},
		{name: "stranger, unknown id", query: "/7b1f3a52-0c57-4a8c-9a55-0f6f6a1c2d10"},
		{name: "stranger, no identifier", query: ""},
		{name: "stranger, no address", query: "?identifier=a@b@c"},
		{name: "backend, unknown", query: "?identifier=bob@example.org", secret: secretA},
		{name: "off: stranger", change: lookupOff, query: "?identifier=ada@example.org"},
		{name: "off: stranger by id", change: lookupOff, query: "/ID"},
		{name: "off: app key", change: lookupOff, query: "/ID", secret: appKeyA},
		{name: "off: backend", change: lookupOff, query: "?identifier=ada@example.org", secret: secretA, found: true, whole: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			change := test.change
			if change == nil {
				change = func(_, _ *splitpin.Project) {}
			}
			s := newSite(t, change)
			id := s.registerAndProve("ada@example.org")
			r := s.do(ask{method: "GET", path: "/api/v0/user" + strings.Replace(test.query, "ID", id, 1), key: idA, secret: test.secret})
			got := r.object(t)
			for _, path := range []string{"ID", "created_at", "updated_at", "update_at", "deleted_at", "issuer", "client_user_id", "identifier"} {
				text(t, got, path) // iOS fails where one is missing or null
			}
			if enrolled, ok := at(t, got, "enrolled").([]any); !ok || len(enrolled) != 0 {
				t.Errorf("enrolled: got %v, want []", at(t, got, "enrolled"))
			}
			if !test.found {
				want := `{"ID":"` + zeroID + `","created_at":"0001-01-01T00:00:00Z","updated_at":"0001-01-01T00:00:00Z","update_at":"0001-01-01T00:00:00Z",` +
					`"deleted_at":"0001-01-01T00:00:00Z","issuer":"","client_user_id":"","enrolled":[],"default_method":null,"identifier":"","identifiers":null}`
				if r.body != want {
					t.Errorf("got  %s\nwant %s", r.body, want)
				}
				return
			}
			if text(t, got, "ID") != id || text(t, got, "identifier") != "ada@example.org" || text(t, got, "issuer") != idA {
				t.Errorf("got %v, want the user", got)
			}
			if whole := text(t, got, "updated_at") != text(t, got, "created_at"); whole != test.whole {
				t.Errorf("tells when the user changed: %v, want %v", whole, test.whole)
			}
		})
	}
}

// registerAndProve makes a user whose times of creation and change differ.
func (s *site) registerAndProve(address string) (id string) {
	s.t.Helper()
	u, err := s.people.Create(s.t.Context(), s.a.Number, address, "", true)
	if err != nil {
		s.t.Fatal(err)
	}
	s.wait(time.Hour)
	s.signIn(address)
	return u.ID.String()
}

func TestLookUpByOldID(t *testing.T) {
	s := newSite(t)
	for _, id := range []string{"1014", "a/b c", "list of one"} {
		u, err := s.people.Create(t.Context(), s.a.Number, "user-"+id, id, true)
		if err != nil {
			t.Fatal(err)
		}
		got := s.do(ask{method: "GET", path: "/api/v0/user/" + url.PathEscape(id), key: idA}).object(t)
		if text(t, got, "ID") != u.ID.String() || text(t, got, "client_user_id") != id {
			t.Errorf("GET /user/%s: got %v", id, got)
		}
	}
}

func TestLookUpStaysInTheProject(t *testing.T) {
	s := newSite(t, func(_, b *splitpin.Project) { b.Settings.Lookup = splitpin.LookupMinimal })
	id := text(t, s.signIn("ada@example.org"), "user.ID")
	for _, query := range []string{"/" + id, "?identifier=ada@example.org"} {
		got := s.do(ask{method: "GET", path: "/p/" + idB + "/api/v0/user" + query, key: idB}).object(t)
		if text(t, got, "ID") != zeroID {
			t.Errorf("project B knows a user of project A: %v", got)
		}
	}
}

// Look-ups of all kinds by strangers share one limit; backends have none.
func TestLookUpLimit(t *testing.T) {
	s := newSite(t)
	kinds := []ask{
		{method: "GET", path: "/api/v0/user?identifier=ada@example.org", key: idA},
		{method: "GET", path: "/api/v0/user/1014", key: idA},
		{method: "POST", path: "/api/v0/user/create", key: idA, body: `{"identifier":"ada@example.org"}`},
		{method: "GET", path: "/screening/form?identifier=ada@example.org", key: idA},
	}
	for i := range 60 {
		if got := s.do(kinds[i%len(kinds)]); got.status == 429 {
			t.Fatalf("look-up %d was refused", i+1)
		}
	}
	for _, a := range kinds {
		got := s.do(a)
		if got.status != 429 || got.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: got %d and Retry-After %q, want 429 and when to come back", a.method, a.path, got.status, got.header.Get("Retry-After"))
		}
	}
	s.do(kinds[0]).refused(t, 429)
	backend, elsewhere := kinds[0], kinds[0]
	backend.secret, elsewhere.addr = secretA, "198.51.100.7"
	s.do(backend).object(t)
	s.do(elsewhere).object(t)
	s.wait(5 * time.Minute)
	s.do(kinds[0]).object(t)
}

func TestListUsers(t *testing.T) {
	s := newSite(t)
	for i := range 53 {
		if _, err := s.people.Create(t.Context(), s.a.Number, fmt.Sprintf("user%02d@example.org", i), "", true); err != nil {
			t.Fatal(err)
		}
		s.wait(time.Second)
	}
	list := func(query string) []map[string]any {
		t.Helper()
		r := s.do(ask{method: "GET", path: "/api/v0/user/list" + query, key: idA, secret: secretA})
		if r.status != 200 {
			t.Fatalf("got %d: %s", r.status, r.body)
		}
		return decode[[]map[string]any](t, r.body)
	}
	first := list("")
	if len(first) != 50 || text(t, first[0], "identifier") != "user52@example.org" || text(t, first[49], "identifier") != "user03@example.org" {
		t.Errorf("page 0 has %d users, want the 50 newest", len(first))
	}
	if again := list("?page=0"); text(t, again[0], "ID") != text(t, first[0], "ID") {
		t.Error("page 0 is not the first")
	}
	second := list("?page=1")
	if len(second) != 3 || text(t, second[2], "identifier") != "user00@example.org" {
		t.Errorf("page 1 has %d users, want the 3 oldest", len(second))
	}
	if r := s.do(ask{method: "GET", path: "/api/v0/user/list?page=2", key: idA, secret: secretA}); r.body != "[]" {
		t.Errorf("a page after the last: got %s, want []", r.body)
	}
	for _, page := range []string{"-1", "x", "1.5", "99999999999999999999"} {
		s.do(ask{method: "GET", path: "/api/v0/user/list?page=" + page, key: idA, secret: secretA}).refused(t, 400)
	}
}

func TestServerSecret(t *testing.T) {
	tests := []struct {
		name   string
		ask    ask
		status int
		audit  bool
	}{
		{name: "list with it", ask: ask{method: "GET", path: "/api/v0/user/list", secret: secretA}, status: 200},
		{name: "list without", ask: ask{method: "GET", path: "/api/v0/user/list"}, status: 401},
		{name: "list with a wrong one", ask: ask{method: "GET", path: "/api/v0/user/list", secret: "wrong"}, status: 401},
		{name: "list with an app key", ask: ask{method: "GET", path: "/api/v0/user/list", secret: appKeyA}, status: 401},
		{name: "list of the other project", ask: ask{method: "GET", path: "/p/" + idB + "/api/v0/user/list", key: idB, secret: secretA}, status: 401},
		{name: "list from a page", ask: ask{method: "GET", path: "/api/v0/user/list", secret: secretA, origin: shop}, status: 403, audit: true},
		{name: "look-up from a page", ask: ask{method: "GET", path: "/api/v0/user?identifier=x", secret: secretA, origin: shop}, status: 403, audit: true},
		{name: "refresh from a page", ask: ask{method: "POST", path: "/api/v0/token", secret: secretA, origin: other, body: refreshBody("1:x")}, status: 403, audit: true},
		{name: "a dummy from a page", ask: ask{method: "GET", path: "/api/v0/user?identifier=x", secret: "dummy", origin: shop}, status: 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			if test.ask.key == "" {
				test.ask.key = idA
			}
			got := s.do(test.ask)
			if test.status != 200 {
				got.refused(t, test.status)
			} else if got.status != 200 {
				t.Errorf("got %d: %s", got.status, got.body)
			}
			events, err := s.store.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "server_secret_in_browser"}, 10)
			if err != nil || (len(events) == 1) != test.audit {
				t.Errorf("got %d events of a secret in a browser (%v), want one: %v", len(events), err, test.audit)
			}
		})
	}
}

func TestCreateUser(t *testing.T) {
	tests := []struct {
		name   string
		change func(a, b *splitpin.Project)
		body   string
		query  string
		secret string
		status int
		msg    string // part of it
		id     string // client_user_id; empty: the same as ID
		named  string
	}{
		{name: "backend, address", body: `{"identifier":"bob@example.org"}`, secret: secretA, status: 200, named: "bob@example.org"},
		{name: "backend, as iOS writes it", body: `{"client_user_id":"","identifier":"bob@example.org"}`, secret: secretA, status: 200, named: "bob@example.org"},
		{name: "backend, as old React Native writes it", body: `{"client_user_id":"1014","identifiers":["bob@example.org"]}`, secret: secretA, status: 200, id: "1014", named: "bob@example.org"},
		{name: "backend, the same in both", body: `{"identifier":"bob@example.org","identifiers":["bob@example.org"]}`, secret: secretA, status: 200, named: "bob@example.org"},
		{name: "backend, own id alone", body: `{"client_user_id":"1014","identifier":""}`, secret: secretA, status: 200, id: "1014", named: "1014"},
		{name: "backend, nulls", body: `{"client_user_id":null,"identifier":"bob@example.org","identifiers":null}`, secret: secretA, status: 200, named: "bob@example.org"},
		{name: "tokens are not given for the asking", body: `{"identifier":"bob@example.org"}`, query: "?oauth_token=true", secret: secretA, status: 200, named: "bob@example.org"},
		{name: "stranger, a name", body: `{"identifier":"bob"}`, query: "?oauth_token=true", status: 200, named: "bob"},
		{name: "stranger, an address", body: `{"identifier":"bob@example.org"}`, status: 403, msg: "verify"},
		{name: "stranger, an address as own id", body: `{"client_user_id":"bob@example.org"}`, status: 400},
		{name: "stranger, an app key", body: `{"identifier":"+491701234567"}`, secret: appKeyA, status: 403, msg: "verify"},
		{name: "stranger where look-ups are off", change: lookupOff, body: `{"identifier":"bob"}`, status: 403, msg: "server secret"},
		{name: "backend where look-ups are off", change: lookupOff, body: `{"identifier":"bob"}`, secret: secretA, status: 200, named: "bob"},
		{name: "duplicate", body: `{"identifier":"ada@example.org"}`, secret: secretA, status: 400, msg: "User already exists"},
		{name: "duplicate in other letters", body: `{"identifier":"ADA@example.org"}`, secret: secretA, status: 400, msg: "User already exists"},
		{name: "duplicate own id", body: `{"identifier":"bob@example.org","client_user_id":"ada-1"}`, secret: secretA, status: 400, msg: "User already exists"},
		{name: "nothing", body: `{}`, secret: secretA, status: 400},
		{name: "two people", body: `{"identifiers":["a@example.org","b@example.org"]}`, secret: secretA, status: 400, msg: "one"},
		{name: "a number for a name", body: `{"identifier":7}`, secret: secretA, status: 400},
		{name: "no object", body: `[]`, secret: secretA, status: 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			change := test.change
			if change == nil {
				change = func(_, _ *splitpin.Project) {}
			}
			s := newSite(t, change)
			if _, err := s.people.Create(t.Context(), s.a.Number, "ada@example.org", "ada-1", true); err != nil {
				t.Fatal(err)
			}
			r := s.do(ask{method: "POST", path: "/api/v0/user/create" + test.query, body: test.body, key: idA, secret: test.secret})
			if test.status != 200 {
				if msg := r.refused(t, test.status); !strings.Contains(msg, test.msg) {
					t.Errorf("got msg %q, want %q in it", msg, test.msg)
				}
				return
			}
			got := r.object(t)
			if len(got) != 11 {
				t.Errorf("got %d keys, want a user and no tokens: %s", len(got), r.body)
			}
			if test.id == "" {
				test.id = text(t, got, "ID")
			}
			if text(t, got, "identifier") != test.named || text(t, got, "client_user_id") != test.id || text(t, got, "issuer") != idA {
				t.Errorf("got %s", r.body)
			}
			// Whoever was created so far proved nothing, so no token names them.
			found, err := s.people.ByIdentifier(t.Context(), s.a.Number, test.named)
			if err != nil || !found.ProvedAt.IsZero() {
				t.Errorf("the new user: %v, %v; want one who proved nothing", found, err)
			}
		})
	}
}
