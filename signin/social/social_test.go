package social_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/social"
	"github.com/splitpin/splitpin/signin/social/socialtest"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/token"
)

const (
	publicURL = "https://login.example.org"
	origin    = "https://shop.example"
	verifier  = "f6eb75ce0c57a8c955a0f6f6a1c2d10ada5b1f3a52f6eb75ce0c57a8c9"
)

// A house is an installation with the method, a project that offers the double, and the
// double itself.
type house struct {
	*signin.Engine
	t      *testing.T
	ctx    context.Context // of those who sign in
	now    time.Time
	db     splitpin.Store
	ring   *keyring.Ring
	master keyring.Master
	tokens *token.Service
	admin  *project.Admin
	method *social.Method
	shop   *splitpin.Project
	theirs *socialtest.Provider
	log    strings.Builder
}

// newHouse offers provider, whose name is THEIRS where it has none.
func newHouse(t *testing.T, alter func(*house, *splitpin.Provider)) *house {
	t.Helper()
	h := &house{t: t, ctx: t.Context(), now: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC), db: enginetest.Open(t), master: keyring.NewMaster()}
	clock := func() time.Time { return h.now }
	var err error
	if h.ring, err = keyring.Open(t.Context(), h.db, h.now, h.master); err != nil {
		t.Fatal(err)
	}
	h.tokens = token.New(h.db, h.ring, publicURL, clock)
	h.theirs = socialtest.New(t, clock)
	roots := x509.NewCertPool()
	roots.AddCert(h.theirs.Certificate())
	except, err := outgoing.ParseExceptions("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	h.method = &social.Method{Ring: h.ring, PublicURL: publicURL, Clock: clock, Log: slog.New(slog.NewTextHandler(&h.log, nil)),
		Client: outgoing.New(outgoing.Options{Except: except, RootCAs: roots, Timeout: 2 * time.Second})}
	provider := splitpin.Provider{Name: "THEIRS", Kind: "oidc", Issuer: h.theirs.URL, ClientID: socialtest.ClientID}
	if alter != nil {
		alter(h, &provider)
	}
	h.Engine, err = signin.New(t.Context(), signin.Options{Store: h.db, Ring: h.ring, Tokens: h.tokens,
		Methods: []signin.Method{code.Email{}, h.method}, Clock: clock, PublicURL: publicURL})
	if err != nil {
		t.Fatal(err)
	}
	h.admin = &project.Admin{Store: h.db, Tokens: h.tokens, Clock: clock}
	p, _, err := h.admin.Create(t.Context(), project.Draft{Settings: splitpin.Settings{Name: "Shop", Origins: []string{origin}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(provider.Sealed) == 0 {
		if err := social.SealSecret(h.ring, p.ID, &provider, socialtest.ClientSecret); err != nil {
			t.Fatal(err)
		}
	}
	h.set(p.ID, func(s *splitpin.Settings) { s.Providers = []splitpin.Provider{provider} })
	return h
}

func (h *house) set(id string, change func(*splitpin.Settings)) {
	h.t.Helper()
	_, err := h.admin.Change(h.t.Context(), id, func(p *splitpin.Project) error { change(&p.Settings); return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Step(h.t.Context(), h.now); err != nil {
		h.t.Fatal(err)
	}
	if h.shop, err = h.Project(id); err != nil {
		h.t.Fatal(err)
	}
}

// elsewhere lets the double stand for hosts of the large providers.
func (h *house) elsewhere() {
	h.method.Client = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		TLSClientConfig: h.theirs.Client().Transport.(*http.Transport).TLSClientConfig.Clone(),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, h.theirs.Listener.Addr().String())
		},
	}}
	h.method.Client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com" // a name in the double's certificate
}

// A try is one sign-in on its way.
type try struct {
	*house
	handle   signin.Handle
	location string
	by       signin.Caller
}

func (h *house) begins(alter func(*signin.StartRequest)) (*try, error) {
	h.t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	by := signin.Caller{Addr: netip.MustParseAddr("198.51.100.7"), Device: "Firefox on Linux"}
	req := signin.StartRequest{Project: h.shop, Method: "social", Provider: h.shop.Settings.Providers[0].Name,
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), Destination: origin + "/login", By: by}
	if alter != nil {
		alter(&req)
	}
	s, err := h.Start(h.ctx, req)
	if err != nil {
		return nil, err
	}
	return &try{h, signin.Handle{Project: h.shop, ID: s.Attempt.ID, Secret: s.Secret, By: by}, s.Form.Location, by}, nil
}

func (h *house) mustBegin() *try {
	h.t.Helper()
	a, err := h.begins(nil)
	if err != nil {
		h.t.Fatalf("starting: %v", err)
	}
	return a
}

func (a *try) answers(code string, more ...string) (*signin.Granted, error) {
	answer := social.Answer{Code: code, Provider: a.shop.Settings.Providers[0].Name}
	if len(more) > 0 {
		answer.Issuer = more[0]
	}
	if len(more) > 1 {
		answer.Provider = more[1]
	}
	b, _ := json.Marshal(answer)
	return a.Answer(a.ctx, a.handle, b)
}

