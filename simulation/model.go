package simulation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/passkey"
	"github.com/splitpin/splitpin/token"
)

// A model knows what must hold. It counts for itself, by the true clock, and
// never asks the product: it sees each commit, each answer that leaves a node, each
// letter, and each look at an answer.
type model struct {
	*world
	seq     int64 // of calls of the database, in their true order
	commits int

	attempts    map[int64]*attemptFacts
	sessions    map[int64]*sessionFacts
	credentials map[int64]*credentialFacts
	undone      map[int64]time.Time // when a user last took something back
	messages    map[int64]*messageFacts
	wrong       map[string][]time.Time // looks at wrong answers, by identifier
	lanes       map[string][]time.Time // messages queued, by lane
	networks    map[string][]time.Time // attempts begun, by network
	current     splitpin.Settings
	laxest      splitpin.Limits // the widest that each limit ever was
	changed     time.Time       // when the settings were last changed
}

// An attemptFacts is what is known of an attempt.
type attemptFacts struct {
	number     int64
	identifier string
	starter    [16]byte
	maxTries   int
	begun      time.Time
	parent     int64 // whose proof it goes on from; zero: none
	expiresAt  time.Time
	looks      int // at answers
	before     int // of those, before the proof
	proved     time.Time
	granted    bool
	session    int64 // that came of it
	spoiled    bool  // its grant was spent by a wrong collector, or not admitted
	user       int64 // who was proved
	credential int64 // that was shown; zero: none
}

// A sessionFacts is what is known of a session.
type sessionFacts struct {
	attempt    int64
	user       int64
	credential int64 // that opened it; zero: none
	counter    uint32
	since      []moment // when each counter came to be, from 1
	revokedSeq int64    // zero: it lives
	expiresAt  time.Time
	idleUntil  time.Time
}

// A credentialFacts is what is known of a credential.
type credentialFacts struct {
	user      int64
	kind      splitpin.CredentialKind
	begun     time.Time
	expiresAt time.Time // zero: does not
	session   int64     // with which a remembered browser ends
	gone      bool
	used      bool // a recovery that opened the account
}

type moment struct {
	seq int64
	at  time.Time
}

// A messageFacts is what is known of a message.
type messageFacts struct {
	attempt int64
	arrived int
	told    *process // that was told, since its claim, that it arrived
	excused bool     // it may arrive once more: nobody could say in time that it had
	lease   lease
}

// A lease is the right of one process to send a message, or of nobody until it is
// due again.
type lease struct {
	process *process
	until   time.Time // by the true clock
}

// leased returns the lease that a message says, as the process takes it.
func (m *model) leased(p *process, dueAt time.Time) lease {
	return lease{p, dueAt.Add(-p.node.offset)}
}

// A look is one look at an answer.
type look struct {
	attempt int64
	right   bool
}

// A before is what a step found.
type before struct {
	attempt *splitpin.Attempt
	grant   *splitpin.Grant
	session *splitpin.Session
	user    *splitpin.User
	all     []splitpin.Session
	sent    map[int64]splitpin.Message
}

func newModel(w *world) *model {
	return &model{world: w, attempts: map[int64]*attemptFacts{}, sessions: map[int64]*sessionFacts{},
		credentials: map[int64]*credentialFacts{}, undone: map[int64]time.Time{}, messages: map[int64]*messageFacts{}, wrong: map[string][]time.Time{},
		lanes: map[string][]time.Time{}, networks: map[string][]time.Time{}}
}

func (m *model) tick() int64 { m.seq++; return m.seq }

// settings is what the project says from now on.
func (m *model) settings(p *splitpin.Project) {
	l := p.Settings.Limits
	for _, x := range []struct {
		widest, now *int
		standard    int
	}{
		{&m.laxest.RefusePerNetwork, &l.RefusePerNetwork, signin.DefaultRefusePerNetwork},
		{&m.laxest.MessagesPerAddress, &l.MessagesPerAddress, signin.DefaultMessagesPerAddress},
		{&m.laxest.MessagesPerDay, &l.MessagesPerDay, signin.DefaultMessagesPerDay},
	} {
		*x.widest = max(*x.widest, cmp.Or(*x.now, x.standard))
	}
	m.current, m.changed = p.Settings, m.now
}

