package splitpin_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
)

func TestParseOrigin(t *testing.T) {
	for raw, want := range map[string]string{
		"https://shop.example":                      "https://shop.example",
		"HTTPS://Shop.Example/cart?x=1#y":           "https://shop.example",
		"https://shop.example:443":                  "https://shop.example",
		"https://shop.example:":                     "https://shop.example",
		"http://shop.example:80/":                   "http://shop.example",
		"http://shop.example:443":                   "http://shop.example:443",
		"https://shop.example:8443":                 "https://shop.example:8443",
		"http://localhost:3000":                     "http://localhost:3000",
		"http://127.0.0.1:3000":                     "http://127.0.0.1:3000",
		"http://[::1]:3000":                         "http://[::1]:3000",
		"http://[::1]:80":                           "http://[::1]",
		"https://[2001:DB8::1]/x":                   "https://[2001:db8::1]",
		"https://xn--mnchen-3ya.example":            "https://xn--mnchen-3ya.example",
		"shop://":                                   "shop://",
		"shop://auth/x?y":                           "shop://auth",
		"com.example.Shop://Auth":                   "com.example.shop://auth",
		"shop:///path":                              "shop://",
		"https://evil.example/https://shop.example": "https://evil.example",

		"": "", "null": "", "*": "", "://": "", "shop.example": "", "//shop.example": "", "/x": "", "https:": "", "https://": "", "https:///x": "",
		"https://:443": "", "javascript:alert(1)": "", "javascript://shop.example/%0aalert(1)": "", "JavaScript://x": "",
		"data:text/html,x": "", "data://x": "", "blob:https://shop.example/x": "", "file:///etc/passwd": "", "about:blank": "",
		"ws://shop.example": "", "vbscript://x": "", "filesystem:https://shop.example/": "",
		"https://ada@shop.example": "", "https://ada:x@shop.example": "", "https://shop.example@evil.example": "", "https://@shop.example": "",
		`https://shop.example\@evil.example`: "", `https:\\shop.example`: "", "https://shop.example\n": "", " https://shop.example": "",
		"https://shop .example": "", "https://shop.example\x00": "", "https://shop.example\t.evil.example": "", "https://shop\x7f.example": "",
		"https://*.example": "", "https://shop.example,evil.example": "", "https://shop.example;x": "", "https://'x'": "", "https://münchen.example": "",
		"https://shop%2eexample": "", "https://shop.example:x": "", "http://[::1": "", "http://[fe80::1%25eth0]": "", "shop:x": "", "shop:/x?u=://": "",
		"mailto:ada@example.org": "", "1shop://x": "",
	} {
		got, ok := splitpin.ParseOrigin(raw)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", raw, got, ok, want)
		}
	}
}

func FuzzParseOrigin(f *testing.F) {
	for _, raw := range []string{"https://shop.example", "shop://", "shop://auth", "http://[::1]:80/x", "null", "*", "://", "https://%ff", "HTTP://A:80:", "a://b:1",
		"https://shop.example/login?x#y", "https://shop.example/a/../login", "https://shop.example/%6cogin", "https://shop.example/login/", "https://shop.example//login", "shop://auth/login"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		origin, ok := splitpin.ParseOrigin(raw)
		if !ok {
			if origin != "" {
				t.Fatalf("%q is refused and gives %q", raw, origin)
			}
			return
		}
		if again, ok := splitpin.ParseOrigin(origin); !ok || again != origin {
			t.Fatalf("%q gives %q, and that gives %q, %v", raw, origin, again, ok)
		}
		if strings.ToLower(origin) != origin || strings.ContainsAny(origin, "@\\ *?#'\"<>\n\r\t") || strings.HasPrefix(origin, "javascript:") {
			t.Fatalf("%q gives %q", raw, origin)
		}
		_, host, ok := strings.Cut(origin, "://")
		if !ok || strings.ContainsAny(host, "/") || splitpin.IsWeb(origin) && host == "" {
			t.Fatalf("%q gives %q", raw, origin)
		}
		// What is listed admits itself, and * admits no destination.
		if p := (&splitpin.Project{Settings: splitpin.Settings{Origins: []string{origin}}}); !p.Lists(raw) {
			t.Fatalf("%q is listed as %q and not admitted", raw, origin)
		}
		if p := (&splitpin.Project{Settings: splitpin.Settings{Origins: []string{"*", "://", "", "null", "https://"}}}); p.Lists(raw) {
			t.Fatalf("%q is admitted by entries that match nothing", raw)
		}
		// Of a site with one return page nothing else is admitted, and that page is.
		const login = "/login"
		p := &splitpin.Project{Settings: splitpin.Settings{Origins: []string{origin}, ReturnPages: []string{origin + login}}}
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := p.Lists(raw), u.Path == login && u.EscapedPath() == login; got != want {
			t.Fatalf("%q with the return page %q: got %v, want %v", raw, origin+login, got, want)
		}
		if !p.Lists(origin+login) || !p.Lists(origin+login+"?"+u.RawQuery) {
			t.Fatalf("the return page %q is not admitted", origin+login)
		}
		if page, ok := splitpin.ParseReturnPage(raw); ok {
			p.Settings.ReturnPages = []string{page}
			if again, ok := splitpin.ParseReturnPage(page); !ok || again != page || !p.Lists(page) || !p.Lists(page+"?x=1#y") {
				t.Fatalf("%q gives the page %q, and that gives %q, %v, and is not admitted", raw, page, again, ok)
			}
			if clean := u.ResolveReference(&url.URL{Path: u.Path}).Path; u.Path != "" && clean != u.Path {
				t.Fatalf("%q is a return page, of which browsers make the path %q", raw, clean)
			}
		}
	})
}

