package delivery

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/phone"
)

// A WhatsAppConfig is a number at WhatsApp's Cloud API, and an authentication template
// with a button that copies the code. PhoneNumberID, Token and Template are required.
type WhatsAppConfig struct {
	PhoneNumberID string // not the number: the id that Meta gave it
	Token         splitpin.Secret
	Template      string // name of the approved template
	// Languages are those the template is approved in, as WhatsApp spells them
	// ("pt_BR"); the first is for readers of other languages. Empty: "en".
	Languages []string

	AppSecret splitpin.Secret // of the app that Meta's reports come for, which signs them; empty: no reports

	URL    string       // with the version; empty: https://graph.facebook.com/v24.0
	Client *http.Client // required; see package outgoing
}

// isLanguage reports whether s is a language as WhatsApp writes it: "en", "fil", "pt_BR".
func isLanguage(s string) bool {
	language, country, regional := strings.Cut(s, "_")
	const small = "abcdefghijklmnopqrstuvwxyz"
	return (len(language) == 2 || len(language) == 3) && strings.Trim(language, small) == "" &&
		(!regional || len(country) == 2 && strings.Trim(country, strings.ToUpper(small)) == "")
}

// A WhatsApp sends codes through WhatsApp's Cloud API. Of a letter it sends the code and
// nothing else: the words around it are the template's, which Meta approved.
//
// That a reader is not on WhatsApp it learns only where Meta says so at once.
type WhatsApp struct {
	provider
	cfg WhatsAppConfig
}

// NewWhatsApp checks cfg and names everything that is wrong with it, one problem a
// line. It connects nowhere.
func NewWhatsApp(cfg WhatsAppConfig) (*WhatsApp, error) {
	var problems []error
	wrong := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("whatsapp."+format, args...))
	}
	switch {
	case cfg.PhoneNumberID == "":
		wrong("phone_number_id: is missing; Meta's app dashboard shows it beside the number")
	case !isDigits(cfg.PhoneNumberID, 5, 20):
		wrong("phone_number_id: must be the id of the number, digits only, and not the number itself")
	}
	if cfg.Token == "" {
		wrong("token: is missing; the access token of a system user who may send for this number")
	}
	switch {
	case cfg.Template == "":
		wrong("template: is missing; the name of an authentication template with a copy-code button")
	case len(cfg.Template) > 512 || strings.Trim(cfg.Template, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		wrong("template: must be a name of lower-case letters, digits and _")
	}
	if len(cfg.Languages) == 0 {
		cfg.Languages = []string{"en"}
	}
	for _, language := range cfg.Languages {
		if !isLanguage(language) {
			wrong("languages: %q is not written as WhatsApp does, like en or pt_BR", language)
		}
	}
	if cfg.URL == "" {
		cfg.URL = "https://graph.facebook.com/v24.0"
	}
	if _, err := baseURL("whatsapp.url", cfg.URL); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	return &WhatsApp{provider{name: "WhatsApp", url: "whatsapp.url", secret: "whatsapp.token and its permissions", client: cfg.Client}, cfg}, nil
}

// language is the best of the template's for a reader's locale.
func (w *WhatsApp) language(locale string) string {
	locale = strings.ReplaceAll(locale, "-", "_")
	short, _, _ := strings.Cut(locale, "_")
	for _, wanted := range []string{locale, short} {
		for _, language := range w.cfg.Languages {
			if strings.EqualFold(language, wanted) {
				return language
			}
		}
	}
	for _, language := range w.cfg.Languages {
		if strings.HasPrefix(language, short+"_") && short != "" {
			return language
		}
	}
	return w.cfg.Languages[0]
}

// maxWhatsAppCode is how long a code an authentication template takes.
const maxWhatsAppCode = 15

var errNoTemplate = &SendError{Stage: StageMessage, Detail: fmt.Sprintf("an authentication template carries a code of at most %d characters and nothing else", maxWhatsAppCode)}

type whatsAppMessage struct {
	Product   string           `json:"messaging_product"`
	Recipient string           `json:"recipient_type"`
	To        string           `json:"to"`
	Type      string           `json:"type"`
	Template  whatsAppTemplate `json:"template"`
	// Meta hands this back with every report about the message.
	Callback string `json:"biz_opaque_callback_data,omitempty"`
}

type whatsAppTemplate struct {
	Name     string `json:"name"`
	Language struct {
		Code string `json:"code"`
	} `json:"language"`
	Components []whatsAppComponent `json:"components"`
}

type whatsAppComponent struct {
	Type       string              `json:"type"`
	SubType    string              `json:"sub_type,omitempty"`
	Index      string              `json:"index,omitempty"`
	Parameters []whatsAppParameter `json:"parameters"`
}

