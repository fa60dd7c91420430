package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/doctor"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
)

type doctorCommand struct {
	Config  string   `help:"Configuration file of the server (YAML)." placeholder:"FILE" env:"SPLITPIN_CONFIG_FILE"`
	JSON    bool     `name:"json" help:"Write the findings as JSON."`
	Strict  bool     `help:"Take warnings for problems."`
	Offline bool     `help:"Leave out what asks the DNS about mail."`
	Skip    []string `help:"Leave out groups of checks: ${groups}." placeholder:"GROUP"`
	Connect string   `help:"Reach the public URL at this address, where its name leads elsewhere from here." placeholder:"HOST:PORT"`
	Relay   []string `help:"Address from which messages reach receivers, where it is not that of smtp.host." placeholder:"ADDRESS"`
	DKIM    []string `name:"dkim" help:"Selector under which the mail server signs; with another domain than that of smtp.from: SELECTOR@DOMAIN." placeholder:"SELECTOR"`
}

// integrityPatience is how long reading the whole database may take.
const integrityPatience = 5 * time.Minute

// Run looks at everything and says what to do about it. The exit status is 0
// where there is no problem, 1 where there is one, and 2 where something could
// not be checked.
func (c *doctorCommand) Run(ctx context.Context, t terminal) error {
	skip, relays, err := c.flags()
	if err != nil {
		return &exit{2, err}
	}
	d, wrong, err := describe(c.Config)
	if err != nil {
		return &exit{2, err}
	}
	d.Postgres.Command = true
	show := &findings{t: t, colour: t.colour()}
	report := &doctor.Report{Doing: show.doing}
	wanted := func(g doctor.Group) bool { return !slices.Contains(skip, g) }

	in, err := c.inside(ctx, report, &d, wrong, wanted)
	if err != nil {
		show.end()
		return &exit{2, err}
	}
	if in != nil {
		defer in.Close()
	}
	if (wanted(doctor.FromOutside) || wanted(doctor.Proxy)) && d.public != nil && d.public.Host != "" {
		c.outside(ctx, report, &d, in)
	}
	if sender, ok := d.senders[splitpin.EmailChannel].(*delivery.SMTP); ok && d.SMTP.Host != "" {
		if wanted(doctor.SMTP) {
			show.doing("talking to the mail server")
			doctor.Steps(report, sender.Check(ctx))
		}
		if wanted(doctor.DNS) {
			m := doctor.Mail{From: d.SMTP.From, Host: d.SMTP.Host, HELO: d.SMTP.HELO, Resolver: net.DefaultResolver, Relays: relays, DKIM: c.DKIM}
			m.CheckDNS(ctx, report)
		}
	}
	if wanted(doctor.Phones) {
		for _, channel := range []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel} {
			if sender, ok := d.senders[channel].(delivery.Checker); ok {
				show.doing("talking to the sender for " + string(channel))
				doctor.PhoneSteps(report, channel, sender.Check(ctx))
			}
		}
	}
	if ctx.Err() != nil {
		show.end()
		return &exit{2, errors.New("stopped before everything was looked at")}
	}
	status := report.Status(c.Strict)
	show.end()
	if c.JSON {
		err = writeJSON(t.out, report, d.PublicURL, status)
	} else {
		show.all(report)
	}
	if err != nil {
		return &exit{2, err}
	}
	if status != 0 {
		return &exit{status: status}
	}
	return nil
}

// flags reads what kong does not judge.
func (c *doctorCommand) flags() (skip []doctor.Group, relays []netip.Addr, err error) {
	for _, name := range c.Skip {
		if !slices.Contains(doctor.Groups(), doctor.Group(name)) {
			return nil, nil, fmt.Errorf("--skip: there is no group %q; there are %s", name, groupNames())
		}
		skip = append(skip, doctor.Group(name))
	}
	if c.Offline {
		skip = append(skip, doctor.DNS)
	}
	for _, text := range c.Relay {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, nil, fmt.Errorf("--relay: %q is no address like 192.0.2.25", text)
		}
		relays = append(relays, a)
	}
	if c.Connect != "" {
		if _, _, err := net.SplitHostPort(c.Connect); err != nil {
			return nil, nil, fmt.Errorf("--connect: %q is no host and port like 192.0.2.1:443", c.Connect)
		}
	}
	return skip, relays, nil
}

func groupNames() string {
	var names []string
	for _, g := range doctor.Groups() {
		names = append(names, string(g))
	}
	return strings.Join(names, ", ")
}

