package project_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/token"
)

var start = time.Date(2026, 3, 14, 9, 26, 53, 589793000, time.UTC)

type office struct {
	*project.Admin
	t   *testing.T
	now time.Time
}

func newOffice(t *testing.T) *office {
	t.Helper()
	db := enginetest.Open(t)
	ring, err := keyring.Open(t.Context(), db, start, keyring.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, now: start}
	clock := func() time.Time { return o.now }
	o.Admin = &project.Admin{Store: db, Tokens: token.New(db, ring, "https://login.example.org", clock), Clock: clock}
	return o
}

func (o *office) project(id string) *splitpin.Project {
	o.t.Helper()
	r, err := o.Store.Load(o.t.Context(), splitpin.Reads{Project: id})
	if err != nil || r.Project == nil {
		o.t.Fatalf("project %s: %v", id, err)
	}
	return r.Project
}

func TestCreate(t *testing.T) {
	o := newOffice(t)
	first, secret, err := o.Create(t.Context(), project.Draft{})
	if err != nil {
		t.Fatal(err)
	}
	stored := o.project(first.ID)
	if !stored.Default || !stored.HasServerSecret(start, secret) || stored.HasServerSecret(start, "") ||
		!strings.HasPrefix(secret.Reveal(), project.SecretPrefix) || len(first.ID) != 36 {
		t.Errorf("the first project: %+v", stored)
	}

	const key = "8028AAA3-EC2D-4BAA-BE7A-7C8359CCB9F9" // an API_KEY_ID that a team brings along
	second, given, err := o.Create(t.Context(), project.Draft{ID: key, Secret: "a-secret-from-outside-0123"})
	if err != nil {
		t.Fatal(err)
	}
	if second.Default || second.ID != key || given != "a-secret-from-outside-0123" || !o.project(key).HasServerSecret(start, given) {
		t.Errorf("a project with id and secret from outside: %+v", second)
	}
	if o.project(key).HasServerSecret(start, secret) {
		t.Error("a project takes the secret of another")
	}

	third, none, err := o.Create(t.Context(), project.Draft{Secret: "shipped-in-every-app-0123", AppKey: true})
	if err != nil {
		t.Fatal(err)
	}
	if none != "" || o.project(third.ID).HasServerSecret(start, "shipped-in-every-app-0123") {
		t.Error("a secret that shipped in apps opens the endpoints for servers")
	}

	for name, d := range map[string]project.Draft{
		"the same id":                  {ID: key},
		"the same id in another case":  {ID: strings.ToLower(key)},
		"a short id":                   {ID: "shop"},
		"an id that needs escaping":    {ID: strings.Repeat("a", 35) + "/"},
		"an id that begins with -":     {ID: "-" + strings.Repeat("a", 35)},
		"a secret that can be guessed": {Secret: "hunter2"},
		"settings that are unsound":    {Settings: splitpin.Settings{Colour: "teal"}},
	} {
		if p, secret, err := o.Create(t.Context(), d); err == nil || p != nil || secret != "" {
			t.Errorf("%s: got %v, %v", name, p, err)
		}
	}
	projects, err := o.Store.Projects(t.Context())
	if err != nil || len(projects) != 3 {
		t.Errorf("%d projects, want 3 (%v)", len(projects), err)
	}
	keys, err := o.Store.SigningKeys(t.Context())
	if err != nil || len(keys) != 6 {
		t.Errorf("%d signing keys, want two a project (%v)", len(keys), err)
	}
}

func TestChange(t *testing.T) {
	o := newOffice(t)
	p, _, err := o.Create(t.Context(), project.Draft{Settings: splitpin.Settings{Name: "Shop"}})
	if err != nil {
		t.Fatal(err)
	}
	before, err := o.Store.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.now = start.Add(time.Hour)
	changed, err := o.Change(t.Context(), p.ID, func(p *splitpin.Project) error { p.Settings.Name = "Emporium"; return nil })
	if err != nil || changed.Settings.Name != "Emporium" || changed.UpdatedAt != o.now.Truncate(time.Microsecond) {
		t.Fatalf("got %+v, %v", changed, err)
	}
	if after, err := o.Store.Version(t.Context()); err != nil || after == before {
		t.Errorf("other nodes do not hear of it: version %d, %v", after, err)
	}
	for name, alter := range map[string]func(*splitpin.Project) error{
		"unsound settings": func(p *splitpin.Project) error { p.Settings.Name = strings.Repeat("x", 100); return nil },
		"a refusal":        func(p *splitpin.Project) error { p.Settings.Name = "Bazaar"; return fmt.Errorf("no") },
	} {
		if _, err := o.Change(t.Context(), p.ID, alter); err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := o.project(p.ID).Settings.Name; got != "Emporium" {
			t.Errorf("%s: the name is now %q", name, got)
		}
	}
	if _, err := o.Change(t.Context(), "nobody", func(*splitpin.Project) error { return nil }); err == nil {
		t.Error("changing what is not there: no error")
	}
}