func TestLists(t *testing.T) {
	tests := []struct {
		entries string // separated by spaces
		url     string
		want    bool
	}{
		{"https://shop.example", "https://shop.example", true},
		{"https://shop.example", "https://shop.example/cart?x#y", true},
		{"https://shop.example", "https://SHOP.example:443", true},
		{"https://SHOP.example:443/", "https://shop.example", true},
		{"https://shop.example", "http://shop.example", false},
		{"https://shop.example", "https://shop.example:8443", false},
		{"https://shop.example", "https://www.shop.example", false},
		{"https://shop.example", "https://shop.example.evil.example", false},
		{"https://shop.example", "https://evil.example/https://shop.example", false},
		{"https://shop.example", "https://shop.example@evil.example", false},
		{"https://shop.example", "https://evil.example#@shop.example", false},
		{"https://shop.example", "https:shop.example", false},
		// Go makes these i and k; browsers go to another name, xn--…, with the first.
		{"https://kiosk.example", "https://k\u0130osk.example", false},
		{"https://kiosk.example", "https://k%C4%B0osk.example", false},
		{"https://kiosk.example", "https://\u212aiosk.example", false},
		{"https://shop.example", "shop://shop.example", false},
		{"http://localhost:3000", "http://localhost:3000/x", true},
		{"http://localhost:3000", "http://localhost", false},
		{"http://[::1]:3000", "http://[::1]:3000", true},
		{"*", "https://shop.example", false},
		{"* https://shop.example", "https://shop.example", true},
		{"://", "shop://auth", false},
		{"://", "https://shop.example", false},
		{"shop://", "shop://", true},
		{"shop://", "shop://auth", true},
		{"shop://", "SHOP://auth/x", true},
		{"shop://", "shopping://auth", false},
		{"shop://", "https://shop", false},
		{"shop://auth", "shop://auth", true},
		{"shop://auth", "shop://auth/x", true},
		{"shop://auth", "shop://", false},
		{"shop://auth", "shop://auth.evil", false},
		{"shop://auth", "shop://other", false},
		{"https://", "https://shop.example", false},
		{"null", "null", false},
		{"javascript://x", "javascript://x", false},
		{"", "https://shop.example", false},
	}
	for _, test := range tests {
		p := &splitpin.Project{Settings: splitpin.Settings{Origins: strings.Fields(test.entries)}}
		if got := p.Lists(test.url); got != test.want {
			t.Errorf("list %q, URL %q: got %v, want %v", test.entries, test.url, got, test.want)
		}
		if got := p.ListsAny(); got != strings.Contains(test.entries, "*") {
			t.Errorf("list %q admits any: %v", test.entries, got)
		}
	}
}

func TestProvidersAreCalled(t *testing.T) {
	for _, test := range []struct{ name, label, want string }{
		{"GOOGLE", "", "Google"},
		{"GITHUB", "", "GitHub"},
		{"GITLAB", "", "GitLab"},
		{"OUR_OWN", "", "Our_own"},
		{"X", "", "X"},
		{"GITHUB", "GitHub of the shop", "GitHub of the shop"},
		{"", "", ""},
	} {
		p := splitpin.Provider{Name: test.name, Label: test.label}
		if got := p.DisplayName(); got != test.want {
			t.Errorf("name %q, label %q: called %q, want %q", test.name, test.label, got, test.want)
		}
	}
}

