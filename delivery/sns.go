package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/splitpin/splitpin"
)

// An SNSConfig is an access key at Amazon Web Services that may publish text messages.
// All but From and URL are required.
type SNSConfig struct {
	AccessKeyID string
	Secret      splitpin.Secret // the secret access key that belongs to it
	Region      string          // "eu-central-1"

	// From is a number or a short code of the account, or a name of up to 11 letters and
	// digits; empty: AWS chooses.
	From string

	URL string // of SNS in that region; empty: https://sns.REGION.amazonaws.com

	Client *http.Client     // required; see package outgoing
	Clock  func() time.Time // which AWS compares with its own; nil: time.Now
}

// An SNS sends text messages through Amazon's Simple Notification Service.
//
// For text messages it takes no key by which a repeated request could be told: where the
// connection breaks before the answer, the error is Uncertain. It takes no life of a
// message either, so that one may arrive when its code is over.
type SNS struct {
	provider
	cfg  SNSConfig
	sign *signer.Signer
}

// NewSNS checks cfg and names everything that is wrong with it, one problem a
// line. It connects nowhere.
func NewSNS(cfg SNSConfig) (*SNS, error) {
	var problems []error
	wrong := func(text string) { problems = append(problems, errors.New("sns."+text)) }
	const upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	switch {
	case cfg.AccessKeyID == "":
		wrong("access_key_id: is missing; make a key for a user that may do sns:Publish and nothing else")
	case strings.HasPrefix(cfg.AccessKeyID, "ASIA"):
		wrong("access_key_id: is a key that expires by itself; give one of a user, which begins with AKIA")
	case len(cfg.AccessKeyID) < 16 || len(cfg.AccessKeyID) > 128 || strings.Trim(cfg.AccessKeyID, upper) != "":
		wrong("access_key_id: must be what IAM shows, capital letters and digits")
	}
	if cfg.Secret == "" {
		wrong("secret: is missing; the secret access key that belongs to sns.access_key_id")
	}
	switch {
	case cfg.Region == "":
		wrong("region: is missing; like eu-central-1")
	case len(cfg.Region) > 40 || strings.Trim(cfg.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		wrong("region: must be written like eu-central-1")
	}
	if cfg.From != "" && !isPhone(cfg.From) && !isDigits(cfg.From, 3, 8) && (!isSenderName(cfg.From) || strings.Contains(cfg.From, " ")) {
		wrong("from: must be a number like +14155550100, a short code, or a name of up to 11 letters and digits without spaces")
	}
	if cfg.URL == "" {
		cfg.URL = "https://sns." + cfg.Region + ".amazonaws.com"
	}
	if _, err := baseURL("sns.url", cfg.URL); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/") + "/"
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &SNS{provider{name: "AWS", url: "sns.region and sns.url", secret: "sns.access_key_id, sns.secret and what the key may do", client: cfg.Client}, cfg, signer.NewSigner()}, nil
}

// Send hands the letter to SNS.
func (s *SNS) Send(ctx context.Context, l *Letter) error {
	if !isPhone(l.To) {
		return errNoPhone
	}
	form := url.Values{"PhoneNumber": {l.To}, "Message": {strings.TrimSuffix(l.Text, "\n")}}
	n := 0
	attribute := func(name, value string) {
		n++
		entry := "MessageAttributes.entry." + strconv.Itoa(n)
		form.Set(entry+".Name", name)
		form.Set(entry+".Value.DataType", "String")
		form.Set(entry+".Value.StringValue", value)
	}
	attribute("AWS.SNS.SMS.SMSType", "Transactional") // else it waits behind advertisements
	switch from := s.cfg.From; {
	case from == "":
	case isPhone(from) || isDigits(from, 3, 8):
		attribute("AWS.MM.SMS.OriginationNumber", from)
	default:
		attribute("AWS.SNS.SMS.SenderID", from)
	}
	body, err := s.call(ctx, "Publish", form, l)
	if err != nil {
		return err
	}
	var made struct {
		ID string `xml:"PublishResult>MessageId"`
	}
	if xml.Unmarshal(body, &made) != nil || made.ID == "" {
		return s.refused(reply{status: http.StatusOK}, fault{StageConnect, true, "what answered is not SNS; check sns.url"}, "", l)
	}
	return nil
}

// call makes one signed request. It returns the body of an answer of success.
func (s *SNS) call(ctx context.Context, action string, form url.Values, l *Letter) ([]byte, error) {
	form.Set("Action", action)
	form.Set("Version", "2010-03-31")
	body := form.Encode()
	req, err := request(ctx, s.cfg.URL, aForm, body)
	if err != nil {
		return nil, err
	}
	req.Header.Del("Accept") // it writes XML
	hash := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: s.cfg.AccessKeyID, SecretAccessKey: s.cfg.Secret.Reveal()}
	if err := s.sign.SignHTTP(ctx, key, req, hex.EncodeToString(hash[:]), "sns", s.cfg.Region, s.cfg.Clock()); err != nil {
		return nil, &SendError{Stage: StageConfig, Temporary: true, Detail: Scrub("signing the request: "+err.Error(), l), cause: err}
	}
	r, err := s.ask(req)
	if err != nil {
		return nil, err
	}
	if r.ok() {
		return r.body, nil
	}
	var said struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if xml.Unmarshal(r.body, &said) != nil || said.Code == "" {
		return nil, s.refused(r, fault{}, "", l)
	}
	known := snsFaults[said.Code]
	if said.Code == "InvalidParameter" && strings.Contains(said.Message, "PhoneNumber") {
		known = fault{StageRecipient, false, "AWS says that this number cannot be reached, or that its owner has opted out"}
	}
	return nil, s.refused(r, known, said.Code+": "+strings.ReplaceAll(said.Message, s.cfg.Secret.Reveal(), "[secret]"), l)
}

