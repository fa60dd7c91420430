package web

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// What a site may ask of the form (contract 12.2), in a real browser.

// configured shows a form and sends it a CONFIG with this payload, in the notation
// of JavaScript.
func (s *stage) configured(t *testing.T, query, payload string) (customer, form view) {
	t.Helper()
	customer, form = s.framed(t, query)
	customer.eval(`send({action: "CONFIG", payload: ` + payload + `})`)
	customer.await("the form has taken it", `got.some((m) => m.callbackName === "IDLOADED")`)
	return customer, form
}

// said waits for a message of the form and returns its payload.
func (v view) said(name string) map[string]any {
	v.t.Helper()
	v.await("the form sent "+name, fmt.Sprintf(`got.some((m) => m.callbackName === "ID%s")`, name))
	var payload map[string]any
	if err := json.Unmarshal([]byte(v.eval(fmt.Sprintf(`got.find((m) => m.callbackName === "ID%s").payload`, name))), &payload); err != nil {
		v.t.Fatal(err)
	}
	return payload
}

// asJSON is how values are compared: keys in order.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What is entered in the site's own fields goes to the site, before the message and
// with the result, and what does not fit is said beside the field.
func TestAdditionalFields(t *testing.T) {
	s := startStage(t)
	customer, form := s.configured(t, "", `{identifierField: "mail", additionalFields: [
		{label: "Full name", name: "name", placeholder: "Ada"}, {label: "Newsletter", name: "news", type: "checkbox"},
		{label: "Age", name: "age", type: "number", initial_value: 36}, {name: "campaign", type: "hidden", initial_value: "spring"},
		{label: "Password", name: "secret", type: "password"}, {label: "x", name: "user"}, {label: "x", name: "mail"}, {label: "x", name: "__proto__"},
		{label: "x", name: "name"}, {label: "x"}, "x", null, {label: "x", name: "<b>"}]}`)
	names := form.eval(`[...document.querySelectorAll("#fields input")].map((i) => i.name + ":" + i.type)`)
	if want := `["name:text","news:checkbox","age:number","campaign:hidden"]`; names != want {
		t.Errorf("the fields are %s, want %s", names, want)
	}
	if got := form.eval(`[...document.querySelectorAll("#fields label")].map((l) => l.control === document.getElementById(l.htmlFor) && l.textContent)`); got != `["Full name","Newsletter","Age"]` {
		t.Errorf("the labels are %s", got)
	}

	form.paste("address", "ada@example.org")
	form.paste("field-0", strings.Repeat("ä", 600)) // two bytes each
	form.submit("address-form")
	form.awaitText("field-0-error", "too long")
	if got := form.eval(`document.activeElement.id`); got != `"field-0"` {
		t.Errorf("the focus is on %s", got)
	}
	if got := customer.eval(`got.length`); got != "2" {
		t.Fatalf("the site was asked about data that do not fit: %s", customer.eval("got"))
	}
	form.paste("field-0", " Ada ")
	form.eval(`document.getElementById("field-1").click()`)
	form.submit("address-form")
	const want = `{"age":"36","campaign":"spring","name":"Ada","news":true}`
	if got := asJSON(t, customer.said("ON_BEGIN")["client_json"]); got != want {
		t.Errorf("the site is asked with %s, want %s", got, want)
	}
	customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
	form.await("the code is asked for", onCode)
	form.paste("code", "482913")
	if got := asJSON(t, customer.said("ON_SUBMIT_AUTHORIZATION_CODE")["client_json"]); got != want {
		t.Errorf("the result comes with %s, want %s", got, want)
	}
}

// A site that gives more than fits without a field to shorten is told so too.
func TestAdditionalFieldsOfTheSiteAlone(t *testing.T) {
	s := startStage(t)
	customer, form := s.configured(t, "", `{additionalFields: [1, 2].map((n) => ({name: "n" + n, type: "hidden", initial_value: "x".repeat(600)}))}`)
	form.paste("address", "ada@example.org")
	form.submit("address-form")
	form.awaitText("address-error", "too long")
	if got := customer.eval(`got.length`); got != "2" {
		t.Errorf("the site was asked: %s", customer.eval("got"))
	}
}

// The link forms give the server the site's data, because their result may come out in
// another form; no other form does.
func TestWhoKeepsTheSitesData(t *testing.T) {
	s := startStage(t)
	for _, test := range []struct{ method, want string }{
		{"email_link", `{"client_data":{"name":"Ada"},"redirect_link":false,"state":"a&b"}`}, {"email_code", `{}`},
	} {
		customer, form := s.configured(t, "method="+test.method, `{additionalFields: [{name: "name", initial_value: "Ada"}]}`)
		form.paste("address", "ada@example.org")
		form.submit("address-form")
		customer.said("ON_BEGIN")
		s.took()
		customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
		form.await("the message is sent", `document.getElementById("code-screen").checkVisibility()`)
		got := map[string]any{}
		for _, key := range []string{"state", "client_data", "redirect_link"} {
			if v, ok := s.started(t)[key]; ok {
				got[key] = v
			}
		}
		if text := strings.ReplaceAll(asJSON(t, got), `\u0026`, "&"); text != test.want {
			t.Errorf("%s starts with %s, want %s", test.method, text, test.want)
		}
	}
}

