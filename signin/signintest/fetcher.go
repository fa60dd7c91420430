package signintest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/token"
)

// A Fetching is how [RunFetcher] uses a method. Its fields but Settings, Request and
// ByProof are required.
type Fetching struct {
	// Method makes the method for an installation.
	Method func(h *House) signin.Fetcher

	// Settings adds to those of a project what the method needs there. Nil: nothing.
	Settings func(h *House, project string, s *splitpin.Settings)
	// Request adds to a request for this method what a page knows. Nil: nothing.
	Request func(req *signin.StartRequest)
	// ByProof says that a credential is added by the proof of its page (StartRequest.Proof),
	// and not in a session.
	ByProof bool

	// Holder returns somebody new, whose device or account nobody here knows yet.
	Holder func(h *House) Holder

	// Wrong are answers to an attempt that have the right form and must never pass, made
	// of the right one, each under the name of what is wrong. The suite adds garbage, and
	// the answers of others.
	Wrong func(h *House, s *signin.Started, right json.RawMessage) map[string]json.RawMessage
}

// A Holder has one credential: a device, an account elsewhere. It returns the right answer
// to an attempt, to be sent by the starter: for Enrol the one that adds the credential,
// else the one that shows it. Each call may give another answer.
type Holder func(t testing.TB, s *signin.Started) json.RawMessage

// A House is an installation with a real store and real keys, without HTTP and mail.
type House struct {
	*signin.Engine
	Store     splitpin.Store
	Ring      *keyring.Ring
	PublicURL string // of the server
	Origin    string // of the page that asks, in every project here
	T         testing.TB

	mu sync.Mutex
	at time.Time
}

// Now is the time there. It stands still unless the suite moves it.
func (h *House) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

// RunFetcher holds a method whose answers are fetched, and name the person, against what
// the engine promises for all of them:
//
//	func TestFetcher(t *testing.T) {
//		signintest.RunFetcher(t, signintest.Fetching{
//			Method: func(h *signintest.House) signin.Fetcher { return yours.Method{} },
//			Holder: func(h *signintest.House) signintest.Holder {
//				device := newDevice(h.Origin)
//				return func(t testing.TB, s *signin.Started) json.RawMessage { return device.answers(t, s) }
//			},
//			Wrong: func(h *signintest.House, s *signin.Started, right json.RawMessage) map[string]json.RawMessage {
//				return map[string]json.RawMessage{"another signature": …}
//			},
//		})
//	}
//
// Every row starts with an installation of its own, so rows do not depend on each other.
// Steps of its store run twice, so that a Check which is not pure shows. Where a right
// answer waits for a yes, the suite says it.
func RunFetcher(t *testing.T, f Fetching) {
	for name, row := range map[string]func(*fetching){
		"adds a credential and signs in with it":     (*fetching).roundTrip,
		"the try is charged before the fetch":        (*fetching).chargedFirst,
		"the tries end":                              (*fetching).triesEnd,
		"tries end where many answers come at once":  (*fetching).triesAtOnce,
		"wrong answers":                              (*fetching).wrongAnswers,
		"an answer is good once":                     (*fetching).replay,
		"the answer of another attempt":              (*fetching).swapped,
		"an attempt that is over":                    (*fetching).expired,
		"another project, another secret":            (*fetching).foreign,
		"two right answers at once":                  (*fetching).twoAtOnce,
		"two people add the same credential at once": (*fetching).addedTwice,
		"a credential is added to whom it is for":    (*fetching).enrolling,
		"a credential that was removed":              (*fetching).removed,
		"confirmed by one's own credential alone":    (*fetching).confirming,
		"nowhere that any site may ask":              (*fetching).anyOrigin,
	} {
		t.Run(name, func(t *testing.T) { row(newFetching(t, f)) })
	}
}

const (
	adaAddress = "ada@example.org"
	bobAddress = "bob@example.org"
	verifier   = "f6eb75ce0c57a8c955a0f6f6a1c2d10ada5b1f3a52f6eb75ce0c57a8"
)

// A fetching is one row of the suite.
type fetching struct {
	*House
	t       *testing.T
	f       Fetching
	method  *watched
	project *splitpin.Project
	other   *splitpin.Project
	admin   *project.Admin
	by      signin.Caller
}

