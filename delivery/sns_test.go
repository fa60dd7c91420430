package delivery_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

const (
	snsKey    = "AKIA0123456789ABCDEF"
	snsSecret = "snssecretsnssecret"
	snsRegion = "eu-central-1"
)

func snsError(code, message string) string {
	return fmt.Sprintf(`<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`, code, message)
}

// snsSigned holds a request against AWS's manual of Signature Version 4, written here a
// second time: whoever signs must agree with it.
func snsSigned(r *http.Request, body []byte) error {
	fields := map[string]string{}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return err
	}
	scope := at.Format("20060102") + "/" + snsRegion + "/sns/aws4_request"
	if scheme != "AWS4-HMAC-SHA256" || fields["Credential"] != snsKey+"/"+scope {
		return fmt.Errorf("signed by %s %s", scheme, fields["Credential"])
	}
	names := strings.Split(fields["SignedHeaders"], ";")
	if !slices.IsSorted(names) || !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-date") {
		return fmt.Errorf("signed are %v", names)
	}
	var headers strings.Builder
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(len(body))
		}
		headers.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	hex256 := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	request := r.Method + "\n/\n\n" + headers.String() + "\n" + fields["SignedHeaders"] + "\n" + hex256(body)
	key := []byte("AWS4" + snsSecret)
	for _, text := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope+"\n"+hex256([]byte(request))) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		key = mac.Sum(nil)
	}
	if fields["Signature"] != hex.EncodeToString(key) {
		return errors.New("the signature is another")
	}
	return nil
}