// keep copies what the model compares with.
func keep(r *splitpin.Records) (b before) {
	if r.Attempt != nil {
		a := *r.Attempt
		b.attempt = &a
	}
	if r.Grant != nil {
		g := *r.Grant
		b.grant = &g
	}
	if r.Session != nil {
		s := *r.Session
		b.session = &s
	}
	if r.User != nil {
		u := *r.User
		b.user = &u
	}
	for _, s := range r.Sessions {
		b.all = append(b.all, *s)
	}
	for _, m := range r.Messages {
		if b.sent == nil {
			b.sent = map[int64]splitpin.Message{}
		}
		b.sent[m.Number] = *m
	}
	return b
}

// commit hears of every step that was saved, at the moment it was.
func (m *model) commit(p *process, was before, writes splitpin.Writes, looked []look) {
	seq := m.tick()
	req := m.running.request
	for _, l := range looked {
		m.looked(l)
	}
	if len(writes.Create)+len(writes.Put)+len(writes.Delete) == 0 {
		return
	}
	m.commits++
	m.stir()
	for _, record := range writes.Put {
		if a, ok := record.(*splitpin.Attempt); ok && was.attempt != nil && was.attempt.ProvedAt.IsZero() && !a.ProvedAt.IsZero() {
			m.letIn(a)
		}
	}
	for _, record := range writes.Put {
		switch r := record.(type) {
		case *splitpin.Attempt:
			m.attemptSaved(was.attempt, r, req)
		case *splitpin.Grant:
			m.grantSaved(was.grant, r)
		case *splitpin.Session:
			m.sessionSaved(was, r, req, seq)
		case *splitpin.Message:
			m.messageSaved(p, was.sent[r.Number], r)
		case *splitpin.Project:
			m.settings(r)
		}
	}
	for _, record := range writes.Create {
		switch r := record.(type) {
		case *splitpin.Attempt:
			m.attemptBegun(r, req)
		case *splitpin.Message:
			m.messageQueued(p, r, req)
		case *splitpin.Grant:
			m.granted(r)
		case *splitpin.Session:
			m.sessionOpened(r, writes, req, seq)
		case *splitpin.Credential:
			m.credentialAdded(r, writes)
		case *splitpin.User:
			m.count.users++
		}
	}
	for _, record := range writes.Delete {
		if c, ok := record.(*splitpin.Credential); ok && m.credentials[c.Number] != nil {
			m.credentialGone(c, req)
		}
	}
	for _, record := range writes.Put {
		if u, ok := record.(*splitpin.User); ok && was.user != nil && !u.UndoneAt.Equal(was.user.UndoneAt) {
			m.tookBack(u.Number)
		}
	}
	if req != nil && (req.method == http.MethodGet || req.method == http.MethodHead) {
		for _, record := range slices.Concat(writes.Create, writes.Put, writes.Delete) {
			if _, ok := record.(*splitpin.AuditEvent); !ok {
				m.fail("a GET saved a %T: %s", record, short(req.path))
			}
		}
	}
}

func (m *model) attemptBegun(a *splitpin.Attempt, req *request) {
	m.count.starts++
	f := &attemptFacts{number: a.ID.Number, identifier: a.Identifier, starter: a.Starter, maxTries: a.MaxTries,
		begun: m.now, parent: a.Parent, expiresAt: a.ExpiresAt}
	if m.attempts[f.number] != nil {
		m.fail("attempt %d began twice", f.number)
	}
	m.attempts[f.number] = f

	// Who guessed too often gets codes that cannot be guessed.
	form := code.Email{}.Describe(a)
	guesses := m.wrong[a.Identifier]
	if a.Method != (code.Email{}).Name() {
	} else if form.CodeLength >= 10 {
		m.count.hardened++
	} else if n := since(guesses, m.now.Add(-24*time.Hour+time.Minute)); n >= 20 {
		m.fail("attempt %d got a short code after %d wrong answers in a day", f.number, n)
	} else if n := since(guesses, m.now.Add(-29*24*time.Hour)); n >= 50 {
		m.fail("attempt %d got a short code after %d wrong answers in a month", f.number, n)
	}
	if req == nil {
		m.fail("attempt %d began by nobody's request", f.number)
		return
	}
	network := req.network
	if a.Method != (code.Email{}).Name() {
		network = "without a message/" + network // which has as many of its own
	}
	m.held("starts from one network", m.networks, network, req, m.laxest.RefusePerNetwork, 5*time.Minute)
}

