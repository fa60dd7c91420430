// Package page sends the pages of package web: with their policy, in the
// person's language and with the look of their project. The faces decide which
// page; what must hold for every page stands here.
package page

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/web"
)

// Pages sends pages for one server.
type Pages struct {
	Edge    *edge.Edge
	Captcha *web.Captcha // nil: there is none
}

// A Want is what a form was asked to ask for.
type Want struct {
	Type     string   // EMAIL or PHONE; empty, or the "undefined" of a script: whichever the project offers, email first
	Link     bool     // send a link where the project sends any; a code elsewhere: the message of a link carries one too
	Channels []string // of a phone, in the order they are offered; none that the project has: all it has
}

// TopLevel sends a form that stands alone. A code goes only to a destination
// that the project lists itself (security 5).
func (s *Pages) TopLevel(w http.ResponseWriter, r *http.Request, project string, f web.Form, want Want) {
	p, err := s.Edge.Engine.Project(project)
	if err != nil {
		s.Refuse(w, r, f.Mode, nil, web.Refusal{Reason: web.UnknownProject}, nil)
		return
	}
	switch {
	case f.RedirectURL == "":
		s.Refuse(w, r, f.Mode, p, web.Refusal{Reason: web.Incomplete, Missing: "redirect_url"}, nil)
		return
	case f.Challenge == "":
		s.Refuse(w, r, f.Mode, p, web.Refusal{Reason: web.Incomplete, Missing: "code_challenge"}, nil)
		return
	case signin.CheckChallenge(f.Challenge) != nil:
		s.Refuse(w, r, f.Mode, p, web.Refusal{Reason: web.Incomplete, BadChallenge: "code_challenge"}, nil)
		return
	}
	if f.Mode == web.App && s.Edge.AnyOrigin && p.ListsAny() {
		s.Refuse(w, r, f.Mode, p, web.Refusal{Reason: web.NoSuchMethod}, nil) // security 14
		return
	}
	if !s.Edge.Engine.Leads(p, f.RedirectURL) {
		s.Refuse(w, r, f.Mode, p, web.Refusal{Reason: web.NotAllowed, Redirect: f.RedirectURL}, nil)
		return
	}
	s.Form(w, r, p, f, want, nil)
}

// Form sends the sign-in form. ancestors are the sites that may frame it, as a
// project lists them; none for a page that is never framed.
func (s *Pages) Form(w http.ResponseWriter, r *http.Request, p *splitpin.Project, f web.Form, want Want, ancestors []string) {
	if f.UserID != "" {
		if _, err := splitpin.ParseUUID(f.UserID); err != nil {
			s.Refuse(w, r, f.Mode, p, web.Refusal{Reason: web.Incomplete, BadUser: "cotter_user_id"}, frameable(ancestors))
			return
		}
	}
	offered := s.Edge.Engine.Offered(p)
	alone := f.Mode != web.Frame
	if alone {
		f.Passkey = slices.Contains(offered, "passkey")
		if slices.Contains(offered, "social") {
			f.Providers = providers(p, f)
		}
	}
	if f.Kind, f.Method = way(offered, want, alone); f.Kind == "" || f.Kind == web.Nothing && !f.Passkey && len(f.Providers) == 0 {
		s.Refuse(w, r, f.Mode, p, web.Refusal{Reason: web.NoSuchMethod, Methods: offered}, frameable(ancestors))
		return
	}
	if f.Mode == web.SignIn {
		f.OtherURL = otherURL(r, offered, want, f.Kind)
	}
	if f.Kind == web.Phone {
		f.Channels = channels(s.Edge.Engine.Channels(p, f.Method), want.Channels)
	}
	policy := web.CSP
	if s.Captcha != nil && p.Settings.Captcha != splitpin.CaptchaNever {
		f.CaptchaURL, policy = web.CaptchaURL(p.ID), web.FormCSP
	}
	f.RememberDays = s.rememberDays(p)
	f.Look, f.Nonce, f.Locale = look(p), nonce(), preferred(r, p)
	var page bytes.Buffer
	if err := web.RenderForm(&page, f); err != nil {
		s.broken(w, r, fmt.Errorf("rendering the form: %w", err))
		return
	}
	Write(w, http.StatusOK, policy(f.Nonce, frameable(ancestors)), page.Bytes())
}

