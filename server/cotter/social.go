package cotter

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/server/page"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/web"
)

// The way to a provider and back (contract 10). A start remembers its attempt's secret in a
// cookie of its browser, and the provider echoes the attempt's id as the state: who comes
// back holds both, or nothing (security 30). Coming back proves nothing yet: the person is
// shown who would sign in, for what, and says yes; or proves an address; on pages below
// /social that work without a script.

// A way is how somebody set out, which says what coming back looks like.
type way string

const (
	byClient way = "c" // the web SDK, which shows our page for an address in a window of its own
	byPage   way = "p" // a page of ours
)

const (
	wayCookie = "__Host-social-" // + the attempt's id
	wayAge    = 10 * time.Minute
	mostWays  = 8 // at once in one browser
	// A way that ended is remembered for a moment: an impatient second click says yes again,
	// and gets what the first one got.
	endedAge = time.Minute
)

var errLogin = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "token_id",
	Message: "This does not belong to the sign-in that was started. Please start again."}

// socialLogin is endpoint 32, and for our own pages /social/{provider}.
func (f *Face) socialLogin(by way) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		p := f.socialProject(w, r, q.Get("redirect_url"))
		if p == nil {
			return
		}
		f.goThere(w, r, p, by, signin.StartRequest{Provider: r.PathValue("provider"),
			Challenge: q.Get("code_challenge"), Destination: q.Get("redirect_url"), ClientState: q.Get("state"), FormID: q.Get("form_id"), Whose: given(q.Get("user_id"))}, nil)
	}
}

// socialProject is the project of a navigation that is to end at redirect. Where there is
// none, or it may not go there, the page that says so was sent.
func (f *Face) socialProject(w http.ResponseWriter, r *http.Request, redirect string) *splitpin.Project {
	p, err := f.edge.Project(r, r.URL.Query().Get("api_key_id"))
	if r.PathValue("project") == "" && r.URL.Query().Has("project") {
		p, err = f.engine.Project(r.URL.Query().Get("project")) // our pages stand at the root
	}
	switch {
	case err != nil:
		f.pages.Refuse(w, r, "", nil, web.Refusal{Reason: web.UnknownProject}, nil)
	case !f.engine.Leads(p, redirect):
		f.pages.Refuse(w, r, "", p, web.Refusal{Reason: web.NotAllowed, Redirect: redirect, Mode: web.App}, nil)
	default:
		return p
	}
	return nil
}

// goThere starts an attempt and sends the browser to the provider. stale shows what comes
// first where the session was proved too long ago.
func (f *Face) goThere(w http.ResponseWriter, r *http.Request, p *splitpin.Project, by way, req signin.StartRequest, stale func()) {
	req.Project, req.Method, req.By = p, "social", f.edge.Caller(r)
	started, err := f.engine.Start(r.Context(), req)
	switch {
	case errors.Is(err, signin.ErrStale) && stale != nil:
		stale()
	case err != nil:
		f.comeBackWith(w, r, p, by, req.Destination, req.ClientState, err)
	default:
		f.rememberWay(w, r, started.Attempt.ID, by, started.Secret)
		f.leave(w, r, p, started.Form.Location)
	}
}

// redirect goes on by GET. No header that names it is logged, and no page learns where
// the browser came from.
func redirect(w http.ResponseWriter, to string) {
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}

// SetOut remembers in a browser that it sets out to a provider from a page of ours, which
// started the attempt itself.
func (f *Face) SetOut(w http.ResponseWriter, r *http.Request, s *signin.Started) {
	f.rememberWay(w, r, s.Attempt.ID, byPage, s.Secret)
}

func (f *Face) rememberWay(w http.ResponseWriter, r *http.Request, id splitpin.AttemptID, by way, secret splitpin.Secret) {
	var old []string
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, wayCookie) {
			old = append(old, c.Name)
		}
	}
	for i := 0; i+mostWays <= len(old); i++ { // browsers send the oldest first
		forget(w, old[i])
	}
	remember(w, wayCookie+id.String(), string(by)+secret.Reveal(), wayAge)
}

func remember(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()),
		HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
}

func forget(w http.ResponseWriter, name string) { remember(w, name, "", -time.Second) }

