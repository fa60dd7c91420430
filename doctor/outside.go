package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/token"
)

// An Outside looks at a server by its public URL, over the path that people take.
type Outside struct {
	URL     *url.URL       // the public URL, canonical
	Proxies []netip.Prefix // trusted_proxies
	Version string         // of this program
	Unnamed bool           // Version names no release or revision, so others have the same
	Clock   func() time.Time

	AnyOrigin bool // insecure_any_origin

	// Projects, KeySet and Pass are of the data behind the server. Without them what
	// needs them is left out.
	Projects []*splitpin.Project
	// KeySet returns the key set that the database holds for a project.
	KeySet func(*splitpin.Project) ([]byte, error)
	// Pass returns a new pass for the server, and its nonce: see NewPass.
	Pass func() (pass splitpin.Secret, nonce string, err error)

	// Connect is where Dial connects to instead of the host of URL, for the findings to
	// say so; empty: to that host.
	Connect string

	// Dial opens connections; nil: a plain dialer.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	RootCAs *x509.CertPool // nil: this machine's
	Timeout time.Duration  // for each request; zero: 10 seconds

	client *http.Client
}

// maxProjects is how many projects are looked at one by one: each costs ten
// requests.
const maxProjects = 10

// unlisted is an origin that no project lists, and a host that is nobody's.
const unlisted = "splitpin-doctor.invalid"

// forgedClient is an address for documentation (RFC 5737): nobody has it.
var forgedClient = netip.MustParseAddr("203.0.113.77")

// An exchange is one request with its answer, read to its end.
type exchange struct {
	status int
	header http.Header
	body   []byte
	tls    *tls.ConnectionState
	local  string // our end of the connection
	sent   time.Time
	took   time.Duration
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// A request is what ask sends. Zero fields leave out what they stand for.
type request struct {
	method string // empty: GET
	path   string
	header map[string]string
	host   string
	body   []byte
	plain  bool // over plain HTTP, to port 80
}

// Check looks at everything from outside. What depends on something that is
// broken is left out.
func (o *Outside) Check(ctx context.Context, r *Report) {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	transport := &http.Transport{
		DialContext: o.Dial, DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
	}
	defer transport.CloseIdleConnections()
	o.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	r.doing("asking %s", o.URL)
	health, err := o.ask(ctx, request{path: "/healthz"})
	if err != nil {
		reach(r, o.URL, o.Connect, err)
		return
	}
	if health.status >= 300 && health.status < 400 {
		r.problem("redirect", "", fmt.Sprintf("%s leads on to %s", o.URL, short(health.header.Get("Location"))),
			"Set public_url to the address where people end up, or take the redirect out of the proxy.")
		return
	}
	if health.status != http.StatusOK || string(health.body) != "ok\n" {
		r.problem("reach", "", fmt.Sprintf("/healthz answers %d, and not as Splitpin does", health.status),
			"See that the server runs, and that the proxy sends every path of this host to it.")
		return
	}
	r.ok("redirect", "", "the public URL leads nowhere else")
	r.ok("reach", "", fmt.Sprintf("/healthz answers within %s", health.took.Round(time.Millisecond)))
	if o.URL.Scheme == "https" {
		certificate(r, o.Clock(), health.tls)
		o.oldTLS(ctx, r)
		hsts(r, health.header)
		o.plainHTTP(ctx, r)
	}
	if ready, ok := o.get(ctx, r, "ready", "/readyz"); ok {
		if ready.status == http.StatusOK {
			r.ok("ready", "", "/readyz says that the server takes requests")
		} else {
			r.problem("ready", "", fmt.Sprintf("/readyz answers %d", ready.status),
				"Read the server's log: it drains, lacks the master key, or its database does not answer.")
		}
	}
	if !o.hosted(ctx, r) {
		return
	}
	if inbox, ok := o.get(ctx, r, "development", "/inbox"); ok {
		if inbox.status == http.StatusNotFound {
			r.ok("development", "", "there is no development inbox")
		} else {
			r.problem("development", "", fmt.Sprintf("/inbox answers %d", inbox.status),
				"This is 'splitpin dev', or the proxy answers for it: serve people with 'splitpin serve'.")
		}
	}
	if metrics, ok := o.get(ctx, r, "metrics", "/metrics"); ok {
		if metrics.status == http.StatusOK {
			r.problem("metrics", "", "/metrics answers to everybody", "Take /metrics out of the proxy, or bind it to an address that strangers do not reach.")
		} else {
			r.ok("metrics", "", "strangers see no metrics")
		}
	}
	o.views(ctx, r)
	o.unknownHost(ctx, r)
	for i, p := range o.Projects {
		if i == maxProjects {
			break
		}
		r.doing("looking at project %s", p.ID)
		o.keySet(ctx, r, p)
		o.origins(ctx, r, p)
	}
}

// ask sends one request and reads the answer.
func (o *Outside) ask(ctx context.Context, q request) (*exchange, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	e := &exchange{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) { e.local = c.Conn.LocalAddr().String() },
	})
	target := *o.URL
	if q.plain {
		target.Scheme, target.Host = "http", o.URL.Hostname()
	}
	if q.method == "" {
		q.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target.String()+q.path, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	if q.host != "" {
		req.Host = q.host
	}
	req.Header.Set("User-Agent", "splitpin-doctor")
	for name, value := range q.header {
		req.Header[name] = []string{value} // API_KEY_ID as it is: Set would not alter it, and nothing else does
	}
	e.sent = o.Clock()
	started := time.Now()
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	e.status, e.header, e.tls = resp.StatusCode, resp.Header, resp.TLS
	e.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	e.took = time.Since(started)
	return e, err
}

