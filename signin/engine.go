package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/token"
)

// An Engine runs attempts and sessions. Its methods may be called from many
// goroutines; several engines may share one store.
type Engine struct {
	store   splitpin.Store
	ring    *keyring.Ring
	tokens  *token.Service
	methods map[string]Method
	now     func() time.Time
	random  io.Reader
	outbox  Outbox
	// publicURL is where the pages of this server stand, for links that they take.
	publicURL string
	wait      func(context.Context, time.Duration) error
	observe   func(context.Context, string) (context.Context, func(error))
	captcha   Captcha // nil: there is none

	projects atomic.Pointer[directory]
	balance  atomic.Int64 // wrong answers less right ones that the guard was not told of
	refusals refusals
	cache    limitCache
	suspects suspects
	guarded  atomic.Bool // wrong answers outrun right ones over the whole installation
}

// Options are what an Engine is made of. Store, Ring, Tokens and Methods are
// required.
type Options struct {
	Store   splitpin.Store
	Ring    *keyring.Ring
	Tokens  *token.Service
	Methods []Method

	Clock  func() time.Time // nil: time.Now
	Random io.Reader        // nil: crypto/rand
	// Wait returns when that time has passed, or with the error of ctx when that ends
	// before. Nil: it waits by the machine's own clock.
	Wait   func(ctx context.Context, d time.Duration) error
	Outbox Outbox // of this node; nil: messages are left to whoever claims them

	// PublicURL is where the pages of this server stand; links in messages begin with it.
	PublicURL string

	// Observe, where it is set, is called when a step for somebody begins, with its
	// name; the step goes on under the context it returns. done hears what the step
	// returned: nil, an error that holds a splitpin.Error, or one that is ours.
	Observe func(ctx context.Context, step string) (_ context.Context, done func(error))
}

// An Outbox takes the messages that this node creates, so that none of them need be
// claimed and read again.
type Outbox interface {
	// Reserve is told of a message that the next commit will create. Where there is
	// a place for it, it becomes this node's: Reserve sets Tries and DueAt, so that no
	// other node claims it before then.
	//
	// created must be told what became of that commit, also where the step panics. It
	// happened: a is the message's attempt, and the outbox owns both. It did not, or
	// nobody knows: a is nil. Only the first call counts.
	Reserve(m *splitpin.Message) (created func(a *splitpin.Attempt))
}

// elsewhere is for programs that send nothing themselves.
type elsewhere struct{}

func (elsewhere) Reserve(*splitpin.Message) func(*splitpin.Attempt) {
	return func(*splitpin.Attempt) {}
}