// wayOf finds the attempt of a state in this browser.
func (f *Face) wayOf(r *http.Request, p *splitpin.Project, state string) (h signin.Handle, by way, ok bool) {
	id, err := splitpin.ParseAttemptID(state)
	if err != nil {
		return h, "", false
	}
	c, err := r.Cookie(wayCookie + id.String())
	if err != nil || len(c.Value) < 2 {
		return h, "", false
	}
	return signin.Handle{Project: p, ID: id, Secret: splitpin.Secret(c.Value[1:]), By: f.edge.Caller(r)}, way(c.Value[:1]), true
}

// passedOn are the parameters of a provider's answer.
var passedOn = []string{"code", "state", "iss", "error"}

// socialCallback is endpoint 34.
func (f *Face) socialCallback(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		// The provider's page posts it, so the browser leaves the cookie out (response_mode
		// form_post). It comes along when the browser asks again.
		if r.ParseForm() != nil {
			f.lost(w, r, nil)
			return
		}
		q := url.Values{}
		for _, name := range passedOn {
			if v := r.PostForm.Get(name); v != "" {
				q.Set(name, v)
			}
		}
		redirect(w, r.URL.Path+"?"+q.Encode())
		return
	}
	p, err := f.edge.Project(r)
	if err != nil {
		f.pages.Refuse(w, r, "", nil, web.Refusal{Reason: web.UnknownProject}, nil)
		return
	}
	q := r.URL.Query()
	h, by, ok := f.wayOf(r, p, q.Get("state"))
	if !ok {
		f.lost(w, r, p)
		return
	}
	look, err := f.engine.Look(r.Context(), h)
	if err != nil || !look.Attempt.ProvedAt.IsZero() { // proved: somebody went back here
		f.lost(w, r, p)
		return
	}
	if q.Get("code") == "" {
		forget(w, wayCookie+h.ID.String())
		f.comeBackWith(w, r, p, by, look.Attempt.Destination, look.Attempt.ClientState, denial(q.Get("error")))
		return
	}
	answer, err := json.Marshal(map[string]string{"code": q.Get("code"), "iss": q.Get("iss"), "provider": r.PathValue("provider")})
	if err != nil {
		f.lost(w, r, p)
		return
	}
	granted, err := f.engine.Answer(r.Context(), h, answer)
	f.wentOn(w, r, p, h, by, look, granted, err)
}

var (
	errDenied = &splitpin.Error{Kind: splitpin.Forbidden, Code: "provider_denied",
		Message: "The sign-in there was cancelled. You can try again, or choose another way to sign in."}
	errThere = &splitpin.Error{Kind: splitpin.Unavailable, Code: "provider_down",
		Message: "The other service could not sign you in. Please try again in a moment, or choose another way to sign in."}
)

// cancelled is where somebody goes who gives up.
func cancelled(by way, destination, state string) string {
	if destination == "" {
		return ""
	}
	return withQuery(destination, ending(by, state, errDenied))
}

// ending is what a page hears that gets no result: from a way of our pages a code and the state
// by which it knows what it began, as the sign-in page says it; else a sentence, as Cotter's SDK
// reads it.
func ending(by way, state string, why *splitpin.Error) url.Values {
	if by == byPage && state != "" {
		return url.Values{"error": {why.Code}, "state": {state}}
	}
	return url.Values{"error": {why.Message}}
}

func denial(said string) error {
	switch said {
	case "access_denied", "user_cancelled_authorize", "user_cancelled_login", "consent_required", "interaction_required", "login_required":
		return errDenied
	}
	return errThere
}

// wentOn shows the person what comes after an answer or a yes.
func (f *Face) wentOn(w http.ResponseWriter, r *http.Request, p *splitpin.Project, h signin.Handle, by way, look *signin.Started, granted *signin.Granted, err error) {
	switch {
	case errors.Is(err, signin.ErrAsk):
		f.ask(w, r, p, h, by, look)
	case errors.Is(err, signin.ErrMore) && by == byClient:
		// The customer's page opens our window, which goes on by what stands in token_id.
		// That window is in a frame and sees no cookie of ours.
		redirect(w, withQuery(look.Attempt.Destination, url.Values{"action": {"O_CONNECT"}, "token_id": {signin.Challenge(h.ID, h.Secret)},
			"user_id": {h.ID.String()}, "provider": {look.Form.Provider}}))
	case errors.Is(err, signin.ErrMore):
		f.send(w, r, p, h, "", nil)
	case err != nil:
		f.comeBackWith(w, r, p, by, look.Attempt.Destination, look.Attempt.ClientState, err)
	default:
		f.arrive(w, r, p, h, by, granted)
	}
}

