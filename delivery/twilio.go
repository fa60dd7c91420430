package delivery

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/phone"
)

// A TwilioConfig is an account at Twilio. AccountSID and Secret are required. To send
// codes of ours, either From or MessagingService is; to let Twilio make and check
// them, VerifyService is.
type TwilioConfig struct {
	AccountSID string // AC…
	// APIKey is a key that may be withdrawn by itself, SK…; empty: Secret is the
	// account's auth token.
	APIKey string
	Secret splitpin.Secret

	From             string // a number of the account, a short code, or a name of up to 11 letters and digits
	MessagingService string // MG…; it chooses among its numbers, and is what many countries want
	VerifyService    string // VA…

	// WhatsAppFrom is the number of a sender for WhatsApp, and WhatsAppContent the template it
	// sends: HX…, of the category authentication, whose one variable is the code.
	WhatsAppFrom, WhatsAppContent string

	// AuthToken signs Twilio's reports; empty: Secret does, where there is no APIKey, else
	// there are no reports. ReportsURL is where they are taken, without the channel; empty:
	// nowhere.
	AuthToken  splitpin.Secret
	ReportsURL string

	// URL is where Twilio's products are, with PRODUCT in the place of "api",
	// "messaging" and "verify"; empty: https://PRODUCT.twilio.com.
	URL string

	Client *http.Client     // required; see package outgoing
	Clock  func() time.Time // tells how long a letter is of use; nil: time.Now
}

// These are no regular expressions: to compile those costs every start of the program
// a millisecond and more, whoever uses them.

// isSID reports whether s is a name that Twilio gives: a prefix and 32 digits.
func isSID(prefix, s string) bool {
	digits, ok := strings.CutPrefix(s, prefix)
	return ok && len(digits) == 32 && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// isDigits reports whether s is a number of least to most digits.
func isDigits(s string, least, most int) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, "0123456789") == ""
}

// isSenderName reports whether text messages can come from a name: letters, digits and
// spaces, eleven at most, with a letter among them.
func isSenderName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return len(s) <= 11 && strings.ContainsAny(s, letters) && strings.Trim(s, letters+"0123456789 ") == ""
}

// A twilio is the account, for both ways to use it.
type twilio struct {
	provider
	cfg TwilioConfig
}

