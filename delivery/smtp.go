package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/splitpin/splitpin"
)

// An SMTPConfig describes the mail server that takes our letters. Host and From
// are required; the rest is useful as it is.
type SMTPConfig struct {
	Host string // name or address
	Port int    // zero: 587, or 465 where TLS is "implicit"

	// TLS is "starttls", which is required then, never merely tried; "implicit",
	// encrypted from the first byte; or "none", for a server on this very machine
	// only. Empty: implicit on port 465, else starttls.
	TLS string

	Username string // empty: no authentication
	Password splitpin.Secret

	// From is our address: "login@example.com", or with a name:
	// "Example <login@example.com>". Without a name, letters bear the project's.
	From string

	HELO    string        // the name we greet with; empty: this machine's
	Timeout time.Duration // for each step, and three times that for the content; zero: 10 seconds
	// MaxConns is how many connections are open at once; zero: 4.
	MaxConns int
	// Idle is how long an unused connection is kept; zero: 30 seconds. Servers
	// usually close after a minute or more.
	Idle time.Duration

	// RootCAs replaces the authorities of this machine; nil keeps them.
	RootCAs *x509.CertPool
	// Dial opens the connections; nil: a plain dialer. The server's dialer with its
	// rules about private addresses goes here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Clock tells how long a connection has been idle; nil: time.Now.
	Clock func() time.Time
}

// An SMTP hands letters to a mail server. It keeps connections open between
// letters, and opens them when there is something to send. Close it when done.
type SMTP struct {
	cfg  SMTPConfig
	from *mail.Address

	slots chan []byte // as many as connections may be open, each with room for a letter
	mu    sync.Mutex
	idle  []*smtpConn // the one used last stands last
	shut  bool
}

// NewSMTP checks cfg and names everything that is wrong with it, one problem a
// line. It does not connect; see Check.
func NewSMTP(cfg SMTPConfig) (*SMTP, error) {
	var problems []error
	wrong := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("smtp."+format, args...))
	}

	switch {
	case cfg.Host == "":
		wrong("host: is missing")
	case strings.ContainsAny(cfg.Host, " \t\r\n/@") || strings.Contains(cfg.Host, ":") && !isIP(cfg.Host):
		wrong("host: %q is not a host name; the port goes into smtp.port", cfg.Host)
	}
	if cfg.TLS == "" {
		cfg.TLS = "starttls"
		if cfg.Port == 465 {
			cfg.TLS = "implicit"
		}
	}
	switch cfg.TLS {
	case "starttls", "implicit":
	case "none":
		if !isLoopback(cfg.Host) {
			wrong("tls: none would send codes and password in the clear; it is for localhost only")
		}
	default:
		wrong("tls: there is no %q; use starttls, implicit or none", cfg.TLS)
	}
	if cfg.Port == 0 {
		cfg.Port = 587
		if cfg.TLS == "implicit" {
			cfg.Port = 465
		}
	}
	if cfg.Port < 0 || cfg.Port > 65535 {
		wrong("port: %d is not a port", cfg.Port)
	}
	if cfg.Username == "" && cfg.Password != "" {
		wrong("username: is missing, but there is a password")
	}
	if cfg.Username != "" && cfg.Password == "" {
		wrong("password: is missing, but there is a user name")
	}
	from, err := mail.ParseAddress(cfg.From)
	switch {
	case cfg.From == "":
		wrong("from: is missing; the address that messages come from, as login@example.com")
	case err != nil || !plainAddress(from.Address) || oneLine(from.Name, 200) != from.Name:
		wrong("from: %q is not an address like login@example.com or Example <login@example.com>", cfg.From)
	}
	if cfg.HELO == "" {
		cfg.HELO = "localhost"
		if name, err := os.Hostname(); err == nil && plainHost(name) {
			cfg.HELO = name
		}
	}
	if !plainHost(cfg.HELO) {
		wrong("helo: %q is not a host name", cfg.HELO)
	}
	if cfg.Timeout < 0 || cfg.Idle < 0 || cfg.MaxConns < 0 {
		wrong("timeout, idle, max_conns: must not be negative")
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}

	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 4
	}
	if cfg.Idle == 0 {
		cfg.Idle = 30 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	s := &SMTP{cfg: cfg, from: from, slots: make(chan []byte, cfg.MaxConns)}
	for range cfg.MaxConns {
		s.slots <- nil
	}
	return s, nil
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// plainHost reports whether name can stand in a greeting.
func plainHost(name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("<>()@,;\\\"", c) >= 0 {
			return false
		}
	}
	return true
}