// comesBack signs in at the double and answers with what that gave.
func (a *try) comesBack() (*signin.Granted, error) {
	a.t.Helper()
	code, state := a.theirs.SignIn(a.location)
	if state != a.handle.ID.String() {
		a.t.Errorf("the state is %q, want the attempt's id", state)
	}
	return a.answers(code)
}

func (a *try) collects(g *signin.Granted) *signin.Collected {
	a.t.Helper()
	c, err := a.Collect(a.t.Context(), signin.CollectRequest{Project: a.shop, Code: g.Code.Reveal(), Verifier: verifier, Destination: origin + "/login", By: a.by})
	if err != nil {
		a.t.Fatalf("collecting: %v", err)
	}
	return c
}

func (h *house) user(identifier string) *splitpin.User {
	r, err := h.db.Load(h.t.Context(), splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: identifier}})
	if err != nil {
		h.t.Fatal(err)
	}
	return r.User
}

func want(t *testing.T, what string, err error, as *splitpin.Error) {
	t.Helper()
	if e := splitpin.ErrorOf(err); e == nil || e.Code != as.Code {
		t.Errorf("%s: got %v, want %s", what, err, as.Code)
	}
}

// proves is how somebody proves an address by a code for an attempt that asks for it.
func (a *try) proves(address string) (*signin.Granted, error) {
	a.t.Helper()
	s, err := a.Start(a.t.Context(), signin.StartRequest{Project: a.shop, Method: "email_code", Purpose: splitpin.Complete,
		Identifier: address, Parent: &a.handle, By: a.by})
	if err != nil {
		return nil, err
	}
	told, err := a.Secret(s.Attempt)
	if err != nil {
		a.t.Fatal(err)
	}
	answer, _ := json.Marshal(map[string]string{"code": told.Code.Reveal()})
	return a.Answer(a.t.Context(), signin.Handle{Project: a.shop, ID: s.Attempt.ID, Secret: s.Secret, By: a.by}, answer)
}

func TestSignIn(t *testing.T) {
	h := newHouse(t, func(_ *house, p *splitpin.Provider) { p.Domains, p.Label = []string{"example.org"}, "Theirs" })
	a := h.mustBegin()
	u, err := url.Parse(a.location)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := u.Query().Get("redirect_uri"), publicURL+"/p/"+h.shop.ID+"/api/v0/oauth/token/callback/THEIRS"; got != want {
		t.Errorf("the callback is %s, want %s", got, want)
	}
	_, err = a.comesBack()
	want(t, "coming back", err, signin.ErrAsk)
	if h.user("ada@example.org") != nil {
		t.Fatal("a user was made before the yes")
	}
	q, ok, err := h.Asked(t.Context(), a.handle)
	if err != nil || !ok || q.Address != "ada@example.org" || q.Credential.Label != "ada-l (Theirs)" {
		t.Fatalf("the question is %+v, %v", q, err)
	}
	g, err := h.Agree(t.Context(), a.handle)
	if err != nil {
		t.Fatal(err)
	}
	c := a.collects(g)
	if c.User.Identifier != "ada@example.org" || c.Session.AuthMethod != "SOCIAL_LOGIN" {
		t.Errorf("signed in: %+v", c.User)
	}

	all, err := h.Connected(t.Context(), c.User)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d accounts, %v", len(all), err)
	}
	l := all[0]
	var tokens map[string]any
	if err := json.Unmarshal(l.Tokens, &tokens); err != nil {
		t.Fatal(err)
	}
	if l.Provider != "THEIRS" || l.Subject != "ada-at-theirs" || l.Username != "ada-l" || tokens["access_token"] != "their-token" ||
		tokens["refresh_token"] != "their-refresh" || tokens["scope"] != "openid email" || tokens["token_type"] != "bearer" {
		t.Errorf("the account is %+v with %s", l.ProviderAccount, l.Tokens)
	}
	if stored := string(l.Credential.Data) + string(l.Credential.Sealed); strings.Contains(stored, "their-") {
		t.Error("the provider's tokens can be read in the database")
	}
	for what, alter := range map[string]func(*splitpin.Credential){
		"as those of another account":            func(c *splitpin.Credential) { c.Key[0]++ },
		"as those of another project":            func(c *splitpin.Credential) { c.Project++ },
		"with another nonce":                     func(c *splitpin.Credential) { c.Sealed[0]++ },
		"altered":                                func(c *splitpin.Credential) { c.Sealed[len(c.Sealed)/2]++ },
		"with another seal":                      func(c *splitpin.Credential) { c.Sealed[len(c.Sealed)-1]++ },
		"cut":                                    func(c *splitpin.Credential) { c.Sealed = c.Sealed[:len(c.Sealed)-1] },
		"under a data key that there is not yet": func(c *splitpin.Credential) { c.KeyGeneration++ },
		"of what is sealed as a client secret": func(c *splitpin.Credential) {
			p := splitpin.Provider{Name: "THEIRS"}
			if err := social.SealSecret(h.ring, h.shop.ID, &p, "{}"); err != nil {
				t.Fatal(err)
			}
			c.Sealed, c.KeyGeneration = p.Sealed, p.KeyGeneration
		},
	} {
		c := *l.Credential
		c.Sealed = slices.Clone(c.Sealed)
		alter(&c)
		if _, err := h.method.Account(&c); err == nil {
			t.Errorf("tokens can be opened %s", what)
		}
	}
	if _, err := h.method.Account(l.Credential); err != nil {
		t.Errorf("as they are: %v", err)
	}

	// The same account again, with another address meanwhile: it is the same person.
	h.theirs.Claims = func(c map[string]any) { c["email"] = "eve@example.org" }
	a = h.mustBegin()
	_, err = a.comesBack()
	want(t, "coming back again", err, signin.ErrAsk)
	if g, err = h.Agree(t.Context(), a.handle); err != nil || g.Attempt.User != c.User.Number {
		t.Fatalf("the second sign-in is of %+v, %v", g, err)
	}
	if h.user("eve@example.org") != nil {
		t.Error("an address that a provider changed made a user")
	}
	if log := h.log.String(); log != "" {
		t.Errorf("it was logged: %s", log)
	}

	if err := h.Disconnect(t.Context(), c.User, l.Credential.Number, a.by); err != nil {
		t.Fatal(err)
	}
	if all, err := h.Connected(t.Context(), c.User); err != nil || len(all) != 0 {
		t.Errorf("after disconnecting: %v, %v", all, err)
	}
	want(t, "unlinking again", h.Disconnect(t.Context(), c.User, l.Credential.Number, a.by), signin.ErrNoCredential)
}

