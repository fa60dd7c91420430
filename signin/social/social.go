// Package social is the method of accounts elsewhere: the person's browser goes to a
// provider and comes back with a code, and the provider tells whose it is.
//
// A provider is believed about its own accounts and, as far as the table of kinds says,
// about addresses that it decides over. Anybody else's address it may name; the person
// proves that by a code of ours (security 2). What an account is found by is the
// provider's issuer and subject, never an address.
//
// Start reading at Begin, then Fetch. Kinds stand in a file each; [Kinds] lists them.
package social

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/signin"
)

var (
	ErrProvider = &splitpin.Error{Kind: splitpin.Invalid, Code: "provider_unknown", Field: "provider",
		Message: "This site does not offer to sign in that way. Please choose another."}
	// ErrProviderDown is for what may pass: no answer, or one that makes no sense.
	ErrProviderDown = &splitpin.Error{Kind: splitpin.Unavailable, Code: "provider_down",
		Message: "The other service does not answer as it should. Please try again in a moment, or choose another way to sign in."}
)

const (
	lifetime  = 10 * time.Minute // to sign in there, and to say yes here
	tries     = 3
	patience  = 15 * time.Second // for all that is asked of a provider for one answer
	maxTokens = 16 << 10         // bytes of tokens that are kept
	maxCode   = 4 << 10
	leeway    = time.Minute // of a provider's clock
)

// A Method is "social". Its fields but Clock and Log are required.
type Method struct {
	Ring      *keyring.Ring
	Client    *http.Client // of package outgoing: providers are named by operators
	PublicURL string       // of this server
	Clock     func() time.Time
	Log       *slog.Logger // hears why an account was refused; nil: nobody does

	discovered discovered
}

var (
	_ signin.Fetcher   = (*Method)(nil)
	_ signin.Connector = (*Method)(nil)
)

func (*Method) Name() string       { return "social" }
func (*Method) AuthMethod() string { return "SOCIAL_LOGIN" }

// data is what an attempt keeps. Seed is sealed: of it come the nonce and the PKCE
// verifier, without which nobody can use the provider's code.
type data struct {
	Provider   string `json:"p"`
	URL        string `json:"u"` // at the provider, without what Seed gives
	Seed       []byte `json:"s"`
	Generation int    `json:"g"`
}