// rememberDays is for how long browsers that were told to remember a sign-in are
// recognised; zero: the project has none of that.
func (s *Pages) rememberDays(p *splitpin.Project) int {
	if !slices.Contains(s.Edge.Engine.Offered(p), browser.Name) {
		return 0
	}
	return browser.Days(p.Settings)
}

// providers are the ways from a form of ours to the providers of a project. They need no
// script.
func providers(p *splitpin.Project, f web.Form) []web.Link {
	q := url.Values{"project": {p.ID}, "redirect_url": {f.RedirectURL}, "code_challenge": {f.Challenge}, "state": {f.State}}
	if f.FormID != "" {
		q.Set("form_id", f.FormID)
	}
	if f.UserID != "" {
		q.Set("user_id", f.UserID)
	}
	var links []web.Link
	for _, provider := range p.Settings.Providers {
		links = append(links, web.Link{Label: Named(p, provider.Name), URL: "/social/" + url.PathEscape(provider.Name) + "?" + q.Encode()})
	}
	return links
}

// Named is a provider as people know it, also one that the project has no more.
func Named(p *splitpin.Project, provider string) string {
	if of := p.Settings.Provider(provider); of != nil {
		return of.DisplayName()
	}
	return (&splitpin.Provider{Name: provider}).DisplayName()
}

// CaptchaOf sends the page of the captcha, which the forms of a project show in a frame. Where there is
// none to show there is no page.
func (s *Pages) CaptchaOf(w http.ResponseWriter, r *http.Request, project string) {
	p, err := s.Edge.Engine.Project(project)
	if err != nil || s.Captcha == nil || p.Settings.Captcha == splitpin.CaptchaNever {
		s.Refuse(w, r, "", nil, web.Refusal{Reason: web.NotFound}, nil)
		return
	}
	var page bytes.Buffer
	if err := web.RenderCaptcha(&page, *s.Captcha, preferred(r, p), nonce()); err != nil {
		s.broken(w, r, fmt.Errorf("rendering the captcha: %w", err))
		return
	}
	Write(w, http.StatusOK, web.CaptchaCSP(*s.Captcha, frameable(p.Settings.Origins)), page.Bytes())
}

// Undo sends the page that takes a credential back. p is nil where the link is none.
func (s *Pages) Undo(w http.ResponseWriter, r *http.Request, p *splitpin.Project, u web.Undo) {
	u.Nonce, u.Locale = nonce(), preferred(r, p)
	status := http.StatusOK
	if u.State == web.UndoGone {
		status = http.StatusNotFound
	}
	if p != nil {
		u.Look = look(p)
	}
	var page bytes.Buffer
	if err := web.RenderUndo(&page, u); err != nil {
		s.broken(w, r, fmt.Errorf("rendering the page to undo: %w", err))
		return
	}
	Write(w, status, web.PostCSP(u.Nonce), page.Bytes())
}

// Passkey sends the window that offers a passkey, for the sites of a project to frame.
func (s *Pages) Passkey(w http.ResponseWriter, r *http.Request, p *splitpin.Project, k web.Passkey) {
	k.Look, k.Nonce, k.Locale, k.RememberDays = look(p), nonce(), preferred(r, p), s.rememberDays(p)
	var page bytes.Buffer
	if err := web.RenderPasskey(&page, k); err != nil {
		s.broken(w, r, fmt.Errorf("rendering the window of passkeys: %w", err))
		return
	}
	Write(w, http.StatusOK, web.CSP(k.Nonce, frameable(p.Settings.Origins)), page.Bytes())
}