// since counts the moments after one.
func since(all []time.Time, from time.Time) int {
	at, _ := slices.BinarySearchFunc(all, from, time.Time.Compare)
	return len(all) - at
}

// held counts one more of what a limit of so many a period allows, and fails when
// any stretch of time saw more than that. Each was charged after its request began
// and before it is counted here.
func (m *model) held(what string, counts map[string][]time.Time, key string, req *request, burst int, period time.Duration) {
	at, _ := slices.BinarySearchFunc(counts[key], req.began, time.Time.Compare)
	counts[key] = slices.Insert(counts[key], at, req.began)
	all := counts[key]
	for i, from := range all {
		stretch := m.now.Sub(from) + slack
		if m.drawn.jumps {
			stretch += 3 * time.Hour
		}
		if n, most := len(all)-i, burst+int(int64(stretch)*int64(burst)/int64(period)); n > most {
			m.fail("%s: %d within %s, the limit admits %d", what, n, m.now.Sub(from), most)
			return
		}
	}
}

func (m *model) messageQueued(p *process, x *splitpin.Message, req *request) {
	m.messages[x.Number] = &messageFacts{attempt: x.Attempt, lease: m.leased(p, x.DueAt)}
	if x.Tries > 0 {
		m.count.handed++
	}
	if req == nil {
		m.fail("message %d was queued by nobody's request", x.Number)
		return
	}
	if x.User != 0 {
		return // it tells of something, and takes no lane
	}
	lane, short, long := account.Fold(x.To), m.laxest.MessagesPerAddress, m.laxest.MessagesPerDay
	if req.known {
		lane, short, long = "known/"+x.To, 5, 30
	}
	m.held("messages to one address in ten minutes", m.lanes, lane, req, short, 10*time.Minute)
	m.held("messages to one address in a day", m.lanes, "day/"+lane, req, long, 24*time.Hour)
}

func (m *model) messageSaved(p *process, was splitpin.Message, x *splitpin.Message) {
	f := m.messages[x.Number]
	switch {
	case f == nil:
		m.fail("message %d was saved, and never queued", x.Number)
	case !was.SentAt.IsZero() || !was.GivenUpAt.IsZero():
		m.fail("message %d was finished, and %s changed it", x.Number, p.node.name)
	case x.SentAt.IsZero() && f.lease.process != p && m.now.Before(f.lease.until.Add(-slack)) && !m.drawn.jumps:
		m.fail("message %d is %s's, and %s saved what came of it", x.Number, f.lease.process.node.name, p.node.name)
	case !x.SentAt.IsZero() && f.arrived == 0:
		m.fail("message %d is said to be sent, and never was", x.Number)
	case x.SentAt.IsZero() && x.GivenUpAt.IsZero() && f.told == p:
		m.fail("message %d arrived, its node was told so, and forgot it", x.Number)
	default:
		f.lease = m.leased(p, x.DueAt)
	}
}

// looked counts a look at an answer that somebody was told of.
func (m *model) looked(l look) {
	a := m.attempts[l.attempt]
	if a == nil {
		return
	}
	a.looks++
	if a.looks > 2*a.maxTries {
		m.fail("attempt %d: %d looks at an answer, of %d", a.number, a.looks, 2*a.maxTries)
	}
	if !a.proved.IsZero() {
		return
	}
	if a.before++; a.before > a.maxTries {
		m.fail("attempt %d: %d looks at an answer before it was proved, of %d", a.number, a.before, a.maxTries)
	}
	if !l.right {
		m.count.wrong++
		m.wrong[a.identifier] = append(m.wrong[a.identifier], m.now)
	}
}

