package server

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/server/page"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

func (s *Server) startAttempt(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	var req api.StartRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	start := signin.StartRequest{
		Project: p, Method: req.Method, Purpose: splitpin.Purpose(req.Purpose), Identifier: req.Identifier,
		Challenge: req.CodeChallenge, Destination: req.RedirectURL, Origin: req.Origin, FormID: req.FormID, Whose: req.UserID,
		Locale: edge.Locale(req.Locale), Puzzle: req.Puzzle, Captcha: req.Captcha, HandOver: req.HandOver, By: s.Caller(r),
		Channel: splitpin.Channel(req.Channel), Provider: req.Provider, LinkReturns: req.RedirectLink, OwnForm: !s.ours(r), ClientState: req.State, ClientData: req.ClientData,
	}
	var err error
	switch start.Purpose {
	case splitpin.Enrol, splitpin.Confirm:
		if req.Proof != nil {
			if start.Proof, err = s.ref(r, p, req.Proof); err != nil {
				return nil, err
			}
			break
		}
		if start.Session, start.User, err = s.Engine.Authenticate(r.Context(), p, edge.Bearer(r)); err != nil {
			return nil, err
		}
	case splitpin.Complete:
		if start.Parent, err = s.ref(r, p, req.Parent); err != nil {
			return nil, err
		}
	}
	started, err := s.Engine.Start(r.Context(), start)
	if err != nil {
		return nil, err
	}
	s.rememberAsking(w, r, started)
	if started.Form.Location != "" && fromOurPage(r) {
		s.cotter.SetOut(w, r, started)
	}
	return &answer{http.StatusCreated, api.StartResponse{
		Attempt: attempt(started, started.Secret, s.Clock()), Secret: started.Secret.Reveal(),
	}}, nil
}

func (s *Server) showAttempt(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	h, err := s.handle(r, p)
	if err != nil {
		return nil, err
	}
	started, err := s.Engine.Look(r.Context(), h)
	if err != nil {
		return nil, err
	}
	return ok(attempt(started, h.Secret, s.Clock()))
}

func (s *Server) resendAttempt(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	h, err := s.handle(r, p)
	if err != nil {
		return nil, err
	}
	var req api.ResendRequest
	if r.ContentLength != 0 { // the way it went needs no words
		if err := edge.ReadJSON(w, r, &req); err != nil {
			return nil, err
		}
	}
	started, err := s.Engine.Resend(r.Context(), h, splitpin.Channel(req.Channel))
	if err != nil {
		return nil, err
	}
	return ok(attempt(started, h.Secret, s.Clock()))
}

func (s *Server) answerAttempt(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	h, err := s.handle(r, p)
	if err != nil {
		return nil, err
	}
	var req json.RawMessage
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	if len(req) == 0 || req[0] != '{' {
		return nil, edge.ErrBody
	}
	granted, err := s.Engine.Answer(r.Context(), h, req)
	if err != nil {
		return nil, err
	}
	if a := granted.Attempt; a.Purpose == splitpin.SignIn && a.Identifier != "" {
		s.rememberBrowser(w, r, p, a.Identifier)
	}
	return s.granted(granted)
}

func (s *Server) granted(g *signin.Granted) (*answer, error) {
	out, err := s.grantedOf(g)
	if err != nil {
		return nil, err
	}
	return ok(out)
}

func (s *Server) grantedOf(g *signin.Granted) (*api.Granted, error) {
	out := &api.Granted{
		AuthorizationCode: g.Code.Reveal(), ChallengeID: g.ChallengeID, ExpiresIn: edge.Seconds(g.ExpiresIn),
		RedirectURL: g.Destination, State: g.Attempt.ClientState, ClientData: g.Attempt.ClientData,
		MakePasskey: g.MakePasskey,
	}
	if g.Attempt.Credential != 0 {
		out.CredentialID = strconv.FormatInt(g.Attempt.Credential, 10)
	}
	if c := g.Recovery; c != nil {
		link, err := s.Engine.UndoLink(c)
		if err != nil {
			return nil, err
		}
		now := s.Clock()
		_, opens := account.Recovery(now, []*splitpin.Credential{c})
		out.Recovery = &api.Recovery{CredentialID: strconv.FormatInt(c.Number, 10), BegunAt: c.CreatedAt, Device: c.Device,
			OpensIn: max(0, edge.Seconds(opens.Sub(now))), CancelURL: link.Reveal()}
	}
	return out, nil
}

