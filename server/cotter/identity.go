package cotter

import (
	"slices"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	browserkey "github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/token"
)

// collect is POST /verify/get_identity: it trades an authorization code for a
// session. oauth_token is always part of the answer, because iOS does not ask for
// it and cannot do without. The method in the query is a hint of the browser's
// and not looked at: the attempt knows how it was proved (contract 13, row 20).
func (f *Face) collect(c *call) (any, error) {
	var body struct {
		CodeVerifier      string      `json:"code_verifier"`
		AuthorizationCode string      `json:"authorization_code"`
		ChallengeID       challengeID `json:"challenge_id"`
		RedirectURL       string      `json:"redirect_url"`
	}
	if err := edge.ReadJSON(c.w, c.r, &body); err != nil {
		return nil, err
	}
	out, err := f.engine.Collect(c.r.Context(), signin.CollectRequest{
		Project: c.project, Code: body.AuthorizationCode, Verifier: body.CodeVerifier,
		ChallengeID: body.ChallengeID.value, Destination: given(body.RedirectURL),
		Origin: c.origin(), Static: c.keepsToken(body.RedirectURL), By: c.by,
	})
	if err != nil {
		return nil, err
	}
	signed, err := f.tokens.Identity(c.project, out.User, out.Session.AuthAt)
	if err != nil {
		return nil, err
	}
	browser, err := f.remembered(c, out)
	if err != nil {
		return nil, err
	}
	c.keepCookie(f.edge.Clock(), out.Session, out.Tokens.RefreshToken)
	proved := out.Session.AuthAt
	is := identifier{
		ID: signed.IdentifierID, CreatedAt: wireTime(out.User.ProvedAt),
		UpdateAt: wireTime(proved), UpdatedAt: wireTime(proved),
		Identifier: out.User.Identifier, IdentifierType: out.User.Kind.String(),
		DeviceType: "BROWSER", DeviceName: out.Session.Device,
		Expiry: wireTime(proved.Add(token.IdentityLife)), Timestamp: wireTime(proved),
	}
	if browser != nil {
		is.PublicKey, is.Expiry = browserkey.Thumbprint(browser), wireTime(browser.ExpiresAt)
	}
	return identity{Identifier: is, Token: signed, OAuthToken: tokensOf(out.Tokens), User: whole(c.project, out.User)}, nil
}

// remembered is the browser that was told to remember a sign-in; nil: none was.
func (f *Face) remembered(c *call, out *signin.Collected) (*splitpin.Credential, error) {
	if !slices.Contains(f.engine.Offered(c.project), browserkey.Name) {
		return nil, nil
	}
	return f.engine.Remembered(c.r.Context(), out.Session)
}

// keepsToken reports whether this is a client that keeps its first refresh token
// for ever: iOS and Android, which come back to a private scheme, do not ask for
// oauth_token and are no browser (security 19). All others rotate.
func (c *call) keepsToken(redirectURL string) bool {
	origin, ok := splitpin.ParseOrigin(redirectURL)
	return ok && !splitpin.IsWeb(origin) && !c.by.Browser && c.r.URL.Query().Get("oauth_token") != "true"
}