// Begin chooses the provider and prepares the way there.
func (m *Method) Begin(ctx context.Context, req signin.BeginRequest) (signin.Begun, error) {
	if req.Identifier != "" {
		return signin.Begun{}, account.ErrIdentifier
	}
	p := req.Project.Settings.Provider(req.Provider)
	if p == nil || kinds[p.Kind].who == nil {
		return signin.Begun{}, ErrProvider
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := m.conversation(ctx, req.Project, p)
	if err != nil {
		return signin.Begun{}, m.down(ctx, p, err)
	}
	var seed [32]byte
	rand.Read(seed[:])
	d := data{Provider: p.Name, URL: c.config.AuthCodeURL("", c.kind.parameters(p)...)}
	if d.Generation, d.Seed, err = m.Ring.Seal(keyring.Social, seed[:], []byte("seed")); err != nil {
		return signin.Begun{}, splitpin.ErrUnavailable.Because(err)
	}
	b, err := json.Marshal(d)
	if err != nil {
		return signin.Begun{}, err
	}
	return signin.Begun{Data: b, Lifetime: lifetime, Tries: tries}, nil
}

// secrets are what only this attempt sends and expects.
func (m *Method) secrets(a *splitpin.Attempt) (d data, nonce, verifier string, err error) {
	if err := json.Unmarshal(a.Data, &d); err != nil {
		return d, "", "", fmt.Errorf("reading what an attempt keeps: %w", err)
	}
	seed, err := m.Ring.Unseal(keyring.Social, d.Generation, d.Seed, []byte("seed"))
	if err != nil {
		return d, "", "", splitpin.ErrUnavailable.Because(err)
	}
	id := a.ID.Bytes()
	of := func(label string) string {
		sum := sha256.Sum256(slices.Concat([]byte(label), seed, id[:]))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return d, of("nonce"), of("verifier"), nil
}

// Describe tells where the person must go. The state there is the attempt's id: it finds
// the attempt, and lets nobody near it who lacks the starter's secret.
func (m *Method) Describe(a *splitpin.Attempt) signin.Form {
	d, nonce, verifier, err := m.secrets(a)
	if err != nil {
		return signin.Form{}
	}
	u, err := url.Parse(d.URL)
	if err != nil {
		return signin.Form{}
	}
	q := u.Query()
	q.Set("state", a.ID.String())
	q.Set("nonce", nonce)
	q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(verifier))
	q.Set("code_challenge_method", "S256")
	u.RawQuery = q.Encode()
	return signin.Form{Location: u.String(), Provider: d.Provider}
}

// An Answer is what a provider sent the browser back with.
type Answer struct {
	Code     string `json:"code"`
	Issuer   string `json:"iss"`      // RFC 9207; empty: it does not say
	Provider string `json:"provider"` // whose callback it came to
}

// Fetch redeems the code and asks whose it is.
func (m *Method) Fetch(ctx context.Context, req signin.FetchRequest) (f signin.Fetched, wrong bool, err error) {
	var answer Answer
	if json.Unmarshal(req.Answer, &answer) != nil || answer.Code == "" || len(answer.Code) > maxCode {
		return f, true, nil
	}
	d, nonce, verifier, err := m.secrets(req.Attempt)
	if err != nil {
		return f, false, err
	}
	p := req.Project.Settings.Provider(d.Provider)
	if p == nil || kinds[p.Kind].who == nil {
		return f, false, ErrProvider
	}
	var who identity
	var tokens []byte
	err = signin.Outside(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		who, tokens, err = m.ask(ctx, req.Project, p, answer, nonce, verifier)
		return err
	})
	var lie *refusedError
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &lie):
		m.say(ctx, p, lie.reason)
		return f, true, nil
	case errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500:
		m.say(ctx, p, "the provider refused the code: "+printable(refused.ErrorCode))
		return f, true, nil
	case err != nil:
		return f, false, m.down(ctx, p, err)
	}
	f = signin.Fetched{Kind: splitpin.SocialCredential, Key: key(who.Issuer, who.Subject), Identifier: who.Address, Vouched: who.Vouched}
	kept := shown{identity: who}
	kept.Provider, kept.Label = p.Name, p.DisplayName()
	kept.generation, kept.sealed, err = m.Ring.Seal(keyring.Social, tokens, tokensOf(req.Project.Number, f.Key))
	if err != nil {
		return f, false, splitpin.ErrUnavailable.Because(err)
	}
	f.Value = kept
	return f, false, nil
}

// ask has the conversation with the provider.
func (m *Method) ask(ctx context.Context, project *splitpin.Project, p *splitpin.Provider, answer Answer, nonce, verifier string) (who identity, tokens []byte, err error) {
	if answer.Provider != p.Name {
		return who, nil, refuse("the answer came to the callback of another provider")
	}
	c, err := m.conversation(ctx, project, p)
	if err != nil {
		return who, nil, err
	}
	if err := c.comesFrom(answer.Issuer); err != nil {
		return who, nil, err
	}
	c.nonce = nonce
	token, err := c.config.Exchange(c.context(ctx), answer.Code, oauth2.VerifierOption(verifier))
	if err != nil {
		return who, nil, err
	}
	c.token = token
	if who, err = c.kind.who(c.context(ctx), c); err != nil {
		return who, nil, err
	}
	if who.Subject == "" || len(who.Subject) > 255 || !splitpin.IsText(who.Subject) {
		return who, nil, refuse("the provider named nobody")
	}
	who.Username = clip(who.Username)
	who.Address = addressOf(who.Address)
	who.Vouched = who.Vouched && who.Address != ""
	tokens, err = tokensAsCame(token)
	return who, tokens, err
}

// Check keeps what Fetch learnt.
func (m *Method) Check(c signin.Check) (signin.Proof, bool) {
	v, ok := c.Fetched.Value.(shown)
	if !ok {
		return signin.Proof{}, false
	}
	if c.Attempt.Purpose == splitpin.Confirm && c.Credential == nil {
		return signin.Proof{}, false // a stranger's account confirms nothing
	}
	credential := c.Credential
	if credential == nil {
		credential = &splitpin.Credential{Kind: c.Fetched.Kind, Key: c.Fetched.Key, Label: v.name()}
	}
	b, err := json.Marshal(v.identity)
	if err != nil {
		return signin.Proof{}, false
	}
	credential.Data, credential.Sealed, credential.KeyGeneration = b, v.sealed, v.generation
	return signin.Proof{Credential: credential, Ask: c.Attempt.Purpose != splitpin.Confirm}, true
}