// rememberBrowser gives a page of ours the cookie that spares its person the
// limits that strangers share. A call from elsewhere gets none.
func (s *Server) rememberBrowser(w http.ResponseWriter, r *http.Request, p *splitpin.Project, identifier string) {
	if !fromOurPage(r) {
		return
	}
	known, err := s.Engine.KnownBrowser(p, identifier)
	if err != nil {
		s.Log.WarnContext(r.Context(), "making the cookie of a known browser", "error", err)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: edge.KnownCookie, Value: known, Path: "/", MaxAge: edge.Seconds(signin.KnownFor),
		HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode, Partitioned: true})
}

// ref is the handle of another attempt that a request names.
func (s *Server) ref(r *http.Request, p *splitpin.Project, ref *api.AttemptRef) (*signin.Handle, error) {
	if ref == nil {
		return nil, signin.ErrPurpose
	}
	id, err := splitpin.ParseAttemptID(ref.ID)
	if err != nil {
		return nil, signin.ErrUnknown
	}
	return &signin.Handle{Project: p, ID: id, Secret: splitpin.Secret(ref.Secret), By: s.Caller(r)}, nil
}

// handle reads what a starter shows. An id that is none is like one that is
// unknown.
func (s *Server) handle(r *http.Request, p *splitpin.Project) (signin.Handle, error) {
	id, err := splitpin.ParseAttemptID(r.PathValue("id"))
	if err != nil {
		return signin.Handle{}, signin.ErrUnknown
	}
	return signin.Handle{Project: p, ID: id, Secret: splitpin.Secret(r.Header.Get(api.AttemptSecretHeader)), By: s.Caller(r)}, nil
}

// attempt is what the starter, who holds the secret, is told.
func attempt(s *signin.Started, secret splitpin.Secret, now time.Time) api.Attempt {
	a := s.Attempt
	out := api.Attempt{
		ID: a.ID.String(), Method: a.Method, Purpose: string(a.Purpose), Identifier: a.Identifier,
		State: string(a.State(now)), TriesLeft: max(0, a.MaxTries-a.Tries),
		ExpiresIn: edge.Seconds(a.ExpiresAt.Sub(now)), ResendIn: -1,
	}
	if s.Form.CodeLength > 0 {
		out.Code = &api.CodeForm{Length: s.Form.CodeLength, Alphabet: s.Form.CodeAlphabet}
	}
	if s.Form.Link {
		out.Link = &api.LinkForm{Digits: s.Digits, State: linkState(a)}
	}
	out.Location = s.Form.Location
	if s.Form.Passkey != "" {
		out.Passkey = withChallenge(s.Form.Passkey, signin.Challenge(a.ID, secret))
	}
	if c, address, ok := signin.Needs(a); ok {
		out.Needs = &api.Needs{Kind: string(c.Kind), Label: c.Label, Address: address}
	}
	if wait := signin.ResendIn(now, a); wait >= 0 {
		out.ResendIn = edge.Seconds(wait)
	}
	return out
}

// withChallenge fills the challenge into options for navigator.credentials.
func withChallenge(options, challenge string) json.RawMessage {
	return json.RawMessage(`{"challenge":"` + challenge + `",` + strings.TrimPrefix(options, "{"))
}

var errGrantType = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "grant_type",
	Message: "grant_type must be authorization_code or refresh_token."}

