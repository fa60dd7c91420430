// Package project makes and changes projects: the apps that people sign in to.
// It checks what an operator asks for, so that no setting can be stored that
// makes a project unsafe, and says what is wrong with all of it at once.
package project

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/social"
	"github.com/splitpin/splitpin/token"
)

// SecretPrefix begins every server secret, so that people and scanners of
// repositories know one when they see it.
const SecretPrefix = "sps_"

// secretOverlap is how long the old secret is good after a rotation.
const secretOverlap = 24 * time.Hour

// An Admin makes and changes projects.
type Admin struct {
	Store  splitpin.Store
	Tokens *token.Service
	Clock  func() time.Time
}

func (a *Admin) moment() time.Time { return a.Clock().UTC().Truncate(time.Microsecond) }

// A Draft is a project to be made.
type Draft struct {
	ID       string          // the API key id; empty: a new UUID
	Secret   splitpin.Secret // from outside; empty: a new one
	AppKey   bool            // Secret shipped in apps, so it is known and opens nothing (security 16)
	Settings splitpin.Settings
}

// Create makes a project with its keys. The first one is the default. It returns
// the server secret, which is stored as a hash and can be shown this once; empty
// when Draft.AppKey.
func (a *Admin) Create(ctx context.Context, d Draft) (*splitpin.Project, splitpin.Secret, error) {
	if d.ID == "" {
		d.ID = splitpin.NewUUID().String()
	}
	problems := []error{checkID(d.ID)}
	secret := d.Secret
	switch {
	case secret == "":
		secret = newSecret()
	case !d.AppKey && len(secret.Reveal()) < 22: // an app key opens nothing, whatever it is
		problems = append(problems, errors.New("secret: must be at least 22 characters; leave it out to have one made"))
	}
	if err := errors.Join(append(problems, Check(d.Settings))...); err != nil {
		return nil, "", err
	}
	number, err := a.Store.NextNumber(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("asking for a number: %w", err)
	}
	now := a.moment()
	p := &splitpin.Project{Number: number, ID: d.ID, Settings: d.Settings, CreatedAt: now, UpdatedAt: now}
	kind := splitpin.ServerSecret
	if d.AppKey {
		kind = splitpin.AppKey
	}
	p.Secrets = []splitpin.ProjectSecret{{Hash: hash(secret), Kind: kind, CreatedAt: now}}
	keys, err := a.Tokens.NewKeys(ctx, p, now)
	if err != nil {
		return nil, "", fmt.Errorf("making the project's keys: %w", err)
	}
	event := a.event(number, now, "project_created")
	if event.Number, err = a.Store.NextNumber(ctx); err != nil {
		return nil, "", fmt.Errorf("asking for a number: %w", err)
	}
	err = a.Store.Change(ctx, splitpin.Reads{Settings: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
		p.Default = true
		for _, other := range r.Projects {
			if strings.EqualFold(other.ID, p.ID) {
				return splitpin.Writes{}, fmt.Errorf("there is a project with the id %s already", p.ID)
			}
			p.Default = p.Default && !other.Default
		}
		w := splitpin.Writes{Create: []splitpin.Record{p, event}}
		for _, k := range keys {
			w.Create = append(w.Create, k)
		}
		return w, nil
	})
	if err != nil {
		return nil, "", err
	}
	if d.AppKey {
		secret = ""
	}
	return p, secret, nil
}

// Change alters a project under a lock and saves it when what alter left is
// sound.
func (a *Admin) Change(ctx context.Context, id string, alter func(*splitpin.Project) error) (*splitpin.Project, error) {
	return a.change(ctx, id, "project_changed", "", alter)
}

func (a *Admin) change(ctx context.Context, id, kind, detail string, alter func(*splitpin.Project) error) (*splitpin.Project, error) {
	number, err := a.Store.NextNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a number: %w", err)
	}
	now := a.moment()
	var changed *splitpin.Project
	err = a.Store.Change(ctx, splitpin.Reads{Project: id}, func(r *splitpin.Records) (splitpin.Writes, error) {
		if changed = r.Project; changed == nil {
			return splitpin.Writes{}, fmt.Errorf("there is no project with the id %s", id)
		}
		if err := alter(changed); err != nil {
			return splitpin.Writes{}, err
		}
		if err := Check(changed.Settings); err != nil {
			return splitpin.Writes{}, err
		}
		changed.UpdatedAt = now
		event := a.event(changed.Number, now, kind)
		event.Number, event.Detail = number, detail
		return splitpin.Writes{Put: []splitpin.Record{changed}, Create: []splitpin.Record{event}}, nil
	})
	if err != nil {
		return nil, err
	}
	return changed, nil
}

