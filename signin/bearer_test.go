package signin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

const loginPage = "https://shop.example/login?plan=gold"

// A sent link and all who may come to hold it.
type sentLink struct {
	*opened
	token   splitpin.Secret
	browser splitpin.Secret // the proof of the browser that asked
}

// sendLink starts an attempt whose message has a link. alter changes the request.
func (v *visitor) sendLink(alter ...func(*signin.StartRequest)) *sentLink {
	v.t.Helper()
	req := v.request(ada)
	req.Method, req.Destination, req.ClientState, req.ClientData = "email_link", loginPage, "s1", []byte(`{"plan":"gold"}`)
	for _, a := range alter {
		a(&req)
	}
	started, err := v.Start(v.t.Context(), req)
	if err != nil {
		v.t.Fatalf("asking for a link: %v", err)
	}
	o := v.opened(started)
	told, err := v.Engine.Secret(started.Attempt)
	if err != nil {
		v.t.Fatal(err)
	}
	_, token, ours := strings.Cut(told.Link.Reveal(), signin.LinkPath)
	if u, err := url.Parse(told.Link.Reveal()); !ours && err == nil {
		token = u.Query().Get("challenge")
	}
	browser, err := v.BrowserProof(started.Attempt)
	if err != nil || token == "" {
		v.t.Fatalf("link %s: %v", told.Link.Reveal(), err)
	}
	return &sentLink{o, splitpin.Secret(token), browser}
}

// onOurPage is a form of /signin or /app: no site frames it.
func onOurPage(req *signin.StartRequest) {
	req.Origin, req.Destination = "", "https://shop.example/done"
}

// elsewhere is somebody who holds the link on another device, with a verifier of their
// own.
func (l *sentLink) elsewhere() signin.Bearer {
	return signin.Bearer{Project: l.project, Link: l.token,
		By: signin.Caller{Addr: netip.MustParseAddr("198.51.100.9"), Device: "Safari on iPhone"}}
}

// same is the browser that asked.
func (l *sentLink) same() signin.Bearer {
	b := l.elsewhere()
	b.Browser = l.browser
	return b
}

const ownVerifier = "0123456789abcdef0123456789abcdef0123456789abcdef-elsewhere"

func here(digits string) signin.Admission {
	sum := sha256.Sum256([]byte(ownVerifier))
	return signin.Admission{Way: signin.Here, Digits: digits, Challenge: base64.RawURLEncoding.EncodeToString(sum[:]),
		Origin: shopOrigin, Destination: "https://shop.example/other", State: "s2"}
}

func (l *sentLink) admit(b signin.Bearer, ask signin.Admission) (*signin.Admitted, error) {
	return l.Admit(l.t.Context(), b, ask)
}

func (l *sentLink) mustAdmit(b signin.Bearer, ask signin.Admission) *signin.Admitted {
	l.t.Helper()
	got, err := l.admit(b, ask)
	if err != nil {
		l.t.Fatalf("admitting %s: %v", ask.Way, err)
	}
	return got
}

func (l *sentLink) wants(what string, err error, want *splitpin.Error) {
	l.t.Helper()
	if got := splitpin.ErrorOf(err); got == nil || got.Code != want.Code {
		l.t.Errorf("%s: got %v, want %s", what, err, want.Code)
	}
}

func (l *sentLink) wrongDigits() string {
	if l.Digits == "42" {
		return "43"
	}
	return "42"
}

// collected trades what a bearer got with the verifier it chose.
func (l *sentLink) collected(g signin.Granted) *signin.Collected {
	l.t.Helper()
	c, err := l.Collect(l.t.Context(), signin.CollectRequest{Project: l.project, Code: g.Code.Reveal(), Verifier: ownVerifier,
		ChallengeID: &g.ChallengeID, Destination: shopOrigin, Origin: shopOrigin, By: l.elsewhere().By})
	if err != nil {
		l.t.Fatalf("collecting what the link gave: %v", err)
	}
	return c
}

func TestLinkSignsInElsewhereByDigits(t *testing.T) {
	l := newHouse(t).visitor("192.0.2.1").sendLink()
	if len(l.Digits) != 2 {
		t.Fatalf("the asking screen has the digits %q", l.Digits)
	}
	got := l.mustAdmit(l.elsewhere(), here(l.Digits))
	if a := got.Attempt; a.ClientState != "s2" || string(a.ClientData) != `{"plan":"gold"}` || got.Destination != "https://shop.example/other" {
		t.Errorf("it came with state %q and data %s, to %s", a.ClientState, a.ClientData, got.Destination)
	}
	c := l.collected(got.Granted)
	if c.User.Identifier != ada || c.User.ProvedAt.IsZero() || c.Session.AuthMethod != "MAGIC_LINK" || c.Session.Device != "Safari on iPhone" {
		t.Errorf("got %+v, %+v", c.User, c.Session)
	}
	// The starter learns that it happened, and gets nothing.
	_, err := l.Grant(t.Context(), l.handle)
	l.wants("the starter's grant", err, signin.ErrElsewhere)
	_, err = l.answer(l.right())
	l.wants("the starter's right code", err, signin.ErrElsewhere)
	if a := l.attempt(l.Attempt.ID); a.Tries != 0 || a.Link != splitpin.LinkHere {
		t.Errorf("%d of the starter's tries were taken; the link is %q", a.Tries, a.Link)
	}
}

