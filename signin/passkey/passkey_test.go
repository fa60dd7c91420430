package passkey_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/google/go-cmp/cmp"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/passkey"
	"github.com/splitpin/splitpin/signin/passkey/passkeytest"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/token"
)

const (
	public = "https://login.example.org"
	shop   = "https://shop.example"
	ada    = "ada@example.org"
	bob    = "bob@example.org"
)

// A house is an engine with real keys and a real store, and a clock to move.
type house struct {
	*signin.Engine
	t       testing.TB
	db      splitpin.Store
	admin   *project.Admin
	at      time.Time
	project *splitpin.Project
	by      signin.Caller
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, db: enginetest.Open(t), at: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC),
		by: signin.Caller{Addr: netip.MustParseAddr("203.0.113.7"), Device: "Firefox on Linux"}}
	now := func() time.Time { return h.at }
	ring, err := keyring.Open(t.Context(), h.db, h.at, keyring.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	tokens := token.New(h.db, ring, public, now)
	h.Engine, err = signin.New(t.Context(), signin.Options{Store: h.db, Ring: ring, Tokens: tokens, Clock: now, PublicURL: public,
		Methods: []signin.Method{code.Email{}, passkey.Method{PublicURL: public}}})
	if err != nil {
		t.Fatal(err)
	}
	h.admin = &project.Admin{Store: h.db, Tokens: tokens, Clock: now}
	h.project = h.create(splitpin.Settings{Name: "Shop", Origins: []string{shop, "https://www.shop.example", "http://localhost:3000", "http://plain.example", "https://192.0.2.1"}})
	return h
}

func (h *house) create(s splitpin.Settings) *splitpin.Project {
	h.t.Helper()
	p, _, err := h.admin.Create(h.t.Context(), project.Draft{Settings: s})
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Step(h.t.Context(), h.at); err != nil {
		h.t.Fatal(err)
	}
	if p, err = h.Project(p.ID); err != nil {
		h.t.Fatal(err)
	}
	return p
}

const verifier = "f6eb75ce0123456789abcdef0123456789abcdef0123456789abcdef"

func (h *house) request(origin string) signin.StartRequest {
	sum := sha256.Sum256([]byte(verifier))
	return signin.StartRequest{Project: h.project, Method: passkey.Name, Origin: origin, By: h.by,
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:])}
}

// An asking is an attempt with what the browser is asked.
type asking struct {
	h       *house
	attempt *splitpin.Attempt
	handle  signin.Handle
	options string
}

func (h *house) start(req signin.StartRequest) *asking {
	h.t.Helper()
	a, err := h.tryStart(req)
	if err != nil {
		h.t.Fatalf("starting: %v", err)
	}
	return a
}

func (h *house) tryStart(req signin.StartRequest) (*asking, error) {
	s, err := h.Start(h.t.Context(), req)
	if err != nil {
		return nil, err
	}
	return h.asking(s), nil
}

func (h *house) asking(s *signin.Started) *asking {
	return &asking{h, s.Attempt, signin.Handle{Project: h.project, ID: s.Attempt.ID, Secret: s.Secret, By: h.by}, challenged(s)}
}

// challenged are the options of an attempt, with the challenge that a page adds.
func challenged(s *signin.Started) string {
	return `{"challenge":"` + signin.Challenge(s.Attempt.ID, s.Secret) + `",` + strings.TrimPrefix(s.Form.Passkey, "{")
}

func (a *asking) answer(text string) (*signin.Granted, error) {
	return a.h.Answer(a.h.t.Context(), a.handle, json.RawMessage(text))
}