// RotateSecret gives a project a new server secret. The newest of the others
// stays good for a day, or not at all when compromised is set.
func (a *Admin) RotateSecret(ctx context.Context, id string, compromised bool) (splitpin.Secret, time.Time, error) {
	secret, now := newSecret(), a.moment()
	until, detail := now.Add(secretOverlap), ""
	if compromised {
		until, detail = now, "compromised"
	}
	_, err := a.change(ctx, id, "project_secret_rotated", detail, func(p *splitpin.Project) error {
		var kept []splitpin.ProjectSecret
		for i, s := range p.Secrets {
			newest := s.Kind == splitpin.ServerSecret && !slices.ContainsFunc(p.Secrets[i+1:], func(later splitpin.ProjectSecret) bool {
				return later.Kind == splitpin.ServerSecret
			})
			switch {
			case s.Kind != splitpin.ServerSecret:
				kept = append(kept, s)
			case newest && !compromised:
				if s.RetiresAt.IsZero() || s.RetiresAt.After(until) {
					s.RetiresAt = until
				}
				kept = append(kept, s)
			}
		}
		p.Secrets = append(kept, splitpin.ProjectSecret{Hash: hash(secret), Kind: splitpin.ServerSecret, CreatedAt: now})
		return nil
	})
	if err != nil {
		return "", time.Time{}, err
	}
	return secret, until, nil
}

func (a *Admin) event(project int64, now time.Time, kind string) *splitpin.AuditEvent {
	return &splitpin.AuditEvent{Project: project, At: now, Kind: kind}
}