// A client secret that was moved to another project, or to another provider of the same
// one, opens nothing.
func TestSecretsStayInTheirPlace(t *testing.T) {
	for what, alter := range map[string]func(h *house, p *splitpin.Provider){
		"of another project":  func(h *house, p *splitpin.Provider) { social.SealSecret(h.ring, "other", p, socialtest.ClientSecret) },
		"of another provider": func(h *house, p *splitpin.Provider) { p.Name = "OTHER" },
		"altered":             func(h *house, p *splitpin.Provider) { p.Sealed[len(p.Sealed)-1]++ },
		"that nobody sealed":  func(h *house, p *splitpin.Provider) { p.Sealed = []byte(socialtest.ClientSecret) },
	} {
		h := newHouse(t, nil)
		h.set(h.shop.ID, func(s *splitpin.Settings) { alter(h, &s.Providers[0]) })
		if _, err := h.begins(nil); splitpin.ErrorOf(err) == nil || splitpin.ErrorOf(err).Kind != splitpin.Unavailable {
			t.Errorf("with a client secret %s: got %v, want that it is not there", what, err)
		}
	}
}

// Whoever knows the master key before it was changed as compromised knows the tokens;
// after that nobody can read them, and nothing breaks by it.
func TestTokensOfADestroyedKey(t *testing.T) {
	h := newHouse(t, func(_ *house, p *splitpin.Provider) { p.Domains = []string{"example.org"} })
	a := h.mustBegin()
	a.comesBack()
	g, err := h.Agree(t.Context(), a.handle)
	if err != nil {
		t.Fatal(err)
	}
	c := a.collects(g)
	next := keyring.NewMaster()
	err = keyring.Change(t.Context(), h.db, func(r *splitpin.Records) (splitpin.Writes, error) {
		w, _, _, err := keyring.Succeed(r.DataKeys, []keyring.Master{h.master}, next, h.now)
		return w, err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.ring.Offer(next)
	if err := h.ring.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := h.Connected(t.Context(), c.User)
	if err != nil || len(all) != 1 || len(all[0].Tokens) != 0 || all[0].Subject != "ada-at-theirs" {
		t.Errorf("got %+v, %v", all, err)
	}
	if _, err := h.begins(nil); splitpin.ErrorOf(err) == nil || splitpin.ErrorOf(err).Kind != splitpin.Unavailable {
		t.Errorf("starting with a client secret that is lost: %v", err)
	}
}

// Whatever a provider says, nobody gets in by it.
func TestLies(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func(*socialtest.Provider) {
		return func(d *socialtest.Provider) { d.Claims = func(c map[string]any) { c[name] = value } }
	}
	tests := []struct {
		name string
		lie  func(*socialtest.Provider)
		err  *splitpin.Error
		log  string // part of what the operator reads
	}{
		{"another issuer", claim("iss", "https://evil.example"), signin.ErrFailed, "issuer"},
		{"another audience", claim("aud", "client-2"), signin.ErrFailed, "audience"},
		{"two audiences and no azp", claim("aud", []string{socialtest.ClientID, "client-2"}), signin.ErrFailed, "azp"},
		{"another azp", claim("azp", "client-2"), signin.ErrFailed, "azp"},
		{"the nonce of another", claim("nonce", "AAAA"), signin.ErrFailed, "nonce"},
		{"no nonce", claim("nonce", ""), signin.ErrFailed, "nonce"},
		{"expired", claim("exp", 1000), signin.ErrFailed, "expired"},
		{"of the future", claim("iat", 4000000000), signin.ErrFailed, "future"},
		{"not valid yet", claim("nbf", 4000000000), signin.ErrFailed, "not valid yet"},
		{"no subject", claim("sub", ""), signin.ErrFailed, "nobody"},
		{"a subject without end", claim("sub", strings.Repeat("x", 300)), signin.ErrFailed, "nobody"},
		{"a subject of a wrong type", claim("sub", 5), signin.ErrFailed, "form"},
		{"signed by a stranger", func(d *socialtest.Provider) {
			d.Signed = func(b []byte) string {
				return socialtest.SignWith(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: "first"}, b)
			}
		}, signin.ErrFailed, "signature"},
		{"alg none", func(d *socialtest.Provider) {
			d.Signed = func(b []byte) string {
				return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
			}
		}, signin.ErrFailed, "algorithm"},
		{"HS256 with the client secret", func(d *socialtest.Provider) {
			d.Signed = func(b []byte) string {
				return socialtest.SignWith(t, jose.HS256, append([]byte(socialtest.ClientSecret), make([]byte, 32)...), b)
			}
		}, signin.ErrFailed, "algorithm"},
		{"no id token", func(d *socialtest.Provider) { d.Signed = func([]byte) string { return "" } }, signin.ErrFailed, "no id token"},
		{"UserInfo of somebody else", func(d *socialtest.Provider) {
			d.Claims = func(c map[string]any) { delete(c, "email") }
			d.UserInfo = map[string]any{"sub": "eve-at-theirs", "email": "ada@example.org", "email_verified": true}
		}, signin.ErrFailed, "somebody else"},
		{"UserInfo of nobody", func(d *socialtest.Provider) {
			d.Claims = func(c map[string]any) { delete(c, "email") }
			d.UserInfo = map[string]any{"email": "ada@example.org", "email_verified": true}
		}, signin.ErrFailed, "somebody else"},
		{"an address that is not verified", func(d *socialtest.Provider) {
			d.Claims = func(c map[string]any) { c["email_verified"] = false }
		}, signin.ErrMore, ""},
		{"an address that is not said to be verified", func(d *socialtest.Provider) {
			d.Claims = func(c map[string]any) { delete(c, "email_verified") }
		}, signin.ErrMore, ""},
		{"an address of another domain", claim("email", "ada@example.org.evil.example"), signin.ErrMore, ""},
		{"two addresses in one", claim("email", "eve@evil.example,ada@example.org"), signin.ErrMore, ""},
		{"no address", func(d *socialtest.Provider) {
			d.Claims, d.UserInfo = func(c map[string]any) { delete(c, "email") }, map[string]any{"sub": "ada-at-theirs"}
		}, signin.ErrMore, ""},

		{"a code that is none", func(d *socialtest.Provider) {
			d.Serve["/token"] = answering(http.StatusBadRequest, `{"error":"invalid_grant","error_description":"their-secret-words"}`)
		}, signin.ErrFailed, "invalid_grant"},
		{"out of order", func(d *socialtest.Provider) { d.Serve["/token"] = answering(http.StatusServiceUnavailable, "down") }, social.ErrProviderDown, "503"},
		{"keys out of order", func(d *socialtest.Provider) { d.Serve["/keys"] = answering(http.StatusBadGateway, "down") }, social.ErrProviderDown, ""},
		{"broken JSON", func(d *socialtest.Provider) { d.Serve["/token"] = answering(http.StatusOK, `{"access_token":`) }, social.ErrProviderDown, "no sense"},
		{"a page", func(d *socialtest.Provider) { d.Serve["/token"] = answering(http.StatusOK, `<html>their-token</html>`) }, social.ErrProviderDown, "no sense"},
		{"no end", func(d *socialtest.Provider) {
			d.Serve["/token"] = answering(http.StatusOK, `{"access_token":"`+strings.Repeat("x", 1<<20)+`"}`)
		}, social.ErrProviderDown, ""},
		{"slow", func(d *socialtest.Provider) {
			d.Serve["/token"] = func(_ http.ResponseWriter, r *http.Request) {
				r.ParseForm() // only then the end of a connection is noticed
				<-r.Context().Done()
			}
		}, social.ErrProviderDown, ""},
		{"leads elsewhere", func(d *socialtest.Provider) {
			d.Serve["/token"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect)
			}
		}, social.ErrProviderDown, "307"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, func(h *house, p *splitpin.Provider) {
				p.Domains = []string{"example.org"}
				if test.name == "slow" {
					h.method.Client.Timeout = 200 * time.Millisecond
				}
			})
			test.lie(h.theirs)
			a := h.mustBegin()
			_, err := a.comesBack()
			want(t, "the answer", err, test.err)
			if h.user("ada@example.org") != nil {
				t.Error("somebody was made of it")
			}
			if _, err := h.Agree(t.Context(), a.handle); err == nil {
				t.Error("it could be agreed to")
			}
			log := h.log.String()
			if !strings.Contains(log, test.log) {
				t.Errorf("the operator reads %q, want %q in it", log, test.log)
			}
			for _, secret := range []string{"their-", socialtest.ClientSecret, "ada@example.org"} {
				if strings.Contains(log, secret) || err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("%q stands in the log or the error: %s %v", secret, log, err)
				}
			}
		})
	}
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// A provider that names places inside must not have us go there, nor the person sent to
// something that is no page.
func TestDiscoveryLies(t *testing.T) {
	for name, document := range map[string]map[string]any{
		"another issuer":          {"issuer": "https://evil.example"},
		"a token address inside":  {"token_endpoint": "http://10.0.0.1/token"},
		"keys in a file":          {"jwks_uri": "file:///etc/passwd"},
		"a script for a page":     {"authorization_endpoint": "javascript:alert(1)"},
		"UserInfo without https":  {"userinfo_endpoint": "http://theirs.example/userinfo"},
		"a page with a user name": {"authorization_endpoint": "https://ada:b@theirs.example/"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.theirs.Document = document
			_, err := h.begins(nil)
			want(t, "starting", err, social.ErrProviderDown)
		})
	}
	h := newHouse(t, nil)
	h.theirs.Document = map[string]any{"token_endpoint": "https://169.254.169.254/token"}
	a := h.mustBegin()
	_, err := a.comesBack()
	want(t, "an address that is not public", err, social.ErrProviderDown)
	if !strings.Contains(h.log.String(), "not a public address") {
		t.Errorf("the operator reads %q", h.log.String())
	}
}

