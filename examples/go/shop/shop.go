// Package shop is a small web application whose users sign in with Splitpin. It
// is what `go run ./examples/go` starts and what `splitpin dev` shows as its demo.
//
// It has an origin, a database and sessions of its own, and shares nothing with
// the sign-in server but its public keys:
//
//	GET  /        the page; /callback is the same page, where sign-in returns to
//	POST /login   the page hands over what sign-in resolved to
//	GET  /me      who is signed in, from the shop's own table
//	POST /logout
package shop

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/splitpin/splitpin/client"
)

// Config says where the shop is and whose sign-ins it takes. ServerURL,
// ProjectID, URL and Database are required.
type Config struct {
	ServerURL string // of the sign-in server, as browsers reach it
	ProjectID string // the project's key id, a UUID
	Issuer    string // of its tokens; empty: ServerURL (see client.Config)

	URL      string // of this shop, as browsers reach it: "http://localhost:8081"
	Database string // path of the SQLite file, which is made if it is not there

	InboxURL string // development: where messages can be read; empty: no link

	Log *slog.Logger     // nil: slog.Default
	Now func() time.Time // nil: time.Now
}

// A Shop serves the application. Close it when its server has stopped.
type Shop struct {
	db      *sql.DB
	handler http.Handler
	log     *slog.Logger
	project string // its address at the sign-in server
	origin  string // of the shop
}

//go:embed page
var files embed.FS

// Logo is the shop's image, an SVG: for its own pages, and for its project at the
// sign-in server.
//
//go:embed page/logo.svg
var Logo []byte

var page = template.Must(template.ParseFS(files, "page/index.html"))

var keyID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// New opens the database and checks the configuration. It does not talk to the
// sign-in server yet, which may still be starting.
func New(ctx context.Context, c Config) (*Shop, error) {
	if c.ProjectID != "" && !keyID.MatchString(c.ProjectID) {
		return nil, fmt.Errorf("%q is not the key id of a project: that is a UUID, as `splitpin dev` or `splitpin project list` prints it", c.ProjectID)
	}
	verifier, err := client.New(client.Config{
		ServerURL: c.ServerURL, ProjectID: c.ProjectID, Issuer: c.Issuer, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return nil, err
	}
	s := &Shop{log: cmp.Or(c.Log, slog.Default())}
	s.project = strings.TrimRight(c.ServerURL, "/") + "/p/" + c.ProjectID + "/v1/project"
	s.origin = strings.TrimRight(c.URL, "/")
	if s.db, err = open(c.Database); err != nil {
		return nil, err
	}
	if s.handler, err = s.routes(ctx, c, verifier); err != nil {
		s.db.Close()
		return nil, err
	}
	return s, nil
}

// open opens the database in a file that nobody else may read.
func open(path string) (*sql.DB, error) {
	if path == "" {
		return nil, errors.New("shop: Database is required")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: pragmas.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	return db, nil
}

func (s *Shop) routes(ctx context.Context, c Config, verifier *client.Verifier) (http.Handler, error) {
	users := &client.SQLUsers{DB: s.db}
	sessions := &client.SQLSessions{DB: s.db, Now: c.Now}
	if err := users.CreateTable(ctx); err != nil {
		return nil, err
	}
	if err := sessions.CreateTable(ctx); err != nil {
		return nil, err
	}
	site, err := client.NewSite(client.SiteConfig{Verifier: verifier, Users: users, Sessions: sessions, URL: c.URL})
	if err != nil {
		return nil, err
	}
	index, err := render(c, false)
	if err != nil {
		return nil, err
	}
	missing, err := render(c, true)
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("/login", site.Login())
	mux.Handle("/logout", site.Logout())
	mux.Handle("/me", site.Require(http.HandlerFunc(s.me)))
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /callback", index)
	mux.HandleFunc("GET /app.js", file("page/app.js"))
	mux.HandleFunc("GET /app.css", file("page/app.css"))
	mux.HandleFunc("GET /logo.svg", file("page/logo.svg"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.NotFound(w, r)
			return
		}
		missing(w, r)
	})
	return guard(c, mux)
}

// me answers who is signed in, from the shop's own table.
func (s *Shop) me(w http.ResponseWriter, r *http.Request) {
	var me struct {
		ID      string    `json:"id"`
		Contact string    `json:"contact"`
		Since   time.Time `json:"since"`
	}
	err := s.db.QueryRowContext(r.Context(), `SELECT id, contact, created_at FROM users WHERE id = $1`, client.UserID(r.Context())).
		Scan(&me.ID, &me.Contact, &me.Since)
	if errors.Is(err, sql.ErrNoRows) {
		http.Error(w, "Please sign in", http.StatusUnauthorized) // the row was deleted under the session
		return
	}
	if err != nil {
		s.log.Error("reading a user", "error", err)
		http.Error(w, "Something went wrong on our side, please try again", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(me)
}

// render makes the page once, or the one that stands in for pages that are
// missing; it is the same for everyone.
func render(c Config, missing bool) (http.HandlerFunc, error) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		Settings any
		InboxURL string
		Missing  bool
	}{
		Settings: map[string]string{"server": strings.TrimRight(c.ServerURL, "/"), "project": c.ProjectID},
		InboxURL: c.InboxURL,
		Missing:  missing,
	})
	if err != nil {
		return nil, fmt.Errorf("rendering the page: %w", err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store") // the callback's address holds a code
		if missing {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Write(b.Bytes())
	}, nil
}

func file(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, files, name)
	}
}

// guard answers only under the shop's own host name, so that no page of another
// name that resolves to this machine can read along, and tells browsers to keep
// the page to itself: nothing is loaded from elsewhere, and only the sign-in server
// is called.
func guard(c Config, next http.Handler) (http.Handler, error) {
	own, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the shop's URL: %w", err)
	}
	server, err := url.Parse(c.ServerURL)
	if err != nil {
		return nil, fmt.Errorf("reading the server's URL: %w", err)
	}
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
		"connect-src 'self' " + server.Scheme + "://" + server.Host + "; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Host, own.Host) {
			http.Error(w, "Please open "+c.URL, http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	}), nil
}

// Ask asks the sign-in server about the shop's project, and logs plainly what
// would keep everybody from signing in: that the server does not answer, does not
// know the project, or that the project does not list the shop's origin. The shop
// works all the same, and may be ahead of the server.
func (s *Shop) Ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.project, nil)
	if err != nil {
		s.log.Error("asking for the project", "error", err)
		return
	}
	r.Header.Set("Origin", s.origin) // as the page will
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.log.Warn("The sign-in server does not answer. Nobody can sign in before it runs.", "url", s.project, "error", err)
		return
	}
	defer resp.Body.Close()
	switch allowed := resp.Header.Get("Access-Control-Allow-Origin"); {
	case resp.StatusCode == http.StatusUnauthorized:
		s.log.Warn("The sign-in server knows no project with this key id. Check API_KEY_ID: `splitpin dev` and `splitpin project list` print it.", "url", s.project)
	case resp.StatusCode != http.StatusOK:
		s.log.Warn("The sign-in server did not describe the project. Is this its URL?", "url", s.project, "status", resp.StatusCode)
	case allowed != s.origin && allowed != "*":
		s.log.Warn("This shop is not one of the project's allowed URLs. Run: splitpin project set --add-origin " + s.origin)
	}
}

// ServeHTTP serves the application.
func (s *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close closes the database.
func (s *Shop) Close() error { return s.db.Close() }