// get asks for a page. Where no answer comes, it says so under code.
func (o *Outside) get(ctx context.Context, r *Report, code, path string) (*exchange, bool) {
	e, err := o.ask(ctx, request{path: path, header: map[string]string{"Accept": "text/html"}})
	if err != nil {
		r.unknown(code, "", path+" gave no answer: "+cause(err), "Run the command again; if it stays, read the proxy's log.")
	}
	return e, err == nil
}

// reach says why nothing answers under the public URL, or where connect leads.
func reach(r *Report, u *url.URL, connect string, err error) {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		dns     *net.DNSError
	)
	left := "Checks from outside were left out. "
	at, do := u.Host, "and public_url; if only this machine cannot reach it by its public name, name an address with --connect."
	if connect != "" {
		at, do = connect+" (--connect)", "and the address that --connect names."
	}
	switch {
	case errors.As(err, &name):
		r.problem("tls_certificate", "", "the certificate is not for "+u.Hostname(), left+"Give the proxy a certificate for the host of public_url.")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		r.problem("tls_certificate", "", "the certificate is not valid today: "+invalid.Detail, left+"Renew it, and see why it was not renewed by itself; check this machine's clock.")
	case errors.As(err, &unknown), errors.As(err, &invalid):
		r.problem("tls_certificate", "", "the certificate comes from an authority that this machine does not know, or a link of its chain is missing",
			left+"Let the proxy send the whole chain (fullchain.pem), from an authority that browsers know.")
	case errors.As(err, &dns):
		r.problem("reach", "", "the name "+u.Hostname()+" has no address here", left+"Check public_url and its DNS records.")
	case errors.Is(err, syscall.ECONNREFUSED):
		r.problem("reach", "", at+" refuses connections", left+"See whether the proxy runs, "+do)
	default:
		r.problem("reach", "", at+" gives no answer: "+cause(err), left+"Check the proxy, the firewall, "+do)
	}
}

// cause is the text of a network error without the URL in front of it.
func cause(err error) string {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long"
	}
	return short(err.Error())
}

// short makes a text from elsewhere fit to print: one line of printable ASCII, at
// most 200 bytes.
func short(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s[:min(len(s), 200)])
}

// certificate judges how long the certificate still lives. Certificates live from
// days to a year, so what counts is the share of its life that is left: whoever
// renews by themselves does it with a third or more to go.
func certificate(r *Report, now time.Time, state *tls.ConnectionState) {
	leaf := state.PeerCertificates[0]
	left, life := leaf.NotAfter.Sub(now), leaf.NotAfter.Sub(leaf.NotBefore)
	seen := fmt.Sprintf("the certificate is valid until %s, for %s", leaf.NotAfter.UTC().Format(time.DateOnly), days(left))
	switch {
	case left < life/10:
		r.problem("tls_certificate", "", seen, "Renew it now, and see why it was not renewed by itself.")
	case left < life/4:
		r.warning("tls_certificate", "", seen, "See that it is renewed by itself: it should have been by now.")
	default:
		r.ok("tls_certificate", "", seen)
	}
}