func (s *Server) token(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	var req api.TokenRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	switch req.GrantType {
	case "authorization_code":
		c, err := s.Engine.Collect(r.Context(), signin.CollectRequest{
			Project: p, Code: req.Code, Verifier: req.CodeVerifier, ChallengeID: req.ChallengeID,
			Destination: req.RedirectURL, Origin: r.Header.Get("Origin"), By: s.Caller(r),
		})
		if err != nil {
			return nil, err
		}
		out := tokens(c.Tokens)
		u := user(c.User)
		out.User = &u
		return ok(out)
	case "refresh_token":
		c, err := s.Engine.Refresh(r.Context(), signin.RefreshRequest{
			Project: p, Token: splitpin.Secret(req.RefreshToken), By: s.Caller(r),
		})
		if err != nil {
			return nil, err
		}
		return ok(tokens(c.Tokens))
	}
	return nil, errGrantType
}

func tokens(t token.Set) api.Tokens {
	return api.Tokens{
		AccessToken: t.AccessToken.Reveal(), IDToken: t.IDToken.Reveal(), RefreshToken: t.RefreshToken.Reveal(),
		ExpiresIn: t.ExpiresIn, TokenType: "Bearer", AuthMethod: t.AuthMethod,
	}
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	var req api.LogoutRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	err := s.Engine.Logout(r.Context(), signin.RefreshRequest{Project: p, Token: splitpin.Secret(req.RefreshToken), By: s.Caller(r)})
	return &answer{http.StatusNoContent, nil}, err
}

func (s *Server) showProject(w http.ResponseWriter, _ *http.Request, p *splitpin.Project) (*answer, error) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	shown := api.Project{
		ID: p.ID, Name: p.Name(), Colour: p.Settings.Colour, LogoURL: page.LogoURL(p),
		Locale: cmp.Or(p.Settings.Locale, "en"), Methods: s.Engine.Offered(p), Channels: map[string][]string{},
	}
	for _, method := range shown.Methods {
		for _, c := range s.Engine.Channels(p, method) {
			shown.Channels[method] = append(shown.Channels[method], string(c))
		}
	}
	if slices.Contains(shown.Methods, "social") {
		for _, of := range p.Settings.Providers {
			shown.Providers = append(shown.Providers, api.Provider{Name: of.Name, Label: page.Named(p, of.Name)})
		}
	}
	return ok(shown)
}

// keys is the key set that verifiers fetch: the same document for old and new
// ones.
func (s *Server) keys(w http.ResponseWriter, r *http.Request) {
	s.publicKeys(w, r, s.tokens.KeySet)
}

// published answers a request for a key set as keys does, without all that a request
// pays on its way through the routes and that only others need. It is what verifiers
// ask for, from anywhere and at any rate. Whatever is not plain goes by the route:
// published then reports false, and has done nothing.
func (s *Server) published(w http.ResponseWriter, r *http.Request) bool {
	base, ok := strings.CutSuffix(r.URL.Path, keySetPath)
	if !ok || r.Method != http.MethodGet || r.URL.RawPath != "" || edge.NamesProject(r) {
		return false
	}
	pattern := "GET " + keySetPath
	if base != "" {
		pattern = "GET /p/{project}" + keySetPath
		if base, ok = strings.CutPrefix(base, "/p/"); !ok || base == "" {
			return false
		}
	}
	p, err := s.Engine.Project(base)
	if err != nil {
		return false
	}
	body, etag, err := s.tokens.KeySet(p)
	if err != nil {
		return false
	}
	r.Pattern = pattern
	edge.PublicCORS(w, r)
	edge.WriteKeySet(w, r, body, etag)
	return true
}

const keySetPath = "/v1/keys"

// identityKey is the key of identity tokens, at an address of its own: a key set
// with it would break old verifiers.
func (s *Server) identityKey(w http.ResponseWriter, r *http.Request) {
	s.publicKeys(w, r, s.tokens.IdentityKey)
}

func (s *Server) publicKeys(w http.ResponseWriter, r *http.Request, of func(*splitpin.Project) (body []byte, etag string, err error)) {
	edge.PublicCORS(w, r)
	p, err := s.Project(r)
	if err != nil {
		s.problem(w, r, err)
		return
	}
	body, etag, err := of(p)
	if err != nil {
		s.problem(w, r, err)
		return
	}
	edge.WriteKeySet(w, r, body, etag)
}

