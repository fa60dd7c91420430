package main

import (
	"context"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

type messageCommand struct {
	List messageList `cmd:"" help:"List messages, newest first, and what became of each."`
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
		t.printf("No such message is here. They are kept for an hour after they expired.\n")
	}
	for _, m := range messages {
		t.printf("%s  %-30s  %s\n", m.CreatedAt.Format(time.RFC3339), m.To, journey(m))
	}
	return nil
}
