package server

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/web"
)

// inPage is what a form was told, as far as these tests look.
type inPage struct {
	Challenge, State, RedirectURL, FormID, UserID, Kind, Method, Input string
	LinkReturns, DirectLogin, Captcha                                  bool
}

const someUser = "0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11"

var configElement = regexp.MustCompile(`<script type="application/json" id="config">(.*?)</script>`)

func (h *house) form(path string, header map[string]string) (inPage, string) {
	h.t.Helper()
	w := h.do(ask{method: "GET", path: path, header: header})
	m := configElement.FindStringSubmatch(w.Body.String())
	if w.Code != 200 || m == nil {
		h.t.Fatalf("%s: got %d, want a form", path, w.Code)
	}
	var in inPage
	if err := json.Unmarshal([]byte(m[1]), &in); err != nil {
		h.t.Fatal(err)
	}
	return in, w.Header().Get("Content-Security-Policy")
}

// The addresses of the form for links, as the web SDK writes them (contract 12.2): its
// redirect_url is encoded twice, and so is the id of the form.
func TestLoginPage(t *testing.T) {
	h := newHouse(t)
	framed := map[string]string{"Sec-Fetch-Dest": "iframe"}
	const page = shop + "/cart?item=5&a%20b=c"
	twice := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%", "%25") }
	path := "/login?auth_method=MAGIC_LINK&code_challenge=" + challenge() + "&type=EMAIL&domain=" + shop + "&api_key=" + h.first.ID +
		"&redirect_url=" + twice(page) + "&state=s&id=abc&redirect_link=true&cotter_user_id=" + someUser + "&form_id=" + twice("a&b")
	in, policy := h.form(path, framed)
	want := inPage{Challenge: challenge(), State: "s", RedirectURL: page, FormID: "a&b", UserID: someUser, Kind: "email", Method: "email_link", LinkReturns: true}
	if in != want {
		t.Errorf("the form was told %+v, want %+v", in, want)
	}
	if !strings.Contains(policy, "frame-ancestors "+shop+";") || strings.Contains(policy, "frame-src") {
		t.Errorf("the policy is %s", policy)
	}

	// SDKs before the parameter: a page of ours, not the site's.
	if in, _ = h.form(strings.Replace(path, "&redirect_link=true", "", 1), framed); in.LinkReturns {
		t.Error("without redirect_link the link returns to the site")
	}
	for name, test := range map[string]struct {
		path   string
		status int
	}{
		"encoded once":               {strings.Replace(path, twice(page), url.QueryEscape(shop+"/cart"), 1), 200},
		"leads elsewhere":            {strings.Replace(path, twice(page), twice("https://evil.example/"), 1), 403},
		"leads to a script":          {strings.Replace(path, twice(page), twice("javascript:alert(1)"), 1), 403},
		"in the frame of a stranger": {strings.Replace(path, "domain="+shop, "domain=https://evil.example", 1), 403},
		"the other form's parameter": {strings.Replace(path, "code_challenge=", "challenge=", 1), 400},
		"of a user who is no user":   {strings.Replace(path, someUser, "ada", 1), 400},
		"of an undefined user":       {strings.Replace(path, someUser, "undefined", 1), 200},
		"without a type":             {strings.Replace(path, "type=EMAIL", "type=", 1), 200},
		"of an undefined type":       {strings.Replace(path, "type=EMAIL", "type=undefined", 1), 200},
		"of a type that is none":     {strings.Replace(path, "type=EMAIL", "type=FAX", 1), 400},
		"of a type without a sender": {strings.Replace(path, "type=EMAIL", "type=PHONE", 1), 400},
	} {
		if w := h.do(ask{method: "GET", path: test.path, header: framed}); w.Code != test.status {
			t.Errorf("%s: got %d, want %d", name, w.Code, test.status)
		}
	}
}