// started returns the body of the last start, and leaves the calls where they are.
func (s *stage) started(t *testing.T) map[string]any {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range slices.Backward(s.calls) {
		if body, ok := strings.CutPrefix(call, "POST /v1/attempts {"); ok {
			var in map[string]any
			if err := json.Unmarshal([]byte("{"+body), &in); err != nil {
				t.Fatal(err)
			}
			return in
		}
	}
	t.Fatalf("no start among %v", s.calls)
	return nil
}

// A site dresses what it may, by class name; nothing loads, hides or moves anything, and
// nothing leaves its rule.
func TestStyles(t *testing.T) {
	s := startStage(t)
	_, form := s.configured(t, "kind=phone&method=sms_code&channel=sms", `{
		additionalFields: [{name: "news", type: "checkbox"}, {name: "name"}], socialLoginProviders: ["GITHUB"],
		styles: {
			input_label: {color: "rgb(1, 2, 3)", fontSize: 20, lineHeight: 2, letterSpacing: "var(--round)", wordSpacing: "v\\61r(--round)", position: "fixed", display: "none", opacity: 0, content: "'x'", ":hover": {color: "red"}},
			form_container: {backgroundColor: "rgb(250, 250, 250)", backgroundImage: "linear-gradient(red, red)", background: "url(https://elsewhere.example/x)", border: "2px solid url(x)",
				padding: "7px; } body { display: none", margin: "3px !important", width: "var(--x)", maxWidth: "\\75rl(x)"},
			"error, body": {color: "red"}, unknown: {color: "red"}, error: "color: red", input_row: null, __proto__: {color: "red"},
		}}`)
	style := func(selector, property string) string {
		return form.eval(fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).%s`, selector, property))
	}
	for _, test := range []struct{ selector, property, want string }{
		{".input_label", "color", "rgb(1, 2, 3)"},
		{".input_label", "fontSize", "20px"},
		{".input_label", "lineHeight", "40px"},
		{".input_label", "letterSpacing", "normal"},
		{".input_label", "wordSpacing", "0px"},
		{".input_label", "position", "static"},
		{".input_label", "display", "block"},
		{".input_label", "opacity", "1"},
		{".form_container", "backgroundColor", "rgb(250, 250, 250)"},
		{".form_container", "backgroundImage", "none"},
		{".form_container", "borderTopWidth", "0px"},
		{".form_container", "paddingLeft", "20px"},
		{"body", "display", "flex"},
		{"body", "color", "rgb(20, 23, 29)"},
	} {
		if got := style(test.selector, test.property); got != `"`+test.want+`"` {
			t.Errorf("%s of %s is %s, want %s", test.property, test.selector, got, test.want)
		}
	}
	// A site that gives colours gets a light form, whatever the person's system.
	form.emulate(0, 0, "dark")
	if got := style("html", "colorScheme"); got != `"light"` {
		t.Errorf("with the site's colours on it a dark system makes the form %s", got)
	}
	if got := style(".input_text", "backgroundColor"); got != `"rgb(255, 255, 255)"` {
		t.Errorf("on a dark system a field is %s", got)
	}
	// Every class that a site may name is somewhere in the form.
	form.eval(`(() => { const f = document.getElementById("address"); f.focus(); document.execCommand("insertText", false, "+"); })()`)
	classes := []string{"form_container", "loadingImg", "input_label", "verification_label", "pin_row", "pin_input", "verification_subtitle", "error",
		"input_row_container", "input_row", "input_text_container_default", "input_text", "input_text_container", "country_code", "country_code_blank",
		"input_text_p", "check_input", "button_container", "button_text", "divider_text", "divider_text_before", "divider_text_span", "divider_text_after"}
	for _, class := range classes {
		if form.eval(fmt.Sprintf(`document.querySelector(".%s") !== null`, class)) != "true" {
			t.Errorf("no element of the form has the class %s", class)
		}
	}
}

// Links lead to https only, and open beside the form.
func TestTermsLinks(t *testing.T) {
	s := startStage(t)
	for _, test := range []struct{ name, config, want string }{
		{"both", `{termsOfServiceLink: "https://shop.example/t", privacyPolicyLink: "https://shop.example/p"}`, `["https://shop.example/t _blank noopener noreferrer","https://shop.example/p _blank noopener noreferrer"]`},
		{"one is a script", `{termsOfServiceLink: "javascript:alert(1)", privacyPolicyLink: "https://shop.example/p"}`, `["https://shop.example/p _blank noopener noreferrer"]`},
		{"plain, with a name, relative", `{termsOfServiceLink: "http://shop.example/t", privacyPolicyLink: "https://me@shop.example/"}`, `[]`},
		{"of the wrong kind", `{termsOfServiceLink: {}, privacyPolicyLink: "/p"}`, `[]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, form := s.configured(t, "", test.config)
			if got := form.eval(`[...document.querySelectorAll("#legal a")].map((a) => a.href + " " + a.target + " " + a.rel)`); got != test.want {
				t.Errorf("the links are %s, want %s", got, test.want)
			}
			if got, want := form.eval(`document.getElementById("legal").checkVisibility()`), fmt.Sprint(test.want != "[]"); got != want {
				t.Errorf("the line is visible: %s, want %s", got, want)
			}
		})
	}
}

