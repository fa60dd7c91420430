package simulation

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/splitpin/splitpin/api"
)

// A stolen is a refresh token that somebody copied.
type stolen struct{ text string }

// attackers puts those in place who mean harm.
func (w *world) attackers(addresses []string) {
	for i := range w.random.IntN(3) {
		address := addresses[w.random.IntN(len(addresses))]
		w.hostile(fmt.Sprintf("guesser%d", i+1), 50+i, func(c *client) { c.guess(address) })
	}
	if w.chance(400) {
		w.hostile("stranger", 60, (*client).meddle)
	}
	if w.chance(400) {
		w.hostile("thief", 70, (*client).steal)
	}
	if w.chance(150) {
		w.hostile("flooder", 90, (*client).flood)
	}
	if w.chance(200) {
		w.hostile("forger", 80, (*client).forge)
	}
}

// flood starts for many addresses from one network, as fast as it can.
func (c *client) flood() {
	for i := range 30 {
		c.start(fmt.Sprintf("somebody%d@example.org", i), false)
	}
}

func (w *world) hostile(name string, n int, run func(*client)) {
	c := &client{world: w, name: name, network: fmt.Sprintf("203.0.113.%d", n)}
	w.engage(name, func() { run(c) })
}

// guess begins attempts for somebody's address and guesses, from many sides at
// once. Its guesses are never right: what counts is how many are looked at.
func (c *client) guess(address string) {
	for range 2 + c.random.IntN(9) {
		c.network = fmt.Sprintf("203.0.113.%d", 100+c.random.IntN(100))
		t := c.start(address, false)
		if t == nil {
			c.sleep(c.between(time.Second, 5*time.Minute))
			continue
		}
		me, left := c.running, 1+c.random.IntN(3)
		sides := left
		guess := func() {
			for range 2 + c.random.IntN(3) {
				c.answer(t, t.secret, strings.Repeat("0x", 8)[:t.length])
			}
		}
		for i := 1; i < sides; i++ {
			c.begin(fmt.Sprintf("%s-%d", c.name, i+1), nil, func() {
				guess()
				if left--; left == 0 {
					c.wake(me)
				}
			})
		}
		guess()
		for left--; left > 0; {
			c.rest()
		}
		if c.chance(200) {
			c.sleep(c.between(0, 26*time.Hour))
		}
	}
}

// meddle is a stranger who knows the ids of attempts, and nothing else: who
// forwarded a link, or reads a log.
func (c *client) meddle() {
	for range 12 {
		c.think()
		if len(c.leaked) == 0 {
			continue
		}
		t := c.leaked[c.random.IntN(len(c.leaked))]
		secret := oneOf(&c.schedule, "", strings.Repeat("A", 22))
		for range 1 + c.random.IntN(6) {
			c.count.strangers++
			got := c.answer(&t, secret, oneOf(&c.schedule, "000000", strings.Repeat("0x", 8)[:t.length]))
			if got.final() && got.status != http.StatusNotFound && got.status != http.StatusTooManyRequests {
				c.fail("a stranger answered attempt %d and was told %d %s", t.id.Number, got.status, got.problem.Code)
			}
		}
		c.ask(request{method: "POST", path: t.path("/resend"), attempt: t.id.Number, secret: secret}, nil, api.AttemptSecretHeader, secret)
	}
}

// steal uses refresh tokens that were copied from somebody, soon or late, and
// goes on with what they give.
func (c *client) steal() {
	for range 6 {
		c.think()
		if len(c.copied) == 0 {
			continue
		}
		text := c.copied[c.random.IntN(len(c.copied))].text
		for range 1 + c.random.IntN(4) {
			presented, _ := parseRefresh(text)
			c.count.stolenUsed++
			got := c.ask(request{method: "POST", path: "/v1/token", presented: presented}, api.TokenRequest{GrantType: "refresh_token", RefreshToken: text})
			if got.status == http.StatusOK && c.chance(700) {
				var t api.Tokens
				got.into(&t)
				text = t.RefreshToken
			}
			if c.chance(500) {
				c.think()
			}
		}
	}
}

// forge makes refresh tokens up, around sessions that are there.
func (c *client) forge() {
	refused, forged := 0, 0
	began := c.now
	for range 80 {
		session := int64(1 + c.random.IntN(500))
		for n := range c.model.sessions {
			session = max(session, n) // the newest, whatever the order
		}
		text := fmt.Sprintf("%d:%s", session, base64.RawURLEncoding.EncodeToString(make([]byte, 36)))
		got := c.ask(request{method: "POST", path: "/v1/token"}, api.TokenRequest{GrantType: "refresh_token", RefreshToken: text})
		switch {
		case got.status == http.StatusTooManyRequests:
			refused++
		case got.problem.Code == "refresh_invalid":
			forged++
		}
		if got.status == http.StatusOK {
			c.fail("a forged refresh token gave tokens of session %d", session)
		}
	}
	c.count.forged += forged
	c.count.forgedRefused += refused
	if stretch := c.now.Sub(began) + slack; forged > 60+int(stretch*60/(5*time.Minute)) && !c.drawn.jumps {
		c.fail("%d forged refresh tokens from one network were looked at within %s", forged, c.now.Sub(began))
	}
}
