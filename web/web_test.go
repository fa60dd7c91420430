package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"html/template"
	"image/color"
	"image/png"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/splitpin/splitpin/web/internal/bundle"
)

// hostile is what an attacker would like to be a name, a state or an address.
const hostile = `</script><script>alert(1)</script>"'><img src=x onerror=alert(1)> --><style>{{.}}`

// everyPage renders each page with a text of a stranger in every field.
func everyPage(t *testing.T, text, colour, logo string) map[string]string {
	t.Helper()
	look := Look{ID: text, Name: text, Colour: colour, LogoURL: logo}
	pages := map[string]string{}
	add := func(name string, render func(io.Writer) error) {
		var b bytes.Buffer
		if err := render(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		pages[name] = b.String()
	}
	for _, mode := range []Mode{Frame, App, SignIn} {
		add("form of buttons "+string(mode), func(w io.Writer) error {
			return RenderForm(w, Form{Mode: mode, Look: look, Nonce: "n0", Kind: Nothing, Passkey: true, OtherURL: text, Providers: []Link{{Label: text, URL: text}}})
		})
		add("form "+string(mode), func(w io.Writer) error {
			return RenderForm(w, Form{Mode: mode, Look: look, Base: text, Locale: text, Nonce: "n0",
				Domain: text, MessageID: text, Challenge: text, State: text, RedirectURL: text,
				Kind: Phone, Method: text, Channels: []string{text}, CaptchaURL: "/captcha?" + text, FormID: text, Input: text, DirectLogin: true, Issuer: text})
		})
	}
	for _, reason := range []Reason{NotAllowed, NotFramed, UnknownProject, Incomplete, NoSuchMethod, NotFound, Broken, Reason(text)} {
		add("refusal "+string(reason), func(w io.Writer) error {
			return RenderRefusal(w, Refusal{Look: look, Locale: "en", Nonce: "n0", Reason: reason, Redirect: text, Origin: text, RequestID: text, Methods: []string{text}})
		})
	}
	add("refusal in own words", func(w io.Writer) error {
		return RenderRefusal(w, Refusal{Look: look, Reason: Broken, Text: text, Nonce: "n0"})
	})
	add("refusal of a link", func(w io.Writer) error {
		return RenderRefusal(w, Refusal{Look: look, Reason: Incomplete, BadChallenge: "challenge", Nonce: "n0"})
	})
	add("home", func(w io.Writer) error {
		return RenderHome(w, Home{Locale: text, Nonce: "n0", Development: true, DemoURL: text})
	})
	add("captcha", func(w io.Writer) error {
		return RenderCaptcha(w, Captcha{Script: text, Hosts: text, Object: text, SiteKey: text}, text, "n0")
	})
	add("account", func(w io.Writer) error {
		return RenderAccount(w, Account{Look: look, Locale: text, Nonce: "n0", Here: text, Issuer: text, Methods: []string{text}, Site: text, Providers: map[string]string{text: text}})
	})
	add("inbox", func(w io.Writer) error {
		return RenderInbox(w, Inbox{Locale: text, Nonce: "n0", API: text, SignInURL: text})
	})
	return pages
}

// elements parses a page and calls f for each of its elements.
func elements(t *testing.T, page string, f func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			f(n)
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// What a stranger sends changes texts, never the structure of a page: no
// element, no address and no handler comes from it.
func TestHostileTexts(t *testing.T) {
	count := func(page string) map[string]int {
		n := map[string]int{}
		elements(t, page, func(e *html.Node) { n[e.Data]++ })
		return n
	}
	harmless := everyPage(t, "plain", "#123456", "/logo")
	for name, page := range everyPage(t, hostile, hostile, "javascript:alert(1)") {
		twin, ok := harmless[name]
		if !ok {
			twin = harmless["refusal broken"] // an unknown reason is our fault
		}
		got, want := count(page), count(twin)
		// The hostile logo is dropped, and the name's first letter stands for it.
		if want["img"] == 1 {
			delete(want, "img")
			want["span"]++
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: elements are %v, want %v", name, got, want)
		}
	}
}

// The pages work under the policy that the server sends: everything that the
// policy would block is absent.
func TestPagesKeepTheirPolicy(t *testing.T) {
	for name, page := range everyPage(t, "plain", "#123456", "/logo.png") {
		ids := map[string]bool{}
		elements(t, page, func(n *html.Node) {
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: <%s> has the handler %s", name, n.Data, a.Key)
				}
				if a.Key == "style" || a.Key == "srcdoc" {
					t.Errorf("%s: <%s> has the attribute %s", name, n.Data, a.Key)
				}
				if a.Key == "src" || a.Key == "href" && n.Data == "link" {
					if !strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "//") {
						t.Errorf("%s: <%s> asks a third party: %s", name, n.Data, a.Val)
					}
				}
				if a.Key == "id" {
					if ids[a.Val] {
						t.Errorf("%s: the id %s stands twice", name, a.Val)
					}
					ids[a.Val] = true
				}
			}
			switch n.Data {
			case "script":
				if attr(n, "src") == "" && attr(n, "type") != "application/json" {
					t.Errorf("%s: an inline script", name)
				}
			case "style":
				if attr(n, "nonce") != "n0" {
					t.Errorf("%s: a style without the nonce", name)
				}
			}
		})
		// Labels and descriptions lead somewhere.
		elements(t, page, func(n *html.Node) {
			for _, key := range []string{"for", "aria-describedby", "aria-labelledby", "aria-controls"} {
				for _, id := range strings.Fields(attr(n, key)) {
					if !ids[id] {
						t.Errorf("%s: %s of <%s> names %s, which is not in the page", name, key, n.Data, id)
					}
				}
			}
		})
	}
}