// For the user of a bearer access token.

func (s *Server) me(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	_, u, err := s.Engine.Authenticate(r.Context(), p, edge.Bearer(r))
	if err != nil {
		return nil, err
	}
	return ok(user(u))
}

func (s *Server) mySessions(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	current, u, err := s.Engine.Authenticate(r.Context(), p, edge.Bearer(r))
	if err != nil {
		return nil, err
	}
	return s.sessionsOf(r, u, current.Number)
}

func (s *Server) endMySession(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	_, u, err := s.Engine.Authenticate(r.Context(), p, edge.Bearer(r))
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, signin.ErrNoSession
	}
	if err := s.Engine.EndSession(r.Context(), u, number, s.Caller(r)); err != nil {
		return nil, err
	}
	return ok(api.Ended{Ended: 1})
}

func (s *Server) endMySessions(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	current, u, err := s.Engine.Authenticate(r.Context(), p, edge.Bearer(r))
	if err != nil {
		return nil, err
	}
	keep := int64(0)
	if r.URL.Query().Get("keep") == "current" {
		keep = current.Number
	}
	ended, err := s.Engine.EndSessions(r.Context(), u, keep, s.Caller(r))
	if err != nil {
		return nil, err
	}
	return ok(api.Ended{Ended: ended})
}

func (s *Server) sessionsOf(r *http.Request, u *splitpin.User, current int64) (*answer, error) {
	list, err := s.Engine.Sessions(r.Context(), u)
	if err != nil {
		return nil, err
	}
	out := api.Sessions{Sessions: make([]api.Session, 0, len(list))}
	for _, l := range list {
		out.Sessions = append(out.Sessions, session(l, current))
	}
	return ok(out)
}

func session(s *splitpin.Session, current int64) api.Session {
	return api.Session{
		ID: strconv.FormatInt(s.Number, 10), Current: s.Number == current, Method: s.AuthMethod, Device: s.Device,
		CreatedAt: s.CreatedAt, UsedAt: s.UsedAt, ExpiresAt: s.IdleUntil, // never after s.ExpiresAt
		Claims: json.RawMessage(s.Claims),
	}
}

func (s *Server) myCredentials(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	_, u, err := s.Engine.Authenticate(r.Context(), p, edge.Bearer(r))
	if err != nil {
		return nil, err
	}
	return s.credentialsOf(r, p, u)
}

func (s *Server) credentialsOf(r *http.Request, p *splitpin.Project, u *splitpin.User) (*answer, error) {
	list, err := s.Engine.Credentials(r.Context(), u)
	if err != nil {
		return nil, err
	}
	accepted, err := s.Engine.Accepted(r.Context(), p, u, r.Header.Get("Origin"))
	if err != nil {
		return nil, err
	}
	out := api.Credentials{Credentials: make([]api.Credential, 0, len(list))}
	for _, c := range list {
		out.Credentials = append(out.Credentials, api.Credential{
			ID: strconv.FormatInt(c.Number, 10), Kind: string(c.Kind), Label: c.Label, Device: c.Device, Site: c.Site,
			CreatedAt: c.CreatedAt, UsedAt: moment(c.UsedAt), ExpiresAt: moment(c.ExpiresAt), Facts: s.Engine.Facts(c),
			Provider: s.Engine.Provider(c),
		})
	}
	if accepted != nil {
		out.Accepted = &api.Accepted{RPID: accepted.Site, UserID: base64.RawURLEncoding.EncodeToString(accepted.User[:]), IDs: accepted.IDs}
	}
	return ok(out)
}

// moment is t where there is one.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *Server) renameMyCredential(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	_, u, err := s.Engine.Authenticate(r.Context(), p, edge.Bearer(r))
	if err != nil {
		return nil, err
	}
	var req api.LabelRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, signin.ErrNoCredential
	}
	if err := s.Engine.Rename(r.Context(), u, number, req.Label); err != nil {
		return nil, err
	}
	return s.credentialsOf(r, p, u)
}

