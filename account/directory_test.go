package account_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store/enginetest"
)

var start = time.Date(2026, 3, 14, 9, 26, 53, 589793000, time.UTC)

const shop, club = 1, 2 // project numbers

func newDirectory(t testing.TB) *account.Directory {
	t.Helper()
	db := enginetest.Open(t)
	ring, err := keyring.Open(t.Context(), db, start, keyring.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	return &account.Directory{Store: db, Ring: ring, Clock: func() time.Time { return start }}
}

func TestCreate(t *testing.T) {
	const taken = "5b1f3a52-0000-4000-8000-000000000001"
	tests := []struct {
		name            string
		identifier, own string
		trusted         bool
		want            *splitpin.Error
		stored          string // the identifier, as stored
		legacy          string // the client_user_id that clients see; empty: the user's ID
	}{
		{name: "a name", identifier: " ada ", stored: "ada"},
		{name: "a name and the app's id", identifier: "ada", own: "1014", trusted: true, stored: "ada", legacy: "1014"},
		{name: "a name and an id that a stranger chose", identifier: "ada", own: "1014", stored: "ada"},
		{name: "an id that a stranger chose for an address of somebody", identifier: "ada", own: "ada@example.org", trusted: true, want: account.ErrIdentifier},
		{name: "the app's id alone", own: "1014", trusted: true, stored: "1014", legacy: "1014"},
		{name: "a name in the place of an id, by a stranger", own: "1014", stored: "1014"},
		{name: "an address, by a backend", identifier: "Ada@example.org", trusted: true, stored: "ada@example.org"},
		{name: "a number, by a backend", identifier: "+49 170 1234567", trusted: true, stored: "+491701234567"},
		{name: "an address, by anybody", identifier: "ada@example.org", want: account.ErrVerifyFirst},
		{name: "a number, by anybody", identifier: "+491701234567", want: account.ErrVerifyFirst},
		{name: "an address as the app's id", own: "ada@example.org", want: account.ErrIdentifier},
		{name: "an address as the app's id, by a backend", own: "ada@example.org", trusted: true, want: account.ErrIdentifier},
		{name: "nothing", want: account.ErrIdentifier},
		{name: "nothing, by a backend", trusted: true, want: account.ErrIdentifier},
		{name: "what is no identifier", identifier: "a\x00b", want: account.ErrIdentifier},
		{name: "what is no id", identifier: "ada", own: "a\x00b", want: account.ErrIdentifier},
		{name: "an id with spaces around", identifier: "ada", own: " 1014", want: account.ErrIdentifier},
		{name: "an id that is too long", identifier: "ada", own: strings.Repeat("1", 300), want: account.ErrIdentifier},
		{name: "an identifier that is taken", identifier: "grace", want: account.ErrExists},
		{name: "an address that is taken", identifier: "GRACE@example.org", trusted: true, want: account.ErrExists},
		{name: "an app's id that is taken", identifier: "ada", own: "2001", trusted: true, want: account.ErrExists},
		{name: "a UUID of the app's own", identifier: "ada", own: "5b1f3a52-0000-4000-8000-00000000ffff", trusted: true, stored: "ada", legacy: "5b1f3a52-0000-4000-8000-00000000ffff"},
		{name: "somebody's ID, by a stranger", identifier: "ada", own: taken, stored: "ada"},
		{name: "somebody's ID as the app's id, in capitals", identifier: "ada", own: strings.ToUpper(taken), trusted: true, want: account.ErrExists},
		{name: "somebody's ID as the app's id, by a backend", identifier: "ada", own: taken, trusted: true, want: account.ErrExists},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newDirectory(t)
			imported(t, d, `[{"ID":"`+taken+`","client_user_id":"2001","identifier":"grace"},
				{"ID":"5b1f3a52-0000-4000-8000-000000000002","identifier":"grace@example.org"}]`)
			u, err := d.Create(t.Context(), shop, test.identifier, test.own, test.trusted)
			if test.want != nil {
				if e := splitpin.ErrorOf(err); e == nil || e.Code != test.want.Code || e.Kind != test.want.Kind {
					t.Fatalf("got %v, want %s", err, test.want.Code)
				}
				if users, _, _ := d.List(t.Context(), shop, 0); len(users) != 2 {
					t.Errorf("after a refusal there are %d users, want 2", len(users))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			legacy := test.legacy
			if legacy == "" {
				legacy = u.ID.String()
			}
			if u.Identifier != test.stored || u.LegacyID() != legacy || !u.ProvedAt.IsZero() || u.CreatedAt != start.Truncate(time.Microsecond) {
				t.Errorf("got %+v", u)
			}
			found, err := d.ByIdentifier(t.Context(), shop, test.stored)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(u, found); diff != "" {
				t.Errorf("found by its identifier:\n%s", diff)
			}
			for _, id := range []string{u.ID.String(), strings.ToUpper(u.ID.String()), u.LegacyID()} {
				if found, err := d.ByID(t.Context(), shop, id); err != nil || found.Number != u.Number {
					t.Errorf("found by %s: %v, %v", id, found, err)
				}
				if _, err := d.ByID(t.Context(), club, id); !errors.Is(err, splitpin.ErrNotFound) {
					t.Errorf("found by %s in another project: %v", id, err)
				}
			}
			subject, err := account.Subject(d.Ring, shop, u.Identifier)
			if err != nil {
				t.Fatal(err)
			}
			events, err := d.Store.AuditEvents(t.Context(), splitpin.AuditFilter{Subject: subject}, 10)
			if err != nil || len(events) != 1 || events[0].Kind != "user_registered" || events[0].User != u.Number {
				t.Errorf("events about the new user: %+v, %v", events, err)
			}
		})
	}
}

func TestCreateAtOnce(t *testing.T) {
	d := newDirectory(t)
	var wg sync.WaitGroup
	made := make([]error, 8)
	for i := range made {
		wg.Go(func() { _, made[i] = d.Create(t.Context(), shop, "ada", "", false) })
	}
	wg.Wait()
	created := 0
	for _, err := range made {
		switch {
		case err == nil:
			created++
		case !errors.Is(err, account.ErrExists):
			t.Errorf("got %v, want %v", err, account.ErrExists)
		}
	}
	if created != 1 {
		t.Errorf("%d users of one name were created", created)
	}
}

func imported(t testing.TB, d *account.Directory, list string) account.Report {
	t.Helper()
	report, err := d.Import(t.Context(), shop, strings.NewReader(list), nil)
	if err != nil {
		t.Fatalf("importing: %v", err)
	}
	return report
}

func TestImport(t *testing.T) {
	id := func(n int) string { return fmt.Sprintf("5b1f3a52-0000-4000-8000-%012d", n) }
	tests := []struct {
		name, list                    string
		created, known, deleted, bad  int
		err                           string // part of the error; the report counts all the same
		refusedAt                     []int
		again                         bool // import twice; the second counts
		identifiers, missing, present []string
	}{
		{name: "as Cotter lists them", created: 2, list: `[
			{"ID":"` + id(1) + `","created_at":"2020-05-01T10:00:00.123456789Z","update_at":"2021-01-01T00:00:00Z","deleted_at":null,
			 "issuer":"x","client_user_id":"` + id(1) + `","enrolled":["EMAIL"],"enrolled_method":null,"identifier":"Ada@Example.org"},
			{"ID":"` + id(2) + `","client_user_id":"1014","identifier":"","created_at":"2020-05-01T10:00:00Z"}]`,
			identifiers: []string{"ada@example.org", "1014"}},
		{name: "nothing", list: `[]`},
		{name: "the same list again", again: true, known: 2, list: `[{"ID":"` + id(1) + `","identifier":"ada@example.org"},{"ID":"` + id(2) + `","identifier":"+491701234567"}]`},
		{name: "deleted ones", deleted: 1, created: 2, list: `[{"ID":"` + id(1) + `","identifier":"a@example.org","deleted_at":"2021-01-01T00:00:00Z"},
			{"ID":"` + id(2) + `","identifier":"b@example.org","deleted_at":"0001-01-01T00:00:00Z"},{"ID":"` + id(3) + `","identifier":"c@example.org"}]`,
			missing: []string{"a@example.org"}, present: []string{"b@example.org", "c@example.org"}},
		{name: "one ID for two people", created: 1, bad: 1, refusedAt: []int{1}, list: `[{"ID":"` + id(1) + `","identifier":"a@example.org"},{"ID":"` + id(1) + `","identifier":"b@example.org"}]`},
		{name: "one address for two people", created: 1, bad: 1, refusedAt: []int{1}, list: `[{"ID":"` + id(1) + `","identifier":"a@example.org"},{"ID":"` + id(2) + `","identifier":"A@example.org"}]`},
		{name: "one client_user_id for two people", created: 1, bad: 1, refusedAt: []int{1},
			list: `[{"ID":"` + id(1) + `","identifier":"a@example.org","client_user_id":"7"},{"ID":"` + id(2) + `","identifier":"b@example.org","client_user_id":"7"}]`},
		{name: "what is wrong with one refuses that one", created: 2, bad: 12, refusedAt: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, list: `[
			{"ID":"` + id(1) + `","identifier":"a@example.org"},
			{"ID":"x","identifier":"b@example.org"},
			{"ID":"00000000-0000-0000-0000-000000000000","identifier":"b@example.org"},
			{"identifier":"b@example.org"},
			{"ID":7,"identifier":"b@example.org"},
			{"ID":"` + id(5) + `","identifier":"b@c@d"},
			{"ID":"` + id(6) + `"},
			{"ID":"` + id(7) + `","identifier":"c@example.org","created_at":"yesterday"},
			{"ID":"` + id(8) + `","identifier":"c@example.org","created_at":5},
			{"ID":"` + id(9) + `","identifier":"c@example.org","deleted_at":{}},
			null, "ada@example.org",
			{"ID":"` + id(11) + `","identifier":"c@example.org","client_user_id":"7\u0000"},
			{"ID":"` + id(12) + `","identifier":"d@example.org"}]`,
			present: []string{"a@example.org", "d@example.org"}, missing: []string{"b@example.org", "c@example.org"}},
		{name: "not a list", list: `{"users":[]}`, err: "one JSON array"},
		{name: "nothing at all", list: ``, err: "one JSON array"},
		{name: "a list that was cut off", created: 1, list: `[{"ID":"` + id(1) + `","identifier":"a@example.org"},{"ID":"` + id(2) + `","iden`, err: "user 2"},
		{name: "a list that was cut off between two", created: 1, list: `[{"ID":"` + id(1) + `","identifier":"a@example.org"}`, err: "the end"},
		{name: "something after the list", created: 1, list: `[{"ID":"` + id(1) + `","identifier":"a@example.org"}] [`, err: "after the end"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newDirectory(t)
			if test.again {
				imported(t, d, test.list)
			}
			report, err := d.Import(t.Context(), shop, strings.NewReader(test.list), nil)
			switch {
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Fatalf("got %v, want an error with %q", err, test.err)
			case test.err == "" && err != nil:
				t.Fatal(err)
			}
			if report.Created != test.created || report.Known != test.known || report.Deleted != test.deleted || len(report.Refused) != test.bad {
				t.Errorf("got %+v", report)
			}
			for i, r := range report.Refused {
				if i < len(test.refusedAt) && r.Index != test.refusedAt[i] || r.Why == "" {
					t.Errorf("refused %d: %+v", i, r)
				}
			}
			for _, i := range append(test.present, test.identifiers...) {
				if _, err := d.ByIdentifier(t.Context(), shop, i); err != nil {
					t.Errorf("%s: %v", i, err)
				}
			}
			for _, i := range test.missing {
				if _, err := d.ByIdentifier(t.Context(), shop, i); !errors.Is(err, splitpin.ErrNotFound) {
					t.Errorf("%s: %v, want it not to be there", i, err)
				}
			}
		})
	}
}