// The script reads back exactly what the server gave, whatever is in it.
func TestConfigReachesTheScript(t *testing.T) {
	var b bytes.Buffer
	f := Form{Mode: Frame, Look: Look{ID: "a/b", Name: hostile}, Domain: "https://shop.example", MessageID: "x" + hostile,
		State: "\u2028<!--", Challenge: "c", RedirectURL: "app://x?a=1&b=2"}
	if err := RenderForm(&b, f); err != nil {
		t.Fatal(err)
	}
	var got config
	elements(t, b.String(), func(n *html.Node) {
		if attr(n, "id") == "config" {
			if err := json.Unmarshal([]byte(n.FirstChild.Data), &got); err != nil {
				t.Fatal(err)
			}
		}
	})
	if got.MessageID != f.MessageID || got.State != f.State || got.RedirectURL != f.RedirectURL || got.Domain != f.Domain {
		t.Errorf("got %+v, want the fields of %+v", got, f)
	}
	if want := "/p/a%2Fb/v1"; got.Base != want {
		t.Errorf("base is %q, want %q", got.Base, want)
	}
}

// The whole sentence is part of the contract with the clients (5.3). Half of it
// is said where there is only half to say, and never that a value is "undefined".
func TestNotAllowedSentence(t *testing.T) {
	const redirect, origin = "https://evil.example", "https://page.example"
	tests := []struct {
		mode             Mode
		redirect, origin string
		want             string
	}{
		{Frame, redirect, origin, "The redirect URL https://evil.example or the parent origin https://page.example is not in the list of allowed URLs. Please contact the site owner."},
		{Frame, "", origin, "The parent origin https://page.example is not in the list"},
		{Frame, redirect, "", "The redirect URL https://evil.example is not in the list"},
		{Frame, "", "", "The redirect URL or the parent origin is not in the list"},
		{App, redirect, "", "The redirect URL https://evil.example is not in the list"},
		{SignIn, "", "", "The redirect URL is not in the list"},
	}
	for _, test := range tests {
		var b bytes.Buffer
		if err := RenderRefusal(&b, Refusal{Mode: test.mode, Reason: NotAllowed, Redirect: test.redirect, Origin: test.origin}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{">" + test.want, "<code>splitpin project set --add-origin ORIGIN</code>"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("the page does not say %q:\n%s", want, b.String())
			}
		}
		if strings.Contains(b.String(), "undefined") {
			t.Errorf("the page says undefined:\n%s", b.String())
		}
	}
}