// arrive ends the way at the customer's page.
func (f *Face) arrive(w http.ResponseWriter, r *http.Request, p *splitpin.Project, h signin.Handle, by way, granted *signin.Granted) {
	remember(w, wayCookie+h.ID.String(), string(by)+h.Secret.Reveal(), endedAge)
	f.step(w, r, p, web.Step{Kind: web.StepDone, Next: f.resultURL(p, granted)})
}

// resultURL is where somebody goes who is done (contract 10.1, step 4), with the issuer
// besides, as our own pages give it (RFC 9207).
func (f *Face) resultURL(p *splitpin.Project, g *signin.Granted) string {
	if g.Code == "" {
		return g.Attempt.Destination
	}
	return withQuery(g.Destination, url.Values{"challenge_id": {strconv.Itoa(int(g.ChallengeID))}, "code": {g.Code.Reveal()},
		"state": {g.Attempt.ClientState}, "auth_method": {"SOCIAL_LOGIN"}, "iss": {f.tokens.Issuer(p)}})
}

// withQuery adds parameters to an address that was looked at before.
func withQuery(to string, more url.Values) string {
	before, fragment, has := strings.Cut(to, "#")
	between := "?"
	if strings.Contains(before, "?") {
		between = "&"
	}
	before += between + more.Encode()
	if has {
		before += "#" + fragment
	}
	return before
}

// comeBackWith goes back to where somebody came from, with what went wrong. Where that is
// no place to go to, a page of ours says it.
func (f *Face) comeBackWith(w http.ResponseWriter, r *http.Request, p *splitpin.Project, by way, destination, state string, err error) {
	known := f.edge.Refusal(r, err)
	if destination == "" {
		f.pages.Refuse(w, r, "", nil, web.Refusal{Reason: web.Broken, Text: known.Message}, nil)
		return
	}
	f.leave(w, r, p, withQuery(destination, ending(by, state, known)))
}

// leave goes to another site. Where a form of ours was posted, the policy of its page holds a
// redirect to this server, in some browsers; a page that goes on by itself is none.
func (f *Face) leave(w http.ResponseWriter, r *http.Request, p *splitpin.Project, to string) {
	if r.Method == http.MethodPost {
		f.step(w, r, p, web.Step{Kind: web.StepDone, Next: to})
		return
	}
	redirect(w, to)
}

func (f *Face) lost(w http.ResponseWriter, r *http.Request, p *splitpin.Project) {
	f.pages.Refuse(w, r, "", p, web.Refusal{Reason: web.StepLost}, nil)
}

func (f *Face) step(w http.ResponseWriter, r *http.Request, p *splitpin.Project, s web.Step) {
	f.pages.Step(w, r, p, s)
}

// ask shows who would sign in, or what would be connected, and where that leads.
func (f *Face) ask(w http.ResponseWriter, r *http.Request, p *splitpin.Project, h signin.Handle, by way, look *signin.Started) {
	q, ok, err := f.engine.Asked(r.Context(), h)
	if err != nil || !ok {
		f.lost(w, r, p)
		return
	}
	here, person := q.Address, "new"
	if q.User != nil {
		here, person = q.User.Identifier, "known"
	}
	site, _ := splitpin.ParseOrigin(q.Attempt.Destination)
	s := web.Step{Kind: web.StepAgree, Words: map[string]string{"provider": page.Named(p, look.Form.Provider), "person": person},
		Facts:  []web.Fact{{Name: web.FactAccount, Value: q.Credential.Label}, {Name: web.FactHere, Value: here}, {Name: web.FactGoes, Value: site}},
		Action: "/social/agree", Hidden: []web.Fact{{Name: "project", Value: p.ID}, {Name: "state", Value: h.ID.String()}},
		Cancel: cancelled(by, q.Attempt.Destination, q.Attempt.ClientState),
	}
	if q.Attempt.Purpose == splitpin.Enrol {
		s.Kind = web.StepConnect
	}
	f.step(w, r, p, s)
}