func days(d time.Duration) string {
	switch {
	case d < 0:
		return "none"
	case d < time.Hour:
		return "less than an hour"
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// oldTLS asks for a version of TLS that nobody should offer any more.
func (o *Outside) oldTLS(ctx context.Context, r *Report) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	raw, err := o.Dial(ctx, "tcp", withPort(o.URL))
	if err != nil {
		r.unknown("tls_versions", "", "a second connection failed: "+cause(err), "Run the command again.")
		return
	}
	defer raw.Close()
	// Whether the certificate is right was looked at before; nothing is sent here.
	c := tls.Client(raw, &tls.Config{ServerName: o.URL.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if c.HandshakeContext(ctx) == nil {
		r.warning("tls_versions", "", "the proxy still speaks "+tls.VersionName(c.ConnectionState().Version), "Allow TLS 1.2 and 1.3 only in the proxy (nginx: ssl_protocols TLSv1.2 TLSv1.3).")
		return
	}
	r.ok("tls_versions", "", "versions before TLS 1.2 are refused")
}

func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// hsts wants the header that keeps browsers on https, once, for half a year at
// least. The server sends it; a proxy can lose or double it.
func hsts(r *Report, h http.Header) {
	const do = "Let the proxy pass Strict-Transport-Security as the server sends it, and add none of its own."
	values := h.Values("Strict-Transport-Security")
	if len(values) != 1 {
		r.warning("hsts", "", fmt.Sprintf("Strict-Transport-Security is there %d times", len(values)), do)
		return
	}
	seconds := -1
	for directive := range strings.SplitSeq(values[0], ";") {
		if age, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(directive)), "max-age="); ok {
			if n, err := strconv.Atoi(strings.Trim(age, `"`)); err == nil {
				seconds = n
			}
		}
	}
	if seconds < 180*24*3600 {
		r.warning("hsts", "", "Strict-Transport-Security is "+short(values[0])+", which is shorter than half a year", do)
		return
	}
	r.ok("hsts", "", "browsers stay on https for "+days(time.Duration(seconds)*time.Second))
}

// plainHTTP wants nothing of ours to be served without TLS.
func (o *Outside) plainHTTP(ctx context.Context, r *Report) {
	e, err := o.ask(ctx, request{path: "/healthz", plain: true})
	switch {
	case err != nil:
		r.ok("plain_http", "", "nothing answers on port 80")
	case e.status == http.StatusOK && string(e.body) == "ok\n":
		r.problem("plain_http", "", "the server is reached over plain http as well", "Let port 80 of the proxy redirect to https and do nothing else.")
	default:
		r.ok("plain_http", "", fmt.Sprintf("port 80 answers %d and does not lead to the server", e.status))
	}
}

// pageHeaders looks at what a page of ours carries after the proxy had it.
func pageHeaders(r *Report, e *exchange) {
	const code, do = "page_headers", "Let the proxy pass the headers of the server and add none: pages carry a policy of their own, made for each project."
	policies := e.header.Values("Content-Security-Policy")
	var wrong []string
	switch {
	case e.status != http.StatusOK:
		wrong = append(wrong, fmt.Sprintf("the page at / answers %d", e.status))
	case len(policies) != 1:
		wrong = append(wrong, fmt.Sprintf("Content-Security-Policy is there %d times", len(policies)))
	default:
		for _, directive := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policies[0]+";", directive+";") {
				wrong = append(wrong, "Content-Security-Policy lacks "+directive)
			}
		}
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if got := e.header.Values(name); len(got) != 1 || got[0] != want {
			wrong = append(wrong, fmt.Sprintf("%s is %s, not %s", name, short(strings.Join(got, " and ")), want))
		}
	}
	if frame := e.header.Get("X-Frame-Options"); frame != "" {
		wrong = append(wrong, "X-Frame-Options is added, which keeps the form out of the sites that a project lists")
	}
	if len(wrong) > 0 {
		r.problem(code, "", strings.Join(sorted(wrong), "; "), do)
		return
	}
	r.ok(code, "", "pages keep their policy: no foreign scripts, no foreign frames, no sniffing, no referrer")
}

// keySet looks at the keys by which backends verify tokens, and at how long they
// may be kept: rotation counts with that.
func (o *Outside) keySet(ctx context.Context, r *Report, p *splitpin.Project) {
	path := "/p/" + url.PathEscape(p.ID) + "/v1/keys"
	want, err := o.KeySet(p)
	if err != nil {
		r.unknown("key_set", p.ID, "the keys in the database cannot be read: "+short(err.Error()), "See the findings about keys.")
		return
	}
	e, err := o.ask(ctx, request{path: path})
	if err != nil {
		r.unknown("key_set", p.ID, "the key set gave no answer: "+cause(err), "Run the command again; if it stays, read the proxy's log.")
		return
	}
	keySetContents(r, p, e, want)

	etag := e.header.Get("ETag")
	again, err := o.ask(ctx, request{path: path, header: map[string]string{"If-None-Match": etag}})
	if err != nil {
		r.unknown("key_set_cache", p.ID, "the key set gave no second answer: "+cause(err), "Run the command again.")
		return
	}
	keySetCache(r, p, e, again)
}

