package delivery_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"

	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

// An authority issues certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// issue returns a server's TLS configuration for a host, valid for life from now
// (expired, where life is negative).
func (a *authority) issue(t testing.TB, host string, life time.Duration) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// A mailServer is a real SMTP server on loopback that keeps what it takes.
type mailServer struct {
	*gosmtp.Server
	port int

	user, password string // empty: no authentication
	mechanism      string // empty: PLAIN
	limit          int    // letters on one connection; zero: any number

	mu      sync.Mutex
	arrived [][]byte
	conns   int
	drop    bool // keep nothing: a sink
}

// startMail starts s on loopback. Where implicit is set, it speaks TLS from the
// first byte; else tlsConfig, where it is not nil, is offered by STARTTLS.
func startMail(t testing.TB, s *mailServer, tlsConfig *tls.Config, implicit bool) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveMail(t, s, l, tlsConfig, implicit)
}

func serveMail(t testing.TB, s *mailServer, l net.Listener, tlsConfig *tls.Config, implicit bool) *mailServer {
	t.Helper()
	s.port = l.Addr().(*net.TCPAddr).Port
	s.Server = gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		s.mu.Lock()
		s.conns++
		s.mu.Unlock()
		return &mailSession{server: s, ready: s.user == ""}, nil
	}))
	s.Domain = "mail.example.com"
	s.AllowInsecureAuth = true
	s.MaxMessageBytes = 64 << 10
	s.ErrorLog = log.New(io.Discard, "", 0)
	if implicit {
		l = tls.NewListener(l, tlsConfig)
	} else {
		s.TLSConfig = tlsConfig
	}
	var done sync.WaitGroup
	done.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Close(); l.Close(); done.Wait() })
	return s
}

func (s *mailServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

func (s *mailServer) raw() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.arrived...)
}

// delivered returns what arrived as a mail program shows it.
func (s *mailServer) delivered(t testing.TB) (all []deliverytest.Arrived) {
	t.Helper()
	for _, raw := range s.raw() {
		a, _ := parseMail(t, raw)
		all = append(all, a)
	}
	return all
}

func parseMail(t testing.TB, raw []byte) (a deliverytest.Arrived, h mail.Header) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("what arrived is no mail: %v\n%s", err, raw)
	}
	var words mime.WordDecoder
	if a.Subject, err = words.DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	to, err := mail.ParseAddress(m.Header.Get("To"))
	if err != nil {
		t.Fatal(err)
	}
	from, err := mail.ParseAddress(m.Header.Get("From"))
	if err != nil {
		t.Fatal(err)
	}
	a.To, a.From = to.Address, from.String()
	a.ID, _, _ = strings.Cut(strings.Trim(m.Header.Get("Message-Id"), "<>"), "@")
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	decode := func(r io.Reader, encoding string) string {
		if encoding != "quoted-printable" {
			t.Errorf("a part is encoded as %q", encoding)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(r))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), "\r\n", "\n")
	}
	if kind == "text/plain" {
		a.Text = decode(m.Body, m.Header.Get("Content-Transfer-Encoding"))
		return a, m.Header
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return a, m.Header
		}
		if err != nil {
			t.Fatal(err)
		}
		text := decode(p, p.Header.Get("Content-Transfer-Encoding"))
		switch kind := p.Header.Get("Content-Type"); kind {
		case "text/plain; charset=UTF-8":
			a.Text = text
		case "text/html; charset=UTF-8":
			a.HTML = text
		default:
			t.Errorf("a part is %q", kind)
		}
	}
}

type mailSession struct {
	server *mailServer
	ready  bool
	begun  int
}

func (s *mailSession) AuthMechanisms() []string {
	if s.server.user == "" {
		return nil
	}
	if s.server.mechanism != "" {
		return []string{s.server.mechanism}
	}
	return []string{sasl.Plain}
}

func (s *mailSession) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != s.server.user || password != s.server.password {
			return gosmtp.ErrAuthFailed
		}
		s.ready = true
		return nil
	}
	if mechanism == "LOGIN" {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

// loginServer speaks LOGIN, which the library no longer does.
type loginServer struct {
	check func(user, password string) error
	step  int
	user  string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

func (s *mailSession) Mail(from string, _ *gosmtp.MailOptions) error {
	if !s.ready {
		return gosmtp.ErrAuthRequired
	}
	if s.begun++; s.server.limit > 0 && s.begun > s.server.limit {
		return &gosmtp.SMTPError{Code: 421, EnhancedCode: gosmtp.EnhancedCode{4, 7, 0}, Message: "too many messages on this connection"}
	}
	if strings.HasPrefix(from, "stranger@") {
		return &gosmtp.SMTPError{Code: 553, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "<" + from + ">: Sender address rejected: not owned by user"}
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	switch local, _, _ := strings.Cut(to, "@"); local {
	case "nobody":
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "<" + to + ">: Recipient address rejected: User unknown"}
	case "greylisted":
		return &gosmtp.SMTPError{Code: 450, EnhancedCode: gosmtp.EnhancedCode{4, 2, 0}, Message: "<" + to + ">: Greylisted, try again later"}
	}
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	if s.server.drop {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if bytes.Contains(raw, []byte("000666")) {
		return &gosmtp.SMTPError{Code: 554, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "Looks like spam: 000666 is your code"}
	}
	s.server.mu.Lock()
	s.server.arrived = append(s.server.arrived, raw)
	s.server.mu.Unlock()
	return nil
}

func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }

// script starts a server that speaks lines, once: those that begin with "S: " it
// says, "C: " it awaits a line that begins so, "CONTENT" is where it reads up to
// the lone dot, "HANG" is where it says nothing more until the test ends. At the
// end it closes. It returns the port.
func script(t testing.TB, lines ...string) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var done sync.WaitGroup
	t.Cleanup(func() { close(ended); l.Close(); done.Wait() })
	done.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for _, line := range lines {
			switch verb, rest, _ := strings.Cut(line, ": "); verb {
			case "S":
				io.WriteString(conn, rest+"\r\n")
			case "C":
				got, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if !strings.HasPrefix(got, rest) {
					t.Errorf("the client said %q, want %q", got, rest)
				}
			case "CONTENT":
				for {
					got, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if got == ".\r\n" {
						break
					}
				}
			case "HANG":
				<-ended
				return
			default:
				t.Errorf("the script has %q", line)
			}
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// closedPort returns a port where nobody listens.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// open returns an SMTP sender that is closed with the test.
func open(t testing.TB, cfg delivery.SMTPConfig) *delivery.SMTP {
	t.Helper()
	if cfg.Host == "" {
		cfg.Host = "127.0.0.1"
	}
	if cfg.From == "" {
		cfg.From = "login@example.com"
	}
	s, err := delivery.NewSMTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