func (m *model) attemptSaved(was, a *splitpin.Attempt, req *request) {
	f := m.attempts[a.ID.Number]
	if f == nil || was == nil {
		m.fail("attempt %d was saved, and never began", a.ID.Number)
		return
	}
	if a.Tries != was.Tries {
		hash := [16]byte{}
		if req != nil {
			sum := sha256.Sum256([]byte(req.secret))
			hash = [16]byte(sum[:16])
		}
		if req == nil || hash != f.starter {
			m.fail("attempt %d: a try was spent by somebody who did not start it", f.number)
			return
		}
		if a.Tries < was.Tries {
			m.fail("attempt %d: tries went from %d to %d", f.number, was.Tries, a.Tries)
		}
	}
	if !a.ProvedAt.Equal(was.ProvedAt) && req != nil {
		if !f.proved.IsZero() {
			m.fail("attempt %d was proved twice", f.number)
		}
		if late := req.began.Sub(f.expiresAt); late > slack && !m.drawn.jumps {
			m.fail("attempt %d was proved %s after it expired", f.number, late)
		}
		if a.Purpose == splitpin.SignIn && a.Credential != 0 && m.ended(a.Credential) {
			m.fail("attempt %d was proved by credential %d, which had ended", f.number, a.Credential)
		}
		m.count.proofs++
		f.proved, f.user, f.credential = m.now, a.User, a.Credential
	}
	if !was.DeniedAt.IsZero() && (a.DeniedAt.IsZero() || !a.ProvedAt.Equal(was.ProvedAt)) {
		m.fail("attempt %d was denied, and is %s", f.number, a.State(m.now))
	}
}

func (m *model) granted(g *splitpin.Grant) {
	f := m.attempts[g.Attempt]
	if f == nil || f.proved.IsZero() {
		m.fail("grant %d belongs to nothing that was proved", g.Number)
		return
	}
	if f.granted {
		m.fail("attempt %d got a second grant", f.number)
	}
	f.granted = true
}

func (m *model) grantSaved(was, g *splitpin.Grant) {
	if was == nil || g.SpentAt.IsZero() || !was.SpentAt.IsZero() && (!g.SpentAt.Equal(was.SpentAt) || g.Session != was.Session) {
		m.fail("grant %d was spent before, and changed", g.Number)
		return
	}
	if f := m.attempts[g.Attempt]; f != nil && g.Session == 0 {
		f.spoiled = true
	}
}

// sessionOpened: one code, one session.
func (m *model) sessionOpened(s *splitpin.Session, writes splitpin.Writes, req *request, seq int64) {
	m.count.sessions++
	var of *attemptFacts
	for _, record := range writes.Put {
		if g, ok := record.(*splitpin.Grant); ok && g.Session == s.Number {
			of = m.attempts[g.Attempt]
		}
	}
	switch {
	case of == nil:
		m.fail("session %d was opened without a grant that was spent on it", s.Number)
		return
	case of.session != 0:
		m.fail("attempt %d gave session %d and then session %d", of.number, of.session, s.Number)
	case of.proved.IsZero():
		m.fail("attempt %d gave session %d and was never proved", of.number, s.Number)
	case req == nil || req.began.Sub(of.proved) > 5*time.Minute+slack && !m.drawn.jumps:
		m.fail("attempt %d gave session %d long after its proof", of.number, s.Number)
	}
	m.openedBy(s, of)
	of.session = s.Number
	m.sessions[s.Number] = &sessionFacts{attempt: of.number, user: s.User, credential: s.Credential, counter: s.Counter,
		since: []moment{{seq, m.now}}, expiresAt: s.ExpiresAt, idleUntil: s.IdleUntil}
	m.note("session opened", of.number, s.Number, "")
}

func (m *model) sessionSaved(was before, s *splitpin.Session, req *request, seq int64) {
	f := m.sessions[s.Number]
	old := was.session
	if old == nil || old.Number != s.Number {
		for i := range was.all {
			if was.all[i].Number == s.Number {
				old = &was.all[i]
			}
		}
	}
	if f == nil || old == nil {
		m.fail("session %d was saved, and never opened", s.Number)
		return
	}
	switch {
	case s.Counter == old.Counter:
	case s.Counter != old.Counter+1:
		m.fail("session %d: counter went from %d to %d", s.Number, old.Counter, s.Counter)
	case !old.RevokedAt.IsZero():
		m.fail("session %d was revoked, and was refreshed", s.Number)
	case req == nil || req.presented.session != s.Number || req.presented.counter != old.Counter:
		m.fail("session %d: a token that is not the current one made successor %d", s.Number, s.Counter)
	default:
		m.count.refreshes++
		f.counter = s.Counter
		f.since = append(f.since, moment{seq, m.now})
	}
	f.idleUntil = s.IdleUntil
	switch {
	case old.RevokedAt.IsZero() && !s.RevokedAt.IsZero():
		f.revokedSeq = seq
		m.note("session revoked", s.Number, 0, "")
		// Who shows a token again within the grace is a tab, or lost an answer.
		if req != nil && req.path == "/v1/token" {
			m.count.reuses++
			if age := m.superseded(f, req.presented.counter); age < token.Grace-slack && !m.drawn.jumps {
				m.fail("session %d was revoked because of a token superseded %s ago", s.Number, age)
			}
		}
	case !old.RevokedAt.IsZero() && s.RevokedAt.IsZero():
		m.fail("session %d was revoked, and lives again", s.Number)
	}
}

