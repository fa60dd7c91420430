package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

func TestSMTP(t *testing.T) {
	ca := newAuthority(t)
	for _, tt := range []struct {
		name      string
		cfg       delivery.SMTPConfig
		mechanism string
	}{
		{name: "in the clear", cfg: delivery.SMTPConfig{TLS: "none"}},
		{name: "STARTTLS", cfg: delivery.SMTPConfig{TLS: "starttls"}},
		{name: "STARTTLS and PLAIN", cfg: delivery.SMTPConfig{Username: "login", Password: "öffne dich"}},
		{name: "STARTTLS and LOGIN", cfg: delivery.SMTPConfig{Username: "login", Password: "sesame"}, mechanism: "LOGIN"},
		{name: "TLS and PLAIN", cfg: delivery.SMTPConfig{TLS: "implicit", Username: "login", Password: "sesame", MaxConns: 2}},
		{name: "one connection", cfg: delivery.SMTPConfig{TLS: "implicit", MaxConns: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			deliverytest.Run(t, func(t *testing.T) deliverytest.Rig {
				cfg := tt.cfg
				server := &mailServer{user: cfg.Username, password: cfg.Password.Reveal(), mechanism: tt.mechanism}
				startMail(t, server, ca.issue(t, "127.0.0.1", time.Hour), cfg.TLS == "implicit")
				cfg.Port, cfg.RootCAs = server.port, ca.pool
				return deliverytest.Rig{
					Sender: open(t, cfg), To: "ada@example.com", Refused: "nobody@example.com",
					Delivered: func() []deliverytest.Arrived { return server.delivered(t) },
					Break:     func() { server.Close() },
				}
			})
		})
	}
}

