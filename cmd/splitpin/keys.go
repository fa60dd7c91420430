package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/splitpin/splitpin/token"
)

type keysCommand struct {
	List   keysList   `cmd:"" help:"List the keys that sign a project's tokens."`
	Rotate keysRotate `cmd:"" help:"Begin to replace the key that signs a project's tokens."`
}

type keysList struct{ whose }

func (c *keysList) Run(ctx context.Context, t terminal) error {
	in, p, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	keys, err := in.store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Project != p.Number {
			continue
		}
		next := ""
		switch token.StateOf(k) {
		case token.Announced:
			next = ", signs from " + token.ActiveFrom(p, k).Format(time.RFC3339)
		case token.Retiring:
			next = ", leaves the key set at " + token.GoneFrom(k).Format(time.RFC3339)
		}
		t.printf("%s  %-8s  %s since %s%s\n", k.KID, k.Use, token.StateOf(k), latest(k.AnnouncedAt, k.ActiveAt, k.RetiringAt).Format(time.RFC3339), next)
	}
	return nil
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

type keysRotate struct {
	whose
	AcceptBreakage bool `help:"Rotate although verifiers that pin the constant kid break until they restart."`
	Compromised    bool `help:"The key is known to strangers: replace it now, whoever breaks."`
}

func (c *keysRotate) Run(ctx context.Context, t terminal) error {
	in, p, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	rotation, err := in.tokens.Rotate(ctx, p, now(), token.RotateOptions{Compromised: c.Compromised, AcceptBreakage: c.AcceptBreakage})
	if err != nil {
		if errors.Is(err, token.ErrBreakage) {
			return fmt.Errorf("%s\n\nTo go on all the same, repeat the command with --accept-breakage", explain(err))
		}
		return err
	}
	if c.Compromised {
		t.printf("Key %s signs from now on. The keys before it are good for nothing.\n", rotation.KID)
	} else {
		t.printf("Key %s was announced and signs from %s.\n", rotation.KID, rotation.ActiveAt.Format(time.RFC3339))
	}
	if rotation.Breakage != "" {
		t.printf("\n%s\n", rotation.Breakage)
	}
	return nil
}
