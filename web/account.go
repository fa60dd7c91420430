package web

import (
	"io"
)

// Account is the page on which people look after their account. It says nothing about
// anybody: its script asks /v1 for whoever is signed in, or leads to the sign-in page.
type Account struct {
	Look   Look
	Locale string
	Nonce  string

	Here      string            // address of the page, to come back to
	Issuer    string            // of the project's tokens
	Methods   []string          // that the project offers
	Site      string            // at which passkeys are made here; empty: none can be
	Providers map[string]string // what people call the project's providers
	Forgets   bool              // the session ends with the page, and nothing of it lies in the browser
}

// accountConfig is what the script reads.
type accountConfig struct {
	Here      string            `json:"here"`
	Project   string            `json:"project"`
	Issuer    string            `json:"issuer"`
	Locale    string            `json:"locale"`
	Methods   []string          `json:"methods"`
	Site      string            `json:"site"`
	Providers map[string]string `json:"providers"`
	Forgets   bool              `json:"forgets"`
	Text      map[string]string `json:"text"`
}

// RenderAccount writes the page.
func RenderAccount(w io.Writer, a Account) error {
	text := textFor(a.Locale)
	p := newPage(text, a.Look, a.Nonce, "account")
	p.Script = assetURL("account.js")
	p.Title = p.Named("account.page")
	p.Config = accountConfig{
		Here: a.Here, Project: a.Look.ID, Issuer: a.Issuer, Locale: text["lang"],
		Methods: append([]string{}, a.Methods...), Site: a.Site, Providers: a.Providers, Forgets: a.Forgets,
		Text: text.only("account.", "passkey.", "recovery.", "code.", "tries.", "over.", "fault."),
	}
	return render(w, "account.html", p)
}