// What a link proved where it was opened stands for nobody else: whoever asked holds the
// secret of the attempt, and adds no credential by it.
func TestProofOfALinkElsewhere(t *testing.T) {
	h := newHouse(t)
	enrols := func(l *sentLink) error {
		req := l.request("")
		req.Method, req.Purpose, req.Challenge, req.Proof, req.Destination = "card", splitpin.Enrol, "", &l.handle, ""
		_, err := l.Start(t.Context(), req)
		return err
	}
	phisher := h.visitor("192.0.2.1").sendLink()
	ask := here(phisher.Digits)
	ask.Origin = phisher.Attempt.Origin // the same site
	phisher.mustAdmit(phisher.elsewhere(), ask)
	phisher.wants("the one who asked", enrols(phisher), signin.ErrStale)

	// With the code of the same message it is the person who asked.
	honest := h.visitor("192.0.2.2").sendLink()
	if _, err := honest.answer(honest.right()); err != nil {
		t.Fatal(err)
	}
	if err := enrols(honest); err != nil {
		t.Errorf("after the code: %v", err)
	}
}

// What a hand-over gave opens one page, and hands over no further.
func TestHandOverOnce(t *testing.T) {
	l := newHouse(t).visitor("192.0.2.1").sendLink()
	ask := here(l.Digits)
	ask.Way = signin.HandOver
	got := l.mustAdmit(l.elsewhere(), ask)
	to, err := url.Parse(got.Location.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	b := l.elsewhere()
	b.Link = splitpin.Secret(to.Query().Get("challenge"))
	ask.Digits = ""
	_, err = l.admit(b, ask)
	l.wants("handing over what was handed over", err, signin.ErrLetIn)
	l.mustAdmit(b, here(""))
}

// Whoever reads the message has the link. That alone opens nothing, in no way.
func TestLinkAloneOpensNothing(t *testing.T) {
	h := newHouse(t)
	for _, project := range []*splitpin.Project{h.shop, h.set(h.shop, func(s *splitpin.Settings) { s.LinkApproval = true })} {
		v := h.visitor("192.0.2.1")
		v.project = project
		l := v.sendLink()
		for _, way := range []signin.Way{signin.Here, signin.LetIn, signin.HandOver} {
			ask := here("")
			ask.Way = way
			want := signin.ErrDigits
			if way == signin.LetIn && !project.Settings.LinkApproval {
				want = signin.ErrLetIn
			}
			for range 5 {
				_, err := l.admit(l.elsewhere(), ask)
				l.wants(string(way)+" without digits", err, want)
			}
		}
		a := l.attempt(l.Attempt.ID)
		if a.LinkTries != 0 || a.Tries != 0 || !a.ProvedAt.IsZero() || a.Link != "" {
			t.Errorf("empty input changed the attempt: %+v", a)
		}
		if _, err := l.answer(l.right()); err != nil {
			t.Errorf("the code afterwards: %v", err)
		}
		h.clock.wait(24 * time.Hour)
	}
}

func TestWrongDigitsSwitchTheLinkOff(t *testing.T) {
	l := newHouse(t).visitor("192.0.2.1").sendLink()
	for left := 2; left > 0; left-- {
		_, err := l.admit(l.elsewhere(), here(l.wrongDigits()))
		if e := splitpin.ErrorOf(err); e == nil || e.Code != "wrong_digits" || e.TriesLeft != left {
			t.Errorf("got %v, want wrong_digits with %d tries left", err, left)
		}
	}
	_, err := l.admit(l.elsewhere(), here(l.wrongDigits()))
	l.wants("the third wrong pair", err, signin.ErrLinkTries)
	_, err = l.admit(l.elsewhere(), here(l.Digits))
	l.wants("the right pair afterwards", err, signin.ErrLinkTries)
	_, err = l.Open(t.Context(), l.elsewhere())
	l.wants("looking at it", err, signin.ErrLinkTries)

	if a := l.attempt(l.Attempt.ID); a.Tries != 0 || a.LinkTries != 3 {
		t.Errorf("%d tries of the starter's, %d of the link's", a.Tries, a.LinkTries)
	}
	if _, err := l.answer(l.right()); err != nil {
		t.Errorf("the code of the same message: %v", err)
	}
}

// What a program did that pressed and filled everything takes nothing from the browser
// that asked.
func TestSameBrowserNeedsOneTap(t *testing.T) {
	l := newHouse(t).visitor("192.0.2.1").sendLink()
	for range 4 {
		l.admit(l.elsewhere(), here(l.wrongDigits()))
	}
	if err := l.RefuseLink(t.Context(), l.elsewhere()); err != nil {
		t.Fatal(err)
	}
	o, err := l.Open(t.Context(), l.same())
	if err != nil || !o.SameBrowser || o.Account != "a…@example.org" {
		t.Fatalf("opening: %+v, %v", o, err)
	}
	l.collected(l.mustAdmit(l.same(), here("")).Granted)
}

// On our own pages the first page goes on: only it has what the app needs. It is the
// same browser, so no option of the project is asked.
func TestSameBrowserLetsTheFirstPageIn(t *testing.T) {
	v := newHouse(t).visitor("192.0.2.1")
	l := v.sendLink(onOurPage)
	_, err := l.Grant(t.Context(), l.handle)
	l.wants("asking too early", err, signin.ErrNotProved)

	got := l.mustAdmit(l.same(), signin.Admission{Way: signin.LetIn})
	granted, err := l.Grant(t.Context(), l.handle)
	if err != nil || granted.Code == "" || granted.Code != got.Code || granted.Attempt.ClientState != "s1" {
		t.Fatalf("the first page got %+v, %v; the second %+v", granted, err, got)
	}
	c, err := l.Collect(t.Context(), signin.CollectRequest{Project: l.project, Code: granted.Code.Reveal(), Verifier: l.verifier,
		Destination: "https://shop.example/done", By: l.by})
	if err != nil || c.User.Identifier != ada {
		t.Fatalf("collecting: %+v, %v", c, err)
	}
	_, err = l.Grant(t.Context(), l.handle)
	l.wants("asking again", err, signin.ErrOver)
}

// Elsewhere, letting the asking screen in is the project's choice, and takes its digits.
func TestLettingTheAskingScreenIn(t *testing.T) {
	h := newHouse(t)
	l := h.visitor("192.0.2.1").sendLink()
	_, err := l.admit(l.elsewhere(), signin.Admission{Way: signin.LetIn, Digits: l.Digits})
	l.wants("where the project has it off", err, signin.ErrLetIn)

	v := h.visitor("192.0.2.2")
	v.project = h.set(h.shop, func(s *splitpin.Settings) { s.LinkApproval = true })
	l = v.sendLink()
	_, err = l.admit(l.elsewhere(), signin.Admission{Way: signin.LetIn, Digits: l.wrongDigits()})
	l.wants("wrong digits", err, signin.ErrWrongDigits)
	got := l.mustAdmit(l.elsewhere(), signin.Admission{Way: signin.LetIn, Digits: l.Digits})
	if got.Code != "" || got.Location != "" {
		t.Errorf("whoever let somebody in got %+v", got)
	}
	if granted, err := l.Grant(t.Context(), l.handle); err != nil || granted.Code == "" {
		t.Errorf("the asking screen got %+v, %v", granted, err)
	}
}

// From our landing page to the site's own, where the web SDK finishes.
func TestHandOver(t *testing.T) {
	h := newHouse(t)
	l := h.visitor("192.0.2.1").sendLink()
	_, err := l.admit(l.elsewhere(), signin.Admission{Way: signin.HandOver, Digits: l.wrongDigits()})
	l.wants("wrong digits", err, signin.ErrWrongDigits)
	got := l.mustAdmit(l.elsewhere(), signin.Admission{Way: signin.HandOver, Digits: l.Digits})
	u, err := url.Parse(got.Location.Reveal())
	if err != nil || u.Host != "shop.example" || u.Query().Get("plan") != "gold" || u.Query().Get("auth_method") != "MAGIC_LINK" || got.Code != "" {
		t.Fatalf("it leads to %s", got.Location.Reveal())
	}
	token := splitpin.Secret(u.Query().Get("challenge"))
	if token == l.token {
		t.Fatal("the link of the message was handed over, which everybody has")
	}
	b := l.elsewhere()
	b.Link = token
	if o, err := l.Open(t.Context(), b); err != nil || !o.HandedOver {
		t.Errorf("opening: %+v, %v", o, err)
	}
	_, err = l.admit(b, signin.Admission{Way: signin.LetIn})
	l.wants("letting in by a hand-over", err, signin.ErrLetIn)

	h.clock.wait(2*time.Minute + time.Second)
	_, err = l.admit(b, here(""))
	l.wants("a hand-over that is old", err, signin.ErrLink)
	h.clock.wait(-2 * time.Minute)
	l.collected(l.mustAdmit(b, here("")).Granted)
	_, err = l.admit(b, signin.Admission{Way: signin.HandOver})
	l.wants("a second time", err, signin.ErrLinkOver)
}

func TestHandOverNeedsASitesPage(t *testing.T) {
	l := newHouse(t).visitor("192.0.2.1").sendLink(onOurPage)
	_, err := l.admit(l.elsewhere(), signin.Admission{Way: signin.HandOver, Digits: l.Digits})
	l.wants("from a page of ours", err, signin.ErrLetIn)
}

// Whoever starts knows the digits, and chooses the page: a project that names its return pages
// keeps a link, and what is handed over, from all others.
func TestLinksReturnToReturnPages(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("192.0.2.1")
	const out = shopOrigin + "/out?to=https://evil.example"
	returns := func(to string) func(*signin.StartRequest) {
		return func(r *signin.StartRequest) { r.Destination, r.LinkReturns = to, true }
	}
	before := v.sendLink(func(r *signin.StartRequest) { r.Destination = out })
	v.project = h.set(h.shop, func(s *splitpin.Settings) { s.ReturnPages = []string{shopOrigin + "/login"} })
	h.shop, before.project = v.project, v.project

	ask := v.request(ada)
	ask.Method = "email_link"
	returns(out)(&ask)
	_, err := v.Start(t.Context(), ask)
	refused(t, "a link that returns elsewhere", err, signin.ErrRedirect)

	// Asked for before the project said so: it is looked at again when it is handed over.
	handOver := signin.Admission{Way: signin.HandOver, Digits: before.Digits}
	if o, err := before.Open(t.Context(), before.elsewhere()); err != nil || o.MayHandOver {
		t.Errorf("it may be handed over: %+v, %v", o, err)
	}
	_, err = before.admit(before.elsewhere(), handOver)
	before.wants("a hand-over to that page", err, signin.ErrLetIn)

	// A form that named no page stood on the site's origin, which is not one of the pages.
	h.clock.wait(time.Hour)
	l := v.sendLink(func(r *signin.StartRequest) { r.Destination = "" })
	_, err = l.admit(l.elsewhere(), signin.Admission{Way: signin.HandOver, Digits: l.Digits})
	l.wants("a hand-over to the root of the site", err, signin.ErrLetIn)

	h.clock.wait(time.Hour)
	l = v.sendLink(returns(loginPage))
	asked := here(l.Digits)
	asked.Destination = out
	_, err = l.admit(l.elsewhere(), asked)
	l.wants("signing in there for a page that is none", err, signin.ErrRedirect)
	asked.Destination = loginPage
	l.mustAdmit(l.elsewhere(), asked)

	h.clock.wait(time.Hour)
	l = v.sendLink(returns(loginPage))
	got := l.mustAdmit(l.elsewhere(), signin.Admission{Way: signin.HandOver, Digits: l.Digits})
	if !strings.HasPrefix(got.Location.Reveal(), loginPage+"&") {
		t.Errorf("it leads to %s", got.Location.Reveal())
	}
}

func TestNotMe(t *testing.T) {
	l := newHouse(t).visitor("192.0.2.1").sendLink()
	if err := l.RefuseLink(t.Context(), l.elsewhere()); err != nil {
		t.Fatal(err)
	}
	_, err := l.admit(l.elsewhere(), here(l.Digits))
	l.wants("signing in by it", err, signin.ErrLinkRefused)
	l.wants("a second refusal", l.RefuseLink(t.Context(), l.elsewhere()), signin.ErrLinkRefused)
	if s, err := l.Look(t.Context(), l.handle); err != nil || s.Attempt.Link != splitpin.LinkRefused {
		t.Errorf("the starter sees %+v, %v", s, err)
	}
	if _, err := l.answer(l.right()); err != nil {
		t.Errorf("the code that makes it good: %v", err)
	}
	l.wants("refusing what was proved", l.RefuseLink(t.Context(), l.elsewhere()), signin.ErrLinkOver)
}

// signsIn signs somebody in by a message that has a link, in one of the three ways in which
// that is done, and tells how the session was collected.
func (l *sentLink) signsIn(how string) (*signin.Collected, signin.CollectRequest) {
	l.t.Helper()
	var req signin.CollectRequest
	switch how {
	case "the code":
		req = l.collects(l.mustAnswer())
	case "the link":
		req = l.collects(&l.mustAdmit(l.elsewhere(), here(l.Digits)).Granted)
		req.Verifier, req.Destination, req.By = ownVerifier, "https://shop.example/other", l.elsewhere().By
	case "the asking screen, let in":
		l.mustAdmit(l.elsewhere(), signin.Admission{Way: signin.LetIn, Digits: l.Digits})
		g, err := l.Grant(l.t.Context(), l.handle)
		if err != nil {
			l.t.Fatal(err)
		}
		req = l.collects(g)
	}
	c, err := l.Collect(l.t.Context(), req)
	if err != nil {
		l.t.Fatalf("collecting: %v", err)
	}
	return c, req
}

// collects is how the one who asked collects.
func (l *sentLink) collects(g *signin.Granted) signin.CollectRequest {
	req := l.collection(g)
	req.Destination = loginPage
	return req
}

// "Not me" after somebody signed in: it ends the session of that attempt and no other, nothing
// comes of that attempt any more, and a new code makes it good.
func TestDisown(t *testing.T) {
	for how, device := range map[string]string{"the code": "Firefox on Linux", "the link": "Safari on iPhone", "the asking screen, let in": "Firefox on Linux"} {
		t.Run(how, func(t *testing.T) {
			h := newHouse(t)
			v := h.visitor("192.0.2.1")
			v.project = h.set(h.shop, func(s *splitpin.Settings) { s.LinkApproval = true })
			before := v.signIn(ada)
			h.clock.wait(time.Second)
			l := v.sendLink()
			l.wants("disowning what did not happen", l.Disown(t.Context(), l.elsewhere()), signin.ErrNotProved)
			c, collect := l.signsIn(how)
			proof := *l.attempt(l.Attempt.ID)
			h.clock.wait(time.Second)
			neighbour := h.visitor("192.0.2.3")
			neighbour.project = v.project
			other := neighbour.sendLink()
			after, _ := other.signsIn("the code")
			h.clock.wait(2 * time.Second)

			o, err := l.Open(t.Context(), l.elsewhere())
			if err != nil || o.SignedIn == nil || o.SignedIn.Device != device || !o.SignedIn.At.Equal(proof.ProvedAt) || o.Account != "a…@example.org" {
				t.Fatalf("whoever opens the link sees %+v, %v", o, err)
			}
			if again := l.attempt(l.Attempt.ID); !again.DeniedAt.IsZero() {
				t.Fatal("opening it has ended something")
			}
			l.wants("switching the link off", l.RefuseLink(t.Context(), l.elsewhere()), signin.ErrLinkOver)
			if err := l.Disown(t.Context(), l.elsewhere()); err != nil {
				t.Fatal(err)
			}

			_, err = v.refresh(c.Tokens.RefreshToken)
			l.wants("its refresh token", err, signin.ErrRefresh)
			_, _, err = v.Authenticate(t.Context(), v.project, c.Tokens.AccessToken)
			l.wants("its access token, here", err, signin.ErrToken)
			for what, kept := range map[string]*signin.Collected{"from before": before, "by another message": after} {
				if _, err := v.refresh(kept.Tokens.RefreshToken); err != nil {
					t.Errorf("the session %s: %v", what, err)
				}
			}
			// Nothing comes of it: by the same code, by asking again in either place, or by the proof.
			_, err = l.Collect(t.Context(), collect)
			l.wants("the same code within 30 seconds", err, signin.ErrGrant)
			_, err = l.answer(l.right())
			l.wants("the right answer", err, signin.ErrOver)
			_, err = l.Grant(t.Context(), l.handle)
			if e := splitpin.ErrorOf(err); e == nil || e != signin.ErrOver && e != signin.ErrElsewhere {
				t.Errorf("the starter's grant: %v", err)
			}
			for _, b := range []signin.Bearer{l.elsewhere(), l.same()} {
				for _, way := range []signin.Way{signin.Here, signin.LetIn, signin.HandOver} {
					ask := here(l.Digits)
					ask.Way = way
					_, err = l.admit(b, ask)
					l.wants("the link, "+string(way), err, signin.ErrLinkOver)
				}
				_, err = l.Open(t.Context(), b)
				l.wants("opening it", err, signin.ErrLinkOver)
				l.wants("once more", l.Disown(t.Context(), b), signin.ErrLinkOver)
			}
			enrol := l.request("")
			enrol.Method, enrol.Purpose, enrol.Challenge, enrol.Proof, enrol.Destination = "card", splitpin.Enrol, "", &l.handle, ""
			_, err = l.Start(t.Context(), enrol)
			l.wants("adding a credential by the proof", err, signin.ErrStale)
			if n := len(h.credentials(c.User.Number)); n != 0 {
				t.Errorf("it left %d credentials", n)
			}

			events, err := h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "link_disowned"}, 10)
			if err != nil || len(events) != 1 || events[0].Session != c.Session.Number || events[0].Attempt != l.Attempt.ID.Number ||
				events[0].User != c.User.Number || events[0].Network != "198.51.100.9/32" {
				t.Errorf("the log has %+v, %v", events, err)
			}
			h.clock.wait(10 * time.Minute)
			if again := v.signIn(ada); again.User.Number != c.User.Number {
				t.Error("a new code leads to somebody else")
			}
			if o, err := other.Open(t.Context(), other.elsewhere()); err != nil || o.SignedIn == nil {
				t.Errorf("the other message can be disowned still: %+v, %v", o, err)
			}
		})
	}
}