func newFetching(t *testing.T, f Fetching) *fetching {
	t.Helper()
	h := &fetching{House: &House{Store: twice{enginetest.Open(t)}, PublicURL: "https://login.example.org", Origin: "https://shop.example", T: t,
		at: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)}, t: t, f: f, by: signin.Caller{Addr: netip.MustParseAddr("203.0.113.7"), Device: "Firefox on Linux"}}
	var err error
	if h.Ring, err = keyring.Open(t.Context(), h.Store, h.at, keyring.NewMaster()); err != nil {
		t.Fatal(err)
	}
	tokens := token.New(h.Store, h.Ring, h.PublicURL, h.Now)
	own := f.Method(h.House)
	if _, part := own.(signin.PartFetcher); part {
		t.Fatal("a PartFetcher is a Messenger besides: hand it to Run")
	}
	h.method = &watched{Fetcher: own}
	method := signin.Method(h.method)
	if k, ok := own.(signin.Knower); ok {
		method = knowing{h.method, k}
	}
	h.Engine, err = signin.New(t.Context(), signin.Options{Store: h.Store, Ring: h.Ring, Tokens: tokens, Clock: h.Now, PublicURL: h.PublicURL,
		Methods: []signin.Method{code.Email{}, method}})
	if err != nil {
		t.Fatal(err)
	}
	h.admin = &project.Admin{Store: h.Store, Tokens: tokens, Clock: h.Now}
	h.project, h.other = h.newProject("Shop"), h.newProject("Club")
	return h
}

func (h *fetching) newProject(name string) *splitpin.Project {
	h.t.Helper()
	p, _, err := h.admin.Create(h.t.Context(), project.Draft{Settings: splitpin.Settings{Name: name, Origins: []string{h.Origin}}})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.set(p.ID, func(s *splitpin.Settings) {
		if h.f.Settings != nil {
			h.f.Settings(h.House, p.ID, s)
		}
	})
}

func (h *fetching) set(id string, change func(*splitpin.Settings)) *splitpin.Project {
	h.t.Helper()
	_, err := h.admin.Change(h.t.Context(), id, func(p *splitpin.Project) error { change(&p.Settings); return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Step(h.t.Context(), h.Now()); err != nil {
		h.t.Fatal(err)
	}
	p, err := h.Project(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *fetching) wait(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

// twice is a store whose steps run twice: once over records that are thrown away.
type twice struct{ splitpin.Store }

func (s twice) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	r, err := s.Load(ctx, reads)
	if err != nil {
		return err
	}
	decide(r)
	return s.Store.Change(ctx, reads, decide)
}

// watched is the method, and somebody who stands by when it fetches.
type watched struct {
	signin.Fetcher
	mu     sync.Mutex
	before func(signin.FetchRequest) error // nil: nobody
	times  int
}

func (w *watched) Fetch(ctx context.Context, req signin.FetchRequest) (signin.Fetched, bool, error) {
	w.mu.Lock()
	w.times++
	before := w.before
	w.mu.Unlock()
	if before != nil {
		if err := before(req); err != nil {
			return signin.Fetched{}, false, err
		}
	}
	return w.Fetcher.Fetch(ctx, req)
}

// stands lets f happen before each fetch from now on.
func (w *watched) stands(f func(signin.FetchRequest) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.times = f, 0
}

func (w *watched) fetches() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.times
}

type knowing struct {
	*watched
	knows signin.Knower
}

func (k knowing) Knows() splitpin.CredentialKind { return k.knows.Knows() }

// meet lets n fetches wait for each other.
func meet(n int) func(signin.FetchRequest) error {
	var mu sync.Mutex
	all := make(chan struct{})
	return func(signin.FetchRequest) error {
		mu.Lock()
		if n--; n == 0 {
			close(all)
		}
		mu.Unlock()
		<-all
		return nil
	}
}

// An asked is an attempt and how its starter handles it.
type asked struct {
	*fetching
	*signin.Started
	handle signin.Handle
}

func (h *fetching) request(p *splitpin.Project) signin.StartRequest {
	sum := sha256.Sum256([]byte(verifier))
	req := signin.StartRequest{Project: p, Method: h.method.Name(), Origin: h.Origin, Destination: h.Origin + "/login", By: h.by,
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:])}
	if h.f.Request != nil {
		h.f.Request(&req)
	}
	return req
}