// posted admits what a page of ours posted.
func (f *Face) posted(w http.ResponseWriter, r *http.Request) *splitpin.Project {
	site := r.Header.Get("Sec-Fetch-Site")
	if origin := r.Header.Get("Origin"); site != "same-origin" && (site != "" || origin != f.edge.PublicURL.Scheme+"://"+f.edge.PublicURL.Host) {
		f.lost(w, r, nil)
		return nil
	}
	if r.ParseForm() != nil {
		f.lost(w, r, nil)
		return nil
	}
	p, err := f.engine.Project(r.PostForm.Get("project"))
	if err != nil {
		f.lost(w, r, nil)
		return nil
	}
	return p
}

// agree is the yes.
func (f *Face) agree(w http.ResponseWriter, r *http.Request) {
	p := f.posted(w, r)
	if p == nil {
		return
	}
	h, by, ok := f.wayOf(r, p, r.PostForm.Get("state"))
	if !ok {
		f.lost(w, r, p)
		return
	}
	look, err := f.engine.Look(r.Context(), h)
	if err != nil {
		f.lost(w, r, p)
		return
	}
	granted, err := f.engine.Agree(r.Context(), h)
	f.wentOn(w, r, p, h, by, look, granted, err)
}

// send offers to send a code to the address that an attempt waits for. said is what was
// wrong before, frame the window of the web SDK.
func (f *Face) send(w http.ResponseWriter, r *http.Request, p *splitpin.Project, h signin.Handle, said string, frame *web.StepFrame) {
	look, err := f.engine.Look(r.Context(), h)
	if err != nil {
		f.lost(w, r, p)
		return
	}
	c, address, ok := signin.Needs(look.Attempt)
	if !ok {
		f.lost(w, r, p)
		return
	}
	s := web.Step{Kind: web.StepSend, Words: map[string]string{"provider": page.Named(p, look.Form.Provider)}, Error: said, Frame: frame,
		Facts: []web.Fact{{Name: web.FactAccount, Value: c.Label}}, Address: address == "",
		Action: "/social/code", Hidden: f.carried(p, h, frame)}
	if address != "" {
		s.Facts = append(s.Facts, web.Fact{Name: web.FactHere, Value: address})
		s.Hidden = append(s.Hidden, web.Fact{Name: "address", Value: address})
	}
	if frame == nil {
		s.Cancel, s.Facts = cancelled(byPage, look.Attempt.Destination, look.Attempt.ClientState), append(s.Facts, goes(look.Attempt)...)
	}
	f.step(w, r, p, s)
}

// goes names where a way leads (security 5).
func goes(a *splitpin.Attempt) []web.Fact {
	site, ok := splitpin.ParseOrigin(a.Destination)
	if !ok {
		return nil
	}
	return []web.Fact{{Name: web.FactGoes, Value: site}}
}

// carried are the hidden fields that go from step to step.
func (f *Face) carried(p *splitpin.Project, h signin.Handle, frame *web.StepFrame) []web.Fact {
	out := []web.Fact{{Name: "project", Value: p.ID}, {Name: "token_id", Value: signin.Challenge(h.ID, h.Secret)}}
	if frame != nil {
		out = append(out, web.Fact{Name: "domain", Value: frame.Domain}, web.Fact{Name: "id", Value: frame.MessageID}, web.Fact{Name: "provider", Value: frame.Provider})
	}
	return out
}

// begunHere reports whether the way h began in this browser. A window in the page of a site
// sees no cookie: see finishConnect.
func (f *Face) begunHere(r *http.Request, p *splitpin.Project, h signin.Handle, frame *web.StepFrame) bool {
	if frame != nil {
		return true
	}
	kept, _, ok := f.wayOf(r, p, h.ID.String())
	return ok && kept.Secret == h.Secret
}

// carrier reads them back.
func (f *Face) carrier(r *http.Request, p *splitpin.Project, token string) (h signin.Handle, ok bool) {
	id, secret, ok := signin.ParseChallenge(token)
	return signin.Handle{Project: p, ID: id, Secret: secret, By: f.edge.Caller(r)}, ok
}

func (f *Face) stepFrame(p *splitpin.Project, domain, id, provider string, h signin.Handle) *web.StepFrame {
	if domain == "" || !splitpin.IsWeb(domain) || !p.ListsOrigin(domain) {
		return nil
	}
	return &web.StepFrame{Domain: domain, MessageID: id, TokenID: signin.Challenge(h.ID, h.Secret), UserID: h.ID.String(), Provider: provider}
}

