package delivery

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/phone"
)

// A WebhookConfig is an address of the operator's own, which hands messages on in a
// way that we do not know. URL and Secrets are required.
type WebhookConfig struct {
	URL string
	// Secrets sign what we send. Usually there is one; while it is being changed
	// there are two, and the receiver may know either. Each is whsec_ and 24 to 64
	// bytes in base64; between two stands white space.
	Secrets splitpin.Secret

	Client *http.Client     // required; see package outgoing
	Clock  func() time.Time // nil: time.Now
}

// A Webhook hands letters to an address of the operator's own, signed after Standard
// Webhooks 1.0.0. docs/operate/phones.md is the contract, for who writes the other
// side.
type Webhook struct {
	provider
	to      *url.URL
	secrets [][]byte
	clock   func() time.Time
}

// NewWebhook checks cfg and names everything that is wrong with it, one problem a
// line. It connects nowhere.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	var problems []error
	w := &Webhook{provider: provider{name: "the webhook", url: "webhook.url", once: true, secret: "that both sides have the same webhook.secret", client: cfg.Client}, clock: cfg.Clock}
	if cfg.URL == "" {
		problems = append(problems, errors.New("webhook.url: is missing; the address that takes messages, https://…"))
	} else {
		var err error
		if w.to, err = baseURL("webhook.url", cfg.URL); err != nil {
			problems = append(problems, err)
		}
	}
	for text := range strings.FieldsSeq(cfg.Secrets.Reveal()) {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if err != nil || len(key) < 24 || len(key) > 64 {
			problems = append(problems, errors.New("webhook.secret: must be whsec_ and 24 to 64 bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)"))
			break
		}
		w.secrets = append(w.secrets, key)
	}
	switch n := len(strings.Fields(cfg.Secrets.Reveal())); {
	case n == 0:
		problems = append(problems, errors.New("webhook.secret: is missing; make one with: echo whsec_$(openssl rand -base64 32)"))
	case n > 2:
		problems = append(problems, errors.New("webhook.secret: must be one secret, or two while it is being changed"))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if w.clock == nil {
		w.clock = time.Now
	}
	return w, nil
}

// An event is the body of what we send. Its shapes are promised in
// docs/operate/phones.md.
type event struct {
	Type string    `json:"type"`
	At   time.Time `json:"timestamp"`
	Data any       `json:"data"`
}

type messageEvent struct {
	ID      string           `json:"id"`
	Channel splitpin.Channel `json:"channel"`
	To      string           `json:"to"`
	Project string           `json:"project"`
	Locale  string           `json:"locale"`
	Subject string           `json:"subject,omitempty"`
	Text    string           `json:"text,omitempty"`
	Code    string           `json:"code,omitempty"`
	Link    string           `json:"link,omitempty"`
	Until   *time.Time       `json:"expires_at,omitempty"`
	Attempt string           `json:"attempt,omitempty"`
	Receipt string           `json:"receipt,omitempty"`
}

func newMessageEvent(l *Letter) messageEvent {
	m := messageEvent{ID: l.ID, Channel: l.Channel, To: l.To, Project: l.From, Locale: l.Locale, Receipt: l.Receipt}
	if !l.Until.IsZero() {
		m.Until = new(l.Until.UTC())
	}
	return m
}

// Send hands the letter to the webhook.
func (w *Webhook) Send(ctx context.Context, l *Letter) error {
	m := newMessageEvent(l)
	m.Subject, m.Text, m.Code, m.Link = l.Subject, strings.TrimSuffix(l.Text, "\n"), l.Code.Reveal(), l.Link.Reveal()
	_, err := w.post(ctx, "message.send", l.ID, m, l)
	return err
}

// Tell sends one signed event that is no message: kind is its type, data its content.
// id is the same for every try at the same thing.
func (w *Webhook) Tell(ctx context.Context, kind, id string, data any) error {
	_, err := w.post(ctx, kind, id, data, &Letter{})
	return err
}

// post sends one signed event and returns the body of an answer of success. id is the
// same for every try at the same thing, so that the receiver can tell.
func (w *Webhook) post(ctx context.Context, kind, id string, data any, l *Letter) ([]byte, error) {
	now := w.clock()
	body, err := json.Marshal(event{kind, now.UTC().Truncate(time.Second), data})
	if err != nil {
		return nil, &SendError{Stage: StageMessage, Detail: Scrub(err.Error(), l), cause: err}
	}
	req, err := request(ctx, w.to.String(), asJSON, string(body))
	if err != nil {
		return nil, err
	}
	at := strconv.FormatInt(now.Unix(), 10)
	signatures := make([]string, len(w.secrets))
	for i, secret := range w.secrets {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(signedEvent(secret, id, at, body))
	}
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", strings.Join(signatures, " "))
	r, err := w.ask(req)
	if err != nil || r.ok() {
		return r.body, err
	}
	return nil, w.refusal(r, l)
}