func TestRotateSecret(t *testing.T) {
	o := newOffice(t)
	p, first, err := o.Create(t.Context(), project.Draft{})
	if err != nil {
		t.Fatal(err)
	}
	second, until, err := o.RotateSecret(t.Context(), p.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	good := func(at time.Time, s splitpin.Secret) bool { return o.project(p.ID).HasServerSecret(at, s) }
	if second == first || !good(start, second) || !good(until.Add(-1), first) || good(until, first) || until != start.Truncate(time.Microsecond).Add(24*time.Hour) {
		t.Errorf("after one rotation: both %v %v, old one until %v", good(start, second), good(start, first), until.Sub(start))
	}

	o.now = start.Add(time.Hour)
	third, _, err := o.RotateSecret(t.Context(), p.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !good(o.now, third) || !good(o.now, second) || good(o.now, first) {
		t.Error("after a second rotation: the two newest must be good, and no other")
	}

	fourth, _, err := o.RotateSecret(t.Context(), p.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	if !good(o.now, fourth) || good(o.now, third) || good(o.now, second) {
		t.Error("after a compromise: only the new one must be good")
	}

	app, _, err := o.Create(t.Context(), project.Draft{Secret: "shipped-in-every-app-0123", AppKey: true})
	if err != nil {
		t.Fatal(err)
	}
	server, _, err := o.RotateSecret(t.Context(), app.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	q := o.project(app.ID)
	if !q.HasServerSecret(o.now, server) || q.HasServerSecret(o.now, "shipped-in-every-app-0123") || len(q.Secrets) != 2 {
		t.Errorf("the first server secret beside an app key: %+v", q.Secrets)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name     string
		settings splitpin.Settings
		wrong    []string // what each problem begins with, in order
	}{
		{name: "nothing set"},
		{name: "much set", settings: splitpin.Settings{Name: "Ada's Shop", Issuer: "https://www.cotter.app", Colour: "#1a6B4f", Locale: "pt-BR",
			Origins: []string{"*", "://", "https://shop.example", "shop://", "shop://auth", "http://localhost:3000"}, Lookup: splitpin.LookupMinimal,
			Logo: []byte("x"), LogoType: "image/png", CodeLength: 8, CodeAlphabet: "BCDFGHJKLMNPQRSTVWXZ", CodeLifetime: 5 * time.Minute, CodeTries: 3, AccessLifetime: time.Hour, RecogniseDays: 30,
			Forms: map[string]splitpin.AllowList{"staff": {Identifiers: []string{"ada@example.org", "+491701234567", "ada"}, Domains: []string{"example.org"}}}}},
		{name: "everything wrong", settings: splitpin.Settings{Name: "a\nb", Issuer: "www.cotter.app", Colour: "teal", Locale: "English!",
			Origins: []string{"ftp", "https://shop.example/"}, Lookup: "all", Logo: make([]byte, 65<<10), LogoType: "text/html",
			CodeLifetime: time.Hour, CodeTries: 11, AccessLifetime: 48 * time.Hour, CodeLength: 3, RecogniseDays: 31,
			Limits: splitpin.Limits{MessagesPerDay: -1}},
			wrong: []string{"name:", "issuer:", "origin:", "origin:", "colour:", "locale:", "logo:", "logo:", "lookup:", "code-lifetime:", "code-tries:", "access-lifetime:", "recognise-days:", "limits:", "code-length:"}},
		{name: "an issuer with a slash", settings: splitpin.Settings{Issuer: "https://x.example/"}, wrong: []string{"issuer:"}},
		{name: "an issuer with a query", settings: splitpin.Settings{Issuer: "https://x.example?y"}, wrong: []string{"issuer:"}},
		{name: "an origin with a path", settings: splitpin.Settings{Origins: []string{"https://shop.example/cart"}}, wrong: []string{`origin: write "https://shop.example/cart" as "https://shop.example"`}},
		{name: "return pages", settings: splitpin.Settings{Origins: []string{"https://shop.example", "shop://"}, ReturnPages: []string{"https://shop.example/", "https://shop.example/login", "shop://auth/done"}}},
		{name: "return pages that are none", settings: splitpin.Settings{Origins: []string{"https://shop.example", "*"},
			ReturnPages: []string{"/login", "https://shop.example/login?x=1", "https://shop.example:443/login", "https://www.shop.example/login"}},
			wrong: []string{`return-page: "/login" is none; write the whole address`, `return-page: "https://shop.example/login?x=1" is none`,
				`return-page: write "https://shop.example:443/login" as "https://shop.example/login"`, `return-page: the site of "https://www.shop.example/login" is not in the list of origins`}},
		{name: "an address in capitals on a list", settings: splitpin.Settings{Forms: map[string]splitpin.AllowList{"": {Identifiers: []string{"Ada@example.org"}}}}, wrong: []string{"forms:"}},
		{name: "what is no address on a list", settings: splitpin.Settings{Forms: map[string]splitpin.AllowList{"": {Identifiers: []string{"ada@"}}}}, wrong: []string{"forms:"}},
		{name: "a domain with @ on a list", settings: splitpin.Settings{Forms: map[string]splitpin.AllowList{"": {Domains: []string{"@example.org"}}}}, wrong: []string{"forms:"}},
		{name: "a negative length", settings: splitpin.Settings{CodeLength: -6}, wrong: []string{"code-length:"}},
		{name: "a length nobody types", settings: splitpin.Settings{CodeLength: 17}, wrong: []string{"code-length:"}},
		{name: "one character", settings: splitpin.Settings{CodeAlphabet: "A"}, wrong: []string{"code-length:"}},
		{name: "a character twice", settings: splitpin.Settings{CodeAlphabet: "0123456789ABCA"}, wrong: []string{"code-alphabet:"}},
		{name: "a character that answers leave out", settings: splitpin.Settings{CodeAlphabet: "0123456789-"}, wrong: []string{"code-alphabet:"}},
		{name: "a character outside ASCII", settings: splitpin.Settings{CodeAlphabet: "0123456789é"}, wrong: []string{"code-alphabet:"}},
		{name: "negative tries", settings: splitpin.Settings{CodeTries: -1}, wrong: []string{"code-tries:"}},
	}
	for _, test := range tests {
		err := project.Check(test.settings)
		if len(test.wrong) == 0 {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: no error", test.name)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(test.wrong) {
			t.Errorf("%s: %d problems, want %d:\n%v", test.name, len(lines), len(test.wrong), err)
			continue
		}
		for i, want := range test.wrong {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%s: problem %d is %q, want it to begin with %q", test.name, i, lines[i], want)
			}
		}
	}
}

func TestCheckSite(t *testing.T) {
	form := func(f splitpin.Form) splitpin.Site {
		return splitpin.Site{Forms: map[string]splitpin.Form{"members": f}}
	}
	named := func(id string) splitpin.Site { return splitpin.Site{Forms: map[string]splitpin.Form{id: {}}} }
	page := func(path string) splitpin.Site {
		return splitpin.Site{Protected: []splitpin.ProtectedPage{{Path: path, Below: true}}}
	}
	field := func(name, label, kind string) splitpin.Site {
		return form(splitpin.Form{Fields: []splitpin.FormField{{Name: name, Label: label, Type: kind}}})
	}
	good := splitpin.Form{Kind: splitpin.Phone, Method: "link", Channels: []splitpin.Channel{splitpin.SMSChannel}, Social: []string{"google"},
		Fields: []splitpin.FormField{{Name: "company", Label: "Firma & Söhne"}, {Name: "born", Label: "Born", Type: "date"}},
		Title:  "Für Mitglieder", TitleColour: "#123456", Background: "#ABCDEF", AfterLogin: "https://shop.example/in?x=1", AfterLogout: "/"}
	tests := []struct {
		name  string
		site  splitpin.Site
		wrong string // how the one problem begins; empty: none
	}{
		{name: "everything", site: splitpin.Site{Forms: map[string]splitpin.Form{"members": good, splitpin.DefaultForm: {}}, DeniedURL: "/denied",
			Protected: []splitpin.ProtectedPage{{Path: "/"}, {Path: "/mein-konto/a.html"}}, Completion: splitpin.Completion{URL: "https://shop.example/hook?x=1"}}},
		{name: "a hook on this machine", site: splitpin.Site{Completion: splitpin.Completion{URL: "http://127.0.0.1:9000/hook"}}},

		{name: "an id with a slash", site: named("a/b"), wrong: "form: "},
		{name: "no id", site: named(""), wrong: "form: "},
		{name: "the id of the site", site: named("siteCustomization"), wrong: "form: "},
		{name: "an id that every object has", site: named("constructor"), wrong: "form: "},
		{name: "a script as destination", site: form(splitpin.Form{AfterLogin: "javascript:alert(1)"}), wrong: "form members: after-login"},
		{name: "another host as a path", site: form(splitpin.Form{AfterLogin: "//evil.example"}), wrong: "form members: after-login"},
		{name: "another host, as browsers read it", site: form(splitpin.Form{AfterLogin: `/\evil.example`}), wrong: "form members: after-login"},
		{name: "without https", site: form(splitpin.Form{AfterLogin: "http://shop.example/"}), wrong: "form members: after-login"},
		{name: "another site after logging out", site: form(splitpin.Form{AfterLogout: "https://shop.example/"}), wrong: "form members: after-logout"},
		{name: "a host after logging out", site: form(splitpin.Form{AfterLogout: ".evil.example"}), wrong: "form members: after-logout"},
		{name: "a title of two lines", site: form(splitpin.Form{Title: "Wel\ncome"}), wrong: "form members: title"},
		{name: "markup in a colour", site: form(splitpin.Form{Background: `red" onclick="x`}), wrong: "form members: background"},
		{name: "a colour by name", site: form(splitpin.Form{TitleColour: "red"}), wrong: "form members: title-colour"},
		{name: "mail as a channel of phones", site: form(splitpin.Form{Channels: []splitpin.Channel{splitpin.EmailChannel}}), wrong: "form members: channel"},
		{name: "a provider in capitals", site: form(splitpin.Form{Social: []string{"GOOGLE"}}), wrong: "form members: social"},
		{name: "an unknown method", site: form(splitpin.Form{Method: "letter"}), wrong: "form members: method"},
		{name: "an unknown kind", site: form(splitpin.Form{Kind: 7}), wrong: "form members: type"},
		{name: "a field that a sign-in has already", site: field("oauth_token", "x", ""), wrong: "form members: field"},
		{name: "a field without a label", site: field("company", "", ""), wrong: "form members: field"},
		{name: "a field for a password", site: field("company", "x", "password"), wrong: "form members: field"},
		{name: "a field with a dot", site: field("a.b", "x", ""), wrong: "form members: field"},
		{name: "a field twice", site: form(splitpin.Form{Fields: []splitpin.FormField{{Name: "a", Label: "A"}, {Name: "a", Label: "B"}}}), wrong: "form members: field"},
		{name: "many fields", site: form(splitpin.Form{Fields: func() (f []splitpin.FormField) {
			for i := range 9 {
				f = append(f, splitpin.FormField{Name: fmt.Sprint("f", i), Label: "x"})
			}
			return f
		}()}), wrong: "form members: field"},
		{name: "an expression as a path", site: page("/(a+)+$"), wrong: "protect: "},
		{name: "a path without a slash", site: page("members"), wrong: "protect: "},
		{name: "a script where one is denied", site: splitpin.Site{DeniedURL: "javascript:alert(1)"}, wrong: "denied-url: "},
		{name: "a hook without https", site: splitpin.Site{Completion: splitpin.Completion{URL: "http://shop.example/hook"}}, wrong: "completion-url: "},
		{name: "a hook with a password in it", site: splitpin.Site{Completion: splitpin.Completion{URL: "https://a:b@shop.example/hook"}}, wrong: "completion-url: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := project.Check(splitpin.Settings{Site: test.site})
			switch {
			case test.wrong == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.wrong != "" && (err == nil || !strings.HasPrefix(err.Error(), test.wrong) || strings.Contains(err.Error(), "\n")):
				t.Errorf("got %v, want one problem that begins with %q", err, test.wrong)
			}
		})
	}
}

// Every refusal for the chance of a guesser gives advice, and each piece of it
// suffices by itself.
func TestAdviceHelps(t *testing.T) {
	refused := 0
	for _, alphabet := range []string{"", "AB", "ABC", "ABCD", "0123456789ABCDEF", "BCDFGHJKLMNPQRSTVWXZ"} {
		for length := 4; length <= 16; length++ {
			for tries := range 11 {
				for _, messages := range []int{0, 1, 3, 10, 100, 1 << 40} {
					s := splitpin.Settings{CodeLength: length, CodeAlphabet: alphabet, CodeTries: tries, Limits: splitpin.Limits{MessagesPerAddress: messages}}
					safe := project.GuessProbability(s) <= signin.MaxGuessProbability
					err := project.Check(s)
					if safe != (err == nil) {
						t.Fatalf("%+v: probability %g, %v", s, project.GuessProbability(s), err)
					}
					if err == nil {
						continue
					}
					refused++
					_, advice, ok := strings.Cut(err.Error(), "Use ")
					if !ok {
						t.Fatalf("%+v: no advice in %q", s, err)
					}
					for _, way := range strings.Split(advice, ", or ") {
						followed := s
						var n int
						switch {
						case scan(way, "a length of %d", &n):
							followed.CodeLength = n
						case scan(way, "at most %d tries", &n):
							followed.CodeTries = n
						case way == "the default limit of messages to an address":
							followed.Limits.MessagesPerAddress = 0
						case way == "more different characters":
							continue
						default:
							t.Fatalf("%+v: advice that nobody can follow: %q", s, way)
						}
						if err := project.Check(followed); err != nil {
							t.Fatalf("%+v: after following %q: %v", s, way, err)
						}
					}
				}
			}
		}
	}
	if refused < 100 {
		t.Errorf("only %d settings were refused", refused)
	}
}

func scan(text, format string, n *int) bool {
	_, err := fmt.Sscanf(text, format, n)
	return err == nil
}

func TestSetLogo(t *testing.T) {
	for content, want := range map[string]string{
		"\x89PNG\r\n\x1a\n0000": "image/png", "\xff\xd8\xff\xe0": "image/jpeg", "RIFF0000WEBPVP8 ": "image/webp",
		"<svg xmlns='http://www.w3.org/2000/svg'/>": "image/svg+xml", " \n<?xml version='1.0'?><svg/>": "image/svg+xml",
		"hello": "", "<html>": "",
	} {
		var s splitpin.Settings
		project.SetLogo(&s, []byte(content))
		err := project.Check(s)
		if want != "" && (s.LogoType != want || err != nil) || want == "" && err == nil {
			t.Errorf("%q: type %q, %v", content, s.LogoType, err)
		}
	}
}

// The audit log tells a new secret from any other change, and says when the old
// one was known to strangers.
func TestEvents(t *testing.T) {
	o := newOffice(t)
	p, _, err := o.Create(t.Context(), project.Draft{})
	if err != nil {
		t.Fatal(err)
	}
	o.now = o.now.Add(time.Minute)
	if _, err := o.Change(t.Context(), p.ID, func(p *splitpin.Project) error { p.Settings.Name = "Shop"; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, compromised := range []bool{false, true} {
		o.now = o.now.Add(time.Minute)
		if _, _, err := o.RotateSecret(t.Context(), p.ID, compromised); err != nil {
			t.Fatal(err)
		}
	}
	list, err := o.Store.AuditEvents(t.Context(), splitpin.AuditFilter{Project: p.Number}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list { // newest first
		got = append(got, strings.TrimSpace(e.Kind+" "+e.Detail))
	}
	if want := "project_secret_rotated compromised, project_secret_rotated, project_changed, project_created"; strings.Join(got, ", ") != want {
		t.Errorf("the log says %q, want %q", got, want)
	}
}

func TestOdds(t *testing.T) {
	for probability, want := range map[float64]string{
		1: "1 in 1", 0.5: "1 in 2", 1e-3: "1 in 1,000", 1e-4: "1 in 10,000", 1.0001e-4: "1 in 9,999", 4.5e-5: "1 in 22,222", 1e-9: "1 in 1,000,000,000",
	} {
		if got := project.Odds(probability); got != want {
			t.Errorf("%v: got %q, want %q", probability, got, want)
		}
	}
}