// sendCode starts the attempt that proves the address.
func (f *Face) sendCode(w http.ResponseWriter, r *http.Request) {
	p := f.posted(w, r)
	if p == nil {
		return
	}
	h, ok := f.carrier(r, p, r.PostForm.Get("token_id"))
	if !ok {
		f.lost(w, r, p)
		return
	}
	frame := f.stepFrame(p, r.PostForm.Get("domain"), r.PostForm.Get("id"), r.PostForm.Get("provider"), h)
	look, err := f.engine.Look(r.Context(), h)
	if err != nil || !f.begunHere(r, p, h, frame) {
		f.lost(w, r, p)
		return
	}
	s, purpose := web.Step{Frame: frame}, splitpin.Vouch
	if frame == nil {
		s.Cancel, s.Facts, purpose = cancelled(byPage, look.Attempt.Destination, look.Attempt.ClientState), goes(look.Attempt), splitpin.Complete
	}
	check := s
	check.Action, check.Hidden = "/social/code", append(f.carried(p, h, frame), web.Fact{Name: "address", Value: r.PostForm.Get("address")})
	child, ok := f.sendsCode(w, r, p, signin.StartRequest{Method: "email_code", Purpose: purpose, Identifier: r.PostForm.Get("address"), Parent: &h},
		check, func(said string) { f.send(w, r, p, h, said, frame) })
	if ok {
		s.Action, s.Hidden = "/social/proof", f.carried(p, h, frame)
		f.codeStep(w, r, p, signin.Handle{Project: p, ID: child.Attempt.ID, Secret: child.Secret}, child.Attempt.Identifier, s)
	}
}

// sendsCode starts an attempt that sends a code. Where the network has to show first that it
// is no machine, the page check does so, with what was posted; every other refusal goes to
// refused. ok is false where a page was sent.
func (f *Face) sendsCode(w http.ResponseWriter, r *http.Request, p *splitpin.Project, req signin.StartRequest, check web.Step, refused func(said string)) (_ *signin.Started, ok bool) {
	req.Project, req.By = p, f.edge.Caller(r)
	req.Puzzle, req.Captcha = r.PostForm.Get("puzzle"), r.PostForm.Get("captcha")
	started, err := f.engine.Start(r.Context(), req)
	if err == nil {
		return started, true
	}
	known := f.edge.Refusal(r, err)
	check.Kind = web.StepCheck
	switch {
	case errors.Is(err, signin.ErrChallenge) && req.Puzzle == "":
		check.Puzzle = known.Challenge
	case errors.Is(err, signin.ErrCaptcha) && req.Captcha == "":
		check.Captcha = true
	default:
		refused(known.Message)
		return nil, false
	}
	f.step(w, r, p, check)
	return nil, false
}

// codeStep asks for the code of the attempt proof.
func (f *Face) codeStep(w http.ResponseWriter, r *http.Request, p *splitpin.Project, proof signin.Handle, address string, s web.Step) {
	s.Kind, s.Words = web.StepCode, map[string]string{"address": address}
	s.Hidden = append(s.Hidden, web.Fact{Name: "proof", Value: signin.Challenge(proof.ID, proof.Secret)})
	f.step(w, r, p, s)
}

// answerCode answers an attempt with the code that was posted.
func (f *Face) answerCode(r *http.Request, h signin.Handle) (*signin.Granted, error) {
	answer, err := json.Marshal(map[string]string{"code": r.PostForm.Get("code")})
	if err != nil {
		return nil, fmt.Errorf("writing an answer: %w", err)
	}
	return f.engine.Answer(r.Context(), h, answer)
}

// prove takes the code.
func (f *Face) prove(w http.ResponseWriter, r *http.Request) {
	p := f.posted(w, r)
	if p == nil {
		return
	}
	h, ok := f.carrier(r, p, r.PostForm.Get("token_id"))
	child, ok2 := f.carrier(r, p, r.PostForm.Get("proof"))
	if !ok || !ok2 {
		f.lost(w, r, p)
		return
	}
	frame := f.stepFrame(p, r.PostForm.Get("domain"), r.PostForm.Get("id"), r.PostForm.Get("provider"), h)
	look, err := f.engine.Look(r.Context(), child)
	parent, err2 := f.engine.Look(r.Context(), h)
	if err != nil || err2 != nil || !f.begunHere(r, p, h, frame) {
		f.lost(w, r, p)
		return
	}
	granted, err := f.answerCode(r, child)
	switch {
	case errors.Is(err, signin.ErrWrong):
		s := web.Step{Frame: frame, Action: "/social/proof", Hidden: f.carried(p, h, frame), Error: f.edge.Refusal(r, err).Message}
		if frame == nil {
			s.Cancel, s.Facts = cancelled(byPage, parent.Attempt.Destination, parent.Attempt.ClientState), goes(parent.Attempt)
		}
		f.codeStep(w, r, p, child, look.Attempt.Identifier, s)
	case err != nil:
		f.send(w, r, p, h, f.edge.Refusal(r, err).Message, frame)
	case frame != nil:
		// What joins the two was never in an address (security 30).
		frame.Done, frame.TokenID = true, signin.Challenge(h.ID, h.Secret)+"."+signin.Challenge(child.ID, child.Secret)
		f.step(w, r, p, web.Step{Kind: web.StepDone, Frame: frame})
	default:
		f.arrive(w, r, p, h, byPage, granted)
	}
}