func TestImportKeeps(t *testing.T) {
	d := newDirectory(t)
	imported(t, d, `[{"ID":"5B1F3A52-0000-4000-8000-000000000001","client_user_id":"1014","identifier":"Ada@example.org","created_at":"2020-05-01T12:00:00.123456789+02:00"},
		{"ID":"5b1f3a52-0000-4000-8000-000000000002","client_user_id":"5b1f3a52-0000-4000-8000-000000000002","identifier":"bob@example.org"}]`)
	u, err := d.ByIdentifier(t.Context(), shop, "ada@example.org")
	if err != nil {
		t.Fatal(err)
	}
	want := &splitpin.User{Number: u.Number, Project: shop, Identifier: "ada@example.org", Kind: splitpin.Email, ClientUserID: "1014",
		CreatedAt: time.Date(2020, 5, 1, 10, 0, 0, 123456000, time.UTC), UpdatedAt: start.Truncate(time.Microsecond)}
	want.ID, _ = splitpin.ParseUUID("5b1f3a52-0000-4000-8000-000000000001")
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("imported user (-want +got):\n%s", diff)
	}
	bob, err := d.ByID(t.Context(), shop, "5b1f3a52-0000-4000-8000-000000000002")
	if err != nil || bob.ClientUserID != "" || bob.CreatedAt.IsZero() {
		t.Errorf("one whose two ids are the same: %+v, %v", bob, err)
	}

	// What export writes, import reads: into another project, here.
	list, err := json.Marshal([]account.ExportedUser{account.ExportUser(u), account.ExportUser(bob)})
	if err != nil {
		t.Fatal(err)
	}
	report, err := d.Import(t.Context(), club, strings.NewReader(string(list)), nil)
	if err != nil || report.Created != 2 {
		t.Fatalf("importing what was exported: %+v, %v", report, err)
	}
	there, err := d.ByID(t.Context(), club, "1014")
	if err != nil {
		t.Fatal(err)
	}
	want.Number, want.Project = there.Number, club
	if diff := cmp.Diff(want, there); diff != "" {
		t.Errorf("imported again (-want +got):\n%s", diff)
	}
}

