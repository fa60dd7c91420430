// Package cotter is the face that published Cotter clients talk to: /api/v0 and
// the worker paths. It translates; package signin decides.
//
// Cotter's quirks live here and nowhere else: every success is 200, every error
// is {"msg", "type"}, an unknown user is a user of zeros, some keys are
// misspelt. docs/cotter.md lists the endpoints and where they differ from what
// Cotter did.
//
// # Where it stands
//
// Each path exists twice: at the root, for the default project, and below
// /p/{project}, for that one. The paths of Cotter's edge workers stand beside
// /api/v0 and not below it; at the root they serve every project and take it from
// the header API_KEY_ID, because the web SDK has one worker address for all.
//
// # Reading
//
//   - face.go: the table of routes, and what every request goes through
//   - session.go: refresh, logout and the cookie; claims.go: claims of a backend's own
//   - identity.go: get_identity, which trades a code for a session
//   - people.go: finding, listing and creating users
//   - webauthn.go: passkeys
//   - public.go: key sets and checks of tokens; site.go: what the loader asks for a site
//   - wire.go: the JSON shapes; refusal.go: the errors
package cotter

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/server/page"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

// Options are what a Face is made of. All but Tell is required.
type Options struct {
	Edge   *edge.Edge
	Pages  *page.Pages
	Tokens *token.Service
	People *account.Directory

	// Tell tells the backend of a project that a form was completed. Nil: no project
	// has such a backend.
	Tell func(context.Context, *splitpin.Project, FormCompleted) error
}

// A Face serves Cotter's API. It is safe for concurrent use.
type Face struct {
	edge   *edge.Edge
	pages  *page.Pages
	engine *signin.Engine
	tokens *token.Service
	people *account.Directory
	tell   func(context.Context, *splitpin.Project, FormCompleted) error
}

// New returns a Face.
func New(o Options) *Face {
	return &Face{edge: o.Edge, pages: o.Pages, engine: o.Edge.Engine, tokens: o.Tokens, people: o.People, tell: o.Tell}
}

// apiBase is where Cotter's API stands below a base path. iOS puts it there
// whatever it is configured with.
const apiBase = "/api/v0"

// Owns reports whether a path is for this face, and so whether an error there
// must have this face's shape.
func Owns(path string) bool {
	if rest, ok := strings.CutPrefix(path, "/p/"); ok {
		_, below, _ := strings.Cut(rest, "/")
		path = "/" + below
	}
	return strings.HasPrefix(path, apiBase+"/")
}

// A Route is one endpoint: a method and a path as http.ServeMux writes them.
type Route struct {
	Method string
	Path   string
}

// Routes lists every endpoint of this face, at the root and below /p/{project}.
func Routes() []Route {
	var all []Route
	for _, base := range bases {
		for _, e := range endpoints {
			all = append(all, Route{Method: e.method, Path: base + e.path})
		}
	}
	return all
}

var bases = []string{"", "/p/{project}"}

// An audience says which pages may read the answers of a path.
type audience int

const (
	listed audience = iota // pages of the project's list, with cookies
	anyone                 // every page; no cookie and no secret is looked at
)

// An endpoint answers one method of one path. What its function returns becomes
// the JSON of a 200; nil says that it wrote the answer itself.
type endpoint struct {
	method, path string
	readable     audience // the same for all methods of a path
	spared       bool     // answered without waiting for its turn; the same for all methods of a path
	serve        func(*Face, *call) (any, error)
}

