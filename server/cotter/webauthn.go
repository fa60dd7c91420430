package cotter

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/passkey"
)

// The five calls of contract section 8. The SDK makes them from the page of the site, with
// nothing that tells one caller from another: no cookie of ours gets there. So a
// ceremony is found by its challenge, and a new passkey is made only where a frame of
// ours began it (signin.TakeOver).

// passkeyExists is GET /webauthn/exists?identifier=. Where look-ups are off, nobody has a
// passkey, and the SDK goes on with a code.
func (f *Face) passkeyExists(c *call) (any, error) {
	exists := struct {
		Exists bool `json:"exists"`
	}{}
	if !c.trusted {
		if err := f.engine.ChargeLookup(c.r.Context(), c.project, c.by); err != nil {
			return nil, err
		}
		if c.project.Settings.Lookup != splitpin.LookupMinimal {
			return exists, nil
		}
	}
	site, err := f.passkeys().Site(c.project, c.origin())
	if err != nil {
		return exists, nil // none can be good there
	}
	u, err := f.people.ByIdentifier(c.r.Context(), c.project.Number, c.r.URL.Query().Get("identifier"))
	if errors.Is(err, splitpin.ErrNotFound) {
		return exists, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := f.engine.Credentials(c.r.Context(), u)
	if err != nil {
		return nil, err
	}
	exists.Exists = slices.ContainsFunc(list, func(has *splitpin.Credential) bool {
		return has.Kind == splitpin.PasskeyCredential && has.Site == site
	})
	return exists, nil
}

func (f *Face) passkeys() passkey.Method {
	return passkey.Method{PublicURL: f.edge.PublicURL.String()}
}

// A publicKey is what begins a ceremony.
type publicKey struct {
	PublicKey map[string]any `json:"publicKey"`
}

// ask makes the options as the SDK knows them. It asks only where the device itself
// has an authenticator, so that is what a new passkey is asked of.
func ask(s *signin.Started, own map[string]any) (publicKey, error) {
	var o map[string]any
	if err := json.Unmarshal([]byte(s.Form.Passkey), &o); err != nil {
		return publicKey{}, err
	}
	o["challenge"], o["timeout"] = signin.Challenge(s.Attempt.ID, s.Secret), 60000
	for name, value := range own {
		o[name] = value
	}
	return publicKey{o}, nil
}

// bodyOrigin is the one member of the body that begins a ceremony.
func bodyOrigin(c *call) (string, error) {
	var body struct {
		Origin string `json:"origin"`
	}
	if err := edge.ReadJSON(c.w, c.r, &body); err != nil {
		return "", err
	}
	if body.Origin == "" {
		return "", signin.ErrOrigin // or it would be for a page of ours
	}
	return body.Origin, nil
}

// beginRegistration is POST /webauthn/register/begin?identifier=.
func (f *Face) beginRegistration(c *call) (any, error) {
	origin, err := bodyOrigin(c)
	if err != nil {
		return nil, err
	}
	s, err := f.engine.TakeOver(c.r.Context(), signin.TakeOverRequest{Project: c.project, Method: passkey.Name,
		Identifier: c.r.URL.Query().Get("identifier"), Origin: origin, By: c.by})
	if err != nil {
		return nil, err
	}
	return ask(s, map[string]any{
		"authenticatorSelection": map[string]any{"authenticatorAttachment": "platform", "userVerification": "required", "residentKey": "preferred"},
		"extensions":             map[string]any{},
	})
}

// beginLogin is POST /webauthn/login/begin?identifier=.
func (f *Face) beginLogin(c *call) (any, error) {
	origin, err := bodyOrigin(c)
	if err != nil {
		return nil, err
	}
	identifier := c.r.URL.Query().Get("identifier")
	if identifier == "" {
		return nil, errNobody
	}
	s, err := f.engine.Start(c.r.Context(), signin.StartRequest{Project: c.project, Method: passkey.Name,
		Identifier: identifier, Origin: origin, SameCall: true, By: c.by})
	if err != nil {
		return nil, err
	}
	return ask(s, nil)
}

// finishRegistration is POST /webauthn/register/finish. Its answer has all that an
// answer to a sign-in has, because the SDK puts it in the place of that.
func (f *Face) finishRegistration(c *call) (any, error) { return f.finish(c, splitpin.Enrol) }

// finishLogin is POST /webauthn/login/finish.
func (f *Face) finishLogin(c *call) (any, error) { return f.finish(c, splitpin.SignIn) }

func (f *Face) finish(c *call, purpose splitpin.Purpose) (any, error) {
	var body json.RawMessage
	if err := edge.ReadJSON(c.w, c.r, &body); err != nil {
		return nil, err
	}
	var claims struct {
		Origin string `json:"origin"`
	}
	if json.Unmarshal(body, &claims) != nil {
		return nil, edge.ErrBody
	}
	challenge, origin, ok := passkey.About(body)
	if !ok || claims.Origin != origin { // security 27
		return nil, signin.ErrFailed
	}
	id, secret, ok := signin.ParseChallenge(challenge)
	if !ok {
		return nil, signin.ErrUnknown
	}
	h := signin.Handle{Project: c.project, ID: id, Secret: secret, By: c.by}
	started, err := f.engine.Look(c.r.Context(), h)
	if err != nil {
		return nil, err
	}
	if started.Attempt.Purpose != purpose {
		return nil, signin.ErrUnknown
	}
	out, err := f.engine.Finish(c.r.Context(), h, body, signin.CollectRequest{Origin: c.origin()})
	if err != nil {
		return nil, err
	}
	signed, err := f.tokens.Identity(c.project, out.User, out.Session.AuthAt)
	if err != nil {
		return nil, err
	}
	return passkeyLogin{Identifier: out.User.Identifier, Token: signed, OAuthToken: tokensOf(out.Tokens), User: whole(c.project, out.User)}, nil
}