func newTwilio(cfg TwilioConfig) (*twilio, error) {
	var problems []error
	wrong := func(text string) { problems = append(problems, errors.New("twilio."+text)) }
	switch {
	case cfg.AccountSID == "":
		wrong("account_sid: is missing; the console shows it, AC and 32 digits")
	case !isSID("AC", cfg.AccountSID):
		wrong("account_sid: must be AC and 32 digits of 0-9 and a-f")
	}
	if cfg.APIKey != "" && !isSID("SK", cfg.APIKey) {
		wrong("api_key: must be SK and 32 digits of 0-9 and a-f")
	}
	if cfg.Secret == "" {
		wrong("secret: is missing; the secret of twilio.api_key, or without one the account's auth token")
	}
	if cfg.URL == "" {
		cfg.URL = "https://PRODUCT.twilio.com"
	}
	if _, err := baseURL("twilio.url", cfg.URL); err != nil {
		problems = append(problems, err)
	} else if !strings.Contains(cfg.URL, "PRODUCT") {
		wrong("url: must have PRODUCT in the place of api and verify, like https://PRODUCT.dublin.ie1.twilio.com")
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if cfg.APIKey == "" {
		cfg.AuthToken = cfg.Secret
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &twilio{provider{name: "Twilio", url: "twilio.url", secret: "twilio.account_sid, twilio.api_key and twilio.secret", client: cfg.Client}, cfg}, nil
}

// call makes one request: a POST where there is a form. It returns the body of an
// answer of success.
func (t *twilio) call(ctx context.Context, product, path string, form url.Values, l *Letter) ([]byte, error) {
	to := strings.ReplaceAll(t.cfg.URL, "PRODUCT", product) + path
	req, err := request(ctx, to, aForm, form.Encode())
	if err != nil {
		return nil, err
	}
	if form == nil {
		req.Method, req.Body, req.ContentLength = http.MethodGet, nil, 0
		req.Header.Del("Content-Type")
	}
	user := t.cfg.APIKey
	if user == "" {
		user = t.cfg.AccountSID
	}
	req.SetBasicAuth(user, t.cfg.Secret.Reveal())
	r, err := t.ask(req)
	if err != nil {
		return nil, err
	}
	if !r.ok() {
		return r.body, t.refusal(r, l)
	}
	return r.body, nil
}

// refusal reads what Twilio says of a request that it does not fulfil.
func (t *twilio) refusal(r reply, l *Letter) error {
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(r.body, &said) != nil || said.Code == 0 {
		return t.refused(r, fault{}, "", l)
	}
	return t.fault(r, said.Code, said.Message, l)
}

func (t *twilio) fault(r reply, code int, message string, l *Letter) error {
	known := twilioFaults[code]
	if known.stage == StageRegion && l != nil {
		known.what = fmt.Sprintf(known.what, phone.Area(l.To))
	}
	return t.refused(r, known, strings.TrimSpace(fmt.Sprint("error ", code, ": ", message)), l)
}

// twilioFaults are Twilio's error codes that mean more than their status says. A %s
// is the prefix of the number.
var twilioFaults = map[int]fault{
	10001: {StageAuth, true, "the account is not active; see the Twilio console"},
	20003: {StageAuth, true, "Twilio does not know us; check twilio.account_sid, twilio.api_key and twilio.secret"},
	20005: {StageAuth, true, "the account is not active; see the Twilio console"},
	20404: {StageConfig, true, "Twilio does not know the account or the service; check twilio.account_sid, twilio.messaging_service and twilio.verify_service"},
	20429: {StageConnect, true, "Twilio gets more requests from us than it allows"},
	14107: {StageConnect, true, "Twilio gets more messages from us than it allows"},
	21611: {StageConnect, true, "the queue of our number is full; use twilio.messaging_service with more numbers"},
	30001: {StageConnect, true, "the queue of our number is full; use twilio.messaging_service with more numbers"},

	21211: {StageRecipient, false, "this is no valid number"},
	21214: {StageRecipient, false, "this number cannot be reached"},
	21217: {StageRecipient, false, "this is no valid number"},
	21263: {StageRecipient, false, "this is a short code, not a person's number"},
	21265: {StageRecipient, false, "this is a short code, not a person's number"},
	21266: {StageRecipient, false, "this is our own number"},
	21608: {StageRecipient, false, "a trial account writes to verified numbers only; upgrade it in the Twilio console"},
	21610: {StageRecipient, false, "this reader has opted out with STOP, and must write START to our number first"},
	21612: {StageRecipient, false, "our number cannot reach this one; use twilio.messaging_service with a number for that country"},
	21614: {StageRecipient, false, "this number takes no text messages"},
	21635: {StageRecipient, false, "this is a landline, which takes no text messages"},
	30003: {StageRecipient, false, "this phone cannot be reached"},
	30004: {StageRecipient, false, "this reader blocks our messages"},
	30005: {StageRecipient, false, "this number is not in use"},
	30006: {StageRecipient, false, "this is a landline, or a carrier that takes no text messages"},
	63003: {StageRecipient, false, "this reader is not on WhatsApp, or cannot be reached there"},
	63024: {StageRecipient, false, "this reader is not on WhatsApp, or cannot be reached there"},
	63032: {StageRecipient, false, "WhatsApp chose not to deliver this to the reader"},
	60205: {StageRecipient, false, "this is a landline, which takes no text messages"},

	21408: {StageRegion, false, "text messages to %s are switched off for this account; switch them on in the Twilio console under Messaging, Geo permissions"},
	30450: {StageRegion, false, "Twilio's protection against SMS pumping blocks numbers that begin with %s; see the console under Messaging"},
	30453: {StageRegion, false, "Twilio's protection against SMS pumping blocks numbers that begin with %s; see the console under Messaging"},
	60410: {StageRegion, false, "Twilio's fraud guard blocks numbers that begin with %s; see the console under Verify"},
	60605: {StageRegion, false, "codes to %s are switched off for this account; switch them on in the Twilio console under Verify, Geo permissions"},

	63007: {StageFrom, false, "twilio.whatsapp_from is no sender for WhatsApp of this account"},
	63016: {StageConfig, true, "this is no approved template; check that twilio.whatsapp_content is an authentication template"},
	63018: {StageConnect, true, "WhatsApp gets more messages from us than it allows"},
	63027: {StageConfig, true, "there is no such template in that language; check twilio.whatsapp_content"},
	63028: {StageConfig, true, "the template wants something else than one code; check twilio.whatsapp_content"},
	21212: {StageFrom, false, "twilio.from is no number or name that this account may send from"},
	21603: {StageFrom, false, "twilio.from is missing"},
	21606: {StageFrom, false, "twilio.from is no number that this account may send text messages from"},
	21659: {StageFrom, false, "twilio.from is not a number of Twilio's"},
	21660: {StageFrom, false, "twilio.from belongs to another account"},
	21661: {StageFrom, false, "twilio.from takes no text messages"},
	21701: {StageConfig, true, "there is no such messaging service; check twilio.messaging_service"},
	21703: {StageConfig, true, "the messaging service has no number to send from; give it one in the Twilio console"},
	21704: {StageConfig, true, "the messaging service has no number to send from; give it one in the Twilio console"},

	60200: {StageData, false, "Twilio does not understand the request"},
	60203: {StageConnect, true, "Twilio sends no more codes to this number for ten minutes"},
	60212: {StageConnect, true, "Twilio gets too many requests for this number at once"},
	60223: {StageConfig, true, "this channel is switched off in the Verify service; switch it on in the Twilio console"},
}

// A Twilio sends text messages through Twilio's Programmable Messaging.
//
// Its interface takes no key by which a repeated request could be told: where the
// connection breaks before the answer, the error is Uncertain.
type Twilio struct{ twilioMessages }

// A TwilioWhatsApp sends codes to WhatsApp through Twilio's Programmable Messaging. Of a
// letter it sends the code and nothing else, as [WhatsApp] does; it is Uncertain as
// [Twilio] is.
type TwilioWhatsApp struct{ twilioMessages }

// twilioMessages is what both have in common.
type twilioMessages struct{ *twilio }

// NewTwilio checks cfg and names everything that is wrong with it, one problem a
// line. It connects nowhere.
func NewTwilio(cfg TwilioConfig) (*Twilio, error) {
	t, err := newTwilio(cfg)
	problems := []error{err}
	switch {
	case cfg.From == "" && cfg.MessagingService == "":
		problems = append(problems, errors.New("twilio.messaging_service: is missing; or give twilio.from, the number that messages come from"))
	case cfg.From != "" && cfg.MessagingService != "":
		problems = append(problems, errors.New("twilio.from: give this or twilio.messaging_service, not both"))
	case cfg.MessagingService != "" && !isSID("MG", cfg.MessagingService):
		problems = append(problems, errors.New("twilio.messaging_service: must be MG and 32 digits of 0-9 and a-f"))
	case cfg.From != "" && !isPhone(cfg.From) && !isSenderName(cfg.From) && !isDigits(cfg.From, 3, 8):
		problems = append(problems, errors.New("twilio.from: must be a number like +14155550100, a short code, or a name of up to 11 letters and digits"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Twilio{twilioMessages{t}}, nil
}

// NewTwilioWhatsApp is NewTwilio for codes to WhatsApp.
func NewTwilioWhatsApp(cfg TwilioConfig) (*TwilioWhatsApp, error) {
	t, err := newTwilio(cfg)
	problems := []error{err}
	if !isPhone(cfg.WhatsAppFrom) {
		problems = append(problems, errors.New("twilio.whatsapp_from: must be the number of a sender for WhatsApp, like +14155550100"))
	}
	if !isSID("HX", cfg.WhatsAppContent) {
		problems = append(problems, errors.New("twilio.whatsapp_content: must be the template as the Twilio console names it, HX and 32 digits of 0-9 and a-f"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &TwilioWhatsApp{twilioMessages{t}}, nil
}

// Send hands the letter to Twilio, which has it dropped when it is of no use any more.
func (t *Twilio) Send(ctx context.Context, l *Letter) error {
	if !isPhone(l.To) {
		return errNoPhone
	}
	form := url.Values{"To": {l.To}, "Body": {strings.TrimSuffix(l.Text, "\n")}}
	if t.cfg.MessagingService != "" {
		form.Set("MessagingServiceSid", t.cfg.MessagingService)
	} else {
		form.Set("From", t.cfg.From)
	}
	return t.send(ctx, form, l)
}

// Send hands the letter's code to Twilio, for WhatsApp.
func (t *TwilioWhatsApp) Send(ctx context.Context, l *Letter) error {
	code, err := templateCode(l)
	if err != nil {
		return err
	}
	variables, err := json.Marshal(map[string]string{"1": code})
	if err != nil {
		return &SendError{Stage: StageMessage, Detail: Scrub(err.Error(), l), cause: err}
	}
	return t.send(ctx, url.Values{"To": {"whatsapp:" + l.To}, "From": {"whatsapp:" + t.cfg.WhatsAppFrom},
		"ContentSid": {t.cfg.WhatsAppContent}, "ContentVariables": {string(variables)}}, l)
}

// send makes a message.
func (t *twilioMessages) send(ctx context.Context, form url.Values, l *Letter) error {
	if t.cfg.ReportsURL != "" && t.cfg.AuthToken != "" && l.Receipt != "" {
		form.Set("StatusCallback", reportsAt(t.cfg.ReportsURL, l.Channel, l.Receipt))
	}
	if !l.Until.IsZero() {
		left := int(l.Until.Sub(t.cfg.Clock()) / time.Second)
		form.Set("ValidityPeriod", strconv.Itoa(min(max(left, 1), 36000)))
	}
	body, err := t.call(ctx, "api", "/2010-04-01/Accounts/"+t.cfg.AccountSID+"/Messages.json", form, l)
	if err != nil {
		return err
	}
	// A message may be made and have failed at the same time.
	var made struct {
		Status  string `json:"status"`
		Code    int    `json:"error_code"`
		Message string `json:"error_message"`
	}
	if json.Unmarshal(body, &made) != nil || made.Status == "" {
		return t.refused(reply{status: http.StatusCreated}, fault{StageConnect, true, "what answered is not Twilio; check twilio.url"}, "", l)
	}
	if made.Status == "failed" || made.Status == "undelivered" || made.Status == "canceled" {
		return t.fault(reply{status: http.StatusBadRequest}, made.Code, made.Message, l)
	}
	return nil
}

// Reports reads what Twilio tells of one message. Its signature covers the address, and
// every field of the form.
func (t *twilioMessages) Reports(r *http.Request, over splitpin.Channel, receipt string, body []byte) ([]Report, string, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, "", ErrNoReport
	}
	given, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Twilio-Signature"))
	if err != nil || t.cfg.AuthToken == "" || !hmac.Equal(given, twilioSignature(t.cfg.AuthToken, reportsAt(t.cfg.ReportsURL, over, receipt), form)) {
		return nil, "", ErrNotProvider
	}
	switch form.Get("MessageStatus") {
	case "delivered", "read":
		return []Report{{Receipt: receipt}}, "", nil
	case "undelivered", "failed":
		code, _ := strconv.Atoi(form.Get("ErrorCode"))
		return []Report{{receipt, stageOf(twilioFaults[code])}}, "", nil
	}
	return nil, "", nil
}

// twilioSignature signs a form that Twilio sends to an address of ours.
func twilioSignature(token splitpin.Secret, to string, form url.Values) []byte {
	mac := hmac.New(sha1.New, []byte(token.Reveal()))
	io.WriteString(mac, to)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range slices.Compact(slices.Sorted(slices.Values(form[name]))) {
			io.WriteString(mac, name+value)
		}
	}
	return mac.Sum(nil)
}

// Check asks Twilio for the account and the messaging service, which shows whether
// it knows us. It sends nothing.
func (t *twilioMessages) Check(ctx context.Context) []CheckStep {
	steps, ok := t.checkAccount(ctx)
	if ok && t.cfg.MessagingService != "" {
		if _, err := t.call(ctx, "messaging", "/v1/Services/"+t.cfg.MessagingService, nil, nil); err != nil {
			return append(steps, failedStep(err))
		}
		steps = append(steps, CheckStep{StageFrom, true, "there is the messaging service"})
	}
	return steps
}

func (t *twilio) checkAccount(ctx context.Context) (steps []CheckStep, ok bool) {
	body, err := t.call(ctx, "api", "/2010-04-01/Accounts/"+t.cfg.AccountSID+".json", nil, nil)
	if err != nil {
		return []CheckStep{failedStep(err)}, false
	}
	var account struct{ Status, Type string }
	if json.Unmarshal(body, &account) != nil || account.Status != "active" {
		return []CheckStep{{Stage: StageAuth, Detail: "the account is not active, but " + oneLine(account.Status, 20) + "; see the Twilio console"}}, false
	}
	detail := "Twilio knows the account"
	if account.Type == "Trial" {
		detail += ", a trial account, which writes to verified numbers only"
	}
	return []CheckStep{{StageAuth, true, detail}}, true
}

// failedStep is the step that ended with err.
func failedStep(err error) CheckStep {
	e := asSendError(err)
	return CheckStep{Stage: e.Stage, Detail: e.Detail}
}

// A TwilioVerify has Twilio make the codes, send them and check them.
type TwilioVerify struct{ *twilio }

// NewTwilioVerify is NewTwilio for codes that Twilio makes.
func NewTwilioVerify(cfg TwilioConfig) (*TwilioVerify, error) {
	t, err := newTwilio(cfg)
	problems := []error{err}
	switch {
	case cfg.VerifyService == "":
		problems = append(problems, errors.New("twilio.verify_service: is missing; make one in the Twilio console, VA and 32 digits"))
	case !isSID("VA", cfg.VerifyService):
		problems = append(problems, errors.New("twilio.verify_service: must be VA and 32 digits of 0-9 and a-f"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &TwilioVerify{t}, nil
}

// verifyLocales are the languages that Twilio writes codes in, as it spells them.
const verifyLocales = " af ar ca cs da de el en en-GB es et fi fr he hi hr hu id it ja kn ko lt mr ms nb nl pl pt pt-BR ro ru sk sv te th tl tr uk vi zh zh-CN zh-HK "

// Send has Twilio send a code of its own, over the channel of the letter. Twilio has one
// code for a number at a time, and repeats it: see Verify.
func (t *TwilioVerify) Send(ctx context.Context, l *Letter) error {
	switch {
	case !isPhone(l.To):
		return errNoPhone
	case l.Channel != splitpin.SMSChannel && l.Channel != splitpin.WhatsAppChannel:
		return &SendError{Stage: StageMessage, Detail: "Twilio sends codes by sms and whatsapp, not by " + string(l.Channel)}
	}
	form := url.Values{"To": {l.To}, "Channel": {string(l.Channel)}}
	language, _, _ := strings.Cut(l.Locale, "-")
	for _, locale := range []string{l.Locale, language} {
		if locale != "" && strings.Contains(verifyLocales, " "+locale+" ") {
			form.Set("Locale", locale)
			break
		}
	}
	_, err := t.call(ctx, "verify", "/v2/Services/"+t.cfg.VerifyService+"/Verifications", form, l)
	return err
}

// Verify asks Twilio whether a code is right. All attempts for one number share one code
// there, and five looks at it, whoever asks.
func (t *TwilioVerify) Verify(ctx context.Context, to, _ string, code splitpin.Secret) (bool, error) {
	l := &Letter{To: to, Code: code} // what must not stand in an error
	form := url.Values{"To": {to}, "Code": {code.Reveal()}}
	body, err := t.call(ctx, "verify", "/v2/Services/"+t.cfg.VerifyService+"/VerificationCheck", form, l)
	var said struct {
		Status string `json:"status"`
		Code   int    `json:"code"`
	}
	if json.Unmarshal(body, &said) != nil && err == nil {
		return false, t.refused(reply{status: http.StatusOK}, fault{StageConnect, true, "what answered is not Twilio; check twilio.url"}, "", l)
	}
	// There is no code any more: it expired, it was right before, or it was wrong too
	// often. So is one of a length that no code has. Nothing is wrong with the service then.
	if err != nil && (said.Code == 20404 || said.Code == 60202 || said.Code == 60200) {
		return false, nil
	}
	return err == nil && said.Status == "approved", err
}

// Check asks Twilio for the account and the service. It sends nothing.
func (t *TwilioVerify) Check(ctx context.Context) []CheckStep {
	steps, ok := t.checkAccount(ctx)
	if ok {
		if _, err := t.call(ctx, "verify", "/v2/Services/"+t.cfg.VerifyService, nil, nil); err != nil {
			return append(steps, failedStep(err))
		}
		steps = append(steps, CheckStep{StageFrom, true, "there is the Verify service"})
	}
	return steps
}
