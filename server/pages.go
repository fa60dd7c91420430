package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/server/page"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/passkey"
	"github.com/splitpin/splitpin/web"
)

// signin is our own sign-in page. Its parameters are project, redirect_url,
// code_challenge, state, and where they help login_hint, form_id, and type and auth_method,
// which are those of /app.
func (s *Server) signin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := web.Form{
		Mode: web.SignIn, Challenge: q.Get("code_challenge"), State: q.Get("state"), RedirectURL: q.Get("redirect_url"),
		Input: q.Get("login_hint"), FormID: q.Get("form_id"),
	}
	if p, err := s.Engine.Project(q.Get("project")); err == nil {
		f.Issuer = s.tokens.Issuer(p)
	}
	s.pages.TopLevel(w, r, q.Get("project"), f, page.Want{Type: q.Get("type"), Link: q.Get("auth_method") == "MAGIC_LINK"})
}

// account is where people look after their account. Its parameter is project.
func (s *Server) account(w http.ResponseWriter, r *http.Request) {
	p, err := s.Engine.Project(r.URL.Query().Get("project"))
	if err != nil {
		s.pages.Refuse(w, r, "", nil, web.Refusal{Reason: web.UnknownProject}, nil)
		return
	}
	s.pages.Account(w, r, p, s.tokens.Issuer(p))
}

// captcha is the page of somebody else's captcha, where the operator configured one.
func (s *Server) captcha(w http.ResponseWriter, r *http.Request) {
	s.pages.CaptchaOf(w, r, r.URL.Query().Get("project"))
}

// undo is where a mail about a new credential leads. Opening it changes nothing, whoever
// opens it; what was chosen is posted (security 31).
func (s *Server) undo(w http.ResponseWriter, r *http.Request) {
	ctx, token := r.Context(), r.PathValue("token")
	p, err := s.Engine.UndoProject(token)
	var what *signin.Undoable
	if err == nil {
		what, err = s.Engine.LookUndo(ctx, p, token)
	}
	u := web.Undo{State: web.UndoGone}
	switch {
	case errors.Is(err, signin.ErrUndo):
		s.pages.Undo(w, r, p, u)
		return
	case err != nil:
		s.pages.Refuse(w, r, "", p, web.Refusal{Reason: web.Broken}, nil)
		s.Refusal(r, err)
		return
	}
	c := what.Credential
	u = web.Undo{State: web.UndoAsk, Kind: string(c.Kind), Label: c.Label, Device: c.Device,
		When: c.CreatedAt.Format("2 January 2006, 15:04") + " UTC", Account: what.User.Identifier}
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		switch r.PostFormValue("choice") {
		case "keep":
			u.State = web.UndoKept
		case "undo":
			u.State = web.UndoDone
			if err := s.Engine.Undo(ctx, p, token, s.Caller(r)); errors.Is(err, signin.ErrUndo) {
				u.State = web.UndoGone
			} else if err != nil {
				s.pages.Refuse(w, r, "", p, web.Refusal{Reason: web.Broken}, nil)
				s.Refusal(r, err)
				return
			}
		default:
			u.Unmade = true
		}
	}
	s.pages.Undo(w, r, p, u)
}

// home is the page at the root. In development it leads on; elsewhere it says
// what this is and nothing more.
func (s *Server) home(w http.ResponseWriter, r *http.Request) {
	s.pages.Home(w, r, web.Home{Development: s.inbox != nil, DemoURL: s.demo})
}

func (s *Server) noPage(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.problem(w, r, errRoute)
		return
	}
	s.pages.Refuse(w, r, "", nil, web.Refusal{Reason: web.NotFound}, nil)
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
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // Cotter's loader shows it in the customer's page
	w.Write(p.Settings.Logo)
}

// relatedOrigins is asked by browsers whether a page elsewhere may use passkeys that are for
// this server's host (WebAuthn Level 3, section 5.11). The pages of those projects stand in
// it that chose this host for all their passkeys, and no others: whoever stands there may ask
// for any passkey of the host.
func (s *Server) relatedOrigins(w http.ResponseWriter, r *http.Request) {
	document := struct {
		Origins []string `json:"origins"`
	}{}
	for _, p := range s.Engine.Projects() {
		if p.Settings.PasskeySite == s.PublicURL.Hostname() {
			document.Origins = append(document.Origins, passkey.RelatedOrigins(p.Settings, s.PublicURL.String())...)
		}
	}
	if len(document.Origins) == 0 {
		s.problem(w, r, errRoute)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	edge.WriteJSON(w, http.StatusOK, document)
}

func (s *Server) icon(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=86400")
	w.WriteHeader(http.StatusNoContent)
}
