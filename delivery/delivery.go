package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/outgoing"
)

// A Letter is one message as it leaves: written, addressed, and holding the code.
// It lives in memory only, and only until its sender returned.
type Letter struct {
	// ID is the same for every try at the same message and differs between
	// messages: lower-case letters and digits. Senders pass it on where the
	// channel has a place for it (Message-ID, an idempotency key), so that a
	// message sent twice can be told from two messages.
	ID string
	// Ref is the same for all letters of one attempt, and tells nothing about it. A
	// Verifier that makes the code itself knows the attempt by it.
	Ref string

	// Attempt is the number of the attempt it belongs to, for who can ask the store; zero:
	// none. It goes to no provider.
	Attempt int64
	// Receipt is the word by which the provider may tell later what became of the letter;
	// empty: nobody would listen.
	Receipt string

	Channel splitpin.Channel
	To      string // canonical address of the channel
	From    string // name of who writes, for people: the project's; empty: the sender's own

	Subject string // one line; empty where the channel has none
	Text    string // lines end in \n
	HTML    string // empty where the channel has none
	Locale  string // language the letter is written in: "en"

	// Code and Link are what the letter asks the reader to use, both of which
	// occur in its text already. They stand here for senders that need them apart,
	// and so that a sender can keep them out of its errors. Empty: none.
	Code splitpin.Secret
	Link splitpin.Secret

	At time.Time // when the message was queued; the date the letter bears
	// Until is when the letter is of no use any more; zero: nobody said. Senders pass
	// it on where the channel has a place for it.
	Until time.Time

	by *writing // how Render wrote it; nil: in full, or by somebody else
}

// A Sender delivers letters of one channel.
//
// Send returns nil when the next hop took responsibility for the letter, and
// a *SendError otherwise. An error of another type counts as temporary. Send is
// called from several goroutines at once, returns soon after ctx ends, and
// retries nothing itself: the outbox does, and remembers.
type Sender interface {
	Send(ctx context.Context, l *Letter) error
}

// A Verifier is a sender whose provider makes the codes, and therefore has to be asked
// whether one is right. The Code of the letters it is given is not used.
type Verifier interface {
	Sender

	// Verify reports whether code is the one that was sent to an address for the
	// attempt that the letter's Ref stands for. A code that is wrong, over or
	// used is not an error; an error is a *SendError and means that nobody knows. The
	// caller has charged the try before.
	Verify(ctx context.Context, to, ref string, code splitpin.Secret) (right bool, err error)
}

// A Checker is a sender that can tell, without sending anything, whether it would work.
type Checker interface {
	// Check returns the steps it made; the last one tells whether all is well.
	Check(context.Context) []CheckStep
}

// A Stage names the step at which sending failed. It is stable: operators search
// for it, docs/operate/mail.md and phones.md explain each.
type Stage string

const (
	StageConfig    Stage = "config"    // the sender's settings cannot work
	StageResolve   Stage = "resolve"   // no address for the server's name
	StageConnect   Stage = "connect"   // nobody answers there, or not as such a server
	StageTLS       Stage = "tls"       // no encrypted connection to a server we trust
	StageAuth      Stage = "auth"      // the server refuses user name or password
	StageMessage   Stage = "message"   // the letter itself cannot be sent over this channel
	StageFrom      Stage = "from"      // the server refuses our address
	StageRecipient Stage = "recipient" // the server refuses the reader's address
	StageRegion    Stage = "region"    // the server takes nothing for the reader's country
	StageData      Stage = "data"      // the server refuses the content
	StageCancelled Stage = "cancelled" // we stopped: shutdown, or out of time
)

// aboutServer reports whether failing at this stage says nothing about the letter:
// every other letter would fail the same way just now.
func (s Stage) aboutServer() bool {
	switch s {
	case StageConfig, StageResolve, StageConnect, StageTLS, StageAuth:
		return true
	}
	return false
}

// A SendError says which step failed, and whether trying again may help.
type SendError struct {
	Stage     Stage
	Temporary bool
	// Uncertain says that the next hop may have taken the letter all the same, and that
	// sending it once more may cost once more. The outbox does not, then.
	Uncertain bool

	// Detail is for the operator: what was seen, in a sentence, with the server's
	// own reply where there is one. It holds no code, link, password or full
	// address; see Scrub.
	Detail string

	cause error
}

func (e *SendError) Error() string { return string(e.Stage) + ": " + e.Detail }

// Unwrap returns what caused the failure, where that is more than a reply. Its
// text may hold what Detail leaves out.
func (e *SendError) Unwrap() error { return e.cause }