// credentialAdded: a recovery never begins unannounced, and what was begun or proved
// before something was taken back adds nothing.
func (m *model) credentialAdded(c *splitpin.Credential, writes splitpin.Writes) {
	m.credentials[c.Number] = &credentialFacts{user: c.User, kind: c.Kind, begun: m.now, expiresAt: c.ExpiresAt, session: c.Session}
	if c.Kind == splitpin.RecoveryCredential {
		m.count.recoveries++
		if !slices.ContainsFunc(writes.Create, func(r splitpin.Record) bool {
			x, ok := r.(*splitpin.Message)
			return ok && x.Credential == c.Number && x.User == c.User
		}) {
			m.fail("recovery %d of user %d began, and no message tells of it", c.Number, c.User)
		}
		return
	}
	var of *attemptFacts
	for _, record := range writes.Put {
		if a, ok := record.(*splitpin.Attempt); ok && a.Credential == c.Number {
			of = m.attempts[a.ID.Number]
		}
	}
	if of == nil {
		m.fail("credential %d was added, and nothing was proved", c.Number)
		return
	}
	from := of.begun
	if parent := m.attempts[of.parent]; parent != nil && !parent.proved.IsZero() {
		from = parent.proved
	}
	if undone := m.undone[c.User]; from.Before(undone.Add(-slack)) && !m.drawn.jumps {
		m.fail("credential %d was added on the strength of what was %s before user %d took something back", c.Number, undone.Sub(from), c.User)
	}
}

// credentialGone: with a credential end the sessions that it opened, and a browser's own,
// but not the one in which the person asked. A recovery that makes room for a new one is
// not removed.
func (m *model) credentialGone(c *splitpin.Credential, req *request) {
	m.credentials[c.Number].gone = true
	if c.Kind == splitpin.RecoveryCredential {
		return // tookBack looks at all sessions
	}
	for _, number := range slices.Sorted(maps.Keys(m.sessions)) {
		f := m.sessions[number]
		if f.credential != c.Number && number != c.Session || req != nil && req.presented.session == number {
			continue
		}
		if m.alive(f) {
			m.fail("credential %d was removed, and session %d lives", c.Number, number)
		}
	}
}

// letIn: who must come with a passkey, and has one, comes with it, or by a recovery that
// waited. a was just proved.
func (m *model) letIn(a *splitpin.Attempt) {
	if a.Purpose != splitpin.SignIn || a.Method == passkey.Name || !m.current.PasskeyRequired {
		return
	}
	var has bool
	var recovery *credentialFacts
	for _, c := range m.credentials {
		if c.user != a.User || c.gone {
			continue
		}
		has = has || c.kind == splitpin.PasskeyCredential
		if c.kind == splitpin.RecoveryCredential && (recovery == nil || c.begun.After(recovery.begun)) { // those before are over
			recovery = c
		}
	}
	switch {
	case !has:
	case recovery == nil || a.Method != (code.Email{}).Name():
		m.fail("attempt %d let user %d in by %s, who has a passkey and must come with it", a.ID.Number, a.User, a.Method)
	case recovery.used:
		m.fail("attempt %d let user %d in by a recovery that was used", a.ID.Number, a.User)
	case m.now.Sub(recovery.begun) < account.DefaultRecoveryDelay-m.margin():
		m.fail("attempt %d let user %d in %s after a recovery began", a.ID.Number, a.User, m.now.Sub(recovery.begun))
	default:
		recovery.used = true
		m.count.recovered++
	}
}

// lives reports whether a credential opens something, for every clock that may be asked:
// it was not removed or taken back, its time is not over, and the session with which it ends
// lives. ended reports whether it opens nothing, for each of them.
func (m *model) lives(number int64) bool { return m.livesAt(number, m.now.Add(m.margin())) }
func (m *model) ended(number int64) bool { return !m.livesAt(number, m.now.Add(-m.margin())) }

