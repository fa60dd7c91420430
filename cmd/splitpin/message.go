package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/store"
)

type messageCommand struct {
	Resume messageResume `cmd:"" help:"Let messages leave from a trial copy, which was restored with its senders off."`
	List   messageList   `cmd:"" help:"List messages, newest first, and what became of each."`
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
	for _, m := range messages {
		t.printf("%s  %-30s  %s\n", m.CreatedAt.Format(time.RFC3339), m.To, journey(m))
	}
	return nil
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
		held[channel] = heldSender{sender, in.store}
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

func (s heldSender) Close() error {
	if c, ok := s.Sender.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