func (h *fetching) start(req signin.StartRequest) *asked {
	h.t.Helper()
	s, err := h.Start(h.t.Context(), req)
	if err != nil {
		h.t.Fatalf("starting %s for %s: %v", req.Method, req.Purpose, err)
	}
	return &asked{h, s, signin.Handle{Project: req.Project, ID: s.Attempt.ID, Secret: s.Secret, By: h.by}}
}

func (h *fetching) asks() *asked { h.t.Helper(); return h.start(h.request(h.project)) }

// answers sends an answer and, where the engine asks, says yes.
func (a *asked) answers(answer json.RawMessage) (*signin.Granted, error) {
	g, err := a.Answer(a.t.Context(), a.handle, answer)
	if errors.Is(err, signin.ErrAsk) {
		return a.Agree(a.t.Context(), a.handle)
	}
	return g, err
}

func (a *asked) must(answer json.RawMessage) *signin.Granted {
	a.t.Helper()
	g, err := a.answers(answer)
	if err != nil {
		a.t.Fatalf("the right answer: %v", err)
	}
	return g
}

// stored is the attempt as it is by now.
func (a *asked) stored() *splitpin.Attempt {
	a.t.Helper()
	r, err := a.Store.Load(a.t.Context(), splitpin.Reads{Attempt: a.Attempt.ID.Number})
	if err != nil || r.Attempt == nil {
		a.t.Fatalf("loading an attempt: %v, %v", r.Attempt, err)
	}
	return r.Attempt
}

// proofs is how often the audit log says that the attempt was proved.
func (a *asked) proofs() (n int) {
	a.t.Helper()
	list, err := a.Store.AuditEvents(a.t.Context(), splitpin.AuditFilter{Project: a.Attempt.Project}, 1000)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, e := range list {
		if e.Attempt == a.Attempt.ID.Number && e.Kind == "attempt_proved" {
			n++
		}
	}
	return n
}

func (a *asked) collects(g *signin.Granted) *signin.Collected {
	a.t.Helper()
	c, err := a.Collect(a.t.Context(), signin.CollectRequest{Project: a.handle.Project, Code: g.Code.Reveal(), Verifier: verifier,
		Destination: a.Attempt.Destination, Origin: a.Origin, By: a.by})
	if err != nil {
		a.t.Fatalf("collecting: %v", err)
	}
	return c
}

// in is somebody who signed in by a code, and the attempt by which.
type in struct {
	*signin.Collected
	proof signin.Handle
}

func (h *fetching) signsIn(p *splitpin.Project, address string) in {
	h.t.Helper()
	req := h.request(p)
	req.Method, req.Identifier, req.Provider = code.Email{}.Name(), address, ""
	a := h.start(req)
	told, err := h.Secret(a.Attempt)
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := json.Marshal(map[string]string{"code": told.Code.Reveal()})
	if err != nil {
		h.t.Fatal(err)
	}
	return in{a.collects(a.must(answer)), a.handle}
}

// enrol is the request by which somebody adds a credential.
func (h *fetching) enrol(p *splitpin.Project, who in) signin.StartRequest {
	req := h.request(p)
	req.Purpose, req.Challenge = splitpin.Enrol, ""
	if h.f.ByProof {
		req.Proof = &who.proof
	} else {
		req.User, req.Session = who.User, who.Session
	}
	return req
}

// has gives somebody a credential.
func (h *fetching) has(p *splitpin.Project, address string) (in, Holder) {
	h.t.Helper()
	who, holder := h.signsIn(p, address), h.f.Holder(h.House)
	a := h.start(h.enrol(p, who))
	a.must(holder(h.t, a.Started))
	return who, holder
}

