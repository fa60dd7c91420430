package signin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
)

var (
	// ErrNoForm refuses a form that the operator did not list.
	ErrNoForm = &splitpin.Error{Kind: splitpin.Invalid, Code: "form_unknown", Field: "form-id",
		Message: "This site has no form of that name. Site owner: 'splitpin project form' makes it known."}
	// ErrCompletion says that the project's backend could not be told.
	ErrCompletion = &splitpin.Error{Kind: splitpin.Unavailable, Code: "completion_failed",
		Message: "You are signed in, but the site could not be told about your form. Please tell its owner."}
	// ErrManyCompletions refuses a session that completes forms over and over.
	ErrManyCompletions = &splitpin.Error{Kind: splitpin.TooMany, Code: "too_many_completions",
		Message: "This form was sent too often. Please wait a little and try again."}
)

const (
	completeFor       = 10 * time.Minute // after the session began
	completionsOfOne  = 3                // of one session and form in that time
	completionPatient = 5 * time.Second  // the person's page waits meanwhile
)

// A CompletionRequest says that a form of a site was completed by a sign-in.
type CompletionRequest struct {
	Project *splitpin.Project
	Form    string
	Token   splitpin.Secret // the access token of that sign-in: who it was is taken from here alone
	By      Caller
}

// A Completion is what the project's backend is told.
type Completion struct {
	ID   string // the same for one session and form, so that the backend can tell a repetition
	Form string
	User *splitpin.User
}

// CompleteForm tells the project's backend by tell that somebody completed a form, once;
// what came of it stands in the audit log. A project whose backend wants to hear of
// nothing is content. Its errors are ErrNoForm, ErrToken, ErrStale,
// ErrManyCompletions and ErrCompletion.
func (e *Engine) CompleteForm(ctx context.Context, req CompletionRequest, tell func(context.Context, *Completion) error) (err error) {
	ctx, done := e.observe(ctx, "complete_form")
	defer func() { done(err) }()
	site := &req.Project.Settings.Site
	if _, listed := site.Form(req.Form); !listed {
		return ErrNoForm
	}
	if site.Completion.URL == "" {
		return nil
	}
	s, u, err := e.Authenticate(ctx, req.Project, req.Token)
	if err != nil {
		return err
	}
	now := e.moment()
	if now.Sub(s.CreatedAt) > completeFor {
		return ErrStale
	}
	c := &Completion{ID: fmt.Sprintf("completion-%d-%s", s.Number, req.Form), Form: req.Form, User: u}
	refused, wait, err := e.take(ctx, now, splitpin.Charge{
		Key: splitpin.LimitKey("completion", c.ID), Burst: completionsOfOne, Period: completeFor, Cost: 1})
	if err != nil {
		return fmt.Errorf("charging the limits: %w", err)
	}
	if refused >= 0 {
		return ErrManyCompletions.After(wait)
	}
	number, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	failed := Outside(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, completionPatient)
		defer cancel()
		return tell(ctx, c)
	})

	kind, detail := "completion_sent", req.Form
	if failed != nil {
		kind, detail = "completion_failed", req.Form+": "+failed.Error()
	}
	event, err := e.sessionEvent(number, now, u, s.Number, req.By, kind)
	if err != nil {
		return err
	}
	event.Detail = detail
	// The person may be gone by now; what happened is written down all the same.
	err = e.store.Change(context.WithoutCancel(ctx), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{event}}, nil
	})
	if err != nil {
		err = fmt.Errorf("recording a completion: %w", err)
	}
	if failed != nil {
		return ErrCompletion.Because(errors.Join(failed, err))
	}
	return err
}
