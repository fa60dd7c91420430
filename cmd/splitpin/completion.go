package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/server/cotter"
)

// tellCompletions returns what tells a project's backend that a form was completed,
// over a client that reaches what it may reach.
func (in *installation) tellCompletions(client *http.Client) func(context.Context, *splitpin.Project, cotter.FormCompleted) error {
	return func(ctx context.Context, p *splitpin.Project, done cotter.FormCompleted) error {
		secret, err := project.CompletionSecret(in.ring, p)
		if err != nil {
			return err
		}
		hook, err := delivery.NewWebhook(delivery.WebhookConfig{URL: p.Settings.Site.Completion.URL, Secrets: secret, Client: client, Clock: now})
		if err != nil {
			return err
		}
		return hook.Tell(ctx, "form.completed", done.ID, done)
	}
}

// reaches are the places that the server of these data may ask although they are not
// public.
func (c *Config) reaches() outgoing.Exceptions {
	if c.development() {
		return thisMachine
	}
	return c.OutgoingAllow
}

// reachable refuses an address to which no request of ours goes.
func reachable(address string, except outgoing.Exceptions) error {
	if err := except.Refuse(address); err != nil {
		return fmt.Errorf("%w; where that is meant, list the host in outgoing_allow", err)
	}
	return nil
}

// unreachable says which addresses that a project names no request of ours goes to.
func unreachable(p *splitpin.Project, except outgoing.Exceptions) []string {
	var out []string
	for _, o := range p.Settings.Providers {
		if err := reachableProvider(o, except); err != nil {
			out = append(out, fmt.Sprintf("provider %s: %v", o.Name, err))
		}
	}
	if err := reachable(p.Settings.Site.Completion.URL, except); err != nil {
		out = append(out, fmt.Sprintf("completion-url: %v", err))
	}
	return out
}

// thisMachine is what development may reach besides public addresses.
var thisMachine = func() outgoing.Exceptions {
	except, err := outgoing.ParseExceptions("localhost 127.0.0.0/8 ::1")
	if err != nil {
		panic(err) // our own text
	}
	return except
}()