// A site with return pages is returned to there alone, whatever the address looks like.
func TestListsReturnPages(t *testing.T) {
	origins := []string{"https://shop.example", "https://www.shop.example", "http://localhost:3000", "shop://", "other://", "*"}
	tests := []struct {
		pages string // separated by spaces
		url   string
		want  bool
	}{
		{"https://shop.example/login", "https://shop.example/login", true},
		{"https://shop.example/login", "https://shop.example/login?plan=gold#top", true},
		{"https://shop.example/login", "https://shop.example/login#/out?to=x", true},
		{"https://shop.example/login", "HTTPS://SHOP.example:443/login", true},
		{"https://shop.example/login https://shop.example/cart", "https://shop.example/cart", true},
		{"https://shop.example/", "https://shop.example", true},
		{"https://shop.example/", "https://shop.example?x", true},
		{"https://shop.example/", "https://shop.example/", true},
		{"https://shop.example/caf%C3%A9", "https://shop.example/caf%C3%A9", true},
		{"https://shop.example/login", "https://shop.example/out?to=https://evil.example", false},
		{"https://shop.example/login", "https://shop.example", false},
		{"https://shop.example/login", "https://shop.example/login/", false},
		{"https://shop.example/login", "https://shop.example/login/x", false},
		{"https://shop.example/login/", "https://shop.example/login", false},
		{"https://shop.example/login", "https://shop.example/LOGIN", false},
		{"https://shop.example/login", "https://shop.example//login", false},
		{"https://shop.example/login", "https://shop.example/./login", false},
		{"https://shop.example/login", "https://shop.example/out/../login", false},
		{"https://shop.example/login", "https://shop.example/login/../out", false},
		{"https://shop.example/login", "https://shop.example/login/%2e%2e/out", false},
		{"https://shop.example/login", "https://shop.example/login%2f..%2fout", false},
		{"https://shop.example/login", "https://shop.example/%6cogin", false},
		{"https://shop.example/login", "https://shop.example/login%3fx", false},
		{"https://shop.example/login", "https://shop.example/login%00", false},
		{"https://shop.example/login", "https://shop.example/login;x", false},
		{"https://shop.example/login", `https://shop.example\login`, false},
		{"https://shop.example/login", `https://shop.example/login\..\out`, false},
		{"https://shop.example/login", "https://shop.example/lo\ngin", false},
		{"https://shop.example/login", "https://shop.example/login ", false},
		{"https://shop.example/login", "https://ada@shop.example/login", false},
		{"https://shop.example/login", "https://shop.example@evil.example/login", false},
		{"https://shop.example/login", "http://shop.example/login", false},
		{"https://shop.example/login", "https://shop.example:8443/login", false},
		{"https://shop.example/login", "https://evil.example/login", false},
		{"https://evil.example/login", "https://evil.example/login", false}, // not listed
		// Another site, or app, has none.
		{"https://shop.example/login", "https://www.shop.example/out", true},
		{"https://shop.example/login", "http://localhost:3000/out", true},
		{"https://shop.example/login", "shop://auth/x", true},
		{"shop://auth/done", "https://shop.example/out", true},
		{"shop://auth/done", "shop://auth/done?code=1", true},
		{"shop://auth/done", "SHOP://auth/done", true},
		{"shop://auth/done", "shop://auth/else", false},
		{"shop://auth/done", "shop://auth", false},
		{"shop://auth/done", "shop://elsewhere/done", false}, // the same app
		{"shop://auth/done", "other://elsewhere/done", true},
		{"shop://auth", "shop://auth", true},
		{"shop://auth", "shop://auth/", false},
		{"shop:///done", "shop:///done", true},
		{"shop:///done", "shop://done", false},
	}
	for _, test := range tests {
		p := &splitpin.Project{Settings: splitpin.Settings{Origins: origins, ReturnPages: strings.Fields(test.pages)}}
		if got := p.Lists(test.url); got != test.want {
			t.Errorf("return pages %q, URL %q: got %v, want %v", test.pages, test.url, got, test.want)
		}
		for _, origin := range origins[:3] { // calls, frames and cookies are as without return pages
			if !p.ListsOrigin(origin) || !p.ListsSite(origin+"/out") {
				t.Errorf("return pages %q take the origin %s off the list", test.pages, origin)
			}
		}
	}
}

