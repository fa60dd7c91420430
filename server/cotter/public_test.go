package cotter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/cotter"
	"github.com/splitpin/splitpin/token"
	"github.com/splitpin/splitpin/web"
)

func TestKeySets(t *testing.T) {
	s := newSite(t)
	for _, document := range []string{"/api/v0/token/jwks", "/api/v0/token/ed25519"} {
		t.Run(document, func(t *testing.T) {
			root := s.do(ask{method: "GET", path: document, origin: "https://anywhere.example"})
			root.object(t)
			for name, want := range map[string]string{
				"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "",
			} {
				if got := root.header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			etag := root.header.Get("ETag")
			for _, tag := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
				got := s.do(ask{method: "GET", path: document, ifNoneMatch: tag})
				if got.status != http.StatusNotModified || got.body != "" || got.header.Get("ETag") != etag {
					t.Errorf("If-None-Match %s: got %d, %q, ETag %q", tag, got.status, got.body, got.header.Get("ETag"))
				}
			}
			if got := s.do(ask{method: "GET", path: document, ifNoneMatch: `"other"`}); got.body != root.body {
				t.Errorf("If-None-Match of another document: got %d", got.status)
			}
			if got := s.do(ask{method: "GET", path: "/p/" + idA + document}); got.body != root.body {
				t.Error("the root does not serve the default project's keys")
			}
			if got := s.do(ask{method: "GET", path: "/p/" + idB + document}); got.status != 200 || got.body == root.body {
				t.Errorf("project B: got %d, and the keys of A: %v", got.status, got.body == root.body)
			}
			s.do(ask{method: "GET", path: document, key: idB}).refused(t, 401)
			s.do(ask{method: "GET", path: "/p/" + idA + document, key: idB}).refused(t, 401)
			s.do(ask{method: "GET", path: "/p/nobody" + document}).refused(t, 401)
		})
	}
	keys := at(t, s.do(ask{method: "GET", path: "/api/v0/token/jwks"}).object(t), "keys").([]any)
	compat := 0
	for i, k := range keys {
		key := k.(map[string]any)
		if key["kty"] != "EC" || key["crv"] != "P-256" || key["alg"] != "ES256" || key["use"] != "sig" {
			t.Errorf("key %d is %v; old clients fail at anything but P-256", i, key)
		}
		if key["kid"] == token.CompatKID {
			compat++
		}
	}
	if compat != 1 {
		t.Errorf("the constant kid occurs %d times, want once", compat)
	}
}