// plainAddress reports whether an address can stand in a command as it is: the
// canonical form of account.ParseIdentifier. It keeps line breaks, brackets and
// further parameters out of MAIL and RCPT.
func plainAddress(address string) bool {
	local, domain, ok := strings.Cut(address, "@")
	return ok && plainHost(local) && plainHost(domain) && len(address) <= 254
}

// Send hands l to the mail server.
func (s *SMTP) Send(ctx context.Context, l *Letter) error {
	if !plainAddress(l.To) {
		return &SendError{Stage: StageMessage, Detail: "the recipient is not a mail address in canonical form"}
	}
	var room []byte
	select {
	case room = <-s.slots:
		defer func() { s.slots <- room }()
	case <-ctx.Done():
		return stopped(ctx, nil)
	}
	body, err := s.compose(l, room)
	if err != nil {
		return &SendError{Stage: StageMessage, Detail: Scrub(err.Error(), l), cause: err}
	}
	room = body
	// A kept connection may have been closed by the server. Until the server
	// answered our first command nothing was sent, so a new one is tried at once.
	for {
		c, kept, err := s.connection(ctx)
		if err != nil {
			return err
		}
		err = c.send(ctx, s.from.Address, l, body)
		if err == nil {
			s.keep(c)
			return nil
		}
		var gone *connGone
		switch {
		case kept && errors.As(err, &gone) && ctx.Err() == nil:
			c.Close()
			continue
		case c.usable:
			s.keep(c)
		default:
			c.Close()
		}
		if errors.As(err, &gone) {
			return gone.err
		}
		return err
	}
}

// compose writes the letter as RFC 5322 has it, ready to follow DATA, where there is
// room for it into room.
func (s *SMTP) compose(l *Letter, room []byte) ([]byte, error) {
	if content := s.composeByForm(l, room); content != nil {
		return content, nil
	}
	l.complete()
	return s.write(l, l.At.UTC().Format(time.RFC1123Z), "")
}

// write composes a letter in full. Without a boundary it gets a random one.
func (s *SMTP) write(l *Letter, date, boundary string) ([]byte, error) {
	name := s.from.Name
	if name == "" {
		name = oneLine(l.From, 60)
	}
	_, domain, _ := strings.Cut(s.from.Address, "@")

	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary(boundary))
	m.FromMailAddress(&mail.Address{Name: name, Address: s.from.Address})
	m.ToMailAddress(&mail.Address{Address: l.To})
	m.Subject(oneLine(l.Subject, 200))
	m.SetGenHeader(gomail.HeaderDate, date)
	if id := headerWord(l.ID); id != "" {
		m.SetMessageIDWithValue(id + "@" + domain)
	}
	if locale := headerWord(l.Locale); locale != "" {
		m.SetGenHeader(gomail.HeaderContentLang, locale)
	}
	// Nobody's holiday answer is wanted.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All")
	m.SetBodyString(gomail.TypeTextPlain, crlf(l.Text))
	if l.HTML != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, crlf(l.HTML))
	}
	var b bytes.Buffer
	b.Grow(2*len(l.HTML) + 2*len(l.Text) + 1024)
	if _, err := m.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("composing the message: %w", err)
	}
	return transparent(b.Bytes()), nil
}

// transparent makes content that can follow DATA: every line ends in CRLF, one that
// begins with a dot gets another, and a lone dot ends it all (RFC 5321, 4.5.2).
// Line breaks of any other kind become CRLF, so that no server can read an end
// into the content where we see none.
func transparent(content []byte) []byte {
	lines := bytes.Count(content, []byte("\r\n"))
	if bytes.Count(content, []byte("\r")) != lines || bytes.Count(content, []byte("\n")) != lines {
		content = []byte(crlf(string(content)))
	}
	if len(content) > 0 && !bytes.HasSuffix(content, []byte("\r\n")) {
		content = append(content, "\r\n"...)
	}
	content = bytes.ReplaceAll(content, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(content, []byte(".")) {
		content = append([]byte("."), content...)
	}
	return append(content, ".\r\n"...)
}

// headerWord keeps what may stand in a header unquoted.
func headerWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return -1
	}, s)
}

// crlf makes every line end as mail wants it, whatever it ended in before.
func crlf(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	return strings.ReplaceAll(text, "\n", "\r\n")
}

