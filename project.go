package splitpin

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"time"
)

// A Project is one app that people sign in to. It has its own keys, secrets,
// origins, limits and look; nothing of one project is accepted by another.
type Project struct {
	Number  int64
	ID      string // the API_KEY_ID: public, at least 36 characters, may be given from outside
	Default bool   // the one that the root of the server serves

	Settings  Settings
	Secrets   []ProjectSecret
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Settings are what an operator may change about a project. The zero value is
// usable: every field says what its zero means.
type Settings struct {
	Name    string   `json:"name,omitempty"`    // shown to people; empty: "Sign in"
	Issuer  string   `json:"issuer,omitempty"`  // the iss claim; empty: the server's public URL
	Origins []string `json:"origins,omitempty"` // sites and app schemes that may ask; see Origin

	// ReturnPages are the pages to which a sign-in may return, of the sites and app schemes that
	// have one here; see [ParseReturnPage]. A site without any may be returned to anywhere.
	ReturnPages []string `json:"return_pages,omitempty"`

	Colour string `json:"colour,omitempty"` // #rrggbb; empty: ours
	Locale string `json:"locale,omitempty"` // of pages and messages; empty: en

	Logo     []byte `json:"logo,omitempty"`      // an image of at most 64 KiB; empty: the name alone
	LogoType string `json:"logo_type,omitempty"` // image/png, image/svg+xml, image/jpeg or image/webp

	Lookup  Lookup      `json:"lookup,omitempty"`
	Captcha CaptchaRule `json:"captcha,omitempty"`

	// PasskeySite is the one host that all passkeys of the project are for (the RP id);
	// empty: the host of each page that asks. Changing it orphans the passkeys there are.
	PasskeySite string `json:"passkey_site,omitempty"`
	// FormerSites are hosts whose passkeys were given up: nobody can use them any more, and
	// the operator knows.
	FormerSites []string `json:"former_sites,omitempty"`

	// PasskeyRequired lets everybody who has a passkey in by that alone: another proof only
	// begins a recovery, which waits for RecoveryDelay. Zero: 24 hours.
	PasskeyRequired bool          `json:"passkey_required,omitempty"`
	RecoveryDelay   time.Duration `json:"recovery_delay,omitempty"`

	CodeLength   int           `json:"code_length,omitempty"`   // zero: 6
	CodeAlphabet string        `json:"code_alphabet,omitempty"` // empty: 0123456789
	CodeLifetime time.Duration `json:"code_lifetime,omitempty"` // zero: 10 minutes
	CodeTries    int           `json:"code_tries,omitempty"`    // zero: 5

	// LinkApproval lets whoever opens a link elsewhere let the asking screen in, by its two
	// digits. A phisher whose screen it is shows the digits too.
	LinkApproval bool `json:"link_approval,omitempty"`

	// NoAccountPage switches off the page of this server on which people look after their
	// account.
	NoAccountPage bool `json:"no_account_page,omitempty"`

	// RecogniseDays is how long a browser that was told to remember a sign-in may come back
	// without a code, in days; zero: 30, which is the most. Negative: never.
	RecogniseDays int `json:"recognise_days,omitempty"`

	// AccessLifetime is the life of access and id tokens; zero: one hour.
	AccessLifetime time.Duration `json:"access_lifetime,omitempty"`

	// Methods are the names of the ways to sign in that the project offers; empty: all
	// that the installation has.
	Methods []string `json:"methods,omitempty"`

	Limits Limits `json:"limits,omitzero"`

	Phone PhoneSettings `json:"phone,omitzero"`

	// Forms are allow-lists by form id; the empty id is the project's own list, for
	// every form that has none. Without any list everybody may sign in; where there
	// are lists but none for a form, who is on any of them.
	Forms map[string]AllowList `json:"forms,omitempty"`

	Site Site `json:"site,omitzero"`

	// Providers are the social sign-ins that are offered, in this order.
	Providers []Provider `json:"providers,omitempty"`
}

// Limits are a project's own settings of the limits that are on by default.
// Zero means the default, which package signin names.
type Limits struct {
	StartsPerNetwork   int `json:"starts_per_network,omitempty"`   // starts from one network in 5 minutes before a puzzle is asked
	RefusePerNetwork   int `json:"refuse_per_network,omitempty"`   // starts from one network in 5 minutes before they are refused
	MessagesPerAddress int `json:"messages_per_address,omitempty"` // messages that strangers may cause to one address in 10 minutes
	MessagesPerDay     int `json:"messages_per_day,omitempty"`     // the same in a day
}

// PhoneSettings are what a project sends to phones and what that may cost. Amounts are
// in millionths of the currency of the prices, which is US dollars where the project
// has no prices of its own. Zero means the default, which package signin names.
type PhoneSettings struct {
	Channels  []Channel `json:"channels,omitempty"`  // sms and whatsapp: those that people may choose from, the first by default; empty: sms
	Fallback  bool      `json:"fallback,omitempty"`  // a message that its channel cannot deliver goes over another of them
	Countries []string  `json:"countries,omitempty"` // ISO 3166-1 codes of the countries to which messages go, or "*"; empty: to none

	BudgetDay  int64            `json:"budget_day,omitempty"`  // in any 24 hours
	BudgetHour int64            `json:"budget_hour,omitempty"` // in any hour; zero: half of the day's
	Prices     map[string]int64 `json:"prices,omitempty"`      // of one message, by country, in the place of the shipped estimates
	Limits     PhoneLimits      `json:"limits,omitzero"`
}

// PhoneLimits are how many messages may go to one of each kind. All but Number hold
// for numbers that never signed in to the project.
type PhoneLimits struct {
	Number  Rate `json:"number,omitzero"`
	Prefix  Rate `json:"prefix,omitzero"` // the first six digits, with the calling code
	Country Rate `json:"country,omitzero"`
	Network Rate `json:"network,omitzero"` // of who asked; a wider network has four times the room
}

// A Rate is how many at once in an hour and in a day. As many come in again in that time.
type Rate struct {
	Hour int `json:"hour,omitempty"`
	Day  int `json:"day,omitempty"`
}

// An AllowList names who may sign in through a form.
type AllowList struct {
	Identifiers []string `json:"identifiers,omitempty"` // as they are stored: lower-case addresses, E.164 numbers
	Domains     []string `json:"domains,omitempty"`     // of email addresses, without @
}

// Admits reports whether identifier is on the list.
func (l AllowList) Admits(identifier string) bool {
	for _, i := range l.Identifiers {
		if i == identifier {
			return true
		}
	}
	_, domain, ok := strings.Cut(identifier, "@")
	for _, d := range l.Domains {
		if ok && d == domain {
			return true
		}
	}
	return false
}

// Lookup says what strangers learn when they ask about a user.
type Lookup string

const (
	LookupOff     Lookup = ""        // as if nobody existed
	LookupMinimal Lookup = "minimal" // that the user exists, and the ids clients need
)

// A CaptchaRule says when a captcha is asked of who starts a sign-in, on a server that has a
// provider of captchas; elsewhere it changes nothing.
type CaptchaRule string

const (
	CaptchaNever      CaptchaRule = ""           // a puzzle of ours, for a network that starts many
	CaptchaEscalation CaptchaRule = "escalation" // in the place of that puzzle
	CaptchaPhone      CaptchaRule = "phone"      // for every phone number
	CaptchaAlways     CaptchaRule = "always"
)

// A SecretKind tells what a project secret is good for.
type SecretKind string

const (
	ServerSecret SecretKind = "server" // held by a backend; opens the endpoints for servers
	AppKey       SecretKind = "app"    // shipped in apps, so public: known, and good for nothing
)

// A ProjectSecret is kept as a hash. Two server secrets may be active, so that
// one can be replaced without a gap.
type ProjectSecret struct {
	Hash      [32]byte   `json:"hash"` // SHA-256; the secret has at least 128 bits, so no key is needed
	Kind      SecretKind `json:"kind"`
	CreatedAt time.Time  `json:"created_at"`
	RetiresAt time.Time  `json:"retires_at,omitzero"` // zero: stays
}

// HasServerSecret reports whether secret opens the endpoints for servers now.
func (p *Project) HasServerSecret(now time.Time, secret Secret) bool {
	hash := sha256.Sum256([]byte(secret.Reveal()))
	found := false
	for _, s := range p.Secrets {
		live := s.RetiresAt.IsZero() || now.Before(s.RetiresAt)
		same := subtle.ConstantTimeCompare(s.Hash[:], hash[:]) == 1
		if same && live && s.Kind == ServerSecret {
			found = true
		}
	}
	return found
}

// Name returns what people are told they sign in to.
func (p *Project) Name() string {
	if p.Settings.Name == "" {
		return "this site"
	}
	return p.Settings.Name
}