// A list longer than a batch arrives whole, also when somebody in the middle is
// here already.
func TestImportOfMany(t *testing.T) {
	d := newDirectory(t)
	const n = 1050
	list := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, `,{"ID":"5b1f3a52-0000-4000-8000-%012d","identifier":"p%d@example.org","created_at":"2020-05-01T10:00:%02dZ"}`, i+1, i, i%60)
		}
		return "[" + strings.TrimPrefix(b.String(), ",") + "]"
	}
	imported(t, d, list(500, 510))
	var heard []int
	report, err := d.Import(t.Context(), shop, strings.NewReader(list(0, n)), func(seen int) { heard = append(heard, seen) })
	if err != nil {
		t.Fatal(err)
	}
	if report.Created != n-10 || report.Known != 10 || len(report.Refused) != 0 {
		t.Errorf("got %+v", report)
	}
	if want := []int{200, 400, 600, 800, 1000, n}; !slices.Equal(heard, want) {
		t.Errorf("progress heard: %v", heard)
	}
	seen := map[int64]bool{}
	for page := 0; ; page++ {
		users, more, err := d.List(t.Context(), shop, page)
		if err != nil {
			t.Fatal(err)
		}
		for i, u := range users {
			if seen[u.Number] || i > 0 && u.CreatedAt.After(users[i-1].CreatedAt) {
				t.Errorf("page %d: user %d twice, or out of order", page, u.Number)
			}
			seen[u.Number] = true
		}
		if !more {
			break
		}
	}
	if len(seen) != n {
		t.Errorf("the pages list %d users, want %d", len(seen), n)
	}
	for _, page := range []int{-1, 1 << 30, 22} {
		if users, more, err := d.List(t.Context(), shop, page); len(users) != 0 || more || err != nil {
			t.Errorf("page %d: %d users, more %v, %v", page, len(users), more, err)
		}
	}
}