// A site that is listed is not said to be missing: its page is.
func TestNotAReturnPage(t *testing.T) {
	var b bytes.Buffer
	if err := RenderRefusal(&b, Refusal{Mode: Frame, Reason: NotAllowed, Redirect: "https://shop.example", Page: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The redirect URL is a page of https://shop.example, and not one of", "<code>splitpin project set --add-return-page URL</code>"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page does not say %q:\n%s", want, b.String())
		}
	}
}

// A link that cannot work names what is wrong with it.
func TestIncompleteNamesTheParameter(t *testing.T) {
	for want, refusal := range map[string]Refusal{
		"The parameter redirect_url is missing.":                          {Missing: "redirect_url"},
		"code_challenge must be 43 characters of base64url (PKCE, S256).": {BadChallenge: "code_challenge"},
		"cotter_user_id must be the id of a user, 36 characters.":         {BadUser: "cotter_user_id"},
	} {
		refusal.Reason = Incomplete
		var b bytes.Buffer
		if err := RenderRefusal(&b, refusal); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page does not say %q:\n%s", want, b.String())
		}
	}
}

// In production the page at the root leads nowhere.
func TestHome(t *testing.T) {
	for name, h := range map[string]Home{"development": {Development: true, DemoURL: "http://localhost:8081"}, "no demo": {Development: true}, "production": {DemoURL: "http://localhost:8081"}} {
		var b bytes.Buffer
		if err := RenderHome(&b, h); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		if !strings.Contains(page, "<h1>This is a Splitpin sign-in server</h1>") {
			t.Errorf("%s: the page does not say what this is:\n%s", name, page)
		}
		if got := strings.Contains(page, `href="http://localhost:8081"`); got != (name == "development") {
			t.Errorf("%s: the demo is offered: %v", name, got)
		}
		if got := strings.Contains(page, "splitpin dev"); got != h.Development {
			t.Errorf("%s: the inbox is mentioned: %v", name, got)
		}
	}
}

// However odd the colour, texts and edges can be read on both schemes.
func TestColoursAreReadable(t *testing.T) {
	var steps []uint8
	for v := 0; v <= 255; v += 17 {
		steps = append(steps, uint8(v))
	}
	property := regexp.MustCompile(`--([a-z-]+):(#[0-9a-f]{6})`)
	for _, r := range steps {
		for _, g := range steps {
			for _, b := range steps {
				c := rgb{r, g, b}
				light, dark, _ := strings.Cut(string(colours(c.String())), "@media")
				all := map[string]rgb{}
				for surfaceName, part := range map[string]string{"light": light, "dark": dark} {
					for _, m := range property.FindAllStringSubmatch(part, -1) {
						v, ok := parseColour(m[2])
						if !ok {
							t.Fatalf("%s is no colour", m[2])
						}
						all[surfaceName+" "+m[1]] = v
					}
				}
				if len(all) != 6 {
					t.Fatalf("%v: got %v, want six properties", c, all)
				}
				if all["light accent"] != c {
					t.Errorf("%v: the button is %v", c, all["light accent"])
				}
				check := func(what string, a, b rgb, asked float64) {
					if got := contrast(a, b); got < asked {
						t.Errorf("%v: %s has contrast %.2f, want %.1f", c, what, got, asked)
					}
				}
				check("text of the button", all["light on-accent"], c, textContrast)
				check("link on light", all["light link"], lightSurface, textContrast)
				check("link on dark", all["dark link"], darkSurface, textContrast)
				check("edge on light", all["light accent-edge"], lightSurface, edgeContrast)
				check("edge on dark", all["dark accent-edge"], darkSurface, edgeContrast)
			}
		}
	}
}