type whatsAppParameter struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// templateCode returns what an authentication template says of a letter.
func templateCode(l *Letter) (string, error) {
	code := l.Code.Reveal()
	switch {
	case !isPhone(l.To):
		return "", errNoPhone
	case code == "" || len(code) > maxWhatsAppCode:
		return "", errNoTemplate
	}
	return code, nil
}

// Send hands the letter's code to WhatsApp.
func (w *WhatsApp) Send(ctx context.Context, l *Letter) error {
	code, err := templateCode(l)
	if err != nil {
		return err
	}
	m := whatsAppMessage{Product: "whatsapp", Recipient: "individual", To: l.To, Type: "template", Callback: cmp.Or(l.Receipt, l.ID)}
	m.Template.Name, m.Template.Language.Code = w.cfg.Template, w.language(l.Locale)
	parameters := []whatsAppParameter{{"text", code}}
	m.Template.Components = []whatsAppComponent{
		{Type: "body", Parameters: parameters},
		// The button that copies counts as one with an address, whose variable part is the code.
		{Type: "button", SubType: "url", Index: "0", Parameters: parameters},
	}
	body, err := json.Marshal(m)
	if err != nil {
		return &SendError{Stage: StageMessage, Detail: Scrub(err.Error(), l), cause: err}
	}
	req, err := request(ctx, w.cfg.URL+"/"+w.cfg.PhoneNumberID+"/messages", asJSON, string(body))
	if err != nil {
		return err
	}
	answer, err := w.call(req, l)
	if err != nil {
		return err
	}
	var made struct {
		Messages []struct{ ID string }
	}
	if json.Unmarshal(answer, &made) != nil || len(made.Messages) == 0 {
		return w.refused(reply{status: http.StatusOK}, fault{StageConnect, true, "what answered is not WhatsApp; check whatsapp.url"}, "", l)
	}
	return nil
}

func (w *WhatsApp) call(req *http.Request, l *Letter) ([]byte, error) {
	req.Header.Set("Authorization", "Bearer "+w.cfg.Token.Reveal())
	r, err := w.ask(req)
	if err != nil || r.ok() {
		return r.body, err
	}
	var said struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Data    struct {
				Details string `json:"details"`
			} `json:"error_data"`
		} `json:"error"`
	}
	if json.Unmarshal(r.body, &said) != nil || said.Error.Message == "" {
		return nil, w.refused(r, fault{}, "", l)
	}
	e := said.Error
	known, ok := whatsAppFaults[e.Code]
	if !ok && e.Code >= 200 && e.Code < 300 {
		known = fault{StageAuth, true, "the token lacks a permission for this number; check whatsapp.token"}
	}
	if known.stage == StageRegion && l != nil {
		known.what = fmt.Sprintf(known.what, phone.Area(l.To))
	}
	text := fmt.Sprint("error ", e.Code, ": ", e.Message)
	if e.Data.Details != "" {
		text += " (" + e.Data.Details + ")"
	}
	return nil, w.refused(r, known, strings.ReplaceAll(text, w.cfg.Token.Reveal(), "[token]"), l)
}

