// Package server is HTTP: it translates requests for the engine and the engine's
// answers for whoever asked. Start reading at routes.go.
//
// Each face has its own way to say what went wrong, and one table from kinds of
// error to status; a handler that needs an if about sign-ins is a sign that the
// engine lacks a method.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/server/cotter"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/server/page"
	"github.com/splitpin/splitpin/token"
	"github.com/splitpin/splitpin/web"
)

// Options are what a Server is made of. Edge, Tokens, People and Ready are
// required.
type Options struct {
	Edge   *edge.Edge
	Tokens *token.Service
	People *account.Directory

	// Captcha is shown where a project asks for one; nil: none is.
	Captcha *web.Captcha

	// Ready reports why the server should get no requests, or nil.
	Ready func(context.Context) error

	// Observe, where it is set, is called before each request is served, with the
	// request as it came; the request is served under the context it returns. done
	// is called when the visit is complete.
	Observe func(context.Context, *http.Request, *edge.Visit) (ctx context.Context, done func())

	// Metrics answers /metrics here too. Nil in production, where strangers come
	// here and metrics have a listener of their own.
	Metrics http.Handler

	// CheckPass reports whether a pass of 'splitpin doctor' is genuine, and returns
	// its nonce. Nil: nobody is told how the server saw a request.
	CheckPass func(now time.Time, pass splitpin.Secret) (nonce string, ok bool)
	Version   string // of the program, for who shows such a pass

	// TellCompletion tells the backend of a project that one of its forms was
	// completed. Nil: none is told.
	TellCompletion func(context.Context, *splitpin.Project, cotter.FormCompleted) error

	// Report takes what providers tell later of messages: see delivery.Outbox.Report. Nil:
	// nobody is listened to.
	Report func(ctx context.Context, r *http.Request, over splitpin.Channel, receipt string, body []byte) (answer string, err error)

	// Inbox and InboxToken switch the development inbox on. Nil in production.
	Inbox      *delivery.Inbox
	InboxToken string
	// LinkHistory tells how the link of an attempt's message was opened and what came of
	// it, a line each, for the inbox. Nil: nothing is told.
	LinkHistory func(ctx context.Context, attempt int64) ([]string, error)
	DemoURL     string // offered by the inbox page; empty: not offered
}

// A Server answers HTTP.
type Server struct {
	*edge.Edge
	tokens   *token.Service
	people   *account.Directory
	ready    *verdict
	observe  func(context.Context, *http.Request, *edge.Visit) (context.Context, func())
	pass     func(time.Time, splitpin.Secret) (string, bool)
	version  string
	report   func(context.Context, *http.Request, splitpin.Channel, string, []byte) (string, error)
	inbox    *delivery.Inbox
	history  func(context.Context, int64) ([]string, error)
	secret   string // of the inbox
	demo     string
	assets   http.Handler
	pages    *page.Pages
	cotter   *cotter.Face
	mux      *http.ServeMux
	gate     *gate
	draining atomic.Bool
	foreign  edge.Seldom // requests for another host
	unready  edge.Seldom // questions whether this node is ready, which it was not
}

// New returns a server whose routes are wired.
func New(o Options) *Server {
	s := &Server{Edge: o.Edge, tokens: o.Tokens, people: o.People, ready: newVerdict(o.Ready), observe: o.Observe, pass: o.CheckPass, version: o.Version,
		report: o.Report, inbox: o.Inbox, history: o.LinkHistory, secret: o.InboxToken, demo: o.DemoURL, assets: web.Assets(), pages: &page.Pages{Edge: o.Edge, Captcha: o.Captcha}, mux: http.NewServeMux(), gate: newGate(o.Edge.Log)}
	if o.Metrics != nil {
		s.mux.Handle("GET /metrics", o.Metrics)
	}
	for _, r := range s.routes() {
		if r.waits {
			s.mux.Handle(r.pattern, s.admitted(r.handle))
		} else {
			s.mux.Handle(r.pattern, r.handle)
		}
	}
	s.cotter = cotter.New(cotter.Options{Edge: o.Edge, Pages: s.pages, Tokens: o.Tokens, People: o.People, Tell: o.TellCompletion})
	s.cotter.Register(s.mux, s.admitted)
	return s
}

