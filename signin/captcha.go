package signin

import (
	"context"
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
)

// A Captcha is a stranger who tells people from programs. A project's CaptchaRule says
// when one is asked; see package captcha.
type Captcha interface {
	// Verify reports whether token was given to a person on a page of ours. It says so once
	// of each token. An error tells that nobody knows.
	Verify(ctx context.Context, token string) (bool, error)
}

// ErrCaptcha asks for a captcha, or for another one.
var ErrCaptcha = &splitpin.Error{Kind: splitpin.Forbidden, Code: "captcha_required", Field: "captcha",
	Message: "Please show that you are a person, and try again."}

// captchasPerNetwork bounds how often one network makes us ask the provider, in networkPeriod.
const captchasPerNetwork = 60

// UseCaptcha gives the engine a captcha. Without one, the rules of projects change
// nothing. Call it before anything is started.
func (e *Engine) UseCaptcha(c Captcha) { e.captcha = c }

// seen is what a captcha told about a starter. Its zero value: nothing, because none was
// asked for and none was shown.
type seen struct {
	person bool
	broken error // the provider could not be asked; a hard puzzle takes its place
}

// seeStarter asks the provider about the token that a start shows. Its error is ErrCaptcha where
// the project demands one and none was shown, or a wrong one. Demanded is one only where a message
// would go out: what a captcha protects is other people's mail and the operator's money.
func (e *Engine) seeStarter(ctx context.Context, now time.Time, req StartRequest, kind splitpin.IdentifierKind) (seen, error) {
	if e.captcha == nil {
		return seen{}, nil
	}
	if req.Captcha == "" {
		rule := req.Project.Settings.Captcha
		if rule == splitpin.CaptchaAlways || rule == splitpin.CaptchaPhone && kind == splitpin.Phone {
			return seen{}, ErrCaptcha
		}
		return seen{}, nil
	}
	refused, wait, err := e.take(ctx, now, networks("captcha", req.Project, req.By, captchasPerNetwork)...)
	if err != nil {
		return seen{}, fmt.Errorf("charging the limits: %w", err)
	}
	if refused >= 0 {
		return seen{}, ErrManyStarts.After(wait)
	}
	var right bool
	var broken error
	err = Outside(ctx, func(ctx context.Context) error {
		right, broken = e.captcha.Verify(ctx, req.Captcha)
		return nil
	})
	if err != nil {
		return seen{}, err
	}
	if broken != nil {
		return seen{broken: broken}, nil
	}
	if !right {
		return seen{}, ErrCaptcha
	}
	return seen{person: true}, nil
}