func TestParseReturnPage(t *testing.T) {
	for raw, want := range map[string]string{
		"https://shop.example/login":            "https://shop.example/login",
		"HTTPS://Shop.example:443/Login":        "https://shop.example/Login",
		"http://localhost:3000":                 "http://localhost:3000/",
		"https://shop.example/café":             "https://shop.example/caf%C3%A9",
		"https://shop.example/a%2fb/":           "https://shop.example/a%2fb/",
		"shop://":                               "shop://",
		"Shop://auth/done":                      "shop://auth/done",
		"https://shop.example/login?":           "",
		"https://shop.example/login?x=1":        "",
		"https://shop.example/login#":           "",
		"https://shop.example/a/../login":       "",
		"https://shop.example/a/%2E%2e/login":   "",
		"https://shop.example/a%2f..%2flogin":   "",
		"https://shop.example/./login":          "",
		"https://shop.example//login":           "",
		"https://shop.example/%zz":              "",
		`https://shop.example\login`:            "",
		"https://ada@shop.example/login":        "",
		"/login":                                "",
		"shop.example/login":                    "",
		"javascript://shop.example/%0aalert(1)": "",
		"*":                                     "",
		"":                                      "",
	} {
		got, ok := splitpin.ParseReturnPage(raw)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", raw, got, ok, want)
		}
	}
}

func TestUUID(t *testing.T) {
	seen := map[splitpin.UUID]bool{}
	for range 100 {
		u := splitpin.NewUUID()
		text := u.String()
		if u.IsZero() || seen[u] || len(text) != 36 || text[14] != '4' || !strings.ContainsRune("89ab", rune(text[19])) {
			t.Fatalf("a bad UUID: %s", u)
		}
		seen[u] = true
		for _, form := range []string{text, strings.ToUpper(text)} {
			if back, err := splitpin.ParseUUID(form); err != nil || back != u {
				t.Errorf("%s: %v, %v", form, back, err)
			}
		}
		b, err := json.Marshal(u)
		var back splitpin.UUID
		if err != nil || string(b) != `"`+text+`"` || json.Unmarshal(b, &back) != nil || back != u {
			t.Errorf("as JSON: %s, %v", b, err)
		}
	}
	for _, text := range []string{"", "x", "5b1f3a52000040008000000000000001", "5b1f3a52-0000-4000-8000-00000000000", "5b1f3a52-0000-4000-8000-0000000000011",
		"{5b1f3a52-0000-4000-8000-00000000001}", "5b1f3a52_0000_4000_8000_000000000001", "5b1f3a52-0000-4000-8000-00000000000g", "5b1f3a5-20000-4000-8000-000000000001"} {
		if u, err := splitpin.ParseUUID(text); err == nil || !u.IsZero() {
			t.Errorf("%q: got %v, %v", text, u, err)
		}
	}
}

func TestAttemptID(t *testing.T) {
	id := splitpin.AttemptID{Number: 1<<62 + 7, Nonce: [8]byte{1, 2, 3, 255}}
	text := id.String()
	if back, err := splitpin.ParseAttemptID(text); err != nil || back != id || len(text) != 22 {
		t.Fatalf("%s: %v, %v", text, back, err)
	}
	for _, bad := range []string{"", "x", text[:21], text + "A", text + "\n", text[:11] + "\n" + text[11:], text + "==", " " + text, text[:21] + "+",
		text[:21] + "B", // the last character says more than 16 bytes hold
		splitpin.AttemptID{}.String(), splitpin.AttemptID{Number: -1}.String()} {
		if got, err := splitpin.ParseAttemptID(bad); err == nil || !got.IsZero() {
			t.Errorf("%q: got %v, %v", bad, got, err)
		}
	}
}

func FuzzParseAttemptID(f *testing.F) {
	f.Add(splitpin.AttemptID{Number: 7, Nonce: [8]byte{1}}.String())
	f.Add("AAAAAAAAAAcBAAAAAAAAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := splitpin.ParseAttemptID(text); err == nil && id.String() != text {
			t.Fatalf("%q gives %v, which is written %q", text, id, id.String())
		}
	})
}