// asSendError returns the SendError inside err; an error that has none is one
// that may pass.
func asSendError(err error) *SendError {
	var e *SendError
	if errors.As(err, &e) {
		return e
	}
	return &SendError{Stage: StageConnect, Temporary: true, Detail: err.Error(), cause: err}
}

// aNumber is what could be a phone number, however it is written: seven digits and
// more. Codes of providers have fewer.
var aNumber = regexp.MustCompile(`\+?\d(?:[ ().-]{0,2}\d){6,}`)

// maxDetail bounds what is stored of a server's reply, in characters.
const maxDetail = 240

var anAddress = regexp.MustCompile(`[^\s<>"'(),;:=@]+@([A-Za-z0-9.\-\[\]:]+)`)

// Scrub makes text from outside fit for Detail: one line of at most 240
// characters, without the letter's code and link, with the local part of every mail
// address replaced, and, where the letter goes to a phone, whatever looks like a number.
// A nil letter has neither code nor link.
func Scrub(text string, l *Letter) string {
	if l != nil {
		// The link first: it may contain the code.
		replace := func(secret, name string) {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, name)
			}
		}
		replace(l.Link.Reveal(), "[link]")
		if !strings.Contains(l.To, "@") {
			// A phone number, which has no part to keep, and comes back in any spelling. (A
			// long code is taken for one.)
			replace(l.To, "[recipient]")
			text = aNumber.ReplaceAllString(text, "[number]")
		}
		replace(l.Code.Reveal(), "[code]")
	}
	text = anAddress.ReplaceAllString(text, "…@$1")
	return oneLine(text, maxDetail)
}

// oneLine folds white space to single spaces, drops control and format characters
// (which include those that reorder text), and cuts at max characters.
func oneLine(text string, max int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = n > 0
			continue
		case r == utf8.RuneError, unicode.Is(unicode.Cc, r), unicode.Is(unicode.Cf, r):
			continue
		}
		if space {
			b.WriteByte(' ')
			n, space = n+1, false
		}
		if n >= max-1 {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// A Config chooses the sender of each channel. Every channel without one has no
// sender, and its messages wait until they expire.
type Config struct {
	// Email names the sender of mail: "smtp" or "inbox". Empty: smtp where a host
	// is set, else inbox where there is one, else none.
	Email string
	// SMS and WhatsApp name the senders for phones: "twilio", "twilio_verify",
	// "vonage", "sns", "cloud", "webhook", "webhook_verify" or "inbox". Empty: the one that has settings, where
	// that is clear; inbox in development; else none.
	SMS, WhatsApp string

	SMTP     SMTPConfig
	Twilio   TwilioConfig
	Vonage   VonageConfig
	SNS      SNSConfig
	CloudAPI WhatsAppConfig
	Webhook  WebhookConfig
	Inbox    *Inbox // where "inbox" puts letters; nil outside development

	// Client is what the senders for phones ask their providers with; nil: a strict one
	// of package outgoing.
	Client *http.Client

	// ReportsURL is where providers tell later what became of messages, without the
	// channel: "https://login.example.com/reports". Empty: they are not asked to.
	ReportsURL string
}

// Open returns the senders that cfg describes. It connects nowhere; its error
// names everything that is wrong with cfg at once, one line each.
func Open(cfg Config) (map[splitpin.Channel]Sender, error) {
	if cfg.Client == nil {
		cfg.Client = outgoing.New(outgoing.Options{})
	}
	senders := make(map[splitpin.Channel]Sender)
	var problems []error
	for _, channel := range []splitpin.Channel{splitpin.EmailChannel, splitpin.SMSChannel, splitpin.WhatsAppChannel} {
		sender, err := cfg.open(channel)
		switch {
		case err != nil:
			problems = append(problems, err)
		case sender != nil:
			senders[channel] = sender
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return senders, nil
}

// phoneSenders are the senders for phones there are, by the name that settings have
// for them. given reports whether the settings of one mean it to be used on a channel
// for which none is named; a channel for which there is more than one must name it.
var phoneSenders = []struct {
	name     string
	channels []splitpin.Channel
	given    func(*Config, splitpin.Channel) bool
	open     func(*Config) (Sender, error)
}{
	{"twilio", []splitpin.Channel{splitpin.WhatsAppChannel},
		func(c *Config, _ splitpin.Channel) bool {
			return c.Twilio.WhatsAppFrom != "" || c.Twilio.WhatsAppContent != ""
		},
		func(c *Config) (Sender, error) { return maybe(NewTwilioWhatsApp(c.Twilio)) }},
	{"twilio", []splitpin.Channel{splitpin.SMSChannel},
		func(c *Config, _ splitpin.Channel) bool {
			t := &c.Twilio
			return t.From != "" || t.MessagingService != "" || t.VerifyService == "" && t.WhatsAppFrom == "" && (t.AccountSID != "" || t.Secret != "")
		},
		func(c *Config) (Sender, error) { return maybe(NewTwilio(c.Twilio)) }},
	{"twilio_verify", []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel},
		func(c *Config, channel splitpin.Channel) bool {
			return channel == splitpin.SMSChannel && c.Twilio.VerifyService != ""
		},
		func(c *Config) (Sender, error) { return maybe(NewTwilioVerify(c.Twilio)) }},
	{"vonage", []splitpin.Channel{splitpin.SMSChannel},
		func(c *Config, _ splitpin.Channel) bool {
			return c.Vonage.APIKey != "" || c.Vonage.Secret != "" || c.Vonage.From != ""
		},
		func(c *Config) (Sender, error) { return maybe(NewVonage(c.Vonage)) }},
	{"sns", []splitpin.Channel{splitpin.SMSChannel},
		func(c *Config, _ splitpin.Channel) bool {
			return c.SNS.AccessKeyID != "" || c.SNS.Secret != "" || c.SNS.Region != "" || c.SNS.From != ""
		},
		func(c *Config) (Sender, error) { return maybe(NewSNS(c.SNS)) }},
	{"cloud", []splitpin.Channel{splitpin.WhatsAppChannel},
		func(c *Config, _ splitpin.Channel) bool {
			return c.CloudAPI.PhoneNumberID != "" || c.CloudAPI.Token != "" || c.CloudAPI.Template != ""
		},
		func(c *Config) (Sender, error) { return maybe(NewWhatsApp(c.CloudAPI)) }},
	{"webhook", []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel},
		func(c *Config, channel splitpin.Channel) bool {
			return channel == splitpin.SMSChannel && (c.Webhook.URL != "" || c.Webhook.Secrets != "") && c.WhatsApp != "webhook" && c.WhatsApp != "webhook_verify"
		},
		func(c *Config) (Sender, error) { return maybe(NewWebhook(c.Webhook)) }},
	{"webhook_verify", []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel},
		func(*Config, splitpin.Channel) bool { return false },
		func(c *Config) (Sender, error) {
			w, err := NewWebhook(c.Webhook)
			return maybe(&WebhookVerify{w}, err)
		}},
}

