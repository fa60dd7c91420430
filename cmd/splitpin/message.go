package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/store"
)

type messageCommand struct {
	Resume messageResume `cmd:"" help:"Let messages leave from a trial copy, which was restored with its senders off."`
	List   messageList   `cmd:"" help:"List messages, newest first, and what became of each."`
	Test   messageTest   `cmd:"" help:"Send one message now, by the senders of the configuration, to see whether it arrives."`
}

type messageList struct {
	whose
	To      string `help:"Only those to this address." placeholder:"ADDRESS"`
	GivenUp bool   `help:"Only those that were given up."`
	Limit   int    `help:"At most so many." default:"50" placeholder:"N"`
}

// Run shows the outbox. Messages are kept for an hour after they expired.
func (c *messageList) Run(ctx context.Context, t terminal) error {
	in, p, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	filter := splitpin.MessageFilter{Project: p.Number, GivenUp: c.GivenUp}
	if c.To != "" {
		if filter.To, _, err = account.ParseIdentifier(c.To); err != nil {
			return err
		}
	}
	messages, err := in.store.Messages(ctx, filter, c.Limit)
	if err != nil {
		return err
	}
	if len(messages) == 0 {
		t.printf("No messages. They are kept for an hour after they expired.\n")
	}
	to, what := 0, 0 // widths
	for _, m := range messages {
		to, what = max(to, utf8.RuneCountInString(m.To)), max(what, utf8.RuneCountInString(content(m)))
	}
	for _, m := range messages {
		cost := ""
		if m.Cost > 0 {
			cost = ", " + signin.Amount(m.Cost) + " set aside"
		}
		t.printf("%s  %-*s  %-*s  %s%s\n", m.CreatedAt.Format(time.RFC3339), to, m.To, what, content(m), in.journey(m), cost)
		if m.Template != "link" { // a notice belongs to the attempt that it tells of
			continue
		}
		history, err := in.linkHistory(ctx, m.Attempt)
		if err != nil {
			return err
		}
		for _, line := range history {
			t.printf("%22s%s\n", "", line)
		}
	}
	return nil
}

// contents says what a message of each template is.
var contents = map[string]string{
	"code":              "code",
	"link":              "code and link",
	"passkey_added":     "notice of a new passkey",
	"account_connected": "notice of a new account at a provider",
	"browser_added":     "notice of a recognised browser",
	"recovery_begun":    "notice of a recovery",
}

// content says what a message is and how it goes: "code by sms".
func content(m *splitpin.Message) string {
	return otherwise(contents[m.Template], m.Template) + " by " + string(m.Channel)
}

// linkHistory is linkHistory of an attempt by its number; nothing where it is gone.
func (in *installation) linkHistory(ctx context.Context, attempt int64) ([]string, error) {
	r, err := in.store.Load(ctx, splitpin.Reads{Attempt: attempt})
	if err != nil || r.Attempt == nil {
		return nil, err
	}
	return linkHistory(r.Attempt), nil
}

