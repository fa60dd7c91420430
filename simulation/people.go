package simulation

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/server/edge"
)

// A client is a program that talks to the server for somebody.
type client struct {
	*world
	name    string
	network string
	known   string // the cookie of a browser that signed in before
}

// A reply is what came back. Status 0: nothing did.
type reply struct {
	status  int
	body    []byte
	header  http.Header
	problem api.Problem
}

func (r reply) into(v any) { json.Unmarshal(r.body, v) }

// final reports whether another try could bring nothing else.
func (r reply) final() bool { return r.status != 0 && r.status < 500 }

// ask makes one request to any node.
func (c *client) ask(r request, body any, headers ...string) reply {
	w := c.world
	r.client, r.network = c.name, c.network
	header := http.Header{"Content-Type": {"application/json"}, "Origin": {shopOrigin}}
	if c.known != "" {
		header.Set("Cookie", edge.KnownCookie+"="+c.known)
	}
	for i := 0; i < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	var text []byte
	switch b := body.(type) {
	case nil:
	case url.Values:
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		text = []byte(b.Encode())
	default:
		text, _ = json.Marshal(body)
	}
	status := w.send(w.nodes[w.random.IntN(len(w.nodes))], &r, text, header, w.between(3*time.Second, 15*time.Second))
	out := reply{status: status, body: r.body, header: r.header}
	if status >= 400 {
		out.into(&out.problem)
	}
	return out
}

// insist makes a request until it has a final answer, or patience runs out.
func (c *client) insist(r request, body any, headers ...string) (got reply) {
	for try := range 6 {
		if got = c.ask(r, body, headers...); got.final() {
			break
		}
		c.sleep(c.between(0, time.Duration(try+1)*time.Second))
	}
	return got
}

// think is what people do between two clicks.
func (c *client) think() { c.sleep(c.between(c.pace.low, c.pace.high)) }

// hurry is think for what does not wait: a code that expires.
func (c *client) hurry() { c.sleep(c.between(0, min(c.pace.high, 20*time.Second))) }

// both does the same from two sides at once, as who clicks twice, and returns
// what came back to the first.
func (c *client) both(what func() reply) reply {
	w := c.world
	if !w.chance(250) {
		return what()
	}
	me, done := w.running, 0
	ends := func() {
		if done++; done == 2 {
			w.wake(me)
		}
	}
	w.begin(c.name+"'", nil, func() { what(); ends() })
	got := what()
	if ends(); done < 2 {
		w.rest()
	}
	return got
}

// A person signs in to the shop, uses it, and leaves.
type person struct {
	client
	address string
	keeps   func(*ticket) // what the person adds to the account after a proof; nil: nothing

	key      *browserKey
	last     *browser // the newest
	passkeys []*passkeyOf
	seen     int    // letters that were looked through for what somebody else did
	noticed  func() // hears that the person came in, before the tokens are collected
}

func (w *world) person(name, address string, n int) *person {
	return &person{client: client{world: w, name: name, network: fmt.Sprintf("198.51.100.%d", n)}, address: address, noticed: func() {}}
}

func (p *person) begins() {
	p.engage(p.name, func() {
		rounds := 1 + p.random.IntN(2)
		if p.chance(150) {
			p.keeps = p.remembers
			rounds += 2
		}
		for range rounds {
			p.think()
			s := p.returns()
			if s == nil {
				s = p.signIn()
			}
			if s != nil {
				p.last = s
				p.use(s)
			}
		}
	})
}

// A ticket is what a starter holds.
type ticket struct {
	id       splitpin.AttemptID
	secret   string
	verifier string
	address  string
	length   int // of the code
}

func (t ticket) path(rest string) string { return "/v1/attempts/" + t.id.String() + rest }