func TestColoursTakeOnlyNumbers(t *testing.T) {
	plain := colours("")
	for _, bad := range []string{"red", "#12345", "#1234567", "#12345g", "#+12345", "#-12345", "}*{x:y", "#12_456"} {
		if got := colours(bad); got != plain {
			t.Errorf("colours(%q) = %q, want ours", bad, got)
		}
	}
	if strings.ContainsAny(string(plain), "<>\"'\\") {
		t.Errorf("the style sheet %q could end its element", plain)
	}
}

// The surfaces that contrasts are computed against are those of the sheet.
func TestSurfacesMatchTheSheet(t *testing.T) {
	sheet, err := os.ReadFile("src/style.css")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`--surface: (#[0-9a-f]{6})`).FindAllStringSubmatch(string(sheet), -1)
	if len(found) != 2 || found[0][1] != lightSurface.String() || found[1][1] != darkSurface.String() {
		t.Errorf("the sheet has the surfaces %v, colour.go has %v and %v", found, lightSurface, darkSurface)
	}
}

func TestCSP(t *testing.T) {
	got := CSP("abc", []string{"https://shop.example", "", "https://x.example; script-src *", "'self'", "http://localhost:3000"})
	for _, want := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self' 'nonce-abc'", "form-action 'none'", "base-uri 'none'",
		"frame-ancestors https://shop.example http://localhost:3000", "require-trusted-types-for 'script'", "trusted-types 'none'",
	} {
		if !slices.Contains(strings.Split(got, "; "), want) {
			t.Errorf("policy %q lacks %q", got, want)
		}
	}
	if !strings.Contains(CSP("abc", nil), "frame-ancestors 'none'") {
		t.Error("a page that nobody may frame can be framed")
	}
	if strings.Contains(InboxCSP(), "script-src 'self' 'unsafe") {
		t.Error("the inbox runs inline scripts")
	}
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

// Every locale has every text, with the same values in it. Plural forms may be
// more than English has, never fewer.
func TestEveryLocaleHasEveryText(t *testing.T) {
	plural := regexp.MustCompile(`\.(zero|one|two|few|many|other)$`)
	english := tables["en"]
	values := func(text string) []string {
		v := placeholder.FindAllString(text, -1)
		slices.Sort(v)
		return v
	}
	for _, locale := range Locales() {
		table := tables[locale]
		if !strings.HasPrefix(locale, table["lang"]) || table["dir"] != "ltr" && table["dir"] != "rtl" {
			t.Errorf("%s: lang is %q and dir is %q", locale, table["lang"], table["dir"])
		}
		for key, text := range english {
			got, ok := table[key]
			if !ok || strings.TrimSpace(got) == "" {
				t.Errorf("%s lacks %s", locale, key)
			}
			if !strings.HasSuffix(key, ".one") && !slices.Equal(values(got), values(text)) {
				t.Errorf("%s: %s has the values %v, want %v", locale, key, values(got), values(text))
			}
		}
		for key := range table {
			_, known := english[key]
			_, counted := english[plural.ReplaceAllString(key, ".other")]
			if !known && !(counted && plural.MatchString(key)) {
				t.Errorf("%s has %s, which nothing uses", locale, key)
			}
		}
	}
}

// Keys that sources and templates use exist, and no text lies there unused.
func TestTextsAreUsed(t *testing.T) {
	var code strings.Builder
	for _, pattern := range []string{"src/*.ts", "templates/*.html", "web.go", "passkey.go", "undo.go", "step.go", "account.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
	}
	used := regexp.MustCompile(`(?:\bt\(|\bT |tInto\([^,]*, |plural\(|Named )"([a-z.]+)"`).FindAllStringSubmatch(code.String(), -1)
	if len(used) < 40 {
		t.Fatalf("found only %d uses", len(used))
	}
	for _, u := range used {
		_, plain := tables["en"][u[1]]
		_, counted := tables["en"][u[1]+".other"]
		if !plain && !counted {
			t.Errorf("%s is used and has no text", u[1])
		}
	}
	// explain.ts says of a problem the text of its code.
	codes, err := os.ReadFile("../sdk/src/errors.ts")
	if err != nil {
		t.Fatal(err)
	}
	suffix := regexp.MustCompile(`\.(one|other|plain)$`)
	for key := range tables["en"] {
		base := suffix.ReplaceAllString(key, "")
		reason := base[:max(0, strings.LastIndexByte(base, '.'))] // of a refusal, which has a title, a text and a hint
		refusal := strings.Contains(code.String(), `Reason = "`+reason+`"`)
		ofCode, isFault := strings.CutPrefix(base, "fault.")
		problem := isFault && strings.Contains(string(codes), `| "`+ofCode+`"`)
		if !refusal && !problem && !strings.Contains(code.String(), `"`+base+`"`) && !strings.Contains(code.String(), `"`+key+`"`) {
			t.Errorf("nothing uses the text %s", key)
		}
	}
}

