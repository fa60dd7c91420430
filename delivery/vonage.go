package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/phone"
)

// A VonageConfig is an account at Vonage (formerly Nexmo). All but URL are required.
type VonageConfig struct {
	APIKey string
	Secret splitpin.Secret
	From   string // a number, digits only, or a name of up to 11 letters and digits

	ReportsURL string // where reports are taken, without the channel; empty: nowhere

	URL string // of the SMS API; empty: https://rest.nexmo.com/sms/json

	Client *http.Client     // required; see package outgoing
	Clock  func() time.Time // tells how long a letter is of use; nil: time.Now
}

// A Vonage sends text messages through Vonage's SMS API, which answers 200 to
// everything and says in the body what it did.
//
// It takes no key by which a repeated request could be told: where the connection
// breaks before the answer, the error is Uncertain.
type Vonage struct {
	provider
	cfg VonageConfig
}

// NewVonage checks cfg and names everything that is wrong with it, one problem a
// line. It connects nowhere.
func NewVonage(cfg VonageConfig) (*Vonage, error) {
	var problems []error
	wrong := func(text string) { problems = append(problems, errors.New("vonage."+text)) }
	if cfg.APIKey == "" {
		wrong("api_key: is missing; the dashboard shows it")
	}
	if cfg.Secret == "" {
		wrong("secret: is missing; the API secret that belongs to vonage.api_key")
	}
	switch {
	case cfg.From == "":
		wrong("from: is missing; a number of the account, or a name of up to 11 letters and digits")
	case !isPhone("+"+cfg.From) && !isSenderName(cfg.From) && !isDigits(cfg.From, 3, 8):
		wrong("from: must be a number without +, like 14155550100, a short code, or a name of up to 11 letters and digits")
	}
	if cfg.URL == "" {
		cfg.URL = "https://rest.nexmo.com/sms/json"
	}
	if _, err := baseURL("vonage.url", cfg.URL); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Vonage{provider{name: "Vonage", url: "vonage.url", secret: "vonage.api_key and vonage.secret", client: cfg.Client}, cfg}, nil
}

// Vonage keeps a message for between 20 seconds and a week.
const (
	vonageLeast = 20 * time.Second
	vonageMost  = 7 * 24 * time.Hour
)

// Send hands the letter to Vonage, which drops it when it is of no use any more.
func (v *Vonage) Send(ctx context.Context, l *Letter) error {
	if !isPhone(l.To) {
		return errNoPhone
	}
	text := strings.TrimSuffix(l.Text, "\n")
	form := url.Values{"api_key": {v.cfg.APIKey}, "api_secret": {v.cfg.Secret.Reveal()}, "from": {v.cfg.From},
		"to": {l.To[1:]}, "text": {text}, "client-ref": {l.ID}}
	if _, _, small := Segments(text); !small {
		form.Set("type", "unicode")
	}
	if v.cfg.ReportsURL != "" && l.Receipt != "" {
		form.Set("callback", reportsAt(v.cfg.ReportsURL, l.Channel, l.Receipt))
	}
	if !l.Until.IsZero() {
		left := min(max(l.Until.Sub(v.cfg.Clock()), vonageLeast), vonageMost)
		form.Set("ttl", strconv.FormatInt(left.Milliseconds(), 10))
	}
	req, err := request(ctx, v.cfg.URL, aForm, form.Encode())
	if err != nil {
		return err
	}
	r, err := v.ask(req)
	if err != nil {
		return err
	}
	if !r.ok() {
		return v.refused(r, fault{}, "", l)
	}
	var made struct {
		Messages []struct {
			Status string `json:"status"`
			Error  string `json:"error-text"`
		} `json:"messages"`
	}
	if json.Unmarshal(r.body, &made) != nil || len(made.Messages) == 0 {
		return v.refused(r, fault{StageConnect, true, "what answered is not Vonage; check vonage.url"}, "", l)
	}
	// One entry for each segment. Where the first was taken, more of them would cost
	// again.
	first := made.Messages[0]
	if first.Status == "0" {
		return nil
	}
	code, _ := strconv.Atoi(first.Status)
	known, ok := vonageFaults[code]
	if !ok {
		known = fault{StageData, false, "Vonage refuses the message"}
	}
	if known.stage == StageRegion {
		known.what = fmt.Sprintf(known.what, phone.Area(l.To))
	}
	said := "error " + first.Status + ": " + strings.ReplaceAll(first.Error, v.cfg.Secret.Reveal(), "[secret]")
	e := asSendError(v.refused(reply{status: http.StatusBadRequest}, known, said, l))
	e.Uncertain = code == 5 // an error of its own, which it may have met late
	return e
}