// connection returns an open connection: a kept one, or a new one. The caller
// holds a slot.
func (s *SMTP) connection(ctx context.Context) (c *smtpConn, kept bool, err error) {
	now := s.cfg.Clock()
	s.mu.Lock()
	if s.shut {
		s.mu.Unlock()
		return nil, false, &SendError{Stage: StageCancelled, Temporary: true, Detail: "the sender was closed"}
	}
	var stale []*smtpConn
	for len(s.idle) > 0 && c == nil {
		last := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		if now.Sub(last.usedAt) < s.cfg.Idle {
			c = last
		} else {
			// Older ones stand before it: all of them are stale.
			stale = append(append(stale, last), s.idle...)
			s.idle = nil
		}
	}
	s.mu.Unlock()
	for _, old := range stale {
		old.Close()
	}
	if c != nil {
		return c, true, nil
	}
	c, err = s.open(ctx, func(Stage, string) {})
	return c, false, err
}

// keep puts a connection aside for the next letter.
func (s *SMTP) keep(c *smtpConn) {
	c.usedAt = s.cfg.Clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		c.Close()
		return
	}
	s.idle = append(s.idle, c)
}

// Close says goodbye on the kept connections. Letters being sent are finished;
// further ones are refused.
func (s *SMTP) Close() error {
	s.mu.Lock()
	s.shut = true
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, c := range idle {
		c.quit()
	}
	return nil
}

// A CheckStep is one step towards the server, as Check saw it.
type CheckStep struct {
	Stage  Stage
	OK     bool
	Detail string // what was seen, or what failed
}

// Check goes all the way to the server, short of sending: resolve, connect, TLS,
// authentication, and whether it would take our address. It returns the steps it
// made; the last one tells whether all is well.
func (s *SMTP) Check(ctx context.Context) []CheckStep {
	var steps []CheckStep
	done := func(stage Stage, detail string) {
		steps = append(steps, CheckStep{Stage: stage, OK: true, Detail: detail})
	}
	failed := func(err error) []CheckStep {
		e := asSendError(err)
		return append(steps, CheckStep{Stage: e.Stage, Detail: e.Detail})
	}
	c, err := s.open(ctx, done)
	if err != nil {
		return failed(err)
	}
	defer c.quit()
	if err := c.tryFrom(ctx, s.from.Address); err != nil {
		var gone *connGone
		if errors.As(err, &gone) {
			err = gone.err
		}
		return failed(err)
	}
	done(StageFrom, "the server takes messages from "+Scrub(s.from.Address, nil))
	return steps
}

// open connects, encrypts and authenticates, telling done of each step.
func (s *SMTP) open(ctx context.Context, done func(Stage, string)) (*smtpConn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	host, port := s.cfg.Host, fmt.Sprint(s.cfg.Port)

	// Resolved by itself first, so that a wrong name and a server that is down are
	// told apart whatever the dialer says.
	if !isIP(host) {
		addresses, err := net.DefaultResolver.LookupHost(dialCtx, host)
		if err != nil {
			return nil, s.resolveError(ctx, err)
		}
		done(StageResolve, host+" is at "+strings.Join(addresses, ", "))
	}

	raw, err := s.cfg.Dial(dialCtx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, s.connectError(ctx, err)
	}
	c := &smtpConn{raw: raw, timeout: s.cfg.Timeout, usedAt: s.cfg.Clock()}
	ok := false
	defer func() {
		if !ok {
			c.Close()
		}
	}()
	defer c.watch(ctx)()

	tlsConfig := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: s.cfg.RootCAs}
	conn := raw
	if s.cfg.TLS == "implicit" {
		t := tls.Client(raw, tlsConfig)
		if err := t.HandshakeContext(dialCtx); err != nil {
			return nil, s.tlsError(ctx, err)
		}
		done(StageTLS, tlsDetail(t.ConnectionState()))
		conn = t
	}
	c.client, err = smtp.NewClient(conn, host)
	if err != nil {
		return nil, s.greetingError(ctx, err)
	}
	c.client.SkipSMTPUTF8(true) // our addresses are ASCII: some servers refuse the rest
	if err := c.client.Hello(s.cfg.HELO); err != nil {
		return nil, s.greetingError(ctx, err)
	}
	done(StageConnect, fmt.Sprintf("%s answers on port %s: %s", host, port, Scrub(c.client.HelloResponse(), nil)))

	if s.cfg.TLS == "starttls" {
		if offered, _ := c.client.Extension("STARTTLS"); !offered {
			return nil, &SendError{Stage: StageTLS, Temporary: true, Detail: fmt.Sprintf(
				"%s does not offer STARTTLS on port %s, so nothing was sent; use smtp.tls = \"implicit\" with port 465, or another port", host, port)}
		}
		if err := c.client.StartTLS(tlsConfig); err != nil {
			return nil, s.tlsError(ctx, err)
		}
		state, _ := c.client.TLSConnectionState()
		done(StageTLS, tlsDetail(state))
	}

	if s.cfg.Username != "" {
		mechanism, err := s.authenticate(c.client)
		if err != nil {
			return nil, s.authError(ctx, err)
		}
		done(StageAuth, "signed in by "+mechanism)
	}
	c.pipelining, _ = c.client.Extension("PIPELINING")
	ok = true
	return c, nil
}

