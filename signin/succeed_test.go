package signin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

// A master key that strangers know ends everything that it protected, at a node
// that runs and holds the old one only: what was made before is over for good,
// and nothing new is made until the node has the new key.
func TestCompromisedMasterKey(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	asked, proved := v.start("bea@example.org"), v.start("cleo@example.org")
	right, granted := asked.right(), proved.mustAnswer()
	c := v.signIn(ada)
	known, err := h.KnownBrowser(h.shop, ada)
	if err != nil {
		t.Fatal(err)
	}
	kids := func(e *signin.Engine, tokens *token.Service) string {
		body, _, err := tokens.KeySet(h.shop)
		if err != nil {
			return err.Error()
		}
		return string(body)
	}
	before := kids(h.Engine, h.tokens)

	next := keyring.NewMaster()
	h.clock.wait(time.Minute)
	done, err := token.Succeed(t.Context(), h.db, []keyring.Master{h.master}, next, h.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "projects with new keys", len(done.Projects), 2)
	equal(t, "done before", done.Done, false)

	over := func(when string) {
		t.Helper()
		_, err := v.refresh(c.Tokens.RefreshToken)
		refused(t, when+": refreshing", err, signin.ErrRefresh)
		_, _, err = h.Authenticate(t.Context(), h.shop, c.Tokens.AccessToken)
		refused(t, when+": an access token", err, signin.ErrToken)
		_, err = asked.answer(right)
		refused(t, when+": the right answer", err, signin.ErrOver)
		_, err = h.Look(t.Context(), asked.handle)
		refused(t, when+": looking", err, signin.ErrOver)
		_, err = h.Resend(t.Context(), asked.handle, "")
		refused(t, when+": another message", err, signin.ErrOver)
		_, err = h.Collect(t.Context(), proved.collection(granted))
		refused(t, when+": collecting", err, signin.ErrGrant)
		if list, err := h.Sessions(t.Context(), c.User); err != nil || len(list) != 0 {
			t.Errorf("%s: %d sessions are listed, %v", when, len(list), err)
		}
		if n, err := h.EndSessions(t.Context(), c.User, 0, signin.Caller{}); err != nil || n != 0 {
			t.Errorf("%s: %d sessions were there to be ended, %v", when, n, err)
		}
	}

	// The node learns of it with its next step, and cannot open the new keys.
	if _, err := h.Step(t.Context(), h.clock.now()); splitpin.ErrorOf(err) == nil || splitpin.ErrorOf(err).Code != keyring.ErrWrongMaster.Code {
		t.Fatalf("the next step: got %v, want %v", err, keyring.ErrWrongMaster)
	}
	over("with the old key")
	equal(t, "usable", h.ring.Usable() == nil, false)
	_, err = v.Start(t.Context(), v.request(ada))
	refused(t, "starting with the old key", err, splitpin.ErrUnavailable)
	if after := kids(h.Engine, h.tokens); strings.Contains(after, `"kid"`) && after != "" && strings.Contains(after, firstKID(before)) {
		t.Errorf("the key set still holds the old key: %s", after)
	}

	// Given the new key it goes on, with everything new.
	h.ring.Offer(next)
	h.step()
	over("with the new key")
	if err := h.ring.Usable(); err != nil {
		t.Error(err)
	}
	if after := kids(h.Engine, h.tokens); strings.Contains(after, firstKID(before)) {
		t.Errorf("the key set still holds the old key: %s", after)
	}
	again := v.signIn(ada)
	equal(t, "the user", again.User.ID, c.User.ID)
	if _, err := v.refresh(again.Tokens.RefreshToken); err != nil {
		t.Errorf("refreshing a new session: %v", err)
	}
	if fresh, err := h.KnownBrowser(h.shop, ada); err != nil || fresh == known {
		t.Errorf("a browser is recognised by what strangers can make: %v", err)
	}
	if list, err := h.Sessions(t.Context(), c.User); err != nil || len(list) != 1 {
		t.Errorf("%d sessions are listed, want the new one: %v", len(list), err)
	}
	if !strings.Contains(h.events(ada), "session_opened attempt_started") {
		t.Errorf("the log forgot who it is about: %s", h.events(ada))
	}

	// The command that was cut off is repeated, and ends no session again.
	done, err = token.Succeed(t.Context(), h.db, []keyring.Master{h.master}, next, h.clock.now())
	if err != nil || !done.Done {
		t.Fatalf("repeated: %+v, %v", done, err)
	}
	if _, err := v.refresh(again.Tokens.RefreshToken); err != nil {
		t.Errorf("refreshing after the command was repeated: %v", err)
	}
	list, err := h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "master_key_changed"}, 10)
	if err != nil || len(list) != 1 || list[0].Detail != "compromised" {
		t.Errorf("events of the change: %v, %v", list, err)
	}
	list, err = h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Project: h.shop.Number, Kind: "key_replaced"}, 10)
	if err != nil || len(list) != 2 {
		t.Errorf("%d events of replaced keys, want 2: %v", len(list), err)
	}
}

// Who does not have the key that is in use changes nothing, and a key that is in
// use is no successor of itself.
func TestCompromisedMasterKeyRefuses(t *testing.T) {
	h := newHouse(t)
	c := h.visitor("203.0.113.7").signIn(ada)
	_, err := token.Succeed(t.Context(), h.db, []keyring.Master{keyring.NewMaster()}, keyring.NewMaster(), h.clock.now())
	refused(t, "with another old key", err, keyring.ErrWrongMaster)
	_, err = token.Succeed(t.Context(), h.db, []keyring.Master{h.master}, h.master, h.clock.now())
	refused(t, "with the key in use", err, keyring.ErrSameMaster)
	next := keyring.NewMaster()
	if err := keyring.Rewrap(t.Context(), h.db, h.master, next, h.clock.now()); err != nil {
		t.Fatal(err)
	}
	_, err = token.Succeed(t.Context(), h.db, []keyring.Master{h.master}, next, h.clock.now())
	refused(t, "with a key that was changed to before", err, keyring.ErrSameMaster)
	h.step()
	if _, err := h.visitor("203.0.113.7").refresh(c.Tokens.RefreshToken); err != nil {
		t.Errorf("the session is over: %v", err)
	}
}

// A generation that was destroyed is final; one that another node made is not.
func TestUnknownGenerationIsNotFinal(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	other, ring, _ := h.node()
	if err := ring.Advance(t.Context(), h.clock.now(), keyring.Refresh, keyring.Codes); err != nil {
		t.Fatal(err)
	}
	o := v.start(ada)
	c, err := other.Collect(t.Context(), o.collection(o.mustAnswer()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.refresh(c.Tokens.RefreshToken)
	refused(t, "before the node has the new generation", err, splitpin.ErrUnavailable)
	h.step()
	if _, err := v.refresh(c.Tokens.RefreshToken); err != nil {
		t.Errorf("after it has: %v", err)
	}
}

func firstKID(keySet string) string {
	_, rest, _ := strings.Cut(keySet, `"kid":"`)
	kid, _, _ := strings.Cut(rest, `"`)
	return kid
}
