package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store/enginetest"
)

// A desk is a service with its store and two projects, and a clock to move.
type desk struct {
	*Service
	db     splitpin.Store
	master keyring.Master
	mu     sync.Mutex
	at     time.Time

	project, other *splitpin.Project
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *desk) wait(by time.Duration) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(by)
	return d.at
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	db := enginetest.Open(t)
	d := &desk{db: db, master: keyring.NewMaster(), at: start}
	d.Service = d.node(t)
	d.project = d.newProject(t, "00000000-0000-4000-8000-0000000000aa", true)
	d.other = d.newProject(t, "00000000-0000-4000-8000-0000000000bb", false)
	return d
}

// node is one more node on the same store and clock.
func (d *desk) node(t testing.TB) *Service {
	t.Helper()
	ring, err := keyring.Open(context.Background(), d.db, d.at, d.master)
	if err != nil {
		t.Fatal(err)
	}
	s := New(d.db, ring, "https://login.example.org/", d.now)
	if err := s.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (d *desk) number(t testing.TB) int64 {
	t.Helper()
	n, err := d.db.NextNumber(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (d *desk) newProject(t testing.TB, id string, standard bool) *splitpin.Project {
	t.Helper()
	p := &splitpin.Project{Number: d.number(t), ID: id, Default: standard, CreatedAt: d.at, UpdatedAt: d.at}
	keys, err := d.NewKeys(context.Background(), p, d.at)
	if err != nil {
		t.Fatal(err)
	}
	err = d.db.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{p, keys[0], keys[1]}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	return p
}

// aSalt stands for the random one that the engine draws for each session.
var aSalt = [16]byte{0x5a, 15: 0x17}

func ada(p *splitpin.Project) *splitpin.User {
	return &splitpin.User{
		Number: 1 << 20, ID: splitpin.UUID{0x5b, 0x1f, 0x3a, 0x52, 6: 0x40, 8: 0x80, 15: 1}, Project: p.Number,
		Identifier: "ada@example.org", Kind: splitpin.Email, ProvedAt: start.Add(-time.Hour),
	}
}

func (d *desk) mint(t testing.TB, p *splitpin.Project, u *splitpin.User) (Set, *splitpin.Session) {
	t.Helper()
	session := d.NewSession(p, u, 27805, aSalt, "OTP", false, d.now())
	set, err := d.Mint(p, u, session)
	if err != nil {
		t.Fatal(err)
	}
	return set, session
}

// open returns the header and payload of a token, whatever its signature.
func open(t testing.TB, text splitpin.Secret) (header, payload string) {
	t.Helper()
	parts := strings.Split(text.Reveal(), ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	h, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	p, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(h), string(p)
}

// jtiOf cuts the one part out of a payload that is random.
func jtiOf(t testing.TB, payload string) (jti, rest string) {
	t.Helper()
	before, after, ok := strings.Cut(payload, `"jti":"`)
	if !ok || len(after) < 38 {
		t.Fatalf("no jti in %s", payload)
	}
	return after[:36], before + `"jti":"JTI` + after[36:]
}

func TestTokensToTheLetter(t *testing.T) {
	d := newDesk(t)
	d.other.Settings.Issuer = "https://www.cotter.app"
	old := ada(d.other)
	old.ClientUserID, old.Identifier, old.Kind, old.ProvedAt = "kunde>7?~é", "+4915112345678", splitpin.Phone, start
	named := ada(d.project)
	named.Identifier, named.Kind, named.ProvedAt = "ada-läuft", splitpin.OtherName, time.Time{}

	tests := []struct {
		name       string
		project    *splitpin.Project
		user       *splitpin.User
		access, id string
	}{
		{"an address", d.project, ada(d.project),
			`{"sub":"5b1f3a52-0000-4000-8000-000000000001","client_user_id":"5b1f3a52-0000-4000-8000-000000000001","authentication_method":"OTP","identifier":"ada@example.org","type":"client_access_token","scope":"access","aud":"00000000-0000-4000-8000-0000000000aa","iss":"https://login.example.org","iat":1772366400,"exp":1772370000,"jti":"JTI"}`,
			`{"sub":"5b1f3a52-0000-4000-8000-000000000001","client_user_id":"5b1f3a52-0000-4000-8000-000000000001","identifier":"ada@example.org","auth_time":"1772366400","type":"client_id_token","aud":"00000000-0000-4000-8000-0000000000aa","iss":"https://login.example.org","iat":1772366400,"exp":1772370000,"jti":"JTI"}`},
		{"a user who was imported, another issuer", d.other, old,
			`{"sub":"5b1f3a52-0000-4000-8000-000000000001","client_user_id":"kunde\u003e7\u003f\u007e\u00e9","authentication_method":"OTP","identifier":"+4915112345678","type":"client_access_token","scope":"access","aud":"00000000-0000-4000-8000-0000000000bb","iss":"https://www.cotter.app","iat":1772366400,"exp":1772370000,"jti":"JTI"}`,
			`{"sub":"5b1f3a52-0000-4000-8000-000000000001","client_user_id":"kunde\u003e7\u003f\u007e\u00e9","identifier":"+4915112345678","auth_time":"1772366400","type":"client_id_token","aud":"00000000-0000-4000-8000-0000000000bb","iss":"https://www.cotter.app","iat":1772366400,"exp":1772370000,"jti":"JTI"}`},
		{"a name that is no address needs no proof", d.project, named,
			`{"sub":"5b1f3a52-0000-4000-8000-000000000001","client_user_id":"5b1f3a52-0000-4000-8000-000000000001","authentication_method":"OTP","identifier":"ada-l\u00e4uft","type":"client_access_token","scope":"access","aud":"00000000-0000-4000-8000-0000000000aa","iss":"https://login.example.org","iat":1772366400,"exp":1772370000,"jti":"JTI"}`,
			`{"sub":"5b1f3a52-0000-4000-8000-000000000001","client_user_id":"5b1f3a52-0000-4000-8000-000000000001","identifier":"ada-l\u00e4uft","auth_time":"1772366400","type":"client_id_token","aud":"00000000-0000-4000-8000-0000000000aa","iss":"https://login.example.org","iat":1772366400,"exp":1772370000,"jti":"JTI"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, session := d.mint(t, test.project, test.user)
			kid := d.snapshot.Load().projects[test.project.Number].active.record.KID
			ids := map[string]bool{}
			for _, one := range []struct {
				token splitpin.Secret
				want  string
			}{{set.AccessToken, test.access}, {set.IDToken, test.id}} {
				header, payload := open(t, one.token)
				if want := `{"alg":"ES256","kid":"` + kid + `","typ":"JWT"}`; header != want {
					t.Errorf("header\n got %s\nwant %s", header, want)
				}
				jti, got := jtiOf(t, payload)
				if got != one.want {
					t.Errorf("payload\n got %s\nwant %s", got, one.want)
				}
				if u, err := splitpin.ParseUUID(jti); err != nil || splitpin.UUIDFrom(u) != u {
					t.Errorf("jti %s is no version 4 UUID: %v", jti, err)
				}
				ids[jti] = true
				if first, _, _ := strings.Cut(one.token.Reveal(), "."); strings.ContainsAny(strings.Split(one.token.Reveal(), ".")[1], "-_") {
					t.Errorf("the payload after %s has - or _, which iOS drops", first)
				}
			}
			if len(ids) != 2 {
				t.Error("both tokens have one jti")
			}
			if set.ExpiresIn != 3600 || set.AuthMethod != "OTP" || !strings.HasPrefix(set.RefreshToken.Reveal(), "27805:") {
				t.Errorf("expires in %d, method %s", set.ExpiresIn, set.AuthMethod)
			}
			claims, err := d.Verify(test.project, set.AccessToken.Reveal())
			if err != nil {
				t.Fatalf("our own token: %v", splitpin.ErrorOf(err).Unwrap())
			}
			want := Claims{Subject: test.user.ID, ClientUserID: test.user.LegacyID(), Identifier: test.user.Identifier, Method: "OTP",
				Audience: test.project.ID, Issuer: d.Issuer(test.project), IssuedAt: start, ExpiresAt: start.Add(time.Hour),
				ID: claims.ID, Session: session.Number, KID: kid}
			if *claims != want {
				t.Errorf("claims\n got %+v\nwant %+v", *claims, want)
			}
		})
	}
}

func TestIssuer(t *testing.T) {
	d := newDesk(t)
	if got := d.Issuer(d.project); got != "https://login.example.org" {
		t.Errorf("the default project: %s", got)
	}
	if got := d.Issuer(d.other); got != "https://login.example.org/p/"+d.other.ID {
		t.Errorf("another project: %s", got)
	}
}

func TestLifetime(t *testing.T) {
	tests := []struct {
		set, want time.Duration
	}{
		{0, time.Hour}, {-time.Hour, time.Hour}, {5 * time.Minute, 5 * time.Minute}, {1500 * time.Millisecond, time.Second},
		{time.Millisecond, time.Second}, {1000 * time.Hour, MaxLifetime},
	}
	for _, test := range tests {
		p := &splitpin.Project{Settings: splitpin.Settings{AccessLifetime: test.set}}
		if got := settingOf(p); got != test.want {
			t.Errorf("%s: got %s, want %s", test.set, got, test.want)
		}
	}
}

// TestNoTokenNamesAnUnprovedAddress is security 1.
func TestNoTokenNamesAnUnprovedAddress(t *testing.T) {
	d := newDesk(t)
	tests := []struct {
		name       string
		identifier string
		kind       splitpin.IdentifierKind
		proved     bool
		refused    bool
	}{
		{"email, proved", "ada@example.org", splitpin.Email, true, false},
		{"email", "ada@example.org", splitpin.Email, false, true},
		{"phone", "+4915112345678", splitpin.Phone, false, true},
		{"phone, proved", "+4915112345678", splitpin.Phone, true, false},
		{"other", "ada", splitpin.OtherName, false, false},
		{"other that looks like an email address", "ada@example.org", splitpin.OtherName, false, true},
		{"other that looks like a number", "+4915112345678", splitpin.OtherName, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := ada(d.project)
			u.Identifier, u.Kind = test.identifier, test.kind
			if !test.proved {
				u.ProvedAt = time.Time{}
			}
			set, err := d.Mint(d.project, u, d.NewSession(d.project, u, 1, aSalt, "OTP", false, start))
			if refused := errors.Is(err, ErrUnproved); refused != test.refused || refused && set != (Set{}) {
				t.Errorf("Mint: got %v, refused should be %t", err, test.refused)
			}
			identity, err := d.Identity(d.project, u, start)
			if refused := errors.Is(err, ErrUnproved); refused != test.refused || refused && identity != (IdentityToken{}) {
				t.Errorf("Identity: got %v, refused should be %t", err, test.refused)
			}
		})
	}
}

func TestMintRefusesWhatDoesNotBelongTogether(t *testing.T) {
	d := newDesk(t)
	mine, theirs := ada(d.project), ada(d.other)
	second := ada(d.project)
	second.Number++
	if _, err := d.Mint(d.project, theirs, d.NewSession(d.project, mine, 1, aSalt, "OTP", false, start)); err == nil {
		t.Error("a user of another project")
	}
	if _, err := d.Mint(d.project, mine, d.NewSession(d.other, theirs, 1, aSalt, "OTP", false, start)); err == nil {
		t.Error("a session of another project")
	}
	if _, err := d.Mint(d.project, second, d.NewSession(d.project, mine, 1, aSalt, "OTP", false, start)); err == nil {
		t.Error("a session of another user")
	}
}

// TestKeySet: what go-jose reads in the set verifies our tokens, by the kid of
// the header, by the first key and by the constant kid.
func TestKeySet(t *testing.T) {
	d := newDesk(t)
	body, etag, err := d.KeySet(d.project)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || set.Keys[1].KeyID != CompatKID {
		t.Fatalf("keys: %s", body)
	}
	sum, err := set.Keys[0].Thumbprint(5) // crypto.SHA256
	if err != nil || base64url(sum) != set.Keys[0].KeyID {
		t.Errorf("kid %s is not the thumbprint %s, %v", set.Keys[0].KeyID, base64url(sum), err)
	}
	var raw struct{ Keys []map[string]string }
	if err := json.Unmarshal(body, &raw); err != nil {
		t.Fatal(err)
	}
	for _, k := range raw.Keys {
		if k["kty"] != "EC" || k["crv"] != "P-256" || k["use"] != "sig" || k["alg"] != "ES256" || len(k["x"]) != 43 || len(k["y"]) != 43 || len(k) != 7 {
			t.Errorf("key %v", k)
		}
	}
	minted, _ := d.mint(t, d.project, ada(d.project))
	for _, token := range []splitpin.Secret{minted.AccessToken, minted.IDToken} {
		signed, err := jose.ParseSignedCompact(token.Reveal(), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		for name, key := range map[string]any{"kid": &set, "first": set.Keys[0].Key, "constant": set.Key(CompatKID)[0].Key} {
			if _, err := signed.Verify(key); err != nil {
				t.Errorf("by %s: %v", name, err)
			}
		}
	}
	if again, same, _ := d.KeySet(d.project); string(again) != string(body) || same != etag {
		t.Error("the key set changed by itself")
	}
	if theirs, other, _ := d.KeySet(d.other); string(theirs) == string(body) || other == etag {
		t.Error("two projects share a key set")
	}
	if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) {
		t.Errorf("ETag %s", etag)
	}
}

// forge signs payload with any key of go-jose's.
func forge(t testing.TB, algorithm jose.SignatureAlgorithm, key any, kid string, payload string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestVerifyRefuses(t *testing.T) {
	d := newDesk(t)
	set, _ := d.mint(t, d.project, ada(d.project))
	good := set.AccessToken.Reveal()
	header, payload := open(t, set.AccessToken)
	parts := strings.Split(good, ".")
	active := d.snapshot.Load().projects[d.project.Number].active
	kid := active.record.KID
	text := func(s string) string { return base64url([]byte(s)) }
	foreign, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	theirs, _ := d.mint(t, d.other, ada(d.other))
	public := active.record.Public

	// ours signs any payload as this server would.
	ours := func(payload string) string {
		signed, err := active.sign(func([]byte) []byte { return []byte(payload) })
		if err != nil {
			t.Fatal(err)
		}
		return signed.Reveal()
	}
	with := func(old, new string) string {
		changed := strings.Replace(payload, old, new, 1)
		if changed == payload {
			t.Fatalf("%s is not in %s", old, payload)
		}
		return ours(changed)
	}
	if _, err := d.Verify(d.project, ours(payload)); err != nil {
		t.Fatalf("the test's own signature: %v", splitpin.ErrorOf(err).Unwrap())
	}

	tests := []struct{ name, token string }{
		{"empty", ""},
		{"dots", ".."},
		{"two parts", parts[0] + "." + parts[1]},
		{"four parts", good + ".x"},
		{"too long", good + strings.Repeat("A", maxToken)},
		{"space", " " + good},
		{"line end in the payload", parts[0] + "." + parts[1][:8] + "\n" + parts[1][8:] + "." + parts[2]},
		{"line end in the signature", parts[0] + "." + parts[1] + "." + parts[2][:8] + "\n" + parts[2][8:]},
		{"padding", good + "="},
		{"no signature", parts[0] + "." + parts[1] + "."},
		{"a signature of zeros", parts[0] + "." + parts[1] + "." + base64url(make([]byte, 64))},
		{"another payload", parts[0] + "." + text(strings.Replace(payload, "ada@", "eve@", 1)) + "." + parts[2]},
		{"the id token", set.IDToken.Reveal()},
		{"the refresh token", set.RefreshToken.Reveal()},
		{"another project's", theirs.AccessToken.Reveal()},
		{"alg none", text(`{"alg":"none","kid":"`+kid+`","typ":"JWT"}`) + "." + parts[1] + "."},
		{"alg none, our header", parts[0] + "." + parts[1] + "."},
		{"HS256 with the public key", forge(t, jose.HS256, public, kid, payload)},
		{"ES384", forge(t, jose.ES384, p384, kid, payload)},
		{"a foreign key under our kid", forge(t, jose.ES256, foreign, kid, payload)},
		{"a foreign key inside the header", func() string {
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: foreign}, &jose.SignerOptions{EmbedJWK: true})
			if err != nil {
				t.Fatal(err)
			}
			signed, err := signer.Sign([]byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			s, _ := signed.CompactSerialize()
			return s
		}()},
		{"our key under the constant kid", forge(t, jose.ES256, active.private, CompatKID, payload)},
		{"a space at the end", forge(t, jose.ES256, active.private, kid, payload) + " "},
		{"our key, header written otherwise", func() string {
			signed, err := (&tokenKey{private: active.private, header: text(header + " ")}).sign(func([]byte) []byte { return []byte(payload) })
			if err != nil {
				t.Fatal(err)
			}
			return signed.Reveal()
		}()},
		{"type", with("client_access_token", "access_token")},
		{"scope", with(`"scope":"access"`, `"scope":"all"`)},
		{"audience", with(d.project.ID, d.other.ID)},
		{"audience as a list", with(`"`+d.project.ID+`"`, `["`+d.project.ID+`"]`)},
		{"issuer", with("https://login.example.org", "https://www.cotter.app")},
		{"expired", with("1772370000", "1772366400")},
		{"from the future", with(`"iat":1772366400`, `"iat":1772366411`)},
		{"exp as text", with(`1772370000`, `"1772370000"`)},
		{"exp with an exponent", with(`1772370000`, `1.77237e9`)},
		{"exp absent", with(`,"exp":1772370000`, ``)},
		{"exp null", with(`1772370000`, `null`)},
		{"sub absent", with(`"sub":"5b1f3a52-0000-4000-8000-000000000001",`, ``)},
		{"sub of zeros", with(`5b1f3a52-0000-4000-8000-000000000001`, `00000000-0000-0000-0000-000000000000`)},
		{"sub twice", with(`"scope"`, `"sub":"5b1f3a52-0000-4000-8000-000000000002","scope"`)},
		{"sub in capitals instead", with(`"sub"`, `"SUB"`)},
		{"an unknown claim twice", with(`"scope"`, `"role":1,"role":2,"scope"`)},
		{"something after it", ours(payload + "{}")},
		{"a list", ours("[" + payload + "]")},
		{"no JSON", ours("hello")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			claims, err := d.Verify(d.project, test.token)
			if !errors.Is(err, ErrInvalid) || claims != nil {
				t.Fatalf("got %+v, %v", claims, err)
			}
			if reason := splitpin.ErrorOf(err).Unwrap(); reason == nil || strings.Contains(reason.Error(), "ada") {
				t.Errorf("the reason for the operator: %v", reason)
			}
		})
	}
	if _, err := d.Verify(d.other, good); !errors.Is(err, ErrInvalid) {
		t.Errorf("at another project: %v", err)
	}
	if _, err := d.Verify(d.project, with(`"scope"`, `"role":{"a":[1]},"scope"`)); err != nil {
		t.Errorf("a claim that is not ours: %v", splitpin.ErrorOf(err).Unwrap())
	}
}

// TestEveryBitCounts flips each bit of a token in turn, through every character.
func TestEveryBitCounts(t *testing.T) {
	d := newDesk(t)
	set, _ := d.mint(t, d.project, ada(d.project))
	good := []byte(set.AccessToken.Reveal())
	for i := range good {
		for bit := range 8 {
			changed := slices.Clone(good)
			changed[i] ^= 1 << bit
			if _, err := d.Verify(d.project, string(changed)); err == nil {
				t.Fatalf("bit %d of character %d does not count", bit, i)
			}
		}
	}
}

// TestOtherSignatureOfTheSameToken: (r, n-s) verifies as well as (r, s), here and
// everywhere, so the text of a token is no name for it; the jti is.
func TestOtherSignatureOfTheSameToken(t *testing.T) {
	d := newDesk(t)
	set, _ := d.mint(t, d.project, ada(d.project))
	parts := strings.Split(set.AccessToken.Reveal(), ".")
	raw, _ := base64.RawURLEncoding.DecodeString(parts[2])
	s := new(big.Int).SetBytes(raw[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(raw[32:])
	other := parts[0] + "." + parts[1] + "." + base64url(raw)
	one, err := d.Verify(d.project, set.AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	two, err := d.Verify(d.project, other)
	if err != nil || other == set.AccessToken.Reveal() || one.ID != two.ID || one.Session != two.Session {
		t.Errorf("got %+v and %+v, %v", one, two, err)
	}
}

func TestVerifyEndsWithTheToken(t *testing.T) {
	d := newDesk(t)
	set, _ := d.mint(t, d.project, ada(d.project))
	for range 2 { // the second time as one that was seen before
		if _, err := d.Verify(d.project, set.AccessToken.Reveal()); err != nil {
			t.Fatal(err)
		}
	}
	d.wait(time.Hour - time.Second)
	if _, err := d.Verify(d.project, set.AccessToken.Reveal()); err != nil {
		t.Errorf("in its last second: %v", err)
	}
	d.wait(time.Second)
	if _, err := d.Verify(d.project, set.AccessToken.Reveal()); !errors.Is(err, ErrInvalid) {
		t.Errorf("after it expired: %v", err)
	}
}

func TestVerifySeenBefore(t *testing.T) {
	d := newDesk(t)
	set, _ := d.mint(t, d.project, ada(d.project))
	text := set.AccessToken.Reveal()
	first, err := d.Verify(d.project, text)
	if err != nil {
		t.Fatal(err)
	}
	first.Session, first.Identifier = 1, "eve@example.org" // the caller's own copy
	second, err := d.Verify(d.project, text)
	if err != nil || second.Session != 27805 || second.Identifier != "ada@example.org" {
		t.Errorf("got %+v, %v", second, err)
	}
	second.Session = 1 // a copy as well
	if third, err := d.Verify(d.project, text); err != nil || third.Session != 27805 {
		t.Errorf("got %+v, %v", third, err)
	}
	if _, err := d.Verify(d.other, text); !errors.Is(err, ErrInvalid) {
		t.Errorf("at another project: %v", err)
	}
	moved := *d.project
	moved.Settings.Issuer = "https://elsewhere.example"
	if _, err := d.Verify(&moved, text); !errors.Is(err, ErrInvalid) {
		t.Errorf("after the issuer changed: %v", err)
	}
	if _, err := d.Rotate(t.Context(), d.project, d.now(), RotateOptions{Compromised: true, AcceptBreakage: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Verify(d.project, text); !errors.Is(err, ErrInvalid) {
		t.Errorf("after its key was compromised: %v", err)
	}
}

// Tokens that fall together do not drive each other out while there are as many places
// as tokens; then the one that expires first makes way.
func TestSeenSet(t *testing.T) {
	var set seenSet
	token := func(n int, life time.Duration) *seenToken {
		return &seenToken{hash: [32]byte{byte(n)}, claims: Claims{ExpiresAt: start.Add(life)}}
	}
	for n, life := range []time.Duration{3 * time.Hour, time.Hour, 4 * time.Hour, 2 * time.Hour} {
		set.add(token(n, life))
	}
	for n := range 4 {
		if set.find([32]byte{byte(n)}) == nil {
			t.Errorf("token %d is gone, though there was room", n)
		}
	}
	set.add(token(4, 5*time.Hour))
	for n := range 5 {
		if got, want := set.find([32]byte{byte(n)}) != nil, n != 1; got != want {
			t.Errorf("token %d of five is there: %v, want %v", n, got, want)
		}
	}
}

// TestKeyOfAnotherProjectIsNotEnough: what one project's key signed is nothing to
// another, though every claim be right there, and though it was seen before.
func TestKeyOfAnotherProjectIsNotEnough(t *testing.T) {
	d := newDesk(t)
	set, _ := d.mint(t, d.other, ada(d.other))
	_, payload := open(t, set.AccessToken)
	mine := d.snapshot.Load().projects[d.project.Number]
	signed, err := mine.active.sign(func([]byte) []byte { return []byte(payload) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Verify(d.other, signed.Reveal()); !errors.Is(err, ErrInvalid) {
		t.Errorf("another project's key: %v", err)
	}
	// A project that says it is the other one lets the token in, and must not leave
	// it to be found there.
	twin := *d.project
	twin.ID, twin.Settings.Issuer = d.other.ID, d.Issuer(d.other)
	if _, err := d.Verify(&twin, signed.Reveal()); err != nil {
		t.Fatalf("the test's own token: %v", splitpin.ErrorOf(err).Unwrap())
	}
	if _, err := d.Verify(d.other, signed.Reveal()); !errors.Is(err, ErrInvalid) {
		t.Errorf("another project's key, seen before: %v", err)
	}

	identity := IdentityToken{Identifier: "ada@example.org", IdentifierType: "EMAIL", Receiver: d.other.ID, Timestamp: "1772366400", ExpireAt: "1774958400"}
	identity.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(mine.identity[0].private, identity.message()))
	for _, p := range []*splitpin.Project{d.project, d.other} {
		if _, err := d.VerifyIdentity(p, identity, start); !errors.Is(err, ErrInvalid) {
			t.Errorf("an identity of project %s for %s, at %s: %v", d.project.ID, d.other.ID, p.ID, err)
		}
	}
	identity.Receiver = d.project.ID
	identity.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(mine.identity[0].private, identity.message()))
	if _, err := d.VerifyIdentity(d.project, identity, start); err != nil {
		t.Errorf("the test's own identity: %v", splitpin.ErrorOf(err).Unwrap())
	}
}

func TestProjectOf(t *testing.T) {
	d := newDesk(t)
	set, _ := d.mint(t, d.other, ada(d.other))
	if number, ok := d.ProjectOf(set.AccessToken.Reveal()); !ok || number != d.other.Number {
		t.Errorf("got %d, %t", number, ok)
	}
	for _, text := range []string{"", "x", "x.y.z", strings.Repeat("x", 1<<20)} {
		if _, ok := d.ProjectOf(text); ok {
			t.Errorf("%.10q belongs to a project", text)
		}
	}
}

func FuzzVerify(f *testing.F) {
	d := newDesk(f)
	set, _ := d.mint(f, d.project, ada(d.project))
	_, payload := open(f, set.AccessToken)
	good := set.AccessToken.Reveal()
	f.Add(good)
	f.Add(good + "=")
	f.Add(set.IDToken.Reveal())
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		claims, err := d.Verify(d.project, text)
		if err == nil {
			// Only what differs in the signature alone can pass, and only as the same.
			if _, got := open(t, splitpin.Secret(text)); got != payload || claims.Session != 27805 {
				t.Errorf("accepted %q", text)
			}
		} else if !errors.Is(err, ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSessionInJTI(t *testing.T) {
	d := newDesk(t)
	block := d.snapshot.Load().projects[d.project.Number].active.jti
	foreign := d.snapshot.Load().projects[d.other.Number].active.jti
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Int64Range(1, 1<<63-1).Draw(t, "session")
		jti := newJTI(block, number)
		if splitpin.UUIDFrom(jti) != jti {
			t.Fatalf("%s is no version 4 UUID", jti)
		}
		if got := sessionOf(block, jti); got != number {
			t.Fatalf("got %d, want %d", got, number)
		}
		if got := sessionOf(foreign, jti); got == number {
			t.Fatal("another key reads it")
		}
	})
	seen := map[splitpin.UUID]bool{}
	for range 10000 {
		seen[newJTI(block, 1)] = true
	}
	if len(seen) != 10000 {
		t.Errorf("%d of 10000 are different", len(seen))
	}
}

func TestRefreshTokenIsGenuineForOneSessionOnly(t *testing.T) {
	d := newDesk(t)
	u := ada(d.project)
	session := d.NewSession(d.project, u, 27805, aSalt, "OTP", false, start)
	text, err := d.RefreshToken(session)
	if err != nil {
		t.Fatal(err)
	}
	presented, err := ParseRefresh(text.Reveal())
	if err != nil || presented.Session != 27805 {
		t.Fatalf("our own token: %+v, %v", presented, err)
	}
	otherSalt := *session
	otherSalt.Salt[0] ^= 1
	otherNumber := *session
	otherNumber.Number++
	foreign := *session
	foreign.Project = d.other.Number
	flipped, counted, renamed := presented, presented, presented
	flipped.mac[31] ^= 1
	counted.counter++
	renamed.Session++
	tests := []struct {
		name      string
		project   *splitpin.Project
		session   splitpin.Session
		presented Presented
		want      Verdict
	}{
		{"its own", d.project, *session, presented, Rotated},
		{"another salt", d.project, otherSalt, presented, Forged},
		{"another number in the row", d.project, otherNumber, presented, Forged},
		{"another number in both", d.project, otherNumber, renamed, Forged},
		{"one bit of the HMAC", d.project, *session, flipped, Forged},
		{"another counter", d.project, *session, counted, Forged},
		{"another project asks", d.other, *session, presented, Forged},
		{"another project's session", d.other, foreign, presented, Forged},
		{"nothing", d.project, *session, Presented{}, Forged},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			after := test.session
			got, err := d.DecideRefresh(test.project, &after, test.presented, start.Add(time.Hour))
			if err != nil || got != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
			if got == Forged && after != test.session {
				t.Error("a forged token touched the session")
			}
		})
	}
	// A data key that this node lacks is no reason to call a token forged.
	session.KeyGeneration = 99
	if _, err := d.DecideRefresh(d.project, session, presented, start); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("an unknown generation: %v", err)
	}
	ended := d.NewSession(d.project, u, 27805, [16]byte{1}, "OTP", false, start)
	ended.RevokedAt = start
	if got, _ := d.DecideRefresh(d.project, ended, presented, start); got != Forged {
		t.Errorf("a forged token for an ended session: %s, want forged, which is charged", got)
	}
	if _, err := d.RefreshToken(session); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("a refresh token of a data key that is not here yet: %v", err)
	}
}

func TestNewSession(t *testing.T) {
	d := newDesk(t)
	u := ada(d.project)
	rotating, static := d.NewSession(d.project, u, 5, aSalt, "OTP", false, start), d.NewSession(d.project, u, 6, aSalt, "OTP", true, start)
	want := splitpin.Session{Number: 5, Salt: aSalt, Project: d.project.Number, User: u.Number, KeyGeneration: 1, Counter: 1, AuthMethod: "OTP", AuthAt: start,
		CreatedAt: start, UsedAt: start, IdleUntil: start.Add(30 * 24 * time.Hour), ExpiresAt: start.Add(90 * 24 * time.Hour)}
	if *rotating != want {
		t.Errorf("got %+v\nwant %+v", *rotating, want)
	}
	if !static.Static || !static.IdleUntil.Equal(start.Add(14*24*time.Hour)) {
		t.Errorf("static: idle until %s", static.IdleUntil)
	}
}

func TestIdentityToken(t *testing.T) {
	d := newDesk(t)
	proved := time.Unix(1586257208, 0).UTC()
	u := ada(d.project)
	u.Identifier, u.Kind = "+12345678910", splitpin.Phone
	identity, err := d.Identity(d.project, u, proved)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(identity)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"identifier_id":"` + identity.IdentifierID + `","identifier":"+12345678910","identifier_type":"PHONE","receiver":"` + d.project.ID +
		`","timestamp":"1586257208","expire_at":"1588849208","signature":"` + identity.Signature + `"}`
	if string(body) != want {
		t.Errorf("got %s\nwant %s", body, want)
	}
	again, _ := d.Identity(d.project, u, proved.Add(time.Hour))
	if _, err := splitpin.ParseUUID(identity.IdentifierID); err != nil || again.IdentifierID != identity.IdentifierID || identity.IdentifierID == u.ID.String() {
		t.Errorf("identifier ids %s and %s of user %s, %v", identity.IdentifierID, again.IdentifierID, u.ID, err)
	}

	// As a verifier in some other language would: the published key, the fields.
	document, _, err := d.IdentityKey(d.project)
	if err != nil {
		t.Fatal(err)
	}
	var published struct {
		PublicKey string `json:"public_key"`
		Keys      []jose.JSONWebKey
	}
	if err := json.Unmarshal(document, &published); err != nil {
		t.Fatal(err)
	}
	key, _ := base64.StdEncoding.DecodeString(published.PublicKey)
	signature, _ := base64.StdEncoding.DecodeString(identity.Signature)
	if len(key) != 32 || len(signature) != 64 || !ed25519.Verify(key, []byte("+12345678910PHONE"+d.project.ID+"1588849208"), signature) {
		t.Errorf("the published key does not verify it: %s", document)
	}
	if sum, err := published.Keys[0].Thumbprint(5); err != nil || base64url(sum) != published.Keys[0].KeyID || !slices.Equal(published.Keys[0].Key.(ed25519.PublicKey), key) {
		t.Errorf("the key set differs from public_key: %s, %v", document, err)
	}

	now := proved.Add(time.Minute)
	if at, err := d.VerifyIdentity(d.project, identity, now); err != nil || !at.Equal(proved) {
		t.Errorf("our own: %s, %v", at, err)
	}
	tests := []struct {
		name  string
		alter func(*IdentityToken)
		now   time.Time
	}{
		{"another identifier", func(i *IdentityToken) { i.Identifier = "+12345678911" }, now},
		{"another type", func(i *IdentityToken) { i.IdentifierType = "EMAIL" }, now},
		{"another receiver", func(i *IdentityToken) { i.Receiver = d.other.ID }, now},
		{"a later timestamp, which is not signed", func(i *IdentityToken) { i.Timestamp = "1586257209" }, now},
		{"both times moved", func(i *IdentityToken) { i.Timestamp, i.ExpireAt = "1586257209", "1588849209" }, now},
		{"a timestamp with a sign", func(i *IdentityToken) { i.Timestamp = "+1586257208" }, now},
		{"no signature", func(i *IdentityToken) { i.Signature = "" }, now},
		{"a signature of zeros", func(i *IdentityToken) { i.Signature = base64.StdEncoding.EncodeToString(make([]byte, 64)) }, now},
		{"base64 of another kind", func(i *IdentityToken) { i.Signature = strings.TrimRight(i.Signature, "=") }, now},
		{"expired", func(*IdentityToken) {}, proved.Add(IdentityLife)},
		{"from the future", func(*IdentityToken) {}, proved.Add(-time.Minute)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			altered := identity
			test.alter(&altered)
			if _, err := d.VerifyIdentity(d.project, altered, test.now); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := d.VerifyIdentity(d.other, identity, now); !errors.Is(err, ErrInvalid) {
		t.Errorf("at another project: %v", err)
	}
}

func TestProjectWithoutKeys(t *testing.T) {
	d := newDesk(t)
	p := &splitpin.Project{Number: d.number(t), ID: "00000000-0000-4000-8000-0000000000cc", CreatedAt: start, UpdatedAt: start}
	err := d.db.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{p}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	u := ada(p)
	if _, err := d.Mint(p, u, d.NewSession(p, u, 1, aSalt, "OTP", false, start)); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("a token: %v", err)
	}
	if _, _, err := d.KeySet(p); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("the key set: %v", err)
	}
}

// TestKeysAreBoundToTheirProject: whoever can write to the database, but not
// unwrap keys, cannot move one.
func TestKeysAreBoundToTheirProject(t *testing.T) {
	for _, alter := range []struct {
		name string
		do   func(mine, theirs *splitpin.SigningKey)
	}{
		{"another project's key", func(mine, theirs *splitpin.SigningKey) {
			mine.KID, mine.Public, mine.Wrapped = theirs.KID, theirs.Public, theirs.Wrapped
		}},
		{"another public half", func(mine, theirs *splitpin.SigningKey) { mine.Public = theirs.Public }},
		{"another private half", func(mine, theirs *splitpin.SigningKey) { mine.Wrapped = theirs.Wrapped }},
	} {
		t.Run(alter.name, func(t *testing.T) {
			d := newDesk(t)
			err := d.db.Change(t.Context(), splitpin.Reads{Settings: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
				var mine, theirs *splitpin.SigningKey
				for _, k := range r.SigningKeys {
					if k.Use == splitpin.TokenKey && k.Project == d.project.Number {
						mine = k
					} else if k.Use == splitpin.TokenKey {
						theirs = k
					}
				}
				alter.do(mine, theirs)
				return splitpin.Writes{Put: []splitpin.Record{mine}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			fresh := New(d.db, d.ring, "https://login.example.org", d.now)
			if err := fresh.Reload(t.Context()); err == nil {
				t.Error("the key was opened")
			}
		})
	}
}

func TestWhileKeysAreReloaded(t *testing.T) {
	d := newDesk(t)
	u := ada(d.project)
	session := d.NewSession(d.project, u, 27805, aSalt, "OTP", false, start)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				set, err := d.Mint(d.project, u, session)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := d.Verify(d.project, set.AccessToken.Reveal()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 50 {
		if err := d.Reload(context.Background()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	group.Wait()
}

func TestNumbersOfVerdictsAndStatesHaveNames(t *testing.T) {
	for v := Forged; v <= Ended; v++ {
		if v.String() == "" {
			t.Errorf("verdict %s has no name", strconv.Itoa(int(v)))
		}
	}
	for s := Announced; s <= Gone; s++ {
		if s.String() == "" {
			t.Errorf("state %s has no name", strconv.Itoa(int(s)))
		}
	}
}