// The site's address is begun with: filled in, kept from changes, or submitted at once,
// but never a link without a tap.
func TestGivenAddress(t *testing.T) {
	s := startStage(t)
	customer, form := s.configured(t, "", `{identifierFieldInitialValue: "ada@example.org", identifierFieldDisabled: "true"}`)
	if got := form.eval(`(({value, readOnly}) => [value, readOnly])(document.getElementById("address"))`); got != `["ada@example.org",true]` {
		t.Errorf("the field is %s", got)
	}
	if got := customer.eval(`got.length`); got != "2" {
		t.Errorf("the site learned something before the person submitted: %s", customer.eval("got"))
	}

	customer, _ = s.configured(t, "", `{skipIdentiferForm: true, skipIdentiferFormWithValue: "grace@example.org"}`)
	if got := customer.said("ON_BEGIN")["identifier"]; got != "grace@example.org" {
		t.Errorf("the skipped form begins with %v", got)
	}

	customer, form = s.configured(t, "method=email_link", `{skipIdentiferForm: true, skipIdentiferFormWithValue: "grace@example.org"}`)
	if got := form.eval(`document.getElementById("address").value`) + customer.eval(`got.length`); got != `"grace@example.org"2` {
		t.Errorf("a link whose form is skipped: %s", got)
	}
	form.submit("address-form")
	customer.said("ON_BEGIN")
	if got := customer.eval(`got.filter((m) => m.callbackName === "IDON_BEGIN").length`); got != "1" {
		t.Errorf("the site was asked %s times", got)
	}
}

// /app may begin at once with a code, never with a link (contract 12.6, row 13 of its
// section 13).
func TestDirectLogin(t *testing.T) {
	s := startStage(t)
	const query = "/app?redirect_url=app://x&direct_login=true&input="
	page := s.open(t, s.ours+query+"ada@example.org")
	page.await("the code is asked for", onCode)
	s.took()
	page = s.open(t, s.ours+query+"%2B4915112345670&kind=phone&method=sms_code&channel=whatsapp")
	page.await("the code is asked for", onCode)
	if in := s.started(t); in["identifier"] != "+4915112345670" || in["channel"] != "whatsapp" {
		t.Errorf("the start is %v", in)
	}
	s.took()
	page = s.open(t, s.ours+query+"ada@example.org&method=email_link")
	page.await("the address is there", `document.getElementById("address").value === "ada@example.org" && document.activeElement.id === "address"`)
	if calls := s.took(); len(calls) != 0 {
		t.Errorf("a link was sent without a tap: %v", calls)
	}
}

// A number is taken as people write it, in one field or with the list, and sent as E.164.
func TestPhoneField(t *testing.T) {
	s := startStage(t)
	const phone = "kind=phone&method=sms_code&channel=sms"
	for _, test := range []struct{ name, config, country, typed, shown, sent, says, unsent string }{
		{name: "as at home", config: `{countryCode: ["+49"]}`, typed: "0151 12345670", sent: "+4915112345670"},
		{name: "whole", config: `{countryCode: ["+1"]}`, typed: "+49 (0)151 123-456 70", shown: "+49 1511 2345670", sent: "+4915112345670"},
		{name: "with two zeros", config: `{countryCode: ["+1"]}`, typed: "0049 151 12345670", shown: "+49 1511 2345670", sent: "+4915112345670"},
		{name: "out of a link", config: `{countryCode: ["+49"]}`, typed: "tel:+1-202-555-0120", shown: "+1 202-555-0120", sent: "+12025550120"},
		{name: "in digits of another script", config: `{countryCode: ["+20"]}`, typed: "٠١٠٠ ١٢٣ ٤٥٦٠", sent: "+201001234560"},
		{name: "in full width", config: `{countryCode: ["+1"]}`, typed: "＋４４７４００１２３４５０", shown: "+44 7400 123450", sent: "+447400123450"},
		{name: "the list is asked", config: `{countryCode: ["+1"]}`, country: "GB", typed: "07400 123450", sent: "+447400123450"},
		{name: "a country that gets no messages", config: `{countryCode: ["+49"]}`, typed: "0151 12345677", unsent: "no messages to phones in that country"},
		{name: "a spent budget", config: `{countryCode: ["+49"]}`, typed: "0151 12345678", unsent: "try again in 10 minutes"},
		{name: "empty", config: `{}`, typed: " ", says: "enter your phone number"},
		{name: "too short", config: `{countryCode: ["+49"]}`, typed: "0151", says: "too short"},
		{name: "too long", config: `{countryCode: ["+49"]}`, typed: "0151 1234567890123", says: "too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			customer, form := s.configured(t, phone, test.config)
			if test.country != "" {
				form.eval(fmt.Sprintf(`(() => { const c = document.getElementById("country"); c.value = %q; c.dispatchEvent(new Event("change")); })()`, test.country))
				if got := form.eval(`document.activeElement.id`); got != `"address"` {
					t.Errorf("after the choice the focus is on %s", got)
				}
			}
			form.paste("address", test.typed)
			form.submit("address-form")
			if test.says != "" {
				form.awaitText("address-error", test.says)
				return
			}
			payload := customer.said("ON_BEGIN")
			if test.unsent != "" {
				customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
				form.awaitText("address-error", test.unsent)
				return
			}
			if payload["identifier"] != test.sent || payload["identifier_type"] != "PHONE" {
				t.Errorf("the site is asked about %v %v, want PHONE %s", payload["identifier_type"], payload["identifier"], test.sent)
			}
			shown := form.eval(`document.getElementById("country-code").textContent + " " + document.getElementById("address").value`)
			if test.shown != "" && shown != `"`+test.shown+`"` {
				t.Errorf("the field shows %s, want %s", shown, test.shown)
			}
			customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
			form.await("the code is asked for", onCode)
			if in := s.started(t); in["identifier"] != test.sent || in["channel"] != "sms" || in["method"] != "sms_code" {
				t.Errorf("the start is %v", in)
			}
		})
	}
}