// authenticate signs in by the first of our mechanisms that the server offers.
// The plain ones come first: under TLS they are as good, and every server that
// offers them has them right.
func (s *SMTP) authenticate(c *smtp.Client) (mechanism string, err error) {
	_, offered := c.Extension("AUTH")
	user, password := s.cfg.Username, s.cfg.Password.Reveal()
	for _, m := range []struct {
		name string
		auth smtp.Auth
	}{
		{"PLAIN", smtp.PlainAuth("", user, password, s.cfg.Host, s.cfg.TLS == "none")},
		{"LOGIN", smtp.LoginAuth(user, password, s.cfg.Host, s.cfg.TLS == "none")},
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(user, password)},
		{"CRAM-MD5", smtp.CRAMMD5Auth(user, password)},
	} {
		for name := range strings.FieldsSeq(offered) {
			if strings.EqualFold(name, m.name) {
				return m.name, c.Auth(m.auth)
			}
		}
	}
	if offered == "" {
		return "", errNoAuth
	}
	return "", fmt.Errorf("%w: it offers %s", errNoMechanism, offered)
}

var (
	errNoAuth      = errors.New("the server offers no authentication here")
	errNoMechanism = errors.New("the server offers none of PLAIN, LOGIN, SCRAM-SHA-256 and CRAM-MD5")
)

func tlsDetail(state tls.ConnectionState) string {
	detail := "encrypted by " + tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		detail += ", certificate valid until " + state.PeerCertificates[0].NotAfter.UTC().Format("2 January 2006")
	}
	return detail
}

// Diagnoses. Whatever is about the server rather than the letter is temporary:
// an operator who mends it within the life of a code still gets the letter out.

// stopped is the error of a send that we ended ourselves.
func stopped(ctx context.Context, err error) error {
	if err == nil {
		err = ctx.Err()
	}
	return &SendError{Stage: StageCancelled, Temporary: true, Detail: "stopped before the server had taken the message", cause: err}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func (s *SMTP) resolveError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, err)
	}
	detail := "the name server did not answer about " + s.cfg.Host + "; is the network up?"
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		detail = "there is no host " + s.cfg.Host + "; check smtp.host"
	}
	return &SendError{Stage: StageResolve, Temporary: true, Detail: detail, cause: err}
}

func (s *SMTP) connectError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, err)
	}
	where := net.JoinHostPort(s.cfg.Host, fmt.Sprint(s.cfg.Port))
	detail := "connecting to " + where + ": " + err.Error()
	switch {
	case isRefused(err):
		detail = where + " refuses connections; check smtp.port, and that the server runs"
	case isTimeout(err):
		detail = fmt.Sprintf("%s did not answer within %s; a firewall may block the port (many networks block 25)", where, s.cfg.Timeout)
	}
	return &SendError{Stage: StageConnect, Temporary: true, Detail: Scrub(detail, nil), cause: err}
}

func (s *SMTP) greetingError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, err)
	}
	where := net.JoinHostPort(s.cfg.Host, fmt.Sprint(s.cfg.Port))
	var reply *textproto.Error
	var detail string
	switch {
	case errors.As(err, &reply):
		detail = fmt.Sprintf("%s does not want to talk to us: %d %s", where, reply.Code, reply.Msg)
	case isTimeout(err):
		detail = fmt.Sprintf("%s took the connection, but said nothing within %s", where, s.cfg.Timeout)
		if s.cfg.TLS != "implicit" {
			detail += "; if it expects TLS from the start, set smtp.tls = \"implicit\""
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
		detail = where + " closed the connection before greeting us"
	default:
		detail = where + " does not answer as a mail server: " + err.Error()
	}
	return &SendError{Stage: StageConnect, Temporary: true, Detail: Scrub(detail, nil), cause: err}
}

