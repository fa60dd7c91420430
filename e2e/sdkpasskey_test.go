package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// withLock gives a page the lock of a device that recognises its owner.
func withLock(p *tab) (id webauthn.AuthenticatorID) {
	p.t.Helper()
	p.do("adding an authenticator", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		added, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
		if err == nil {
			id = added.AuthenticatorID
		}
		return err
	}))
	return id
}

// recognises says whether the device recognises whoever touches it.
func recognises(p *tab, id webauthn.AuthenticatorID, owner bool) {
	p.t.Helper()
	p.do("telling the authenticator who is there", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: id, IsUserVerified: owner})
		return err
	}))
}

func TestSDKPasskeys(t *testing.T) {
	t.Parallel()
	clock := newClock(t)
	d, b := startDevWith(t, clock.binary, clock.env()), startBrowser(t)
	a := startSinglePage(t, d).named()
	page := a.open(t, b, "/")
	lock := withLock(page)
	a.signInWithForm(t, page, "ada@example.org")

	// Making one needs a proof of the last minutes.
	clock.advance(t, 10*time.Minute)
	if got := eval[caught](page, "caught(auth.addPasskey())"); got.Code != "proof_too_old" {
		t.Fatalf("ten minutes after the sign-in: got %+v, want proof_too_old", got)
	}
	eval[any](page, `(async () => { globalThis.attempt = await auth.confirm({ identifier: "ada@example.org" }); })()`)
	eval[any](page, fmt.Sprintf(`attempt.answer(%q).then(() => null)`, d.code(t, "ada@example.org")))
	id := eval[string](page, "auth.addPasskey()")
	if got := eval[string](page, fmt.Sprintf(`auth.renameCredential(%q, "My laptop").then((list) => list.map((c) => c.kind + " " + c.label).join())`, id)); got != "passkey My laptop" {
		t.Errorf("the credentials are %q", got)
	}
	clock.advance(t, 10*time.Minute)
	if got := eval[caught](page, fmt.Sprintf("caught(auth.removeCredential(%q))", id)); got.Code != "proof_too_old" {
		t.Errorf("removing it ten minutes later: got %+v, want proof_too_old", got)
	}
	recognises(page, lock, false)
	if got := eval[caught](page, "caught(auth.confirmWithPasskey())"); got.Code != "passkey_cancelled" {
		t.Errorf("somebody else confirms: got %+v, want passkey_cancelled", got)
	}
	recognises(page, lock, true)
	eval[any](page, "auth.confirmWithPasskey()")
	if got := eval[caught](page, "caught(auth.addPasskey())"); got.Code != "passkey_registered" {
		t.Errorf("a second one on the same device: got %+v, want passkey_registered", got)
	}
	eval[any](page, "auth.logOut()")

	for _, options := range []string{"", `{ identifier: "ada@example.org" }`} {
		if got := eval[string](page, fmt.Sprintf("auth.signInWithPasskey(%s).then((now) => now.user.identifier + ' ' + now.auth_method)", options)); got != "ada@example.org WEBAUTHN" {
			t.Errorf("signInWithPasskey(%s): %q", options, got)
		}
		eval[any](page, "auth.logOut()")
	}

	// Somebody else holds the device.
	recognises(page, lock, false)
	if got := eval[caught](page, "caught(auth.signInWithPasskey())"); got.Code != "passkey_cancelled" {
		t.Errorf("somebody else at the device: got %+v, want passkey_cancelled", got)
	}
	recognises(page, lock, true)

	// A reason of the app's own comes back as it is.
	if got := eval[string](page, `(async () => { const stop = new AbortController(); stop.abort("enough"); return auth.signInWithPasskey({ signal: stop.signal }).catch((e) => e); })()`); got != "enough" {
		t.Errorf("an aborted call threw %q", got)
	}

	// The passkey is removed, and the device does not know.
	if got := eval[string](page, "auth.signInWithPasskey().then((now) => now.user.identifier)"); got != "ada@example.org" {
		t.Errorf("signed in as %q", got)
	}
	eval[any](page, `void (globalThis.accepted = [], PublicKeyCredential.signalAllAcceptedCredentials = async (o) => accepted.push(o))`)
	if got := eval[int](page, fmt.Sprintf("auth.removeCredential(%q).then((list) => list.length)", id)); got != 0 {
		t.Errorf("%d credentials are left", got)
	}
	if got := eval[string](page, "accepted.map((o) => [o.rpId, o.userId.length, o.allAcceptedCredentialIds.length].join()).join(';')"); got != "localhost,22,0" {
		t.Errorf("the browser was told that these are good: %q", got)
	}
	eval[any](page, `void (globalThis.signalled = [], PublicKeyCredential.signalUnknownCredential = async (o) => signalled.push(o))`)
	if got := eval[caught](page, "caught(auth.signInWithPasskey())"); got.Code != "credential_unknown" {
		t.Errorf("a removed passkey: got %+v, want credential_unknown", got)
	}
	if got := eval[string](page, "signalled.map((o) => o.rpId + (o.credentialId.length > 10)).join()"); got != "localhosttrue" {
		t.Errorf("the browser was told %q", got)
	}
}

// A page waits for autofill; what the person chooses instead ends the waiting.
func TestSDKPasskeyAutofill(t *testing.T) {
	t.Parallel()
	d, b := startDev(t), startBrowser(t)
	a := startSinglePage(t, d).named()
	page := a.open(t, b, "/")
	if got := eval[caught](page, `caught(auth.passkeySupport().then((s) => s.passkeys))`); string(got.Value) != "true" {
		t.Errorf("passkeySupport: %s", got.Value)
	}
	// A browser that waits and never answers, until it is told to stop.
	eval[any](page, `void (globalThis.windows = [], navigator.credentials.get = ({ signal, mediation }) => new Promise((_, refuse) => {
		windows.push(mediation ?? "modal");
		signal.addEventListener("abort", () => refuse(signal.reason));
	}))`)
	eval[any](page, `void (globalThis.waiting = caught(auth.signInWithPasskey({ autofill: true })))`)
	page.await("it waits", `windows.join() === "conditional"`)
	eval[any](page, `void (globalThis.chosen = caught(auth.signInWithPasskey()))`)
	if got := eval[caught](page, "waiting"); got.Code != "passkey_cancelled" {
		t.Errorf("the waiting: got %+v, want passkey_cancelled", got)
	}
	page.await("the window is open", `windows.join() === "conditional,modal"`)
	eval[any](page, `void (globalThis.again = caught(auth.signInWithPasskey({ autofill: true })))`)
	if got := eval[caught](page, "chosen"); got.Code != "passkey_cancelled" {
		t.Errorf("the window: got %+v, want passkey_cancelled", got)
	}
}
