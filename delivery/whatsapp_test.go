package delivery_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

const (
	whatsAppNumber = "106540352242922"
	whatsAppToken  = "EAAwhatsapptoken"
)

// whatsAppSchema is what the Cloud API's documentation says of an authentication
// template with a copy-code button. Meta's description of the API is in no package
// registry, so this was written from the documentation.
const whatsAppSchema = `{
 "type": "object", "additionalProperties": false,
 "required": ["messaging_product", "to", "type", "template"],
 "properties": {
  "messaging_product": {"const": "whatsapp"},
  "recipient_type": {"const": "individual"},
  "to": {"type": "string", "pattern": "^\\+?[0-9]{7,15}$"},
  "type": {"const": "template"},
  "biz_opaque_callback_data": {"type": "string", "maxLength": 512},
  "template": {
   "type": "object", "additionalProperties": false, "required": ["name", "language", "components"],
   "properties": {
    "name": {"const": "sign_in_code"},
    "language": {"type": "object", "additionalProperties": false, "required": ["code"], "properties": {"code": {"enum": ["en_US", "de", "pt_BR"]}}},
    "components": {
     "type": "array", "minItems": 2, "maxItems": 2,
     "prefixItems": [
      {"type": "object", "additionalProperties": false, "required": ["type", "parameters"],
       "properties": {"type": {"const": "body"}, "parameters": {"$ref": "#/$defs/code"}}},
      {"type": "object", "additionalProperties": false, "required": ["type", "sub_type", "index", "parameters"],
       "properties": {"type": {"const": "button"}, "sub_type": {"const": "url"}, "index": {"const": "0"}, "parameters": {"$ref": "#/$defs/code"}}}
     ]
    }
   }
  }
 },
 "$defs": {"code": {"type": "array", "minItems": 1, "maxItems": 1,
  "items": {"type": "object", "additionalProperties": false, "required": ["type", "text"],
   "properties": {"type": {"const": "text"}, "text": {"type": "string", "minLength": 1, "maxLength": 15}}}}}
}`