// way chooses what a form asks for and the method it starts with, among those
// there are. A form that stands alone takes a link where there are no codes, and asks for
// Nothing where no method wants anything typed. The kind is empty where there is no way
// for what is wanted.
func way(methods []string, want Want, alone bool) (web.Kind, string) {
	kinds := []web.Kind{web.Email, web.Phone}
	switch want.Type {
	case "EMAIL":
		kinds = kinds[:1]
	case "PHONE":
		kinds = kinds[1:]
	case "", "undefined", "null":
	default:
		return "", ""
	}
	for _, kind := range kinds {
		link, code := "email_link", "email_code"
		if kind == web.Phone {
			link, code = "sms_link", "sms_code"
		}
		hasLink, hasCode := slices.Contains(methods, link), slices.Contains(methods, code)
		switch {
		case hasLink && (want.Link || alone && !hasCode):
			return kind, link
		case hasCode:
			return kind, code
		}
	}
	typed := func(method string) bool {
		return strings.HasSuffix(method, "_code") || strings.HasSuffix(method, "_link")
	}
	if alone && !slices.ContainsFunc(methods, typed) {
		return web.Nothing, ""
	}
	return "", ""
}

// otherURL is the same page for the other kind of identifier; empty: there is no other.
// What was filled in is left behind: it is of the first kind.
func otherURL(r *http.Request, methods []string, want Want, kind web.Kind) string {
	switch kind {
	case web.Email:
		want.Type = "PHONE"
	case web.Phone:
		want.Type = "EMAIL"
	default:
		return ""
	}
	if other, _ := way(methods, want, true); other != web.Email && other != web.Phone {
		return ""
	}
	q := r.URL.Query()
	q.Set("type", want.Type)
	q.Del("login_hint")
	return r.URL.Path + "?" + q.Encode()
}

// channels are those of a project that a client asked for, in the client's order; all of them
// where it asked for none that there is.
func channels(all []splitpin.Channel, asked []string) []string {
	var some, every []string
	for _, c := range all {
		every = append(every, string(c))
	}
	for _, a := range asked {
		if a = strings.ToLower(a); slices.Contains(every, a) && !slices.Contains(some, a) {
			some = append(some, a)
		}
	}
	if len(some) == 0 {
		return every
	}
	return some
}

// Refuse says why a page is not shown; p is nil where there is no project. An explanation may stand in any frame:
// there is nothing on it to press.
func (s *Pages) Refuse(w http.ResponseWriter, r *http.Request, mode web.Mode, p *splitpin.Project, refusal web.Refusal, ancestors []string) {
	refusal.Page = p != nil && refusal.Origin == "" && p.ListsSite(refusal.Redirect)
	// Whoever wrote the address wrote these too: only what is an origin is shown.
	refusal.Redirect, _ = splitpin.ParseOrigin(refusal.Redirect)
	refusal.Origin, _ = splitpin.ParseOrigin(refusal.Origin)
	refusal.Mode, refusal.Nonce, refusal.RequestID = mode, nonce(), edge.RequestID(r)
	refusal.Locale = preferred(r, p)
	if p != nil {
		refusal.Look = look(p)
	}
	status := map[web.Reason]int{
		web.NotAllowed: http.StatusForbidden, web.NotFramed: http.StatusForbidden, web.UnknownProject: http.StatusNotFound,
		web.Incomplete: http.StatusBadRequest, web.NoSuchMethod: http.StatusBadRequest, web.NotFound: http.StatusNotFound, web.LinkUnknown: http.StatusNotFound, web.StepLost: http.StatusNotFound,
	}[refusal.Reason]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if v := edge.VisitOf(r.Context()); v != nil && v.Code == "" {
		v.Code = "page_" + string(refusal.Reason)
	}
	s.Edge.Log.InfoContext(r.Context(), "page refused", "route", r.Pattern, "reason", refusal.Reason)
	var page bytes.Buffer
	if err := web.RenderRefusal(&page, refusal); err != nil {
		s.broken(w, r, fmt.Errorf("rendering a refusal: %w", err))
		return
	}
	Write(w, status, web.CSP(refusal.Nonce, ancestors), page.Bytes())
}

