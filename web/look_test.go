package web

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	shot "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// longLocales adds pseudo-languages for one test: what a long one does to the form,
// and one that is written from right to left.
func longLocales(t *testing.T) {
	for _, dir := range []string{"ltr", "rtl"} {
		long := table{}
		for key, text := range tables["en"] {
			// German is a third longer, and its words do not break.
			words := strings.Fields(text)
			for i := range words {
				if i%3 == 2 && !strings.Contains(words[i], "{") {
					words[i] += "sbescheinigungen"
				}
			}
			long[key] = strings.Join(words, " ")
		}
		long["lang"], long["dir"] = "en", dir
		tables["x-long-"+dir] = long
		t.Cleanup(func() { delete(tables, "x-long-"+dir) })
	}
}

// emulate sets the size of a tab, in CSS pixels, and its colours.
func (v view) emulate(width, height int64, scheme string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1}); err != nil && width > 0 {
			return err
		}
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
	if err != nil {
		v.t.Fatalf("setting the window: %v", err)
	}
}

// keep keeps a picture of a tab where WEB_PICTURES names a folder for them.
func (v view) keep(name string) {
	v.t.Helper()
	dir := os.Getenv("WEB_PICTURES")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	png, err := chromedp.Call(ctx, shot.CaptureScreenshot, shot.CaptureScreenshotParams{Format: shot.CaptureScreenshotFormatPng})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strings.NewReplacer(" ", "-", "/", "-").Replace(name)+".png"), png.Data, 0o644)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// everything is a CONFIG that asks for all there is.
const everything = `{action: "CONFIG", payload: {
	additionalFields: [{label: "Full name", name: "name", placeholder: "Ada Lovelace"}, {label: "Send me the newsletter, once a month", name: "news", type: "checkbox"}],
	phoneChannels: ["SMS", "WHATSAPP"], countryCode: ["+49", "+44"], socialLoginProviders: ["GITHUB", "GOOGLE"],
	termsOfServiceLink: "https://shop.example/terms", privacyPolicyLink: "https://shop.example/privacy"}}`

// Whatever the site asks for, in a narrow frame or on a wide page, light or dark,
// in long words or from right to left: axe-core finds nothing, and nothing sticks
// out at the side.
func TestLooks(t *testing.T) {
	s := startStage(t)
	longLocales(t)
	axe, err := os.ReadFile("../e2e/node_modules/axe-core/axe.min.js")
	if err != nil && os.Getenv("E2E") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Log("left out: axe-core is not installed; make test installs it")
	}
	const configure = `send({action: "CONFIG", payload: {}})`
	const held = `document.getElementById("held-title")?.checkVisibility()`
	const entered = `;until(() => ` + onCode + `).then(() => { document.getElementById("code").focus(); document.execCommand("insertText", false, "482913") })`
	states := []struct {
		name, query string
		config      string // sent by the customer's page
		act         string // run in the form
		until       string
	}{
		{name: "email", query: "remember=30", config: configure, until: onAddress},
		{name: "email with everything", query: "remember=30", config: "send(" + everything + ")", until: `document.getElementById("legal").checkVisibility()`},
		{name: "email with an error", config: configure, act: `document.getElementById("address-form").requestSubmit()`, until: `document.getElementById("address-error").textContent`},
		{name: "code", config: configure, act: submitted("ada@example.org"), until: onCode},
		{name: "link", query: "method=email_link", config: configure, act: submitted("ada@example.org"), until: `document.getElementById("link-digits").checkVisibility()`},
		{name: "code of a link", query: "method=email_link", config: configure, act: submitted("ada@example.org") + `;until(() => document.getElementById("link-digits").checkVisibility()).then(() => document.getElementById("link-switch").click())`, until: onCode},
		{name: "opened elsewhere", query: "method=email_link", config: configure, act: submitted("elsewhere@example.org"), until: `document.querySelector(".status.good")?.checkVisibility()`},
		{name: "phone", query: "remember=30&kind=phone&method=sms_code&channel=sms", config: configure, until: onAddress},
		{name: "phone with everything", query: "kind=phone&method=sms_code&channel=sms&channel=whatsapp", config: "send(" + everything + ")", until: `document.getElementById("legal").checkVisibility()`},
		{name: "phone with two channels", query: "kind=phone&method=sms_code&channel=sms&channel=whatsapp", config: configure, until: `document.getElementById("whatsapp-submit").checkVisibility()`},
		{name: "phone with an error", query: "kind=phone&method=sms_code&channel=sms", config: configure, act: `document.getElementById("address").value = "123", document.getElementById("address-form").requestSubmit()`, until: `document.getElementById("address-error").textContent`},
		{name: "captcha", query: "captcha=CUSTOMER%2Fprovider.js", config: `send({action: "CONFIG", payload: {captchaRequired: true}})`, act: submitted("ada@example.org"), until: `document.querySelector("#captcha iframe")?.contentDocument?.getElementById("captcha")?.textContent`},
		{name: "phone code", query: "kind=phone&method=sms_code&channel=sms&channel=whatsapp", config: configure, act: submitted("+4915112345670"), until: onCode},
		{name: "a number that rested", query: "kind=phone&method=sms_code&channel=sms", config: configure, act: `window.before = document.getElementById("held-title").textContent;` + submitted("+4915112345676") + entered, until: held + ` && document.getElementById("held-title").textContent !== before`},
		{name: "a passkey is wanted", config: configure, act: submitted("held@example.org") + entered, until: held},
	}
	frames := []struct {
		name, style, scheme, locale string
	}{
		{"small", "width:300px;height:300px", "light", ""},
		{"tall dark rtl", "width:300px;height:500px", "dark", "x-long-rtl"},
		{"wide long", "width:600px;height:640px", "light", "x-long-ltr"},
	}
	for _, frame := range frames {
		t.Run(frame.name, func(t *testing.T) {
			for _, state := range states {
				customer, form := s.framed(t, strings.ReplaceAll(state.query, "CUSTOMER", url.QueryEscape(s.customer)), "style="+url.QueryEscape(frame.style+";border:0"), "locale="+frame.locale)
				customer.emulate(640, 680, frame.scheme)
				form.emulate(0, 0, frame.scheme)
				form.eval(`window.until = async (f) => { while (!f()) await new Promise(requestAnimationFrame); }, null`)
				customer.eval(state.config)
				customer.await("the form is dressed", `got.some((m) => m.callbackName === "IDLOADED")`)
				if state.act != "" {
					form.eval("(() => { " + state.act + " })()")
					// The site agrees where it is asked.
					if strings.Contains(state.act, "@") || strings.Contains(state.act, "+49") {
						customer.await("the form asked", `got.some((m) => m.callbackName === "IDON_BEGIN")`)
						customer.eval(`send({action: "CONTINUE_SUBMIT"})`)
					}
				}
				form.await(state.name, state.until)
				if out := form.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); out != "0" {
					t.Errorf("%s: %s pixels stick out at the side", state.name, out)
				}
				if axe != nil {
					form.eval("window.axe ? 1 : (() => { " + string(axe) + "\n})()")
					if v := form.eval(`axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html + n.failureSummary)))`); v != "[]" {
						t.Errorf("%s: %s", state.name, v)
					}
				}
				customer.keep("framed " + frame.name + " " + state.name)
			}
		})
	}
}

// submitted types an identifier into the form and submits it.
func submitted(identifier string) string {
	return `document.getElementById("address").focus(), document.execCommand("insertText", false, "` + identifier + `"), document.getElementById("address-form").requestSubmit()`
}