// What was proved and not collected yet is disowned as well, also between the two.
func TestDisownMeetsCollect(t *testing.T) {
	h := newHouse(t)
	l := h.visitor("192.0.2.1").sendLink()
	collect := l.collects(l.mustAnswer())
	if o, err := l.Open(t.Context(), l.elsewhere()); err != nil || o.SignedIn == nil {
		t.Fatalf("before it is collected: %+v, %v", o, err)
	}
	var disowned error
	h.db.meanwhile(func() { disowned = l.Disown(t.Context(), l.elsewhere()) })
	_, err := l.Collect(t.Context(), collect)
	if disowned != nil {
		t.Fatal(disowned)
	}
	l.wants("who collects too late", err, signin.ErrGrant)

	// The other way round: what was collected meanwhile ends.
	l = h.visitor("192.0.2.2").sendLink()
	collect = l.collects(l.mustAnswer())
	var c *signin.Collected
	h.db.meanwhile(func() { c, err = l.Collect(t.Context(), collect) })
	if err := l.Disown(t.Context(), l.elsewhere()); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.refresh(c.Tokens.RefreshToken)
	l.wants("what was collected meanwhile", err, signin.ErrRefresh)

	// Whoever was admitted and did not collect is given nothing again, in either place.
	for _, way := range []signin.Way{signin.Here, signin.LetIn} {
		h.clock.wait(time.Hour)
		l = h.visitor("192.0.2.4").sendLink()
		ask := here(l.Digits)
		ask.Way = way
		l.mustAdmit(l.same(), ask)
		if err := l.Disown(t.Context(), l.elsewhere()); err != nil {
			t.Fatal(err)
		}
		_, err = l.admit(l.same(), ask)
		l.wants("asking again, "+string(way), err, signin.ErrLinkOver)
		_, err = l.Open(t.Context(), l.same())
		l.wants("opening it, "+string(way), err, signin.ErrLinkOver)
		if way == signin.LetIn {
			_, err = l.Grant(t.Context(), l.handle)
			l.wants("the starter's grant", err, signin.ErrOver)
		}
	}

	// And what was never collected is over by itself.
	l = h.visitor("192.0.2.3").sendLink()
	l.mustAnswer()
	h.clock.wait(6 * time.Minute)
	l.wants("long after", l.Disown(t.Context(), l.elsewhere()), signin.ErrLinkOver)
}