// An answer belongs to one attempt, one callback and one provider.
func TestSwapped(t *testing.T) {
	h := newHouse(t, func(_ *house, p *splitpin.Provider) { p.Domains = []string{"example.org"} })
	mine, theirs := h.mustBegin(), h.mustBegin()
	code, _ := h.theirs.SignIn(theirs.location)
	_, err := mine.answers(code)
	want(t, "a code that another browser got", err, signin.ErrFailed)

	a := h.mustBegin()
	a.handle.Secret = mine.handle.Secret
	_, err = a.comesBack()
	want(t, "an attempt of another browser", err, signin.ErrUnknown)

	a = h.mustBegin()
	code, _ = h.theirs.SignIn(a.location)
	_, err = a.answers(code, "https://evil.example")
	want(t, "an answer that names another issuer", err, signin.ErrFailed)
	_, err = a.answers(code, "", "GOOGLE")
	want(t, "an answer at the callback of another", err, signin.ErrFailed)
	_, err = a.answers(code, h.theirs.URL)
	want(t, "the right one", err, signin.ErrAsk)

	h = newHouse(t, nil)
	h.theirs.Document = map[string]any{"authorization_response_iss_parameter_supported": true}
	a = h.mustBegin()
	code, _ = h.theirs.SignIn(a.location)
	_, err = a.answers(code)
	want(t, "an answer without the issuer that was promised", err, signin.ErrFailed)

	// Another attempt's nonce, by a provider that replays an id token.
	h = newHouse(t, nil)
	first, second := h.mustBegin(), h.mustBegin()
	var replayed string
	h.theirs.Signed = func(b []byte) string {
		if replayed == "" {
			replayed = h.theirs.Sign(b)
		}
		return replayed
	}
	_, err = first.comesBack()
	want(t, "the first", err, signin.ErrMore)
	_, err = second.comesBack()
	want(t, "an id token that was used before", err, signin.ErrFailed)
	_, err = h.begins(func(r *signin.StartRequest) { r.Provider = "OTHER" })
	want(t, "a provider that is not offered", err, social.ErrProvider)
}

