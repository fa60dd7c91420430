package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// cotter-node, cotter-token-js and python-jose, unmodified.

// ask runs one of the scripts beside this file in a fresh process (cotter-node
// keeps the keys for the life of one).
func ask[T any](t *testing.T, program, script string, question any) T {
	t.Helper()
	input, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadlines.start)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, script)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	return decode[T](t, out)
}

type tokens map[string]string

// nodeSays returns what cotter-node says about tokens, with its BaseURL at base.
func nodeSays(t *testing.T, base string, list tokens) map[string]any {
	t.Helper()
	return ask[map[string]any](t, node, "verify.js", map[string]any{"base": base, "tokens": list})
}

func pythonSays(t *testing.T, base, audience string, list tokens) map[string]any {
	t.Helper()
	return ask[map[string]any](t, python, "verify.py", map[string]any{"base": base, "audience": audience, "tokens": list})
}

func TestPublishedVerifiers(t *testing.T) {
	clock := newClock(t)
	clock.set(t, -2*time.Hour) // so that a token under the real key can have expired by now
	d := startDevWith(t, clock.binary, clock.env())
	p := d.createProject(t, "Shop", "http://127.0.0.1:1")
	old := p.signIn(t, "ada@example.org")
	clock.set(t, 0)
	fresh := p.signIn(t, "ada@example.org")

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	header := strings.Split(fresh.AccessToken, ".")[0]
	changed := claims(t, fresh.AccessToken)
	changed["sub"] = newUUID()
	payload, _ := json.Marshal(changed)
	parts := strings.Split(fresh.AccessToken, ".")
	list := tokens{
		"valid":         fresh.AccessToken,
		"expired":       old.AccessToken,
		"tampered":      tamper(fresh.AccessToken),
		"other claims":  parts[0] + "." + b64(payload) + "." + parts[2],
		"foreign key":   sign(t, key, header, claims(t, fresh.AccessToken)),
		"unsigned":      unsigned(fresh.AccessToken),
		"refresh token": fresh.RefreshToken,
	}
	for name, said := range nodeSays(t, p.cotter(), list) {
		if want := name == "valid"; said != want {
			t.Errorf("CotterValidateJWT of a token that is %s: got %v, want %v", name, said, want)
		}
	}
	for name, said := range pythonSays(t, p.cotter(), p.id, list) {
		if name == "valid" {
			if read, ok := said.(map[string]any); !ok || read["sub"] != claims(t, fresh.AccessToken)["sub"] {
				t.Errorf("python-jose: got %v, want the claims", said)
			}
			continue
		}
		want := []string{"JWTError"}
		if name == "expired" {
			want = []string{"ExpiredSignatureError"}
		}
		if !slices.Contains(want, str(said)) {
			t.Errorf("python-jose on a token that is %s: got %v, want %v", name, said, want)
		}
	}
	if said := pythonSays(t, p.cotter(), newUUID(), tokens{"valid": fresh.AccessToken})["valid"]; said != "JWTClaimsError" {
		t.Errorf("python-jose with another audience: got %v, want JWTClaimsError", said)
	}

	// The serverless check of contract 11.6.
	for name, token := range list {
		answer, body := call(t, "POST", p.url+"/verify", http.Header{"API_KEY_ID": {p.id}}, map[string]any{"oauth_token": map[string]any{"access_token": token}})
		said := decode[map[string]any](t, body)
		if answer.StatusCode != http.StatusOK || said["success"] != (name == "valid") {
			t.Errorf("WORKER/verify of a token that is %s: got %s %s", name, answer.Status, body)
		}
	}
}

// cotter-token-js reads every field of both tokens.
func TestPublishedDecoders(t *testing.T) {
	d := startDev(t)
	p := d.createProject(t, "Shop", "http://127.0.0.1:1")
	verifier, challenge := pkce()
	granted := p.prove(t, "ada@example.org", challenge)
	answer, body := call(t, "POST", p.cotter()+"/verify/get_identity?oauth_token=true", http.Header{"API_KEY_ID": {p.id}}, map[string]any{
		"code_verifier": verifier, "authorization_code": granted.AuthorizationCode, "challenge_id": granted.ChallengeID,
		"redirect_url": p.origin + "/callback",
	})
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("get_identity: %s %s", answer.Status, body)
	}
	got := decode[map[string]any](t, body)
	checkIdentifier(t, object(t, got, "identifier"), "ada@example.org")
	set, user := object(t, got, "oauth_token"), object(t, got, "user")
	read := ask[map[string]any](t, node, "verify.js", map[string]any{"access": set["access_token"], "id": set["id_token"], "identity": got["token"]})

	access, id := object(t, read, "accessGetters"), object(t, read, "idGetters")
	for name, want := range map[string]any{
		"audience": p.id, "authMethod": "OTP", "scope": "access", "id": user["ID"], "identifier": "ada@example.org", "clientUserID": user["client_user_id"],
	} {
		if access[name] != want {
			t.Errorf("CotterAccessToken, %s: got %v, want %v", name, access[name], want)
		}
	}
	if iat, exp := access["issuedAt"].(float64), access["expiration"].(float64); exp-iat != 3600 {
		t.Errorf("CotterAccessToken lives %v s, want 3600", exp-iat)
	}
	for name, want := range map[string]any{"identifier": "ada@example.org", "id": user["ID"], "clientUserID": user["client_user_id"]} {
		if id[name] != want {
			t.Errorf("CotterIDToken, %s: got %v, want %v", name, id[name], want)
		}
	}
	if authTime, ok := id["authTime"].(string); !ok || len(authTime) != 10 {
		t.Errorf("CotterIDToken, authTime: got %#v, want unix seconds as a string", id["authTime"])
	}
	for name, payload := range map[string]map[string]any{"access": object(t, read, "access"), "id": object(t, read, "id")} {
		for _, claim := range []string{"aud", "exp", "iat", "iss", "sub", "jti", "client_user_id", "identifier", "type"} {
			if payload[claim] == nil || payload[claim] == "" {
				t.Errorf("the %s token has no %s", name, claim)
			}
		}
	}
	// The key that cotter-token-js holds is the dead vendor's: nothing that we sign
	// verifies there, and nothing makes it throw (contract 4.5).
	if read["identityValid"] != false {
		t.Errorf("CotterIdentity.validate(): got %v, want false", read["identityValid"])
	}
}