// What goes back to the same proof ends with it, and whoever is logged out has nothing to
// disown. What a hand-over gave is for signing in alone.
func TestDisownWhatCameOfIt(t *testing.T) {
	h := newHouse(t)
	l := h.visitor("192.0.2.1").sendLink()
	ask := here(l.Digits)
	ask.Way = signin.HandOver
	to, err := url.Parse(l.mustAdmit(l.elsewhere(), ask).Location.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	handed := l.elsewhere()
	handed.Link = splitpin.Secret(to.Query().Get("challenge"))
	c := l.collected(l.mustAdmit(handed, here("")).Granted)
	l.wants("by what was handed over", l.Disown(t.Context(), handed), signin.ErrLinkOver)
	_, err = l.Open(t.Context(), handed)
	l.wants("opening that", err, signin.ErrLinkOver)

	exchanged, err := h.Exchange(t.Context(), h.shop, l.identity(c), l.by)
	if err != nil {
		t.Fatal(err)
	}
	h.logOut(l.visitor, c.Tokens.RefreshToken)
	if err := l.Disown(t.Context(), l.elsewhere()); err != nil {
		t.Fatalf("what an identity token was exchanged for lives: %v", err)
	}
	_, err = l.refresh(exchanged.Tokens.RefreshToken)
	l.wants("what was exchanged", err, signin.ErrRefresh)

	// Who confirmed it meanwhile is in the same session.
	l = h.visitor("192.0.2.3").sendLink()
	c, _ = l.signsIn("the code")
	h.clock.wait(time.Minute)
	confirm := l.request(ada)
	confirm.Purpose, confirm.User, confirm.Session, confirm.Challenge = splitpin.Confirm, c.User, c.Session, ""
	s, err := l.Start(t.Context(), confirm)
	if err != nil {
		t.Fatal(err)
	}
	l.visitor.opened(s).mustAnswer()
	if err := l.Disown(t.Context(), l.elsewhere()); err != nil {
		t.Fatal(err)
	}
	_, err = l.refresh(c.Tokens.RefreshToken)
	l.wants("what was confirmed", err, signin.ErrRefresh)

	h.clock.wait(time.Hour)
	l = h.visitor("192.0.2.2").sendLink()
	out, _ := l.signsIn("the code")
	h.logOut(l.visitor, out.Tokens.RefreshToken)
	l.wants("after logging out", l.Disown(t.Context(), l.elsewhere()), signin.ErrLinkOver)
}

// Who got in by somebody else's message and made sure to come back does not: what was added
// by that proof, or in a session that goes back to it, goes with it, and what that opened.
func TestDisownEndsWhatWasAdded(t *testing.T) {
	h := newHouse(t)
	owner, thief := h.visitor("192.0.2.1"), h.visitor("192.0.2.66")
	before := owner.signIn(ada)
	kept := owner.makesKey(before, "the owner's")
	h.clock.wait(time.Hour)
	l := thief.sendLink()
	byProof := func() *opened {
		return thief.withCard(func(req *signin.StartRequest) {
			req.Method, req.Purpose, req.Challenge, req.Proof = "key", splitpin.Enrol, "", &l.handle
		})
	}
	finish := func(o *opened, label string) *signin.Collected {
		t.Helper()
		c, err := thief.Finish(t.Context(), o.handle, show(card{Card: label}), signin.CollectRequest{Origin: shopOrigin})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	g := l.mustAnswer()
	early := finish(byProof(), "early") // before it was collected
	c, err := thief.Collect(t.Context(), l.collects(g))
	if err != nil {
		t.Fatal(err)
	}
	thief.makesKey(c, "in the session")
	late := finish(byProof(), "late")
	exchanged, err := h.Exchange(t.Context(), h.shop, thief.identity(c), thief.by)
	if err != nil {
		t.Fatal(err)
	}
	thief.makesKey(&signin.Collected{Session: exchanged.Session, User: exchanged.User}, "in what was exchanged")
	h.clock.wait(time.Minute)
	confirm := thief.withCard(func(req *signin.StartRequest) { // moves the time of a proof
		req.Method, req.Purpose, req.User, req.Session, req.Challenge = "key", splitpin.Confirm, c.User, c.Session, ""
	})
	if _, err := confirm.shows(card{Card: "late"}); err != nil {
		t.Fatal(err)
	}
	k := thief.withKey()
	g, err = k.shows(card{Card: "in the session"})
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := thief.Collect(t.Context(), k.collection(g))
	if err != nil {
		t.Fatal(err)
	}

	h.clock.wait(time.Minute)
	if err := l.Disown(t.Context(), l.elsewhere()); err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]splitpin.Secret{
		"of the message": c.Tokens.RefreshToken, "of the first enrolment": early.Tokens.RefreshToken, "of the second": late.Tokens.RefreshToken,
		"that was exchanged and confirmed": exchanged.Tokens.RefreshToken, "by an added key": byKey.Tokens.RefreshToken,
	} {
		_, err := thief.refresh(token)
		l.wants("the session "+what, err, signin.ErrRefresh)
	}
	if has := h.credentials(c.User.Number); len(has) != 1 || has[0].Number != kept.Number {
		t.Errorf("there are %d credentials, want the owner's alone", len(has))
	}
	if _, err := owner.refresh(before.Tokens.RefreshToken); err != nil {
		t.Errorf("the owner's own session: %v", err)
	}
}

// Who logged out before has left something to disown still.
func TestDisownAfterLoggingOut(t *testing.T) {
	h := newHouse(t)
	h.visitor("192.0.2.1").signIn(ada)
	h.clock.wait(time.Hour)
	thief := h.visitor("192.0.2.66")
	l := thief.sendLink()
	c, _ := l.signsIn("the code")
	thief.makesKey(c, "theirs")
	h.logOut(thief, c.Tokens.RefreshToken)
	if err := l.Disown(t.Context(), l.elsewhere()); err != nil {
		t.Fatal(err)
	}
	if has := h.credentials(c.User.Number); len(has) != 0 {
		t.Errorf("%d credentials stay", len(has))
	}
}

// A credential that somebody began to add is not added after it was disowned, not in the
// moment between two looks either.
func TestDisownEndsEnrolments(t *testing.T) {
	for _, collected := range []bool{true, false} {
		h := newHouse(t)
		l := h.visitor("192.0.2.1").sendLink()
		g := l.mustAnswer()
		if collected {
			if _, err := l.Collect(t.Context(), l.collects(g)); err != nil {
				t.Fatal(err)
			}
		}
		begin := func() *opened {
			return l.withCard(func(req *signin.StartRequest) {
				req.Purpose, req.Challenge, req.Proof = splitpin.Enrol, "", &l.handle
			})
		}
		before, between := begin(), begin()
		h.clock.wait(time.Second)
		var disowned error
		h.db.meanwhile(func() {
			h.db.meanwhile(func() { disowned = l.Disown(t.Context(), l.elsewhere()) })
		})
		_, err := between.shows(card{Card: "theirs"})
		if disowned != nil {
			t.Fatal(disowned)
		}
		l.wants("adding it between two looks", err, signin.ErrToken)
		_, err = before.shows(card{Card: "theirs"})
		l.wants("adding it", err, signin.ErrToken)
	}
}

// Who may be whose bearer.
func TestForeignLinks(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("192.0.2.1")
	l, other := v.sendLink(), h.visitor("192.0.2.2").sendLink()
	id, secret, _ := strings.Cut(l.token.Reveal(), ".")
	_, foreign, _ := strings.Cut(other.token.Reveal(), ".")
	for what, token := range map[string]string{
		"nothing": "", "the id alone": id, "an empty secret": id + ".", "the secret of another": id + "." + foreign,
		"one character less": id + "." + secret[:21], "one more": id + "." + secret + "A", "the browser's proof": id + "." + l.browser.Reveal(),
		"a hand-over of one's own making": id + "." + strconv.FormatInt(h.clock.now().Unix(), 36) + "~" + secret, "a hand-over without a time": id + ".~" + secret,
		"of an attempt that is not": "AAAAAAAAAAAAAAAAAAAAAA." + secret,
	} {
		b := l.elsewhere()
		b.Link = splitpin.Secret(token)
		_, err := l.admit(b, here(l.Digits))
		l.wants("admit with "+what, err, signin.ErrLink)
		_, err = l.Open(t.Context(), b)
		l.wants("open with "+what, err, signin.ErrLink)
		l.wants("refuse with "+what, l.RefuseLink(t.Context(), b), signin.ErrLink)
		l.wants("disown with "+what, l.Disown(t.Context(), b), signin.ErrLink)
		_, err = l.Knock(t.Context(), b.Link, splitpin.OpenedAsPage, b.By)
		l.wants("knock with "+what, err, signin.ErrLink)
	}
	b := l.elsewhere()
	b.Project = h.club
	_, err := l.admit(b, here(l.Digits))
	l.wants("in another project", err, signin.ErrLink)
	other.mustAnswer()
	b = other.elsewhere()
	b.Project = h.club
	l.wants("disowning in another project", l.Disown(t.Context(), b), signin.ErrLink)
	b = l.elsewhere()
	b.Browser = other.browser
	_, err = l.admit(b, here(""))
	l.wants("with the proof of another browser", err, signin.ErrDigits)
	if a := l.attempt(l.Attempt.ID); a.LinkTries != 0 || a.LinkOpens != 0 || !a.Open(h.clock.now()) {
		t.Errorf("strangers changed the attempt: %+v", a)
	}

	ask := here(l.Digits)
	ask.Origin = "https://evil.example"
	_, err = l.admit(l.elsewhere(), ask)
	l.wants("to a site that is not listed", err, signin.ErrOrigin)
	ask = here(l.Digits)
	ask.Destination = "https://evil.example/x"
	_, err = l.admit(l.elsewhere(), ask)
	l.wants("to a destination that is not listed", err, signin.ErrRedirect)
	ask = here(l.Digits)
	ask.Origin, ask.Destination = "", ""
	_, err = l.admit(l.elsewhere(), ask)
	l.wants("to nowhere", err, signin.ErrRedirect)
	ask = here(l.Digits)
	ask.Challenge = ""
	_, err = l.admit(l.elsewhere(), ask)
	l.wants("without a challenge", err, signin.ErrChallengeForm)

	h.clock.wait(11 * time.Minute)
	for _, b := range []signin.Bearer{l.elsewhere(), l.same()} {
		_, err = l.admit(b, here(l.Digits))
		l.wants("after its time", err, signin.ErrLinkOver)
	}
}

// The same bearer gets the same code again, nobody else gets one, and there is one session.
func TestLinkSignsInOnce(t *testing.T) {
	l := newHouse(t).visitor("192.0.2.1").sendLink()
	first := l.mustAdmit(l.elsewhere(), here(l.Digits))
	if again := l.mustAdmit(l.elsewhere(), here(l.Digits)); again.Code != first.Code {
		t.Error("a lost answer costs a sign-in")
	}
	_, err := l.admit(l.elsewhere(), here(l.wrongDigits()))
	l.wants("the same challenge with wrong digits", err, signin.ErrWrongDigits)
	ask := here(l.Digits)
	sum := sha256.Sum256([]byte("somebody else's verifier"))
	ask.Challenge = base64.RawURLEncoding.EncodeToString(sum[:])
	_, err = l.admit(l.elsewhere(), ask)
	l.wants("another challenge", err, signin.ErrLinkOver)
	_, err = l.admit(l.same(), signin.Admission{Way: signin.LetIn})
	l.wants("letting the first page in", err, signin.ErrLinkOver)
	l.collected(first.Granted)
	_, err = l.admit(l.elsewhere(), here(l.Digits))
	l.wants("after it was collected", err, signin.ErrLinkOver)

	l = newHouse(t).visitor("192.0.2.1").sendLink()
	l.mustAdmit(l.elsewhere(), here(l.Digits))
	for range 3 {
		l.admit(l.elsewhere(), here(l.wrongDigits()))
	}
	_, err = l.admit(l.elsewhere(), here(l.Digits))
	l.wants("asking again after three wrong pairs", err, signin.ErrLinkTries)
}

// Bearers and starter at once, between the lost first run of a step and the one that
// counts: one of them gets in.
func TestBearerAndStarterMeet(t *testing.T) {
	h := newHouse(t)
	l := h.visitor("192.0.2.1").sendLink()
	var inside *signin.Admitted
	var insideErr error
	h.db.meanwhile(func() { inside, insideErr = l.admit(l.elsewhere(), here(l.Digits)) })
	_, err := l.answer(l.right())
	if insideErr != nil || inside.Code == "" {
		t.Fatalf("the one who came between: %v", insideErr)
	}
	l.wants("the one who came too late", err, signin.ErrElsewhere)

	// And digits: many guesses at once are still three.
	l = h.visitor("192.0.2.3").sendLink()
	h.db.once = true
	var wg sync.WaitGroup
	results := make(chan error, 50)
	for i := range 50 {
		wg.Go(func() {
			pair := string([]byte{'0' + byte(i/10), '0' + byte(i%10)})
			if pair == l.Digits {
				pair = "99"
			}
			_, err := l.admit(l.elsewhere(), here(pair))
			results <- err
		})
	}
	wg.Wait()
	close(results)
	looked := 0
	for err := range results {
		switch e := splitpin.ErrorOf(err); {
		case errors.Is(err, signin.ErrLinkTries), e != nil && e.Code == "wrong_digits":
			if e.Code == "wrong_digits" {
				looked++
			}
		default:
			t.Errorf("got %v", err)
		}
	}
	if a := l.attempt(l.Attempt.ID); looked != 2 || a.LinkTries != 3 {
		t.Errorf("%d guesses left tries, %d were charged", looked, a.LinkTries)
	}
}

// Opening is recorded and changes nothing; so much of it is recorded and no more.
func TestOpeningsAreRecorded(t *testing.T) {
	h := newHouse(t)
	l := h.visitor("192.0.2.1").sendLink()
	before := *l.attempt(l.Attempt.ID)
	for range 100 {
		for kind := splitpin.OpenedByHead; kind <= splitpin.OpenedAsPage; kind++ {
			if p, err := l.Knock(t.Context(), l.token, kind, l.elsewhere().By); err != nil || p.ID != l.project.ID {
				t.Fatalf("knocking: %v, %v", p, err)
			}
		}
		if _, err := l.Open(t.Context(), l.elsewhere()); err != nil {
			t.Fatal(err)
		}
	}
	after := *l.attempt(l.Attempt.ID)
	for kind := splitpin.OpenedByHead; kind <= splitpin.OpenedByScript; kind++ {
		if n := after.LinkOpens.Of(kind); n != splitpin.MaxLinkOpens {
			t.Errorf("opening %d was counted %d times", kind, n)
		}
	}
	after.LinkOpens = before.LinkOpens
	if !reflect.DeepEqual(before, after) {
		t.Errorf("opening changed the attempt:\n%+v\n%+v", before, after)
	}
	events, err := h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "link_opened"}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var details []string
	for _, e := range events {
		if !slices.Contains(details, e.Detail) {
			details = append(details, e.Detail)
		}
		if e.Attempt != l.Attempt.ID.Number || e.Network != "198.51.100.9/32" {
			t.Fatalf("got %+v", e)
		}
	}
	slices.Sort(details)
	if len(events) != 4*splitpin.MaxLinkOpens || !slices.Equal(details, []string{"fetch", "head", "page", "script"}) {
		t.Errorf("%d events of %v", len(events), details)
	}
}