// A page may read what its project lists it for; with "*" it may read answers
// but gets no cookies (security 14).
func TestCORS(t *testing.T) {
	const api, public, worker = "/api/v0/token/" + idA, "/api/v0/company/info/" + idA, "/verify"
	tests := []struct {
		name        string
		path        string
		origin      string
		any         bool // the project lists "*" and the server allows that
		allow       string
		credentials bool
	}{
		{name: "listed", path: api, origin: shop, allow: shop, credentials: true},
		{name: "listed, below the project", path: "/p/" + idA + api, origin: shop, allow: shop, credentials: true},
		{name: "listed by the other project", path: api, origin: other},
		{name: "at the other project", path: "/p/" + idB + "/api/v0/token/" + idB, origin: shop},
		{name: "at no project", path: "/p/nobody" + api, origin: shop},
		{name: "not listed", path: api, origin: "https://evil.example"},
		{name: "a longer name", path: api, origin: shop + ".evil.example"},
		{name: "another port", path: api, origin: shop + ":444"},
		{name: "another scheme", path: api, origin: "http://shop.example"},
		{name: "null", path: api, origin: "null"},
		{name: "no page", path: api},
		{name: "unknown endpoint", path: "/api/v0/nothing", origin: shop, allow: shop, credentials: true},
		{name: "any: not listed", path: api, origin: "https://evil.example", any: true, allow: "https://evil.example"},
		{name: "any: null", path: api, origin: "null", any: true},
		{name: "any: listed", path: api, origin: shop, any: true, allow: shop, credentials: true},
		{name: "project information", path: public, origin: "https://evil.example", allow: "*"},
		{name: "project information without a page", path: public, allow: "*"},
		{name: "worker", path: worker, origin: "https://evil.example", allow: "*"},
		{name: "worker, listed", path: worker, origin: shop, allow: "*"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, func(a, _ *splitpin.Project) {
				if test.any {
					a.Settings.Origins = append(a.Settings.Origins, splitpin.AnyOrigin)
				}
			})
			s.edge.AnyOrigin = test.any
			preflight := s.do(ask{method: "OPTIONS", path: test.path, origin: test.origin, preflight: "POST"})
			if preflight.status != http.StatusNoContent {
				t.Errorf("preflight: got %d, want 204", preflight.status)
			}
			headers := strings.ToLower(preflight.header.Get("Access-Control-Allow-Headers"))
			if !strings.Contains(headers, "api_key_id") || !strings.Contains(headers, "content-type") {
				t.Errorf("the preflight allows the headers %q; the SDK asks for api_key_id and content-type", headers)
			}
			actual := s.do(ask{method: "PATCH", path: test.path, origin: test.origin})
			for _, r := range []reply{preflight, actual} {
				if got := r.header.Get("Access-Control-Allow-Origin"); got != test.allow {
					t.Errorf("allows origin %q, want %q", got, test.allow)
				}
				if got := r.header.Get("Access-Control-Allow-Credentials") == "true"; got != test.credentials {
					t.Errorf("allows credentials: %v, want %v", got, test.credentials)
				}
				if test.allow != "*" && r.header.Get("Vary") != "Origin" {
					t.Errorf("Vary is %q, want Origin", r.header.Get("Vary"))
				}
			}
		})
	}
}

// Every route answers, also to what it does not do, in the shape that clients
// parse.
func TestRoutesAnswerInOneShape(t *testing.T) {
	s := newSite(t)
	routes := cotter.Routes()
	for _, route := range routes {
		if below := (cotter.Route{Method: route.Method, Path: "/p/{project}" + route.Path}); !strings.HasPrefix(route.Path, "/p/") && !slices.Contains(routes, below) {
			t.Errorf("%s %s stands at the root and not below /p/{project}", route.Method, route.Path)
		}
	}
	fill := strings.NewReplacer("{project}", idA, "{api_key_id}", idA, "{user_id}", "1014")
	for _, route := range routes {
		path := fill.Replace(route.Path)
		for _, method := range []string{"PATCH", "PUT", "TRACE", "OPTIONS"} {
			if method == "OPTIONS" && (strings.Contains(path, "jwks") || strings.Contains(path, "ed25519") ||
				strings.Contains(path, "company") || !strings.Contains(path, "/api/v0/")) {
				continue // public: every OPTIONS is answered as a preflight
			}
			r := s.do(ask{method: method, path: path, key: idA})
			r.refused(t, http.StatusMethodNotAllowed)
			if !strings.Contains(r.header.Get("Allow"), route.Method) {
				t.Errorf("%s %s: Allow is %q, want %s in it", method, path, r.header.Get("Allow"), route.Method)
			}
		}
		r := s.do(ask{method: route.Method, path: path, key: idA, body: map[string]string{"POST": "{}"}[route.Method]})
		if r.status >= 500 || r.status == 404 || r.status == 405 {
			t.Errorf("%s %s: got %d: %s", route.Method, path, r.status, r.body)
		}
		if !json.Valid([]byte(r.body)) {
			t.Errorf("%s %s: got %q, want JSON", route.Method, path, r.body)
		}
	}
	for _, path := range []string{"/api/v0/", "/api/v0/nothing", "/api/v0/webauthn/nothing", "/p/" + idA + "/api/v0/nothing", "/p/nobody/api/v0/nothing"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			s.do(ask{method: method, path: path}).refused(t, http.StatusNotFound)
		}
	}
}

