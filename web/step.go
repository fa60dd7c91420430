package web

import (
	"html/template"
	"io"
	"net/url"
)

// A Step is one page of the way back from a provider, without a script unless it stands in
// a frame or checks something. It must be sent with [StepCSP].
type Step struct {
	Look   Look
	Locale string
	Nonce  string

	Kind  StepKind
	Words map[string]string // for the texts: provider, address
	Facts []Fact            // who there, who here, and where it leads

	Action  string // where the answer is posted; empty: there is nothing to answer
	Hidden  []Fact // what is posted along
	Address bool   // asks for an address
	Puzzle  string // of a check: to be solved before the answer is posted; empty: none
	Captcha bool   // of a check: a captcha comes before the answer
	Error   string
	Cancel  string // address that gives up; empty: none

	// Next is where the person goes on; the page goes there by itself.
	Next string

	// Frame tells the window of the web SDK in which the page stands, if it stands in one
	// (contract 12.4).
	Frame *StepFrame
}

// A StepFrame is what a page in a frame of the web SDK says to it.
type StepFrame struct {
	Domain    string `json:"domain"`    // origin of the framing page
	MessageID string `json:"messageId"` // prefix of every callbackName
	TokenID   string `json:"tokenId"`
	UserID    string `json:"userId"`
	Provider  string `json:"provider"`
	First     bool   `json:"first"` // this page is the first in the frame
	Done      bool   `json:"done"`
}

// A StepKind says what a step asks.
type StepKind string

const (
	StepAgree   StepKind = "agree"   // sign in as this person?
	StepConnect StepKind = "connect" // connect this account?
	StepSend    StepKind = "send"    // a code to this address?
	StepConfirm StepKind = "confirm" // a code to confirm that it is you?
	StepCode    StepKind = "code"    // the code
	StepCheck   StepKind = "check"   // a puzzle or a captcha, before a code is sent
	StepDone    StepKind = "done"
)

// A Fact is a name and a value. Of those that are shown the name is a key of the texts.
type Fact struct{ Name, Value string }

// Names of facts that are shown.
const (
	FactAccount = "step.account" // at the provider
	FactHere    = "step.here"    // of this project
	FactGoes    = "step.goes"    // where it leads
)

// stepView is what the template sees of a Step.
type stepView struct {
	Facts, Hidden []Fact
	Action, Error string
	Button        string
	Cancel, Next  template.URL // written by the server, which looked at them: app schemes are among them
	Address, Code bool
	Framed        bool

	Check      string // name of the field that a check fills; empty: there is none
	CaptchaURL string // of the page to show; empty: there is none
}

// stepConfig is what the script of a step knows.
type stepConfig struct {
	Frame  *StepFrame `json:"frame,omitempty"`
	Puzzle string     `json:"puzzle,omitempty"`
}

// stepKeys are the texts of each kind of step.
var stepKeys = map[StepKind]struct{ title, lead, submit string }{
	StepAgree:   {"step.agree.title", "step.agree.known", "step.agree.submit"},
	StepConnect: {"step.connect.title", "step.connect.lead", "step.connect.submit"},
	StepSend:    {"step.send.title", "step.send.lead", "step.send.submit"},
	StepConfirm: {"step.confirm.title", "step.confirm.lead", "step.send.submit"},
	StepCode:    {"step.code.title", "step.code.lead", "step.code.submit"},
	StepCheck:   {title: "captcha.title", lead: "step.puzzle.lead"},
	StepDone:    {title: "step.done.title"},
}

// RenderStep writes a step.
func RenderStep(w io.Writer, s Step) error {
	text := textFor(s.Locale)
	mode := ""
	if s.Frame != nil {
		mode = string(Frame)
	}
	p := newPage(text, s.Look, s.Nonce, mode)
	keys := stepKeys[s.Kind]
	words := func(key string) string {
		var pairs []string
		for name, value := range s.Words {
			pairs = append(pairs, name, shorten(value, 254))
		}
		return fill(text[key], pairs...)
	}
	p.Title, p.Text = words(keys.title), words(keys.lead)
	if s.Kind == StepAgree {
		p.Title = p.Named("step.agree.title")
		if s.Words["person"] == "new" {
			p.Text = words("step.agree.new")
		}
	}
	var facts []Fact
	for _, f := range s.Facts {
		facts = append(facts, Fact{words(f.Name), f.Value})
	}
	p.Step = &stepView{Facts: facts, Hidden: s.Hidden, Action: s.Action, Error: s.Error, Button: words(keys.submit),
		Cancel: template.URL(s.Cancel), Next: template.URL(s.Next), Address: s.Address, Code: s.Kind == StepCode, Framed: s.Frame != nil && !s.Frame.Done}
	switch {
	case s.Captcha:
		p.Text = words("captcha.lead")
		p.Step.Check, p.Step.CaptchaURL = "captcha", CaptchaURL(s.Look.ID)
	case s.Puzzle != "":
		p.Step.Check = "puzzle"
	}
	if s.Frame != nil || p.Step.Check != "" {
		p.Script, p.Config = assetURL("step.js"), stepConfig{s.Frame, s.Puzzle}
	}
	return render(w, "step.html", p)
}

// CaptchaURL is where the captcha of a project is shown.
func CaptchaURL(project string) string { return "/captcha?project=" + url.QueryEscape(project) }

// StepCSP is the policy of a step: CSP, its form may be posted to this server, and it may
// frame our own pages, which the captcha's is.
func StepCSP(nonce string, frameAncestors []string) string {
	return postable(FormCSP(nonce, frameAncestors))
}