func TestBearersAreAudited(t *testing.T) {
	h := newHouse(t)
	l := h.visitor("192.0.2.1").sendLink()
	l.admit(l.elsewhere(), here(l.wrongDigits()))
	l.mustAdmit(l.elsewhere(), signin.Admission{Way: signin.HandOver, Digits: l.Digits})
	l.mustAdmit(l.elsewhere(), here(l.Digits))
	dead := h.visitor("192.0.2.2").sendLink()
	for range 3 {
		dead.admit(dead.elsewhere(), here(dead.wrongDigits()))
	}
	dead.RefuseLink(t.Context(), dead.elsewhere())
	for kind, want := range map[string]int{"link_wrong": 3, "link_handed_over": 1, "link_dead": 1, "link_refused": 1, "attempt_proved": 1} {
		events, err := h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: kind}, 100)
		if err != nil || len(events) != want {
			t.Errorf("%s: %d events, %v; want %d", kind, len(events), err, want)
		}
	}
	events, _ := h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "attempt_proved"}, 1)
	if len(events) == 1 && (events[0].Detail != "link_here" || events[0].Network != "198.51.100.9/32") {
		t.Errorf("got %+v", events[0])
	}
}

// A first proof discards what somebody set up before it, by a link as by a code.
func TestLinkProvesAnUnprovedUser(t *testing.T) {
	h := newHouse(t)
	l := h.visitor("192.0.2.1").sendLink()
	u := &splitpin.User{Number: 9001, ID: splitpin.NewUUID(), Project: h.shop.Number, Identifier: ada, Kind: splitpin.Email,
		CreatedAt: start, UpdatedAt: start}
	c := &splitpin.Credential{Number: 9002, Project: h.shop.Number, User: u.Number, Kind: splitpin.PasskeyCredential, Key: [32]byte{1}, CreatedAt: start}
	err := h.db.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{u, c}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := l.mustAdmit(l.elsewhere(), here(l.Digits))
	if got.Attempt.User != u.Number {
		t.Fatalf("proved user %d, want %d", got.Attempt.User, u.Number)
	}
	r := h.load(splitpin.Reads{User: u.Number, Credentials: true})
	if r.User.ProvedAt.IsZero() || len(r.Credentials) != 0 {
		t.Errorf("after the first proof: %+v with %d credentials", r.User, len(r.Credentials))
	}
}