func FuzzImport(f *testing.F) {
	f.Add(`[{"ID":"5b1f3a52-0000-4000-8000-000000000001","identifier":"a@example.org"}]`)
	f.Add(`[null,{"ID":1},"x",{"created_at":"2020"}]`)
	f.Add(`[{"ID":"`)
	d := newDirectory(f)
	f.Fuzz(func(t *testing.T, list string) {
		report, err := d.Import(t.Context(), shop, strings.NewReader(list), nil)
		if err != nil {
			return
		}
		// What went in once is known the second time, and nothing else changes.
		again, err := d.Import(t.Context(), shop, strings.NewReader(list), nil)
		if err != nil || again.Created != 0 || again.Known != report.Created+report.Known || len(again.Refused) != len(report.Refused) {
			t.Fatalf("first %+v, then %+v, %v", report, again, err)
		}
	})
}

// Erasing takes the person and the sessions; the log keeps a pseudonym that
// names nobody.
func TestDeleteAndExport(t *testing.T) {
	d := newDirectory(t)
	u, err := d.Create(t.Context(), shop, "ada@example.org", "1014", true)
	if err != nil {
		t.Fatal(err)
	}
	session := &splitpin.Session{Number: u.Number + 1000, Project: shop, User: u.Number, AuthMethod: "OTP", Device: "Firefox on Linux", Network: "203.0.113.7/32", Claims: `{"role":"admin"}`,
		CreatedAt: start, UsedAt: start, IdleUntil: start.Add(time.Hour), ExpiresAt: start.Add(time.Hour)}
	passkey := &splitpin.Credential{Number: u.Number + 1001, Project: shop, User: u.Number, Kind: splitpin.PasskeyCredential, Key: [32]byte{1},
		Label: "Laptop", Site: "shop.example", Device: "Firefox on Linux", Data: []byte("what it is checked by"), Sealed: []byte("tokens"), CreatedAt: start}
	over := &splitpin.Credential{Number: u.Number + 1003, Project: shop, User: u.Number, Kind: splitpin.PasskeyCredential, Key: [32]byte{3}, CreatedAt: start, ExpiresAt: start}
	note := &splitpin.Credential{Number: u.Number + 1004, Project: shop, User: u.Number, Kind: splitpin.TokenCredential, Key: [32]byte{4}, CreatedAt: start}
	another := &splitpin.Credential{Number: u.Number + 1002, Project: shop, User: u.Number + 1, Kind: splitpin.PasskeyCredential, Key: [32]byte{2}, CreatedAt: start}
	err = d.Store.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{session, passkey, another, over, note}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.Export(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if out.User.Identifier != "ada@example.org" || out.User.ClientUserID != "1014" || len(out.Sessions) != 1 ||
		out.Sessions[0].Device != "Firefox on Linux" || string(out.Sessions[0].Claims) != `{"role":"admin"}` || len(out.Events) != 1 || out.Events[0].Kind != "user_registered" {
		t.Errorf("exported %+v", out)
	}
	want := []account.ExportedCredential{{ID: passkey.Number, Kind: "passkey", Label: "Laptop", Site: "shop.example", Device: "Firefox on Linux", CreatedAt: start}}
	if diff := cmp.Diff(want, out.Credentials); diff != "" {
		t.Errorf("the credentials exported (-want +got):\n%s", diff)
	}

	if err := d.Delete(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), u); !errors.Is(err, splitpin.ErrNotFound) {
		t.Errorf("deleting again: %v", err)
	}
	for _, id := range []string{u.ID.String(), "1014"} {
		if _, err := d.ByID(t.Context(), shop, id); !errors.Is(err, splitpin.ErrNotFound) {
			t.Errorf("found by %s after deletion: %v", id, err)
		}
	}
	r, err := d.Store.Load(t.Context(), splitpin.Reads{Session: session.Number})
	if err != nil || r.Session != nil {
		t.Errorf("the session of a user who was deleted: %+v, %v", r.Session, err)
	}
	for key, want := range map[[32]byte]bool{passkey.Key: false, another.Key: true} {
		r, err := d.Store.Load(t.Context(), splitpin.Reads{Credential: splitpin.CredentialKey{Project: shop, Kind: splitpin.PasskeyCredential, Key: key}})
		if err != nil || (r.Credential != nil) != want {
			t.Errorf("after the user was deleted, the passkey %x is %+v, %v; want it there: %v", key[0], r.Credential, err, want)
		}
	}
	events, err := d.Store.AuditEvents(t.Context(), splitpin.AuditFilter{}, 10)
	if err != nil || len(events) != 2 || events[0].Kind != "user_deleted" || events[0].Subject != events[1].Subject {
		t.Fatalf("events: %+v, %v", events, err)
	}
	text, _ := json.Marshal(events)
	if strings.Contains(string(text), "ada") || strings.Contains(string(text), u.ID.String()) || strings.Contains(string(text), "1014") {
		t.Errorf("the log names somebody who was deleted: %s", text)
	}

	// The same address may come back, as somebody else.
	next, err := d.Create(t.Context(), shop, "ada@example.org", "1014", true)
	if err != nil || next.ID == u.ID || next.Number == u.Number {
		t.Errorf("created again: %+v, %v", next, err)
	}
}