func TestSMTPHeaders(t *testing.T) {
	server := startMail(t, new(mailServer), nil, false)
	s := open(t, delivery.SMTPConfig{Port: server.port, TLS: "none"})
	named := open(t, delivery.SMTPConfig{Port: server.port, TLS: "none", From: "Sign-in desk <login@example.com>"})
	l := deliverytest.Letter("ada@example.com", 1)
	for _, sender := range []delivery.Sender{s, named, s} {
		if err := sender.Send(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	_, h := parseMail(t, server.raw()[0])
	for name, want := range map[string]string{
		"From": `"Example" <login@example.com>`, "To": "<ada@example.com>", "Subject": "000001 is your code for Example",
		"Message-Id": "<letter1abcdefgh@example.com>", "Date": "Sun, 22 Nov 2026 14:03:07 +0000",
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Content-Language": "en",
		"Mime-Version": "1.0", "User-Agent": "", "X-Mailer": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	_, h2 := parseMail(t, server.raw()[1])
	if got, want := h2.Get("From"), `"Sign-in desk" <login@example.com>`; got != want {
		t.Errorf("From: %q, want %q", got, want)
	}
	_, h3 := parseMail(t, server.raw()[2])
	if h3.Get("Message-Id") != h.Get("Message-Id") {
		t.Error("the same letter sent twice bears two ids")
	}
}

// No field of a letter can add a header, a part, a recipient or a command.
func TestSMTPInjection(t *testing.T) {
	server := startMail(t, new(mailServer), nil, false)
	s := open(t, delivery.SMTPConfig{Port: server.port, TLS: "none"})
	evil := []string{"\r\nBcc: all@example.com\r\n", "\nBcc: all@example.com\n\n", "\rBcc: all@example.com\r", "\x00\r\n.\r\nMAIL FROM:<x@example.com>\r\n", "\u2028Bcc: all@example.com"}
	fields := map[string]func(*delivery.Letter, string){
		"ID":      func(l *delivery.Letter, v string) { l.ID += v },
		"From":    func(l *delivery.Letter, v string) { l.From += v },
		"Subject": func(l *delivery.Letter, v string) { l.Subject += v },
		"Locale":  func(l *delivery.Letter, v string) { l.Locale += v },
		"Text":    func(l *delivery.Letter, v string) { l.Text += v },
		"HTML":    func(l *delivery.Letter, v string) { l.HTML += v },
		"Channel": func(l *delivery.Letter, v string) { l.Channel += splitpin.Channel(v) },
	}
	plain := deliverytest.Letter("ada@example.com", 1)
	if err := s.Send(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	_, want := parseMail(t, server.raw()[0])
	for name, set := range fields {
		for _, v := range evil {
			before := len(server.raw())
			l := deliverytest.Letter("ada@example.com", 1)
			set(l, v)
			if err := s.Send(t.Context(), l); err != nil {
				t.Fatalf("%s with %q: %v", name, v, err)
			}
			raw := server.raw()[before:]
			if len(raw) != 1 {
				t.Fatalf("%s with %q: %d letters", name, v, len(raw))
			}
			got, h := parseMail(t, raw[0])
			if len(h) != len(want) || h.Get("Bcc") != "" || got.To != "ada@example.com" {
				t.Errorf("%s with %q: headers %v", name, v, h)
			}
			if !strings.HasSuffix(h.Get("From"), "<login@example.com>") || got.Text == "" || got.HTML == "" {
				t.Errorf("%s with %q arrived as %+v", name, v, got)
			}
		}
	}
	before := len(server.raw())
	for _, to := range []string{"ada@example.com\r\nRCPT TO:<eve@example.com>", "ada@example.com> NOTIFY=NEVER", "<ada@example.com>",
		"ada@example.com,eve@example.com", "Ada <ada@example.com>", "ada", "", "ada@example.com\x00", "a\"b@example.com", "дом@example.com", strings.Repeat("a", 250) + "@example.com"} {
		var e *delivery.SendError
		if err := s.Send(t.Context(), deliverytest.Letter(to, 1)); !errors.As(err, &e) || e.Stage != delivery.StageMessage || e.Temporary {
			t.Errorf("to %q: %v, want a permanent failure at %q", to, err, delivery.StageMessage)
		}
	}
	if n := len(server.raw()); n != before {
		t.Errorf("%d letters arrived for addresses that are none", n-before)
	}
}

// Each way in which sending fails says which step it was, whether it may pass,
// and what to do.
func TestSMTPDiagnosis(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	greeting := []string{"S: 220 mail.example.com ready", "C: EHLO"}
	speak := func(more ...string) func(t *testing.T) int {
		return func(t *testing.T) int { return script(t, append(greeting[:2:2], more...)...) }
	}
	real := func(s *mailServer, host string, life time.Duration, implicit bool) func(t *testing.T) int {
		return func(t *testing.T) int { return startMail(t, s, ca.issue(t, host, life), implicit).port }
	}
	clear := delivery.SMTPConfig{TLS: "none"}
	quick := delivery.SMTPConfig{TLS: "none", Timeout: 100 * time.Millisecond}

	for _, tt := range []struct {
		name      string
		server    func(t *testing.T) int
		cfg       delivery.SMTPConfig
		to        string
		text      string
		n         int
		stage     delivery.Stage
		permanent bool
		want      []string
	}{
		{name: "unknown host", server: closedPort, cfg: delivery.SMTPConfig{Host: "mail.invalid"},
			stage: delivery.StageResolve, want: []string{"mail.invalid"}},
		{name: "refused", server: closedPort, cfg: clear,
			stage: delivery.StageConnect, want: []string{"refuses connections", "smtp.port"}},
		{name: "unwelcome", server: func(t *testing.T) int { return script(t, "S: 554 5.7.1 your address is on a list") }, cfg: clear,
			stage: delivery.StageConnect, want: []string{"does not want to talk to us: 554 5.7.1 your address is on a list"}},
		{name: "no mail server", server: func(t *testing.T) int { return script(t, "S: * OK IMAP4 ready") }, cfg: clear,
			stage: delivery.StageConnect, want: []string{"does not answer as a mail server"}},
		{name: "silent", server: func(t *testing.T) int { return script(t, "HANG") }, cfg: quick,
			stage: delivery.StageConnect, want: []string{"said nothing", `"implicit"`}},
		{name: "closed at once", server: func(t *testing.T) int { return script(t) }, cfg: clear,
			stage: delivery.StageConnect, want: []string{"closed the connection before greeting us"}},
		{name: "no STARTTLS", server: speak("S: 250-mail.example.com", "S: 250 AUTH PLAIN"), cfg: delivery.SMTPConfig{Username: "u", Password: "p"},
			stage: delivery.StageTLS, want: []string{"does not offer STARTTLS", "nothing was sent"}},
		{name: "STARTTLS refused", server: speak("S: 250-mail.example.com", "S: 250 STARTTLS", "C: STARTTLS", "S: 454 4.7.0 no certificate"), cfg: delivery.SMTPConfig{},
			stage: delivery.StageTLS, want: []string{"refuses it: 454 4.7.0 no certificate"}},
		{name: "name mismatch", server: real(&mailServer{}, "mail.example.net", time.Hour, true), cfg: delivery.SMTPConfig{TLS: "implicit", RootCAs: ca.pool},
			stage: delivery.StageTLS, want: []string{"not for 127.0.0.1"}},
		{name: "name mismatch after STARTTLS", server: real(&mailServer{}, "mail.example.net", time.Hour, false), cfg: delivery.SMTPConfig{Host: "localhost", RootCAs: ca.pool},
			stage: delivery.StageTLS, want: []string{"not for localhost, but for mail.example.net", "smtp.host"}},
		{name: "unknown authority", server: real(&mailServer{}, "127.0.0.1", time.Hour, true), cfg: delivery.SMTPConfig{TLS: "implicit", RootCAs: stranger.pool},
			stage: delivery.StageTLS, want: []string{"authority this machine does not know"}},
		{name: "expired", server: real(&mailServer{}, "127.0.0.1", -time.Hour, true), cfg: delivery.SMTPConfig{TLS: "implicit", RootCAs: ca.pool},
			stage: delivery.StageTLS, want: []string{"not valid today", "clock"}},
		{name: "TLS where there is none", server: func(t *testing.T) int { return script(t, "S: 220 mail.example.com ready") }, cfg: delivery.SMTPConfig{TLS: "implicit"},
			stage: delivery.StageTLS, want: []string{`"starttls"`}},
		{name: "wrong password", server: real(&mailServer{user: "login", password: "sesame"}, "127.0.0.1", time.Hour, true),
			cfg:   delivery.SMTPConfig{TLS: "implicit", RootCAs: ca.pool, Username: "login", Password: "guess-me-not"},
			stage: delivery.StageAuth, want: []string{"user name or password rejected: 535", "smtp.password"}},
		{name: "password echoed", server: speak("S: 250-mail.example.com", "S: 250 AUTH PLAIN", "C: AUTH PLAIN", "S: 535 no such pair: login guess-me-not", "C: *", "S: 500 what", "C: QUIT", "S: 221 bye"),
			cfg:   delivery.SMTPConfig{TLS: "none", Username: "login", Password: "guess-me-not"},
			stage: delivery.StageAuth, want: []string{"rejected: 535"}},
		{name: "no AUTH", server: real(&mailServer{}, "127.0.0.1", time.Hour, true),
			cfg:   delivery.SMTPConfig{TLS: "implicit", RootCAs: ca.pool, Username: "login", Password: "sesame"},
			stage: delivery.StageAuth, want: []string{"offers no authentication", "smtp.username"}},
		{name: "unknown AUTH", server: speak("S: 250-mail.example.com", "S: 250 AUTH GSSAPI NTLM"),
			cfg:   delivery.SMTPConfig{TLS: "none", Username: "login", Password: "sesame"},
			stage: delivery.StageAuth, want: []string{"GSSAPI NTLM"}},
		{name: "our address", server: real(&mailServer{}, "127.0.0.1", time.Hour, false), cfg: delivery.SMTPConfig{TLS: "none", From: "stranger@example.com"},
			stage: delivery.StageFrom, permanent: true, want: []string{"smtp.from", "553 5.7.1 <…@example.com>: Sender address rejected"}},
		{name: "AUTH wanted", server: real(&mailServer{user: "u", password: "p"}, "127.0.0.1", time.Hour, false), cfg: clear,
			stage: delivery.StageFrom, permanent: true, want: []string{"502 5.7.0 Please authenticate first"}},
		{name: "our address, not now", server: speak("S: 250 mail.example.com", "C: MAIL FROM:<login@example.com>", "S: 451 4.3.0 try later", "C: RSET", "S: 250 ok"), cfg: clear,
			stage: delivery.StageFrom, want: []string{"just now: 451 4.3.0 try later"}},
		{name: "recipient", server: real(&mailServer{}, "127.0.0.1", time.Hour, false), cfg: clear, to: "nobody@example.org",
			stage: delivery.StageRecipient, permanent: true, want: []string{"550 5.1.1 <…@example.org>: Recipient address rejected: User unknown"}},
		{name: "greylisted", server: real(&mailServer{}, "127.0.0.1", time.Hour, false), cfg: clear, to: "greylisted@example.org",
			stage: delivery.StageRecipient, want: []string{"just now: 450 4.2.0 <…@example.org>: Greylisted"}},
		{name: "too big", server: real(&mailServer{}, "127.0.0.1", time.Hour, false), cfg: clear, text: strings.Repeat("a long story ", 9000),
			stage: delivery.StageData, permanent: true, want: []string{"too big", "552 5.3.4"}},
		{name: "spam, with the code quoted", server: real(&mailServer{}, "127.0.0.1", time.Hour, false), cfg: clear, n: 666,
			stage: delivery.StageData, permanent: true, want: []string{"554 5.7.1 Looks like spam: [code] is your code"}},
		{name: "closed while sending", server: speak("S: 250 mail.example.com", "C: MAIL", "S: 250 ok", "C: RCPT", "S: 250 ok", "C: DATA", "S: 354 go on"), cfg: clear,
			stage: delivery.StageData, want: []string{"closed the connection"}},
		{name: "going down", server: speak("S: 250 mail.example.com", "C: MAIL", "S: 421 4.3.2 shutting down"), cfg: clear,
			stage: delivery.StageFrom, want: []string{"421 4.3.2 shutting down"}},
		{name: "no answer to content", server: speak("S: 250 mail.example.com", "C: MAIL", "S: 250 ok", "C: RCPT", "S: 250 ok", "C: DATA", "S: 354 go on", "CONTENT", "HANG"), cfg: quick,
			stage: delivery.StageData, want: []string{"did not answer within"}},
		{name: "refused in a pipeline that goes on", server: speak("S: 250-mail.example.com", "S: 250 PIPELINING", "C: MAIL", "S: 250 ok", "C: RCPT", "S: 550 5.1.1 unknown", "C: DATA", "S: 354 go on", "C: .", "S: 554 no recipients", "C: RSET", "S: 250 ok"), cfg: clear,
			stage: delivery.StageRecipient, permanent: true, want: []string{"550 5.1.1 unknown"}},
		{name: "a reply of many lines", server: speak("S: 250 mail.example.com", "C: MAIL", "S: 250 ok", "C: RCPT", "S: 550-5.7.26 first", "S: 550 5.7.26 second\x1b[31m", "C: RSET", "S: 250 ok"), cfg: clear,
			stage: delivery.StageRecipient, permanent: true, want: []string{"550 5.7.26 first 5.7.26 second[31m"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tt.cfg
			cfg.Port = tt.server(t)
			to, n := "ada@example.com", 7
			if tt.to != "" {
				to = tt.to
			}
			if tt.n != 0 {
				n = tt.n
			}
			l := deliverytest.Letter(to, n)
			if tt.text != "" {
				l.Text = tt.text
			}
			err := open(t, cfg).Send(t.Context(), l)
			var e *delivery.SendError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *delivery.SendError", err)
			}
			if e.Stage != tt.stage || e.Temporary == tt.permanent {
				t.Errorf("stage %q, temporary %v; want %q, %v (%s)", e.Stage, e.Temporary, tt.stage, !tt.permanent, e.Detail)
			}
			for _, want := range tt.want {
				if !strings.Contains(e.Detail, want) {
					t.Errorf("detail %q does not say %q", e.Detail, want)
				}
			}
			for _, not := range []string{to, l.Code.Reveal(), l.Link.Reveal(), "guess-me-not", "\n", "\x1b"} {
				if strings.Contains(e.Error(), not) {
					t.Errorf("the error %q holds %q", e, not)
				}
			}
		})
	}
}

// Letters share connections; a connection that the server closed meanwhile is
// replaced without anybody noticing.
func TestSMTPKeepsConnections(t *testing.T) {
	var now, port atomic.Int64
	server := startMail(t, new(mailServer), nil, false)
	port.Store(int64(server.port))
	s := open(t, delivery.SMTPConfig{Port: server.port, TLS: "none", Idle: time.Minute,
		Clock: func() time.Time { return time.Unix(now.Load(), 0) },
		// Where the server is now: it comes back on a port that is free for sure.
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.FormatInt(port.Load(), 10)))
		}})
	send := func() {
		t.Helper()
		if err := s.Send(t.Context(), deliverytest.Letter("ada@example.com", 1)); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		send()
	}
	if n := server.connections(); n != 1 {
		t.Errorf("five letters took %d connections, want 1", n)
	}
	// A refusal does not cost the connection.
	if err := s.Send(t.Context(), deliverytest.Letter("nobody@example.com", 1)); err == nil {
		t.Error("the refused recipient was taken")
	}
	send()
	if n := server.connections(); n != 1 {
		t.Errorf("after a refusal there were %d connections, want 1", n)
	}
	// Idle for too long: a new one.
	now.Add(61)
	send()
	if n := server.connections(); n != 2 {
		t.Errorf("after a pause there were %d connections, want 2", n)
	}
	// The server went away and came back.
	server.Close()
	second := startMail(t, new(mailServer), nil, false)
	port.Store(int64(second.port))
	send()
	if n := len(second.raw()); n != 1 {
		t.Errorf("%d letters arrived after the restart, want 1", n)
	}
	s.Close()
	var e *delivery.SendError
	if err := s.Send(t.Context(), deliverytest.Letter("ada@example.com", 1)); !errors.As(err, &e) || e.Stage != delivery.StageCancelled {
		t.Errorf("a closed sender said %v", err)
	}
}