// Landing sends the page at which the link of a message leads. It is never framed.
func (s *Pages) Landing(w http.ResponseWriter, r *http.Request, p *splitpin.Project, issuer string) {
	l := web.Landing{Look: look(p), Nonce: nonce(), Locale: preferred(r, p), Issuer: issuer, AccountURL: s.Edge.Engine.AccountURL(p)}
	var page bytes.Buffer
	if err := web.RenderLanding(&page, l); err != nil {
		s.broken(w, r, fmt.Errorf("rendering the page of a link: %w", err))
		return
	}
	Write(w, http.StatusOK, web.CSP(l.Nonce, nil), page.Bytes())
}

// Account sends the page on which people look after their account, where the project has
// it. It is never framed.
func (s *Pages) Account(w http.ResponseWriter, r *http.Request, p *splitpin.Project, issuer string) {
	here := s.Edge.Engine.AccountURL(p)
	if here == "" {
		s.Refuse(w, r, "", p, web.Refusal{Reason: web.NotFound}, nil)
		return
	}
	a := web.Account{Look: look(p), Nonce: nonce(), Locale: preferred(r, p), Here: here, Issuer: issuer,
		Methods: s.Edge.Engine.Offered(p), Site: s.Edge.Engine.Site(p), Providers: map[string]string{},
		Forgets: s.Captcha != nil} // whose script runs on this origin, and could read what lies there
	for _, of := range p.Settings.Providers {
		a.Providers[of.Name] = Named(p, of.Name)
	}
	var page bytes.Buffer
	if err := web.RenderAccount(&page, a); err != nil {
		s.broken(w, r, fmt.Errorf("rendering the page about an account: %w", err))
		return
	}
	Write(w, http.StatusOK, web.CSP(a.Nonce, nil), page.Bytes())
}

// Step sends a step of the way back from a provider. A page that is done goes on by
// itself: a form's own redirect would be held to this server by the policy.
func (s *Pages) Step(w http.ResponseWriter, r *http.Request, p *splitpin.Project, step web.Step) {
	step.Look, step.Nonce, step.Locale = look(p), nonce(), preferred(r, p)
	var ancestors []string
	if step.Frame != nil {
		ancestors = p.Settings.Origins
	}
	var page bytes.Buffer
	if err := web.RenderStep(&page, step); err != nil {
		s.broken(w, r, fmt.Errorf("rendering a step: %w", err))
		return
	}
	if step.Next != "" {
		w.Header().Set("Refresh", "0; url="+step.Next)
	}
	Write(w, http.StatusOK, web.StepCSP(step.Nonce, frameable(ancestors)), page.Bytes())
}

// Home sends the page at the root: h says what of this server there is to open.
func (s *Pages) Home(w http.ResponseWriter, r *http.Request, h web.Home) {
	h.Nonce, h.Locale = nonce(), preferred(r, nil)
	var page bytes.Buffer
	if err := web.RenderHome(&page, h); err != nil {
		s.broken(w, r, fmt.Errorf("rendering the page at the root: %w", err))
		return
	}
	Write(w, http.StatusOK, web.CSP(h.Nonce, nil), page.Bytes())
}

func (s *Pages) broken(w http.ResponseWriter, r *http.Request, err error) {
	http.Error(w, s.Edge.Refusal(r, err).Message, http.StatusInternalServerError)
}

// Write sends a page with its policy.
func Write(w http.ResponseWriter, status int, csp string, page []byte) {
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
	return web.Look{ID: p.ID, Name: p.Settings.Name, Colour: p.Settings.Colour, LogoURL: LogoURL(p)}
}

// LogoURL is where a project's image is served; empty where it has none.
func LogoURL(p *splitpin.Project) string {
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

// preferred is the language a browser asks for, or else the project's, if there
// is one.
func preferred(r *http.Request, p *splitpin.Project) string {
	first, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
	first, _, _ = strings.Cut(first, ";")
	if l := edge.Locale(strings.TrimSpace(first)); l != "" && l != "*" {
		return l
	}
	if p == nil {
		return "en"
	}
	return cmp.Or(p.Settings.Locale, "en")
}

func nonce() string {
	var b [18]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	return base64.RawStdEncoding.EncodeToString(b[:])
}