// socialConnect is the window /social_connect (contract 12.4). The web SDK hands on the whole
// query of the customer's page, which may have parameters of the same names, and then its
// own, encoded twice: the last counts.
func (f *Face) socialConnect(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	get := func(name string) string {
		if all := q[name]; len(all) > 0 {
			return unescaped(all[len(all)-1])
		}
		return ""
	}
	p, err := f.engine.Project(get("api_key"))
	if err != nil {
		f.pages.Refuse(w, r, web.Frame, nil, web.Refusal{Reason: web.UnknownProject}, []string{"*"})
		return
	}
	h, ok := f.carrier(r, p, get("token_id"))
	frame := f.stepFrame(p, get("domain"), get("id"), get("provider"), h)
	switch {
	case frame == nil:
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotAllowed, Origin: get("domain")}, []string{"*"})
	case r.Header.Get("Sec-Fetch-Dest") == "document":
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.NotFramed}, nil)
	case !ok:
		f.pages.Refuse(w, r, web.Frame, p, web.Refusal{Reason: web.StepLost}, []string{"*"})
	default:
		frame.First = true
		f.send(w, r, p, h, "", frame)
	}
}

// finishConnect is endpoint 35: it joins the account at a provider and the address that was
// proved, and answers the address of the result. That needs both the tab that began, which
// has login_state, and the window in which the address was proved, which has the second
// half of token_id. What the browser says besides is held against what is known here.
func (f *Face) finishConnect(c *call) (any, error) {
	var body struct {
		TokenID  string `json:"token_id"`
		UserID   string `json:"user_id"`
		Provider string `json:"identity_provider"`
		Login    *struct {
			Challenge string `json:"client_code_challenge"`
			Redirect  string `json:"client_redirect_url"`
			State     string `json:"client_state"`
			Company   string `json:"company_id"`
		} `json:"login_state"`
	}
	if err := edge.ReadJSON(c.w, c.r, &body); err != nil {
		return nil, err
	}
	token, proved, _ := strings.Cut(body.TokenID, ".")
	h, ok := f.carrier(c.r, c.project, token)
	proof, ok2 := f.carrier(c.r, c.project, proved)
	if !ok || !ok2 {
		return nil, errLogin
	}
	look, err := f.engine.Look(c.r.Context(), h)
	if err != nil {
		return nil, err
	}
	// The SDK kept login_state in the tab that began the way. Where it is missing, the way began
	// elsewhere: somebody was led here with the account of another.
	if l := body.Login; body.UserID != h.ID.String() || body.Provider != "" && body.Provider != look.Form.Provider ||
		(l == nil || l.State != look.Attempt.ClientState || l.Redirect != look.Attempt.Destination || l.Company != c.project.ID || !sameChallenge(l.Challenge, look.Attempt)) {
		return nil, errLogin
	}
	granted, err := f.engine.Join(c.r.Context(), h, proof)
	if err != nil {
		return nil, err
	}
	return map[string]string{"url": f.resultURL(c.project, granted)}, nil
}

func sameChallenge(text string, a *splitpin.Attempt) bool {
	return text == base64.RawURLEncoding.EncodeToString(a.Challenge[:])
}