// A server that takes a few letters on each connection gets the next one on a new
// connection, at once.
func TestSMTPConnectionLimit(t *testing.T) {
	server := startMail(t, &mailServer{limit: 2}, nil, false)
	s := open(t, delivery.SMTPConfig{Port: server.port, TLS: "none"})
	for i := range 5 {
		if err := s.Send(t.Context(), deliverytest.Letter("ada@example.com", i)); err != nil {
			t.Fatal(err)
		}
	}
	if letters, conns := len(server.raw()), server.connections(); letters != 5 || conns != 3 {
		t.Errorf("%d letters on %d connections, want 5 on 3", letters, conns)
	}
}

func TestSMTPStopsInTheMidst(t *testing.T) {
	port := script(t, "S: 220 hi", "C: EHLO", "S: 250 mail.example.com", "C: MAIL", "HANG")
	s := open(t, delivery.SMTPConfig{Port: port, TLS: "none", Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- s.Send(ctx, deliverytest.Letter("ada@example.com", 1)) }()
	cancel()
	var e *delivery.SendError
	if err := <-result; !errors.As(err, &e) || e.Stage != delivery.StageCancelled || !e.Temporary {
		t.Errorf("got %v, want a temporary failure at %q", err, delivery.StageCancelled)
	}
}

func TestSMTPCheck(t *testing.T) {
	ca := newAuthority(t)
	server := startMail(t, &mailServer{user: "login", password: "sesame"}, ca.issue(t, "localhost", time.Hour), false)
	stages := func(steps []delivery.CheckStep) string {
		var names []string
		for _, s := range steps {
			name := string(s.Stage)
			if !s.OK {
				name += "!"
			}
			if s.Detail == "" {
				t.Errorf("step %s has no detail", s.Stage)
			}
			names = append(names, name)
		}
		return strings.Join(names, " ")
	}
	good := delivery.SMTPConfig{Host: "localhost", Port: server.port, RootCAs: ca.pool, Username: "login", Password: "sesame"}
	for _, tt := range []struct {
		name  string
		alter func(*delivery.SMTPConfig)
		want  string
	}{
		{"good", func(*delivery.SMTPConfig) {}, "resolve connect tls auth from"},
		{"wrong host", func(c *delivery.SMTPConfig) { c.Host = "mail.invalid" }, "resolve!"},
		{"wrong port", func(c *delivery.SMTPConfig) { c.Port = closedPort(t) }, "resolve connect!"},
		{"wrong authority", func(c *delivery.SMTPConfig) { c.RootCAs = newAuthority(t).pool }, "resolve connect tls!"},
		{"wrong password", func(c *delivery.SMTPConfig) { c.Password = "open" }, "resolve connect tls auth!"},
		{"wrong from", func(c *delivery.SMTPConfig) { c.From = "stranger@example.com" }, "resolve connect tls auth from!"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.alter(&cfg)
			if got := stages(open(t, cfg).Check(t.Context())); got != tt.want {
				t.Errorf("steps %s, want %s", got, tt.want)
			}
		})
	}
	if n := len(server.raw()); n != 0 {
		t.Errorf("checking sent %d letters", n)
	}
}

