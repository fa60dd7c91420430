package main

import (
	"context"
	"net/http"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
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