// checkIdentifier looks for what iOS decodes as mandatory (contract 6.1).
func checkIdentifier(t *testing.T, o map[string]any, address string) {
	t.Helper()
	text(t, o, "identifier", map[string]string{
		"ID": `.`, "created_at": when, "updated_at": when, "update_at": when, "identifier": exactly(address), "identifier_type": "^EMAIL$",
		"public_key": ``, "device_type": "^BROWSER$", "device_name": ``, "expiry": when,
	})
}

// Which verifier takes which token: the table of docs/cotter.md. cotter-node
// checks signature, ES256 and exp, so everything rests on the keys it is shown,
// and those are the project's own under the project's base path.
func TestPublishedVerifiersAcrossProjects(t *testing.T) {
	d := startDev(t)
	a := d.createProject(t, "A", "http://127.0.0.1:1")
	b := d.createProject(t, "B", "http://127.0.0.1:1")
	dflt := d.defaultProject(t)
	ofA, ofB := a.signIn(t, "ada@example.org"), b.signIn(t, "ada@example.org")
	ofDefault := dflt.signIn(t, "ada@example.org")
	list := tokens{
		"access token of A": ofA.AccessToken, "id token of A": ofA.IDToken,
		"access token of B": ofB.AccessToken, "id token of B": ofB.IDToken,
		"access token of the default project": ofDefault.AccessToken, "id token of the default project": ofDefault.IDToken,
	}

	// What python-jose says is said with the audience of A, as A's backend calls it.
	const passes, foreign, audience = true, "JWTError", "JWTClaimsError"
	rows := []struct {
		token, base string
		node        bool
		python      any // passes, or the exception
		why         string
	}{
		{"access token of A", "A", true, passes, "its own key"},
		{"access token of B", "A", false, foreign, "A's key set holds A's keys only"},
		{"access token of the default project", "A", false, foreign, "A's key set holds A's keys only"},
		{"id token of A", "A", true, passes, "same key; neither looks at type or scope: the backend must"},
		{"id token of B", "A", false, foreign, "A's key set holds A's keys only"},
		{"access token of A", "B", false, foreign, "the verifier was pointed at B: A's own users cannot log in"},
		{"access token of B", "B", true, audience, "the verifier was pointed at B, and cotter-node looks at no audience: the base path decides"},
		{"id token of B", "B", true, audience, "likewise"},
		{"access token of A", "the root", false, foreign, "the root serves the default project's keys only"},
		{"access token of B", "the root", false, foreign, "the root serves the default project's keys only"},
		{"access token of the default project", "the root", true, audience, "its own key; cotter-node looks at no audience"},
		{"id token of the default project", "the root", true, audience, "likewise"},
	}
	bases := map[string]string{"A": a.cotter(), "B": b.cotter(), "the root": d.url + "/api/v0"}
	said := map[string][2]map[string]any{}
	for name, base := range bases {
		said[name] = [2]map[string]any{nodeSays(t, base, list), pythonSays(t, base, a.id, list)}
	}
	var table strings.Builder
	table.WriteString("| token | verifier of A pointed at | cotter-node | python-jose, audience A | why |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		byNode, byPython := said[r.base][0][r.token], said[r.base][1][r.token]
		if _, ok := byPython.(map[string]any); ok {
			byPython = passes
		}
		if byNode != r.node || byPython != r.python {
			t.Errorf("%s at %s: cotter-node says %v and python-jose %v, want %v and %v", r.token, r.base, byNode, byPython, r.node, r.python)
		}
		table.WriteString("| " + strings.Join([]string{r.token, r.base, verdict(byNode), verdict(byPython), r.why}, " | ") + " |\n")
	}
	t.Logf("which verifier takes which token:\n%s", table.String())
}

func verdict(v any) string {
	switch v {
	case true:
		return "passes"
	case false:
		return "refused"
	}
	return "refused (" + str(v) + ")"
}

func str(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, _ := json.Marshal(v)
	return string(text)
}