// coded proves an address by a code and returns the attempt's handle and the user.
func (h *house) coded(identifier, origin string) (signin.Handle, *signin.Collected) {
	h.t.Helper()
	req := h.request(origin)
	req.Method, req.Identifier = "email_code", identifier
	s, err := h.Start(h.t.Context(), req)
	if err != nil {
		h.t.Fatal(err)
	}
	told, err := h.Secret(s.Attempt)
	if err != nil {
		h.t.Fatal(err)
	}
	handle := signin.Handle{Project: h.project, ID: s.Attempt.ID, Secret: s.Secret, By: h.by}
	g, err := h.Answer(h.t.Context(), handle, json.RawMessage(`{"code":"`+told.Code.Reveal()+`"}`))
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := h.Collect(h.t.Context(), signin.CollectRequest{Project: h.project, Code: g.Code.Reveal(), Verifier: verifier, Destination: origin, Origin: origin, By: h.by})
	if err != nil {
		h.t.Fatal(err)
	}
	return handle, c
}

// enrol asks for a new passkey for whom a proof stands.
func (h *house) enrol(proof signin.Handle, origin string) *asking {
	h.t.Helper()
	req := h.request(origin)
	req.Purpose, req.Challenge, req.Proof = splitpin.Enrol, "", &proof
	return h.start(req)
}

// A device is an authenticator with one passkey, at a page.
type device struct {
	virtualwebauthn.Authenticator
	key    virtualwebauthn.Credential
	site   string
	origin string
}

func newDevice(site, origin string) *device {
	d := &device{key: passkeytest.NewCredential(virtualwebauthn.KeyTypeEC2), site: site, origin: origin}
	d.Authenticator = virtualwebauthn.NewAuthenticator()
	return d
}

func (d *device) rp() virtualwebauthn.RelyingParty {
	return virtualwebauthn.RelyingParty{ID: d.site, Origin: d.origin}
}

func (d *device) makes(t testing.TB, options string) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	d.Options.UserHandle = []byte(o.UserID)
	return virtualwebauthn.CreateAttestationResponse(d.rp(), d.Authenticator, d.key, *o)
}

func (d *device) shows(t testing.TB, options string) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	return virtualwebauthn.CreateAssertionResponse(d.rp(), d.Authenticator, d.key, *o)
}

// has gives somebody a passkey at a page.
func (h *house) has(identifier, site, origin string) (*device, *splitpin.User) {
	h.t.Helper()
	_, c := h.coded(identifier, shop)
	req := h.request(origin)
	req.Purpose, req.Challenge, req.User, req.Session = splitpin.Enrol, "", c.User, c.Session
	a := h.start(req)
	d := newDevice(site, origin)
	if origin == "" {
		d.origin = public
	}
	if _, err := a.answer(d.makes(h.t, a.options)); err != nil {
		h.t.Fatalf("making a passkey: %v", err)
	}
	return d, c.User
}

func (h *house) passkeys(u *splitpin.User) []*splitpin.Credential {
	h.t.Helper()
	list, err := h.Credentials(h.t.Context(), u)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func (h *house) events(u *splitpin.User) string {
	h.t.Helper()
	list, err := h.db.AuditEvents(h.t.Context(), splitpin.AuditFilter{Project: h.project.Number, User: u.Number}, 100)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, e := range slices.Backward(list) {
		out = append(out, strings.TrimSuffix(e.Kind+"/"+e.Detail, "/"))
	}
	return strings.Join(out, " ")
}

func refused(t testing.TB, what string, err error, want *splitpin.Error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %s", what, err, want.Code)
	}
}