// The numbers are those of the catalogue in contract section 1.
var endpoints = []endpoint{
	{"GET", apiBase + "/token/jwks", anyone, true, (*Face).keySet},                                // 1
	{"GET", apiBase + "/token/ed25519", anyone, true, (*Face).identityKey},                        // ours: contract 4.5
	{"POST", apiBase + "/token/{api_key_id}", listed, false, (*Face).refresh},                     // 2
	{"DELETE", apiBase + "/token/{api_key_id}", listed, false, (*Face).logout},                    // 3
	{"POST", apiBase + "/token", listed, false, (*Face).refresh},                                  // 4
	{"POST", apiBase + "/token/custom", listed, false, (*Face).addClaims},                         // 5
	{"POST", apiBase + "/verify/get_identity", listed, false, (*Face).collect},                    // 6
	{"GET", apiBase + "/user", listed, false, (*Face).userByIdentifier},                           // 7
	{"GET", apiBase + "/user/list", listed, false, (*Face).listUsers},                             // 8
	{"POST", apiBase + "/user/create", listed, false, (*Face).createUser},                         // 9
	{"GET", apiBase + "/user/{user_id}", listed, false, (*Face).userByID},                         // 10
	{"GET", apiBase + "/webauthn/exists", listed, false, (*Face).passkeyExists},                   // 27
	{"POST", apiBase + "/webauthn/register/begin", listed, false, (*Face).beginRegistration},      // 28
	{"POST", apiBase + "/webauthn/register/finish", listed, false, (*Face).finishRegistration},    // 29
	{"POST", apiBase + "/webauthn/login/begin", listed, false, (*Face).beginLogin},                // 30
	{"POST", apiBase + "/webauthn/login/finish", listed, false, (*Face).finishLogin},              // 31
	{"POST", apiBase + "/oauth/token/connect", listed, false, (*Face).finishConnect},              // 35
	{"GET", apiBase + "/oauth/token/list/{user_id}", listed, false, (*Face).listTokens},           // 36
	{"GET", apiBase + "/oauth/token/{provider}/{user_id}", listed, false, (*Face).showToken},      // 37
	{"DELETE", apiBase + "/oauth/token/{provider}/{user_id}", listed, false, (*Face).deleteToken}, // 38
	{"GET", apiBase + "/company/info/{api_key_id}", anyone, false, (*Face).describe},              // 39
	{"GET", "/screening/form", anyone, false, (*Face).screenForm},                                 // 42
	{"GET", "/screening/site", anyone, false, (*Face).screenSite},                                 // 43
	{"POST", "/completion/form", anyone, false, (*Face).completeForm},                             // 44
	{"POST", "/verify", anyone, false, (*Face).verify},                                            // 45
}

// Register adds the routes to mux, and for what is not among them below
// /api/v0 an answer in the shape that clients parse. Its patterns name no method,
// so that a wrong method is answered in that shape too; a pattern of mux that
// overlaps them must name none either. What is not spared stands behind admit.
func (f *Face) Register(mux *http.ServeMux, admit func(http.Handler) http.Handler) {
	byPath := map[string][]endpoint{}
	for _, e := range endpoints {
		byPath[e.path] = append(byPath[e.path], e)
	}
	for _, base := range bases {
		for path, methods := range byPath {
			h := f.path(methods)
			if !methods[0].spared {
				h = admit(h)
			}
			mux.Handle(base+path, h)
		}
		mux.Handle(base+apiBase+"/", admit(f.path(nil)))
		for pattern, page := range f.navigations() {
			mux.Handle(base+apiBase+pattern, admit(page))
		}
	}
	// The web SDK compares the origin of pages, so they can carry no base path.
	mux.Handle("GET /signup", admit(http.HandlerFunc(f.signup)))
	mux.Handle("GET /login", admit(http.HandlerFunc(f.login)))
	mux.Handle("GET /webauthn", admit(http.HandlerFunc(f.webauthn)))
	mux.Handle("GET /social_connect", admit(http.HandlerFunc(f.socialConnect)))
	mux.Handle("GET /social/{provider}", admit(http.HandlerFunc(f.socialLogin(byPage))))
	mux.Handle("POST /social/agree", admit(http.HandlerFunc(f.agree)))
	mux.Handle("POST /social/code", admit(http.HandlerFunc(f.sendCode)))
	mux.Handle("POST /social/proof", admit(http.HandlerFunc(f.prove)))
	mux.Handle("POST /social/confirm", admit(http.HandlerFunc(f.confirm)))
	mux.Handle("POST /social/confirmed", admit(http.HandlerFunc(f.confirmed)))
	mux.Handle("GET /app", admit(http.HandlerFunc(f.app)))
}