// Reports reads what Vonage tells of one message, as a form or as JSON. It signs nothing:
// what proves the report is the receipt in its address, which nobody but Vonage was told.
func (v *Vonage) Reports(r *http.Request, _ splitpin.Channel, receipt string, body []byte) ([]Report, string, error) {
	var told struct {
		Status string `json:"status"`
		Code   string `json:"err-code"`
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == asJSON {
		if json.Unmarshal(body, &told) != nil {
			return nil, "", ErrNoReport
		}
	} else {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, "", ErrNoReport
		}
		told.Status, told.Code = form.Get("status"), form.Get("err-code")
	}
	switch told.Status {
	case "delivered":
		return []Report{{Receipt: receipt}}, "", nil
	case "failed", "rejected", "expired":
		stage, ok := vonageReports[told.Code]
		if !ok {
			stage = StageData
		}
		return []Report{{receipt, stage}}, "", nil
	}
	return nil, "", nil // on its way, or nobody knows
}

// vonageReports are the codes in Vonage's reports, by what they say about a message.
var vonageReports = map[string]Stage{
	"2": StageRecipient, "3": StageRecipient, "4": StageRecipient, "5": StageConnect, "6": StageData, "7": StageRecipient,
	"8": StageConnect, "9": StageRecipient, "10": StageData, "11": StageRegion, "12": StageRecipient, "13": StageRecipient,
	"14": StageRegion, "15": StageAuth, "16": StageFrom, "39": StageFrom, "41": StageFrom, "50": StageData, "51": StageData, "52": StageRegion,
}

// vonageFaults are the codes that Vonage's SMS API answers with. A %s is the prefix of
// the number.
var vonageFaults = map[int]fault{
	1:  {StageConnect, true, "Vonage gets more messages from us than it allows"},
	2:  {StageData, false, "Vonage does not understand the request"},
	3:  {StageData, false, "Vonage does not understand the request"},
	4:  {StageAuth, true, "Vonage does not know us; check vonage.api_key and vonage.secret"},
	5:  {StageConnect, true, "Vonage has a problem of its own"},
	6:  {StageRegion, false, "Vonage reaches no number that begins with %s"},
	7:  {StageRecipient, false, "this number is barred, or its owner has opted out"},
	8:  {StageAuth, true, "Vonage has barred the account; see its dashboard"},
	9:  {StageAuth, true, "the account has no credit left; see Vonage's dashboard"},
	10: {StageConnect, true, "Vonage gets more requests from us at once than it allows"},
	11: {StageAuth, true, "the account may not use the SMS API; see Vonage's dashboard"},
	12: {StageData, false, "the text is too long for Vonage"},
	14: {StageAuth, true, "the account wants signed requests; switch that off in Vonage's dashboard"},
	15: {StageFrom, false, "vonage.from is no number or name that this account may send from to that country"},
	22: {StageRegion, false, "Vonage reaches no network of numbers that begin with %s"},
	29: {StageRecipient, false, "a demo account writes to numbers on its list only; add credit in Vonage's dashboard"},
	32: {StageAuth, true, "the account wants signed requests; switch that off in Vonage's dashboard"},
	33: {StageRecipient, false, "this number is not in use"},
}
