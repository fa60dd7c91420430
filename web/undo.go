package web

import (
	"cmp"
	"io"
)

// An UndoState is where taking back a credential stands.
type UndoState string

const (
	UndoAsk  UndoState = "ask"  // was it you?
	UndoKept UndoState = "kept" // it was; nothing changed
	UndoDone UndoState = "done" // it was not; it is gone
	UndoGone UndoState = "gone" // the link is not valid, or it was gone already
)

// Undo is the page that a mail about a new credential leads to. It works without a script:
// what was chosen is posted to the page's own address, and nothing is chosen before. It
// must be sent with [PostCSP].
type Undo struct {
	Look   Look
	Locale string
	Nonce  string

	State   UndoState
	Kind    string // of the credential: passkey, social, browser or recovery
	Label   string // its name
	Device  string // that made it
	When    string // a date
	Unmade  bool   // UndoAsk: the form came back without a choice
	Account string // whose it is
}

// RenderUndo writes the page.
func RenderUndo(w io.Writer, u Undo) error {
	text := textFor(u.Locale)
	p := newPage(text, u.Look, u.Nonce, "")
	if u.Kind == "recovery" {
		return renderRecovery(w, p, text, u)
	}
	kinds := map[string]string{"passkey": text["undo.passkey"], "social": text["undo.social"], "browser": text["undo.browser"]}
	what := cmp.Or(kinds[u.Kind], text["undo.passkey"])
	switch u.State {
	case UndoKept:
		p.Title, p.Text = text["undo.kept.title"], fill(text["undo.kept.text"], "what", what)
	case UndoDone:
		p.Title, p.Text = text["undo.done.title"], fill(text["undo.done.text"], "what", what)
	case UndoAsk:
		p.Title = fill(text["undo.title"], "what", what)
		p.Text = fill(text["undo.text"], "what", what, "account", shorten(u.Account, 100), "when", u.When, "device", cmp.Or(shorten(u.Device, 60), text["undo.device"]))
		if u.Unmade {
			p.Next = text["undo.choose"]
		}
		p.Undo, p.Keep = fill(text["undo.not"], "what", what), text["undo.me"]
	default:
		p.Title, p.Text = text["undo.gone.title"], text["undo.gone.text"]
	}
	return render(w, "undo.html", p)
}

// renderRecovery writes the page about a recovery, which adds nothing yet.
func renderRecovery(w io.Writer, p *page, text table, u Undo) error {
	switch u.State {
	case UndoKept:
		p.Title, p.Text = text["undo.kept.title"], text["undo.recovery.kept"]
	case UndoDone:
		p.Title, p.Text = text["undo.recovery.done.title"], text["undo.recovery.done"]
	default:
		p.Title = text["undo.title"]
		p.Text = fill(text["undo.recovery.text"], "account", shorten(u.Account, 100), "when", u.When, "device", cmp.Or(shorten(u.Device, 60), text["undo.device"]))
		if u.Unmade {
			p.Next = text["undo.choose"]
		}
		p.Undo, p.Keep = text["undo.recovery.not"], text["undo.recovery.me"]
	}
	return render(w, "undo.html", p)
}