func TestKeysRotate(t *testing.T) {
	h := newHouse(t, func(_ *house, p *splitpin.Provider) { p.Domains = []string{"example.org"} })
	_, err := h.mustBegin().comesBack()
	want(t, "with the first key", err, signin.ErrAsk)
	h.theirs.NewKey("second")
	_, err = h.mustBegin().comesBack()
	want(t, "with the next key", err, signin.ErrAsk)
	_, err = h.mustBegin().comesBack()
	want(t, "once more", err, signin.ErrAsk)
	if n := h.theirs.Times("/keys"); n != 2 {
		t.Errorf("keys were asked for %d times, want twice", n)
	}
	if n := h.theirs.Times("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("it was asked about itself %d times, want once", n)
	}
	h.theirs.Serve["/.well-known/openid-configuration"] = answering(http.StatusInternalServerError, "")
	h.now = h.now.Add(2 * time.Hour)
	if _, err := h.begins(nil); err != nil {
		t.Errorf("a provider that was known: %v", err)
	}
}

// The address of an account belongs to whom the provider decides over, or to whoever
// proves it by a code.
func TestLinkNeedsTheAddress(t *testing.T) {
	h := newHouse(t, nil) // trusted with no domain
	a := h.mustBegin()
	_, err := a.comesBack()
	want(t, "coming back", err, signin.ErrMore)
	if c, address, ok := signin.Needs(mustLook(t, a)); !ok || address != "ada@example.org" || c.Label != "ada-l (Theirs)" {
		t.Errorf("it needs %q of %+v, %v", address, c, ok)
	}
	if _, err := a.proves("eve@example.org"); err == nil {
		t.Error("another address would do")
	}
	g, err := a.proves("ada@example.org")
	if err != nil {
		t.Fatal(err)
	}
	c := a.collects(g)
	if all, err := h.Connected(t.Context(), c.User); err != nil || len(all) != 1 || c.User.Identifier != "ada@example.org" {
		t.Errorf("signed in as %+v with %v, %v", c.User, all, err)
	}

	// Connecting another account to a session, and what cannot be connected.
	h.theirs.Claims = func(c map[string]any) { c["sub"] = "ada-too" }
	enrol := func(r *signin.StartRequest) {
		r.Purpose, r.User, r.Session, r.Challenge = splitpin.Enrol, c.User, c.Session, ""
	}
	b, err := h.begins(enrol)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.comesBack()
	want(t, "connecting", err, signin.ErrAsk)
	if all, _ := h.Connected(t.Context(), c.User); len(all) != 1 {
		t.Error("it was connected before the yes")
	}
	if _, err := h.Agree(t.Context(), b.handle); err != nil {
		t.Fatal(err)
	}
	if all, _ := h.Connected(t.Context(), c.User); len(all) != 2 {
		t.Error("it was not connected")
	}
	confirm := func(r *signin.StartRequest) {
		enrol(r)
		r.Purpose = splitpin.Confirm
	}
	h.theirs.Claims = func(c map[string]any) { c["sub"] = "somebody else" }
	b, err = h.begins(confirm)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.comesBack()
	want(t, "confirming by an account of nobody", err, signin.ErrNobodys)
	h.theirs.Claims = nil
	h.now = h.now.Add(4 * time.Minute)
	if _, err := b.comesBack(); err != nil {
		t.Errorf("confirming by her own: %v", err)
	}
	h.now = h.now.Add(4 * time.Minute)
	r, err := h.db.Load(t.Context(), splitpin.Reads{Session: c.Session.Number})
	if err != nil || h.now.Sub(r.Session.AuthAt) != 4*time.Minute {
		t.Errorf("the session was proved at %v, %v", r.Session.AuthAt, err)
	}
}