// The number is written in groups while it is typed, wherever the caret is.
func TestPhoneFieldWhileTyping(t *testing.T) {
	s := startStage(t)
	_, form := s.configured(t, "kind=phone&method=sms_code&channel=sms", `{countryCode: ["+1"]}`)
	form.eval(`document.getElementById("address").focus()`)
	typed := func(text string) string {
		t.Helper()
		for _, r := range text {
			form.eval(fmt.Sprintf(`document.execCommand("insertText", false, %q)`, string(r)))
		}
		return form.eval(`(({value, selectionStart}) => value.slice(0, selectionStart) + "|" + value.slice(selectionStart) + " " + document.getElementById("country").value)(document.getElementById("address"))`)
	}
	for _, test := range []struct{ text, want string }{
		{"20255", `"202-55| US"`},
		{"501", `"202-555-01| US"`},
	} {
		if got := typed(test.text); got != test.want {
			t.Errorf("after %q the field is %s, want %s", test.text, got, test.want)
		}
	}
	form.eval(`document.getElementById("address").setSelectionRange(2, 2)`)
	if got, want := typed("9"), `"209|-255-501 US"`; got != want {
		t.Errorf("in the middle the field is %s, want %s", got, want)
	}
	form.eval(`document.getElementById("address").select()`)
	if got, want := typed("+4"), `"+4| US"`; got != want {
		t.Errorf("at the start of a whole number the field is %s, want %s", got, want)
	}
	if got, want := typed("97"), `"+497| DE"`; got != want {
		t.Errorf("in a whole number the field is %s, want %s", got, want)
	}
}

