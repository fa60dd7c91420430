package simulation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/server"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	recognised "github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/signin/passkey"
	"github.com/splitpin/splitpin/token"
)

// A node is a machine that runs the server, again and again.
type node struct {
	world   *world
	name    string
	offset  time.Duration // of its clock from the true time
	process *process      // nil: it is down
	keeper  *actor        // starts it again
}

// A process is the server from one start to its end. A dead one finishes what it
// was at, with every call failing, and nobody hears of it.
type process struct {
	world  *world
	node   *node
	number int
	dead   bool

	store  *faultyStore
	ring   *keyring.Ring
	tokens *token.Service
	engine *signin.Engine
	outbox *delivery.Outbox
	admin  *project.Admin
	server *server.Server

	actors []*actor // that run on its behalf
	idle   []*actor // loops that wait for something to change
	held   bool     // the keys are being reloaded: see alone
}

// keep starts the node whenever it is down.
func (n *node) keep() {
	w := n.world
	for starts := 0; !w.closing; starts++ {
		p := &process{world: w, node: n, number: starts + 1}
		p.actors = append(p.actors, w.running)
		me := w.running
		me.process = p
		err := p.boot()
		me.process = nil
		if err == nil && !p.dead {
			n.process = p
			w.note("serves", int64(p.number), 0, "")
			if starts > 0 {
				w.count.restarts++
			}
			p.loops()
			for !p.dead && !w.closing {
				w.rest()
			}
		}
		w.sleep(w.between(time.Second, oneOf(&w.schedule, 2*time.Second, time.Minute)))
	}
}

// outboxWorkers empty the outbox of a process at once.
const outboxWorkers = 3

// templates are the same for all: they take long to read.
var templates = sync.OnceValue(delivery.Builtin)

// boot wires a process as cmd/splitpin does.
func (p *process) boot() error {
	w := p.world
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	p.store = &faultyStore{Store: w.data.Open(), process: p}
	var err error
	if p.ring, err = keyring.Open(ctx, p.store, p.clock(), w.master); err != nil {
		return err
	}
	p.tokens = token.New(p.store, p.ring, publicURL, p.clock)
	p.post()
	p.engine, err = signin.New(ctx, signin.Options{
		Store: p.store, Ring: p.ring, Tokens: p.tokens, Methods: []signin.Method{method{w}, passkey.Method{PublicURL: publicURL}, recognised.Method{PublicURL: publicURL}},
		Clock: p.clock, Random: random{w}, Outbox: p, PublicURL: publicURL,
	})
	if err != nil {
		return err
	}
	p.admin = &project.Admin{Store: p.store, Tokens: p.tokens, Clock: p.clock}
	public, err := url.Parse(publicURL)
	if err != nil {
		return err
	}
	p.server = server.New(server.Options{
		Edge:   &edge.Edge{Engine: p.engine, PublicURL: public, Clock: p.clock, Log: log},
		Tokens: p.tokens, People: &account.Directory{Store: p.store, Ring: p.ring, Clock: p.clock},
		Ready: func(context.Context) error { return nil },
	})
	return nil
}

// post makes the outbox of the process.
func (p *process) post() {
	p.outbox = &delivery.Outbox{
		Store: p.store, Senders: map[splitpin.Channel]delivery.Sender{splitpin.EmailChannel: sender{p}},
		Clock: p.clock, Templates: templates(), Workers: outboxWorkers, Poll: time.Second,
		Fill: func(ctx context.Context, m *splitpin.Message, a *splitpin.Attempt) (delivery.Values, error) {
			told, shop, err := p.engine.Told(ctx, m, a)
			if err != nil {
				return delivery.Values{}, err
			}
			return delivery.Values{Code: told.Code, Link: told.Link, Notice: told.Notice, Label: told.Label, Device: told.Device, Project: shop.Name()}, nil
		},
		Subject: func(project int64, identifier string) [12]byte {
			subject, _ := p.engine.Subject(project, identifier)
			return subject
		},
		Observe: func(ctx context.Context, m *splitpin.Message) (context.Context, func(delivery.Result)) {
			return context.WithValue(ctx, messageKey{}, m), func(delivery.Result) {}
		},
		Until: func(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
			return context.WithCancel(context.WithValue(ctx, untilKey{}, until))
		},
	}
}

// clock is the clock of the node.
func (p *process) clock() time.Time {
	p.world.park()
	return p.world.now.Add(p.node.offset).UTC().Truncate(time.Microsecond)
}

// random is the engine's source of randomness.
type random struct{ *world }