func (s *SMTP) tlsError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, err)
	}
	var (
		reply  *textproto.Error
		record tls.RecordHeaderError
	)
	host := s.cfg.Host
	detail := certificateDetail(host, "smtp.host", err)
	switch {
	case errors.As(err, &reply):
		detail = fmt.Sprintf("%s offers STARTTLS but refuses it: %d %s", host, reply.Code, reply.Msg)
	case errors.As(err, &record):
		detail = fmt.Sprintf("%s does not speak TLS from the start on port %d; use smtp.tls = \"starttls\"", host, s.cfg.Port)
	case detail != "":
	case isTimeout(err):
		detail = fmt.Sprintf("%s did not finish the TLS handshake within %s", host, s.cfg.Timeout)
	case errors.Is(err, io.EOF), isReset(err):
		detail = host + " closed the connection during the TLS handshake"
	default:
		detail = "no encrypted connection to " + host + ": " + err.Error()
	}
	return &SendError{Stage: StageTLS, Temporary: true, Detail: Scrub(detail, nil), cause: err}
}

func (s *SMTP) authError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, err)
	}
	var reply *textproto.Error
	var detail string
	switch {
	case errors.As(err, &reply) && reply.Code == 535:
		detail = fmt.Sprintf("user name or password rejected: %d %s; check smtp.username and smtp.password", reply.Code, reply.Msg)
	case errors.As(err, &reply):
		detail = fmt.Sprintf("signing in was refused: %d %s", reply.Code, reply.Msg)
	case errors.Is(err, errNoAuth):
		detail = err.Error() + "; remove smtp.username, or use the port for submission (587 or 465)"
	default:
		detail = "signing in failed: " + err.Error()
	}
	if p := s.cfg.Password.Reveal(); p != "" {
		detail = strings.ReplaceAll(detail, p, "[password]") // should a server echo it
	}
	return &SendError{Stage: StageAuth, Temporary: true, Detail: Scrub(detail, nil), cause: err}
}

// An smtpConn is one connection, used by one goroutine at a time.
type smtpConn struct {
	client     *smtp.Client
	raw        net.Conn
	timeout    time.Duration
	pipelining bool // the server takes several commands at once (RFC 2920)
	usedAt     time.Time

	// usable tells after a failed send whether the connection is still in step.
	usable bool
}

// A connGone means that the connection broke before the server took any notice
// of the letter: trying again elsewhere cannot send it twice.
type connGone struct{ err error }

func (g *connGone) Error() string { return g.err.Error() }
func (g *connGone) Unwrap() error { return g.err }

// watch bounds the next exchange by the timeout and by ctx. The returned function
// ends the watch.
func (c *smtpConn) watch(ctx context.Context) (stop func()) {
	c.raw.SetDeadline(time.Now().Add(c.timeout))
	end := context.AfterFunc(ctx, func() { c.raw.SetDeadline(time.Unix(1, 0)) })
	return func() { end() }
}

// Close drops the connection.
func (c *smtpConn) Close() { c.raw.Close() }

// quit says goodbye, but does not wait long for an answer.
func (c *smtpConn) quit() {
	c.raw.SetDeadline(time.Now().Add(time.Second))
	c.client.Quit()
	c.raw.Close()
}

// send makes one mail transaction with content that transparent made. Afterwards c.usable tells whether the
// connection can be kept.
func (c *smtpConn) send(ctx context.Context, from string, l *Letter, body []byte) error {
	defer c.watch(ctx)()
	c.usable = false

	stage, err := c.envelope(from, l.To)
	if err != nil {
		var reply *textproto.Error
		if !errors.As(err, &reply) {
			broken := c.broken(ctx, stage, err)
			if isTimeout(err) {
				return broken // the server is slow, not gone: another connection would wait as long
			}
			return &connGone{broken}
		}
		if reply.Code == 421 {
			// "Closing": it takes no more letters on this connection.
			return &connGone{replyError(stage, reply, l)}
		}
		c.usable = c.client.Reset() == nil
		return replyError(stage, reply, l)
	}

	// Content is looked at before it is taken, which may take a while; giving up
	// early would have the reader get it twice.
	c.raw.SetDeadline(time.Now().Add(3 * c.timeout))
	if ctx.Err() != nil {
		return stopped(ctx, nil)
	}
	text := c.client.Text
	if _, err = text.W.Write(body); err == nil {
		err = text.W.Flush()
	}
	if err == nil {
		_, _, err = text.ReadResponse(250)
	}
	if err == nil {
		c.usable = true
		return nil
	}
	var reply *textproto.Error
	if errors.As(err, &reply) {
		c.usable = reply.Code != 421 && c.client.Reset() == nil
		return replyError(StageData, reply, l)
	}
	return c.broken(ctx, StageData, err)
}

