package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"

	"github.com/splitpin/splitpin/doctor"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/server"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

// seen is which findings the tests saw well and not well. Every finding must be
// seen both ways: one that cannot fail is no check.
var seen = struct {
	sync.Mutex
	well, ill map[string]bool
}{well: map[string]bool{}, ill: map[string]bool{}}

func note(r *doctor.Report) {
	seen.Lock()
	defer seen.Unlock()
	for _, f := range r.Findings {
		if f.Level == doctor.OK {
			seen.well[f.Code] = true
		} else {
			seen.ill[f.Code] = true
		}
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	status := m.Run()
	whole := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == ""
	if status == 0 && whole {
		for _, code := range doctor.Codes() {
			if !seen.well[code] || !seen.ill[code] {
				fmt.Printf("FAIL: no test saw the finding %s both ways (well: %v, ill: %v)\n", code, seen.well[code], seen.ill[code])
				status = 1
			}
		}
	}
	os.Exit(status)
}

// expect holds a report against what should not be well in it, as "level code"
// and a part of what was seen, "" for any. Everything else must be well.
func expect(t *testing.T, r *doctor.Report, want map[string]string) {
	t.Helper()
	note(r)
	found := map[string]bool{}
	for _, f := range r.Findings {
		key := string(f.Level) + " " + f.Code
		part, wanted := want[key]
		switch {
		case wanted && strings.Contains(f.Seen, part):
			found[key] = true
		case f.Level != doctor.OK:
			t.Errorf("unexpected: %s: %s: %s", key, f.Subject, f.Seen)
		}
		if (f.Do == "") != (f.Level == doctor.OK) {
			t.Errorf("%s says what to do: %q", key, f.Do)
		}
	}
	for key, part := range want {
		if !found[key] {
			t.Errorf("missing: %s with %q", key, part)
		}
	}
}

const (
	publicURL = "https://login.example"
	shop      = "https://shop.example"
	proxyAddr = "192.0.2.1" // from which the proxy asks the server
	version   = "v1.2.3"
)

// A house is a deployment: a server with a real store, and a proxy with TLS before
// it that can be spoilt.
type house struct {
	store   *store.SQLite
	ring    *keyring.Ring
	tokens  *token.Service
	engine  *signin.Engine
	options server.Options
	proxies []netip.Prefix
	now     func() time.Time

	// What a test spoils, before front is called.
	rewrite  func(*httputil.ProxyRequest)                  // after the proxy did right
	modify   func(*http.Response)                          // what comes back
	instead  func(http.ResponseWriter, *http.Request) bool // reports whether it answered in the proxy's place
	life     time.Duration                                 // of the certificate; zero: 90 days
	lived    time.Duration                                 // how much of it is over
	names    []string                                      // in the certificate; nil: the right one
	tls      uint16                                        // oldest version spoken; zero: 1.2
	redirect func(http.ResponseWriter, *http.Request)      // on port 80; nil: nobody listens there
	outside  func(*doctor.Outside)                         // what the configuration says
}

func newHouse(t *testing.T) *house {
	t.Helper()
	ctx := t.Context()
	db, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "splitpin.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ring, err := keyring.Open(ctx, db, time.Now(), keyring.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	h := &house{store: db, ring: ring, now: time.Now, proxies: []netip.Prefix{netip.MustParsePrefix(proxyAddr + "/32")}}
	h.tokens = token.New(db, ring, publicURL, time.Now)
	admin := &project.Admin{Store: db, Tokens: h.tokens, Clock: time.Now}
	for _, s := range []splitpin.Settings{{Name: "Shop", Origins: []string{"shopapp://", shop}}, {Name: "App", Origins: []string{"app://"}}} {
		if _, _, err := admin.Create(ctx, project.Draft{Settings: s}); err != nil {
			t.Fatal(err)
		}
	}
	h.engine, err = signin.New(ctx, signin.Options{Store: db, Ring: ring, Tokens: h.tokens, Methods: []signin.Method{code.Email{}}})
	if err != nil {
		t.Fatal(err)
	}
	public, _ := url.Parse(publicURL)
	h.options = server.Options{
		Edge:   &edge.Edge{Engine: h.engine, PublicURL: public, Clock: time.Now, Log: slog.New(slog.DiscardHandler), Proxies: h.proxies},
		Tokens: h.tokens, People: &account.Directory{Store: db, Ring: ring, Clock: time.Now},
		Ready:   func(context.Context) error { return nil },
		Version: version,
		CheckPass: func(now time.Time, pass splitpin.Secret) (string, bool) {
			return doctor.CheckPass(ring, publicURL, now, pass)
		},
	}
	return h
}

// front starts the proxy and returns what looks at it.
func (h *house) front(t *testing.T) *doctor.Outside {
	t.Helper()
	site := server.New(h.options)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", "backend", p.In.Host
			client, _, _ := net.SplitHostPort(p.In.RemoteAddr)
			p.Out.Header.Set("X-Forwarded-For", client)
			if h.rewrite != nil {
				h.rewrite(p)
			}
		},
		Transport: handing(func(r *http.Request) *http.Response {
			w := httptest.NewRecorder()
			in := r.Clone(r.Context())
			if in.Body == nil {
				in.Body = http.NoBody
			}
			in.RemoteAddr, in.RequestURI = proxyAddr+":40000", in.URL.RequestURI()
			site.ServeHTTP(w, in)
			resp := w.Result()
			resp.Request = r
			resp.Header.Set("Date", h.now().UTC().Format(http.TimeFormat))
			return resp
		}),
		ModifyResponse: func(resp *http.Response) error {
			if h.modify != nil {
				h.modify(resp)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.instead == nil || !h.instead(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	cert, pool := h.certificate(t)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: max(h.tls, tls.VersionTLS10)}
	if h.tls == 0 {
		s.TLS.MinVersion = tls.VersionTLS12
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	var plain *httptest.Server
	if h.redirect != nil {
		plain = httptest.NewServer(http.HandlerFunc(h.redirect))
		t.Cleanup(plain.Close)
	}

	public, _ := url.Parse(publicURL)
	o := &doctor.Outside{
		URL: public, Proxies: h.proxies, Version: version, Clock: h.now, RootCAs: pool, Projects: h.engine.Projects(),
		KeySet: func(p *splitpin.Project) ([]byte, error) { set, _, err := h.tokens.KeySet(p); return set, err },
		Pass:   func() (splitpin.Secret, string, error) { return doctor.NewPass(h.ring, publicURL, h.now()) },
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			switch {
			case address == "login.example:443":
				address = s.Listener.Addr().String()
			case address == "login.example:80" && plain != nil:
				address = plain.Listener.Addr().String()
			default:
				return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("nobody listens on %s", address)}
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	if h.outside != nil {
		h.outside(o)
	}
	return o
}

// handing is a transport that hands requests over without a network.
type handing func(*http.Request) *http.Response

func (f handing) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func (h *house) certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	life, names := h.life, h.names
	if life == 0 {
		life = 90 * 24 * time.Hour
	}
	if names == nil {
		names = []string{"login.example"}
	}
	born := time.Now().Add(-h.lived)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "login.example"}, DNSNames: names,
		NotBefore: born, NotAfter: born.Add(life), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
