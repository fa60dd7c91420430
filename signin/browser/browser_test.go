package browser_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/link"
	"github.com/splitpin/splitpin/signin/passkey"
	"github.com/splitpin/splitpin/signin/passkey/passkeytest"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/token"
)

const (
	public = "https://login.example.org"
	shop   = "https://shop.example"
	blog   = "https://blog.example"
	ada    = "ada@example.org"
	bob    = "bob@example.org"
	day    = 24 * time.Hour
)

// A house is an engine with real keys and a real store, and a clock to move.
type house struct {
	*signin.Engine
	t          testing.TB
	db         splitpin.Store
	admin      *project.Admin
	at         time.Time
	shop, club *splitpin.Project
	by         signin.Caller
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, db: enginetest.Open(t), at: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC),
		by: signin.Caller{Addr: netip.MustParseAddr("203.0.113.7"), Device: "Firefox on Linux"}}
	now := func() time.Time { return h.at }
	ring, err := keyring.Open(t.Context(), h.db, h.at, keyring.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	tokens := token.New(h.db, ring, public, now)
	h.Engine, err = signin.New(t.Context(), signin.Options{Store: h.db, Ring: ring, Tokens: tokens, Clock: now, PublicURL: public,
		Methods: []signin.Method{code.Email{}, link.Email(public), passkey.Method{PublicURL: public}, browser.Method{PublicURL: public}}})
	if err != nil {
		t.Fatal(err)
	}
	h.admin = &project.Admin{Store: h.db, Tokens: tokens, Clock: now}
	h.shop = h.create("Shop")
	h.club = h.create("Club")
	return h
}

func (h *house) create(name string) *splitpin.Project {
	h.t.Helper()
	p, _, err := h.admin.Create(h.t.Context(), project.Draft{Settings: splitpin.Settings{Name: name, Origins: []string{shop, blog, "shop://"}}})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.noticed(p.ID)
}