func newSecret() splitpin.Secret {
	var b [32]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	return splitpin.Secret(SecretPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
}

func hash(secret splitpin.Secret) [32]byte { return sha256.Sum256([]byte(secret.Reveal())) }

var (
	anID     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{35,63}$`)
	aColour  = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	aLocale  = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
	maxLogo  = 64 << 10
	logoKind = map[string]bool{"image/png": true, "image/jpeg": true, "image/webp": true, "image/svg+xml": true}
)

func checkID(id string) error {
	if !anID.MatchString(id) {
		return errors.New("id: must be 36 to 64 letters, digits and hyphens, like a UUID (some published clients refuse a shorter one)")
	}
	return nil
}

// Check returns everything that is wrong with settings, joined.
func Check(s splitpin.Settings) error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	if len(s.Name) > 60 || strings.ContainsAny(s.Name, "\r\n\t\x00") {
		wrong("name: must be one line of at most 60 bytes")
	}
	if u, err := url.Parse(s.Issuer); s.Issuer != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s.Issuer, "/")) {
		wrong("issuer: must be a URL like https://login.example.com, without a slash at its end")
	}
	for _, o := range s.Origins {
		if o == splitpin.AnyOrigin || o == "://" {
			continue
		}
		switch canonical, ok := splitpin.ParseOrigin(o); {
		case !ok:
			wrong("origin: %q is none; write https://shop.example or an app scheme like shop://", o)
		case canonical != o:
			wrong("origin: write %q as %q: scheme and host, no path", o, canonical)
		}
	}
	for _, page := range s.ReturnPages {
		switch canonical, ok := splitpin.ParseReturnPage(page); {
		case !ok:
			wrong("return-page: %q is none; write the whole address of a page, like https://shop.example/login or shop://auth/done, without user info, query and fragment, and without // and dots in its path", page)
		case canonical != page:
			wrong("return-page: write %q as %q, as browsers do", page, canonical)
		case !(&splitpin.Project{Settings: s}).ListsSite(page):
			wrong("return-page: the site of %q is not in the list of origins; add it to that list, or take the page off with --remove-return-page", page)
		}
	}
	for i, o := range s.Providers {
		if err := social.Validate(o); err != nil {
			wrong("provider %s: %w", o.Name, err)
		}
		if slices.ContainsFunc(s.Providers[:i], func(before splitpin.Provider) bool { return before.Name == o.Name }) {
			wrong("provider %s: is there twice", o.Name)
		}
	}
	if s.Colour != "" && !aColour.MatchString(s.Colour) {
		wrong("colour: must look like #1a6b4f")
	}
	if s.Locale != "" && !aLocale.MatchString(s.Locale) {
		wrong("locale: must be a language like en or pt-BR")
	}
	if len(s.Logo) > maxLogo {
		wrong("logo: has %d KiB; at most 64 are allowed", len(s.Logo)>>10)
	}
	if len(s.Logo) > 0 && !logoKind[s.LogoType] {
		wrong("logo: must be PNG, JPEG, WebP or SVG")
	}
	if s.Lookup != splitpin.LookupOff && s.Lookup != splitpin.LookupMinimal {
		wrong("lookup: must be off or minimal")
	}
	if !slices.Contains([]splitpin.CaptchaRule{splitpin.CaptchaNever, splitpin.CaptchaEscalation, splitpin.CaptchaPhone, splitpin.CaptchaAlways}, s.Captcha) {
		wrong("captcha: must be never, escalation, phone or always")
	}
	if s.CodeLifetime != 0 && (s.CodeLifetime < 30*time.Second || s.CodeLifetime > 10*time.Minute) {
		wrong("code-lifetime: must be between 30s and 10m")
	}
	if s.CodeTries < 0 || s.CodeTries > 10 {
		wrong("code-tries: must be between 1 and 10")
	}
	if s.AccessLifetime != 0 && (s.AccessLifetime < time.Minute || s.AccessLifetime > 24*time.Hour) {
		wrong("access-lifetime: must be between 1m and 24h")
	}
	if s.RecogniseDays < -1 || s.RecogniseDays > browser.MaxDays {
		wrong("recognise-days: must be between 1 and %d, or off", browser.MaxDays)
	}
	if l := s.Limits; l.StartsPerNetwork < 0 || l.RefusePerNetwork < 0 || l.MessagesPerAddress < 0 || l.MessagesPerDay < 0 {
		wrong("limits: must not be negative; 0 is the default")
	}
	for form, list := range s.Forms {
		for _, i := range list.Identifiers {
			if canonical, _, err := account.ParseIdentifier(i); err != nil {
				wrong("forms: %q of form %q is neither an address, a number nor a name", i, form)
			} else if canonical != i {
				wrong("forms: write %q of form %q as it is stored: %s", i, form, canonical)
			}
		}
		for _, d := range list.Domains {
			if canonical, _, err := account.ParseIdentifier("x@" + d); err != nil || canonical != "x@"+d {
				wrong("forms: the domain %q of form %q would never match; write it like example.org", d, form)
			}
		}
	}
	problems = append(problems, checkPasskeys(s), checkSite(s.Site), checkPhone(s.Phone), checkCode(s))
	return errors.Join(problems...)
}

func checkCode(s splitpin.Settings) error {
	length, alphabet := code.Shape(s)
	seen := map[rune]bool{}
	for _, r := range alphabet {
		if r <= ' ' || r > '~' || strings.ContainsRune("-'\"<>&", r) || seen[r] {
			return fmt.Errorf("code-alphabet: must be different visible ASCII characters, without - and quotes")
		}
		seen[r] = true
	}
	if len(s.CodeAlphabet) == 1 || s.CodeLength < 0 || length < 4 || length > code.MaxLength {
		return fmt.Errorf("code-length: must be between 4 and %d, with at least two characters to choose from", code.MaxLength)
	}
	if p := GuessProbability(s); p > signin.MaxGuessProbability {
		return fmt.Errorf("code-length: with these settings somebody who only guesses has a chance of %s per address and day; at most %s is allowed. %s",
			Odds(p), Odds(signin.MaxGuessProbability), advice(s))
	}
	return nil
}

// advice tells what to change, one thing at a time, so that the chance of a
// guesser is small enough: only what suffices by itself.
func advice(s splitpin.Settings) string {
	safe := func(s splitpin.Settings) bool { return GuessProbability(s) <= signin.MaxGuessProbability }
	var ways []string
	longer := s
	for longer.CodeLength, _ = code.Shape(s); longer.CodeLength <= code.MaxLength; longer.CodeLength++ {
		if safe(longer) {
			ways = append(ways, fmt.Sprintf("a length of %d", longer.CodeLength))
			break
		}
	}
	if len(ways) == 0 {
		ways = append(ways, "more different characters")
	}
	fewer := s
	for fewer.CodeTries = tries(s) - 1; fewer.CodeTries > 0; fewer.CodeTries-- {
		if safe(fewer) {
			ways = append(ways, fmt.Sprintf("at most %d tries", fewer.CodeTries))
			break
		}
	}
	quieter := s
	quieter.Limits.MessagesPerAddress = 0
	if s.Limits.MessagesPerAddress > 0 && safe(quieter) {
		ways = append(ways, "the default limit of messages to an address")
	}
	return "Use " + strings.Join(ways, ", or ")
}

func tries(s splitpin.Settings) int {
	if s.CodeTries == 0 {
		return code.DefaultTries
	}
	return s.CodeTries
}

// GuessProbability is the chance that somebody guesses a code of one address on
// one day under these settings.
func GuessProbability(s splitpin.Settings) float64 {
	return signin.GuessProbability(s, code.Space(s), tries(s))
}

// Odds writes a probability for people: 1 in 22,222.
func Odds(probability float64) string {
	text := strconv.FormatFloat(math.Floor(1/probability+1e-6), 'f', 0, 64) // of 1/10000 it is 10,000
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return "1 in " + text
}

// SetLogo reads an image into settings.
func SetLogo(s *splitpin.Settings, image []byte) {
	s.Logo, s.LogoType = image, http.DetectContentType(image)
	if trimmed := strings.TrimSpace(string(image[:min(len(image), 1024)])); strings.HasPrefix(trimmed, "<svg") || strings.HasPrefix(trimmed, "<?xml") {
		s.LogoType = "image/svg+xml"
	}
}