// Account tells of the account that somebody connected. Tokens is empty where their data
// key was destroyed.
func (m *Method) Account(c *splitpin.Credential) (signin.ProviderAccount, error) {
	var a identity
	if err := json.Unmarshal(c.Data, &a); err != nil {
		return signin.ProviderAccount{}, fmt.Errorf("reading an account elsewhere: %w", err)
	}
	out := signin.ProviderAccount{Provider: a.Provider, Subject: a.Subject, Username: a.Username}
	if len(c.Sealed) == 0 {
		return out, nil
	}
	tokens, err := m.Ring.Unseal(keyring.Social, c.KeyGeneration, c.Sealed, tokensOf(c.Project, c.Key))
	switch {
	case errors.Is(err, keyring.ErrDestroyed):
	case err != nil:
		return out, splitpin.ErrUnavailable.Because(err)
	default:
		out.Tokens = tokens
	}
	return out, nil
}

// identity is an account elsewhere, as a credential keeps it.
type identity struct {
	Provider string `json:"provider"`
	Label    string `json:"-"`
	Issuer   string `json:"issuer"`
	Subject  string `json:"subject"`
	Username string `json:"username,omitempty"`

	Address string `json:"-"` // verified, as the provider says
	Vouched bool   `json:"-"` // and the provider decides over it
}

func (a identity) name() string {
	if who := a.Username; who != "" {
		return who + " (" + a.Label + ")"
	}
	return a.Label
}

// shown is an account with what is kept of it.
type shown struct {
	identity
	sealed     []byte
	generation int
}

// A refusedError is an answer that proves nothing. reason is for the operator, and holds
// nothing of what the provider or the person sent.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

func refuse(reason string) error { return &refusedError{reason} }

func (m *Method) say(ctx context.Context, p *splitpin.Provider, reason string) {
	if m.Log != nil {
		m.Log.WarnContext(ctx, "an account elsewhere was refused", "provider", p.Name, "reason", reason)
	}
}

// down is what the person hears of a provider that does not work. The cause is for the
// operator, and may not quote what the provider said.
func (m *Method) down(ctx context.Context, p *splitpin.Provider, err error) error {
	if known := splitpin.ErrorOf(err); known != nil {
		return err
	}
	reason := "an answer that makes no sense"
	var transport *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		reason = "no answer in time"
	case errors.As(err, &transport):
		reason = transport.Err.Error()
	}
	m.say(ctx, p, reason)
	return ErrProviderDown.Because(fmt.Errorf("asking %s: %s", p.Name, reason))
}

func key(issuer, subject string) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(issuer), issuer, subject))
}

// tokensOf binds sealed tokens to the credential that they belong to.
func tokensOf(project int64, key [32]byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("tokens"), uint64(project)), key[:]...)
}

// tokensAsCame is the token answer of a provider, as far as it can be of use to a backend.
func tokensAsCame(t *oauth2.Token) ([]byte, error) {
	out := map[string]any{"access_token": t.AccessToken, "token_type": t.TokenType}
	if t.RefreshToken != "" {
		out["refresh_token"] = t.RefreshToken
	}
	if !t.Expiry.IsZero() {
		out["expiry"] = t.Expiry.UTC().Format(time.RFC3339)
	}
	for _, name := range []string{"scope", "expires_in", "refresh_token_expires_in"} {
		if v := t.Extra(name); v != nil && v != "" {
			out[name] = v
		}
	}
	b, err := json.Marshal(out)
	if err == nil && len(b) > maxTokens {
		err = errors.New("the provider's tokens are too long to be kept")
	}
	return b, err
}

// addressOf is an address as we write it, or nothing.
func addressOf(s string) string {
	canonical, kind, err := account.ParseIdentifier(s)
	if err != nil || kind != splitpin.Email {
		return ""
	}
	return canonical
}

func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

func clip(s string) string {
	if !splitpin.IsText(s) {
		return ""
	}
	if r := []rune(s); len(r) > 40 {
		return string(r[:40])
	}
	return s
}

// printable makes a word of a provider fit for the log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r == '_' {
			return r
		}
		return -1
	}, s[:min(len(s), 40)])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// getJSON asks an address of the provider with the person's token.
func (c *conversation) getJSON(ctx context.Context, address string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	c.token.SetAuthHeader(req)
	res, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the provider answered %d", res.StatusCode)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