func TestOpen(t *testing.T) {
	good := delivery.SMTPConfig{Host: "mail.example.com", From: "login@example.com"}
	for _, tt := range []struct {
		name string
		cfg  delivery.Config
		want []string // of the error; none: no error
		kind string
	}{
		{name: "nothing", kind: "<nil>"},
		{name: "smtp", cfg: delivery.Config{SMTP: good}, kind: "*delivery.SMTP"},
		{name: "inbox", cfg: delivery.Config{Inbox: new(delivery.Inbox)}, kind: "*delivery.Inbox"},
		{name: "smtp before inbox", cfg: delivery.Config{SMTP: good, Inbox: new(delivery.Inbox)}, kind: "*delivery.SMTP"},
		{name: "inbox by name", cfg: delivery.Config{Email: "inbox", SMTP: good, Inbox: new(delivery.Inbox)}, kind: "*delivery.Inbox"},
		{name: "inbox in production", cfg: delivery.Config{Email: "inbox"}, want: []string{"email.sender: the inbox is for development only"}},
		{name: "unknown", cfg: delivery.Config{Email: "pigeon"}, want: []string{`there is no "pigeon"`}},
		{name: "everything wrong", cfg: delivery.Config{Email: "smtp", SMTP: delivery.SMTPConfig{Port: -1, TLS: "maybe", Password: "x", From: "nobody", HELO: "a b", Idle: -1}},
			want: []string{"smtp.host: is missing", "smtp.tls: there is no \"maybe\"", "smtp.port: -1", "smtp.username: is missing", "smtp.from:", "smtp.helo:", "must not be negative"}},
		{name: "in the clear", cfg: delivery.Config{SMTP: delivery.SMTPConfig{Host: "mail.example.com", TLS: "none", From: "login@example.com"}}, want: []string{"smtp.tls: none"}},
		{name: "port in the host", cfg: delivery.Config{SMTP: delivery.SMTPConfig{Host: "mail.example.com:25", From: "login@example.com"}}, want: []string{"smtp.host:"}},
		{name: "user alone", cfg: delivery.Config{SMTP: delivery.SMTPConfig{Host: "::1", TLS: "none", Username: "u", From: "Login\r\nBcc: x <login@example.com>"}}, want: []string{"smtp.password: is missing", "smtp.from:"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			senders, err := delivery.Open(tt.cfg)
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprintf("%T", senders[splitpin.EmailChannel]); got != tt.kind {
					t.Errorf("mail goes through %s, want %s", got, tt.kind)
				}
				return
			}
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "\r") {
				t.Errorf("the error holds raw input: %q", err)
			}
		})
	}
}

func TestScrub(t *testing.T) {
	l := deliverytest.Letter("+4915112345678", 123456)
	for _, tt := range []struct{ in, want string }{
		{"550 <ada.lovelace+x@mail.example.com> unknown", "550 <…@mail.example.com> unknown"},
		{"code 123456 at " + l.Link.Reveal(), "code [code] at [link]"},
		{"number +4915112345678 unreachable", "number [recipient] unreachable"},
		{"a\r\nb\x00\u202ec\td", "a bc d"},
		{strings.Repeat("x", 1000), strings.Repeat("x", 239) + "…"},
		{"", ""},
	} {
		if got := delivery.Scrub(tt.in, l); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.in, got, tt.want)
		}
	}
}