func (m *model) livesAt(number int64, at time.Time) bool {
	c := m.credentials[number]
	if c == nil || c.gone || !c.expiresAt.IsZero() && !at.Before(c.expiresAt) {
		return false
	}
	if c.session == 0 {
		return true
	}
	s := m.sessions[c.session]
	return s != nil && s.revokedSeq == 0 && at.Before(s.idleUntil) && at.Before(s.expiresAt)
}

// alive reports whether a session gives tokens by every clock that may be asked.
func (m *model) alive(f *sessionFacts) bool {
	at := m.now.Add(m.margin())
	return f.revokedSeq == 0 && at.Before(f.idleUntil) && at.Before(f.expiresAt)
}

// margin is how far clocks may be off, both ways.
func (m *model) margin() time.Duration {
	if m.drawn.jumps {
		return slack + 3*time.Hour
	}
	return slack
}

// stands reports whether nothing that happened since took from a proof what it opens.
func (m *model) stands(f *attemptFacts) bool {
	return !f.spoiled && (f.credential == 0 || m.lives(f.credential)) && f.proved.After(m.undone[f.user].Add(slack))
}

// openedBy: what ended opens nothing, and what was proved before something was taken back
// opens nothing either. s is about to open; a remembered browser ends with it from now on.
func (m *model) openedBy(s *splitpin.Session, of *attemptFacts) {
	if of.credential != 0 && m.ended(of.credential) {
		m.fail("session %d was opened by credential %d, which had ended", s.Number, of.credential)
	}
	if c := m.credentials[of.credential]; c != nil && c.kind == splitpin.BrowserCredential {
		c.session = s.Number
	}
	if undone := m.undone[of.user]; of.proved.Before(undone.Add(-slack)) && !m.drawn.jumps {
		m.fail("session %d was opened by a proof of %s before user %d took something back", s.Number, undone.Sub(of.proved), of.user)
	}
}

// tookBack: whoever takes something back ends every session.
func (m *model) tookBack(user int64) {
	m.undone[user] = m.now
	m.count.undone++
	for _, number := range slices.Sorted(maps.Keys(m.sessions)) {
		f := m.sessions[number]
		if f.user == user && m.alive(f) {
			m.fail("user %d took something back, and session %d lives", user, number)
		}
	}
}

// superseded returns for how long a counter has not been the current one.
func (m *model) superseded(f *sessionFacts, counter uint32) time.Duration {
	if int(counter) >= len(f.since) {
		return 0
	}
	return m.now.Sub(f.since[counter].at)
}

// claimed hears of a claim at the moment it is made.
func (m *model) claimed(p *process, c splitpin.Claimed, until time.Time) {
	f := m.messages[c.Message.Number]
	if f == nil {
		m.fail("message %d was claimed, and never queued", c.Message.Number)
		return
	}
	if m.now.Before(f.lease.until.Add(-slack)) && !m.drawn.jumps {
		m.fail("message %d was claimed by %s, %s before that was due", c.Message.Number, p.node.name, f.lease.until.Sub(m.now))
	}
	f.excused = f.excused || f.arrived > 0
	f.lease, f.told = m.leased(p, until), nil
}

// sending hears of a letter at the moment its sender is called.
func (m *model) sending(p *process, x *splitpin.Message) {
	if now := m.now.Add(p.node.offset); !now.Before(x.ExpiresAt) {
		m.fail("the code of attempt %d was sent %s after it expired", x.Attempt, now.Sub(x.ExpiresAt))
	}
}

// delivered hears of a letter that the mail server took.
func (m *model) delivered(p *process, x *splitpin.Message, unknown bool) {
	f := m.messages[x.Number]
	if f == nil {
		m.fail("message %d arrived, and was never queued", x.Number)
		return
	}
	if f.arrived++; f.arrived > 1 {
		m.count.twice++
		if !f.excused && !m.drawn.jumps {
			m.fail("message %d arrived twice, and nothing had crashed or been lost", x.Number)
		}
	}
	if now := m.now.Add(p.node.offset); now.After(x.DueAt) && !m.drawn.jumps {
		m.fail("message %d was sent %s after its lease had ended", x.Number, now.Sub(x.DueAt))
	}
	f.excused = f.excused || unknown
}

// told hears of a sender that returns without an error.
func (m *model) told(p *process, x *splitpin.Message) {
	if f := m.messages[x.Number]; f != nil {
		f.told = p
	}
}