func mustLook(t *testing.T, a *try) *splitpin.Attempt {
	t.Helper()
	s, err := a.Look(t.Context(), a.handle)
	if err != nil {
		t.Fatal(err)
	}
	return s.Attempt
}

// Each kind, with the double in the place of its hosts.
func TestKinds(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	const tenant = "9188040d-6c67-4c5b-b112-36a304b66dad"
	tests := []struct {
		name, kind, issuer string
		claims             map[string]any // over those of the double
		pages              map[string]string
		err                *splitpin.Error
		address            string
	}{
		{"google, its own", "google", "https://accounts.google.com", map[string]any{"email": "ada@gmail.com"}, nil, signin.ErrAsk, "ada@gmail.com"},
		{"google, an organisation's", "google", "https://accounts.google.com", map[string]any{"hd": "example.org"}, nil, signin.ErrAsk, "ada@example.org"},
		{"google, anybody's", "google", "https://accounts.google.com", nil, nil, signin.ErrMore, "ada@example.org"},
		{"google, like its own", "google", "https://accounts.google.com", map[string]any{"email": "ada@notgmail.com"}, nil, signin.ErrMore, "ada@notgmail.com"},
		{"google, unverified", "google", "https://accounts.google.com", map[string]any{"email": "ada@gmail.com", "email_verified": false}, nil, signin.ErrMore, ""},
		{"apple, its own", "apple", "https://appleid.apple.com", map[string]any{"email": "x@privaterelay.appleid.com", "email_verified": "true"}, nil, signin.ErrAsk, "x@privaterelay.appleid.com"},
		{"apple, anybody's", "apple", "https://appleid.apple.com", map[string]any{"email_verified": "true"}, nil, signin.ErrMore, "ada@example.org"},
		{"gitlab", "gitlab", "https://gitlab.com", nil, nil, signin.ErrMore, "ada@example.org"},
		{"microsoft, by email", "microsoft", "https://login.microsoftonline.com/{tenantid}/v2.0", map[string]any{"tid": tenant, "iss": "https://login.microsoftonline.com/" + tenant + "/v2.0"}, nil, signin.ErrMore, ""},
		{"microsoft, another tenant's", "microsoft", "https://login.microsoftonline.com/{tenantid}/v2.0", map[string]any{"tid": tenant, "iss": "https://login.microsoftonline.com/11111111-6c67-4c5b-b112-36a304b66dad/v2.0"}, nil, signin.ErrFailed, ""},
		{"microsoft, no tenant", "microsoft", "https://login.microsoftonline.com/{tenantid}/v2.0", map[string]any{"tid": "../evil", "iss": "https://login.microsoftonline.com/../evil/v2.0"}, nil, signin.ErrFailed, ""},
		{"github", "github", "https://github.com", nil, map[string]string{"/user": `{"id":20483939,"login":"ada-l"}`,
			"/user/emails": `[{"email":"old@example.org","verified":true},{"email":"ada@example.org","primary":true,"verified":true}]`}, signin.ErrMore, "ada@example.org"},
		{"github, unverified", "github", "https://github.com", nil, map[string]string{"/user": `{"id":20483939,"login":"ada-l"}`,
			"/user/emails": `[{"email":"ada@example.org","primary":true,"verified":false}]`}, signin.ErrMore, ""},
		{"github, nobody", "github", "https://github.com", nil, map[string]string{"/user": `{"login":"ada-l"}`, "/user/emails": `[]`}, signin.ErrFailed, ""},
		{"github, broken", "github", "https://github.com", nil, map[string]string{"/user": `[`}, social.ErrProviderDown, ""},
		{"discord", "discord", "https://discord.com", nil, map[string]string{"/api/users/@me": `{"id":"80351110224678912","username":"ada","email":"ada@example.org","verified":true}`}, signin.ErrMore, "ada@example.org"},
		{"discord, unverified", "discord", "https://discord.com", nil, map[string]string{"/api/users/@me": `{"id":"80351110224678912","username":"ada","email":"ada@example.org"}`}, signin.ErrMore, ""},
		{"any OAuth 2", "oauth2", "", nil, map[string]string{"/me": `{"id":7,"login":"ada","email":"ada@example.org","email_verified":true}`}, signin.ErrMore, "ada@example.org"},
		{"any OAuth 2, a list for an id", "oauth2", "", nil, map[string]string{"/me": `{"id":[7]}`}, signin.ErrFailed, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, func(h *house, p *splitpin.Provider) {
				p.Kind, p.Issuer = test.kind, ""
				if test.kind == "apple" {
					p.TeamID, p.KeyID = "TEAM", "KEY"
				}
				h.elsewhere()
				if test.kind == "oauth2" {
					p.AuthURL, p.TokenURL, p.UserURL = "https://theirs.example/authorize", "https://theirs.example/token", "https://theirs.example/me"
				}
			})
			if test.kind == "apple" {
				h.set(h.shop.ID, func(s *splitpin.Settings) {
					p := &s.Providers[0]
					social.SealSecret(h.ring, h.shop.ID, p, splitpin.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
				})
				h.theirs.Serve["/token"] = func(w http.ResponseWriter, r *http.Request) {
					secret, err := jose.ParseSignedCompact(r.FormValue("client_secret"), []jose.SignatureAlgorithm{jose.ES256})
					if err != nil {
						t.Errorf("the client secret: %v", err)
						return
					}
					payload, err := secret.Verify(key.Public())
					if err != nil || !strings.Contains(string(payload), `"iss":"TEAM"`) || !strings.Contains(string(payload), `"sub":"client-1"`) {
						t.Errorf("the client secret says %s, %v", payload, err)
					}
					r.Form.Set("client_secret", socialtest.ClientSecret)
					h.theirs.Token(w, r)
				}
			}
			if test.issuer != "" {
				h.theirs.Issuer = test.issuer
			}
			for _, path := range []string{"/login/oauth/access_token", "/api/oauth2/token"} {
				h.theirs.Serve[path] = h.theirs.Token
			}
			for path, body := range test.pages {
				h.theirs.Serve[path] = answering(http.StatusOK, body)
			}
			h.theirs.Claims = func(c map[string]any) {
				for name, value := range test.claims {
					c[name] = value
				}
			}
			a := h.mustBegin()
			_, err := a.comesBack()
			want(t, "coming back", err, test.err)
			switch {
			case errors.Is(test.err, signin.ErrAsk):
				if q, ok, err := h.Asked(t.Context(), a.handle); err != nil || !ok || q.Address != test.address {
					t.Errorf("it asks about %+v, %v, %v", q, ok, err)
				}
			case errors.Is(test.err, signin.ErrMore):
				if _, address, ok := signin.Needs(mustLook(t, a)); !ok || address != test.address {
					t.Errorf("it needs %q, %v", address, ok)
				}
			}
			if t.Failed() {
				t.Log(h.log.String())
			}
		})
	}
}