func (h *house) noticed(id string) *splitpin.Project {
	h.t.Helper()
	if _, err := h.Step(h.t.Context(), h.at); err != nil {
		h.t.Fatal(err)
	}
	p, err := h.Project(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// set changes the settings of the shop.
func (h *house) set(alter func(*splitpin.Settings)) {
	h.t.Helper()
	_, err := h.admin.Change(h.t.Context(), h.shop.ID, func(p *splitpin.Project) error { alter(&p.Settings); return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	h.shop = h.noticed(h.shop.ID)
}

const verifier = "f6eb75ce0123456789abcdef0123456789abcdef0123456789abcdef"

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// A page is what a page of ours knows of itself: where it stands, and what for.
type page struct {
	project     *splitpin.Project
	origin      string // of the site that frames it; empty: it stands alone
	identifier  string
	destination string
	challenge   string // PKCE
}

func (h *house) page(identifier string) page {
	return page{project: h.shop, origin: shop, identifier: identifier, challenge: challengeOf(verifier)}
}

func (p page) request(h *house, method string) signin.StartRequest {
	return signin.StartRequest{Project: p.project, Method: method, Origin: p.origin, Destination: p.destination,
		Identifier: p.identifier, Challenge: p.challenge, By: h.by}
}

func (h *house) handle(p *splitpin.Project, s *signin.Started) signin.Handle {
	return signin.Handle{Project: p, ID: s.Attempt.ID, Secret: s.Secret, By: h.by}
}

func (h *house) start(req signin.StartRequest) signin.Handle {
	h.t.Helper()
	s, err := h.Start(h.t.Context(), req)
	if err != nil {
		h.t.Fatalf("starting %s: %v", req.Method, err)
	}
	return h.handle(req.Project, s)
}

// coded proves an address by a code.
func (h *house) coded(p page) (signin.Handle, *signin.Granted) {
	h.t.Helper()
	handle, g, _ := h.codedBy("email_code", p)
	return handle, g
}

// codedBy is coded, by the code of a method of which it returns the whole message.
func (h *house) codedBy(method string, p page) (signin.Handle, *signin.Granted, signin.Told) {
	h.t.Helper()
	s, err := h.Start(h.t.Context(), p.request(h, method))
	if err != nil {
		h.t.Fatal(err)
	}
	told, err := h.Secret(s.Attempt)
	if err != nil {
		h.t.Fatal(err)
	}
	handle := h.handle(p.project, s)
	g, err := h.Answer(h.t.Context(), handle, json.RawMessage(`{"code":"`+told.Code.Reveal()+`"}`))
	if err != nil {
		h.t.Fatal(err)
	}
	return handle, g, told
}

func (h *house) collect(p page, g *signin.Granted) (*signin.Collected, error) {
	destination := p.destination
	if destination == "" {
		destination = p.origin
	}
	return h.Collect(h.t.Context(), signin.CollectRequest{Project: p.project, Code: g.Code.Reveal(), Verifier: verifier, Destination: destination, By: h.by})
}

func (h *house) mustCollect(p page, g *signin.Granted) *signin.Collected {
	h.t.Helper()
	c, err := h.collect(p, g)
	if err != nil {
		h.t.Fatalf("collecting: %v", err)
	}
	return c
}

// A device is a browser with one key.
type device struct {
	key *ecdsa.PrivateKey
}

func newDevice(t testing.TB) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &device{key}
}

// signs answers an attempt as the page does in which it was started: what is signed is
// written down here a second time, from what a page knows.
func (d *device) signs(t testing.TB, p page, purpose splitpin.Purpose, h signin.Handle) json.RawMessage {
	t.Helper()
	challenge := signin.Challenge(h.ID, h.Secret)
	site := p.origin
	if site == "" {
		site = public
	}
	pkce := p.challenge
	if purpose == splitpin.Enrol {
		pkce = ""
	}
	var signed []byte
	for _, text := range []string{"splitpin recognised browser 1", string(purpose), p.project.ID, site, p.identifier, p.destination, pkce, challenge} {
		signed = append(binary.BigEndian.AppendUint32(signed, uint32(len(text))), text...)
	}
	hash := sha256.Sum256(signed)
	r, s, err := ecdsa.Sign(rand.Reader, d.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	var raw [64]byte
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	spki, err := x509.MarshalPKIXPublicKey(d.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	b, _ := json.Marshal(map[string]string{"public_key": text(spki), "challenge": challenge, "signature": text(raw[:])})
	return b
}

// enrolment starts being remembered, by a proof.
func (h *house) enrolment(p page, proof signin.Handle) (signin.Handle, error) {
	req := p.request(h, browser.Name)
	req.Purpose, req.Identifier, req.Destination, req.Challenge, req.Proof = splitpin.Enrol, "", "", "", &proof
	s, err := h.Start(h.t.Context(), req)
	if err != nil {
		return signin.Handle{}, err
	}
	return h.handle(p.project, s), nil
}

func (h *house) enrol(p page, proof signin.Handle) *device {
	h.t.Helper()
	a, err := h.enrolment(p, proof)
	if err != nil {
		h.t.Fatalf("starting to be remembered: %v", err)
	}
	d := newDevice(h.t)
	p.destination = ""
	if _, err := h.Answer(h.t.Context(), a, d.signs(h.t, p, splitpin.Enrol, a)); err != nil {
		h.t.Fatalf("being remembered: %v", err)
	}
	return d
}

// remembered signs somebody in by a code, in a browser that is told to remember it.
func (h *house) remembered(p page) (*device, *signin.Collected) {
	h.t.Helper()
	proof, g := h.coded(p)
	d := h.enrol(p, proof)
	return d, h.mustCollect(p, g)
}

// returns signs in by the key.
func (h *house) returns(d *device, p page) (*signin.Granted, error) {
	h.t.Helper()
	a := h.start(p.request(h, browser.Name))
	return h.Answer(h.t.Context(), a, d.signs(h.t, p, splitpin.SignIn, a))
}

func (h *house) mustReturn(d *device, p page) *signin.Collected {
	h.t.Helper()
	g, err := h.returns(d, p)
	if err != nil {
		h.t.Fatalf("coming back: %v", err)
	}
	return h.mustCollect(p, g)
}

func refused(t testing.TB, what string, err error, want *splitpin.Error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %s", what, err, want.Code)
	}
}

func (h *house) browsers(u *splitpin.User) []*splitpin.Credential {
	h.t.Helper()
	list, err := h.Credentials(h.t.Context(), u)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func (h *house) messages() int {
	h.t.Helper()
	list, err := h.db.Messages(h.t.Context(), splitpin.MessageFilter{}, 100)
	if err != nil {
		h.t.Fatal(err)
	}
	return len(list)
}

// The way of it: a code once, then the key. Nobody gets a message about it, since the
// proof was one; tokens go on saying how the person proved the address, and when.
func TestComesBack(t *testing.T) {
	for name, p := range map[string]page{
		"in a frame":           {origin: shop},
		"on a page of our own": {destination: "shop://done"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p.project, p.identifier, p.challenge = h.shop, ada, challengeOf(verifier)
			_, g := h.coded(p) // somebody who was here before, and could hear of something new
			h.mustCollect(p, g)
			h.at = h.at.Add(time.Hour)
			d, first := h.remembered(p)
			if n := h.messages(); n != 2 {
				t.Errorf("%d messages, want the two codes alone", n)
			}
			list := h.browsers(first.User)
			if len(list) != 1 || list[0].Kind != splitpin.BrowserCredential || list[0].Device != "Firefox on Linux" || !list[0].ExpiresAt.Equal(h.at.Add(30*day)) {
				t.Fatalf("listed: %+v", list)
			}
			h.at = h.at.Add(20 * day)
			second := h.mustReturn(d, p)
			if second.User.Number != first.User.Number || second.Session.Number == first.Session.Number {
				t.Errorf("session %d of user %d, after %d of %d", second.Session.Number, second.User.Number, first.Session.Number, first.User.Number)
			}
			if s := second.Session; s.AuthMethod != "OTP" || !s.AuthAt.Equal(first.Session.AuthAt) || s.Credential != list[0].Number {
				t.Errorf("the session says %s at %v by %d, want OTP at %v by %d", s.AuthMethod, s.AuthAt, s.Credential, first.Session.AuthAt, list[0].Number)
			}
			if n := h.messages(); n != 2 {
				t.Errorf("%d messages after coming back, want 2", n)
			}
			h.mustReturn(d, p)
		})
	}
}

// Each row alters what the thief's page knows, or shows, against that of the honest one.
func TestComesBackWrongly(t *testing.T) {
	for name, try := range map[string]func(h *house, d *device, p page) error{
		"another key": func(h *house, _ *device, p page) error {
			_, err := h.returns(newDevice(h.t), p)
			return err
		},
		"somebody else's key": func(h *house, _ *device, p page) error {
			d, _ := h.remembered(h.page(bob))
			_, err := h.returns(d, p)
			return err
		},
		"for somebody else": func(h *house, d *device, p page) error {
			h.remembered(h.page(bob))
			p.identifier = bob
			_, err := h.returns(d, p)
			return err
		},
		"in another project": func(h *house, d *device, p page) error {
			club := p
			club.project = h.club
			h.remembered(club)
			_, err := h.returns(d, club)
			return err
		},
		"on another site": func(h *house, d *device, p page) error {
			p.origin = blog
			_, err := h.returns(d, p)
			return err
		},
		"on a page of our own": func(h *house, d *device, p page) error {
			p.origin, p.destination = "", "shop://done"
			_, err := h.returns(d, p)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p := h.page(ada)
			d, _ := h.remembered(p)
			err := try(h, d, p)
			if !errors.Is(err, signin.ErrFailed) && !errors.Is(err, signin.ErrNobodys) {
				t.Errorf("got %v, want a refusal", err)
			}
			h.mustReturn(d, p) // the honest one is not harmed
		})
	}
}

// What is signed in one page is worth nothing in another: the attempt was started with
// something else than the page of the signature knows.
func TestSignatureIsForOne(t *testing.T) {
	for name, alter := range map[string]func(*page){
		"another collector":   func(p *page) { p.challenge = challengeOf("another verifier") },
		"another site":        func(p *page) { p.origin = blog },
		"another person":      func(p *page) { p.identifier = bob },
		"another destination": func(p *page) { p.destination = blog + "/in" },
		"no site":             func(p *page) { p.origin, p.destination = "", "shop://done" },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p := h.page(ada)
			d, _ := h.remembered(p)
			theirs := p
			alter(&theirs)
			a := h.start(theirs.request(h, browser.Name))
			_, err := h.Answer(t.Context(), a, d.signs(t, p, splitpin.SignIn, a))
			refused(t, "a signature of the honest page", err, signin.ErrFailed)
		})
	}
	t.Run("another project", func(t *testing.T) {
		h := newHouse(t)
		p := h.page(ada)
		d, _ := h.remembered(p)
		theirs := p
		theirs.project = h.club
		a := h.start(theirs.request(h, browser.Name))
		_, err := h.Answer(t.Context(), a, d.signs(t, p, splitpin.SignIn, a))
		refused(t, "a signature of the honest page", err, signin.ErrFailed)
	})
	t.Run("another purpose", func(t *testing.T) {
		h := newHouse(t)
		p := h.page(ada)
		d, _ := h.remembered(p)
		a := h.start(p.request(h, browser.Name))
		_, err := h.Answer(t.Context(), a, d.signs(t, p, splitpin.Enrol, a))
		refused(t, "a signature to be remembered", err, signin.ErrFailed)
	})
	t.Run("another attempt", func(t *testing.T) {
		h := newHouse(t)
		p := h.page(ada)
		d, _ := h.remembered(p)
		first := h.start(p.request(h, browser.Name))
		seen := d.signs(t, p, splitpin.SignIn, first)
		if _, err := h.Answer(t.Context(), first, seen); err != nil {
			t.Fatal(err)
		}
		again := h.start(p.request(h, browser.Name))
		_, err := h.Answer(t.Context(), again, seen)
		refused(t, "a signature that was seen", err, signin.ErrFailed)
	})
}

// What ends the session ends the recognition, each in its way.
func TestEnds(t *testing.T) {
	logOut := func(h *house, c *signin.Collected) {
		err := h.Logout(h.t.Context(), signin.RefreshRequest{Project: h.shop, Token: c.Tokens.RefreshToken, By: h.by})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	for name, end := range map[string]func(h *house, d *device, p page, c *signin.Collected){
		"logged out": func(h *house, _ *device, _ page, c *signin.Collected) { logOut(h, c) },
		"session ended": func(h *house, _ *device, _ page, c *signin.Collected) {
			if err := h.EndSession(h.t.Context(), c.User, c.Session.Number, h.by); err != nil {
				h.t.Fatal(err)
			}
		},
		"the next session ended": func(h *house, d *device, p page, _ *signin.Collected) { logOut(h, h.mustReturn(d, p)) },
		"time over":              func(h *house, _ *device, _ page, _ *signin.Collected) { h.at = h.at.Add(30 * day) },
		"time over by a setting that changed": func(h *house, _ *device, _ page, _ *signin.Collected) {
			h.set(func(s *splitpin.Settings) { s.RecogniseDays = 1 })
			h.at = h.at.Add(day)
		},
		"removed": func(h *house, _ *device, _ page, c *signin.Collected) {
			if err := h.Remove(h.t.Context(), c.Session, c.User, h.browsers(c.User)[0].Number, h.by); err != nil {
				h.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p := h.page(ada)
			d, _ := h.remembered(p)
			c := h.mustReturn(d, p)
			end(h, d, p, c)
			p.project = h.shop
			_, err := h.returns(d, p)
			if !errors.Is(err, signin.ErrFailed) && !errors.Is(err, signin.ErrNobodys) {
				t.Errorf("got %v, want a refusal", err)
			}
			if list := h.browsers(c.User); name != "time over by a setting that changed" && len(list) != 0 {
				t.Errorf("still listed: %+v", list[0])
			}
		})
	}
}

// Before its session there is nothing to recognise, and a session that ended between the
// signature and its collection gives none.
func TestBetween(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	proof, g := h.coded(p)
	d := h.enrol(p, proof)
	_, err := h.returns(d, p)
	refused(t, "before the session was collected", err, signin.ErrFailed)

	c := h.mustCollect(p, g)
	signed, err := h.returns(d, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.EndSession(t.Context(), c.User, c.Session.Number, h.by); err != nil {
		t.Fatal(err)
	}
	_, err = h.collect(p, signed)
	refused(t, "collecting after the session ended", err, signin.ErrGrant)
}

// The switch is good at once, for what was started before as well.
func TestSwitchedOff(t *testing.T) {
	for name, off := range map[string]func(*splitpin.Settings){
		"by its setting":         func(s *splitpin.Settings) { s.RecogniseDays = -1 },
		"by the list of methods": func(s *splitpin.Settings) { s.Methods = []string{"email_code"} },
		"where any site may ask": func(s *splitpin.Settings) { s.Origins = append(s.Origins, "*") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p := h.page(ada)
			d, c := h.remembered(p)
			begun := h.start(p.request(h, browser.Name))
			proof, _ := h.coded(p)
			enrolling, err := h.enrolment(p, proof)
			if err != nil {
				t.Fatal(err)
			}
			h.set(off)
			p.project = h.shop
			_, err = h.Start(t.Context(), p.request(h, browser.Name))
			refused(t, "coming back", err, signin.ErrMethodOff)
			_, err = h.enrolment(p, proof)
			refused(t, "being remembered", err, signin.ErrMethodOff)
			if name == "by its setting" {
				begun.Project = h.shop
				_, err = h.Answer(t.Context(), begun, d.signs(t, p, splitpin.SignIn, begun))
				refused(t, "coming back by what was started before", err, signin.ErrFailed)
				enrolling.Project = h.shop
				_, err = h.Answer(t.Context(), enrolling, newDevice(t).signs(t, p, splitpin.Enrol, enrolling))
				refused(t, "being remembered by what was started before", err, signin.ErrFailed)
			}
			h.set(func(s *splitpin.Settings) { s.RecogniseDays, s.Methods, s.Origins = 0, nil, []string{shop} })
			p.project = h.shop
			if again := h.mustReturn(d, p); again.User.Number != c.User.Number {
				t.Error("switched on again, it is somebody else")
			}
		})
	}
}

// Being remembered takes a proof, which a recognised browser is not: it cannot prolong
// itself, confirm anything, or add anything but a passkey of an old client's page.
func TestProvesNothingNew(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	d, c := h.remembered(p)
	a := h.start(p.request(h, browser.Name))
	if _, err := h.Answer(t.Context(), a, d.signs(t, p, splitpin.SignIn, a)); err != nil {
		t.Fatal(err)
	}
	_, err := h.enrolment(p, a)
	refused(t, "remembering another browser", err, signin.ErrStale)
	for _, test := range []struct {
		method   string
		handOver bool
		want     *splitpin.Error
	}{
		{passkey.Name, false, signin.ErrStale},
		{browser.Name, true, signin.ErrStale},
		{passkey.Name, true, nil},
	} {
		req := p.request(h, test.method)
		req.Purpose, req.Identifier, req.Challenge, req.Proof, req.HandOver = splitpin.Enrol, "", "", &a, test.handOver
		_, err := h.Start(t.Context(), req)
		if test.want == nil && err != nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("adding a %s, handed over: %t: got %v, want %v", test.method, test.handOver, err, test.want)
		}
	}
	req := p.request(h, browser.Name)
	req.Purpose, req.Challenge, req.User, req.Session = splitpin.Confirm, "", c.User, c.Session
	_, err = h.Start(t.Context(), req)
	refused(t, "confirming", err, signin.ErrPurpose)

	h.at = h.at.Add(6 * time.Minute)
	again := h.mustReturn(d, p)
	err = h.Remove(t.Context(), again.Session, again.User, h.browsers(again.User)[0].Number, h.by)
	refused(t, "removing something in the session that came of it", err, signin.ErrStale)
}

// Somebody signed in may have a browser remembered without a page of ours: then the
// address hears of it, and its link takes it back, with the session it goes with.
func TestAnnounced(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	_, g := h.coded(p)
	c := h.mustCollect(p, g)
	h.at = h.at.Add(time.Minute) // who has just come to be has nobody to hear of it
	req := p.request(h, browser.Name)
	req.Purpose, req.Identifier, req.Challenge, req.User, req.Session = splitpin.Enrol, "", "", c.User, c.Session
	a := h.start(req)
	d := newDevice(t)
	if _, err := h.Answer(t.Context(), a, d.signs(t, p, splitpin.Enrol, a)); err != nil {
		t.Fatal(err)
	}
	list, err := h.db.Messages(t.Context(), splitpin.MessageFilter{}, 10)
	if err != nil || len(list) != 2 || list[0].Template != "browser_added" && list[1].Template != "browser_added" {
		t.Fatalf("messages: %+v, %v; want one about the browser", list, err)
	}
	again := h.mustReturn(d, p)
	link, err := h.UndoLink(h.browsers(c.User)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Undo(t.Context(), h.shop, link.Reveal()[len(public+signin.UndoPath):], h.by); err != nil {
		t.Fatal(err)
	}
	_, err = h.returns(d, p)
	if err == nil {
		t.Error("it is recognised after it was taken back")
	}
	if _, err := h.Refresh(t.Context(), signin.RefreshRequest{Project: h.shop, Token: again.Tokens.RefreshToken, By: h.by}); !errors.Is(err, signin.ErrRefresh) {
		t.Errorf("the session that it opened: got %v, want it ended", err)
	}
}

// Two tabs that end the same sign-in are two browsers; one key is one browser.
func TestTwoAtOnce(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	proof, g := h.coded(p)
	var begun [2]signin.Handle
	for i := range begun {
		a, err := h.enrolment(p, proof)
		if err != nil {
			t.Fatal(err)
		}
		begun[i] = a
	}
	d := newDevice(t)
	if _, err := h.Answer(t.Context(), begun[0], d.signs(t, p, splitpin.Enrol, begun[0])); err != nil {
		t.Fatal(err)
	}
	_, err := h.Answer(t.Context(), begun[1], d.signs(t, p, splitpin.Enrol, begun[1]))
	refused(t, "the same key again", err, signin.ErrFailed)
	other := newDevice(t)
	if _, err := h.Answer(t.Context(), begun[1], other.signs(t, p, splitpin.Enrol, begun[1])); err != nil {
		t.Fatalf("another key: %v", err)
	}
	c := h.mustCollect(p, g)
	if list := h.browsers(c.User); len(list) != 2 {
		t.Errorf("%d browsers, want 2", len(list))
	}
	h.mustReturn(d, p)
}

// A person has twenty at most.
func TestMost(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	proof, _ := h.coded(p)
	for range 20 {
		h.by.Addr = h.by.Addr.Next() // of 21 starts in a moment the limits would say something, too
		h.enrol(p, proof)
	}
	_, err := h.enrolment(p, proof)
	refused(t, "the 21st", err, browser.ErrMany)
}

// A site that listens to its own page has fresh proofs, too. It makes no key of its own.
func TestOurPagesAlone(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	proof, g := h.coded(p)
	h.mustCollect(p, g)
	for _, own := range []bool{true, false} {
		req := p.request(h, browser.Name)
		req.Purpose, req.Challenge, req.Proof, req.Identifier, req.OwnForm = splitpin.Enrol, "", &proof, "", own
		_, err := h.Start(t.Context(), req)
		if own {
			refused(t, "a form of the site's own", err, signin.ErrPurpose)
		} else if err != nil {
			t.Errorf("a page of ours: %v", err)
		}
	}
}

// Nothing but the right answer passes, and nothing of it stops the program.
func TestMalformed(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	d, _ := h.remembered(p)
	for _, field := range []string{"public_key", "challenge", "signature"} {
		for _, value := range []any{"", "AA", "=", 7, nil, base64.RawURLEncoding.EncodeToString(make([]byte, 64))} {
			a := h.start(p.request(h, browser.Name))
			var fields map[string]any
			if err := json.Unmarshal(d.signs(t, p, splitpin.SignIn, a), &fields); err != nil {
				t.Fatal(err)
			}
			fields[field] = value
			b, _ := json.Marshal(fields)
			_, err := h.Answer(t.Context(), a, b)
			refused(t, field, err, signin.ErrFailed)
			h.by.Addr = h.by.Addr.Next()
		}
	}
	req := p.request(h, browser.Name)
	req.Identifier = ""
	_, err := h.Start(t.Context(), req)
	refused(t, "for nobody", err, signin.ErrNoIdentifier)
}

// "Not me", said of a sign-in by whoever opens the link of its message: the browser that was
// told to remember it opens nothing any more, and what it opened meanwhile ends as well.
func TestDisownedSignInIsForgotten(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	stays, _ := h.remembered(p)
	h.at = h.at.Add(time.Second)
	proof, g, told := h.codedBy("email_link", p)
	d := h.enrol(p, proof)
	first := h.mustCollect(p, g)
	h.at = h.at.Add(time.Minute)
	last := h.mustReturn(d, p)
	waits, err := h.returns(d, p) // and is not collected yet
	if err != nil {
		t.Fatal(err)
	}
	adding := h.lets(d, p)
	begun, err := h.Start(t.Context(), adding)
	if err != nil {
		t.Fatalf("a recognised browser lets a passkey be made: %v", err)
	}
	done, err := h.Start(t.Context(), adding)
	if err != nil {
		t.Fatal(err)
	}
	h.at = h.at.Add(signin.HandOverPause)
	byPasskey, err := h.Finish(t.Context(), h.handle(h.shop, done), made(t, done, h.handle(h.shop, done)), signin.CollectRequest{Origin: shop})
	if err != nil {
		t.Fatal(err)
	}
	h.at = h.at.Add(time.Second)
	if err := h.Disown(t.Context(), signin.Bearer{Project: h.shop, Link: splitpin.Secret(told.Link.Reveal()[len(public+signin.LinkPath):]), By: h.by}); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*signin.Collected{"that was disowned": first, "by the key that it left": last, "by a passkey that the key let in": byPasskey} {
		_, err := h.Refresh(t.Context(), signin.RefreshRequest{Project: h.shop, Token: c.Tokens.RefreshToken, By: h.by})
		refused(t, "the session "+what, err, signin.ErrRefresh)
	}
	_, err = h.collect(p, waits)
	refused(t, "what the key had opened a moment ago", err, signin.ErrGrant)
	if _, err := h.returns(d, p); err == nil {
		t.Error("the key opens more")
	}
	_, err = h.Start(t.Context(), adding)
	refused(t, "making a passkey by that proof", err, signin.ErrStale)
	h.at = h.at.Add(signin.HandOverPause)
	_, err = h.Finish(t.Context(), h.handle(h.shop, begun), made(t, begun, h.handle(h.shop, begun)), signin.CollectRequest{Origin: shop})
	refused(t, "finishing one", err, signin.ErrToken)
	h.mustReturn(stays, p)
	has, err := h.Credentials(t.Context(), first.User)
	if err != nil || slices.ContainsFunc(has, func(c *splitpin.Credential) bool { return c.Kind == splitpin.PasskeyCredential }) {
		t.Errorf("the passkey stays, %v", err)
	}
}

// Whoever logs out in a browser leaves no proof behind by which it would let a passkey be made.
func TestLoggedOutBrowserLetsNothingBeMade(t *testing.T) {
	h := newHouse(t)
	p := h.page(ada)
	d, _ := h.remembered(p)
	last := h.mustReturn(d, p)
	adding := h.lets(d, p)
	if err := h.Logout(t.Context(), signin.RefreshRequest{Project: h.shop, Token: last.Tokens.RefreshToken, By: h.by}); err != nil {
		t.Fatal(err)
	}
	_, err := h.Start(t.Context(), adding)
	refused(t, "making a passkey", err, signin.ErrStale)
}

// lets shows the browser d once more, and returns what would begin to make a passkey by
// that.
func (h *house) lets(d *device, p page) signin.StartRequest {
	h.t.Helper()
	b := h.start(p.request(h, browser.Name))
	if _, err := h.Answer(h.t.Context(), b, d.signs(h.t, p, splitpin.SignIn, b)); err != nil {
		h.t.Fatal(err)
	}
	adding := p.request(h, passkey.Name)
	adding.Purpose, adding.Identifier, adding.Challenge, adding.Proof, adding.HandOver, adding.OwnForm = splitpin.Enrol, "", "", &b, true, true
	return adding
}

// made is what an authenticator answers to options of a new passkey.
func made(t *testing.T, s *signin.Started, a signin.Handle) json.RawMessage {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(`{"publicKey":` + strings.Replace(s.Form.Passkey, "{", `{"challenge":"`+signin.Challenge(a.ID, a.Secret)+`",`, 1) + `}`)
	if err != nil {
		t.Fatal(err)
	}
	key := virtualwebauthn.NewAuthenticator()
	key.Options.UserHandle = []byte(options.UserID)
	return json.RawMessage(virtualwebauthn.CreateAttestationResponse(virtualwebauthn.RelyingParty{ID: "shop.example", Origin: shop}, key, passkeytest.NewCredential(virtualwebauthn.KeyTypeEC2), *options))
}