// A page is sent every text that its script can show: of those that exist, whose keys
// stand in what the script was bundled from. Else people read the name of a key.
func TestTextsAreSent(t *testing.T) {
	form := func(kind Kind) func(io.Writer) error {
		return func(w io.Writer) error { return RenderForm(w, Form{Mode: SignIn, Kind: kind}) }
	}
	pages := map[string]func(io.Writer) error{
		"form.js":      form(Email),
		"phoneform.js": form(Phone),
		"landing.js":   func(w io.Writer) error { return RenderLanding(w, Landing{}) },
		"account.js":   func(w io.Writer) error { return RenderAccount(w, Account{}) },
		"webauthn.js":  func(w io.Writer) error { return RenderPasskey(w, Passkey{}) },
		"inbox.js":     func(w io.Writer) error { return RenderInbox(w, Inbox{}) },
		"step.js":      nil, // these two write no text
		"widget.js":    nil,
	}
	literal := regexp.MustCompile(`"([a-z_]+(?:\.[a-z_]+)+)"`)
	beginning := regexp.MustCompile("`([a-z_.]+\\.)\\$\\{") // as explain.ts has it: the rest is a code
	entries, err := distFiles.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if path.Ext(e.Name()) != ".js" {
			continue
		}
		render, known := pages[e.Name()]
		if !known {
			t.Errorf("no page of this test has the script %s", e.Name())
		}
		script, err := distFiles.ReadFile("dist/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		var needs []string
		for _, m := range literal.FindAllSubmatch(script, -1) {
			needs = append(needs, string(m[1]))
		}
		for _, m := range beginning.FindAllSubmatch(script, -1) {
			for key := range tables["en"].only(string(m[1])) {
				needs = append(needs, key)
			}
		}
		needs = slices.DeleteFunc(needs, func(key string) bool { return tables["en"][key] == "" && tables["en"][key+".other"] == "" })
		if render == nil {
			if len(needs) > 0 {
				t.Errorf("%s shows %v, and this test knows no page that has it", e.Name(), needs)
			}
			continue
		}
		if len(needs) < 10 {
			t.Errorf("%s shows only %d texts: does this test still see them?", e.Name(), len(needs))
		}
		var b bytes.Buffer
		if err := render(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), assetURL(e.Name())) {
			t.Errorf("the page of %s does not load it", e.Name())
		}
		var sent struct{ Text map[string]string }
		elements(t, b.String(), func(n *html.Node) {
			if attr(n, "id") == "config" {
				if err := json.Unmarshal([]byte(n.FirstChild.Data), &sent); err != nil {
					t.Fatal(err)
				}
			}
		})
		for _, key := range needs {
			if sent.Text[key] == "" && sent.Text[key+".other"] == "" {
				t.Errorf("%s shows %s, and its page is not sent that text", e.Name(), key)
			}
		}
	}
}

func TestTextFor(t *testing.T) {
	for _, locale := range []string{"", "en", "EN_us", "en-GB-oxendict", "tlh", "-", hostile} {
		if got := textFor(locale)["lang"]; got != "en" {
			t.Errorf("textFor(%q) is %q", locale, got)
		}
	}
}