// What the browser is asked is what WebAuthn and the old SDK expect.
func TestOptions(t *testing.T) {
	h := newHouse(t)
	proof, c := h.coded(ada, shop)
	read := func(text string) map[string]any {
		var o map[string]any
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		delete(o, "challenge")
		return o
	}
	created := read(h.enrol(proof, shop).options)
	want := map[string]any{
		"rp":                     map[string]any{"id": "shop.example", "name": "Shop"},
		"user":                   map[string]any{"id": base64.RawURLEncoding.EncodeToString(c.User.ID[:]), "name": ada, "displayName": ada},
		"pubKeyCredParams":       []any{map[string]any{"type": "public-key", "alg": -7.0}, map[string]any{"type": "public-key", "alg": -257.0}},
		"authenticatorSelection": map[string]any{"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
		"attestation":            "none", "timeout": 300000.0,
	}
	if d := cmp.Diff(want, created); d != "" {
		t.Errorf("options for a new passkey (-want +got):\n%s", d)
	}
	anybody := read(h.start(h.request(shop)).options)
	if d := cmp.Diff(map[string]any{"rpId": "shop.example", "userVerification": "required", "timeout": 300000.0}, anybody); d != "" {
		t.Errorf("options for whoever has a passkey (-want +got):\n%s", d)
	}
}

func TestSites(t *testing.T) {
	h := newHouse(t)
	for _, test := range []struct {
		name, origin, site string
		err                *splitpin.Error
	}{
		{name: "a listed page", origin: shop, site: "shop.example"},
		{name: "another host of the same owner is another site", origin: "https://www.shop.example", site: "www.shop.example"},
		{name: "our own page", origin: "", site: "login.example.org"},
		{name: "a machine of one's own", origin: "http://localhost:3000", site: "localhost"},
		{name: "without TLS", origin: "http://plain.example", err: passkey.ErrHost},
		{name: "an address is no name", origin: "https://192.0.2.1", err: passkey.ErrHost},
		{name: "a page that is not listed", origin: "https://evil.example", err: signin.ErrOrigin},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := h.request(test.origin)
			req.Destination = shop
			a, err := h.tryStart(req)
			if test.err != nil {
				refused(t, "starting", err, test.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(a.options, `"rpId":"`+test.site+`"`) {
				t.Errorf("the options are %s, want the site %s", a.options, test.site)
			}
		})
	}
	h.project = h.create(splitpin.Settings{Origins: []string{shop, "*"}})
	_, err := h.tryStart(h.request(shop))
	refused(t, "where every site may ask", err, signin.ErrMethodOff)

	h.project = h.create(splitpin.Settings{Origins: []string{shop, "https://club.example"}, PasskeySite: "shop.example"})
	if a := h.start(h.request("https://club.example")); !strings.Contains(a.options, `"rpId":"shop.example"`) {
		t.Errorf("one site for all: the options are %s", a.options)
	}
}

// A passkey that was made signs in: without a name, with the person's name, and to
// confirm that somebody is still there.
func TestRoundTrip(t *testing.T) {
	for _, kind := range []virtualwebauthn.KeyType{virtualwebauthn.KeyTypeEC2, virtualwebauthn.KeyTypeRSA} {
		t.Run(string(kind), func(t *testing.T) {
			h := newHouse(t)
			proof, c := h.coded(ada, shop)
			d := newDevice("shop.example", shop)
			d.key = passkeytest.NewCredential(kind)
			a := h.enrol(proof, shop)
			if _, err := a.answer(d.makes(t, a.options)); err != nil {
				t.Fatalf("making a passkey: %v", err)
			}
			list := h.passkeys(c.User)
			if len(list) != 1 || list[0].Label != "Firefox on Linux" || list[0].Site != "shop.example" {
				t.Fatalf("got %d passkeys: %+v", len(list), list)
			}
			if diff := cmp.Diff([]string{"single_device"}, h.Facts(list[0])); diff != "" {
				t.Error(diff)
			}

			h.at = h.at.Add(time.Hour)
			d.Options.BackupEligible, d.Options.BackupState = true, true
			named := h.request(shop)
			named.Identifier = ada
			for what, req := range map[string]signin.StartRequest{"nobody named": h.request(shop), "named": named} {
				d.key.Counter++
				a := h.start(req)
				g, err := a.answer(d.shows(t, a.options))
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				in, err := h.Collect(t.Context(), signin.CollectRequest{Project: h.project, Code: g.Code.Reveal(), Verifier: verifier, Destination: shop, Origin: shop, By: h.by})
				if err != nil {
					t.Fatalf("%s: collecting: %v", what, err)
				}
				if in.User.Number != c.User.Number || in.Session.AuthMethod != "WEBAUTHN" || in.Session.Credential != list[0].Number {
					t.Errorf("%s: got user %d by %s with credential %d", what, in.User.Number, in.Session.AuthMethod, in.Session.Credential)
				}
			}
			list = h.passkeys(c.User)
			if !list[0].UsedAt.Equal(h.at) {
				t.Errorf("used at %v, want %v", list[0].UsedAt, h.at)
			}
			if diff := cmp.Diff([]string{"synced"}, h.Facts(list[0])); diff != "" {
				t.Errorf("after a copy was kept: %s", diff)
			}

			d.key.Counter++
			confirm := h.request(shop)
			confirm.Purpose, confirm.Challenge, confirm.User, confirm.Session = splitpin.Confirm, "", c.User, c.Session
			asked := h.start(confirm)
			if _, err := asked.answer(d.shows(t, asked.options)); err != nil {
				t.Errorf("confirming: %v", err)
			}
		})
	}
}

// Everything that a wrong answer to "make a passkey" can be.
func TestMadeWrongly(t *testing.T) {
	h := newHouse(t)
	proof, c := h.coded(ada, shop)
	other, _ := h.coded(bob, shop)
	for _, test := range []struct {
		name string
		make func(t *testing.T, a *asking, d *device) string
	}{
		{"another page", func(t *testing.T, a *asking, d *device) string {
			d.origin = "https://evil.example"
			return d.makes(t, a.options)
		}},
		{"another listed page", func(t *testing.T, a *asking, d *device) string {
			d.origin = "https://www.shop.example"
			return d.makes(t, a.options)
		}},
		{"another port", func(t *testing.T, a *asking, d *device) string {
			d.origin = shop + ":8443"
			return d.makes(t, a.options)
		}},
		{"another site", func(t *testing.T, a *asking, d *device) string {
			d.site = "www.shop.example"
			return d.makes(t, a.options)
		}},
		{"nobody verified", func(t *testing.T, a *asking, d *device) string {
			d.Options.UserNotVerified = true
			return d.makes(t, a.options)
		}},
		{"nobody present", func(t *testing.T, a *asking, d *device) string {
			d.Options.UserNotPresent = true
			return d.makes(t, a.options)
		}},
		{"the challenge of another attempt", func(t *testing.T, a *asking, d *device) string { return d.makes(t, h.enrol(other, shop).options) }},
		{"the right attempt and another secret", func(t *testing.T, a *asking, d *device) string {
			return d.makes(t, `{"rp":{"id":"shop.example"},"user":{"id":"AAAA"},"challenge":"`+signin.Challenge(a.attempt.ID, "AAAAAAAAAAAAAAAAAAAAAA")+`"}`)
		}},
		{"in a frame of another site", func(t *testing.T, a *asking, d *device) string {
			return altered(t, d.makes(t, a.options), "clientDataJSON", func(c map[string]any) { c["crossOrigin"] = true })
		}},
		{"the other ceremony", func(t *testing.T, a *asking, d *device) string {
			return altered(t, d.makes(t, a.options), "clientDataJSON", func(c map[string]any) { c["type"] = "webauthn.get" })
		}},
		{"an id that the authenticator did not make", func(t *testing.T, a *asking, d *device) string {
			return strings.ReplaceAll(d.makes(t, a.options), base64.RawURLEncoding.EncodeToString(d.key.ID), "AAAA")
		}},
		{"not a credential", func(t *testing.T, a *asking, d *device) string { return `{"code":"123456"}` }},
		{"cut in half", func(t *testing.T, a *asking, d *device) string { s := d.makes(t, a.options); return s[:len(s)/2] }},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := h.enrol(proof, shop)
			d := newDevice("shop.example", shop)
			_, err := a.answer(test.make(t, a, d))
			if e := splitpin.ErrorOf(err); e == nil || e.Kind != splitpin.Unauthenticated {
				t.Errorf("got %v, want a wrong answer", err)
			}
			if n := len(h.passkeys(c.User)); n != 0 {
				t.Errorf("the person has %d passkeys, want none", n)
			}
		})
	}
}