func (s *Server) removeMyCredential(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	session, u, err := s.Engine.Authenticate(r.Context(), p, edge.Bearer(r))
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, signin.ErrNoCredential
	}
	if err := s.Engine.Remove(r.Context(), session, u, number, s.Caller(r)); err != nil {
		return nil, err
	}
	return s.credentialsOf(r, p, u)
}

// For backends.

// backend admits a call that shows a server secret as bearer.
func (s *Server) backend(r *http.Request, p *splitpin.Project) error {
	trusted, err := s.Trusted(r, p, edge.Bearer(r))
	if err == nil && !trusted {
		err = edge.ErrSecret
	}
	return err
}

func (s *Server) listUsers(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	if err := s.backend(r, p); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	if q.Has("identifier") {
		u, err := s.people.ByIdentifier(r.Context(), p.Number, q.Get("identifier"))
		if errors.Is(err, splitpin.ErrNotFound) {
			return ok(api.Users{Users: []api.User{}})
		}
		if err != nil {
			return nil, err
		}
		return ok(api.Users{Users: []api.User{user(u)}})
	}
	page := 0
	if text := q.Get("page"); text != "" {
		var err error
		if page, err = strconv.Atoi(text); err != nil || page < 0 {
			return nil, errPage
		}
	}
	list, more, err := s.people.List(r.Context(), p.Number, page)
	if err != nil {
		return nil, err
	}
	out := api.Users{Users: make([]api.User, 0, len(list))}
	for _, u := range list {
		out.Users = append(out.Users, user(u))
	}
	if more {
		next := page + 1
		out.NextPage = &next
	}
	return ok(out)
}

var errPage = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "page",
	Message: "page must be a whole number from 0."}

func (s *Server) createUser(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	if err := s.backend(r, p); err != nil {
		return nil, err
	}
	var req api.UserRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	u, err := s.people.Create(r.Context(), p.Number, req.Identifier, req.ClientUserID, true)
	if err != nil {
		return nil, err
	}
	return &answer{http.StatusCreated, user(u)}, nil
}

func (s *Server) someUser(r *http.Request, p *splitpin.Project) (*splitpin.User, error) {
	if err := s.backend(r, p); err != nil {
		return nil, err
	}
	return s.people.ByID(r.Context(), p.Number, r.PathValue("id"))
}

func (s *Server) showUser(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	u, err := s.someUser(r, p)
	if err != nil {
		return nil, err
	}
	return ok(user(u))
}

func (s *Server) userSessions(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	u, err := s.someUser(r, p)
	if err != nil {
		return nil, err
	}
	return s.sessionsOf(r, u, 0)
}

func (s *Server) endUserSessions(_ http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	u, err := s.someUser(r, p)
	if err != nil {
		return nil, err
	}
	ended, err := s.Engine.EndSessions(r.Context(), u, 0, s.Caller(r))
	if err != nil {
		return nil, err
	}
	return ok(api.Ended{Ended: ended})
}

func (s *Server) setClaims(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (*answer, error) {
	u, err := s.someUser(r, p)
	if err != nil {
		return nil, err
	}
	var req api.ClaimsRequest
	if err := edge.ReadJSON(w, r, &req); err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(r.PathValue("session"), 10, 64)
	if err != nil {
		return nil, signin.ErrNoSession
	}
	changed, err := s.Engine.SetClaims(r.Context(), u, number, req.Claims, s.Caller(r))
	if err != nil {
		return nil, err
	}
	return ok(session(changed, 0))
}

var kinds = map[splitpin.IdentifierKind]string{splitpin.Email: "email", splitpin.Phone: "phone", splitpin.OtherName: "other"}

func user(u *splitpin.User) api.User {
	return api.User{
		ID: u.ID.String(), Identifier: u.Identifier, Kind: kinds[u.Kind], Proved: !u.ProvedAt.IsZero(),
		ClientUserID: u.ClientUserID, Locale: u.Locale, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}