// whatsAppFaults are the Cloud API's error codes that mean more than their status
// says. A %s is the prefix of the number.
var whatsAppFaults = map[int]fault{
	0:      {StageAuth, true, "the token is not valid; check whatsapp.token"},
	3:      {StageAuth, true, "the token lacks a permission; check whatsapp.token"},
	10:     {StageAuth, true, "the token lacks a permission for this number; check whatsapp.token"},
	190:    {StageAuth, true, "the token has expired or was withdrawn; make one that lasts, for a system user, and set whatsapp.token"},
	368:    {StageAuth, true, "Meta has blocked the account for a while; see the Business Manager"},
	131005: {StageAuth, true, "the token lacks a permission for this number; check whatsapp.token"},
	131031: {StageAuth, true, "Meta has locked the account; see the Business Manager"},
	131042: {StageAuth, true, "the account has no valid way to pay; see the Business Manager"},

	1:      {StageConnect, true, "WhatsApp has a problem of its own"},
	2:      {StageConnect, true, "WhatsApp has a problem of its own"},
	4:      {StageConnect, true, "WhatsApp gets more requests from us than it allows"},
	80007:  {StageConnect, true, "WhatsApp gets more requests from us than it allows"},
	130429: {StageConnect, true, "WhatsApp gets more messages from us than it allows"},
	131000: {StageConnect, true, "WhatsApp has a problem of its own"},
	131016: {StageConnect, true, "WhatsApp has a problem of its own"},
	131048: {StageConnect, true, "WhatsApp takes fewer messages from this number, since readers blocked or reported them; see the Business Manager"},
	131057: {StageConnect, true, "Meta is working on the account"},
	133004: {StageConnect, true, "WhatsApp has a problem of its own"},

	131021: {StageRecipient, false, "this is our own number"},
	131026: {StageRecipient, false, "this reader is not on WhatsApp, or cannot be reached there"},
	131030: {StageRecipient, false, "a test number writes to the numbers on its list only; see Meta's app dashboard"},
	131049: {StageRecipient, false, "WhatsApp chose not to deliver this to the reader"},
	131050: {StageRecipient, false, "this reader does not want messages of this kind"},
	130472: {StageRecipient, false, "WhatsApp does not deliver this, as part of an experiment of theirs"},
	131056: {StageRecipient, true, "WhatsApp gets more messages to this reader than it allows"},
	130497: {StageRegion, false, "this account may not write to numbers that begin with %s"},

	33:     {StageFrom, false, "there is no such number any more; check whatsapp.phone_number_id"},
	131045: {StageFrom, false, "the number is not registered; register it in the Business Manager"},
	133010: {StageFrom, false, "the number is not registered; register it in the Business Manager"},

	132000: {StageConfig, true, "the template wants something else than one code; check that whatsapp.template is an authentication template with a copy-code button"},
	132001: {StageConfig, true, "there is no such template in that language, or it is not approved; check whatsapp.template and whatsapp.languages"},
	132012: {StageConfig, true, "the template wants something else than one code; check that whatsapp.template is an authentication template with a copy-code button"},
	132015: {StageConfig, true, "WhatsApp has paused the template; see the Business Manager"},
	132016: {StageConfig, true, "WhatsApp has switched the template off; see the Business Manager"},
}

// Reports reads what Meta tells of messages, many at once and among much else. When the
// address is entered at Meta it asks for it once, and wants a number of its own back;
// what that proves is nothing, so anybody gets it.
func (w *WhatsApp) Reports(r *http.Request, _ splitpin.Channel, _ string, body []byte) ([]Report, string, error) {
	if r.Method == http.MethodGet {
		challenge := r.URL.Query().Get("hub.challenge")
		if !isDigits(challenge, 1, 20) {
			return nil, "", ErrNoReport
		}
		return nil, challenge, nil
	}
	mac := hmac.New(sha256.New, []byte(w.cfg.AppSecret.Reveal()))
	mac.Write(body)
	given, err := hex.DecodeString(strings.TrimPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="))
	if err != nil || w.cfg.AppSecret == "" || !hmac.Equal(given, mac.Sum(nil)) {
		return nil, "", ErrNotProvider
	}
	var told struct {
		Entry []struct {
			Changes []struct {
				Value struct {
					Statuses []struct {
						Status   string `json:"status"`
						Callback string `json:"biz_opaque_callback_data"`
						Errors   []struct {
							Code int `json:"code"`
						} `json:"errors"`
					} `json:"statuses"`
				} `json:"value"`
			} `json:"changes"`
		} `json:"entry"`
	}
	if json.Unmarshal(body, &told) != nil {
		return nil, "", ErrNoReport
	}
	var reports []Report
	for _, entry := range told.Entry {
		for _, change := range entry.Changes {
			for _, s := range change.Value.Statuses {
				switch {
				case s.Status == "delivered" || s.Status == "read":
					reports = append(reports, Report{Receipt: s.Callback})
				case s.Status == "failed" && len(s.Errors) > 0:
					reports = append(reports, Report{s.Callback, stageOf(whatsAppFaults[s.Errors[0].Code])})
				case s.Status == "failed":
					reports = append(reports, Report{s.Callback, StageData})
				}
			}
		}
	}
	return reports, "", nil
}

// Check asks for the number, which shows whether WhatsApp knows us. It sends nothing,
// and does not see the template.
func (w *WhatsApp) Check(ctx context.Context) []CheckStep {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.cfg.URL+"/"+w.cfg.PhoneNumberID+"?fields=verified_name,quality_rating", nil)
	if err != nil {
		return []CheckStep{failedStep(err)}
	}
	body, err := w.call(req, nil)
	if err != nil {
		return []CheckStep{failedStep(err)}
	}
	var number struct {
		Name    string `json:"verified_name"`
		Quality string `json:"quality_rating"`
	}
	if json.Unmarshal(body, &number) != nil {
		return []CheckStep{{Stage: StageConnect, Detail: "what answered is not WhatsApp; check whatsapp.url"}}
	}
	detail := "WhatsApp knows the number, of " + oneLine(number.Name, 60)
	if number.Quality != "" {
		detail += ", quality " + oneLine(number.Quality, 20)
	}
	return []CheckStep{{StageAuth, true, detail}}
}