func TestProve(t *testing.T) {
	p := account.Person{Number: 9, ID: splitpin.UUID{1}, Project: shop, Identifier: "ada@example.org", Kind: splitpin.Email, Locale: "de"}
	u, created, changed := account.Prove(start, nil, p)
	if !created || changed || u.Number != 9 || u.ProvedAt != start || u.Locale != "de" {
		t.Errorf("a new person: %+v, created %v, changed %v", u, created, changed)
	}
	later := start.Add(time.Hour)
	if same, created, changed := account.Prove(later, u, p); same != u || created || changed || u.ProvedAt != start {
		t.Errorf("a second proof: %+v, created %v, changed %v", same, created, changed)
	}
	u.ProvedAt = time.Time{}
	if same, created, changed := account.Prove(later, u, p); same != u || created || !changed || u.ProvedAt != later || u.UpdatedAt != later {
		t.Errorf("the first proof of somebody who is here: %+v, created %v, changed %v", same, created, changed)
	}
}

// One identifier has different pseudonyms in different projects.
func TestSubject(t *testing.T) {
	d := newDirectory(t)
	seen := map[[12]byte]string{}
	for _, project := range []int64{shop, club} {
		for _, who := range []string{"ada@example.org", "bob@example.org", ""} {
			s, err := account.Subject(d.Ring, project, who)
			if err != nil {
				t.Fatal(err)
			}
			if other, taken := seen[s]; taken {
				t.Errorf("%d %s has the pseudonym of %s", project, who, other)
			}
			seen[s] = fmt.Sprint(project, who)
		}
	}
}