// answered hears of every answer that leaves a node, whether it arrives or not.
func (m *model) answered(p *process, r *request, status int, header http.Header, body []byte) {
	seq := m.running.scratch.seq
	problem := api.Problem{}
	if status >= 400 && strings.HasPrefix(r.path, "/v1/") && r.method != http.MethodHead {
		if err := json.Unmarshal(body, &problem); err != nil || problem.Code == "" {
			m.fail("%s %s: %d is no problem: %.200s", r.method, short(r.path), status, body)
		}
		if status == http.StatusInternalServerError {
			m.fail("%s %s: an internal error", r.method, short(r.path))
		}
	}
	m.note(r.method+" "+short(r.path), r.attempt, r.presented.session, strconv.Itoa(status)+" "+problem.Code)
	switch {
	case r.path == "/v1/token" && status == http.StatusOK:
		var t api.Tokens
		if err := json.Unmarshal(body, &t); err != nil {
			m.fail("tokens: %v", err)
			return
		}
		m.tokensGiven(r, t, seq)
	case r.path == "/v1/token" && problem.Code == "refresh_invalid":
		m.refreshRefused(p, r, seq)
	case r.path == "/v1/user" && status == http.StatusOK:
		// Whoever is let in had a session at the moment it was looked up.
		if f := m.sessions[r.presented.session]; f != nil && f.revokedSeq != 0 && f.revokedSeq < seq {
			m.fail("session %d was revoked, and its access token opened a door here", r.presented.session)
		}
	}
}

// tokensGiven checks an answer that has tokens.
func (m *model) tokensGiven(r *request, t api.Tokens, seq int64) {
	given, ok := parseRefresh(t.RefreshToken)
	f := m.sessions[given.session]
	switch {
	case !ok || f == nil:
		m.fail("tokens were given for a session that was never opened")
		return
	case f.revokedSeq != 0 && f.revokedSeq < seq:
		m.fail("session %d was revoked, and gave tokens", given.session)
	case given.counter < 1 || int(given.counter) > len(f.since) || f.since[given.counter-1].seq > seq:
		m.fail("session %d gave a refresh token of counter %d, which it has not reached", given.session, given.counter)
	case int(given.counter) < len(f.since) && f.since[given.counter].seq < seq:
		m.fail("session %d gave a refresh token of counter %d, which was superseded", given.session, given.counter)
	}
	if old := r.presented; old.session != 0 {
		if old.session != given.session {
			m.fail("a refresh token of session %d gave tokens of session %d", old.session, given.session)
		}
		if int(old.counter) < len(f.since) && f.since[old.counter].seq < seq {
			m.count.sameAgain += min(1, int(given.counter-old.counter)-1)
			// Marks tell the age of a token to within a second grace.
			if age := r.began.Sub(f.since[old.counter].at); age > 2*token.Grace+slack && !m.drawn.jumps {
				m.fail("session %d gave tokens for one superseded %s ago", given.session, age)
			}
		}
	}
	if a := m.attempts[r.attempt]; a != nil && a.session != given.session {
		m.fail("the code of attempt %d gave session %d, and its session is %d", a.number, given.session, a.session)
	}
}

// refreshRefused: who kept to the rules is not thrown out.
func (m *model) refreshRefused(p *process, r *request, seq int64) {
	f := m.sessions[r.presented.session]
	if f == nil || !r.presented.genuine || m.drawn.jumps {
		return
	}
	now := m.now.Add(p.node.offset)
	live := f.revokedSeq == 0 || f.revokedSeq > seq
	if live && now.Before(f.idleUntil) && now.Before(f.expiresAt) && m.superseded(f, r.presented.counter) < token.Grace-slack {
		m.fail("session %d lives, and its token %d was refused", r.presented.session, r.presented.counter)
	}
}

// quiet reports whether nothing is left to be sent.
func (m *model) quiet() bool {
	all, _ := m.db.Messages(context.Background(), splitpin.MessageFilter{}, 1<<20)
	return !slices.ContainsFunc(all, func(x *splitpin.Message) bool { return x.SentAt.IsZero() && x.GivenUpAt.IsZero() })
}