func TestValidate(t *testing.T) {
	good := splitpin.Provider{Name: "GOOGLE", Kind: "google", ClientID: "x", Sealed: []byte("x")}
	if err := social.Validate(good); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for name, alter := range map[string]func(*splitpin.Provider){
		"no such kind":            func(p *splitpin.Provider) { p.Kind = "myspace" },
		"a small name":            func(p *splitpin.Provider) { p.Name = "google" },
		"a path for a name":       func(p *splitpin.Provider) { p.Name = "../X" },
		"no client":               func(p *splitpin.Provider) { p.ClientID = "" },
		"no secret":               func(p *splitpin.Provider) { p.Sealed = nil },
		"an issuer for google":    func(p *splitpin.Provider) { p.Issuer = "https://evil.example" },
		"no issuer for oidc":      func(p *splitpin.Provider) { p.Kind = "oidc" },
		"an issuer without https": func(p *splitpin.Provider) { p.Kind, p.Issuer = "oidc", "http://theirs.example" },
		"all tenants as oidc":     func(p *splitpin.Provider) { p.Kind, p.Issuer = "oidc", "https://login.microsoftonline.com/common/v2.0" },
		"organizations as oidc": func(p *splitpin.Provider) {
			p.Kind, p.Issuer = "oidc", "https://LOGIN.microsoftonline.com/Organizations/v2.0"
		},
		"consumers as oidc": func(p *splitpin.Provider) {
			p.Kind, p.Issuer = "oidc", "https://login.microsoftonline.com/consumers/v2.0"
		},
		"organizations as microsoft": func(p *splitpin.Provider) {
			p.Kind, p.Issuer = "microsoft", "https://login.microsoftonline.com/organizations/v2.0"
		},
		"domains for github":          func(p *splitpin.Provider) { p.Kind, p.Domains = "github", []string{"example.org"} },
		"apple without a key":         func(p *splitpin.Provider) { p.Kind = "apple" },
		"oauth2 without addresses":    func(p *splitpin.Provider) { p.Kind = "oauth2" },
		"addresses for google":        func(p *splitpin.Provider) { p.TokenURL = "https://evil.example" },
		"two scopes in one":           func(p *splitpin.Provider) { p.Scopes = []string{"a b"} },
		"a label that cannot be read": func(p *splitpin.Provider) { p.Label = "a\x00" },
	} {
		p := good
		alter(&p)
		if social.Validate(p) == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// A seat is the place of a request among those that are worked on.
type seat struct{ left, returned atomic.Int32 }

func (s *seat) Leave() error { s.left.Add(1); return nil }
func (s *seat) Return()      { s.returned.Add(1) }

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whoever waits for a provider holds no place meanwhile, at the beginning and at the end.
func TestWaitsInNoPlace(t *testing.T) {
	h := newHouse(t, func(_ *house, p *splitpin.Provider) { p.Domains = []string{"example.org"} })
	var s seat
	asked := 0
	honest := h.method.Client.Transport
	h.method.Client.Transport = transport(func(r *http.Request) (*http.Response, error) {
		if asked++; s.left.Load() != s.returned.Load()+1 {
			t.Errorf("%s is asked by somebody who left %d times and came back %d times", r.URL.Path, s.left.Load(), s.returned.Load())
		}
		return honest.RoundTrip(r)
	})
	h.ctx = signin.WithPlace(t.Context(), &s)
	a := h.mustBegin()
	if asked != 1 {
		t.Errorf("the beginning asked %d times", asked)
	}
	if _, err := a.comesBack(); err != nil && splitpin.ErrorOf(err) != signin.ErrAsk {
		t.Fatal(err)
	}
	if asked < 3 || s.left.Load() != s.returned.Load() {
		t.Errorf("asked %d times, left %d times, came back %d times", asked, s.left.Load(), s.returned.Load())
	}
}

// A provider that hangs or is broken costs few people time: one asks, the others get what
// was known or wait for that one, and for half a minute nobody asks again.
func TestDiscoveryIsAskedOnce(t *testing.T) {
	const document = "/.well-known/openid-configuration"
	h := newHouse(t, nil)
	h.method.Client.Timeout = time.Minute // the method's own patience is shorter
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	h.theirs.Serve[document] = func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	begin := func(n int) []error {
		errs := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { _, errs[i] = h.begins(nil) })
		}
		<-arrived
		close(release)
		all.Wait()
		return errs
	}
	for _, err := range begin(8) {
		want(t, "beginning where the provider is down", err, social.ErrProviderDown)
	}
	_, err := h.begins(nil)
	want(t, "beginning right after that", err, social.ErrProviderDown)
	if n := h.theirs.Times(document); n != 1 {
		t.Errorf("the provider was asked %d times, want once", n)
	}

	delete(h.theirs.Serve, document)
	h.now = h.now.Add(31 * time.Second)
	h.mustBegin()
	h.mustBegin()
	if n := h.theirs.Times(document); n != 2 {
		t.Errorf("the provider was asked %d times, want once more", n)
	}

	// What is known is stale, and the provider hangs: nobody but the one who asks waits.
	h.now = h.now.Add(2 * time.Hour)
	arrived, release = make(chan struct{}, 100), make(chan struct{})
	h.theirs.Serve[document] = func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	first := make(chan error, 1)
	go func() { _, err := h.begins(nil); first <- err }()
	<-arrived
	var s seat
	h.ctx = signin.WithPlace(t.Context(), &s)
	h.mustBegin()
	if s.left.Load() != 0 {
		t.Error("somebody else waited for the one who asks")
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the one who asked in vain: %v", err)
	}
	h.mustBegin()
	if n := h.theirs.Times(document); n != 3 {
		t.Errorf("the provider was asked %d times, want once more", n)
	}
}

// Who asks a provider through us over and over is refused before it is asked.
func TestBeginningIsPaidFor(t *testing.T) {
	h := newHouse(t, nil)
	h.theirs.Serve["/.well-known/openid-configuration"] = answering(http.StatusServiceUnavailable, "")
	h.set(h.shop.ID, func(s *splitpin.Settings) { s.Limits.RefusePerNetwork = 3 })
	for range 3 {
		_, err := h.begins(nil)
		want(t, "beginning where the provider is down", err, social.ErrProviderDown)
	}
	_, err := h.begins(nil)
	want(t, "beginning once more", err, signin.ErrManyStarts)
}
