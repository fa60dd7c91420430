package social

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/signin"
)

// A kind is what providers of one make have in common.
type kind struct {
	issuer string   // where it is the same for everybody; a Provider may name another
	fixed  bool     // a Provider may not
	scopes []string // that are needed

	// endpoints are those of a kind without discovery, below an issuer.
	endpoints func(p *splitpin.Provider, issuer string) endpoints
	// who asks whose token it is.
	who func(ctx context.Context, c *conversation) (identity, error)
	// secret is the client secret, where it is not the text that was configured.
	secret func(p *splitpin.Provider, configured []byte, now time.Time) (string, error)

	extra map[string]string // parameters of the first request
}

type endpoints struct{ auth, token, user string }

var kinds = map[string]kind{
	"google":    google,
	"github":    github,
	"apple":     apple,
	"microsoft": microsoft,
	"gitlab":    gitlab,
	"discord":   discord,
	"oidc":      openID,
	"oauth2":    anyOAuth2,
}

// Kinds returns the names of the kinds of providers, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

func (k kind) parameters(*splitpin.Provider) []oauth2.AuthCodeOption {
	var out []oauth2.AuthCodeOption
	for name, value := range k.extra {
		out = append(out, oauth2.SetAuthURLParam(name, value))
	}
	return out
}

// CallbackPath is where a provider sends the browser back, below the base path of the
// project: it is what customers of Cotter registered.
const CallbackPath = "/api/v0/oauth/token/callback/"

// Callback is the address that an operator registers with a provider.
func Callback(publicURL, project, provider string) string {
	return strings.TrimSuffix(publicURL, "/") + "/p/" + url.PathEscape(project) + CallbackPath + provider
}

// SealSecret seals the client secret of a provider, for its project alone.
func SealSecret(ring *keyring.Ring, project string, p *splitpin.Provider, secret splitpin.Secret) (err error) {
	p.KeyGeneration, p.Sealed, err = ring.Seal(keyring.Social, []byte(secret.Reveal()), secretOf(project, p.Name))
	if err != nil {
		return fmt.Errorf("sealing a client secret: %w", err)
	}
	return nil
}

func secretOf(project, name string) []byte {
	return []byte("client secret\x00" + project + "\x00" + name)
}

// Validate reports what is wrong with a provider's settings, for the operator.
func Validate(p splitpin.Provider) error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	k, known := kinds[p.Kind]
	if !known {
		return fmt.Errorf("kind %q is none of %s", p.Kind, strings.Join(Kinds(), ", "))
	}
	if p.Name == "" || len(p.Name) > 32 || strings.Trim(p.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		add("the name %q must be of capitals, digits and _, like GOOGLE", p.Name)
	}
	if p.ClientID == "" || len(p.ClientID) > 255 || !splitpin.IsText(p.ClientID) {
		add("the client id is missing, or longer than 255 characters (--client-id)")
	}
	if len(p.Sealed) == 0 {
		add("the client secret is missing (--client-secret-file)")
	}
	if len(p.Label) > 40 || !splitpin.IsText(p.Label) {
		add("the label must be a text of at most 40 characters (--label)")
	}
	switch {
	case p.Issuer != "" && k.fixed:
		add("%s has an issuer of its own: leave --issuer out", p.Kind)
	case p.Issuer == "" && k.issuer == "" && p.Kind != "oauth2":
		add("the issuer is missing: the address that its /.well-known/openid-configuration lies below (--issuer)")
	case p.Issuer != "" && !isSafe(p.Issuer):
		add("the issuer must be an https address (--issuer)")
	}
	if u, err := url.Parse(p.Issuer); err == nil && strings.EqualFold(u.Hostname(), microsoftHost) && ofManyTenants(u) {
		add("this issuer is of many tenants, whose tokens name others: take kind microsoft, or the issuer of one tenant")
	}
	if p.Kind == "oauth2" {
		for _, own := range []struct{ flag, address string }{{"--auth-url", p.AuthURL}, {"--token-url", p.TokenURL}, {"--user-url", p.UserURL}} {
			switch {
			case own.address == "":
				add("%s is missing: the provider's manual has it", own.flag)
			case !isSafe(own.address):
				add("%s must be an https address", own.flag)
			}
		}
	} else if p.AuthURL+p.TokenURL+p.UserURL+p.Subject != "" {
		add("--auth-url, --token-url, --user-url and --subject are for kind oauth2 only")
	}
	if p.Kind == "apple" && (p.TeamID == "" || p.KeyID == "") {
		add("apple needs a team id and a key id (--team-id, --key-id)")
	}
	if len(p.Domains) > 0 && p.Kind != "oidc" {
		add("only an oidc provider may be trusted with domains of addresses (--domain)")
	}
	for _, s := range p.Scopes {
		if s == "" || len(s) > 200 || strings.ContainsAny(s, " \"\\") || !splitpin.IsText(s) {
			add("the scope %q is none (--scope)", s)
		}
	}
	return errors.Join(wrong...)
}