// New returns an engine that has loaded the projects.
func New(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{
		store: o.Store, ring: o.Ring, tokens: o.Tokens, methods: map[string]Method{},
		now: o.Clock, random: o.Random, outbox: o.Outbox, observe: o.Observe, publicURL: o.PublicURL, wait: o.Wait,
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.random == nil {
		e.random = rand.Reader
	}
	if e.wait == nil {
		e.wait = wait
	}
	if e.outbox == nil {
		e.outbox = elsewhere{}
	}
	if e.observe == nil {
		e.observe = func(ctx context.Context, _ string) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	for _, m := range o.Methods {
		if e.methods[m.Name()] != nil {
			return nil, fmt.Errorf("two sign-in methods are called %q", m.Name())
		}
		e.methods[m.Name()] = m
	}
	e.projects.Store(&directory{})
	if err := e.reload(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// Step does what is due: it notices projects and keys that another process
// changed, and whether the installation is being guessed at. Call it about once
// a second.
func (e *Engine) Step(ctx context.Context, now time.Time) (worked bool, err error) {
	if err := e.refreshIfChanged(ctx); err != nil {
		return false, err
	}
	now = now.UTC().Truncate(time.Microsecond)
	if err := e.recordRefusals(ctx, now); err != nil {
		return false, err
	}
	return false, e.watchGuard(ctx, now)
}

// Guarded reports whether all codes are longer now, because wrong answers outrun
// right ones over the whole installation (security 8).
func (e *Engine) Guarded() bool { return e.guarded.Load() }

// Methods returns the names of the methods, sorted.
func (e *Engine) Methods() []string { return slices.Sorted(maps.Keys(e.methods)) }

// Offered returns the names of the methods that a project offers, sorted.
func (e *Engine) Offered(p *splitpin.Project) []string {
	return slices.DeleteFunc(e.Methods(), func(name string) bool {
		_, chooses := e.methods[name].(Chooser)
		_, connects := e.methods[name].(Connector)
		return !offers(p, e.methods[name]) || chooses && len(e.Channels(p, name)) == 0 || connects && len(p.Settings.Providers) == 0
	})
}

// Channels returns by which channels a method reaches the people of a project, the one
// that is taken without a wish first; nil: there is no choice.
func (e *Engine) Channels(p *splitpin.Project, method string) []splitpin.Channel {
	c, ok := e.methods[method].(Chooser)
	if !ok {
		return nil
	}
	return c.Channels(p)
}

// offers reports whether a project offers a method. Where any site may ask, there is
// none that credentials would be good for: methods that bring some are off (security 14).
func offers(p *splitpin.Project, m Method) bool {
	if findsOut(m) && p.ListsAny() || recognises(m) && p.Settings.RecogniseDays < 0 {
		return false
	}
	return len(p.Settings.Methods) == 0 || slices.Contains(p.Settings.Methods, m.Name())
}

// A Caller is who asks, as a face saw it.
type Caller struct {
	Addr    netip.Addr // of the client, after trusted proxies were taken off
	Device  string     // from the vocabulary of the face: "Chrome on Linux"
	Known   string     // what KnownBrowser gave this browser earlier; empty: nothing
	Browser bool       // the request carried Origin or Sec-Fetch headers
}

// Network returns what limits and audit know of the caller: Network of the address
// as text, or "unknown" where there is none.
func (c Caller) Network() string { return named(Network(c.Addr)) }

// wider returns the network that is counted besides, with more room: the /48 of
// an IPv6 address, which one customer holds.
func (c Caller) wider() string { return named(WiderNetwork(c.Addr)) }

// Network returns what counts as one client: the /32 of an IPv4 address, the /64
// of an IPv6 address (security 10). It is the zero Prefix where a is no address.
func Network(a netip.Addr) netip.Prefix { return network(a, 64) }

// WiderNetwork returns what one customer may hold: the /48 of an IPv6 address. For an
// IPv4 address it is Network.
func WiderNetwork(a netip.Addr) netip.Prefix { return network(a, 48) }

func network(a netip.Addr, bits int) netip.Prefix {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

func named(network netip.Prefix) string {
	if !network.IsValid() {
		return "unknown"
	}
	return network.String()
}

// moment returns now as the store keeps it: UTC, whole microseconds.
func (e *Engine) moment() time.Time { return e.now().UTC().Truncate(time.Microsecond) }

// numbers asks the store for n fresh numbers.
func (e *Engine) numbers(ctx context.Context, n int) ([]int64, error) {
	out := make([]int64, n)
	for i := range out {
		var err error
		if out[i], err = e.store.NextNumber(ctx); err != nil {
			return nil, fmt.Errorf("asking for a number: %w", err)
		}
	}
	return out, nil
}

func (e *Engine) fill(b []byte) error {
	if _, err := io.ReadFull(e.random, b); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	return nil
}

// derive returns the Derive of one attempt. Its error is ErrOver when the data key
// was destroyed with a compromised master key. Otherwise it wraps
// splitpin.ErrUnavailable: the data key was made by another node a moment ago and
// comes with the next Step.
func (e *Engine) derive(a *splitpin.Attempt) Derive {
	return func(label string) ([32]byte, error) {
		id := a.ID.Bytes()
		mac, err := e.ring.MAC(keyring.Codes, a.KeyGeneration, []byte(label), id[:])
		if errors.Is(err, keyring.ErrDestroyed) {
			return mac, ErrOver.Because(err)
		}
		if err != nil {
			return mac, splitpin.ErrUnavailable.Because(fmt.Errorf("deriving for an attempt: %w", err))
		}
		return mac, nil
	}
}

// Secret returns the code and the link of an attempt's message, for the outbox, at the
// moment when it is sent.
func (e *Engine) Secret(a *splitpin.Attempt) (Told, error) {
	m, ok := e.methods[a.Method].(Messenger)
	if !ok {
		return Told{}, fmt.Errorf("no method %q in this program, or it sends no messages", a.Method)
	}
	return m.Secret(a, e.derive(a))
}

// Told returns what a message tells, for the outbox, at the moment when it is sent: the
// code and link of its attempt, or the link to undo what it announces, for which a is not
// looked at; and its project.
// The error is ErrOver when nobody could use that any more. It wraps
// splitpin.ErrUnavailable while this node does not know the data key or the project,
// which another node made a moment ago: then the message must wait, as the next Step
// brings them.
func (e *Engine) Told(ctx context.Context, m *splitpin.Message, a *splitpin.Attempt) (told Told, p *splitpin.Project, err error) {
	if m.Credential != 0 {
		told, err = e.announces(ctx, m)
	} else {
		told, err = e.Secret(a)
	}
	if err != nil {
		return Told{}, nil, err
	}
	if p, err = e.ProjectByNumber(m.Project); err != nil {
		return Told{}, nil, splitpin.ErrUnavailable.Because(err)
	}
	return told, p, nil
}

// ChallengeID returns the number that old clients compare: the low 31 bits of an
// HMAC of the attempt's id. It names nothing.
func (e *Engine) ChallengeID(a *splitpin.Attempt) (int32, error) {
	return challengeID(e.derive(a))
}

func challengeID(derive Derive) (int32, error) {
	mac, err := derive("challenge id")
	if err != nil {
		return 0, err
	}
	id := int32(mac[0]&0x7f)<<24 | int32(mac[1])<<16 | int32(mac[2])<<8 | int32(mac[3])
	return max(id, 1), nil // some clients take zero for absent
}