func whatsAppError(code int, message, details string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":"OAuthException","code":%d,"error_data":{"messaging_product":"whatsapp","details":%q},"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}`, message, code, details)
}

func startWhatsApp(t testing.TB) *fake {
	compiler := jsonschema.NewCompiler()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(whatsAppSchema))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("message.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("message.json")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, func(f *fake, w http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		if r.Header.Get("Authorization") != "Bearer "+whatsAppToken {
			w.WriteHeader(401)
			fmt.Fprint(w, whatsAppError(190, "Invalid OAuth access token", ""))
			return nil
		}
		if r.Method == http.MethodGet && r.URL.Path == "/v24.0/"+whatsAppNumber {
			fmt.Fprintf(w, `{"verified_name":"Example Ltd","quality_rating":"GREEN","id":%q}`, whatsAppNumber)
			return nil
		}
		if r.Method != http.MethodPost || r.URL.Path != "/v24.0/"+whatsAppNumber+"/messages" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the fake knows no %s %s of %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return nil
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			t.Errorf("no message of the Cloud API: %v", err)
		}
		var m struct {
			To       string
			Callback string `json:"biz_opaque_callback_data"`
			Template struct {
				Language   struct{ Code string }
				Components []struct{ Parameters []struct{ Text string } }
			}
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
			return nil
		}
		if m.To == noPhone {
			w.WriteHeader(400)
			fmt.Fprint(w, whatsAppError(131026, "Message Undeliverable.", "to "+noPhone))
			return nil
		}
		code := m.Template.Components[0].Parameters[0].Text
		if button := m.Template.Components[1].Parameters[0].Text; button != code {
			t.Errorf("the button copies %q, and the code is %q", button, code)
		}
		fmt.Fprintf(w, `{"messaging_product":"whatsapp","contacts":[{"input":%q,"wa_id":%q}],"messages":[{"id":"wamid.HBgL","message_status":"accepted"}]}`, m.To, m.To[1:])
		return &deliverytest.Arrived{ID: m.Callback, To: m.To, Code: code, Subject: ""}
	})
}

func newWhatsApp(t testing.TB, f *fake, alter func(*delivery.WhatsAppConfig)) *delivery.WhatsApp {
	t.Helper()
	cfg := delivery.WhatsAppConfig{PhoneNumberID: whatsAppNumber, Token: whatsAppToken, Template: "sign_in_code",
		Languages: []string{"en_US", "de", "pt_BR"}, URL: f.URL + "/v24.0", Client: local(t)}
	if alter != nil {
		alter(&cfg)
	}
	w, err := delivery.NewWhatsApp(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWhatsApp(t *testing.T) {
	deliverytest.Run(t, func(t *testing.T) deliverytest.Rig {
		f := startWhatsApp(t)
		return deliverytest.Rig{Sender: newWhatsApp(t, f, nil), Channel: splitpin.WhatsAppChannel, CodeOnly: true,
			To: aPhone, Refused: noPhone, Delivered: f.letters, Break: f.Close}
	})
}

func TestWhatsAppLanguages(t *testing.T) {
	var spoken string
	f := serve(t, func(_ *fake, w http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		var m struct {
			Template struct{ Language struct{ Code string } }
		}
		json.NewDecoder(r.Body).Decode(&m)
		spoken = m.Template.Language.Code
		fmt.Fprint(w, `{"messages":[{"id":"x"}]}`)
		return nil
	})
	for locale, want := range map[string]string{"en": "en_US", "en-GB": "en_US", "de": "de", "de-AT": "de", "pt-BR": "pt_BR", "pt": "pt_BR", "fr": "en_US", "": "en_US"} {
		l := phoneLetter(splitpin.WhatsAppChannel)
		l.Locale = locale
		if err := newWhatsApp(t, f, nil).Send(t.Context(), l); err != nil || spoken != want {
			t.Errorf("to a reader of %q it speaks %q (%v), want %q", locale, spoken, err, want)
		}
	}
}

func TestWhatsAppDiagnosis(t *testing.T) {
	f := startWhatsApp(t)
	sender := newWhatsApp(t, f, nil)
	to := aPhone + " 123456 " + whatsAppToken
	diagnose(t, f, sender, phoneLetter(splitpin.WhatsAppChannel), whatsAppToken, []diagnosis{
		{"an old token", 401, whatsAppError(190, "Session has expired "+whatsAppToken, ""), delivery.StageAuth, true, []string{"set whatsapp.token"}},
		{"no permission", 403, whatsAppError(200, "Permissions error", ""), delivery.StageAuth, true, []string{"lacks a permission"}},
		{"not on WhatsApp", 400, whatsAppError(131026, "Message undeliverable", to), delivery.StageRecipient, false, []string{"not on WhatsApp", "error 131026"}},
		{"a test number", 400, whatsAppError(131030, "Recipient not in allowed list", to), delivery.StageRecipient, false, []string{"test number"}},
		{"a country", 403, whatsAppError(130497, "restricted", to), delivery.StageRegion, false, []string{"numbers that begin with +49"}},
		{"this reader too often", 400, whatsAppError(131056, "pair rate limit", to), delivery.StageRecipient, true, []string{"to this reader"}},
		{"no template", 404, whatsAppError(132001, "Template name does not exist in the translation", ""), delivery.StageConfig, true, []string{"whatsapp.template"}},
		{"paused", 400, whatsAppError(132015, "Template is Paused", ""), delivery.StageConfig, true, []string{"paused"}},
		{"not registered", 400, whatsAppError(133010, "Phone number not registered", ""), delivery.StageFrom, false, []string{"register it"}},
		{"too many", 429, whatsAppError(130429, "Rate limit hit", ""), delivery.StageConnect, true, []string{"more messages"}},
		{"a code nobody knows", 400, whatsAppError(139999, "odd", to), delivery.StageData, false, []string{"error 139999"}},
		{"ill", 503, "", delivery.StageConnect, true, []string{"a problem of its own: 503"}},
		{"somebody else", 200, "{}", delivery.StageConnect, true, []string{"not WhatsApp"}},
	})
	for name, alter := range map[string]func(*delivery.Letter){
		"without a code":  func(l *delivery.Letter) { l.Code = "" },
		"a long code":     func(l *delivery.Letter) { l.Code = "1234567890123456" },
		"no phone number": func(l *delivery.Letter) { l.To = "ada@example.com" },
	} {
		l := phoneLetter(splitpin.WhatsAppChannel)
		alter(l)
		if err := sender.Send(t.Context(), l); err == nil || !strings.HasPrefix(err.Error(), "message: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatsAppCheck(t *testing.T) {
	f := startWhatsApp(t)
	if steps := newWhatsApp(t, f, nil).Check(t.Context()); len(steps) != 1 || !steps[0].OK || !strings.Contains(steps[0].Detail, "Example Ltd, quality GREEN") {
		t.Errorf("%+v", steps)
	}
	wrong := newWhatsApp(t, f, func(c *delivery.WhatsAppConfig) { c.Token = "other" })
	if steps := wrong.Check(t.Context()); len(steps) != 1 || steps[0].OK || steps[0].Stage != delivery.StageAuth {
		t.Errorf("%+v", steps)
	}
}

func TestWhatsAppSettings(t *testing.T) {
	_, err := delivery.NewWhatsApp(delivery.WhatsAppConfig{PhoneNumberID: "+4915198765432", Template: "Sign In", Languages: []string{"en-US"}, URL: "http://graph.facebook.com"})
	for _, want := range []string{"phone_number_id: must be", "whatsapp.token: is missing", "whatsapp.template: must be", `"en-US" is not written as WhatsApp does`, "whatsapp.url: must begin with https://"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q: %v", want, err)
		}
	}
}