// altered changes a JSON member of a response. Nothing signs the client data of a new
// passkey, so it stays genuine but for the change.
func altered(t *testing.T, answer, member string, alter func(map[string]any)) string {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(answer), &c); err != nil {
		t.Fatal(err)
	}
	response := c["response"].(map[string]any)
	inner, err := base64.RawURLEncoding.DecodeString(response[member].(string))
	if err != nil {
		t.Fatal(err)
	}
	var client map[string]any
	if err := json.Unmarshal(inner, &client); err != nil {
		t.Fatal(err)
	}
	alter(client)
	inner, _ = json.Marshal(client)
	response[member] = base64.RawURLEncoding.EncodeToString(inner)
	out, _ := json.Marshal(c)
	return string(out)
}

// Everything that a wrong answer to "show a passkey" can be.
func TestShownWrongly(t *testing.T) {
	h := newHouse(t)
	d, _ := h.has(ada, "shop.example", shop)
	bobs, _ := h.has(bob, "shop.example", shop)
	elsewhere, _ := h.has(ada, "www.shop.example", "https://www.shop.example")
	for _, test := range []struct {
		name string
		show func(t *testing.T, a *asking, d device) string
	}{
		{"another page", func(t *testing.T, a *asking, d device) string {
			d.origin = "https://evil.example"
			return d.shows(t, a.options)
		}},
		{"another listed page", func(t *testing.T, a *asking, d device) string {
			d.origin = "https://www.shop.example"
			return d.shows(t, a.options)
		}},
		{"another site", func(t *testing.T, a *asking, d device) string { d.site = "evil.example"; return d.shows(t, a.options) }},
		{"nobody verified", func(t *testing.T, a *asking, d device) string {
			d.Options.UserNotVerified = true
			return d.shows(t, a.options)
		}},
		{"nobody present", func(t *testing.T, a *asking, d device) string {
			d.Options.UserNotPresent = true
			return d.shows(t, a.options)
		}},
		{"a passkey of another site", func(t *testing.T, a *asking, d device) string { return elsewhere.shows(t, a.options) }},
		{"a passkey of somebody else, who was not asked", func(t *testing.T, a *asking, d device) string { return bobs.shows(t, a.options) }},
		{"another key under the same id", func(t *testing.T, a *asking, d device) string {
			d.key.Key = passkeytest.NewCredential(virtualwebauthn.KeyTypeEC2).Key
			return d.shows(t, a.options)
		}},
		{"the handle of somebody else", func(t *testing.T, a *asking, d device) string {
			d.Options.UserHandle = bobs.Options.UserHandle
			return d.shows(t, a.options)
		}},
		{"an answer to another attempt", func(t *testing.T, a *asking, d device) string { return d.shows(t, h.start(h.request(shop)).options) }},
		{"a signature over another page's question", func(t *testing.T, a *asking, d device) string {
			page := d
			page.origin = "https://evil.example"
			return altered(t, page.shows(t, a.options), "clientDataJSON", func(c map[string]any) { c["origin"] = shop })
		}},
		{"the answer to making one", func(t *testing.T, a *asking, d device) string {
			return d.makes(t, `{"rp":{"id":"shop.example"},"user":{"id":"AAAA"},"challenge":"`+signin.Challenge(a.attempt.ID, a.handle.Secret)+`"}`)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := h.request(shop)
			req.Identifier = ada
			a := h.start(req)
			_, err := a.answer(test.show(t, a, *d))
			if e := splitpin.ErrorOf(err); e == nil || e.Kind != splitpin.Unauthenticated {
				t.Errorf("got %v, want a wrong answer", err)
			}
			if _, err := a.answer(d.shows(t, a.options)); err != nil {
				t.Errorf("the right answer after it: %v", err) // or else the row says nothing
			}
		})
	}
}