// socialAccess is endpoint 33: somebody who is signed in connects an account. The token
// stands in an address, so it is taken once.
func (f *Face) socialAccess(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p := f.socialProject(w, r, q.Get("redirect_url"))
	if p == nil {
		return
	}
	session, user, err := f.engine.AuthenticateOnce(r.Context(), p, splitpin.Secret(q.Get("access_token")))
	if err != nil {
		f.comeBackWith(w, r, p, byPage, q.Get("redirect_url"), "", err)
		return
	}
	req := signin.StartRequest{Purpose: splitpin.Enrol, User: user, Session: session, Provider: r.PathValue("provider"), Destination: q.Get("redirect_url")}
	f.goThere(w, r, p, byPage, req, func() {
		remember(w, tokenCookie, q.Get("access_token"), wayAge)
		f.confirmFirst(w, r, p, req, "")
	})
}

// Who is signed in, and did not prove it for some minutes, does so before an account is
// connected (security 30). The token was taken from the address once; meanwhile it lies in a
// cookie, which no script reads.
const tokenCookie = "__Host-connecting"

// codeTo is the method that sends a code to somebody, if there is one.
func codeTo(u *splitpin.User) string {
	switch u.Kind {
	case splitpin.Email:
		return "email_code"
	case splitpin.Phone:
		return "sms_code"
	}
	return ""
}

// confirmFirst offers to send a code to whoever wants to connect an account. said is what was
// wrong before.
func (f *Face) confirmFirst(w http.ResponseWriter, r *http.Request, p *splitpin.Project, req signin.StartRequest, said string) {
	if !slices.Contains(f.engine.Offered(p), codeTo(req.User)) {
		f.comeBackWith(w, r, p, byPage, req.Destination, "", signin.ErrStale)
		return
	}
	site, _ := splitpin.ParseOrigin(req.Destination)
	f.step(w, r, p, web.Step{Kind: web.StepConfirm, Error: said, Action: "/social/confirm", Hidden: connecting(p, req), Cancel: cancelled(byPage, req.Destination, ""),
		Facts: []web.Fact{{Name: web.FactHere, Value: req.User.Identifier}, {Name: web.FactGoes, Value: site}}})
}

// connecting are the hidden fields of the steps of somebody who connects an account.
func connecting(p *splitpin.Project, req signin.StartRequest) []web.Fact {
	return []web.Fact{{Name: "project", Value: p.ID}, {Name: "provider", Value: req.Provider},
		{Name: "redirect_url", Value: req.Destination}, {Name: "user", Value: req.User.ID.String()}}
}

// connector reads them back, with the person who is signed in by the cookie. Where there is
// none the page that says so was sent.
func (f *Face) connector(w http.ResponseWriter, r *http.Request) (p *splitpin.Project, req signin.StartRequest, ok bool) {
	if p = f.posted(w, r); p == nil {
		return nil, req, false
	}
	req = signin.StartRequest{Project: p, Purpose: splitpin.Enrol, Provider: r.PostForm.Get("provider"), Destination: r.PostForm.Get("redirect_url")}
	c, err := r.Cookie(tokenCookie)
	if err != nil || !p.Lists(req.Destination) {
		f.lost(w, r, p)
		return nil, req, false
	}
	req.Session, req.User, err = f.engine.Authenticate(r.Context(), p, splitpin.Secret(c.Value))
	if err != nil {
		forget(w, tokenCookie)
		f.comeBackWith(w, r, p, byPage, req.Destination, "", err)
		return nil, req, false
	}
	if req.User.ID.String() != r.PostForm.Get("user") { // another tab connects somebody else
		f.lost(w, r, p)
		return nil, req, false
	}
	return p, req, true
}

// confirm sends the code.
func (f *Face) confirm(w http.ResponseWriter, r *http.Request) {
	p, req, ok := f.connector(w, r)
	if !ok {
		return
	}
	hidden := connecting(p, req)
	sent, ok := f.sendsCode(w, r, p, signin.StartRequest{Method: codeTo(req.User), Purpose: splitpin.Confirm, Identifier: req.User.Identifier,
		User: req.User, Session: req.Session}, web.Step{Action: "/social/confirm", Hidden: hidden, Cancel: cancelled(byPage, req.Destination, "")},
		func(said string) { f.confirmFirst(w, r, p, req, said) })
	if ok {
		f.codeStep(w, r, p, signin.Handle{Project: p, ID: sent.Attempt.ID, Secret: sent.Secret}, req.User.Identifier,
			web.Step{Action: "/social/confirmed", Hidden: hidden, Cancel: cancelled(byPage, req.Destination, "")})
	}
}