// isSafe admits https, and http on this machine, for tests.
func isSafe(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(address) > 500 {
		return false
	}
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}

// A conversation is all that is said to one provider for one answer.
type conversation struct {
	kind     kind
	provider *splitpin.Provider
	config   oauth2.Config
	issuer   string
	user     string // address that tells of the person; empty: none
	says     bool   // it promises to name itself in its answers (RFC 9207)
	verifier *oidc.IDTokenVerifier
	client   *http.Client
	now      time.Time

	nonce string
	token *oauth2.Token
}

func (c *conversation) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, c.client)
}

// comesFrom holds the issuer that an answer names against ours: an answer of another
// provider must not be taken to this one (RFC 9207).
func (c *conversation) comesFrom(issuer string) error {
	if issuer == "" && !c.says || issuer != "" && issuer == c.issuer {
		return nil
	}
	return refuse("the answer names another provider, or none where one was promised")
}

func (m *Method) conversation(ctx context.Context, project *splitpin.Project, p *splitpin.Provider) (*conversation, error) {
	k := kinds[p.Kind]
	c := &conversation{kind: k, provider: p, issuer: p.Issuer, now: m.Clock(), client: watched(m.Client)}
	if c.issuer == "" {
		c.issuer = k.issuer
	}
	c.config = oauth2.Config{ClientID: p.ClientID, Scopes: append(slices.Clone(k.scopes), p.Scopes...),
		RedirectURL: Callback(m.PublicURL, project.ID, p.Name)}
	secret, err := m.Ring.Unseal(keyring.Social, p.KeyGeneration, p.Sealed, secretOf(project.ID, p.Name))
	if err != nil {
		return nil, splitpin.ErrUnavailable.Because(fmt.Errorf("unsealing the client secret of %s: %w; give it again with 'splitpin project provider add'", p.Name, err))
	}
	c.config.ClientSecret = string(secret)
	if k.secret != nil {
		if c.config.ClientSecret, err = k.secret(p, secret, c.now); err != nil {
			return nil, splitpin.ErrUnavailable.Because(err)
		}
	}
	if k.endpoints != nil {
		e := k.endpoints(p, c.issuer)
		c.config.Endpoint = oauth2.Endpoint{AuthURL: e.auth, TokenURL: e.token, AuthStyle: oauth2.AuthStyleInParams}
		c.user = e.user
		return c, nil
	}
	return c, m.discovered.into(ctx, c, m.Clock)
}

// discovered keeps what providers say about themselves, for an hour. One sign-in asks,
// under a time of its own, as others rely on what it learns. Those who come meanwhile get
// what was known before, or wait for it where that is nothing.
type discovered struct {
	mu       sync.Mutex
	byIssuer map[string]*issuer
}

// An issuer is what is known of one.
type issuer struct {
	found  *discovery    // nil: nothing yet
	asking chan struct{} // closed when whoever asks is done; nil: nobody asks

	err    error // of the last time, if it was in vain
	failed time.Time
}

type discovery struct {
	provider *oidc.Provider
	at       time.Time
	says     bool
	issuer   string // may have a place for the tenant
}

const (
	discoveredFor = time.Hour
	discoverIn    = 5 * time.Second
	failedFor     = 30 * time.Second // so long nobody asks again
)

