package signin_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
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
	"github.com/splitpin/splitpin/signin/link"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/token"
)

// A house is a whole installation without HTTP and mail: the real store in a
// file, real keys and tokens, and a clock to move. Its store makes every step
// run twice, as one does that met another: what a closure leaves behind in a
// captured variable shows.
type house struct {
	*signin.Engine
	t      testing.TB
	clock  *clock
	db     *watched
	ring   *keyring.Ring
	tokens *token.Service
	master keyring.Master
	cards  *cards

	provider *provider                                  // of codes by SMS; nil: they are ours
	pause    func(context.Context, time.Duration) error // how the engine waits

	shop, club *splitpin.Project // the default project, and another
}

const (
	shopOrigin = "https://shop.example"
	clubOrigin = "https://club.example"
	ada        = "ada@example.org"
)

var start = time.Date(2026, 3, 14, 9, 26, 53, 589793000, time.UTC)

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// wait moves the clock; by may be negative.
func (c *clock) wait(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

// watched is a store whose steps run twice: once over records that are thrown
// away, and once for real. between, when set, runs between the two: that is when
// somebody else's step commits.
type watched struct {
	splitpin.Store
	mu      sync.Mutex
	between func()
	once    bool // steps run once only, for speed
}

func (w *watched) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	if w.once {
		return w.Store.Change(ctx, reads, decide)
	}
	r, err := w.Store.Load(ctx, reads)
	if err != nil {
		return err
	}
	decide(r)
	w.mu.Lock()
	between := w.between
	w.between = nil
	w.mu.Unlock()
	if between != nil {
		between()
	}
	return w.Store.Change(ctx, reads, decide)
}

// meanwhile lets f happen inside the next step, between a first run of it that
// is lost and the one that counts.
func (w *watched) meanwhile(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.between = f
}

func newHouse(t testing.TB) *house {
	t.Helper()
	db := enginetest.Open(t)
	h := &house{t: t, clock: &clock{at: start}, cards: &cards{}, db: &watched{Store: db}, master: keyring.NewMaster()}
	h.pause = func(_ context.Context, d time.Duration) error { h.clock.wait(d); return nil }
	h.Engine, h.ring, h.tokens = h.node()
	h.shop = h.newProject(splitpin.Settings{Name: "Shop", Origins: []string{shopOrigin, "shop://"}})
	h.club = h.newProject(splitpin.Settings{Name: "Club", Origins: []string{clubOrigin, shopOrigin}})
	return h
}

// node opens one more node on the same store and clock.
func (h *house) node() (*signin.Engine, *keyring.Ring, *token.Service) {
	h.t.Helper()
	ring, err := keyring.Open(h.t.Context(), h.db, h.clock.now(), h.master)
	if err != nil {
		h.t.Fatal(err)
	}
	tokens := token.New(h.db, ring, "https://login.example.org", h.clock.now)
	engine, err := signin.New(h.t.Context(), signin.Options{Store: h.db, Ring: ring, Tokens: tokens,
		Methods: []signin.Method{code.Email{}, code.SMS{Senders: bothChannels, Provider: h.codeProvider}, link.Email("https://login.example.org"), link.SMS("https://login.example.org", bothChannels), h.cards, &keys{}},
		Clock:   h.clock.now, PublicURL: "https://login.example.org", Wait: func(ctx context.Context, d time.Duration) error { return h.pause(ctx, d) }})
	if err != nil {
		h.t.Fatal(err)
	}
	return engine, ring, tokens
}

// codeProvider is who makes the codes of a channel, where a test said so.
func (h *house) codeProvider(c splitpin.Channel) code.Provider {
	if h.provider == nil || c != splitpin.SMSChannel {
		return nil
	}
	return h.provider
}

func bothChannels() []splitpin.Channel {
	return []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel}
}

func (h *house) admin() *project.Admin {
	return &project.Admin{Store: h.db, Tokens: h.tokens, Clock: h.clock.now}
}

func (h *house) newProject(s splitpin.Settings) *splitpin.Project {
	h.t.Helper()
	p, _, err := h.admin().Create(h.t.Context(), project.Draft{Settings: s})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.noticed(p.ID)
}