func TestHeadAndGetChangeNothing(t *testing.T) {
	s := newSite(t)
	refresh := text(t, s.signIn("ada@example.org"), "oauth_token.refresh_token")
	for _, route := range cotter.Routes() {
		path := strings.NewReplacer("{project}", idA, "{api_key_id}", idA, "{user_id}", "1014").Replace(route.Path)
		for _, method := range []string{"GET", "HEAD"} {
			got := s.do(ask{method: method, path: path, key: idA, secret: secretA, cookie: refresh,
				body: refreshBody(refresh)})
			if c := cookieOf(t, got); c != nil {
				t.Errorf("%s %s sets a cookie", method, path)
			}
		}
	}
	s.wait(2 * time.Minute) // had anything refreshed, the token would be a reused one now
	s.do(ask{method: "POST", path: "/api/v0/token", key: idA, body: refreshBody(refresh)}).object(t)
}

func TestProjectInformation(t *testing.T) {
	s := newSite(t, func(a, _ *splitpin.Project) {
		a.Settings.Logo, a.Settings.LogoType = []byte("\x89PNG"), "image/png"
		a.Settings.Forms = map[string]splitpin.AllowList{"": {Identifiers: []string{"private@example.org"}}}
		a.Settings.Issuer = "https://private.example"
	})
	r := s.do(ask{method: "GET", path: "/api/v0/company/info/" + idA})
	got := r.object(t)
	for path, want := range map[string]string{
		"type": "EMAIL", "authenticationMethod": "OTP", "modalTitle": "Shop", "logo": "https://login.example/logo/" + idA,
	} {
		if got := text(t, got, "customization.form_default."+path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"socialLoginProviders", "phoneChannels", "additionalFields"} {
		if list, ok := at(t, got, "customization.form_default."+path).([]any); !ok || len(list) != 0 {
			t.Errorf("%s: got %v, want []", path, at(t, got, "customization.form_default."+path))
		}
	}
	for _, private := range []string{"private", shop, secretA, "cotter://"} {
		if strings.Contains(r.body, private) {
			t.Errorf("tells %q: %s", private, r.body)
		}
	}
	s.do(ask{method: "GET", path: "/api/v0/company/info/" + idB}).refused(t, 401)
	s.do(ask{method: "GET", path: "/p/" + idB + "/api/v0/company/info/" + idA}).refused(t, 401)
	b := s.do(ask{method: "GET", path: "/p/" + idB + "/api/v0/company/info/" + idB}).object(t)
	// Without a logo the loader would ask Cotter's own host for one.
	if form := at(t, b, "customization.form_default").(map[string]any); form["logo"] != "https://login.example/assets/images/logo.png" || form["modalTitle"] != "Sign in" {
		t.Errorf("a project without name and logo has %v", form)
	}
}

func TestProjectInformationOfForms(t *testing.T) {
	s := newSite(t, func(a, _ *splitpin.Project) {
		a.Settings.Phone = splitpin.PhoneSettings{Channels: []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel}, Countries: []string{"DE"}}
		a.Settings.Site = splitpin.Site{
			Forms: map[string]splitpin.Form{
				"members": {Kind: splitpin.Phone, Method: "link", Channels: []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel},
					Social: []string{"google"}, Fields: []splitpin.FormField{{Name: "company", Label: "Your company"}, {Name: "born", Label: "Born", Type: "date"}},
					Title: "<b>Tom & Ada", TitleColour: "#111111", Background: "#eeeeee", AfterLogin: "/members", AfterLogout: "/"},
			},
			Protected: []splitpin.ProtectedPage{{Path: "/members", Below: true}, {Path: "/account"}}, DeniedURL: "/denied",
			Completion: splitpin.Completion{URL: "https://private.example/hook", Generation: 1},
		}
	})
	r := s.do(ask{method: "GET", path: "/api/v0/company/info/" + idA})
	want := `{"customization":{` +
		`"form_default":{"type":"EMAIL","authenticationMethod":"OTP","modalTitle":"Shop","logo":"https://login.example/assets/images/logo.png",` +
		`"captchaRequired":false,"socialLoginProviders":[],"phoneChannels":[],"additionalFields":[]},` +
		`"members":{"type":"PHONE","authenticationMethod":"MAGIC_LINK","modalTitle":"\u0026lt;b\u0026gt;Tom \u0026amp; Ada","modalTitleColor":"#111111","modalBackgroundColor":"#eeeeee",` +
		`"logo":"https://login.example/assets/images/logo.png","captchaRequired":false,"socialLoginProviders":["GOOGLE"],"phoneChannels":["SMS","WHATSAPP"],` +
		`"additionalFields":[{"label":"Your company","name":"company","type":"text"},{"label":"Born","name":"born","type":"date"}],` +
		`"afterLoginURL":"/members","afterLogoutURL":"/"},` +
		`"siteCustomization":{"accessDeniedPage":"/denied","protectedPages":[{"path":"/members","matcher":"start"},{"path":"/account","matcher":"equal"}]}}}`
	if r.body != want {
		t.Errorf("got  %s\nwant %s", r.body, want)
	}
}