// confirmed takes it, and goes on to the provider.
func (f *Face) confirmed(w http.ResponseWriter, r *http.Request) {
	p, req, ok := f.connector(w, r)
	if !ok {
		return
	}
	h, ok := f.carrier(r, p, r.PostForm.Get("proof"))
	if !ok {
		f.lost(w, r, p)
		return
	}
	_, err := f.answerCode(r, h)
	if errors.Is(err, signin.ErrWrong) {
		f.codeStep(w, r, p, h, req.User.Identifier, web.Step{Action: "/social/confirmed", Hidden: connecting(p, req), Cancel: cancelled(byPage, req.Destination, ""),
			Error: f.edge.Refusal(r, err).Message})
		return
	}
	if err != nil {
		f.confirmFirst(w, r, p, req, f.edge.Refusal(r, err).Message)
		return
	}
	if p, req, ok = f.connector(w, r); ok { // whose session was confirmed just now
		forget(w, tokenCookie)
		f.goThere(w, r, p, byPage, req, nil)
	}
}

// Endpoints 36 to 38, for backends.

// A providerToken is what is known of one account at a provider (contract 10.4).
type providerToken struct {
	ID        string          `json:"ID"`
	CreatedAt wireTime        `json:"created_at"`
	UpdatedAt wireTime        `json:"updated_at"`
	DeletedAt string          `json:"deleted_at"`
	Company   string          `json:"company_id"`
	User      string          `json:"user_id"`
	Subject   string          `json:"provider_user_id"`
	Username  string          `json:"provider_username"`
	Provider  string          `json:"identity_provider"`
	Tokens    json.RawMessage `json:"tokens"`
}

var errNoAccount = &splitpin.Error{Kind: splitpin.NotFound, Code: "not_found",
	Message: "This user has no account at that provider."}

// connected are the accounts of the user whom a request names, at its provider if it names one.
func (f *Face) connected(c *call) (*splitpin.User, []signin.Connection, error) {
	if !c.trusted {
		return nil, nil, edge.ErrSecret
	}
	u, err := f.people.ByID(c.r.Context(), c.project.Number, c.r.PathValue("user_id"))
	if err != nil {
		return nil, nil, err
	}
	all, err := f.engine.Connected(c.r.Context(), u)
	if err != nil {
		return nil, nil, err
	}
	if provider := c.r.PathValue("provider"); provider != "" {
		all = slices.DeleteFunc(all, func(l signin.Connection) bool { return l.Provider != strings.ToUpper(provider) })
		if len(all) == 0 {
			return nil, nil, errNoAccount
		}
	}
	return u, all, nil
}

func (f *Face) wireConnection(c *call, u *splitpin.User, l signin.Connection) providerToken {
	changed := l.Credential.CreatedAt
	if l.Credential.UsedAt.After(changed) {
		changed = l.Credential.UsedAt
	}
	tokens := l.Tokens
	if len(tokens) == 0 {
		tokens = json.RawMessage("{}")
	}
	return providerToken{ID: credentialID(l.Credential), CreatedAt: wireTime(l.Credential.CreatedAt), UpdatedAt: wireTime(changed),
		DeletedAt: "0001-01-01T00:00:00Z", Company: c.project.ID, User: u.ID.String(), Subject: l.Subject, Username: l.Username,
		Provider: l.Provider, Tokens: tokens}
}

// credentialID is a UUID that a credential keeps, of its key.
func credentialID(c *splitpin.Credential) string {
	k := c.Key
	k[6], k[8] = k[6]&0x0f|0x80, k[8]&0x3f|0x80 // version 8: our own
	return fmt.Sprintf("%x-%x-%x-%x-%x", k[:4], k[4:6], k[6:8], k[8:10], k[10:16])
}

func (f *Face) listTokens(c *call) (any, error) {
	u, all, err := f.connected(c)
	if err != nil {
		return nil, err
	}
	out := make([]providerToken, 0, len(all))
	for _, l := range all {
		out = append(out, f.wireConnection(c, u, l))
	}
	return out, nil
}

func (f *Face) showToken(c *call) (any, error) {
	u, all, err := f.connected(c)
	if err != nil {
		return nil, err
	}
	return f.wireConnection(c, u, all[0]), nil
}

func (f *Face) deleteToken(c *call) (any, error) {
	u, all, err := f.connected(c)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if err := f.engine.Disconnect(c.r.Context(), u, l.Credential.Number, c.by); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}