func (r random) Read(b []byte) (int, error) {
	r.park()
	return r.world.Read(b)
}

// Reserve is the outbox's. What is handed over wakes who empties it.
func (p *process) Reserve(m *splitpin.Message) func(*splitpin.Attempt) {
	created := p.outbox.Reserve(m)
	return func(a *splitpin.Attempt) {
		created(a)
		if a != nil && !p.dead {
			p.world.stir()
		}
	}
}

// begin makes an actor of this process.
func (p *process) begin(name string, run func()) *actor {
	a := p.world.begin(name, p, run)
	p.actors = append(p.actors, a)
	return a
}

// maybeCrash ends a process, perhaps. Who calls it may be dead afterwards.
func (w *world) maybeCrash(p *process) {
	if w.chance(w.chaos.crash) {
		w.crash(p)
	}
}

// crash ends a process without warning.
func (w *world) crash(p *process) {
	if p.dead {
		return
	}
	w.count.crashes++
	w.note("CRASH of "+p.node.name, int64(p.number), 0, "")
	p.dead = true
	if p.node.process == p {
		p.node.process = nil
	}
	for _, a := range p.actors {
		w.wake(a)
	}
	w.wake(p.node.keeper)
}

// loops begins what runs without a request. Times are those of cmd/splitpin;
// where there is nothing to look for, a loop rests until something changes.
func (p *process) loops() {
	w := p.world
	for i := range outboxWorkers {
		p.loop(fmt.Sprintf("outbox%d", i+1), time.Second, p.outbox.Step, p.nextDue)
	}
	p.loop("follow", time.Second, func(ctx context.Context, now time.Time) (bool, error) {
		defer p.alone()()
		return p.engine.Step(ctx, now)
	}, func() time.Duration { return -1 })
	p.loop("rotation", 10*time.Second, func(ctx context.Context, now time.Time) (bool, error) {
		defer p.alone()()
		worked, err := p.tokens.Step(ctx, now)
		if worked {
			w.count.rotations++
			w.note("keys moved on", 0, 0, "")
		}
		return worked, err
	}, func() time.Duration { return w.between(10*time.Second, 30*time.Minute) })
	p.loop("sweep", 30*time.Second, func(ctx context.Context, now time.Time) (bool, error) {
		n, err := p.store.Sweep(ctx, now, now.Add(-30*24*time.Hour), 200)
		w.count.swept += n
		return n > 0, err
	}, func() time.Duration { return w.between(30*time.Second, 6*time.Hour) })
}

// loop runs a step, again at once while it finds work, and then when something
// changed or the pause that nap tells is over; negative: when something changed.
func (p *process) loop(name string, every time.Duration, step func(context.Context, time.Time) (bool, error), nap func() time.Duration) {
	w := p.world
	p.begin(p.node.name+" "+name, func() {
		for !p.dead && !w.closing {
			worked, err := step(context.Background(), p.clock())
			switch {
			case p.dead || w.closing:
			case err != nil:
				w.sleep(every)
			case worked:
			default:
				pause := nap()
				me := w.running
				p.idle = append(p.idle, me)
				if pause < 0 {
					w.rest()
				} else {
					w.sleep(pause)
				}
				p.idle = slices.DeleteFunc(p.idle, func(a *actor) bool { return a == me })
				w.sleep(w.between(0, every)) // nobody notices before its next turn
			}
		}
	})
}

// nextDue returns when the outbox has something to do: it looks every second, and
// most of the time in vain.
func (p *process) nextDue() time.Duration {
	w := p.world
	all, _ := w.db.Messages(context.Background(), splitpin.MessageFilter{}, 1<<20)
	next := time.Duration(-1)
	for _, m := range all {
		if m.SentAt.IsZero() && m.GivenUpAt.IsZero() {
			if d := max(0, m.DueAt.Sub(w.now.Add(p.node.offset))); next < 0 || d < next {
				next = d
			}
		}
	}
	return next
}

// alone waits until nobody else of this process is about to reload its keys, as
// the mutexes inside would make it; returned is how to let the next one.
func (p *process) alone() (leave func()) {
	for p.held && !p.dead {
		p.world.sleep(10 * time.Millisecond)
	}
	p.held = true
	return func() { p.held = false }
}

// A request is one on its way, as the model knows it.
type request struct {
	client    string
	method    string
	path      string
	attempt   int64  // that the path names
	secret    string // of a starter, as shown
	presented refreshToken
	known     bool // with the cookie of a browser that signed in before
	network   string
	began     time.Time // by the true clock

	status   int // zero: no answer came
	body     []byte
	header   http.Header
	finished bool
}