// A counter that goes back is written down and shown, and locks nobody out. The highest
// one stays known.
func TestCounterGoesBack(t *testing.T) {
	h := newHouse(t)
	d, u := h.has(ada, "shop.example", shop)
	for _, test := range []struct {
		counter uint32
		facts   []string
	}{
		{5, []string{"single_device"}},
		{6, []string{"single_device"}},
		{6, []string{"single_device", "counter_went_back"}},
		{3, []string{"single_device", "counter_went_back"}},
		{7, []string{"single_device", "counter_went_back"}},
	} {
		d.key.Counter = test.counter
		a := h.start(h.request(shop))
		if _, err := a.answer(d.shows(t, a.options)); err != nil {
			t.Fatalf("counter %d: %v", test.counter, err)
		}
		if diff := cmp.Diff(test.facts, h.Facts(h.passkeys(u)[0])); diff != "" {
			t.Errorf("counter %d: %s", test.counter, diff)
		}
	}
	if n := strings.Count(h.events(u), "attempt_proved/counter_went_back"); n != 2 {
		t.Errorf("it was written down %d times, want 2: %s", n, h.events(u))
	}
}

// Whoever asks for somebody's passkeys cannot tell a person without one, or nobody, from
// one with one or several: not by how many ids there are, nor by their transports, nor by
// where they stand. A real one is among them, and lets its owner in.
func TestNobodysPasskeys(t *testing.T) {
	h := newHouse(t)
	device, _ := h.has(ada, "shop.example", shop)
	for range 2 {
		h.has("eve@example.org", "shop.example", shop)
	}
	h.coded(bob, shop)
	ids := func(identifier string) (list []string) {
		req := h.request(shop)
		req.Identifier = identifier
		var o struct {
			AllowCredentials []struct {
				ID, Type   string
				Transports []string
			}
		}
		if err := json.Unmarshal([]byte(h.start(req).options), &o); err != nil {
			t.Fatal(err)
		}
		if len(o.AllowCredentials) != 20 {
			t.Fatalf("%s: got %d ids, want as many for everybody", identifier, len(o.AllowCredentials))
		}
		var raw []string
		for _, c := range o.AllowCredentials {
			b, err := base64.RawURLEncoding.DecodeString(c.ID)
			if err != nil || len(b) < 16 || c.Type != "public-key" {
				t.Fatalf("%s: got %+v (%v)", identifier, c, err)
			}
			if strings.Join(c.Transports, " ") != "internal hybrid usb nfc ble smart-card" {
				t.Errorf("%s: transports %q", identifier, c.Transports)
			}
			raw, list = append(raw, string(b)), append(list, c.ID)
		}
		if !slices.IsSorted(raw) || len(slices.Compact(raw)) != 20 {
			t.Errorf("%s: the order or a second of the same tells of the ids: %q", identifier, raw)
		}
		return list
	}
	seen := map[string]bool{}
	for _, identifier := range []string{ada, bob, "eve@example.org", "nobody@example.org", "someone@example.org"} {
		first := ids(identifier)
		h.at = h.at.Add(24 * time.Hour)
		if again := ids(identifier); !slices.Equal(again, first) {
			t.Errorf("%s: a day later there are other ids", identifier)
		}
		for _, id := range first {
			seen[id] = true
		}
	}
	if len(seen) != 5*20 {
		t.Errorf("five people have %d ids", len(seen))
	}
	before := ids(bob)
	h.has(bob, "shop.example", shop)
	kept := 0
	for _, id := range ids(bob) {
		if slices.Contains(before, id) {
			kept++
		}
	}
	if kept != 19 {
		t.Errorf("a new passkey left %d of 20 ids as they were", kept)
	}
	req := h.request(shop)
	req.Identifier = ada
	asked := h.start(req)
	if _, err := asked.answer(device.shows(t, asked.options)); err != nil {
		t.Errorf("the real one among them: %v", err)
	}
}