// inside looks at configuration and data, and returns the installation, opened;
// nil where it cannot be, which the findings say.
func (c *doctorCommand) inside(ctx context.Context, r *doctor.Report, d *deployment, wrong problems, wanted func(doctor.Group) bool) (*installation, error) {
	now := now()
	if wanted(doctor.Configuration) {
		doctor.Settings(r, wrong)
		if !d.shared() {
			doctor.Folder(r, d.Data)
		}
		if len(d.masters) > 0 {
			file := d.MasterKeyFile
			if d.MasterKey != "" {
				file = ""
			}
			doctor.MasterKey(r, file, len(d.masters) > 1)
		}
	}
	look := c.sqlite
	if d.shared() {
		look = c.postgres
	}
	if !look(ctx, r, d, wanted(doctor.Database)) || len(d.masters) == 0 {
		return nil, nil
	}
	db, err := store.Open(ctx, d.database(), d.storeOptions())
	if errors.Is(err, store.ErrMoved) {
		doctor.Moved(r)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	in, err := c.opened(ctx, r, d, db, now, wanted)
	if in == nil {
		err = errors.Join(err, db.Close())
	}
	return in, err
}

// opened looks at the data and wires an installation that makes no keys; nil where
// there are none to make it with.
func (c *doctorCommand) opened(ctx context.Context, r *doctor.Report, d *deployment, db store.Database, now time.Time, wanted func(doctor.Group) bool) (*installation, error) {
	ring, err := keyring.Read(ctx, db, d.masters...)
	if errors.Is(err, keyring.ErrWrongMaster) {
		doctor.WrongMaster(r)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := c.data(ctx, r, d, db, now, wanted); err != nil || ring.Usable() != nil {
		return nil, err
	}
	return wire(ctx, db, d.public.String(), nil, func(splitpin.Store) (*keyring.Ring, error) { return ring, nil })
}

// sqlite looks at the file of the database. It reports whether it can be opened:
// that would migrate the tables below a server of another version.
func (c *doctorCommand) sqlite(ctx context.Context, r *doctor.Report, d *deployment, tell bool) (usable bool) {
	path := d.database()
	seen, err := store.InspectSQLite(path)
	if err != nil {
		doctor.NoDatabase(r, d.Data, err)
		return false
	}
	if tell {
		within, cancel := context.WithTimeout(ctx, integrityPatience)
		defer cancel()
		doctor.SQLite(within, r, seen, doctor.DiskOf(d.Data), func(ctx context.Context) ([]string, error) { return store.CheckSQLite(ctx, path) })
	}
	return seen.Ours && seen.Tables == seen.Known
}

// postgres is the same for a server.
func (c *doctorCommand) postgres(ctx context.Context, r *doctor.Report, d *deployment, tell bool) (usable bool) {
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	seen, err := store.InspectPostgres(within, d.database(), d.storeOptions().Postgres)
	if err != nil {
		doctor.NoPostgres(r, err)
		return false
	}
	if tell {
		doctor.Postgres(r, now(), seen)
	}
	return !seen.Standby && seen.Tables == seen.Known
}

// data looks at what the database holds.
func (c *doctorCommand) data(ctx context.Context, r *doctor.Report, d *deployment, db store.Database, now time.Time, wanted func(doctor.Group) bool) error {
	all, err := db.Load(ctx, splitpin.Reads{Settings: true})
	if err != nil {
		return err
	}
	if wanted(doctor.Configuration) {
		doctor.Projects(r, all.Projects, d.InsecureAnyOrigin)
		doctor.Captcha(r, all.Projects, d.Captcha.Provider != "")
		doctor.Outgoing(r, all.Projects, func(p *splitpin.Project) []string { return unreachable(p, d.OutgoingAllow) })
	}
	if wanted(doctor.Database) {
		mark, err := db.Mark(ctx, store.BackupAt)
		if err != nil {
			return err
		}
		last, err := store.ParseMark(mark)
		if err != nil {
			return fmt.Errorf("reading when the last backup was made: %w", err)
		}
		doctor.Backup(r, now, last)
	}
	if wanted(doctor.Keys) {
		doctor.SigningKeys(r, now, all.Projects, all.SigningKeys)
		doctor.DataKeys(r, now, all.DataKeys, keyring.Purposes())
	}
	if wanted(doctor.Messages) {
		waiting, err := db.Backlog(ctx)
		if err != nil {
			return err
		}
		newest, err := db.Messages(ctx, splitpin.MessageFilter{}, 1000)
		if err != nil {
			return err
		}
		doctor.Outbox(r, now, waiting, newest)
		mark, err := db.Mark(ctx, store.SendersOff)
		if err != nil {
			return err
		}
		since, err := store.ParseMark(mark)
		if err != nil {
			return fmt.Errorf("reading since when nothing is sent: %w", err)
		}
		doctor.Senders(r, since)
	}
	return nil
}

// outside asks the public URL. in is nil where the data could not be opened: then
// what needs a pass or a project is left out.
func (c *doctorCommand) outside(ctx context.Context, r *doctor.Report, d *deployment, in *installation) {
	o := &doctor.Outside{URL: d.public, Proxies: d.TrustedProxies, Version: programVersion(), Unnamed: programVersion() == unnamedVersion, Clock: now, AnyOrigin: d.InsecureAnyOrigin, Connect: c.Connect}
	if in != nil {
		o.Projects = in.engine.Projects()
		o.KeySet = func(p *splitpin.Project) ([]byte, error) { set, _, err := in.tokens.KeySet(p); return set, err }
		o.Pass = func() (splitpin.Secret, string, error) { return doctor.NewPass(in.ring, d.public.String(), now()) }
	}
	if c.Connect != "" {
		// Port 80 of that host stands for port 80 of the public name.
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			to := c.Connect
			if _, port, _ := net.SplitHostPort(address); port == "80" && d.public.Scheme == "https" {
				host, _, _ := net.SplitHostPort(c.Connect)
				to = net.JoinHostPort(host, port)
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		}
	}
	o.Check(ctx, r)
}

// findings shows a report to a person.
type findings struct {
	t       terminal
	colour  bool
	pending bool // a word of what is looked at stands on the terminal
}

var groupTitles = map[doctor.Group]string{
	doctor.Configuration: "Configuration", doctor.Database: "Database", doctor.Keys: "Keys", doctor.Messages: "Messages",
	doctor.FromOutside: "From outside", doctor.Proxy: "Through the proxy", doctor.SMTP: "Mail server", doctor.DNS: "What receivers of mail look up", doctor.Phones: "Senders for phones",
}

var levelColours = map[doctor.Level]string{doctor.OK: "\x1b[32m", doctor.Warning: "\x1b[33m", doctor.Problem: "\x1b[31m", doctor.Unknown: "\x1b[35m"}

// all writes every finding, group by group, and how many there are of each level.
func (s *findings) all(r *doctor.Report) {
	for _, g := range doctor.Groups() {
		found := r.Grouped(g)
		if len(found) == 0 {
			continue
		}
		s.t.printf("%s\n", groupTitles[g])
		for _, f := range found {
			level := fmt.Sprintf("%-7s", f.Level)
			if s.colour {
				level = levelColours[f.Level] + level + "\x1b[0m"
			}
			seen := f.Seen
			if f.Subject != "" {
				seen = f.Subject + ": " + seen
			}
			s.t.printf("  %s  %-15s  %s\n", level, f.Code, seen)
			if f.Do != "" {
				s.t.printf("  %7s  %-15s  → %s\n", "", "", f.Do)
			}
		}
		s.t.printf("\n")
	}
	s.t.printf("problems: %d, warnings: %d, not checked: %d, fine: %d\n",
		r.Count(doctor.Problem), r.Count(doctor.Warning), r.Count(doctor.Unknown), r.Count(doctor.OK))
}

// doing says on a terminal what is looked at, until there is a finding.
func (s *findings) doing(what string) {
	if f, ok := s.t.err.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprintf(f, "\r\x1b[K%s …", what)
			s.pending = true
		}
	}
}

func (s *findings) end() {
	if s.pending {
		fmt.Fprint(s.t.err, "\r\x1b[K")
		s.pending = false
	}
}

// writeJSON writes a report for machines.
func writeJSON(w io.Writer, r *doctor.Report, publicURL string, status int) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(struct {
		Version   string           `json:"version"`
		At        time.Time        `json:"at"`
		PublicURL string           `json:"public_url"`
		Status    int              `json:"status"`
		Problems  int              `json:"problems"`
		Warnings  int              `json:"warnings"`
		Unknown   int              `json:"unknown"`
		Findings  []doctor.Finding `json:"findings"`
	}{programVersion(), now(), publicURL, status, r.Count(doctor.Problem), r.Count(doctor.Warning), r.Count(doctor.Unknown), r.Findings})
}