// A form says no more than what the project and the server do: a channel that the
// project has not, a captcha where there is no provider.
func TestProjectInformationSaysWhatIsThere(t *testing.T) {
	told := func(rule splitpin.CaptchaRule, provider bool, form splitpin.Form) string {
		s := newSite(t, func(a, _ *splitpin.Project) {
			a.Settings.Captcha = rule
			a.Settings.Phone = splitpin.PhoneSettings{Countries: []string{"DE"}}
			a.Settings.Site.Forms = map[string]splitpin.Form{"f": form}
		})
		if provider {
			s.pages.Captcha = &web.Captcha{}
		}
		f := at(t, s.do(ask{method: "GET", path: "/api/v0/company/info/" + idA}).object(t), "customization.f")
		return fmt.Sprint(at(t, f.(map[string]any), "captchaRequired"), at(t, f.(map[string]any), "phoneChannels"))
	}
	phone, both := splitpin.Form{Kind: splitpin.Phone}, splitpin.Form{Kind: splitpin.Phone, Channels: []splitpin.Channel{splitpin.WhatsAppChannel, splitpin.SMSChannel}}
	for _, test := range []struct {
		rule     splitpin.CaptchaRule
		provider bool
		form     splitpin.Form
		want     string
	}{
		{splitpin.CaptchaAlways, true, splitpin.Form{}, "true []"},
		{splitpin.CaptchaAlways, false, splitpin.Form{}, "false []"},
		{splitpin.CaptchaPhone, true, splitpin.Form{}, "false []"},
		{splitpin.CaptchaPhone, true, phone, "true [SMS]"},
		{splitpin.CaptchaEscalation, true, phone, "false [SMS]"},
		{splitpin.CaptchaNever, true, both, "false [SMS]"},
	} {
		if got := told(test.rule, test.provider, test.form); got != test.want {
			t.Errorf("rule %q, provider %v, %+v: got %s, want %s", test.rule, test.provider, test.form, got, test.want)
		}
	}
}

// Who may sign in by any form may see the protected pages: the loader does not say
// by which somebody came.
func TestScreeningOfASite(t *testing.T) {
	s := newSite(t, func(a, b *splitpin.Project) {
		a.Settings.Forms = map[string]splitpin.AllowList{"": {Identifiers: []string{"eve@example.org"}}, "team": {Domains: []string{"staff.example"}}}
	})
	for identifier, passed := range map[string]bool{
		"eve@example.org": true, "BOB@staff.example": true, "mallory@example.org": false, "": false, "@": false,
	} {
		got := s.do(ask{method: "GET", path: "/screening/site?identifier=" + identifier, key: idA}).object(t)
		if at(t, got, "passed") != passed {
			t.Errorf("%q: got %v, want passed %v", identifier, got, passed)
		}
	}
	if got := s.do(ask{method: "GET", path: "/screening/site?identifier=mallory@example.org", key: idB}).object(t); at(t, got, "passed") != true {
		t.Errorf("a project without a list: got %v, want passed", got)
	}
	for range 100 {
		s.do(ask{method: "GET", path: "/screening/site?identifier=a@example.org", key: idA, addr: "198.51.100.9"})
	}
	r := s.do(ask{method: "GET", path: "/screening/site?identifier=a@example.org", key: idA, addr: "198.51.100.9"})
	if r.status != 429 || at(t, decode[map[string]any](t, r.body), "passed") != false {
		t.Errorf("the 101st question of one network: got %d %s, want 429 and not passed", r.status, r.body)
	}
}

