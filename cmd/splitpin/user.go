package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/signin"
)

type userCommand struct {
	Import         userImport         `cmd:"" help:"Move users in from a JSON list; they keep their ids."`
	Show           userShow           `cmd:"" help:"Show a user and the sessions."`
	Export         userExport         `cmd:"" help:"Write everything that is held about one user, or all users of a project, as JSON."`
	RequirePasskey userRequirePasskey `cmd:"" help:"Let somebody who has a passkey in by that alone, whatever the project says."`
	Recover        userRecover        `cmd:"" help:"Let somebody who lost every passkey in by the next code, at once. Be sure who asks."`
	Delete         userDelete         `cmd:"" help:"Erase a user. The audit log keeps a pseudonym."`
}

// whose is the project that a command about users works on.
type whose struct {
	where
	Project string `help:"API key id. Empty: the default project." placeholder:"ID"`
}

func (w whose) open(ctx context.Context) (*installation, *splitpin.Project, error) {
	return w.openProject(ctx, w.Project)
}

// openUser opens what a command about one user works on. Whoever gets it closes it.
func (w whose) openUser(ctx context.Context, who string) (*installation, *splitpin.Project, *splitpin.User, error) {
	in, p, err := w.open(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	u, err := in.user(ctx, p, who)
	if err != nil {
		in.Close()
		return nil, nil, nil, err
	}
	return in, p, u, nil
}

// user finds somebody by address, number, name or id.
func (in *installation) user(ctx context.Context, p *splitpin.Project, who string) (*splitpin.User, error) {
	u, err := in.people.ByIdentifier(ctx, p.Number, who)
	if e := splitpin.ErrorOf(err); e != nil && e.Kind == splitpin.NotFound {
		u, err = in.people.ByID(ctx, p.Number, who)
	}
	if e := splitpin.ErrorOf(err); e != nil && e.Kind == splitpin.NotFound {
		return nil, fmt.Errorf("project %s has no user with that identifier or id", p.Name())
	}
	return u, err
}

type userImport struct {
	whose
	File string `arg:"" help:"JSON array of users with ID, client_user_id, identifier and created_at. - reads standard input."`
}

func (c *userImport) Run(ctx context.Context, t terminal) error {
	in, p, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	list := t.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("opening the list: %w", err)
		}
		defer f.Close()
		list = f
	}
	told := time.Now()
	report, err := in.people.Import(ctx, p.Number, bufio.NewReaderSize(list, 1<<20), func(seen int) {
		if time.Since(told) > 2*time.Second {
			told = time.Now()
			fmt.Fprintf(t.err, "%d users looked at\n", seen)
		}
	})
	if err != nil && report.Created+report.Known+report.Deleted+len(report.Refused) == 0 {
		return err // the list is none, or ends before its first user
	}
	t.printf("Moved in: %d. Here already: %d. Deleted in the list, so left out: %d. Refused: %d.\n",
		report.Created, report.Known, report.Deleted, len(report.Refused))
	slices.SortFunc(report.Refused, func(a, b account.Refused) int { return a.Index - b.Index })
	for i, r := range report.Refused {
		if i == 20 {
			t.printf("  and %d more\n", len(report.Refused)-i)
			break
		}
		t.printf("  user %d of the list: %s\n", r.Index+1, r.Why)
	}
	if err != nil {
		return fmt.Errorf("%w\nMend the list and import it again: who was moved in stays, and nobody is made twice", err)
	}
	if len(report.Refused) > 0 {
		return errors.New("not everybody could be moved in. Mend the list and import it again: nobody is made twice")
	}
	return nil
}

type userShow struct {
	whose
	User string `arg:"" help:"Address, number, name or id."`
}

func (c *userShow) Run(ctx context.Context, t terminal) error {
	in, p, u, err := c.openUser(ctx, c.User)
	if err != nil {
		return err
	}
	defer in.Close()
	proved := "never: no sign-in yet"
	if !u.ProvedAt.IsZero() {
		proved = u.ProvedAt.Format(time.RFC3339)
	}
	t.printf("%-15s %s\n%-15s %s (%s)\n%-15s %s\n%-15s %s\n%-15s %s\n", "ID", u.ID, "Identifier", u.Identifier,
		strings.ToLower(u.Kind.String()), "client_user_id", u.LegacyID(), "Proved", proved, "Created", u.CreatedAt.Format(time.RFC3339))
	sessions, err := in.engine.Sessions(ctx, u)
	if err != nil {
		return err
	}
	if account.RequiresPasskey(p, u) {
		t.printf("%-15s %s\n", "Passkey", "required")
	}
	has, err := in.engine.Credentials(ctx, u)
	if err != nil {
		return err
	}
	for _, h := range has {
		t.printf("%-15s %s\n", "Credential", credentialLine(h))
	}
	for _, s := range sessions {
		t.printf("%-15s %d  %s  since %s, last used %s\n", "Session", s.Number, s.Device, s.CreatedAt.Format(time.RFC3339), s.UsedAt.Format(time.RFC3339))
	}
	messages, err := in.store.Messages(ctx, splitpin.MessageFilter{Project: p.Number, To: u.Identifier}, 10)
	if err != nil {
		return err
	}
	for _, m := range messages {
		t.printf("%-15s %s  %s, %s\n", "Message", m.CreatedAt.Format(time.RFC3339), content(m), in.journey(m))
	}
	return nil
}

// credentialLine says in words what somebody can sign in with.
func credentialLine(c *splitpin.Credential) string {
	text := strings.TrimSpace(string(c.Kind) + " " + c.Label)
	if c.Site != "" {
		text += " at " + c.Site
	}
	text += ", since " + c.CreatedAt.Format(time.RFC3339)
	if c.UsedAt.IsZero() {
		return text + ", never used"
	}
	return text + ", last used " + c.UsedAt.Format(time.RFC3339)
}