type publicKey struct {
	KeyType string `json:"kty"`
	Curve   string `json:"crv"`
	X       string `json:"x"`
	Y       string `json:"y"`
	KID     string `json:"kid"`
}

func keySetContents(r *Report, p *splitpin.Project, e *exchange, want []byte) {
	const do = "Find out who answers in the server's place: the proxy, an old cache, or another installation."
	var served, held struct {
		Keys []publicKey `json:"keys"`
	}
	if e.status != http.StatusOK || json.Unmarshal(e.body, &served) != nil || len(served.Keys) == 0 {
		r.problem("key_set", p.ID, fmt.Sprintf("the key set answers %d and holds no keys", e.status), do)
		return
	}
	_ = json.Unmarshal(want, &held) // ours
	var wrong []string
	constant := false
	for _, k := range served.Keys {
		if k.KeyType != "EC" || k.Curve != "P-256" {
			wrong = append(wrong, "it holds a key that is not P-256, which makes old clients fail")
		}
		if k.KID == token.CompatKID {
			constant = true
			if k.X != served.Keys[0].X || k.Y != served.Keys[0].Y {
				wrong = append(wrong, "the key under the constant kid is not the first one")
			}
		}
	}
	if !constant {
		wrong = append(wrong, "the constant kid that old clients look for is missing")
	}
	if len(held.Keys) > 0 && held.Keys[0] != served.Keys[0] {
		wrong = append(wrong, "its first key is not the one that signs")
	}
	if len(wrong) > 0 {
		r.problem("key_set", p.ID, strings.Join(wrong, "; "), do)
		return
	}
	r.ok("key_set", p.ID, fmt.Sprintf("%d keys, the signing key first and once more under the constant kid", len(served.Keys)))
}

func keySetCache(r *Report, p *splitpin.Project, first, again *exchange) {
	maxAge := "max-age=" + strconv.Itoa(int(token.KeySetMaxAge/time.Second))
	var wrong []string
	control := first.header.Values("Cache-Control")
	if len(control) != 1 || !strings.Contains(control[0], maxAge) {
		wrong = append(wrong, fmt.Sprintf("Cache-Control is %q, not %s", short(strings.Join(control, " and ")), maxAge))
	}
	if first.header.Get("ETag") == "" {
		wrong = append(wrong, "the ETag is missing")
	} else if again.status != http.StatusNotModified {
		wrong = append(wrong, fmt.Sprintf("a copy that is still good is sent again (%d)", again.status))
	}
	if age, err := strconv.Atoi(first.header.Get("Age")); err == nil && time.Duration(age)*time.Second > token.KeySetMaxAge {
		wrong = append(wrong, fmt.Sprintf("a cache serves a copy that is %d seconds old", age))
	}
	if origin := first.header.Values("Access-Control-Allow-Origin"); len(origin) != 1 || origin[0] != "*" {
		wrong = append(wrong, "pages of other sites may not read it")
	}
	if len(wrong) > 0 {
		r.problem("key_set_cache", p.ID, strings.Join(wrong, "; "),
			"Let the proxy pass Cache-Control, ETag and If-None-Match of the key set: a rotation counts on 300 seconds.")
		return
	}
	r.ok("key_set_cache", p.ID, "may be kept for 300 seconds and is asked for by its ETag")
}

// origins asks as a page of a listed site would, and as two that are not listed.
func (o *Outside) origins(ctx context.Context, r *Report, p *splitpin.Project) {
	listed := ""
	for _, entry := range p.Settings.Origins {
		if origin, ok := splitpin.ParseOrigin(entry); ok && splitpin.IsWeb(origin) {
			listed = origin
			break
		}
	}
	base := "/p/" + url.PathEscape(p.ID)
	preflight := func(origin string) (*exchange, error) {
		return o.ask(ctx, request{method: http.MethodOptions, path: base + "/v1/attempts",
			header: map[string]string{"Origin": origin, "Access-Control-Request-Method": http.MethodPost}})
	}
	var answers [3]*exchange
	for i, origin := range []string{listed, "https://" + unlisted, "null"} {
		if origin == "" {
			continue
		}
		var err error
		if answers[i], err = preflight(origin); err != nil {
			r.unknown("cors", p.ID, "a question about origins gave no answer: "+cause(err), "Run the command again.")
			return
		}
	}
	cors(r, p, o.AnyOrigin, listed, answers[0], answers[1], answers[2])
	if listed == "" {
		return // an app: it gets no cookie
	}
	e, err := o.ask(ctx, request{method: http.MethodDelete, path: base + "/api/v0/token/" + url.PathEscape(p.ID),
		header: map[string]string{"Origin": listed}})
	if err != nil {
		r.unknown("cookie", p.ID, "a log-out gave no answer: "+cause(err), "Run the command again.")
		return
	}
	cookie(r, p, base, e)
}

