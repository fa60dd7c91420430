package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

type auditCommand struct {
	List auditList `cmd:"" help:"List what happened, newest first: time, kind, pseudonym and number of the user, network, detail."`
}

type auditList struct {
	where
	Project string `help:"Only what happened in this project, by its API key id. Empty: everything; with --user the default project." placeholder:"ID"`
	User    string `help:"Only what happened to this person: address, number, name or id. An erased one is found by the address." placeholder:"WHO"`
	Kind    string `help:"Only events of this kind, like session_ended." placeholder:"KIND"`
	Limit   int    `help:"At most so many." default:"50" placeholder:"N"`
}

// Run shows the audit log. It names nobody: who asks about a person must know whom
// they mean.
func (c *auditList) Run(ctx context.Context, t terminal) error {
	in, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	filter := splitpin.AuditFilter{Kind: c.Kind}
	if c.Project != "" || c.User != "" {
		p, err := in.project(c.Project)
		if err != nil {
			return err
		}
		filter.Project = p.Number
		if c.User != "" {
			if filter.Subject, err = in.subject(ctx, p, c.User); err != nil {
				return err
			}
		}
	}
	events, err := in.store.AuditEvents(ctx, filter, c.Limit)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	if len(events) == 0 {
		t.printf("No such event is here.\n")
		if c.Kind == "" {
			return nil
		}
		return in.kinds(ctx, t, filter)
	}
	ids := map[int64]string{}
	for _, p := range in.engine.Projects() {
		ids[p.Number] = p.ID
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, e := range events {
		row := []string{e.At.Format(time.RFC3339), e.Kind}
		if filter.Project == 0 && len(ids) > 1 {
			row = append(row, otherwise(ids[e.Project], "-"))
		}
		row = append(row, person(e), otherwise(e.Network, "-"), otherwise(e.Detail, "-"))
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// kindsAmong is how many events are looked at to name the kinds there are.
const kindsAmong = 1000

// kinds says of which kinds the events are, for who asked for one that is not there.
func (in *installation) kinds(ctx context.Context, t terminal, filter splitpin.AuditFilter) error {
	filter.Kind = ""
	events, err := in.store.AuditEvents(ctx, filter, kindsAmong)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	seen := map[string]bool{}
	for _, e := range events {
		seen[e.Kind] = true
	}
	if len(seen) > 0 {
		t.printf("Kinds among the newest %d: %s.\n", len(events), strings.Join(slices.Sorted(maps.Keys(seen)), ", "))
	}
	return nil
}

// subject is the pseudonym of somebody who is here, or was.
func (in *installation) subject(ctx context.Context, p *splitpin.Project, who string) ([12]byte, error) {
	identifier := ""
	u, err := in.user(ctx, p, who)
	if err == nil {
		identifier = u.Identifier
	} else if canonical, _, bad := account.ParseIdentifier(who); bad == nil {
		identifier = canonical
	} else {
		return [12]byte{}, err
	}
	return in.engine.Subject(p.Number, identifier)
}

// person is whom an event was about, as far as the log tells.
func person(e *splitpin.AuditEvent) string {
	text := "-"
	if e.Subject != [12]byte{} {
		text = hex.EncodeToString(e.Subject[:])
	}
	if e.User != 0 {
		text += fmt.Sprintf(" user %d", e.User)
	}
	return text
}