// snsFaults are the codes of SNS, and of what stands before all of AWS, that mean more
// than their status says.
var snsFaults = map[string]fault{
	"AuthorizationError":    {StageAuth, true, "the key may not send text messages; let its user do sns:Publish"},
	"AccessDenied":          {StageAuth, true, "the key may not send text messages; let its user do sns:Publish"},
	"InvalidClientTokenId":  {StageAuth, true, "AWS does not know the key; check sns.access_key_id"},
	"SignatureDoesNotMatch": {StageAuth, true, "AWS does not take our signature; check sns.secret and sns.region"},
	"IncompleteSignature":   {StageAuth, true, "AWS does not take our signature; check sns.access_key_id and sns.region"},
	"RequestExpired":        {StageAuth, true, "AWS finds our signature too old; check this machine's clock"},
	"OptInRequired":         {StageAuth, true, "the account has not been opened for SNS; see the AWS console"},
	"InvalidSecurity":       {StageTLS, true, "AWS wants a newer TLS; is there a middlebox?"},
	"Throttled":             {StageConnect, true, "AWS gets more messages from us than it allows; see the account's limits of SNS"},
	"Throttling":            {StageConnect, true, "AWS gets more messages from us than it allows; see the account's limits of SNS"},
	"ThrottlingException":   {StageConnect, true, "AWS gets more messages from us than it allows; see the account's limits of SNS"},
	"ServiceUnavailable":    {StageConnect, true, "AWS has a problem of its own"},
	"UserError":             {StageRecipient, false, "AWS does not write to this number: an account in the SMS sandbox writes to verified numbers only"},
	"OptedOut":              {StageRecipient, false, "the owner of this number has opted out"},
}

// Check asks SNS whether the account is out of the sandbox, which shows whether it
// knows us. It sends nothing.
func (s *SNS) Check(ctx context.Context) []CheckStep {
	body, err := s.call(ctx, "GetSMSSandboxAccountStatus", url.Values{}, nil)
	if err != nil && strings.Contains(err.Error(), "AuthorizationError") {
		return []CheckStep{{StageAuth, true, "AWS knows the key, which may not ask about the SMS sandbox; that is fine if it may do sns:Publish"}}
	}
	if err != nil {
		return []CheckStep{failedStep(err)}
	}
	var said struct {
		Sandbox *bool `xml:"GetSMSSandboxAccountStatusResult>IsInSandbox"`
	}
	if xml.Unmarshal(body, &said) != nil || said.Sandbox == nil {
		return []CheckStep{{Stage: StageConnect, Detail: "what answered is not SNS; check sns.url"}}
	}
	detail := "AWS knows the key"
	if *said.Sandbox {
		detail += fmt.Sprintf(", whose account is in the SMS sandbox of %s: it writes to verified numbers only", s.cfg.Region)
	}
	return []CheckStep{{StageAuth, true, detail}}
}