func cors(r *Report, p *splitpin.Project, anyOrigin bool, listed string, yes, no, null *exchange) {
	const do = "Take every CORS header out of the proxy: the server answers for each project."
	var wrong []string
	if yes != nil {
		allow, credentials := yes.header.Values("Access-Control-Allow-Origin"), yes.header.Values("Access-Control-Allow-Credentials")
		switch {
		case len(allow) != 1 || allow[0] != listed:
			wrong = append(wrong, fmt.Sprintf("the listed site %s is answered with Access-Control-Allow-Origin %q", listed, short(strings.Join(allow, " and "))))
		case len(credentials) != 1 || credentials[0] != "true":
			wrong = append(wrong, "the listed site "+listed+" may not send cookies")
		case !strings.Contains(strings.ToLower(strings.Join(yes.header.Values("Vary"), ",")), "origin"):
			wrong = append(wrong, "Vary does not name Origin, so a cache may give one site the answer for another")
		}
	}
	for _, e := range []struct {
		what   string
		answer *exchange
	}{{"a site that is not listed", no}, {"the origin null", null}} {
		allow := e.answer.header.Get("Access-Control-Allow-Origin")
		switch {
		case allow != "" && e.answer.header.Get("Access-Control-Allow-Credentials") != "":
			wrong = append(wrong, e.what+" may read answers, with cookies")
		case allow != "" && !(anyOrigin && p.ListsAny() && e.answer == no):
			wrong = append(wrong, e.what+" may read answers")
		}
	}
	if len(wrong) > 0 {
		r.problem("cors", p.ID, strings.Join(wrong, "; "), do)
		return
	}
	r.ok("cors", p.ID, "listed sites are let in, others and null are not")
}

// cookie looks at the flags of the refresh cookie. A log-out without a session
// shows them: it ends nothing, and sends the cookie empty and expired.
func cookie(r *Report, p *splitpin.Project, base string, e *exchange) {
	const do = "Let the proxy pass Set-Cookie untouched (no proxy_cookie_path, proxy_cookie_domain or proxy_cookie_flags)."
	var found *http.Cookie
	for _, c := range (&http.Response{Header: e.header}).Cookies() {
		if strings.HasPrefix(c.Name, "__Secure-") {
			found = c
		}
	}
	if found == nil {
		r.problem("cookie", p.ID, fmt.Sprintf("a log-out answers %d without the refresh cookie", e.status), do)
		return
	}
	var wrong []string
	if !found.Secure || !found.HttpOnly || found.SameSite != http.SameSiteNoneMode || !found.Partitioned {
		wrong = append(wrong, "it lacks one of Secure, HttpOnly, SameSite=None and Partitioned")
	}
	if found.Domain != "" {
		wrong = append(wrong, "it is for the domain "+short(found.Domain)+", and not for this host alone")
	}
	if want := base + "/api/v0/token/"; !strings.HasPrefix(found.Path, want) {
		wrong = append(wrong, "its path is "+short(found.Path)+", not below "+want)
	}
	if len(wrong) > 0 {
		r.problem("cookie", p.ID, strings.Join(wrong, "; "), do)
		return
	}
	r.ok("cookie", p.ID, "the refresh cookie is Secure, HttpOnly, SameSite=None, Partitioned, for this host and one path")
}

// view asks the server how it sees a request. The error is for a person.
func (o *Outside) view(ctx context.Context, q request) (*exchange, *api.RequestView, error) {
	pass, nonce, err := o.Pass()
	if err != nil {
		return nil, nil, err
	}
	header := map[string]string{"Authorization": "Bearer " + pass.Reveal(), "Content-Type": "application/octet-stream"}
	for name, value := range q.header {
		header[name] = value
	}
	q.method, q.header = http.MethodPost, header
	if q.path == "" {
		q.path = "/doctor"
	}
	e, err := o.ask(ctx, q)
	if err != nil || e.status != http.StatusOK {
		return e, nil, err
	}
	v := new(api.RequestView)
	if err := json.Unmarshal(e.body, v); err != nil {
		return e, nil, nil
	}
	if v.Nonce != nonce {
		return e, v, errStale
	}
	return e, v, nil
}

var errStale = errors.New("the answer is that of another request")
