package web

import (
	"io"
	"net/url"
)

// Passkey is /webauthn: the window in the customer's page in which the person agrees to
// make or to use a passkey. The ceremony itself runs in that page, by its SDK (contract
// 12.3). The server has checked Domain.
type Passkey struct {
	Look   Look
	Locale string
	Nonce  string

	Domain    string // origin of the framing page
	MessageID string // prefix of every callbackName
	Register  bool   // make one; else use one

	RememberDays int // as of Form
}

// passkeyConfig is what the script reads.
type passkeyConfig struct {
	Base      string            `json:"base"`
	Locale    string            `json:"locale"`
	Project   string            `json:"project"`
	Domain    string            `json:"domain"`
	MessageID string            `json:"messageId"`
	Register  bool              `json:"register"`
	Remember  int               `json:"rememberDays"`
	Text      map[string]string `json:"text"`
}

// RenderPasskey writes the window.
func RenderPasskey(w io.Writer, k Passkey) error {
	text := textFor(k.Locale)
	p := newPage(text, k.Look, k.Nonce, string(Frame))
	p.Script = assetURL("webauthn.js")
	p.Title = text["passkey.page"]
	p.Config = passkeyConfig{
		Base: "/p/" + url.PathEscape(k.Look.ID) + "/v1", Locale: text["lang"], Project: k.Look.ID,
		Domain: k.Domain, MessageID: k.MessageID, Register: k.Register, Remember: k.RememberDays,
		Text: text.only("passkey.", "code.", "tries.", "over.", "fault.", "unframed."),
	}
	return render(w, "webauthn.html", p)
}