func TestFillLooksOnce(t *testing.T) {
	if got := fill("{a} {b} {c}", "a", "{b}", "b", "2"); got != "{b} 2 {c}" {
		t.Errorf("got %q", got)
	}
}

var spreadIntoOptional = regexp.MustCompile(`\?\.[\w$.]*\([^()]*\.\.\.`)

// The committed bundle is what its sources make.
func TestBundleIsFresh(t *testing.T) {
	want, err := bundle.Build("src")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := distFiles.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want) {
		t.Errorf("dist has %d files, want %d: run go generate ./web", len(entries), len(want))
	}
	for name, body := range want {
		got, err := distFiles.ReadFile("dist/" + name)
		if strings.HasSuffix(name, ".png") {
			if differ := farthest(t, got, body); differ > 2 { // another version of Go may compress differently
				t.Errorf("dist/%s differs from its source by %d of 255: run go generate ./web", name, differ)
			}
		} else if err != nil || !bytes.Equal(got, body) {
			t.Errorf("dist/%s differs from its source: run go generate ./web", name)
		}
		if spread := spreadIntoOptional.Find(body); spread != nil && strings.HasSuffix(name, ".js") {
			t.Errorf("dist/%s has %s: Chrome 90 makes nothing of arguments that are spread after an optional chain", name, spread)
		}
		// A page's script is loaded on a phone in a tunnel, before anything works.
		most := 17 << 10 // a puzzle, a link, a captcha, the page protocol and a browser's own key come along
		if name == "phoneform.js" {
			most = 25 << 10 // the countries of the world, and passkeys
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		z.Write(body)
		z.Close()
		if b.Len() > most {
			t.Errorf("dist/%s has %d bytes when compressed, want at most %d", name, b.Len(), most)
		}
	}
}

// farthest returns by how much two PNG files differ where they differ most.
func farthest(t *testing.T, a, b []byte) (most int) {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	n, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if m.Bounds() != n.Bounds() {
		return 255
	}
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			p, q := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA), color.NRGBAModel.Convert(n.At(x, y)).(color.NRGBA)
			for _, d := range []int{int(p.R) - int(q.R), int(p.G) - int(q.G), int(p.B) - int(q.B), int(p.A) - int(q.A)} {
				most = max(most, d, -d)
			}
		}
	}
	return most
}

// modal.css is loaded by pages of other people: every rule of it is held to the
// windows that the SDK opens, and every class of those is there (contract 12.7).
func TestModalSheet(t *testing.T) {
	raw, err := os.ReadFile("src/modal.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{".micromodal-slide", ".is-open", ".modal__overlay", ".modal__container", ".modal-content-content",
		".modal__container-webAuthn", ".modal__container-socialConnect", ".modal__content", ".modal__content-webAuthn",
		".modal__content-socialConnect", ".modal__content-loader", ".modal-frame-webAuthn", ".modal-frame-socialConnect",
		".modal-frame-container", ".modal-frame-loader", ".modal-title-loader", ".modal-cotter-logo", ".cotter-watermark",
		".cotter-logo", ".title.is-6", `[aria-hidden="true"]`, `[aria-hidden="false"]`, "prefers-reduced-motion"} {
		if !strings.Contains(string(raw), class) {
			t.Errorf("%s is not there", class)
		}
	}
	built, err := distFiles.ReadFile("dist/modal.css")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(built, []byte("url(")) || bytes.Contains(built, []byte("@import")) {
		t.Error("it loads something")
	}
	// Without blocks that hold declarations, what is left are selectors and at-rules.
	rest := regexp.MustCompile(`@keyframes [\w-]+\{([\w%]+\{[^{}]*\})+\}`).ReplaceAllString(string(built), "")
	for selectors := range strings.SplitSeq(regexp.MustCompile(`\{[^{}]*\}`).ReplaceAllString(rest, "\n"), "\n") {
		selectors = strings.TrimSpace(strings.Trim(regexp.MustCompile(`@media[^{]*\{`).ReplaceAllString(selectors, ""), "}"))
		if selectors == "" {
			continue
		}
		for selector := range strings.SplitSeq(strings.ReplaceAll(selectors, "),", ")\x00"), "\x00") {
			if !strings.HasPrefix(selector, ".micromodal-slide:is(") {
				t.Errorf("%q reaches beyond the SDK's windows", selector)
			}
		}
	}
}