func TestScreening(t *testing.T) {
	lists := func(a, b *splitpin.Project) {
		a.Settings.Forms = map[string]splitpin.AllowList{"team": {Identifiers: []string{"ada@example.org"}, Domains: []string{"staff.example"}}}
		b.Settings.Forms = map[string]splitpin.AllowList{"": {Domains: []string{"b.example"}}}
	}
	tests := []struct {
		name, base, query, key string
		passed                 bool
	}{
		{name: "on the list", query: "identifier=ada@example.org&form-id=team", key: idA, passed: true},
		{name: "in other letters", query: "identifier=ADA@Example.org&form-id=team", key: idA, passed: true},
		{name: "of the domain", query: "identifier=bob%40staff.example&form-id=team", key: idA, passed: true},
		{name: "not on the list", query: "identifier=bob@example.org&form-id=team", key: idA},
		{name: "a form without a list, where others have one", query: "identifier=bob@example.org&form-id=open", key: idA},
		{name: "no form, where others have a list", query: "identifier=bob@example.org", key: idA},
		{name: "no form, and on a list", query: "identifier=ada@example.org", key: idA, passed: true},
		{name: "no address", query: "identifier=@&form-id=open", key: idA},
		{name: "another project at the root", query: "identifier=bob@example.org", key: idB},
		{name: "another project's list", query: "identifier=bob@b.example", key: idB, passed: true},
		{name: "below the project", base: "/p/" + idB, query: "identifier=bob@b.example", passed: true},
	}
	s := newSite(t, lists)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := s.do(ask{method: "GET", path: test.base + "/screening/form?" + test.query, key: test.key}).object(t)
			if at(t, got, "passed") != test.passed {
				t.Errorf("got %v, want passed %v", got, test.passed)
			}
			if !test.passed && text(t, got, "message") == "" {
				t.Error("a refusal says nothing to the person")
			}
		})
	}
	t.Run("unknown project", func(t *testing.T) {
		r := s.do(ask{method: "GET", path: "/screening/form?identifier=x", key: "nobody"})
		got := decode[map[string]any](t, r.body)
		if r.status != 401 || at(t, got, "passed") != false || text(t, got, "message") == "" || text(t, got, "msg") == "" {
			t.Errorf("got %d: %s", r.status, r.body)
		}
	})
}