// set changes the settings of a project and returns it as the engine sees it.
func (h *house) set(p *splitpin.Project, alter func(*splitpin.Settings)) *splitpin.Project {
	h.t.Helper()
	_, err := h.admin().Change(h.t.Context(), p.ID, func(p *splitpin.Project) error { alter(&p.Settings); return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	return h.noticed(p.ID)
}

func (h *house) noticed(id string) *splitpin.Project {
	h.t.Helper()
	h.step()
	p, err := h.Project(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *house) step() {
	h.t.Helper()
	if _, err := h.Step(h.t.Context(), h.clock.now()); err != nil {
		h.t.Fatal(err)
	}
}

// A visitor is somebody at a browser, with one verifier.
type visitor struct {
	*house
	by       signin.Caller
	verifier string
	project  *splitpin.Project
	origin   string
	linked   signin.Handle // of the newest attempt with a link
}

// visitor returns a person on a network of their own, at the page of the shop.
func (h *house) visitor(address string) *visitor {
	return &visitor{house: h, project: h.shop, origin: shopOrigin,
		by:       signin.Caller{Addr: netip.MustParseAddr(address), Device: "Firefox on Linux"},
		verifier: "f6eb75ce0123456789abcdef0123456789abcdef0123456789abcdef" + address}
}

func (v *visitor) challenge() string {
	sum := sha256.Sum256([]byte(v.verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (v *visitor) request(identifier string) signin.StartRequest {
	return signin.StartRequest{Project: v.project, Method: "email_code", Identifier: identifier,
		Challenge: v.challenge(), Origin: v.origin, By: v.by}
}

// An opened attempt and how its starter handles it.
type opened struct {
	*visitor
	*signin.Started
	handle signin.Handle
}

func (v *visitor) start(identifier string) *opened {
	v.t.Helper()
	s, err := v.Start(v.t.Context(), v.request(identifier))
	if err != nil {
		v.t.Fatalf("starting for %s: %v", identifier, err)
	}
	return v.opened(s)
}

func (v *visitor) opened(s *signin.Started) *opened {
	return &opened{v, s, signin.Handle{Project: v.project, ID: s.Attempt.ID, Secret: s.Secret, By: v.by}}
}

// right is the right answer: what the message says.
func (o *opened) right() string {
	o.t.Helper()
	text, err := o.Secret(o.Attempt)
	if err != nil {
		o.t.Fatal(err)
	}
	return text.Code.Reveal()
}

// Secret of an opened attempt is the engine's, not the starter's.
func (o *opened) Secret(a *splitpin.Attempt) (signin.Told, error) { return o.Engine.Secret(a) }

// wrong is an answer that is as long as the right one.
func (o *opened) wrong() string {
	right := o.right()
	last := right[len(right)-1]
	return right[:len(right)-1] + string('0'+(last-'0'+1)%10)
}

func said(text string) json.RawMessage {
	b, _ := json.Marshal(map[string]string{"code": text})
	return b
}

func (o *opened) answer(text string) (*signin.Granted, error) {
	return o.Answer(o.t.Context(), o.handle, said(text))
}

func (o *opened) mustAnswer() *signin.Granted {
	o.t.Helper()
	g, err := o.answer(o.right())
	if err != nil {
		o.t.Fatalf("the right answer: %v", err)
	}
	return g
}

func (o *opened) collection(g *signin.Granted) signin.CollectRequest {
	return signin.CollectRequest{Project: o.project, Code: g.Code.Reveal(), Verifier: o.verifier,
		ChallengeID: &g.ChallengeID, Destination: o.origin, Origin: o.origin, By: o.by}
}

func (v *visitor) signIn(identifier string) *signin.Collected {
	v.t.Helper()
	o := v.start(identifier)
	c, err := v.Collect(v.t.Context(), o.collection(o.mustAnswer()))
	if err != nil {
		v.t.Fatalf("collecting: %v", err)
	}
	return c
}

func (v *visitor) refresh(text splitpin.Secret) (*signin.Refreshed, error) {
	return v.Refresh(v.t.Context(), signin.RefreshRequest{Project: v.project, Token: text, By: v.by})
}

// attempt reads an attempt from the store.
func (h *house) attempt(id splitpin.AttemptID) *splitpin.Attempt {
	h.t.Helper()
	return h.load(splitpin.Reads{Attempt: id.Number}).Attempt
}

func (h *house) load(reads splitpin.Reads) *splitpin.Records {
	h.t.Helper()
	r, err := h.db.Load(h.t.Context(), reads)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) messages(o *opened) []*splitpin.Message {
	h.t.Helper()
	m, err := h.db.Messages(h.t.Context(), splitpin.MessageFilter{Attempt: o.Attempt.ID.Number}, 100)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// events returns the kinds of what happened to an identifier of the shop, oldest
// first.
func (h *house) events(identifier string) string {
	h.t.Helper()
	subject, err := h.Subject(h.shop.Number, identifier)
	if err != nil {
		h.t.Fatal(err)
	}
	list, err := h.db.AuditEvents(h.t.Context(), splitpin.AuditFilter{Project: h.shop.Number, Subject: subject}, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	kinds := make([]string, len(list))
	for i, e := range list {
		kinds[len(list)-1-i] = e.Kind
	}
	return strings.Join(kinds, " ")
}

// refused checks that err is a refusal like want and returns it.
func refused(t testing.TB, what string, err error, want *splitpin.Error) *splitpin.Error {
	t.Helper()
	got := splitpin.ErrorOf(err)
	if got == nil || !errors.Is(err, want) || got.Kind != want.Kind || got.Field != want.Field {
		t.Fatalf("%s: got %v, want %s", what, err, want.Code)
	}
	return got
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
