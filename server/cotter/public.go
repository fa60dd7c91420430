package cotter

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
)

// keySet is GET /token/jwks: the keys of the default project at the root, of the
// project below its own base.
func (f *Face) keySet(c *call) (any, error) { return f.document(c, f.tokens.KeySet) }

// identityKey is GET /token/ed25519, the key of identity tokens: what takes the
// place of the constant inside cotter-token-js.
func (f *Face) identityKey(c *call) (any, error) { return f.document(c, f.tokens.IdentityKey) }

func (f *Face) document(c *call, of func(*splitpin.Project) ([]byte, string, error)) (any, error) {
	p, err := f.edge.Project(c.r)
	if err != nil {
		return nil, err
	}
	body, etag, err := of(p)
	if err != nil {
		return nil, err
	}
	edge.WriteKeySet(c.w, c.r, body, etag)
	return nil, nil
}

// workerProject returns the project of a request to a worker path: the path's,
// or at the root the one that the header API_KEY_ID names.
func (f *Face) workerProject(r *http.Request) (*splitpin.Project, error) {
	if r.PathValue("project") == "" {
		return f.engine.Project(r.Header.Get("API_KEY_ID"))
	}
	return f.edge.Project(r)
}

// A verification is the answer of POST /verify.
type verification struct {
	Success bool   `json:"success"`
	Reason  string `json:"reason,omitempty"`
}

// verify is POST /verify: a check of an access token for sites without a
// backend. It is 200 whatever it finds. The header API_KEY_ID, where given, says
// whose token it must be; without it, any project's of this server passes at the
// root, as the token itself says whose it is.
//
// Any media type will do: pages send what fetch makes of a string, and the
// answer changes nothing.
func (f *Face) verify(c *call) (any, error) {
	if f.verified(c) {
		return verification{Success: true}, nil
	}
	return verification{Reason: "Error: Invalid JWT token"}, nil
}

func (f *Face) verified(c *call) bool {
	access, err := readAccessToken(c.w, c.r)
	if err != nil {
		return false
	}
	var p *splitpin.Project
	if number, ok := f.tokens.ProjectOf(access); ok && c.r.PathValue("project") == "" && c.r.Header.Get("API_KEY_ID") == "" {
		p, err = f.engine.ProjectByNumber(number)
	} else {
		p, err = f.workerProject(c.r)
	}
	if err != nil {
		return false
	}
	_, err = f.tokens.Verify(p, access)
	return err == nil
}

// readAccessToken reads {"oauth_token": {"access_token": "…"}} or, as some sites
// send it, {"oauth_token": "…"}.
func readAccessToken(w http.ResponseWriter, r *http.Request) (string, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, edge.MaxBody))
	if err != nil {
		return "", err
	}
	return parseAccessToken(raw)
}

func parseAccessToken(raw []byte) (string, error) {
	var body struct {
		OAuthToken json.RawMessage `json:"oauth_token"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return "", err
	}
	return accessTokenIn(body.OAuthToken)
}

// accessTokenIn reads a token set, or the bare access token.
func accessTokenIn(raw json.RawMessage) (string, error) {
	var bare string
	if json.Unmarshal(raw, &bare) == nil {
		return bare, nil
	}
	var set struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return "", err
	}
	if set.AccessToken == "" {
		return "", errors.New("no access token")
	}
	return set.AccessToken, nil
}