// linkHistory tells how the link of a message was opened and what came of it; nothing
// where nobody did, or it has none. Programs open links long before people do, and
// more often.
func linkHistory(a *splitpin.Attempt) []string {
	var lines []string
	count := func(n int, what string) {
		if n == 0 {
			return
		}
		line := "link " + what + " " + times(n)
		if n >= splitpin.MaxLinkOpens {
			line += " (and more are not counted)"
		}
		lines = append(lines, line)
	}
	o := a.LinkOpens
	pages, scripts := o.Of(splitpin.OpenedAsPage), o.Of(splitpin.OpenedByScript)
	count(o.Of(splitpin.OpenedByHead), "asked for with HEAD, by a program,")
	count(o.Of(splitpin.OpenedByFetch), "fetched by a program: a preview or a scanner,")
	count(max(0, pages-scripts), "loaded as a page whose script did not run,")
	count(scripts, "loaded in a browser, by a person or a scanner,")
	if a.LinkTries > 0 {
		lines = append(lines, "link: tried in vain, "+times(a.LinkTries))
	}
	switch a.Link {
	case splitpin.LinkHere:
		lines = append(lines, "link: signed in where it was opened, at "+a.ProvedAt.Format(time.RFC3339))
	case splitpin.LinkLetIn:
		lines = append(lines, "link: let the asking screen in, at "+a.ProvedAt.Format(time.RFC3339))
	case splitpin.LinkRefused:
		lines = append(lines, "link: somebody who opened it said that it was not them")
	}
	if !a.ProvedAt.IsZero() && !a.DeniedAt.IsZero() {
		lines = append(lines, "link: somebody who opened it later said that this sign-in was not theirs, and ended it, at "+a.DeniedAt.Format(time.RFC3339))
	}
	return lines
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

type messageResume struct{ where }

// Run turns the senders on. A server that runs notices with its next message.
func (c *messageResume) Run(ctx context.Context, t terminal) error {
	in, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	since, err := in.store.Mark(ctx, store.SendersOff)
	if err != nil {
		return err
	}
	if since == "" {
		t.printf("Messages leave already; nothing was changed.\n")
		return nil
	}
	if err := in.store.SetMark(ctx, store.SendersOff, ""); err != nil {
		return err
	}
	t.printf("Messages leave from now on, to the people whose addresses are in here. They did not since %s.\n", since)
	return nil
}

// holdBack returns the senders, or in a trial copy, which must not write to people,
// senders that send nothing until they are told to.
func (in *installation) holdBack(ctx context.Context, senders map[splitpin.Channel]delivery.Sender, log *slog.Logger) (map[splitpin.Channel]delivery.Sender, error) {
	since, err := in.store.Mark(ctx, store.SendersOff)
	if err != nil || since == "" {
		return senders, err
	}
	log.Warn("this is a trial copy, and no message leaves it: turn the senders on with 'splitpin message resume'", "since", since)
	held := make(map[splitpin.Channel]delivery.Sender)
	for channel, sender := range senders {
		h := heldSender{sender, in.store}
		held[channel] = h
		if v, ok := sender.(delivery.Verifier); ok {
			held[channel] = heldVerifier{h, v}
		}
	}
	return held, nil
}

// A heldSender sends nothing while the installation says so.
type heldSender struct {
	delivery.Sender
	store store.Database
}

func (s heldSender) Send(ctx context.Context, l *delivery.Letter) error {
	since, err := s.store.Mark(ctx, store.SendersOff)
	switch {
	case err != nil:
		return err
	case since != "":
		return &delivery.SendError{Stage: delivery.StageConfig, Temporary: true,
			Detail: "senders are off, since this is a trial copy of another installation: turn them on with 'splitpin message resume'"}
	}
	return s.Sender.Send(ctx, l)
}

// A heldVerifier is a heldSender whose provider is asked about its codes all the same.
type heldVerifier struct {
	heldSender
	verifier delivery.Verifier
}

func (s heldVerifier) Verify(ctx context.Context, to, ref string, code splitpin.Secret) (bool, error) {
	return s.verifier.Verify(ctx, to, ref, code)
}

func (s heldSender) Close() error {
	if c, ok := s.Sender.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

type messageTest struct {
	Config  string `help:"Configuration file of the server (YAML)." placeholder:"FILE" env:"SPLITPIN_CONFIG_FILE"`
	To      string `help:"An address or a number of your own, like ada@example.com or +4915112345678." required:"" placeholder:"ADDRESS"`
	Channel string `help:"How: email, sms or whatsapp." placeholder:"NAME"`
	Locale  string `help:"In which language." default:"en" placeholder:"LOCALE"`
}

// testPatience is how long a sender may take to hand over one message.
const testPatience = time.Minute

// Run sends a message as a sign-in would, but past the outbox, the limits and the
// budget: the database is not opened. The code in it opens nothing.
func (c *messageTest) Run(ctx context.Context, t terminal) error {
	d, wrong, err := describe(c.Config)
	if err != nil {
		return err
	}
	if err := wrong.err(); err != nil {
		return err
	}
	to, kind, err := account.ParseIdentifier(c.To)
	if err != nil {
		return err
	}
	if kind == splitpin.OtherName {
		return fmt.Errorf("--to: %s is no address, and a number needs its country code: write +4915112345678 for 015112345678 in Germany", to)
	}
	channel := splitpin.Channel(c.Channel)
	if channel == "" {
		channel = splitpin.EmailChannel
		if kind == splitpin.Phone {
			channel = splitpin.SMSChannel
		}
	}
	if (kind == splitpin.Email) != (channel == splitpin.EmailChannel) {
		return fmt.Errorf("--channel %s: %s cannot be reached that way", channel, to)
	}
	sender := d.senders[channel]
	if sender == nil {
		return fmt.Errorf("no sender is configured for %s: see docs/operate/phones.md", channel)
	}
	if closer, ok := sender.(io.Closer); ok {
		defer closer.Close()
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1e6))
	if err != nil {
		return err
	}
	now := now()
	code := splitpin.Secret(fmt.Sprintf("%06d", n))
	id := strings.ToLower(rand.Text())
	l := &delivery.Letter{ID: "test" + id, Ref: "test" + id, Channel: channel, To: to, At: now, Until: now.Add(10 * time.Minute)}
	v := delivery.Values{Code: code, Project: "Splitpin test", Host: d.public.Hostname(), Device: "Command line", AskedAt: now, ExpiresAt: l.Until}
	if err := delivery.Builtin().Render(l, channel, "code", c.Locale, &v); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, testPatience)
	defer cancel()
	if err := sender.Send(within, l); err != nil {
		return fmt.Errorf("the message was not taken: %w", err)
	}
	if _, theirs := sender.(delivery.Verifier); theirs {
		t.printf("The message was taken for %s by %s. Its code is the provider's, so nobody here knows it.\n", to, channel)
		return nil
	}
	t.printf("The message was taken for %s by %s. It shows the code %s, which opens nothing.\n", to, channel, code.Reveal())
	return nil
}