// A site that offers two channels gets two buttons and the note that WhatsApp asks for;
// the message can be sent again over the other.
func TestChannels(t *testing.T) {
	s := startStage(t)
	const both = "kind=phone&method=sms_code&channel=sms&channel=whatsapp"
	buttons := `["address-submit", "whatsapp-submit", "whatsapp-note"].map((id) => document.getElementById(id).checkVisibility() ? document.getElementById(id).textContent.trim() : "")`
	const note = "By choosing WhatsApp you agree to get the code in a WhatsApp message."
	for _, test := range []struct{ name, query, config, want string }{
		{"all", both, `{}`, `["Send a text message","Send by WhatsApp","` + note + `"]`},
		{"SMS alone", both, `{phoneChannels: ["SMS"]}`, `["Continue","",""]`},
		{"WhatsApp alone", both, `{phoneChannels: ["WHATSAPP"], buttonWAText: "WA", buttonWATextSubtitle: "You agree."}`, `["","WA","You agree."]`},
		{"none that there is", both, `{phoneChannels: ["PIGEON", 5]}`, `["Send a text message","Send by WhatsApp","` + note + `"]`},
		{"more than the project has", "kind=phone&method=sms_code&channel=sms", `{phoneChannels: ["SMS", "WHATSAPP"]}`, `["Continue","",""]`},
		{"own words", both, `{buttonText: "Text me"}`, `["Text me","Send by WhatsApp","` + note + `"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, form := s.configured(t, test.query, test.config)
			if got := form.eval(buttons); got != test.want {
				t.Errorf("the buttons are %s, want %s", got, test.want)
			}
		})
	}

	customer, form := s.configured(t, both, `{countryCode: ["+49"], buttonWABackgroundColor: "#ffff00", buttonWATextColor: "#ffffee"}`)
	if got := form.eval(`(({backgroundColor, color}) => backgroundColor + color)(getComputedStyle(document.getElementById("whatsapp-submit")))`); got != `"rgb(255, 255, 0)rgb(0, 0, 0)"` {
		t.Errorf("the button of WhatsApp is %s", got)
	}
	form.paste("address", "015112345670")
	form.eval(`document.getElementById("whatsapp-submit").click()`)
	customer.said("ON_BEGIN")
	customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
	form.awaitText("code-title", "WhatsApp")
	if in := s.started(t); in["channel"] != "whatsapp" {
		t.Errorf("the start is %v", in)
	}
	s.took()
	form.awaitText("code-other", "text message")
	form.eval(`document.getElementById("code-other").click()`)
	form.awaitText("code-other", "WhatsApp")
	if calls := s.took(); len(calls) != 1 || calls[0] != `POST /v1/attempts/ada/resend {"channel":"sms"}` {
		t.Errorf("sending over the other channel called %v", calls)
	}
}

// While a link is waited for, the form shows its digits and takes the code; when the link
// was opened elsewhere, the form says so or lets its person in, as the server decides.
func TestLink(t *testing.T) {
	s := startStage(t)
	start := func(who, config string) (customer, form view) {
		t.Helper()
		customer, form = s.configured(t, "method=email_link", config)
		form.paste("address", who+"@example.org")
		form.submit("address-form")
		customer.said("ON_BEGIN")
		customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
		form.await("the link is sent", `document.getElementById("code-screen").checkVisibility()`)
		return customer, form
	}
	customer, form := start("ada", `{}`)
	form.awaitText("link-digits", "42")
	form.eval(`document.getElementById("link-switch").click()`)
	if got := form.eval(`document.activeElement.id`); got != `"code"` {
		t.Errorf("after the switch the focus is on %s", got)
	}
	form.paste("code", "482913")
	customer.said("ON_SUBMIT_AUTHORIZATION_CODE")

	_, form = start("ada", `{authRequestText: {title: "Approve it, by {{type}}", subtitle: "To {{identifier}}, {{other}}.", switchOTPText: "<b>Code</b>"}}`)
	form.awaitText("code-title", "Approve it, by email")
	form.awaitText("code-sent", "To ada@example.org, {{other}}.")
	form.awaitText("link-switch", "<b>Code</b>")

	customer, form = start("elsewhere", `{authRequestText: {default: true, title: "The SDK's own"}}`)
	if got := form.eval(`document.getElementById("code-title").textContent`); got != `"Check your email"` {
		t.Errorf("over the SDK's own words the form says %s", got)
	}
	form.awaitText("status-title", "You opened the link")
	if got := customer.eval(`got.some((m) => m.callbackName === "IDON_SUBMIT_AUTHORIZATION_CODE")`); got != "false" {
		t.Error("the asking page got a result that the server did not give")
	}

	customer, _ = start("letin", `{}`)
	if got := customer.said("ON_SUBMIT_AUTHORIZATION_CODE")["authorization_code"]; got != "granted" {
		t.Errorf("the result is %v", got)
	}

	for who, says := range map[string]string{"refused": "said it was not them", "dead": "wrong too often"} {
		customer, form = start(who, `{}`)
		form.awaitText("code-error", says)
		form.paste("code", "482913") // the code is as good as before
		customer.said("ON_SUBMIT_AUTHORIZATION_CODE")
	}

	_, form = start("denied", `{authRequestText: {titleError: "Not you?"}}`)
	form.awaitText("status-title", "Not you?")
}

// Where nothing is typed there are buttons alone: none that does nothing, and no field.
func TestNothingToType(t *testing.T) {
	s := startStage(t)
	form := s.open(t, s.ours+"/signin?kind=nothing&direct_login=true&input=ada@example.org&redirect_url=https://shop.example/")
	form.await("the passkey is offered", `document.getElementById("passkey-submit").checkVisibility()`)
	if got := form.eval(`[...document.querySelectorAll("input, button, a, .divider_text")].filter((e) => e.checkVisibility()).map((e) => e.id)`); got != `["passkey-submit"]` {
		t.Errorf("there is %s", got)
	}
	if got := s.took(); len(got) != 0 {
		t.Errorf("it asked by itself: %v", got)
	}
	without := s.open(t, "about:blank")
	without.first("delete globalThis.PublicKeyCredential")
	without.goTo(s.ours + "/signin?kind=nothing&redirect_url=https://shop.example/")
	without.awaitText("passkey-error", "another one")
}

// A page that lies open for longer than an attempt goes on offering passkeys.
func TestPasskeysAreOfferedAnew(t *testing.T) {
	s := startStage(t)
	form := s.open(t, "about:blank")
	form.first(`{
		globalThis.asked = 0;
		globalThis.late = [];
		PublicKeyCredential.isConditionalMediationAvailable = async () => true;
		navigator.credentials.get = ({ signal }) => (asked++, new Promise((_, no) => signal.addEventListener("abort", () => no(signal.reason))));
		const soon = setTimeout;
		setTimeout = (f, ms) => (ms > 60_000 ? late.push(f) : soon(f, ms));
	}`)
	form.goTo(s.ours + "/signin?redirect_url=https://shop.example/")
	form.await("passkeys are offered", "asked === 1 && late.length === 1")
	form.eval("void late.shift()()")
	form.await("passkeys are offered again", "asked === 2 && late.length === 1")
	starts := s.took()
	if len(starts) != 2 {
		t.Errorf("offering twice called %v", starts)
	}
	// Who goes another way is asked no more.
	form.paste("address", "ada@example.org")
	form.submit("address-form")
	form.await("the code is asked for", onCode)
	form.eval("late.forEach((f) => f())")
	if got := s.took(); len(got) != 1 || form.eval("asked") != "2" {
		t.Errorf("after a code was asked for: %v", got)
	}
}

// A tap on an account elsewhere is told to the SDK once, with nothing of the person.
func TestSocialButtons(t *testing.T) {
	s := startStage(t)
	customer, form := s.configured(t, "", `{socialLoginProviders: ["GITHUB", "GOOGLE", "GITHUB", "<b>", 5, "ACME"]}`)
	if got := form.eval(`[...document.querySelectorAll("#providers button")].map((b) => b.textContent)`); got != `["Continue with GitHub","Continue with Google","Continue with ACME"]` {
		t.Errorf("the buttons are %s", got)
	}
	form.eval(`document.querySelectorAll("#providers button").forEach((b) => { b.click(); b.click(); })`)
	customer.said("ON_SOCIAL_LOGIN_REQUEST")
	if got := customer.eval(`got.slice(2).map((m) => [m.callbackName, m.payload])`); got != `[["IDON_SOCIAL_LOGIN_REQUEST",{"provider":"GITHUB"}]]` {
		t.Errorf("the SDK heard %s", got)
	}
}

// A link that the SDK found in its page's address is taken before CONFIG, and what is
// none is said to be over.
func TestOpenedLinkThatIsNone(t *testing.T) {
	s := startStage(t)
	for _, payload := range []string{
		`null`, `{challenge: null, challenge_id: "77"}`, `{challenge: "short", challenge_id: "77"}`, `{challenge: "a".repeat(43), challenge_id: "x"}`,
		`{challenge: "<".repeat(43), challenge_id: 77}`, `{challenge: "a".repeat(300), challenge_id: 77}`,
	} {
		customer, form := s.framed(t)
		customer.eval(`send({action: "HANDLE_MAGIC_LINK_REDIRECT", payload: ` + payload + `})`)
		form.awaitText("status-title", "This sign-in is over")
		form.eval(`document.getElementById("status-action").click()`)
		form.await("the address is asked for", onAddress)
	}
	customer, form := s.configured(t, "", `{}`)
	form.watched()
	customer.eval(`send({action: "HANDLE_MAGIC_LINK_REDIRECT", payload: null})`)
	form.await("the message is handled", "received >= 1")
	if got := form.eval(onAddress); got != "true" {
		t.Error("a link that comes after CONFIG is taken")
	}
}

// An opened link that signs nobody in leads back to the form, whatever became of it.
func TestOpenedLinkThatEnds(t *testing.T) {
	s := startStage(t)
	open := func(link string) (customer, form view) {
		t.Helper()
		customer, form = s.framed(t, "method=email_link")
		customer.eval(`send({action: "HANDLE_MAGIC_LINK_REDIRECT", payload: {challenge: "` + link + `", challenge_id: "77", client_json: {}}}), send({action: "CONFIG", payload: {}})`)
		return customer, form
	}
	startsAgain := func(form view, button string) {
		t.Helper()
		form.eval(`document.getElementById("` + button + `").click()`)
		form.await("the address is asked for", onAddress)
	}
	_, form := open("over.aaaaaaaaaaaaaaaa")
	form.awaitText("status-title", "This link is over")
	startsAgain(form, "status-action")

	for _, recover := range []bool{false, true} {
		_, form = open("held.aaaaaaaaaaaaaaaa")
		form.awaitText("bearer-account", "a…@example.org")
		form.submit("bearer-form")
		form.awaitText("held-text", "begin a recovery")
		// Whose passkey the site should ask for is not known here.
		if got := form.eval(`document.getElementById("held-submit").checkVisibility()`); got != "false" {
			t.Error("there is a button for the site's window, which needs an address")
		}
		if !recover {
			startsAgain(form, "held-other")
			continue
		}
		form.eval(`document.getElementById("held-recover").click()`)
		form.awaitText("status-text", "in 24 hours")
		startsAgain(form, "status-action")
	}
}

// Where the passkey is wanted, a frame asks the site for its window, and says so where
// there is none. A recovery begins by its own button alone.
func TestFrameAsksForThePasskey(t *testing.T) {
	s := startStage(t)
	customer, form := s.configured(t, "", `{}`)
	form.eval(`void (() => {
		const soon = setTimeout;
		globalThis.late = [];
		setTimeout = (f, ms) => (ms === 8_000 ? late.push(f) : soon(f, ms));
	})()`)
	const slow = "is taking a while to answer"
	form.paste("address", "held@example.org")
	form.submit("address-form")
	customer.said("ON_BEGIN")
	form.eval(`late.shift()()`)
	form.awaitText("address-waiting", slow)
	customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
	form.await("the code is asked for", onCode)
	form.paste("code", "482913")
	form.awaitText("held-text", "Please sign in with the passkey")
	s.took()

	ask := func(answer, says string) {
		t.Helper()
		customer.eval(`void (got.length = 0)`)
		form.eval(`document.getElementById("held-submit").click(), document.getElementById("held-submit").click()`)
		if begun := customer.said("ON_BEGIN"); begun["identifier"] != "held@example.org" || begun["auth_required"] != true {
			t.Errorf("the site is told %v", begun)
		}
		customer.eval("send(" + answer + ")")
		if says != "" {
			form.awaitText("held-error", says)
		}
		if n := customer.eval(`got.length`); n != "1" {
			t.Errorf("two clicks said %s things to the site", n)
		}
	}
	ask(`{action: "CONTINUE_SUBMIT", payload: {identifier: "held@example.org"}}`, "No passkey was used")
	ask(`{action: "ON_ERROR", errorMsg: "Closed on Sundays."}`, "Closed on Sundays.")
	// The SDK says nothing where the site's own function throws. What comes late counts.
	for range 2 {
		form.eval(`void (late.length = 0)`)
		ask(`{action: "LOADED"}`, "")
		form.await("its time is measured once", `late.length === 1`)
		form.eval(`late.shift()()`)
		form.awaitText("held-error", slow)
		form.await("the button can be pressed", `!document.getElementById("held-submit").classList.contains("busy")`)
	}
	customer.eval(`send({action: "CONTINUE_SUBMIT", payload: {identifier: "held@example.org"}})`)
	form.awaitText("held-error", "No passkey was used")
	form.eval(`late.forEach((f) => f())`)
	form.awaitText("held-error", "No passkey was used")
	if calls := s.took(); len(calls) != 0 {
		t.Errorf("asking for the passkey called %v", calls)
	}
	form.eval(`document.getElementById("held-recover").click()`)
	form.awaitText("held-text", "24 hours")
	if calls := s.took(); len(calls) != 1 || !strings.Contains(calls[0], `"recover":true`) {
		t.Errorf("beginning a recovery called %v", calls)
	}
	form.await("there is nothing to begin any more", `!document.getElementById("held-recover").checkVisibility()`)
	ask(`{action: "DONE_SUCCESS"}`, "")
	form.awaitText("status-title", "You are signed in")
}

// The check of a step is done by the page itself, and goes on with what was posted before;
// what went wrong can be tried again.
func TestStepChecks(t *testing.T) {
	s := startStage(t)
	const puzzle = "12.abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789"
	v := s.open(t, s.ours+"/step?puzzle="+puzzle)
	v.awaitText("got", "ada@example.org "+puzzle+":")
	if got := strings.Fields(strings.Trim(v.eval(`document.getElementById("got").textContent`), `"`)); len(got) != 2 || !solved(got[1], puzzle, 12) {
		t.Errorf("posted was %q", got)
	}

	const inside = `document.querySelector("#step-captcha iframe")?.contentDocument?.getElementById("captcha")`
	v = s.open(t, s.ours+"/step?captcha="+url.QueryEscape(s.customer+"/provider.js"))
	v.await("the captcha asks", inside+`?.onclick`)
	if got := v.eval(`performance.getEntriesByType("resource").map((e) => new URL(e.name).origin).filter((o) => o !== location.origin)`); got != "[]" {
		t.Errorf("the step itself asked %s", got)
	}
	v.eval(inside + `.click()`)
	v.awaitText("got", "ada@example.org token")

	v = s.open(t, s.ours+"/step?captcha=http%3A%2F%2F127.0.0.1%3A1%2Fapi.js")
	v.awaitText("step-error", "could not check your browser")
	v.awaitText("step-submit", "Try again")
	v.eval(`document.getElementById("step-submit").click()`)
	v.awaitText("got", "ada@example.org")
}

// A captcha of somebody else is shown where the server or the site asks for one. Only its
// own page loads anything from its provider; the form learns the token.
func TestCaptcha(t *testing.T) {
	s := startStage(t)
	query := "captcha=" + url.QueryEscape(s.customer+"/provider.js")
	ask := func(query, config, who string) (customer, form view) {
		t.Helper()
		customer, form = s.configured(t, query, config)
		form.paste("address", who+"@example.org")
		form.submit("address-form")
		customer.said("ON_BEGIN")
		s.took()
		customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
		return customer, form
	}
	const inside = `document.querySelector("#captcha iframe")?.contentDocument?.getElementById("captcha")`
	starts := func(want string) {
		t.Helper()
		var tokens []string
		for _, call := range s.took() {
			var in struct{ Captcha string }
			json.Unmarshal([]byte(strings.TrimPrefix(call, "POST /v1/attempts ")), &in)
			tokens = append(tokens, in.Captcha)
		}
		if got := strings.Join(tokens, ","); got != want {
			t.Errorf("the starts showed %q, want %q", got, want)
		}
	}

	_, form := ask(query, `{}`, "captcha")
	form.await("the captcha asks", inside+`?.textContent === "Are you a person?"`)
	if got := form.eval(`document.activeElement.id`); got != `"captcha-title"` {
		t.Errorf("the focus is on %s", got)
	}
	form.eval(inside + `.click()`)
	form.await("the code is asked for", onCode)
	starts(",token")
	if got := form.eval(`performance.getEntriesByType("resource").map((e) => new URL(e.name).origin).filter((o) => o !== location.origin)`); got != "[]" {
		t.Errorf("the form itself asked %s", got)
	}

	_, form = ask(query, `{captchaRequired: true}`, "ada")
	form.await("the captcha asks first", inside+`?.onclick`)
	form.eval(inside + `.click()`)
	form.await("the code is asked for", onCode)
	starts("token")

	_, form = ask("", `{captchaRequired: true}`, "ada")
	form.await("without a provider the code is asked for", onCode)
	starts("")

	_, form = ask(query, `{}`, "captcha")
	form.await("the captcha asks", inside+`?.onclick`)
	form.eval(`document.getElementById("captcha-cancel").click()`)
	form.awaitText("address-error", "Nothing was sent")
	starts("")

	_, form = ask("captcha=http%3A%2F%2F127.0.0.1%3A1%2Fapi.js", `{}`, "captcha")
	form.awaitText("address-error", "could not check your browser")

	// What comes from elsewhere is no result: neither a frame of the site nor the form itself.
	customer, form := ask(query, `{}`, "captcha")
	form.await("the captcha asks", inside+`?.onclick`)
	form.watched()
	form.eval(`postMessage({captcha: "done", token: "forged"}, "*")`)
	customer.eval(`document.getElementById("form").contentWindow.postMessage({captcha: "done", token: "forged"}, "*")`)
	form.await("both messages are handled", "received >= 2")
	if got := form.eval(`document.getElementById("captcha-screen").checkVisibility()`); got != "true" || form.fetches() != "0" {
		t.Error("a token that somebody else gave was taken")
	}
}

// A browser that remembers somebody does nothing by itself: neither where a site gives the
// address, nor where an app asks to begin at once (security 5 and 11).
func TestKnownBrowserWaitsForATap(t *testing.T) {
	s := startStage(t)
	const shown = `!document.getElementById("known-screen").hidden`
	tick := `document.getElementById("remember").checked`

	// In a frame.
	customer, form := s.configured(t, "remember=30", `{}`)
	if got := form.eval(tick); got != "false" {
		t.Errorf("the box is ticked by itself: %s", got)
	}
	form.eval(tick + ` = true`)
	form.paste("address", "ada@example.org")
	form.submit("address-form")
	customer.said("ON_BEGIN")
	customer.eval(`send({action: "CONTINUE_SUBMIT", payload: {identifier: "ada@example.org"}})`)
	form.await("the code is asked for", onCode)
	form.paste("code", "482913")
	customer.said("ON_SUBMIT_AUTHORIZATION_CODE")
	s.took()

	customer, form = s.configured(t, "remember=30", `{skipIdentiferForm: true, skipIdentiferFormWithValue: "ada@example.org"}`)
	form.await("somebody is asked", shown)
	if calls, said := s.took(), customer.eval(`got.filter((m) => m.callbackName === "IDON_BEGIN").length`); len(calls) != 0 || said != "0" {
		t.Errorf("before the tap: %v was called, and the site heard of it %s times", calls, said)
	}
	form.eval(`document.getElementById("known-submit").click()`)
	if got := customer.said("ON_BEGIN")["auth_required"]; got != false {
		t.Errorf("after the tap the site is told auth_required %v, want false", got)
	}
	customer.eval(`send({action: "CONTINUE_SUBMIT", payload: {identifier: "ada@example.org"}})`)
	if got := customer.said("ON_SUBMIT_AUTHORIZATION_CODE")["authorization_code"]; got != "signed" {
		t.Errorf("the result is %v, want that of the key", got)
	}

	// The site says no to somebody who is known: what was signed is dropped, and asked for anew.
	customer, form = s.configured(t, "remember=30", `{}`)
	form.paste("address", "ada@example.org")
	form.submit("address-form")
	customer.said("ON_BEGIN")
	customer.eval(`send({action: "ON_ERROR", errorMsg: "Members only"})`)
	form.awaitText("address-error", "Members only")
	form.paste("address", "short@example.org")
	form.submit("address-form")
	customer.await("the site is asked about the other", `got.filter((m) => m.callbackName === "IDON_BEGIN").length === 2`)
	customer.eval(`send({action: "CONTINUE_SUBMIT", payload: {identifier: "short@example.org"}})`)
	form.awaitText("status-title", "expired")

	// An app's page. It is another place than the frame, and does not know that key.
	const app = "/app?remember=30&redirect_url=app://x&direct_login=true&input=ada@example.org"
	page := s.open(t, s.ours+app)
	page.await("the code is asked for", onCode)
	page = s.open(t, s.ours+"/app?remember=30&redirect_url=app://x")
	page.eval(tick + ` = true`)
	page.paste("address", "ada@example.org")
	page.submit("address-form")
	page.await("the code is asked for", onCode)
	page.paste("code", "482913")
	page.submit("code-form")
	page.await("it is done", `!document.getElementById("status-screen").hidden`)
	s.took()
	for _, address := range []string{app, "/app?remember=30&redirect_url=app://x", "/app?remember=30&redirect_url=app://x&method=email_link"} {
		page = s.open(t, s.ours+address)
		page.await("somebody is asked", shown)
		if calls := s.took(); len(calls) != 0 {
			t.Errorf("%s: before the tap %v was called", address, calls)
		}
		if got := page.eval(`document.getElementById("known-destination").textContent`); !strings.Contains(got, "app://x") {
			t.Errorf("%s: it leads to %s", address, got)
		}
	}
	// Nor where the person types the address: there is no word yet of where it leads.
	page.eval(`document.getElementById("known-other").click()`)
	page.await("the address is asked for", onAddress)
	page.submit("address-form")
	page.await("somebody is asked", shown)
	if calls := s.took(); len(calls) != 0 {
		t.Errorf("by the button of the address %v was called", calls)
	}
	if page = s.open(t, s.ours+"/app?remember=30&redirect_url=app://x&input=bob@example.org"); page.eval(shown) != "false" {
		t.Error("a page for somebody else offers the one who is known")
	}
}
