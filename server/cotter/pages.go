package cotter

import (
	"net/http"
	"net/url"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/web"
)

// signup is the form in a frame of the customer's page (contract 12.2). It is
// shown only for a listed parent, and the browser holds the page to it; anybody
// else gets an explanation that does nothing (security 15).
func (f *Face) signup(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p, err := f.engine.Project(q.Get("api_key"))
	if err != nil {
		f.pages.Refuse(w, r, web.Frame, nil, web.Refusal{Reason: web.UnknownProject}, []string{"*"})
		return
	}
	domain, redirect := q.Get("domain"), given(q.Get("redirect_url"))
	if !splitpin.IsWeb(domain) || !p.ListsOrigin(domain) || redirect != "" && !p.Lists(redirect) {
		if _, ok := splitpin.ParseOrigin(redirect); redirect != "" && !ok && p.ListsOrigin(domain) {
			domain = "" // the page must not blame the half that is right
		}
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotAllowed, Redirect: redirect, Origin: domain}, []string{"*"})
		return
	}
	if r.Header.Get("Sec-Fetch-Dest") == "document" {
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotFramed}, nil)
		return
	}
	switch challenge := q.Get("challenge"); {
	case challenge == "":
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.Incomplete, Missing: "challenge"}, []string{"*"})
		return
	case signin.CheckChallenge(challenge) != nil:
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.Incomplete, BadChallenge: "challenge"}, []string{"*"})
		return
	}
	f.pages.Form(w, r, p, web.Form{
		Mode: web.Frame, Domain: domain, MessageID: q.Get("id"), Challenge: q.Get("challenge"),
		State: q.Get("state"), RedirectURL: redirect, Type: q.Get("type"), FormID: unescaped(q.Get("form_id")),
	}, p.Settings.Origins)
}

// app is the page that mobile apps and command-line clients open (contract 12.6).
func (f *Face) app(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.pages.TopLevel(w, r, q.Get("api_key"), web.Form{
		Mode: web.App, Challenge: q.Get("code_challenge"), State: q.Get("state"), RedirectURL: q.Get("redirect_url"),
		Type: q.Get("type"), Input: q.Get("input"), DirectLogin: q.Get("direct_login") == "true",
	})
}

// unescaped takes off the second layer that the web SDK adds to some parameters.
func unescaped(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