func TestSharedAssets(t *testing.T) {
	for name, url := range shared {
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest("GET", url, nil))
		h := w.Header()
		if w.Code != 200 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Cross-Origin-Resource-Policy") != "cross-origin" ||
			h.Get("Cache-Control") != "public, max-age=3600" || h.Get("ETag") == "" || w.Body.Len() == 0 {
			t.Errorf("%s at %s: got %d with %v", name, url, w.Code, h)
		}
		if got, _, _ := mime.ParseMediaType(h.Get("Content-Type")); got != map[string]string{".css": "text/css", ".png": "image/png"}[path.Ext(url)] {
			t.Errorf("%s is %q", url, got)
		}
	}
}

func TestAssets(t *testing.T) {
	url := assetURL("form.js")
	etag := assets["form.js"].etag
	tests := []struct {
		name, method, url string
		header            http.Header
		status            int
		encoding          string
	}{
		{name: "plain", method: "GET", url: url, status: 200},
		{name: "compressed", method: "GET", url: url, header: http.Header{"Accept-Encoding": {"br, gzip"}}, status: 200, encoding: "gzip"},
		{name: "compression refused", method: "GET", url: url, header: http.Header{"Accept-Encoding": {"gzip;q=0"}}, status: 200},
		{name: "seen before", method: "GET", url: url, header: http.Header{"If-None-Match": {etag}}, status: 304},
		{name: "head", method: "HEAD", url: url, status: 200},
		{name: "post", method: "POST", url: url, status: 405},
		{name: "another version", method: "GET", url: "/assets/splitpin-form-000000000000.js", status: 404},
		{name: "folder", method: "GET", url: "/assets/", status: 404},
		{name: "climbing", method: "GET", url: "/assets/../web.go", status: 404},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.url, nil)
			maps.Copy(r.Header, test.header)
			w := httptest.NewRecorder()
			Assets().ServeHTTP(w, r)
			if w.Code != test.status || w.Header().Get("Content-Encoding") != test.encoding {
				t.Fatalf("got %d %q, want %d %q", w.Code, w.Header().Get("Content-Encoding"), test.status, test.encoding)
			}
			if test.status != 200 {
				return
			}
			if got := w.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
				t.Errorf("Cache-Control is %q", got)
			}
			if got := w.Header().Get("Content-Type"); got != "text/javascript; charset=utf-8" {
				t.Errorf("Content-Type is %q", got)
			}
			if empty := w.Body.Len() == 0; empty != (test.method == "HEAD") {
				t.Errorf("%d bytes of body", w.Body.Len())
			}
		})
	}
}

// A long name or redirect cannot push the page's own words out of sight.
func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, page := range everyPage(t, long, "", "") {
		if strings.HasPrefix(name, "refusal") && name != "refusal in own words" && strings.Contains(page, strings.Repeat("x", 300)) && !strings.Contains(page, "number: x") {
			t.Errorf("%s shows a text of 5000 characters", name)
		}
	}
	p := newPage(tables["en"], Look{Name: "  " + long}, "", "")
	if n := len([]rune(p.Look.Name)); n != 60 {
		t.Errorf("the name has %d characters, want 60", n)
	}
}

func TestLogo(t *testing.T) {
	for url, want := range map[string]template.URL{
		"/p/k/logo":                  "/p/k/logo",
		"data:image/png;base64,AA==": "data:image/png;base64,AA==",
		"//elsewhere.example/x.png":  "",
		"https://elsewhere.example":  "",
		"javascript:alert(1)":        "",
		"data:text/html,x":           "",
		"":                           "",
	} {
		if got := newPage(tables["en"], Look{LogoURL: url}, "", "").Logo; got != want {
			t.Errorf("logo of %q is %q, want %q", url, got, want)
		}
	}
}