// envelope says who the letter is from and for, up to the server's word to go
// ahead. It returns the stage that failed. Where the server allows, all three
// commands leave in one packet.
func (c *smtpConn) envelope(from, to string) (Stage, error) {
	if !c.pipelining {
		if err := c.client.Mail("<" + from + ">"); err != nil {
			return StageFrom, err
		}
		if err := c.client.Rcpt("<" + to + ">"); err != nil {
			return StageRecipient, err
		}
		text := c.client.Text
		if err := text.PrintfLine("DATA"); err != nil {
			return StageData, err
		}
		_, _, err := text.ReadResponse(354)
		return StageData, err
	}

	text := c.client.Text
	parameters := ""
	if ok, _ := c.client.Extension("8BITMIME"); ok {
		parameters = " BODY=8BITMIME"
	}
	fmt.Fprintf(text.W, "MAIL FROM:<%s>%s\r\nRCPT TO:<%s>\r\nDATA\r\n", from, parameters, to)
	if err := text.W.Flush(); err != nil {
		return StageFrom, err
	}
	_, _, fromErr := text.ReadResponse(250)
	if fromErr != nil && !isReply(fromErr) {
		return StageFrom, fromErr
	}
	_, _, toErr := text.ReadResponse(25)
	if toErr != nil && !isReply(toErr) {
		if fromErr != nil {
			return StageFrom, fromErr // the reply before it broke off tells more
		}
		return StageRecipient, toErr
	}
	_, _, dataErr := text.ReadResponse(354)
	switch {
	case fromErr == nil && toErr == nil:
		return StageData, dataErr
	case dataErr == nil:
		// It refused the envelope and yet wants content: it gets none, which
		// RFC 2920 has it refuse.
		text.W.WriteString(".\r\n")
		if err := text.W.Flush(); err == nil {
			text.ReadResponse(0)
		}
	}
	if fromErr != nil {
		return StageFrom, fromErr
	}
	return StageRecipient, toErr
}

func isReply(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply)
}

// tryFrom asks whether the server takes our address, and takes it back.
func (c *smtpConn) tryFrom(ctx context.Context, from string) error {
	defer c.watch(ctx)()
	err := c.client.Mail("<" + from + ">")
	var reply *textproto.Error
	switch {
	case errors.As(err, &reply):
		return replyError(StageFrom, reply, nil)
	case err != nil:
		return c.broken(ctx, StageFrom, err)
	}
	c.client.Reset()
	return nil
}

// broken is the error of a connection that failed in the midst of a letter.
func (c *smtpConn) broken(ctx context.Context, stage Stage, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, err)
	}
	detail := "the connection broke: " + err.Error()
	switch {
	case isTimeout(err):
		detail = fmt.Sprintf("the server did not answer within %s", c.timeout)
	case errors.Is(err, io.EOF), isReset(err):
		detail = "the server closed the connection"
	}
	return &SendError{Stage: stage, Temporary: true, Detail: Scrub(detail, nil), cause: err}
}

// replyError turns a refusal into ours: 4xx may pass, 5xx will not.
func replyError(stage Stage, reply *textproto.Error, l *Letter) error {
	temporary := reply.Code < 500
	what := "the server said"
	switch {
	case stage == StageFrom && !temporary:
		what = "the server does not let us send from this address; check smtp.from"
	case stage == StageFrom:
		what = "the server does not take messages from us just now"
	case stage == StageRecipient && !temporary:
		what = "the server does not take messages for this recipient"
	case stage == StageRecipient:
		what = "the server does not take messages for this recipient just now"
	case reply.Code == 552 || strings.HasPrefix(reply.Msg, "5.3.4"):
		what = "the message is too big for the server, or the mailbox is full"
	case stage == StageData && !temporary:
		what = "the server refuses the message, perhaps as spam"
	case stage == StageData:
		what = "the server does not take the message just now"
	}
	return &SendError{Stage: stage, Temporary: temporary,
		Detail: Scrub(fmt.Sprintf("%s: %d %s", what, reply.Code, reply.Msg), l), cause: reply}
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