// startSNS is SNS as AWS's own library for Go speaks to it: TestSNSAsAWSWrites holds both
// sides against that. requests gets the form of each.
func startSNS(t testing.TB, requests *[]url.Values) *fake {
	known := map[string][]string{
		"Publish": {"PhoneNumber", "Message", "MessageAttributes.entry.1.Name", "MessageAttributes.entry.1.Value.DataType", "MessageAttributes.entry.1.Value.StringValue",
			"MessageAttributes.entry.2.Name", "MessageAttributes.entry.2.Value.DataType", "MessageAttributes.entry.2.Value.StringValue"},
		"GetSMSSandboxAccountStatus": nil,
	}
	return serve(t, func(f *fake, w http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil // it was stopped
		}
		form, err := url.ParseQuery(string(body))
		if err != nil || r.Method != http.MethodPost || r.URL.String() != "/" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("the fake knows no %s %s of type %q (%v)", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		}
		if requests != nil {
			*requests = append(*requests, form)
		}
		refuse := func(status int, code, message string) *deliverytest.Arrived {
			w.WriteHeader(status)
			io.WriteString(w, snsError(code, message))
			return nil
		}
		if err := snsSigned(r, body); err != nil {
			return refuse(403, "SignatureDoesNotMatch", err.Error())
		}
		action := form.Get("Action")
		allowed, is := known[action]
		for name, values := range form {
			if !is || form.Get("Version") != "2010-03-31" || len(values) != 1 || name != "Action" && name != "Version" && !slices.Contains(allowed, name) {
				t.Errorf("SNS does not know %s=%v of %q", name, values, action)
			}
		}
		if action != "Publish" {
			io.WriteString(w, `<GetSMSSandboxAccountStatusResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><GetSMSSandboxAccountStatusResult><IsInSandbox>true</IsInSandbox></GetSMSSandboxAccountStatusResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetSMSSandboxAccountStatusResponse>`)
			return nil
		}
		to, text := form.Get("PhoneNumber"), form.Get("Message")
		if text == "" || len([]rune(text)) > 1600 {
			t.Errorf("no message is made of %q", text)
		}
		if to == noPhone {
			return refuse(400, "InvalidParameter", "Invalid parameter: PhoneNumber Reason: "+to+" is not valid to publish to")
		}
		io.WriteString(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>`)
		return &deliverytest.Arrived{To: to, Text: text}
	})
}

func newSNS(t testing.TB, f *fake, from string) *delivery.SNS {
	t.Helper()
	s, err := delivery.NewSNS(delivery.SNSConfig{AccessKeyID: snsKey, Secret: snsSecret, Region: snsRegion, From: from, URL: f.URL, Client: local(t), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSNS(t *testing.T) {
	deliverytest.Run(t, func(t *testing.T) deliverytest.Rig {
		f := startSNS(t, nil)
		return deliverytest.Rig{Sender: newSNS(t, f, "Example"), Channel: splitpin.SMSChannel, To: aPhone, Refused: noPhone, Delivered: f.letters, Break: f.Close}
	})
}

// AWS publishes a library and no description that a test could read. So its library asks
// the same, and understands the same answers.
func TestSNSAsAWSWrites(t *testing.T) {
	for _, tt := range []struct{ from, attribute string }{
		{"", ""}, {"Example", "AWS.SNS.SMS.SenderID"}, {"+14155550100", "AWS.MM.SMS.OriginationNumber"}, {"12345", "AWS.MM.SMS.OriginationNumber"},
	} {
		var requests []url.Values
		f := startSNS(t, &requests)
		theirs := sns.New(sns.Options{Region: snsRegion, BaseEndpoint: &f.URL, HTTPClient: local(t), RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: snsKey, SecretAccessKey: snsSecret}, nil
			})})
		publish := func(to, text string) error {
			written := func(s string) types.MessageAttributeValue {
				return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(s)}
			}
			attributes := map[string]types.MessageAttributeValue{"AWS.SNS.SMS.SMSType": written("Transactional")}
			if tt.attribute != "" {
				attributes[tt.attribute] = written(tt.from)
			}
			_, err := theirs.Publish(t.Context(), &sns.PublishInput{PhoneNumber: &to, Message: &text, MessageAttributes: attributes})
			return err
		}
		l := phoneLetter(splitpin.SMSChannel)
		if err := newSNS(t, f, tt.from).Send(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if err := publish(l.To, strings.TrimSuffix(l.Text, "\n")); err != nil {
			t.Fatal(err)
		}
		if ours, same := attributesOf(requests[0]), attributesOf(requests[1]); ours != same {
			t.Errorf("from %q we ask\n%s, and AWS's library\n%s", tt.from, ours, same)
		}
		var refused *types.InvalidParameterException
		if err := publish(noPhone, "x"); !errors.As(err, &refused) {
			t.Errorf("AWS's library does not know the refusal of the fake: %v", err)
		}
		if status, err := theirs.GetSMSSandboxAccountStatus(t.Context(), &sns.GetSMSSandboxAccountStatusInput{}); err != nil || !status.IsInSandbox {
			t.Errorf("AWS's library does not know the status of the fake: %+v, %v", status, err)
		}
	}
}

// attributesOf writes a form without regard to the order of its attributes, which a map
// of AWS's library has by chance.
func attributesOf(form url.Values) string {
	pairs := map[string]string{}
	for i := 1; ; i++ {
		entry := fmt.Sprintf("MessageAttributes.entry.%d", i)
		if !form.Has(entry + ".Name") {
			break
		}
		pairs[form.Get(entry+".Name")] = form.Get(entry+".Value.DataType") + " " + form.Get(entry+".Value.StringValue")
		for _, part := range []string{".Name", ".Value.DataType", ".Value.StringValue"} {
			form.Del(entry + part)
		}
	}
	return form.Encode() + fmt.Sprint(pairs)
}

func TestSNSDiagnosis(t *testing.T) {
	f := startSNS(t, nil)
	to := "about " + aPhone + " with 123456 and " + snsSecret
	diagnose(t, f, newSNS(t, f, ""), phoneLetter(splitpin.SMSChannel), snsSecret, []diagnosis{
		{"wrong secret", 403, snsError("SignatureDoesNotMatch", to), delivery.StageAuth, true, []string{"check sns.secret", "SignatureDoesNotMatch"}},
		{"unknown key", 403, snsError("InvalidClientTokenId", to), delivery.StageAuth, true, []string{"check sns.access_key_id"}},
		{"a clock that is wrong", 403, snsError("RequestExpired", to), delivery.StageAuth, true, []string{"clock"}},
		{"no permission", 403, snsError("AuthorizationError", to), delivery.StageAuth, true, []string{"sns:Publish"}},
		{"throttled", 400, snsError("Throttling", to), delivery.StageConnect, true, []string{"more messages"}},
		{"opted out", 400, snsError("InvalidParameter", "Invalid parameter: PhoneNumber Reason: "+aPhone+" is opted out"), delivery.StageRecipient, false, []string{"opted out"}},
		{"another parameter", 400, snsError("InvalidParameter", "Invalid parameter: Message too long"), delivery.StageData, false, []string{"InvalidParameter", "too long"}},
		{"the sandbox", 400, snsError("UserError", to), delivery.StageRecipient, false, []string{"sandbox"}},
		{"ill", 500, snsError("InternalError", to), delivery.StageConnect, true, []string{"a problem of its own"}},
		{"somebody else", 200, "<html>", delivery.StageConnect, true, []string{"not SNS"}},
		{"somebody else who refuses", 403, "<html>", delivery.StageAuth, true, []string{"403"}},
	})
}

func TestSNSCheck(t *testing.T) {
	f := startSNS(t, nil)
	s := newSNS(t, f, "")
	check := func(ok bool, says string) {
		t.Helper()
		if steps := s.Check(t.Context()); len(steps) != 1 || steps[0].OK != ok || !strings.Contains(steps[0].Detail, says) {
			t.Errorf("got %+v, want %v and %q", steps, ok, says)
		}
	}
	check(true, "sandbox of eu-central-1")
	f.fail(403, snsError("AuthorizationError", "User is not authorized to perform"))
	check(true, "sns:Publish")
	f.fail(403, snsError("InvalidClientTokenId", "The security token included in the request is invalid"))
	check(false, "sns.access_key_id")
	f.fail(200, "<html>")
	check(false, "not SNS")
	if n := len(f.letters()); n != 0 {
		t.Errorf("%d letters were sent", n)
	}
}

func TestSNSSettings(t *testing.T) {
	_, err := delivery.NewSNS(delivery.SNSConfig{AccessKeyID: "ASIA0123456789ABCDEF", Region: "Frankfurt/1", From: "Example Ltd", URL: "http://sns.amazonaws.com"})
	for _, want := range []string{"sns.access_key_id: is a key that expires", "sns.secret: is missing", "sns.region: must be", "sns.from: must be", "sns.url: must begin with https://"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q: %v", want, err)
		}
	}
}