// journey says what became of a message.
func (in *installation) journey(m *splitpin.Message) string {
	switch {
	case !m.SentAt.IsZero() && in.development:
		return "shown in the inbox at " + m.SentAt.Format(time.RFC3339)
	case !m.SentAt.IsZero():
		by := "the mail server"
		if m.Channel != splitpin.EmailChannel {
			by = "the provider for " + string(m.Channel)
		}
		text := "accepted by " + by + " at " + m.SentAt.Format(time.RFC3339)
		if m.Reason != "" {
			text += ", " + m.Reason
		}
		switch {
		case m.Report == delivery.Delivered:
			text += ", delivered at " + m.ReportedAt.Format(time.RFC3339)
		case m.Report != "":
			text += ", not delivered (" + m.Report + ") as told at " + m.ReportedAt.Format(time.RFC3339)
		}
		return text
	case !m.GivenUpAt.IsZero():
		return "given up: " + m.Reason
	case m.Reason != "":
		return fmt.Sprintf("waiting after %d tries: %s", m.Tries, m.Reason)
	}
	return "waiting"
}

type userRequirePasskey struct {
	whose
	User string `arg:"" help:"Address, number, name or id."`
	Off  bool   `help:"Ask for nothing more than the project does."`
}

func (c *userRequirePasskey) Run(ctx context.Context, t terminal) error {
	in, p, u, err := c.openUser(ctx, c.User)
	if err != nil {
		return err
	}
	defer in.Close()
	if u, err = in.people.RequirePasskey(ctx, u, !c.Off); err != nil {
		return err
	}
	has, err := in.engine.Credentials(ctx, u)
	if err != nil {
		return err
	}
	none := !slices.ContainsFunc(has, func(c *splitpin.Credential) bool { return c.Kind == splitpin.PasskeyCredential })
	switch {
	case !account.RequiresPasskey(p, u):
		t.printf("A passkey is not required of %s.\n", u.Identifier)
	case !u.PasskeyRequired:
		t.printf("A passkey is still required of %s, as of everybody in %s.\n", u.Identifier, p.Name())
	case none:
		t.printf("A passkey is required of %s, who has none yet: the next sign-in asks to make one, and until then a code signs in.\n", u.Identifier)
	default:
		t.printf("A passkey is required of %s. A code begins a recovery, which waits %s.\n", u.Identifier, account.RecoveryDelay(p))
	}
	return nil
}

type userRecover struct {
	whose
	User string `arg:"" help:"Address, number, name or id."`
	Yes  bool   `help:"Do not ask."`
}

func (c *userRecover) Run(ctx context.Context, t terminal) error {
	in, p, u, err := c.openUser(ctx, c.User)
	if err != nil {
		return err
	}
	defer in.Close()
	if !account.RequiresPasskey(p, u) {
		return fmt.Errorf("no passkey is required of %s: a code signs in", u.Identifier)
	}
	if !c.Yes && !confirmed(t, fmt.Sprintf("Whoever reads the messages to %s can sign in without the passkey then. Are you sure who asks?", u.Identifier)) {
		return errors.New("nothing was changed")
	}
	if err := in.engine.Recover(ctx, u, signin.Caller{}); err != nil {
		return err
	}
	t.printf("The next code signs in, once, in the next 7 days. The page then asks for a new passkey.\n")
	return nil
}

type userExport struct {
	whose
	User string `arg:"" optional:"" help:"Address, number, name or id. Empty: a list of all users that import reads."`
}

func (c *userExport) Run(ctx context.Context, t terminal) error {
	in, p, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	if c.User == "" {
		return exportAll(ctx, in, p, t.out)
	}
	u, err := in.user(ctx, p, c.User)
	if err != nil {
		return err
	}
	export, err := in.people.Export(ctx, u)
	if err != nil {
		return err
	}
	e := json.NewEncoder(t.out)
	e.SetIndent("", "  ")
	return e.Encode(export)
}

func exportAll(ctx context.Context, in *installation, p *splitpin.Project, to io.Writer) error {
	w := bufio.NewWriter(to)
	fmt.Fprint(w, "[")
	for page, separator, more := 0, "\n", true; more; page++ {
		var users []*splitpin.User
		var err error
		if users, more, err = in.people.List(ctx, p.Number, page); err != nil {
			return err
		}
		for _, u := range users {
			b, err := json.Marshal(account.ExportUser(u))
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s%s", separator, b)
			separator = ",\n"
		}
	}
	fmt.Fprint(w, "\n]\n")
	return w.Flush()
}

type userDelete struct {
	whose
	Yes  bool   `help:"Do not ask."`
	User string `arg:"" help:"Address, number, name or id."`
}

func (c *userDelete) Run(ctx context.Context, t terminal) error {
	in, p, u, err := c.openUser(ctx, c.User)
	if err != nil {
		return err
	}
	defer in.Close()
	if !c.Yes && !confirmed(t, fmt.Sprintf("Erase %s (%s) of %s and end every session?", u.Identifier, u.ID, p.Name())) {
		return errors.New("nothing was erased")
	}
	if err := in.people.Delete(ctx, u); err != nil {
		return err
	}
	t.printf("Erased. The audit log keeps the pseudonym of user %d.\n", u.Number)
	return nil
}

// confirmed asks, and takes anything but a clear yes for a no.
func confirmed(t terminal, question string) bool {
	fmt.Fprintf(t.err, "%s Type yes: ", question)
	answer, _ := bufio.NewReader(t.in).ReadString('\n')
	return strings.TrimSpace(answer) == "yes"
}