// send makes a request to a node and waits for its answer. Status 0 means that
// none came: nobody knows what was done.
func (w *world) send(n *node, r *request, body []byte, header http.Header, patience time.Duration) (status int) {
	p := n.process
	if p == nil || w.chance(w.chaos.drop) {
		w.sleep(w.between(time.Millisecond, 100*time.Millisecond))
		return 0
	}
	r.began = w.now
	caller := w.running
	given := false // the caller waits no more
	a := p.begin(n.name+" "+r.client, func() {
		hr := httptest.NewRequest(r.method, publicURL+r.path, bytes.NewReader(body))
		hr.Header = header
		hr.RemoteAddr = r.network + ":40000"
		rec := httptest.NewRecorder()
		p.server.ServeHTTP(rec, hr)
		if p.dead {
			if !given {
				w.wake(caller)
			}
			return
		}
		body, err := io.ReadAll(rec.Body)
		if err != nil {
			w.fail("reading an answer: %v", err)
		}
		w.model.answered(p, r, rec.Code, rec.Header(), body)
		switch {
		case given:
			w.count.timeouts++
		case w.chance(w.chaos.lose):
			w.count.lost++
			w.note("answer is lost on its way", int64(rec.Code), 0, r.method+" "+short(r.path))
		default:
			r.status, r.body, r.header, r.finished = rec.Code, body, rec.Header(), true
			w.wake(caller)
		}
	})
	a.request = r
	w.sleep(patience)
	given = true
	return r.status
}

// sender is the way of a process to the mail server.
type sender struct{ *process }

// What the context of a send carries: the message, and when the outbox stops
// waiting, by the clock of its node.
type (
	messageKey struct{}
	untilKey   struct{}
)

// A letter is one that arrived.
type letter struct {
	attempt    int64
	code       string
	link       string
	credential int64 // that it tells of; zero: none
	at         time.Time
}

func (s sender) Send(ctx context.Context, l *delivery.Letter) error {
	w, p := s.world, s.process
	m, _ := ctx.Value(messageKey{}).(*splitpin.Message)
	if p.dead {
		return &delivery.SendError{Stage: delivery.StageCancelled, Temporary: true, Detail: "dead"}
	}
	w.model.sending(p, m)
	until, _ := ctx.Value(untilKey{}).(time.Time)
	patience := until.Sub(w.now.Add(s.node.offset))
	w.park()
	slow := time.Duration(0)
	if w.chance(w.chaos.mailSlow) {
		slow = w.between(0, time.Minute)
	}
	if slow >= patience { // the node gives up waiting; did the server take it?
		w.sleep(patience)
		if p.dead || w.chance(700) {
			return cancelled
		}
		w.taken(p, m, l, true)
		return cancelled
	}
	if slow > 0 {
		w.sleep(slow)
	}
	if !p.dead {
		w.maybeCrash(p)
	}
	switch {
	case p.dead:
		return cancelled
	case w.mailDown || w.fails(w.chaos.mailFails):
		w.note("mail server refuses", m.Number, 0, "")
		return &delivery.SendError{Stage: oneOf(&w.schedule, delivery.StageConnect, delivery.StageRecipient), Temporary: true, Detail: "451 later"}
	}
	unknown := w.chance(w.chaos.mailLost)
	w.taken(p, m, l, unknown)
	w.park()
	if !p.dead {
		w.maybeCrash(p)
	}
	if p.dead || unknown {
		w.count.mailLost++
		return &delivery.SendError{Stage: delivery.StageData, Temporary: true, Detail: "the connection broke"}
	}
	w.model.told(p, m)
	return nil
}

var cancelled = &delivery.SendError{Stage: delivery.StageCancelled, Temporary: true, Detail: "out of time"}

// taken is where the mail server takes a letter.
func (w *world) taken(p *process, m *splitpin.Message, l *delivery.Letter, unknown bool) {
	w.count.mails++
	w.model.delivered(p, m, unknown)
	w.note("mail arrives", m.Number, m.Attempt, "")
	w.mail[l.To] = append(w.mail[l.To], letter{attempt: m.Attempt, code: l.Code.Reveal(), link: l.Link.Reveal(), credential: m.Credential, at: w.now})
}

// short is a path without what names somebody in it.
func short(path string) string {
	if len(path) > 14 && path[:13] == "/v1/attempts/" {
		return "/v1/attempts/…" + path[min(len(path), 13+22):]
	}
	if strings.HasPrefix(path, signin.UndoPath) {
		return signin.UndoPath + "…"
	}
	return path
}