// Drain makes /readyz say that this node goes away; requests are still served.
func (s *Server) Drain() { s.draining.Store(true) }

// Headers of every answer, by the names that net/http keeps.
var (
	noSniffing = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	onlyHTTPS  = []string{"max-age=31536000"}
)

// ServeHTTP answers one request: it gets an id, must name a host that is ours,
// and is logged by its route, never by its query.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	ctx, visit := s.Enter(r)
	observed := func() {}
	if s.observe != nil {
		ctx, observed = s.observe(ctx, r, visit)
	}
	h := w.Header()
	h["X-Request-Id"] = []string{visit.ID}
	h["X-Content-Type-Options"] = noSniffing
	h["Referrer-Policy"] = noReferrer
	if s.PublicURL.Scheme == "https" {
		h["Strict-Transport-Security"] = onlyHTTPS
	}
	rec := &recorder{ResponseWriter: w, visit: visit}
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			s.Log.ErrorContext(ctx, "handler panicked", "panic", p, "stack", string(debug.Stack()))
			if !rec.wrote {
				s.refusal(rec, r.WithContext(ctx), errPanic)
			}
		}
		visit.Route = r.Pattern
		observed()
		if p == http.ErrAbortHandler {
			panic(p)
		}
		if s.Log.Enabled(ctx, slog.LevelDebug) {
			s.Log.DebugContext(ctx, "request", "method", r.Method, "route", r.Pattern, "status", visit.Status, "took", time.Since(started))
		}
	}()
	hosted := s.Hosted(r)
	if hosted && s.published(rec, r) {
		return
	}
	r = r.WithContext(ctx)
	if !hosted && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
		if times := s.foreign.Happened(s.Clock()); times > 0 {
			s.Log.WarnContext(r.Context(), "request for a host that is not ours: check public_url and the proxy's Host header",
				"host", printable(r.Host), "times", times)
		}
		s.refusal(rec, r, errHost)
		return
	}
	// ServeMux leaves the path of a CONNECT as it is, and for one like /p//v1/keys
	// finds a pattern without a value for its wildcard; reading that panics.
	if r.Method == http.MethodConnect {
		s.refusal(rec, r, errRoute)
		return
	}
	s.mux.ServeHTTP(rec, r)
}

// printable makes a text of a stranger fit for the log: at most 100 characters,
// all of printable ASCII.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 100)])
}

// A recorder notices the status of the answer.
type recorder struct {
	http.ResponseWriter
	visit *edge.Visit
	wrote bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.visit.Status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// An answer is what a handler of /v1 says: a status and a body, or an error.
type answer struct {
	status int
	body   any // nil: none
}

func ok(body any) (*answer, error) { return &answer{http.StatusOK, body}, nil }

// call wraps a handler of /v1: it resolves the project, answers for other
// origins, and turns an error into a problem.
func (s *Server) call(h func(http.ResponseWriter, *http.Request, *splitpin.Project) (*answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := s.Project(r)
		s.CORS(w, r, p)
		if err != nil {
			s.problem(w, r, err)
			return
		}
		a, err := h(w, r, p)
		switch {
		case err != nil:
			s.problem(w, r, err)
		case a.body == nil:
			w.WriteHeader(a.status)
		default:
			edge.WriteJSON(w, a.status, a.body)
		}
	}
}

func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	p, _ := s.Project(r) // an unknown project lists no origin
	if !s.CORS(w, r, p) {
		w.WriteHeader(http.StatusNoContent)
	}
}

// noRoute answers what no line of the table takes: an address of /v1 that is
// there for other methods only, or one that is not there.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	p, _ := s.Project(r)
	s.CORS(w, r, p)
	if allow := s.methodsAt(r); allow != "" {
		w.Header().Set("Allow", allow)
		s.problem(w, r, errVerb)
		return
	}
	s.problem(w, r, errRoute)
}

// methodsAt returns what the header Allow says of a request's address, or
// nothing for an address that answers no method.
func (s *Server) methodsAt(r *http.Request) string {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern == r.Pattern {
			continue // this handler again
		}
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	if methods == nil {
		return ""
	}
	return strings.Join(append(methods, http.MethodOptions), ", ")
}

func cut(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, path
}