func TestWorkerVerify(t *testing.T) {
	s := newSite(t)
	collected := s.signIn("ada@example.org")
	access, id := text(t, collected, "oauth_token.access_token"), text(t, collected, "oauth_token.id_token")
	tests := []struct {
		name  string
		base  string
		key   string
		body  string
		media string
		wait  time.Duration
		want  bool
	}{
		{name: "object", body: `{"oauth_token":{"access_token":"` + access + `"}}`, want: true},
		{name: "whole token set", body: `{"oauth_token":{"access_token":"` + access + `","id_token":"x"},"email":"ada@example.org"}`, want: true},
		{name: "bare text", body: `{"oauth_token":"` + access + `"}`, want: true},
		{name: "as fetch sends text", body: `{"oauth_token":"` + access + `"}`, media: "text/plain;charset=UTF-8", want: true},
		{name: "with the project", body: `{"oauth_token":"` + access + `"}`, key: idA, want: true},
		{name: "below the project", base: "/p/" + idA, body: `{"oauth_token":"` + access + `"}`, want: true},
		{name: "with another project", body: `{"oauth_token":"` + access + `"}`, key: idB},
		{name: "with a project that is not there", body: `{"oauth_token":"` + access + `"}`, key: "nobody"},
		{name: "below another project", base: "/p/" + idB, body: `{"oauth_token":"` + access + `"}`},
		{name: "base and header disagree", base: "/p/" + idA, key: idB, body: `{"oauth_token":"` + access + `"}`},
		{name: "an id token", body: `{"oauth_token":"` + id + `"}`},
		{name: "altered", body: `{"oauth_token":"` + access[:len(access)-8] + "AAAAAAAA" + `"}`},
		{name: "no token", body: `{}`},
		{name: "null", body: `{"oauth_token":null}`},
		{name: "a number", body: `{"oauth_token":7}`},
		{name: "no JSON", body: `token`},
		{name: "nothing", body: ``},
		{name: "too large", body: `{"oauth_token":"` + strings.Repeat("a", 70<<10) + `"}`},
		{name: "expired", body: `{"oauth_token":"` + access + `"}`, wait: time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.wait(test.wait)
			r := s.do(ask{method: "POST", path: test.base + "/verify", key: test.key, body: test.body, media: test.media})
			want := `{"success":false,"reason":"Error: Invalid JWT token"}`
			if test.want {
				want = `{"success":true}`
			}
			if r.object(t); r.body != want {
				t.Errorf("got %s, want %s", r.body, want)
			}
			s.wait(-test.wait)
		})
	}
}

// The whole way of a page, over TLS and with a browser's cookie jar: the cookie
// comes back at the refresh and nowhere else.
func TestOverHTTP(t *testing.T) {
	for _, base := range []string{"", "/p/" + idA} {
		t.Run("base "+base, func(t *testing.T) {
			s := newSite(t)
			sent := map[string]bool{}
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := r.Cookie("__Secure-rft")
				sent[r.URL.Path] = err == nil
				s.mux.ServeHTTP(w, r)
			}))
			defer server.Close()
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			client := server.Client()
			client.Jar = jar
			send := func(method, path, body string) (int, map[string]any) {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), method, server.URL+base+path, bytes.NewBufferString(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("API_KEY_ID", idA)
				r.Header.Set("Origin", shop)
				r.Header.Set("Content-Type", "application/json")
				got, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer got.Body.Close()
				b, err := io.ReadAll(got.Body)
				if err != nil {
					t.Fatal(err)
				}
				return got.StatusCode, decode[map[string]any](t, string(b))
			}
			p := s.prove(s.a, "ada@example.org", "", shop)
			status, got := send("POST", "/api/v0/verify/get_identity?oauth_token=true",
				fmt.Sprintf(`{"code_verifier":%q,"authorization_code":%q,"challenge_id":%d,"redirect_url":%q}`, verifier, p.code, p.challengeID, shop))
			if status != 200 {
				t.Fatalf("get_identity: got %d: %v", status, got)
			}
			first := text(t, got, "oauth_token.refresh_token")
			status, got = send("POST", "/api/v0/token/"+idA, `{"grant_type":"refresh_token"}`)
			if status != 200 || text(t, got, "refresh_token") == first {
				t.Fatalf("refresh by cookie: got %d: %v", status, got)
			}
			last := text(t, got, "refresh_token")
			send("GET", "/api/v0/user?identifier=ada@example.org", "")
			if status, _ = send("DELETE", "/api/v0/token/"+idA, ""); status != 200 {
				t.Fatalf("logout: got %d", status)
			}
			status, got = send("POST", "/api/v0/token/"+idA, `{"grant_type":"refresh_token"}`)
			if status != 400 || text(t, got, "msg") != "Refresh token is not valid" {
				t.Errorf("refresh after logout: got %d: %v", status, got)
			}
			status, _ = send("POST", "/api/v0/token/"+idA, refreshBody(last))
			if status != 400 {
				t.Errorf("the token of the session that ended: got %d, want 400", status)
			}
			if sent[base+"/api/v0/user"] || sent[base+"/api/v0/verify/get_identity"] {
				t.Errorf("the cookie travels further than the refresh: %v", sent)
			}
		})
	}
}
