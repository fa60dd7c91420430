package server

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/web"
)

// signup is the form in a frame of the customer's page (contract 12.2). It is
// shown only for a listed parent, and the browser holds the page to it; anybody
// else gets an explanation that does nothing (security 15).
func (s *Server) signup(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p, err := s.Engine.Project(q.Get("api_key"))
	if err != nil {
		s.refuse(w, r, web.Frame, nil, web.Refusal{Reason: web.UnknownProject}, []string{"*"})
		return
	}
	domain, redirect := q.Get("domain"), given(q.Get("redirect_url"))
	parent, ok := splitpin.ParseOrigin(domain)
	if !ok || parent != domain || !p.Lists(domain) || redirect != "" && !p.Lists(redirect) {
		s.refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotAllowed, Redirect: redirect, Origin: domain}, []string{"*"})
		return
	}
	if r.Header.Get("Sec-Fetch-Dest") == "document" {
		s.refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotFramed}, nil)
		return
	}
	s.form(w, r, p, web.Form{
		Mode: web.Frame, Domain: domain, MessageID: q.Get("id"), Challenge: q.Get("challenge"),
		State: q.Get("state"), RedirectURL: redirect, Type: q.Get("type"), FormID: unescaped(q.Get("form_id")),
	}, p.Settings.Origins)
}

// app is the page that mobile apps and command-line clients open (contract 12.6).
func (s *Server) app(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.topLevel(w, r, q.Get("api_key"), web.Form{
		Mode: web.App, Challenge: q.Get("code_challenge"), State: q.Get("state"), RedirectURL: q.Get("redirect_url"),
		Type: q.Get("type"), Input: q.Get("input"), DirectLogin: q.Get("direct_login") == "true",
	})
}

// signin is our own sign-in page. Its parameters are project, redirect_url,
// code_challenge, state, and where they help login_hint and form_id.
func (s *Server) signin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.topLevel(w, r, q.Get("project"), web.Form{
		Mode: web.SignIn, Challenge: q.Get("code_challenge"), State: q.Get("state"), RedirectURL: q.Get("redirect_url"),
		Type: "EMAIL", Input: q.Get("login_hint"), FormID: q.Get("form_id"),
	})
}

// topLevel shows a form that stands alone. A code goes only to a destination
// that the project lists itself (security 5).
func (s *Server) topLevel(w http.ResponseWriter, r *http.Request, project string, f web.Form) {
	p, err := s.Engine.Project(project)
	if err != nil {
		s.refuse(w, r, f.Mode, nil, web.Refusal{Reason: web.UnknownProject}, nil)
		return
	}
	if f.RedirectURL == "" || f.Challenge == "" {
		s.refuse(w, r, f.Mode, p, web.Refusal{Reason: web.Incomplete}, nil)
		return
	}
	if !p.Lists(f.RedirectURL) {
		s.refuse(w, r, f.Mode, p, web.Refusal{Reason: web.NotAllowed, Redirect: f.RedirectURL}, nil)
		return
	}
	if f.Mode == web.SignIn {
		f.Issuer = s.tokens.Issuer(p)
	}
	s.form(w, r, p, f, nil)
}

func (s *Server) form(w http.ResponseWriter, r *http.Request, p *splitpin.Project, f web.Form, ancestors []string) {
	if f.Type != "" && f.Type != "EMAIL" {
		s.refuse(w, r, f.Mode, p, web.Refusal{Reason: web.NoSuchMethod}, frameable(ancestors))
		return
	}
	f.Look, f.Nonce, f.Locale = look(p), nonce(), preferred(r, p)
	var page bytes.Buffer
	if err := web.RenderForm(&page, f); err != nil {
		s.broken(w, r, fmt.Errorf("rendering the form: %w", err))
		return
	}
	writePage(w, http.StatusOK, web.CSP(f.Nonce, frameable(ancestors)), page.Bytes())
}

// refuse shows why a page is not shown. An explanation may stand in any frame:
// there is nothing on it to press.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, mode web.Mode, p *splitpin.Project, refusal web.Refusal, ancestors []string) {
	refusal.Mode, refusal.Nonce, refusal.RequestID = mode, nonce(), edge.RequestID(r)
	if p != nil {
		refusal.Look, refusal.Locale = look(p), preferred(r, p)
	}
	status := map[web.Reason]int{
		web.NotAllowed: http.StatusForbidden, web.NotFramed: http.StatusForbidden, web.UnknownProject: http.StatusNotFound,
		web.Incomplete: http.StatusBadRequest, web.NoSuchMethod: http.StatusBadRequest, web.NotFound: http.StatusNotFound,
	}[refusal.Reason]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	s.Log.InfoContext(r.Context(), "page refused", "request_id", edge.RequestID(r), "route", r.Pattern, "reason", refusal.Reason)
	var page bytes.Buffer
	if err := web.RenderRefusal(&page, refusal); err != nil {
		s.broken(w, r, fmt.Errorf("rendering a refusal: %w", err))
		return
	}
	writePage(w, status, web.CSP(refusal.Nonce, ancestors), page.Bytes())
}

func (s *Server) broken(w http.ResponseWriter, r *http.Request, err error) {
	e := s.Refusal(r, err)
	http.Error(w, e.Message, status(e))
}

func (s *Server) noPage(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.problem(w, r, errRoute)
		return
	}
	s.refuse(w, r, "", nil, web.Refusal{Reason: web.NotFound}, nil)
}

// logo serves a project's image. It is ours to serve, so that pages ask nobody
// else; an SVG opened by itself may run nothing.
func (s *Server) logo(w http.ResponseWriter, r *http.Request) {
	p, err := s.Engine.Project(r.PathValue("project"))
	if err != nil || len(p.Settings.Logo) == 0 {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", p.Settings.LogoType)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	h.Set("Cache-Control", "public, max-age=300")
	w.Write(p.Settings.Logo)
}

func (s *Server) icon(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=86400")
	w.WriteHeader(http.StatusNoContent)
}

func writePage(w http.ResponseWriter, status int, csp string, page []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	w.WriteHeader(status)
	w.Write(page)
}

func look(p *splitpin.Project) web.Look {
	return web.Look{ID: p.ID, Name: p.Settings.Name, Colour: p.Settings.Colour, LogoURL: logoURL(p)}
}

func logoURL(p *splitpin.Project) string {
	if len(p.Settings.Logo) == 0 {
		return ""
	}
	return "/logo/" + url.PathEscape(p.ID)
}

// frameable keeps the origins that a browser can hold a page to: the project's
// own sites, never "*".
func frameable(origins []string) []string {
	var out []string
	for _, o := range origins {
		if canonical, ok := splitpin.ParseOrigin(o); ok && splitpin.IsWeb(canonical) {
			out = append(out, canonical)
		}
	}
	return out
}

// given treats what the web SDK writes for nothing as nothing (contract 12.2).
func given(s string) string {
	if s == "undefined" || s == "null" {
		return ""
	}
	return s
}

// unescaped takes off the second layer that the web SDK adds to some parameters.
func unescaped(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// preferred is the language a browser asks for, or else the project's.
func preferred(r *http.Request, p *splitpin.Project) string {
	first, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
	first, _, _ = strings.Cut(first, ";")
	if l := locale(strings.TrimSpace(first)); l != "" && l != "*" {
		return l
	}
	return or(p.Settings.Locale, "en")
}

func nonce() string {
	var b [18]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	return base64.RawStdEncoding.EncodeToString(b[:])
}