// A project that names its return pages is returned to there alone, whichever page or call
// asks. Who may frame a form, and call, is as before.
func TestReturnPages(t *testing.T) {
	h := newHouse(t)
	h.change(func(s *splitpin.Settings) { s.ReturnPages = []string{shop + "/login", "shopapp://auth"} })
	const listed, out = shop + "/login?plan=gold", shop + "/out?to=https://evil.example"
	framed := map[string]string{"Sec-Fetch-Dest": "iframe"}
	q := url.QueryEscape
	frame := "&domain=" + shop + "&api_key=" + h.first.ID + "&type=EMAIL&state=s&id=abc&redirect_url="
	alone := "&type=EMAIL&state=s&redirect_url="
	for _, test := range []struct {
		name, path string
		header     map[string]string
		to, other  string
	}{
		{"/signup", "/signup?challenge=" + challenge() + frame, framed, q(listed), q(out)},
		{"/login", "/login?auth_method=MAGIC_LINK&redirect_link=true&code_challenge=" + challenge() + frame, framed, q(q(listed)), q(q(out))},
		{"/app", "/app?api_key=" + h.first.ID + "&code_challenge=" + challenge() + alone, nil, "shopapp://auth?x=1", "shopapp://elsewhere"},
		{"/signin", "/signin?project=" + h.first.ID + "&code_challenge=" + challenge() + alone, nil, q(listed), q(out)},
	} {
		h.form(test.path+test.to, test.header)
		w := h.do(ask{method: "GET", path: test.path + test.other, header: test.header})
		if body := w.Body.String(); w.Code != 403 || !strings.Contains(body, "--add-return-page URL") || strings.Contains(body, "evil") {
			t.Errorf("%s to a page that is none: got %d, %s", test.name, w.Code, body)
		}
	}
	// A form that names no page gives the code to the one that frames it.
	if _, policy := h.form("/signup?challenge="+challenge()+frame+"undefined", framed); !strings.Contains(policy, "frame-ancestors "+shop+";") {
		t.Errorf("who may frame the form: %s", policy)
	}
	if w := h.do(ask{method: "GET", path: "/social/github?project=" + h.first.ID + "&code_challenge=" + challenge() + alone + q(out)}); w.Code != 403 {
		t.Errorf("by a provider: got %d, want 403", w.Code)
	}
	for to, status := range map[string]int{listed: 201, out: 403, shop + "/out/../login": 403} {
		w := h.do(ask{method: "POST", path: "/v1/attempts", header: map[string]string{"Origin": shop}, body: api.StartRequest{Method: "email_code", Identifier: "ada@example.org",
			CodeChallenge: challenge(), RedirectURL: to}})
		if w.Code != status || w.Header().Get("Access-Control-Allow-Origin") != shop {
			t.Errorf("/v1 to %s: got %d, want %d (%s)", to, w.Code, status, w.Body)
		}
		if status == 403 {
			h.refused(w, 403, "redirect_not_allowed")
		}
	}
}

// What apps ask of /app (contract 12.6).
func TestAppPageParameters(t *testing.T) {
	h := newHouse(t)
	base := "/app?api_key=" + h.first.ID + "&code_challenge=" + challenge() + "&state=s&redirect_url=shopapp://auth"
	for name, test := range map[string]struct {
		query string
		want  inPage
	}{
		"Flutter":                    {"&type=EMAIL&direct_login=true&input=ada@example.org&use_channel=null", inPage{Input: "ada@example.org", DirectLogin: true}},
		"iOS":                        {"&type=EMAIL&direct_login=false&input=a%2Bb@example.org&identifier_field=email", inPage{Input: "a+b@example.org"}},
		"RN, a link":                 {"&type=EMAIL&auth_method=MAGIC_LINK&direct_login=TRUE", inPage{Method: "email_link"}},
		"Python, without a type":     {"", inPage{}},
		"with a user":                {"&cotter_user_id=" + someUser, inPage{UserID: someUser}},
		"channels that are nobody's": {"&phone_channels[]=SMS&phone_channels[]=PIGEON", inPage{}},
	} {
		test.want.Challenge, test.want.State, test.want.RedirectURL = challenge(), "s", "shopapp://auth"
		test.want.Kind, test.want.Method = "email", cmp.Or(test.want.Method, "email_code")
		if in, _ := h.form(base+test.query, nil); in != test.want {
			t.Errorf("%s: the form was told %+v, want %+v", name, in, test.want)
		}
	}
}

// The captcha's page is there where one is configured and the project asks for it. It
// alone opens for the provider, for the sites that may frame the form and nobody else.
func TestCaptchaPage(t *testing.T) {
	h := newHouse(t)
	page := "/captcha?project=" + h.first.ID
	form := "/signin?project=" + h.first.ID + "&code_challenge=" + challenge() + "&redirect_url=" + shop + "/cb"
	if w := h.do(ask{method: "GET", path: page}); w.Code != 404 {
		t.Errorf("without a provider: got %d, want 404", w.Code)
	}
	h.server.pages.Captcha = &web.Captcha{Script: "https://provider.example/api.js", Hosts: "https://provider.example", Object: "provider", SiteKey: "site"}
	if w := h.do(ask{method: "GET", path: page}); w.Code != 404 {
		t.Errorf("of a project that asks for none: got %d, want 404", w.Code)
	}
	if in, policy := h.form(form, nil); in.Captcha || strings.Contains(policy, "frame-src") {
		t.Errorf("the form of a project that asks for none: %+v, %s", in, policy)
	}

	h.change(func(s *splitpin.Settings) { s.Captcha = splitpin.CaptchaAlways })
	w := h.do(ask{method: "GET", path: page})
	policy := w.Header().Get("Content-Security-Policy")
	if w.Code != 200 || !strings.Contains(policy, "frame-ancestors 'self' "+shop) || !strings.Contains(policy, "script-src 'self' https://provider.example;") ||
		!strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "shopapp") {
		t.Errorf("the captcha's page: got %d with %s", w.Code, policy)
	}
	in, policy := h.form(form, nil)
	if !in.Captcha || strings.Contains(policy, "provider") || !strings.Contains(policy, "frame-src 'self'") || !strings.Contains(policy, "script-src 'self';") {
		t.Errorf("the form: %+v, %s", in, policy)
	}
}