func TestErrors(t *testing.T) {
	base := &splitpin.Error{Kind: splitpin.TooMany, Code: "slow_down", Message: "Please wait."}
	cause := errors.New("the bucket is empty")
	got := fmt.Errorf("doing a thing: %w", base.After(time.Second).In("pace").Because(cause))
	e := splitpin.ErrorOf(got)
	if e == nil || e.RetryAfter != time.Second || e.Field != "pace" || e.Kind != splitpin.TooMany || e.Message != "Please wait." {
		t.Errorf("got %+v", e)
	}
	if !errors.Is(got, base) || !errors.Is(got, cause) || errors.Is(got, splitpin.ErrNotFound) || errors.Is(cause, base) {
		t.Error("a copy is not what it was copied of")
	}
	if !strings.Contains(got.Error(), "the bucket is empty") {
		t.Errorf("the operator does not see the cause: %v", got)
	}
	if base.RetryAfter != 0 || base.Field != "" || base.Unwrap() != nil {
		t.Errorf("copying changed the original: %+v", base)
	}
	if splitpin.ErrorOf(cause) != nil || splitpin.ErrorOf(nil) != nil {
		t.Error("an error of no kind got one")
	}
}

// A secret must not leave by accident, however it is printed.
func TestSecretsDoNotPrint(t *testing.T) {
	const content = "sps_correct-horse"
	s := splitpin.Secret(content)
	type holder struct {
		S splitpin.Secret
		P *splitpin.Secret
		M map[string]splitpin.Secret
	}
	h := holder{s, &s, map[string]splitpin.Secret{"k": s}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%s", "%q", "%+v", "%#v", "%x", "%X", "%10.3s"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", []splitpin.Secret{s})
	}
	fmt.Fprintf(&out, "%v %+v\n", h.M, struct{ S splitpin.Secret }{s})
	for _, v := range []any{s, h, []splitpin.Secret{s}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", s, "holder", struct{ S splitpin.Secret }{s})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", s, "holder", struct{ S splitpin.Secret }{s}, slog.Group("g", "s", s))
	fmt.Fprintln(&out, fmt.Errorf("bad secret %v", s), errors.New(s.String()))
	if strings.Contains(out.String(), "horse") || strings.Contains(out.String(), fmt.Sprintf("%x", "horse")) || strings.Contains(out.String(), fmt.Sprintf("%X", "horse")) {
		t.Errorf("the secret shows:\n%s", out.String())
	}
	if s.Reveal() != content {
		t.Error("Reveal does not give the content")
	}
}

func TestKeysOfLimitsAndGuesses(t *testing.T) {
	seen := map[int64]string{}
	add := func(key int64, what string) {
		if key < 0 {
			t.Errorf("%s: %d is negative", what, key)
		}
		if other, taken := seen[key]; taken {
			t.Errorf("%s and %s share the key %d", what, other, key)
		}
		seen[key] = what
	}
	for _, kind := range []string{"a", "b", "ab"} {
		for _, what := range []string{"", "a", "b", "ba"} {
			add(splitpin.LimitKey(kind, what), kind+"/"+what)
		}
	}
	for project := range int64(300) {
		add(splitpin.GuessesKey(project, "ada@example.org"), fmt.Sprint("guesses of project ", project))
	}
}

func TestServerSecrets(t *testing.T) {
	now := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	hash := func(s string) [32]byte { return sha256.Sum256([]byte(s)) }
	p := &splitpin.Project{Secrets: []splitpin.ProjectSecret{
		{Hash: hash("old"), Kind: splitpin.ServerSecret, RetiresAt: now.Add(time.Hour)},
		{Hash: hash("new"), Kind: splitpin.ServerSecret},
		{Hash: hash("app"), Kind: splitpin.AppKey},
	}}
	for _, test := range []struct {
		secret splitpin.Secret
		at     time.Time
		want   bool
	}{
		{"new", now, true}, {"new", now.Add(1000 * time.Hour), true},
		{"old", now, true}, {"old", now.Add(time.Hour - 1), true}, {"old", now.Add(time.Hour), false},
		{"app", now, false}, {"", now, false}, {"NEW", now, false}, {"new ", now, false},
	} {
		if got := p.HasServerSecret(test.at, test.secret); got != test.want {
			t.Errorf("%q at %v: got %v, want %v", test.secret.Reveal(), test.at.Sub(now), got, test.want)
		}
	}
	if (&splitpin.Project{}).HasServerSecret(now, "") {
		t.Error("a project without secrets accepts the empty one")
	}
}