// signedEvent is the signature of Standard Webhooks over an event.
func signedEvent(secret []byte, id, at string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return mac.Sum(nil)
}

// reportSkew is how old a signed report may be, and how far ahead.
const reportSkew = 5 * time.Minute

// Reports reads an event of type "message.report", signed as ours are and with the same
// secret. That one comes twice does no harm, so no id is remembered.
func (w *Webhook) Reports(r *http.Request, _ splitpin.Channel, _ string, body []byte) ([]Report, string, error) {
	at := r.Header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || w.clock().Sub(time.Unix(seconds, 0)).Abs() > reportSkew {
		return nil, "", ErrNotProvider
	}
	signed := false
	for given := range strings.FieldsSeq(r.Header.Get("Webhook-Signature")) {
		mac, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(given, "v1,"))
		for _, secret := range w.secrets {
			signed = signed || err == nil && hmac.Equal(mac, signedEvent(secret, r.Header.Get("Webhook-Id"), at, body))
		}
	}
	if !signed {
		return nil, "", ErrNotProvider
	}
	var told struct {
		Type string `json:"type"`
		Data struct {
			Receipt string `json:"receipt"`
			Status  string `json:"status"`
			Reason  Stage  `json:"reason"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &told) != nil || told.Type != "message.report" {
		return nil, "", ErrNoReport
	}
	switch d := told.Data; d.Status {
	case Delivered:
		return []Report{{Receipt: d.Receipt}}, "", nil
	case "undelivered":
		return []Report{{d.Receipt, stageOf(fault{stage: d.Reason})}}, "", nil
	}
	return nil, "", ErrNoReport
}

// refusal reads why the webhook did not take something. It may say so in three words
// of ours.
func (w *Webhook) refusal(r reply, l *Letter) error {
	var said struct {
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(r.body, &said) != nil {
		return w.refused(r, fault{}, "", l)
	}
	var known fault
	if r.status >= 400 && r.status < 500 {
		switch said.Reason {
		case "recipient":
			known = fault{StageRecipient, false, "the webhook says that this number cannot be reached"}
		case "region":
			known = fault{StageRegion, false, "the webhook takes nothing for numbers that begin with " + phone.Area(l.To)}
		case "later":
			known = fault{StageConnect, true, "the webhook takes nothing just now"}
		}
	}
	return w.refused(r, known, said.Detail, l)
}

// Check sends a signed event without content, of type "ping".
func (w *Webhook) Check(ctx context.Context) []CheckStep {
	id := fmt.Sprintf("ping%d", w.clock().UnixNano())
	if _, err := w.post(ctx, "ping", id, struct{}{}, &Letter{}); err != nil {
		return []CheckStep{failedStep(err)}
	}
	return []CheckStep{{StageAuth, true, "the webhook at " + w.to.Host + " takes our signature"}}
}

// A WebhookVerify has the other side of a webhook make the codes, send them and
// check them.
type WebhookVerify struct{ *Webhook }

// Send asks for a code to be made and sent. It carries no code and no text.
func (w *WebhookVerify) Send(ctx context.Context, l *Letter) error {
	m := newMessageEvent(l)
	m.Attempt = l.Ref
	_, err := w.post(ctx, "code.send", l.ID, m, l)
	return err
}

// Verify asks whether a code is right.
func (w *WebhookVerify) Verify(ctx context.Context, to, ref string, code splitpin.Secret) (bool, error) {
	question := struct {
		Attempt string `json:"attempt"`
		To      string `json:"to"`
		Code    string `json:"code"`
	}{ref, to, code.Reveal()}
	// Every question is one of its own: the same code may be asked for twice.
	id := fmt.Sprintf("%s%d", ref, w.clock().UnixNano())
	body, err := w.post(ctx, "code.check", id, question, &Letter{To: to, Code: code})
	if err != nil {
		return false, err
	}
	var said struct {
		Right *bool `json:"right"`
	}
	if json.Unmarshal(body, &said) != nil || said.Right == nil {
		return false, &SendError{Stage: StageData, Temporary: true, Detail: "the webhook was asked whether a code is right, and its answer has no \"right\": true or false"}
	}
	return *said.Right, nil
}