// navigations are the endpoints that a browser goes to, not a script: they answer with
// pages, and no other page reads them. Their patterns name no method, like those of path.
func (f *Face) navigations() map[string]http.Handler {
	only := func(h http.HandlerFunc, methods ...string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(methods, r.Method) {
				w.Header().Set("Allow", strings.Join(methods, ", "))
				f.Refuse(w, r, errMethod)
				return
			}
			h(w, r)
		})
	}
	return map[string]http.Handler{
		"/oauth/credential/login/{provider}":   only(f.socialLogin(byClient), http.MethodGet),           // 32
		"/oauth/credential/connect/{provider}": only(f.socialAccess, http.MethodGet),                    // 33
		"/oauth/token/callback/{provider}":     only(f.socialCallback, http.MethodGet, http.MethodPost), // 34
	}
}

// A call is one request on its way through an endpoint.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	by      signin.Caller
	project *splitpin.Project // nil where readable is anyone: the endpoint finds it
	trusted bool              // the request shows a server secret of project
}

// origin returns the Origin of the request if the project lists it itself, and
// else nothing: no cookie is read from or written to a page that is not listed.
func (c *call) origin() string {
	origin := c.r.Header.Get("Origin")
	if !c.project.ListsOrigin(origin) {
		return ""
	}
	return origin
}

// path answers everything that comes to one path: preflights, each method it
// has, and any other. Without methods the path does not exist.
func (f *Face) path(methods []endpoint) http.Handler {
	var allowed []string
	for _, e := range methods {
		allowed = append(allowed, e.method)
		if e.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	allow := strings.Join(append(allowed, http.MethodOptions), ", ")
	public := len(methods) > 0 && methods[0].readable == anyone

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.cors(w, r, public) {
			return
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http leaves the body out
		}
		i := slices.IndexFunc(methods, func(e endpoint) bool { return e.method == method })
		switch {
		case len(methods) == 0:
			f.Refuse(w, r, errPath)
		case i < 0:
			w.Header().Set("Allow", allow)
			f.Refuse(w, r, errMethod)
		default:
			f.serve(methods[i], w, r)
		}
	})
}

// cors answers preflights. A preflight carries no header API_KEY_ID, so the path
// alone tells the project whose list counts.
func (f *Face) cors(w http.ResponseWriter, r *http.Request, public bool) (preflight bool) {
	if public {
		return edge.PublicCORS(w, r)
	}
	p, err := f.engine.Project(r.PathValue("project"))
	if err != nil {
		p = nil // nobody may read the refusal that follows
	}
	return f.edge.CORS(w, r, p)
}

func (f *Face) serve(e endpoint, w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, by: f.edge.Caller(r)}
	answer, err := f.answer(e, c)
	switch {
	case err != nil:
		f.Refuse(w, r, err)
	case answer != nil:
		edge.WriteJSON(w, http.StatusOK, answer)
	}
}

func (f *Face) answer(e endpoint, c *call) (any, error) {
	if e.readable == anyone {
		return e.serve(f, c)
	}
	var err error
	if c.project, err = f.edge.Project(c.r, c.r.PathValue("api_key_id")); err != nil {
		return nil, err
	}
	// Asked of every endpoint, also of those that need no secret: one that is
	// genuine and comes from a page is known to the world (security 16).
	if c.trusted, err = f.edge.Trusted(c.r, c.project, splitpin.Secret(c.r.Header.Get("API_SECRET_KEY"))); err != nil {
		return nil, err
	}
	return e.serve(f, c)
}
