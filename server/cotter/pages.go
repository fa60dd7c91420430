package cotter

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/page"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/web"
)

// signup is the form that sends a code, in a frame of the customer's page
// (contract 12.2).
func (f *Face) signup(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.framed(w, r, "challenge", web.Form{RedirectURL: q.Get("redirect_url")}, page.Want{Type: q.Get("type")})
}

// login is the form that sends a link. Its redirect_url is the whole address of the
// customer's page, percent-encoded twice (contract 12.2).
func (f *Face) login(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.framed(w, r, "code_challenge", web.Form{
		RedirectURL: signin.WithoutReturned(unescaped(q.Get("redirect_url"))), LinkReturns: q.Get("redirect_link") == "true",
	}, page.Want{Type: q.Get("type"), Link: q.Get("auth_method") != "OTP"})
}

// framed sends a form in a frame. It is shown only for a listed parent, and the
// browser holds the page to it; anybody else gets an explanation that does
// nothing (security 15). challenge names the parameter of the code challenge.
func (f *Face) framed(w http.ResponseWriter, r *http.Request, challenge string, form web.Form, want page.Want) {
	q := r.URL.Query()
	p, err := f.engine.Project(q.Get("api_key"))
	if err != nil {
		f.pages.Refuse(w, r, web.Frame, nil, web.Refusal{Reason: web.UnknownProject}, []string{"*"})
		return
	}
	domain, redirect := q.Get("domain"), given(form.RedirectURL)
	if !splitpin.IsWeb(domain) || !p.ListsOrigin(domain) || redirect != "" && !p.Lists(redirect) {
		if _, ok := splitpin.ParseOrigin(redirect); redirect != "" && (!ok || p.ListsSite(redirect)) && p.ListsOrigin(domain) {
			domain = "" // the page must not blame the half that is right
		}
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotAllowed, Redirect: redirect, Origin: domain}, []string{"*"})
		return
	}
	if r.Header.Get("Sec-Fetch-Dest") == "document" {
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotFramed}, nil)
		return
	}
	switch value := q.Get(challenge); {
	case value == "":
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.Incomplete, Missing: challenge}, []string{"*"})
		return
	case signin.CheckChallenge(value) != nil:
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.Incomplete, BadChallenge: challenge}, []string{"*"})
		return
	}
	form.Mode, form.Domain, form.MessageID, form.Challenge = web.Frame, domain, q.Get("id"), q.Get(challenge)
	form.State, form.RedirectURL, form.FormID = q.Get("state"), redirect, unescaped(q.Get("form_id"))
	form.UserID = given(q.Get("cotter_user_id"))
	want, form.Extra = setFor(p, form.FormID, want)
	f.pages.Form(w, r, p, form, want, p.Settings.Origins)
}

// webauthn is the window that offers a passkey, in a frame of the customer's page
// (contract 12.3). The identifier in its address is not encoded, so it is not read: the
// SDK tells it again.
func (f *Face) webauthn(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p, err := f.engine.Project(q.Get("api_key"))
	if err != nil {
		f.pages.Refuse(w, r, web.Frame, nil, web.Refusal{Reason: web.UnknownProject}, []string{"*"})
		return
	}
	domain := q.Get("domain")
	switch {
	case !splitpin.IsWeb(domain) || !p.ListsOrigin(domain):
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotAllowed, Origin: domain}, []string{"*"})
	case r.Header.Get("Sec-Fetch-Dest") == "document":
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotFramed}, nil)
	default:
		f.pages.Passkey(w, r, p, web.Passkey{Domain: domain, MessageID: q.Get("id"), Register: q.Get("type") == "REGISTRATION"})
	}
}

// setFor returns what the operator set for a form. It goes before what a script asks
// for: the loader, on a browser's first visit, asks before it knows.
func setFor(p *splitpin.Project, id string, want page.Want) (page.Want, web.Extra) {
	form, _ := p.Settings.Site.Form(id)
	if form.Method != "" {
		want.Link = form.Method == "link"
	}
	for _, c := range form.Channels {
		want.Channels = append(want.Channels, string(c))
	}
	var extra web.Extra
	for _, name := range form.Social {
		extra.Providers = append(extra.Providers, strings.ToUpper(name))
	}
	for _, f := range form.Fields {
		extra.Fields = append(extra.Fields, web.Field{Name: f.Name, Label: f.Label, Type: f.Type})
	}
	return want, extra
}

// app is the page that mobile apps and command-line clients open (contract 12.6).
// identifier_field is the app's own business. Flutter's use_channel is "null" for
// email, which is no channel and changes nothing.
func (f *Face) app(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.pages.TopLevel(w, r, q.Get("api_key"), web.Form{
		Mode: web.App, Challenge: q.Get("code_challenge"), State: q.Get("state"), RedirectURL: q.Get("redirect_url"),
		Input: q.Get("input"), DirectLogin: q.Get("direct_login") == "true", UserID: given(q.Get("cotter_user_id")),
	}, page.Want{
		Type: q.Get("type"), Link: q.Get("auth_method") == "MAGIC_LINK",
		Channels: append([]string{q.Get("use_channel")}, q["phone_channels[]"]...),
	})
}

// unescaped takes off the second layer that the web SDK adds to some parameters.
func unescaped(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
