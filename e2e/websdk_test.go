package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The published web SDK, unmodified, on a customer page of another origin.

func TestWebSDKSignsIn(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	payload := page.signInThroughForm(p, "ada@example.org")
	checkPayload(t, p, payload, "ada@example.org")

	if got := eval[string](page, "cotter.getLoggedInUser().identifier"); got != "ada@example.org" {
		t.Errorf("getLoggedInUser().identifier: got %q, want ada@example.org", got)
	}
	for _, line := range b.requests(p.url) {
		if _, path, _ := strings.Cut(line, " "); strings.HasPrefix(path, "/api/v0/") {
			t.Errorf("%s went to the root's API: it serves the default project only", line)
		}
	}
}

// Every field that the strictest client, iOS, needs, with its type: contract
// 2.1, 2.2 and 2.3.
func checkPayload(t *testing.T, p *project, payload json.RawMessage, address string) {
	t.Helper()
	top := decode[map[string]any](t, payload)
	if got := keys(top); !slices.Equal(got, []string{"email", "oauth_token", "token", "user"}) {
		t.Errorf("keys of the payload: got %v", got)
	}
	if top["email"] != address {
		t.Errorf("email: got %v, want %s", top["email"], address)
	}

	user, tokens, identity := object(t, top, "user"), object(t, top, "oauth_token"), object(t, top, "token")
	text(t, user, "user", map[string]string{
		"ID": `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, "created_at": when, "updated_at": when, "update_at": when,
		"issuer": exactly(p.id), "client_user_id": `.`, "identifier": exactly(address),
	})
	if user["update_at"] != user["updated_at"] {
		t.Errorf("user.update_at %v is not updated_at %v", user["update_at"], user["updated_at"])
	}
	if _, ok := user["enrolled"].([]any); !ok {
		t.Errorf("user.enrolled: got %v, want an array", user["enrolled"])
	}
	for _, name := range []string{"deleted_at", "default_method", "identifiers"} {
		if _, ok := user[name]; !ok {
			t.Errorf("user.%s is missing", name)
		}
	}

	jws := `^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}$`
	text(t, tokens, "oauth_token", map[string]string{
		"access_token": jws, "id_token": jws, "refresh_token": `^[0-9]+:[A-Za-z0-9_-]{43,}$`, "token_type": "^Bearer$", "auth_method": "^OTP$",
	})
	if tokens["expires_in"] != float64(3600) {
		t.Errorf("oauth_token.expires_in: got %v, want 3600", tokens["expires_in"])
	}
	text(t, identity, "token", map[string]string{
		"identifier_id": `.`, "identifier": exactly(address), "identifier_type": "^EMAIL$", "receiver": exactly(p.id),
		"timestamp": `^[0-9]+$`, "expire_at": `^[0-9]+$`, "signature": `^[A-Za-z0-9+/]{86}==$`,
	})

	access := claims(t, tokens["access_token"].(string))
	text(t, access, "access token", map[string]string{
		"sub": exactly(user["ID"].(string)), "client_user_id": exactly(user["client_user_id"].(string)), "authentication_method": "^OTP$",
		"identifier": exactly(address), "type": "^client_access_token$", "scope": "^access$", "aud": exactly(p.id), "iss": exactly(p.issuer()), "jti": `.`,
	})
	id := claims(t, tokens["id_token"].(string))
	text(t, id, "id token", map[string]string{
		"sub": exactly(user["ID"].(string)), "client_user_id": `.`, "identifier": exactly(address), "auth_time": `^[0-9]{10}$`,
		"type": "^client_id_token$", "aud": exactly(p.id), "iss": exactly(p.issuer()), "jti": `.`,
	})
	for name, set := range map[string]map[string]any{"access token": access, "id token": id} {
		iat, ok1 := set["iat"].(float64)
		exp, ok2 := set["exp"].(float64)
		if !ok1 || !ok2 || iat != math.Trunc(iat) || exp != iat+3600 {
			t.Errorf("%s: iat %v and exp %v, want whole numbers an hour apart", name, set["iat"], set["exp"])
		}
	}
	for _, token := range []string{tokens["access_token"].(string), tokens["id_token"].(string)} {
		if middle := strings.Split(token, ".")[1]; strings.ContainsAny(middle, "-_") {
			t.Errorf("the payload of %s holds - or _, which the iOS SDK drops", token)
		}
	}
}

const when = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`

func exactly(s string) string { return "^" + regexp.QuoteMeta(s) + "$" }

// text checks fields that must be strings of a form.
func text(t *testing.T, o map[string]any, what string, want map[string]string) {
	t.Helper()
	for _, name := range keys(want) {
		got, ok := o[name].(string)
		if !ok || !regexp.MustCompile(want[name]).MatchString(got) {
			t.Errorf("%s.%s: got %#v, want text like %s", what, name, o[name], want[name])
		}
	}
}

func object(t *testing.T, o map[string]any, name string) map[string]any {
	t.Helper()
	inner, ok := o[name].(map[string]any)
	if !ok {
		t.Fatalf("%s: got %v, want an object", name, o[name])
	}
	return inner
}

func keys[V any](m map[string]V) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// The session outlives a reload, and three tabs that wake at once share it: the
// refresh token rotates under them, and nobody is logged out.
func TestWebSDKKeepsTheSession(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	first := object(t, decode[map[string]any](t, page.signInThroughForm(p, "ada@example.org")), "oauth_token")

	page.go_(c.page(p))
	token := eval[string](page, "token()")
	if token == "" || token == first["access_token"] {
		t.Fatalf("getAccessToken after a reload: got %q, want a new token", token)
	}
	if got := eval[string](page, `localStorage.getItem("rft")`); got == first["refresh_token"] {
		t.Error("the refresh token did not rotate")
	}

	tabs := []*tab{page, b.open(t, c.page(p)), b.open(t, c.page(p))}
	page.go_(c.page(p)) // so that none holds a token in memory
	for round := range 3 {
		// All three are told first and read afterwards, so that their requests
		// meet at the server.
		release := b.hold("POST", "/p/"+p.id+"/api/v0/token/"+p.id)
		for _, tab := range tabs {
			eval[any](tab, `void (cotter.tokenHandler.accessToken = undefined, window.waking = token())`)
		}
		until(t, deadlines.step, "all tabs have asked", func() bool {
			asked := 0
			for _, line := range b.requests(p.url) {
				if line == "POST /p/"+p.id+"/api/v0/token/"+p.id {
					asked++
				}
			}
			return asked >= 1+3*(round+1)
		})
		release()
		var wg sync.WaitGroup
		for i, tab := range tabs {
			wg.Go(func() {
				got, err := tryEval[string](tab, "waking")
				if err != nil || strings.Count(got, ".") != 2 {
					t.Errorf("round %d, tab %d: got %q, %v; want an access token", round, i, got, err)
				}
			})
		}
		wg.Wait()
	}

	eval[any](page, "cotter.logOut()")
	if got := eval[*string](page, `localStorage.getItem("rft")`); got != nil {
		t.Errorf("after logOut localStorage still holds %q", *got)
	}
	if got := eval[*string](page, "token()"); got != nil {
		t.Errorf("getAccessToken after logOut: got %q, want null", *got)
	}
	if got := eval[any](page, `localStorage.getItem("COTTER_USER")`); got != nil {
		t.Errorf("after logOut the stored user is %v", got)
	}
}

// The site's OnBegin says no: the form shows why, the promise stays pending, and
// the person can change the address.
func TestWebSDKOnBeginRefuses(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.signIn(p, `({identifier}) => identifier.startsWith("mallory") ? "Members only, sorry." : null`)
	form.giveAddress("mallory@example.org")
	form.awaitText("#address-error", "Members only, sorry.")
	if o := page.outcome(); o.State != "pending" {
		t.Errorf("the promise is %s, want pending", o.State)
	}
	if list := d.messages(t, "mallory@example.org"); len(list) > 0 {
		t.Errorf("a message was sent although the site refused: %+v", list)
	}
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	checkPayload(t, p, page.payload(), "ada@example.org")
}

func TestWebSDKWrongCodes(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.giveAddress("ada@example.org")
	code := d.code(t, "ada@example.org")
	for try := 1; try <= 4; try++ {
		form.giveCode(wrongCode(code, try))
		if left := 5 - try; left > 1 {
			form.awaitText("#code-error", says(t, "code.wrong.tries.other", "n", strconv.Itoa(left)))
		} else {
			form.awaitText("#code-error", says(t, "code.wrong.tries.one"))
		}
	}
	form.giveCode(wrongCode(code, 5))
	form.awaitText("#status-title", says(t, "tries.title"))
	if o := page.outcome(); o.State != "pending" {
		t.Errorf("the promise is %s, want pending: the person can start again", o.State)
	}

	// The way out leads to a new code, and that one signs in.
	form.click("#status-action")
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	checkPayload(t, p, page.payload(), "ada@example.org")
}

// The page sees that the code's time is over, and offers another.
func TestWebSDKExpiredCode(t *testing.T) {
	t.Parallel()
	clock := newClock(t)
	d, c, b := startDevWith(t, clock.binary, clock.env()), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.giveAddress("ada@example.org")
	form.awaitText("#code-screen", says(t, "code.expires"))
	d.code(t, "ada@example.org")
	clock.set(t, 11*time.Minute)
	form.passTime(11 * time.Minute)
	form.awaitText("#status-title", says(t, "expired.title"))
	form.click("#status-action")
	form.giveCode(d.code(t, "ada@example.org"))
	page.payload()
}

// The clock of the browser stands still: then it is the server that says so.
func TestWebSDKExpiredCodeOnTheServer(t *testing.T) {
	t.Parallel()
	clock := newClock(t)
	d, c, b := startDevWith(t, clock.binary, clock.env()), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.giveAddress("ada@example.org")
	code := d.code(t, "ada@example.org")
	clock.set(t, 11*time.Minute)
	form.giveCode(code)
	form.awaitText("#status-title", says(t, "over.title"))
	if o := page.outcome(); o.State != "pending" {
		t.Errorf("the promise is %s, want pending", o.State)
	}
	form.click("#status-action")
	form.giveAddress("ada@example.org")
	form.giveCode(d.code(t, "ada@example.org"))
	page.payload()
}

// A resend brings the same code, when its time has come.
func TestWebSDKResend(t *testing.T) {
	t.Parallel()
	clock := newClock(t)
	d, c, b := startDevWith(t, clock.binary, clock.env()), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.giveAddress("ada@example.org")
	first := d.code(t, "ada@example.org")
	form.await("the resend counts down", `document.querySelector("#code-resend").getAttribute("aria-disabled") === "true"`)
	form.click("#code-resend")
	if n := len(d.messages(t, "ada@example.org")); n != 1 {
		t.Errorf("%d messages before the countdown ended, want 1", n)
	}

	// Two minutes pass for the server and for the browser.
	clock.set(t, 2*time.Minute)
	form.passTime(2 * time.Minute)
	form.await("the countdown ends", `document.querySelector("#code-resend").getAttribute("aria-disabled") === "false"`)
	form.click("#code-resend")
	if second := d.code(t, "ada@example.org"); second != first {
		t.Errorf("the second message holds %s, want the code of the first, %s", second, first)
	}
	form.giveCode(first)
	page.payload()
}

// A page whose origin the project does not list gets an explanation and no form.
func TestWebSDKUnlistedOrigin(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", "https://shop.example")
	page := b.open(t, c.page(p))
	frame := page.signIn(p)
	frame.awaitText("main", "is not in the list of allowed URLs")
	frame.awaitText("main", c.URL)
	if eval[bool](frame, `document.querySelector("input, form, script[src]") !== null`) {
		t.Error("the explanation comes with a form or a script")
	}
}

// A page that frames the form and says it is a listed one is stopped by the
// browser: the policy names who may frame it.
func TestWebSDKFramedByAnother(t *testing.T) {
	t.Parallel()
	d, shop, thief, b := startDev(t), startCustomer(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", shop.URL)
	_, challenge := pkce()
	src := p.url + "/signup?" + url.Values{"challenge": {challenge}, "type": {"EMAIL"}, "domain": {shop.URL}, "api_key": {p.id},
		"redirect_url": {"undefined"}, "state": {"s"}, "id": {"x"}}.Encode()
	shows := func(page *tab) bool {
		eval[any](page, fmt.Sprintf(`new Promise(done => { const f = document.createElement("iframe"); f.src = %q; f.onload = () => done(); document.body.append(f) })`, src))
		// What the browser refuses to frame is there under its address, and empty.
		return eval[bool](page.frame(src), `document.querySelector("#address") !== null`)
	}
	if !shows(b.open(t, shop.page(p))) {
		t.Error("the listed page cannot frame the form") // or else the next check could not fail
	}
	if shows(startBrowser(t).open(t, thief.page(p))) {
		t.Error("another page can frame the form")
	}
}

// Clicking twice starts one attempt and sends one message.
func TestWebSDKDoubleClick(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.fill("#address", "ada@example.org")
	form.click("#address-submit", 2)
	form.giveCode(d.code(t, "ada@example.org"))
	page.payload()
	starts := 0
	for _, line := range b.requests(p.url) {
		if line == "POST /p/"+p.id+"/v1/attempts" {
			starts++
		}
	}
	if messages := len(d.messages(t, "ada@example.org")); starts != 1 || messages != 1 {
		t.Errorf("two clicks made %d attempts and %d messages, want one of each", starts, messages)
	}
}

// The code was right, and the site took too long to redeem it: the promise
// rejects with our answer as the SDK's users know it, and the form offers the way
// back.
func TestWebSDKRefusedGrant(t *testing.T) {
	t.Parallel()
	clock := newClock(t)
	d, c, b := startDevWith(t, clock.binary, clock.env()), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.giveAddress("ada@example.org")
	release := b.hold("POST", "/p/"+p.id+"/api/v0/verify/get_identity")
	defer release()
	form.giveCode(d.code(t, "ada@example.org"))
	form.awaitText("#status-title", says(t, "finishing.title"))
	clock.set(t, 11*time.Minute)
	release()
	page.await("the promise is settled", `outcome.state !== "pending"`)
	o := page.outcome()
	if o.State != "rejected" {
		t.Fatalf("the promise is %s, want rejected", o.State)
	}
	refusal := decode[map[string]any](t, []byte(o.Error)) // the Response's data
	if said, _ := refusal["msg"].(string); said == "" || refusal["type"] != "" {
		t.Errorf("rejected with %s, want msg and an empty type", o.Error)
	}
	form.awaitText("#status-title", says(t, "unfinished.title"))
	form.click("#status-action")
	form.awaitText("#address-screen", says(t, "address.code"))
}

// A server that is broken for a while, and a session that ended (contract 7.1 and 17.1): a
// code that could not be redeemed is told to the site and to the form, a refresh that met
// a 500 is tried again, and one that was told "not valid" is not.
func TestWebSDKServerFails(t *testing.T) {
	t.Parallel()
	d, c, b := startDev(t), startCustomer(t), startBrowser(t)
	p := d.createProject(t, "Shop", c.URL)
	broken := func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{"Origin": c.URL, "Credentials": "true", "Headers": "api_key_id, content-type", "Methods": "POST"} {
			w.Header().Set("Access-Control-Allow-"+name, value)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `{"msg":"Something broke.","type":""}`)
	}
	asked := func(path string) int {
		n := 0
		for _, line := range b.requests(p.url) {
			if line == "POST "+path {
				n++
			}
		}
		return n
	}
	page := b.open(t, c.page(p))
	form := page.signIn(p)
	form.giveAddress("ada@example.org")
	redeem, refresh := "/p/"+p.id+"/api/v0/verify/get_identity", "/p/"+p.id+"/api/v0/token/"+p.id
	b.spoil("POST", redeem, broken)
	form.giveCode(d.code(t, "ada@example.org"))
	page.await("the promise is settled", `outcome.state !== "pending"`)
	if o := page.outcome(); o.State != "rejected" || !strings.Contains(o.Error, "Something broke.") {
		t.Errorf("get_identity met a 500: the promise is %s with %s, want it rejected with the answer", o.State, o.Error)
	}
	form.awaitText("#status-title", says(t, "unfinished.title"))
	b.spoil("POST", redeem, nil)

	page.go_(c.page(p))
	page.signInThroughForm(p, "ada@example.org")
	page.go_(c.page(p))
	b.spoil("POST", refresh, broken)
	if got := eval[*string](page, "token()"); got != nil {
		t.Errorf("getAccessToken while the server is broken: got %q, want null", *got)
	}
	b.spoil("POST", refresh, nil)
	if got := eval[string](page, "token()"); strings.Count(got, ".") != 2 {
		t.Errorf("getAccessToken after it was mended: got %q, want a token", got)
	}

	page.go_(c.page(p))
	eval[any](page, `void localStorage.setItem("rft", "27805:"+"A".repeat(43))`)
	before := asked(refresh)
	for range 2 {
		if got := eval[*string](page, "token()"); got != nil {
			t.Errorf("getAccessToken with a token that is not valid: got %q, want null", *got)
		}
	}
	if n := asked(refresh) - before; n != 1 {
		t.Errorf("the SDK asked %d times, want once: it was told that the token is not valid", n)
	}
}
