package server

import (
	"net/http"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/web"
)

// landing is where the link of a message leads. It is the same page for everybody who
// asks, whatever became of the link: what it is about is told to its script, and what
// it does takes a tap.
func (s *Server) landing(w http.ResponseWriter, r *http.Request) {
	p, err := s.Engine.Knock(r.Context(), splitpin.Secret(r.PathValue("token")), edge.Opening(r), s.Caller(r))
	if splitpin.ErrorOf(err) == signin.ErrLink {
		s.pages.Refuse(w, r, "", nil, web.Refusal{Reason: web.LinkUnknown}, nil)
		return
	}
	if err != nil {
		s.problem(w, r, err)
		return
	}
	s.pages.Landing(w, r, p, s.tokens.Issuer(p))
}

func (s *Server) openLink(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	var req api.LinkRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	o, err := s.Engine.Open(r.Context(), s.bearer(r, p, req.Link))
	if err != nil {
		return nil, err
	}
	a, now := o.Attempt, s.Clock()
	out := api.Link{
		Account: o.Account, Device: a.Device, Place: place(a.Network), Site: a.Origin,
		AskedAgo: edge.Seconds(now.Sub(a.CreatedAt)), ExpiresIn: edge.Seconds(a.ExpiresAt.Sub(now)),
		SameBrowser: o.SameBrowser, HandedOver: o.HandedOver, MayLetIn: o.MayLetIn, MayHandOver: o.MayHandOver,
		State: string(a.State(now)),
	}
	if in := o.SignedIn; in != nil {
		out.Device, out.Place, out.ExpiresIn = "", "", 0 // who asked is over
		out.SignedIn = &api.LinkSignIn{Ago: edge.Seconds(now.Sub(in.At)), Device: in.Device}
	}
	if a.Origin == "" {
		out.Continue, _ = splitpin.ParseOrigin(a.Destination)
	}
	return ok(out)
}

func (s *Server) admitByLink(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	var req api.AdmitRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	admitted, err := s.Engine.Admit(r.Context(), s.bearer(r, p, req.Link), signin.Admission{
		Way: signin.Way(req.Way), Digits: digits(req.Digits), Recover: req.Recover,
		Challenge: req.CodeChallenge, Destination: req.RedirectURL, Origin: req.Origin, State: req.State,
	})
	if err != nil {
		return nil, err
	}
	if admitted.Code != "" {
		s.rememberBrowser(w, r, p, admitted.Attempt.Identifier)
		granted, err := s.grantedOf(&admitted.Granted)
		if err != nil {
			return nil, err
		}
		return ok(api.Admitted{Granted: granted})
	}
	return ok(api.Admitted{Location: admitted.Location.Reveal()})
}

func (s *Server) refuseLink(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	var req api.LinkRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	return &answer{http.StatusNoContent, nil}, s.Engine.RefuseLink(r.Context(), s.bearer(r, p, req.Link))
}

func (s *Server) disownLink(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	var req api.LinkRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	return &answer{http.StatusNoContent, nil}, s.Engine.Disown(r.Context(), s.bearer(r, p, req.Link))
}

func (s *Server) grantAttempt(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	h, err := s.handle(r, p)
	if err != nil {
		return nil, err
	}
	granted, err := s.Engine.Grant(r.Context(), h)
	if err != nil {
		return nil, err
	}
	s.rememberBrowser(w, r, p, granted.Attempt.Identifier)
	return s.granted(granted)
}

// askedCookie begins the name of the cookie by which the browser that asked for a link
// is known when it opens it; the attempt's id follows. One for each attempt: they tell
// nobody what else this browser did, and end with it.
const askedCookie = "__Host-splitpin-asked-"

// rememberAsking gives a page of ours that cookie. In a frame of another site it is
// kept for that site alone, and is not there on our own pages.
func (s *Server) rememberAsking(w http.ResponseWriter, r *http.Request, started *signin.Started) {
	if !started.Form.Link || !fromOurPage(r) {
		return
	}
	proof, err := s.Engine.BrowserProof(started.Attempt)
	if err != nil {
		s.Log.WarnContext(r.Context(), "making the cookie of an asking browser", "error", err)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: askedCookie + started.Attempt.ID.String(), Value: proof.Reveal(), Path: "/",
		MaxAge: edge.Seconds(started.Attempt.ExpiresAt.Sub(s.Clock())), HttpOnly: true, Secure: true,
		SameSite: http.SameSiteNoneMode, Partitioned: true})
}

// bearer reads what somebody shows who opened a link. The cookie counts on requests of
// our own pages only: no other site may have it speak for its person.
func (s *Server) bearer(r *http.Request, p *splitpin.Project, link string) signin.Bearer {
	b := signin.Bearer{Project: p, Link: splitpin.Secret(link), By: s.Caller(r)}
	id, _, _ := strings.Cut(link, ".")
	if cookie, err := r.Cookie(askedCookie + id); err == nil && fromOurPage(r) {
		b.Browser = splitpin.Secret(cookie.Value)
	}
	return b
}

// ours reports whether a page of this server asks, also in a browser that does not send
// what fromOurPage reads. No page of another site can pass for one of ours. A program can,
// so it gives no right by itself.
func (s *Server) ours(r *http.Request) bool {
	return fromOurPage(r) || r.Header.Get("Origin") == s.PublicURL.Scheme+"://"+s.PublicURL.Host
}

func fromOurPage(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Site") == "same-origin" }

// digits takes off what people put around two digits.
func digits(typed string) string { return strings.Join(strings.Fields(typed), "") }

// place is the network of an attempt as people read it.
func place(network string) string {
	if network == "unknown" {
		return ""
	}
	return strings.TrimSuffix(network, "/32")
}

func linkState(a *splitpin.Attempt) string {
	switch {
	case a.Link != "":
		return string(a.Link)
	case a.LinkTries >= signin.MaxLinkTries:
		return "dead"
	}
	return "open"
}