func (h *fetching) credentials(who in) []*splitpin.Credential {
	h.t.Helper()
	list, err := h.Credentials(h.t.Context(), who.User)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// wrong are wrong answers, some that only this method could make among them.
func (a *asked) wrong(right json.RawMessage) map[string]json.RawMessage {
	a.t.Helper()
	own := a.f.Wrong(a.House, a.Started, right)
	if len(own) == 0 {
		a.t.Fatal("the method has no wrong answers of its own")
	}
	return own
}

// aWrongOne is any of them.
func (a *asked) aWrongOne(right json.RawMessage) json.RawMessage {
	a.t.Helper()
	for _, answer := range a.wrong(right) {
		return answer
	}
	return nil
}

// refused checks that an answer was refused in a way that people can read, and not as a
// fault of ours.
func (h *fetching) refused(what string, err error, want ...*splitpin.Error) {
	h.t.Helper()
	e := splitpin.ErrorOf(err)
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	if e == nil || len(want) > 0 || e.Kind != splitpin.Unauthenticated {
		h.t.Errorf("%s: got %v, want a refusal %v", what, err, want)
	}
}

func (h *fetching) roundTrip() {
	who, holder := h.has(h.project, adaAddress)
	list := h.credentials(who)
	if len(list) != 1 || list[0].User != who.User.Number || list[0].Project != h.project.Number || list[0].Key == ([32]byte{}) || !list[0].CreatedAt.Equal(h.Now()) {
		h.t.Fatalf("added were %+v, want one credential", list)
	}
	h.wait(time.Hour)
	a := h.asks()
	c := a.collects(a.must(holder(h.t, a.Started)))
	if c.User.Number != who.User.Number || c.Session.AuthMethod != h.method.AuthMethod() || c.Session.Credential != list[0].Number || !c.Session.AuthAt.Equal(h.Now()) {
		h.t.Errorf("signed in as user %d by %s with credential %d, want %d, %s, %d", c.User.Number, c.Session.AuthMethod, c.Session.Credential,
			who.User.Number, h.method.AuthMethod(), list[0].Number)
	}
	list = h.credentials(who)
	if len(list) != 1 || !list[0].UsedAt.Equal(h.Now()) {
		h.t.Errorf("after that there are %+v, want the same one, used now", list)
	}
	if n := a.proofs(); n != 1 {
		h.t.Errorf("the audit log has %d proofs, want 1", n)
	}
}

// Whatever happens while somebody else is asked, the try was paid.
func (h *fetching) chargedFirst() {
	_, holder := h.has(h.project, adaAddress)
	a := h.asks()
	right := holder(h.t, a.Started)
	h.method.stands(func(signin.FetchRequest) error {
		if s := a.stored(); s.Tries != 1 || !s.ProvedAt.IsZero() || len(s.Pending) != 0 {
			h.t.Errorf("when the answer is looked at, the attempt has %d tries, proved %v: want one try and nothing else", s.Tries, s.ProvedAt)
		}
		return splitpin.ErrUnavailable
	})
	if _, err := a.answers(right); !errors.Is(err, splitpin.ErrUnavailable) {
		h.t.Errorf("a fetch that ends with an error: got %v, want that error", err)
	}
	if s := a.stored(); h.method.fetches() != 1 || s.Tries != 1 || !s.ProvedAt.IsZero() || !s.DeniedAt.IsZero() {
		h.t.Errorf("after a fetch that failed the attempt is %+v", s)
	}
	h.method.stands(nil)
	a.must(right)
	if s := a.stored(); s.Tries != 2 || s.ProvedAt.IsZero() {
		h.t.Errorf("after the right answer: %d tries, proved %v", s.Tries, s.ProvedAt)
	}
}

func (h *fetching) triesEnd() {
	_, holder := h.has(h.project, adaAddress)
	a := h.asks()
	if begun := a.Attempt; begun.MaxTries < 1 || begun.MaxTries > MaxTries || begun.ExpiresAt.Sub(h.Now()) > MaxLifetime || !begun.ExpiresAt.After(h.Now()) {
		h.t.Errorf("%d tries in %v: want 1 to %d in at most %v", begun.MaxTries, begun.ExpiresAt.Sub(h.Now()), MaxTries, MaxLifetime)
	}
	right := holder(h.t, a.Started)
	wrong := a.aWrongOne(right)
	h.method.stands(nil)
	for try := 1; try < a.Attempt.MaxTries; try++ {
		_, err := a.answers(wrong)
		h.refused(fmt.Sprintf("wrong answer %d", try), err, signin.ErrFailed, signin.ErrNobodys)
		if e := splitpin.ErrorOf(err); errors.Is(err, signin.ErrFailed) && e.TriesLeft != a.Attempt.MaxTries-try {
			h.t.Errorf("wrong answer %d: %d tries are said to be left", try, e.TriesLeft)
		}
	}
	for _, answer := range []json.RawMessage{wrong, wrong, right} {
		_, err := a.answers(answer)
		h.refused("after the last try", err, signin.ErrTries, signin.ErrNobodys)
	}
	if n := h.method.fetches(); n != a.Attempt.MaxTries {
		h.t.Errorf("the answers were looked at %d times, want %d", n, a.Attempt.MaxTries)
	}
	if s := a.stored(); !s.ProvedAt.IsZero() || s.DeniedAt.IsZero() {
		h.t.Errorf("the attempt was proved %v, denied %v", s.ProvedAt, s.DeniedAt)
	}
}

// Answers that come together gain nothing: only as many are looked at as there are tries.
func (h *fetching) triesAtOnce() {
	_, holder := h.has(h.project, adaAddress)
	a := h.asks()
	wrong := a.aWrongOne(holder(h.t, a.Started))
	h.method.stands(meet(a.Attempt.MaxTries))
	var wg sync.WaitGroup
	for range 3 * a.Attempt.MaxTries {
		wg.Go(func() {
			_, err := a.answers(wrong)
			if e := splitpin.ErrorOf(err); e == nil || e.Kind != splitpin.Unauthenticated {
				h.t.Errorf("a wrong answer among many: %v", err)
			}
		})
	}
	wg.Wait()
	if n, s := h.method.fetches(), a.stored(); n != a.Attempt.MaxTries || s.Tries != n {
		h.t.Errorf("%d answers were looked at, %d charged; want %d", n, s.Tries, a.Attempt.MaxTries)
	}
}

func (h *fetching) wrongAnswers() {
	_, holder := h.has(h.project, adaAddress)
	first := h.asks()
	names := []string{}
	for name := range first.wrong(holder(h.t, first.Started)) {
		names = append(names, name)
	}
	for _, name := range names {
		a := h.asks()
		answer, there := a.wrong(holder(h.t, a.Started))[name]
		if !there {
			h.t.Fatalf("%s: it is there for one attempt and not for another", name)
		}
		_, err := a.answers(answer)
		h.refused(name, err)
		a.must(holder(h.t, a.Started)) // or else the row says nothing
	}
	for name, answer := range garbage() {
		a := h.asks()
		_, err := a.answers(answer)
		h.refused(name, err)
		if s := a.stored(); !s.ProvedAt.IsZero() || len(s.Pending) > 0 {
			h.t.Errorf("%s counted for something", name)
		}
	}
}

// garbage is what no method asks for.
func garbage() map[string]json.RawMessage {
	return map[string]json.RawMessage{
		"nothing": nil, "an empty text": json.RawMessage(""), "null": json.RawMessage("null"), "an empty object": json.RawMessage("{}"),
		"an array": json.RawMessage("[]"), "a number": json.RawMessage("0"), "a string": json.RawMessage(`""`), "true": json.RawMessage("true"),
		"half an object": json.RawMessage(`{"code":`), "bytes that are no text": json.RawMessage("\xff\x00{"),
		"a code":      json.RawMessage(`{"code":"123456"}`),
		"a mebibyte":  json.RawMessage(`{"code":"` + strings.Repeat("0", 1<<20) + `"}`),
		"a deep nest": json.RawMessage(strings.Repeat(`{"code":`, 5000) + "1" + strings.Repeat("}", 5000)),
	}
}

// The same answer again gives what it gave, or nothing; after the session was collected
// nothing; and to another attempt it says nothing at all.
func (h *fetching) replay() {
	_, holder := h.has(h.project, adaAddress)
	a := h.asks()
	right := holder(h.t, a.Started)
	g := a.must(right)
	if again, err := a.answers(right); err == nil && again.Code != g.Code {
		h.t.Error("the same answer gives a second code")
	} else if err != nil {
		h.refused("the same answer again", err)
	}
	next := h.asks()
	_, err := next.answers(right)
	h.refused("the same answer to the next attempt", err)
	a.collects(g)
	_, err = a.answers(right)
	h.refused("the same answer after the session was collected", err)
	if n := a.proofs() + next.proofs(); n != 1 {
		h.t.Errorf("the audit log has %d proofs, want 1", n)
	}
}

func (h *fetching) swapped() {
	_, holder := h.has(h.project, adaAddress)
	mine, theirs := h.asks(), h.asks()
	answer := holder(h.t, theirs.Started)
	_, err := mine.answers(answer)
	h.refused("the answer to another attempt", err)
	if s := mine.stored(); s.Tries != 1 || !s.ProvedAt.IsZero() {
		h.t.Errorf("it left %d tries, proved %v; want one and nothing", s.Tries, s.ProvedAt)
	}
	theirs.must(holder(h.t, theirs.Started))
	mine.must(holder(h.t, mine.Started))
}

func (h *fetching) expired() {
	_, holder := h.has(h.project, adaAddress)
	a := h.asks()
	right := holder(h.t, a.Started)
	h.wait(a.Attempt.ExpiresAt.Sub(h.Now()))
	h.method.stands(nil)
	_, err := a.answers(right)
	h.refused("an answer that comes too late", err, signin.ErrOver)
	if n, s := h.method.fetches(), a.stored(); n != 0 || s.Tries != 0 {
		h.t.Errorf("it was looked at %d times and cost %d tries, want none", n, s.Tries)
	}
}

func (h *fetching) foreign() {
	_, holder := h.has(h.project, adaAddress)
	a := h.asks()
	right := holder(h.t, a.Started)
	h.method.stands(nil)
	for what, alter := range map[string]func(*signin.Handle){
		"another project": func(g *signin.Handle) { g.Project = h.other },
		"another secret":  func(g *signin.Handle) { g.Secret = splitpin.Secret(strings.Repeat("A", 22)) },
		"no secret":       func(g *signin.Handle) { g.Secret = "" },
		"another nonce":   func(g *signin.Handle) { g.ID.Nonce[0]++ },
		"another number":  func(g *signin.Handle) { g.ID.Number++ },
	} {
		handle := a.handle
		alter(&handle)
		_, err := a.Answer(h.t.Context(), handle, right)
		h.refused(what, err, signin.ErrUnknown)
	}
	if n, s := h.method.fetches(), a.stored(); n != 0 || s.Tries != 0 {
		h.t.Errorf("strangers made us look %d times and cost %d tries, want none", n, s.Tries)
	}

	// Whom one project knows, another does not.
	b := h.start(h.request(h.other))
	if g, err := b.answers(holder(h.t, b.Started)); err == nil && g.Attempt.User != 0 {
		r, err := h.Store.Load(h.t.Context(), splitpin.Reads{User: g.Attempt.User})
		if err != nil || r.User == nil || r.User.Project != h.other.Number {
			h.t.Errorf("another project signed in %+v, %v", r.User, err)
		}
	} else if err != nil && splitpin.ErrorOf(err) == nil {
		h.t.Errorf("in another project: %v", err)
	}
	a.must(right)
}

// Two answers that meet prove the attempt once.
func (h *fetching) twoAtOnce() {
	_, holder := h.has(h.project, adaAddress)
	for _, what := range []string{"the same answer", "an answer each"} {
		a := h.asks()
		answers := []json.RawMessage{holder(h.t, a.Started)}
		answers = append(answers, answers[0])
		if what == "an answer each" {
			answers[1] = holder(h.t, a.Started)
		}
		h.method.stands(meet(len(answers)))
		granted, errs := make([]*signin.Granted, len(answers)), make([]error, len(answers))
		var wg sync.WaitGroup
		for i, answer := range answers {
			wg.Go(func() { granted[i], errs[i] = a.answers(answer) })
		}
		wg.Wait()
		h.method.stands(nil)
		var code splitpin.Secret
		for i, g := range granted {
			switch {
			case errs[i] != nil:
				h.refused(what, errs[i])
			case code == "":
				code = g.Code
			case code != g.Code:
				h.t.Errorf("%s: there are two codes", what)
			}
		}
		if n := a.proofs(); code == "" || n != 1 {
			h.t.Errorf("%s: %d proofs, want 1; %v", what, n, errs)
		}
	}
}

// One credential belongs to one person.
func (h *fetching) addedTwice() {
	ada, bob, holder := h.signsIn(h.project, adaAddress), h.signsIn(h.project, bobAddress), h.f.Holder(h.House)
	attempts := []*asked{h.start(h.enrol(h.project, ada)), h.start(h.enrol(h.project, bob))}
	h.method.stands(meet(len(attempts)))
	errs := make([]error, len(attempts))
	answers := []json.RawMessage{holder(h.t, attempts[0].Started), holder(h.t, attempts[1].Started)}
	var wg sync.WaitGroup
	for i, a := range attempts {
		wg.Go(func() { _, errs[i] = a.answers(answers[i]) })
	}
	wg.Wait()
	h.method.stands(nil)
	if (errs[0] == nil) == (errs[1] == nil) {
		h.t.Fatalf("two people add the same: %v and %v, want that one of them can", errs[0], errs[1])
	}
	if n := len(h.credentials(ada)) + len(h.credentials(bob)); n != 1 {
		h.t.Errorf("they have %d credentials, want 1", n)
	}
	for _, err := range errs {
		if err != nil {
			h.refused("whoever came second", err, signin.ErrTaken)
		}
	}
}

// A credential is added to whoever was there, lately, and still is.
func (h *fetching) enrolling() {
	who, holder := h.signsIn(h.project, adaAddress), h.f.Holder(h.House)
	nobody := h.request(h.project)
	nobody.Purpose, nobody.Challenge = splitpin.Enrol, ""
	_, err := h.Start(h.t.Context(), nobody)
	h.refused("for nobody", err, signin.ErrPurpose)
	if !h.f.ByProof {
		ended := h.start(h.enrol(h.project, who))
		answer := holder(h.t, ended.Started)
		if err := h.EndSession(h.t.Context(), who.User, who.Session.Number, h.by); err != nil {
			h.t.Fatal(err)
		}
		_, err := ended.answers(answer)
		h.refused("in a session that was ended meanwhile", err, signin.ErrToken)
		if list := h.credentials(who); len(list) != 0 {
			h.t.Errorf("added were %+v", list)
		}
		who = h.signsIn(h.project, adaAddress)
	}
	in := h.enrol(h.project, who)
	h.wait(6 * time.Minute)
	_, err = h.Start(h.t.Context(), in)
	h.refused("with a proof of six minutes ago", err, signin.ErrStale, signin.ErrOver)

	who = h.signsIn(h.project, adaAddress)
	a := h.start(h.enrol(h.project, who))
	answer := holder(h.t, a.Started)
	if _, err := a.answers(a.aWrongOne(answer)); err == nil {
		h.t.Error("a wrong answer added something")
	}
	a.must(answer)
	if list := h.credentials(who); len(list) != 1 {
		h.t.Errorf("after the right answer there are %+v, want one", list)
	}
	bob := h.signsIn(h.project, bobAddress)
	a = h.start(h.enrol(h.project, bob))
	_, err = a.answers(holder(h.t, a.Started))
	h.refused("the same for somebody else", err, signin.ErrTaken)
}

func (h *fetching) removed() {
	_, holder := h.has(h.project, adaAddress)
	who := h.signsIn(h.project, adaAddress) // whose own session it did not open
	a := h.asks()
	if err := h.Remove(h.t.Context(), who.Session, who.User, h.credentials(who)[0].Number, h.by); err != nil {
		h.t.Fatal(err)
	}
	if g, err := a.answers(holder(h.t, a.Started)); err == nil {
		h.t.Errorf("a credential that was removed signs in user %d", g.Attempt.User)
	}
	if list := h.credentials(who); len(list) != 0 {
		h.t.Errorf("it is there again: %+v", list)
	}
}

func (h *fetching) confirming() {
	ada, hers := h.has(h.project, adaAddress)
	_, his := h.has(h.project, bobAddress)
	strangers := h.f.Holder(h.House)
	h.wait(time.Minute)
	confirm := func() *asked {
		req := h.request(h.project)
		req.Purpose, req.Challenge, req.User, req.Session = splitpin.Confirm, "", ada.User, ada.Session
		return h.start(req)
	}
	at := func() time.Time {
		r, err := h.Store.Load(h.t.Context(), splitpin.Reads{Session: ada.Session.Number})
		if err != nil || r.Session == nil {
			h.t.Fatalf("loading a session: %v", err)
		}
		return r.Session.AuthAt
	}
	before := at()
	for what, holder := range map[string]Holder{"of somebody else": his, "of nobody": strangers} {
		a := confirm()
		if _, err := a.answers(holder(h.t, a.Started)); err == nil {
			h.t.Errorf("a credential %s confirms", what)
		}
	}
	if now := at(); !now.Equal(before) {
		h.t.Errorf("the session was confirmed at %v", now)
	}
	a := confirm()
	a.must(hers(h.t, a.Started))
	if now := at(); !now.Equal(h.Now()) {
		h.t.Errorf("her own credential: confirmed at %v, want %v", now, h.Now())
	}
}

func (h *fetching) anyOrigin() {
	p := h.set(h.project.ID, func(s *splitpin.Settings) { s.Origins = append(s.Origins, "*") })
	_, err := h.Start(h.t.Context(), h.request(p))
	h.refused("where any site may ask", err, signin.ErrMethodOff)
}