// Asking for somebody's passkeys is a question about a user, and limited with the others:
// but not for a browser that signed in there, nor for who names nobody.
func TestAskingForPasskeysIsALookup(t *testing.T) {
	h := newHouse(t)
	req := h.request(shop)
	req.Identifier = ada
	for range signin.DefaultLookupsPerNetwork {
		h.start(req)
	}
	_, err := h.tryStart(req)
	refused(t, "one too many", err, signin.ErrManyLookups)
	h.start(h.request(shop))
	req.By.Known, err = h.KnownBrowser(h.project, ada)
	if err != nil {
		t.Fatal(err)
	}
	h.start(req)
	req.Identifier = bob
	_, err = h.tryStart(req)
	refused(t, "a browser that signed in as somebody else", err, signin.ErrManyLookups)
}

func TestSecondOfTheSameDevice(t *testing.T) {
	h := newHouse(t)
	d, u := h.has(ada, "shop.example", shop)
	proof, _ := h.coded(ada, shop)
	a := h.enrol(proof, shop)
	if !strings.Contains(a.options, `"excludeCredentials":[{"type":"public-key","id":"`+base64.RawURLEncoding.EncodeToString(d.key.ID)) {
		t.Errorf("the device is not told that it has one: %s", a.options)
	}
	_, err := a.answer(d.makes(t, a.options))
	refused(t, "the same once more", err, passkey.ErrRegistered)
	if !strings.Contains(err.Error()+passkey.ErrRegistered.Message, "credentials already registered") {
		t.Error("old clients look for these words")
	}
	theirs, _ := h.coded(bob, shop)
	b := h.enrol(theirs, shop)
	_, err = b.answer(d.makes(t, b.options))
	refused(t, "for somebody else", err, signin.ErrTaken)

	second := newDevice("shop.example", shop)
	if _, err := a.answer(second.makes(t, a.options)); err != nil {
		t.Errorf("another device: %v", err)
	}
	if n := len(h.passkeys(u)); n != 2 {
		t.Errorf("got %d passkeys, want 2", n)
	}
}