// maybe keeps a nil pointer from becoming a sender.
func maybe[S Sender](s S, err error) (Sender, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// open returns the sender of one channel; nil: there is none.
func (cfg Config) open(channel splitpin.Channel) (Sender, error) {
	name := map[splitpin.Channel]string{splitpin.EmailChannel: cfg.Email, splitpin.SMSChannel: cfg.SMS, splitpin.WhatsAppChannel: cfg.WhatsApp}[channel]
	for _, client := range []**http.Client{&cfg.Twilio.Client, &cfg.Vonage.Client, &cfg.SNS.Client, &cfg.CloudAPI.Client, &cfg.Webhook.Client} {
		*client = cfg.Client
	}
	cfg.Twilio.ReportsURL, cfg.Vonage.ReportsURL = cfg.ReportsURL, cfg.ReportsURL
	var names, meant []string
	open := map[string]func(*Config) (Sender, error){}
	if channel == splitpin.EmailChannel {
		names, open["smtp"] = append(names, "smtp"), func(c *Config) (Sender, error) { return maybe(NewSMTP(c.SMTP)) }
		if cfg.SMTP.Host != "" {
			meant = append(meant, "smtp")
		}
	}
	for _, s := range phoneSenders {
		if !slices.Contains(s.channels, channel) {
			continue
		}
		names, open[s.name] = append(names, s.name), s.open
		if s.given(&cfg, channel) {
			meant = append(meant, s.name)
		}
	}
	if name == "" && len(meant) > 1 {
		return nil, fmt.Errorf("%s.sender: is missing; there are settings for %s", channel, strings.Join(meant, " and for "))
	}
	if name == "" && len(meant) == 1 {
		name = meant[0]
	}
	if open := open[name]; open != nil {
		return open(&cfg)
	}
	switch {
	case (name == "inbox" || name == "") && cfg.Inbox != nil:
		return cfg.Inbox, nil
	case name == "":
		return nil, nil
	case name == "inbox":
		return nil, fmt.Errorf("%s.sender: the inbox is for development only; use %s", channel, strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("%s.sender: there is no %q; use %s", channel, name, strings.Join(names, ", "))
}