// starts asks for an attempt by one of the ways in; t is nil where none came of it.
func (c *client) starts(insist bool, body api.StartRequest, headers ...string) (t *ticket, a api.Attempt, got reply) {
	verifier := fmt.Sprintf("%s-%016x-%016x-verifier-of-43-or-more", c.name, c.random.Uint64(), c.random.Uint64())
	body.Origin = shopOrigin
	if body.Purpose == "" {
		sum := sha256.Sum256([]byte(verifier))
		body.CodeChallenge = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	ask := c.ask
	if insist {
		ask = c.insist
	}
	got = ask(request{method: "POST", path: "/v1/attempts", known: c.known != ""}, body, headers...)
	if got.status != http.StatusCreated {
		return nil, a, got
	}
	var s api.StartResponse
	got.into(&s)
	id, err := splitpin.ParseAttemptID(s.Attempt.ID)
	if err != nil {
		c.fail("%s got an attempt that is none: %v", c.name, err)
		return nil, a, got
	}
	t = &ticket{id: id, secret: s.Secret, verifier: verifier, address: body.Identifier}
	if s.Attempt.Code != nil {
		t.length = s.Attempt.Code.Length
	}
	return t, s.Attempt, got
}

// start begins an attempt by a code; nil: none came of it.
func (c *client) start(address string, insist bool) *ticket {
	t, _, got := c.starts(insist, api.StartRequest{Method: "email_code", Identifier: address})
	switch {
	case t != nil && t.length > 0:
		c.model.startAcknowledged(t)
		return t
	case t != nil:
		c.fail("%s got an attempt without a code", c.name)
	case got.status == http.StatusTooManyRequests:
		c.count.limited++
	case got.final():
		c.fail("%s started for %s: %d %s", c.name, address, got.status, got.problem.Code)
	}
	return nil
}

// answer says a code.
func (c *client) answer(t *ticket, secret, code string) reply {
	return c.answers(t, secret, api.AnswerRequest{Code: code})
}

// answers says whatever a method takes.
func (c *client) answers(t *ticket, secret string, body any) reply {
	return c.ask(request{method: "POST", path: t.path("/answer"), attempt: t.id.Number, secret: secret},
		body, api.AttemptSecretHeader, secret, "Sec-Fetch-Site", "same-origin")
}

// collect trades an authorization code.
func (c *client) collect(t *ticket, code, verifier string) reply {
	return c.ask(request{method: "POST", path: "/v1/token", attempt: t.id.Number},
		api.TokenRequest{GrantType: "authorization_code", Code: code, CodeVerifier: verifier, RedirectURL: shopOrigin})
}

// A tab of a browser shares its tokens with the others.
type browser struct {
	ticket  *ticket
	code    string // that the tokens were collected with
	refresh string
	access  string
	over    bool // signed out, or thrown out
}

// signIn takes a person from the address to the tokens; nil: it did not work out.
func (p *person) signIn() *browser {
	t := p.start(p.address, true)
	if t == nil {
		return nil
	}
	began := p.now
	if p.chance(100) {
		p.leaked = append(p.leaked, *t)
	}
	if p.chance(100) {
		p.scan(t)
	}
	code := p.read(t)
	if code == "" {
		return nil
	}
	p.hurry()
	if p.chance(50) {
		p.sleep(p.between(9*time.Minute, 12*time.Minute)) // the telephone rang
	}
	if p.chance(150) {
		p.answer(t, t.secret, strings.Repeat("7x", 8)[:t.length])
	}
	var granted api.Granted
	for try := 0; ; try++ {
		clicked := p.now
		got := p.both(func() reply { return p.answer(t, t.secret, code) })
		if got.status == http.StatusOK {
			got.into(&granted)
			p.model.proofAcknowledged(t)
			if cookie := got.header.Get("Set-Cookie"); cookie != "" && p.chance(300) {
				_, value, _ := strings.Cut(cookie, "=")
				p.known, _, _ = strings.Cut(value, ";")
			}
			break
		}
		if got.final() {
			// The code is right, so only time and tries of one's own can be in the way, or a
			// passkey that must be shown.
			if c := got.problem.Code; p.shop.Settings.PasskeyRequired && (c == account.ErrRecoveryOffered.Code || c == account.ErrRecoveryWaits.Code) {
				return nil
			}
			if f := p.model.attempts[t.id.Number]; clicked.Before(f.expiresAt.Add(-time.Minute)) && clicked.Sub(began) < 4*time.Minute && try < 2 && !p.drawn.jumps {
				p.fail("%s gave the right code of attempt %d and was told %d %s", p.name, t.id.Number, got.status, got.problem.Code)
			}
			return nil
		}
		if try == 4 {
			return nil
		}
		p.sleep(p.between(0, 3*time.Second))
	}
	if p.keeps != nil {
		p.keeps(t)
	}
	p.hurry()
	return p.opens(t, granted)
}

// opens trades what a right answer gave; nil: it did not work out.
func (p *person) opens(t *ticket, granted api.Granted) *browser {
	if p.chance(30) {
		p.collect(t, granted.AuthorizationCode, t.verifier+"wrong")
	}
	first := p.now
	for range 5 {
		got := p.both(func() reply { return p.collect(t, granted.AuthorizationCode, t.verifier) })
		switch {
		case got.status == http.StatusOK:
			var tokens api.Tokens
			got.into(&tokens)
			b := &browser{ticket: t, code: granted.AuthorizationCode}
			b.take(p, tokens)
			p.model.sessionAcknowledged(t, b)
			return b
		case got.final():
			f := p.model.attempts[t.id.Number]
			if f != nil && !p.model.stands(f) {
				p.count.overtaken++
			} else if f != nil && p.now.Sub(first) < 20*time.Second && p.now.Sub(f.proved) < 3*time.Minute && !p.drawn.jumps {
				f := p.model.sessions[f.session]
				if f == nil || f.revokedSeq == 0 {
					p.fail("%s collected attempt %d and was told %d %s", p.name, t.id.Number, got.status, got.problem.Code)
				}
			}
			return nil
		}
		p.sleep(p.between(0, 2*time.Second))
	}
	return nil
}

// take keeps what came, and leaves it where others find it.
func (b *browser) take(p *person, t api.Tokens) {
	b.refresh, b.access = t.RefreshToken, t.AccessToken
	p.tokens = append(p.tokens, issued{text: t.AccessToken, until: p.now.Add(time.Duration(t.ExpiresIn) * time.Second)})
	if len(p.tokens) > 40 {
		p.world.tokens = p.tokens[1:]
	}
	if p.chance(60) {
		p.copied = append(p.copied, stolen{t.RefreshToken})
	}
}

// read waits for the mail of an attempt, and asks for another where none comes.
func (p *person) read(t *ticket) string {
	for range 12 {
		p.sleep(p.between(time.Second, 20*time.Second))
		for _, l := range p.mail[p.address] {
			if l.attempt == t.id.Number && l.code != "" {
				return l.code
			}
		}
		if p.chance(150) {
			p.count.resends++
			p.both(func() reply {
				return p.ask(request{method: "POST", path: t.path("/resend"), attempt: t.id.Number, secret: t.secret, known: p.known != ""},
					nil, api.AttemptSecretHeader, t.secret)
			})
		}
	}
	if p.drawn.calm() {
		p.fail("%s waited for the mail of attempt %d in vain", p.name, t.id.Number)
	}
	return ""
}

// use is what a browser does with a session: some tabs refresh, somebody logs
// out.
func (p *person) use(b *browser) {
	left := oneOf(&p.schedule, 1, 1, 3)
	me := p.running
	for i := 1; i < left; i++ {
		p.begin(fmt.Sprintf("%s tab%d", p.name, i+1), nil, func() {
			p.tab(b)
			if left--; left == 0 {
				p.wake(me)
			}
		})
	}
	p.tab(b)
	for left--; left > 0; {
		p.rest()
	}
}

// dwell signs in and stays.
func (p *person) dwell() {
	b := p.signIn()
	for range 25 {
		p.sleep(p.between(time.Minute, 6*time.Minute))
		if b == nil || b.over {
			b = p.signIn()
		} else {
			p.refresh(b, b.refresh)
		}
	}
}

func (p *person) tab(b *browser) {
	for range 1 + p.random.IntN(4) {
		held := b.refresh
		p.think()
		if p.pace.high > 5*time.Second || p.chance(500) {
			held = b.refresh
		}
		if p.chance(80) {
			p.collect(b.ticket, b.code, b.ticket.verifier) // somebody went back a page
		}
		if b.over {
			return
		}
		switch {
		case p.chance(100):
			p.look(b)
		case p.chance(60):
			p.logOut(b)
			return
		default:
			p.refresh(b, held)
		}
	}
	if p.chance(300) {
		p.logOut(b)
		if p.chance(300) {
			p.collect(b.ticket, b.code, b.ticket.verifier)
		}
	}
}

// refresh asks for fresh tokens, again with the same token when no answer comes.
func (p *person) refresh(b *browser, old string) {
	presented, _ := parseRefresh(old)
	for try := range 5 {
		got := p.ask(request{method: "POST", path: "/v1/token", presented: presented},
			api.TokenRequest{GrantType: "refresh_token", RefreshToken: old})
		switch {
		case got.status == http.StatusOK:
			var t api.Tokens
			got.into(&t)
			if given, ok := parseRefresh(t.RefreshToken); ok {
				// Another tab may have kept a newer one meanwhile.
				if now, _ := parseRefresh(b.refresh); given.counter >= now.counter {
					b.take(p, t)
				}
			}
			return
		case got.final():
			b.over = true
			return
		}
		p.sleep(p.between(0, time.Duration(try+1)*time.Second))
	}
}

// look shows the access token to the server itself.
func (p *person) look(b *browser) {
	presented, _ := parseRefresh(b.refresh)
	p.ask(request{method: "GET", path: "/v1/user", presented: presented}, nil, "Authorization", "Bearer "+b.access)
}

// logOut ends the session. What was acknowledged holds.
func (p *person) logOut(b *browser) {
	presented, _ := parseRefresh(b.refresh)
	var got reply
	if p.chance(700) {
		got = p.insist(request{method: "POST", path: "/v1/logout", presented: presented}, api.LogoutRequest{RefreshToken: b.refresh})
	} else {
		got = p.insist(request{method: "DELETE", path: "/v1/sessions", presented: presented}, nil, "Authorization", "Bearer "+b.access)
		if got.status == http.StatusOK {
			p.count.ended++
		}
		b.over = b.over || got.status == http.StatusUnauthorized
		return
	}
	if got.status == http.StatusNoContent {
		b.over = true
		p.count.ended++
		p.model.endAcknowledged(presented)
	}
}

// scan is what a mail scanner and a curious proxy do with every address they
// find: GET and HEAD, which must change nothing.
func (c *client) scan(t *ticket) {
	c.count.scans++
	for _, method := range []string{"GET", "HEAD"} {
		for _, path := range []string{t.path(""), t.path("/answer"), "/v1/token", "/v1/logout", "/signin?code=123456"} {
			c.probe(method, path, t)
		}
	}
}

func (c *client) probe(method, path string, t *ticket) {
	c.ask(request{method: method, path: path, attempt: t.id.Number, secret: t.secret}, nil, api.AttemptSecretHeader, t.secret)
}