// What is gone is said to be gone only where no project has it: several may share a site.
func TestRemovedPasskey(t *testing.T) {
	h := newHouse(t)
	d, u := h.has(ada, "login.example.org", "")
	first := h.project
	answer := func() error {
		req := h.request("")
		req.Destination = shop
		a := h.start(req)
		_, err := a.answer(d.shows(t, a.options))
		return err
	}
	if err := answer(); err != nil {
		t.Fatal(err)
	}
	h.project = h.create(splitpin.Settings{Name: "Club", Origins: []string{shop}})
	refused(t, "in another project", answer(), signin.ErrFailed)
	h.project = first
	_, c := h.coded(ada, shop)
	if err := h.Remove(t.Context(), c.Session, u, h.passkeys(u)[0].Number, h.by); err != nil {
		t.Fatal(err)
	}
	refused(t, "removed", answer(), signin.ErrNobodys)
}

func TestTwentyPasskeys(t *testing.T) {
	h := newHouse(t)
	proof, _ := h.coded(ada, shop)
	early := h.enrol(proof, shop)
	for range 20 {
		a := h.enrol(proof, shop)
		if _, err := a.answer(newDevice("shop.example", shop).makes(t, a.options)); err != nil {
			t.Fatal(err)
		}
	}
	req := h.request(shop)
	req.Purpose, req.Challenge, req.Proof = splitpin.Enrol, "", &proof
	_, err := h.tryStart(req)
	refused(t, "one too many", err, passkey.ErrMany)
	_, err = early.answer(newDevice("shop.example", shop).makes(t, early.options))
	refused(t, "one too many that began before", err, passkey.ErrMany)
}