// atTheEnd looks at what is there when everybody has ended and service has
// returned.
func (m *model) atTheEnd() {
	if !m.quiet() {
		m.fail("a message is neither sent nor given up, long after the trouble ended")
	}
	for _, number := range slices.Sorted(maps.Keys(m.sessions)) {
		f := m.sessions[number]
		r, err := m.db.Load(context.Background(), splitpin.Reads{Session: number})
		switch {
		case err != nil:
			m.fail("loading session %d: %v", number, err)
		case r.Session == nil:
			if m.now.Before(f.idleUntil) && f.revokedSeq == 0 && !m.drawn.jumps {
				m.fail("session %d was opened, and is not there", number)
			}
		case r.Session.Counter != f.counter:
			m.fail("session %d has counter %d, and had %d", number, r.Session.Counter, f.counter)
		case f.revokedSeq != 0 && r.Session.RevokedAt.IsZero():
			m.fail("session %d was revoked, and lives", number)
		}
	}
}

// A refreshToken is what the text of one says.
type refreshToken struct {
	session int64
	counter uint32
	genuine bool
}

func parseRefresh(text string) (t refreshToken, ok bool) {
	number, rest, ok := strings.Cut(text, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	raw, err2 := base64.RawURLEncoding.DecodeString(rest)
	if !ok || err != nil || err2 != nil || len(raw) != 36 {
		return t, false
	}
	return refreshToken{session: n, counter: binary.BigEndian.Uint32(raw), genuine: true}, true
}

// method is the method of the product, watched: every look at an answer counts.
type method struct{ world *world }

var _ signin.Messenger = method{}

func (method) Name() string                               { return code.Email{}.Name() }
func (method) AuthMethod() string                         { return code.Email{}.AuthMethod() }
func (method) Describe(a *splitpin.Attempt) signin.Form   { return code.Email{}.Describe(a) }
func (method) Message(a *splitpin.Attempt) signin.Message { return code.Email{}.Message(a) }
func (method) Begin(ctx context.Context, r signin.BeginRequest) (signin.Begun, error) {
	return code.Email{}.Begin(ctx, r)
}
func (method) Secret(a *splitpin.Attempt, d signin.Derive) (signin.Told, error) {
	return code.Email{}.Secret(a, d)
}

func (m method) Check(c signin.Check) (signin.Proof, bool) {
	proof, right := code.Email{}.Check(c)
	l := look{c.Attempt.ID.Number, right}
	if x := &m.world.running.scratch; x.deciding {
		x.looked = append(x.looked, l)
	} else {
		m.world.model.looked(l) // it looks without a step that could charge a try
	}
	return proof, right
}

// What somebody was told is in the database: nobody is told before it is saved.

func (m *model) startAcknowledged(t *ticket) {
	r, _ := m.db.Load(context.Background(), splitpin.Reads{Attempt: t.id.Number})
	if (r.Attempt == nil || r.Attempt.ID != t.id) && !m.drawn.jumps { // a clock that is ahead sweeps it
		m.fail("attempt %d was acknowledged, and is not there", t.id.Number)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(m.messages)), func(f *messageFacts) bool { return f.attempt == t.id.Number }) {
		m.fail("attempt %d was acknowledged, and no message is queued", t.id.Number)
	}
}

func (m *model) proofAcknowledged(t *ticket) {
	r, _ := m.db.Load(context.Background(), splitpin.Reads{Grant: t.id.Number})
	if (r.Grant == nil || r.Attempt == nil || r.Attempt.ProvedAt.IsZero() || r.User == nil) && !m.drawn.jumps {
		m.fail("the proof of attempt %d was acknowledged, and is not there", t.id.Number)
	}
}

func (m *model) sessionAcknowledged(t *ticket, b *browser) {
	given, ok := parseRefresh(b.refresh)
	r, _ := m.db.Load(context.Background(), splitpin.Reads{Session: given.session})
	if f := m.sessions[given.session]; !ok || r.Session == nil && (f == nil || f.revokedSeq == 0) {
		m.fail("session %d of attempt %d was acknowledged, and is not there", given.session, t.id.Number)
	}
}

func (m *model) endAcknowledged(presented refreshToken) {
	r, _ := m.db.Load(context.Background(), splitpin.Reads{Session: presented.session})
	if r.Session != nil && r.Session.RevokedAt.IsZero() {
		m.fail("session %d was ended, and lives", presented.session)
	}
}

func (m *model) removeAcknowledged(credential int64) {
	if c := m.credentials[credential]; c != nil && !c.gone {
		m.fail("credential %d was removed, and is there", credential)
	}
}