// of returns what the provider of a conversation says about itself.
func (d *discovered) of(ctx context.Context, c *conversation) (*discovery, error) {
	d.mu.Lock()
	is := d.byIssuer[c.issuer]
	if is == nil {
		is = &issuer{}
		if d.byIssuer == nil {
			d.byIssuer = map[string]*issuer{}
		}
		d.byIssuer[c.issuer] = is
	}
	fresh := is.found != nil && c.now.Sub(is.found.at) < discoveredFor
	failed := is.err != nil && c.now.Sub(is.failed).Abs() < failedFor
	if fresh || failed || is.asking != nil && is.found != nil {
		defer d.mu.Unlock()
		return is.known()
	}
	asking, others := is.asking, is.asking != nil
	if !others {
		asking = make(chan struct{})
		is.asking = asking
	}
	d.mu.Unlock()

	err := signin.Outside(ctx, func(ctx context.Context) error {
		if !others {
			d.ask(ctx, c, is)
		}
		select {
		case <-asking:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && !others && is.asking == asking { // it did not come to asking
		is.asking = nil
		close(asking)
	}
	if err != nil {
		return nil, err
	}
	return is.known()
}

// ask asks a provider, and tells those who wait.
func (d *discovered) ask(ctx context.Context, c *conversation, is *issuer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discoverIn)
	defer cancel()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		close(is.asking)
		is.asking = nil
	}()
	found, err := discover(ctx, c)
	d.mu.Lock()
	defer d.mu.Unlock()
	if is.err = err; err != nil {
		is.failed = c.now
	} else {
		is.found = found
	}
}

// known is what is known, however old, or why nothing is.
func (is *issuer) known() (*discovery, error) {
	if is.found == nil {
		return nil, cmp.Or(is.err, error(splitpin.ErrUnavailable))
	}
	return is.found, nil
}

func (d *discovered) into(ctx context.Context, c *conversation, clock func() time.Time) error {
	found, err := d.of(ctx, c)
	if err != nil {
		return err
	}
	c.config.Endpoint = found.provider.Endpoint()
	c.config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	c.user, c.says = found.provider.UserInfoEndpoint(), found.says
	c.verifier = found.provider.Verifier(&oidc.Config{ClientID: c.config.ClientID, Now: clock, SkipIssuerCheck: found.issuer != c.issuer,
		SupportedSigningAlgs: []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}})
	return nil
}

func discover(ctx context.Context, c *conversation) (*discovery, error) {
	ctx = c.context(ctx)
	if strings.HasPrefix(c.issuer, microsoftTenants) {
		ctx = oidc.InsecureIssuerURLContext(ctx, c.issuer) // what it says is looked at for each token
	}
	p, err := oidc.NewProvider(ctx, c.issuer)
	if err != nil {
		return nil, err
	}
	var says struct {
		Issuer string `json:"issuer"`
		Named  bool   `json:"authorization_response_iss_parameter_supported"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := p.Claims(&says); err != nil {
		return nil, err
	}
	for _, address := range []string{p.Endpoint().AuthURL, p.Endpoint().TokenURL, says.JWKS} {
		if !isSafe(address) {
			return nil, errors.New("the provider names an address that is not https")
		}
	}
	if user := p.UserInfoEndpoint(); user != "" && !isSafe(user) {
		return nil, errors.New("the provider names an address that is not https")
	}
	return &discovery{provider: p, at: c.now, says: says.Named, issuer: says.Issuer}, nil
}

// Try looks at what would keep people from signing in, as far as that shows without
// anybody who signs in: whether the client secret can be read here, and what the provider
// says about itself. asked is the issuer that was asked; empty: a kind that says nothing,
// so nobody was. Whether the provider knows the client id, the secret and the callback
// shows at the first sign-in only.
func (m *Method) Try(ctx context.Context, project *splitpin.Project, p *splitpin.Provider) (asked string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := m.conversation(ctx, project, p)
	if err != nil || c.kind.endpoints != nil {
		return "", err
	}
	return c.issuer, nil
}

// watched returns a client that takes an answer that says "I am broken" for none, so that
// no library reads sense into it.
func watched(c *http.Client) *http.Client {
	out := *c
	out.Transport = whole{c.Transport}
	return &out
}

type whole struct{ http.RoundTripper }

func (w whole) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.RoundTripper.RoundTrip(r)
	if err == nil && (res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 300 && res.StatusCode < 400) {
		res.Body.Close()
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	return res, err
}
