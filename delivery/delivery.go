package delivery

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/splitpin/splitpin"
)

// A Letter is one message as it leaves: written, addressed, and holding the code.
// It lives in memory only, and only until its sender returned.
type Letter struct {
	// ID is the same for every try at the same message and differs between
	// messages: lower-case letters and digits. Senders pass it on where the
	// channel has a place for it (Message-ID, an idempotency key), so that a
	// message sent twice can be told from two messages.
	ID string

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

// A Stage names the step at which sending failed. It is stable: operators search
// for it, docs/operate/mail.md explains each.
type Stage string

const (
	StageConfig    Stage = "config"    // the sender's settings cannot work
	StageResolve   Stage = "resolve"   // no address for the server's name
	StageConnect   Stage = "connect"   // nobody answers there, or not as such a server
	StageTLS       Stage = "tls"       // no encrypted connection to a server we trust
	StageAuth      Stage = "auth"      // the server refuses user name or password
	StageLetter    Stage = "letter"    // the letter itself cannot be sent over this channel
	StageFrom      Stage = "from"      // the server refuses our address
	StageRecipient Stage = "recipient" // the server refuses the reader's address
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

// maxDetail bounds what is stored of a server's reply, in characters.
const maxDetail = 240

var anAddress = regexp.MustCompile(`[^\s<>"'(),;:=@]+@([A-Za-z0-9.\-\[\]:]+)`)

// Scrub makes text from outside fit for Detail: one line of at most 240
// characters, without the letter's code and link, and with the local part of
// every mail address replaced. A nil letter has neither code nor link.
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
			replace(l.To, "[recipient]") // a phone number, which has no part to keep
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

	SMTP  SMTPConfig
	Inbox *Inbox // where "inbox" puts letters; nil outside development
}

// Open returns the senders that cfg describes. It connects nowhere; its error
// names everything that is wrong with cfg at once, one line each.
func Open(cfg Config) (map[splitpin.Channel]Sender, error) {
	senders := make(map[splitpin.Channel]Sender)
	email := cfg.Email
	if email == "" {
		switch {
		case cfg.SMTP.Host != "":
			email = "smtp"
		case cfg.Inbox != nil:
			email = "inbox"
		}
	}
	switch email {
	case "":
	case "smtp":
		s, err := NewSMTP(cfg.SMTP)
		if err != nil {
			return nil, err
		}
		senders[splitpin.EmailChannel] = s
	case "inbox":
		if cfg.Inbox == nil {
			return nil, errors.New("email: the inbox is for development only; set smtp")
		}
		senders[splitpin.EmailChannel] = cfg.Inbox
	default:
		return nil, fmt.Errorf("email: there is no sender %q; use smtp or inbox", email)
	}
	return senders, nil
}
