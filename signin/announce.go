package signin

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/keyring"
)

// ErrUndo refuses what is no link to take a credential back.
var ErrUndo = &splitpin.Error{Kind: splitpin.NotFound, Code: "undo_unknown",
	Message: "This link is not valid, or what it was for is gone already. Please look at your account."}

// UndoPath is where the pages of this server take back a credential: UndoPath + token.
const UndoPath = "/undo/"

// templates of the messages that tell of a new credential.
var announced = map[splitpin.CredentialKind]string{
	splitpin.PasskeyCredential: "passkey_added",
	splitpin.SocialCredential:  "account_connected",
	splitpin.BrowserCredential: "browser_added",
}

// announcements tells a user of a new credential, where the proof was not itself a
// message to the address that would hear of it. It returns one message or none.
func announcements(number int64, now time.Time, a *splitpin.Attempt, u *splitpin.User, c *splitpin.Credential) []splitpin.Record {
	template := announced[c.Kind]
	newHere := u.CreatedAt.Equal(now) // there is nobody yet who could have been somebody else
	if template == "" || newHere || u.Kind != splitpin.Email || u.ProvedAt.IsZero() {
		return nil
	}
	return []splitpin.Record{announcement(number, now, a, u, c, Message{Channel: splitpin.EmailChannel, Template: template})}
}

// announcedFor is how long it is tried to tell somebody: whoever runs the mail server may
// be away over a weekend, and the message has the only link to take the credential back.
const announcedFor = 3 * 24 * time.Hour

// announcement tells u of c. It lasts longer than the attempt that c came of.
func announcement(number int64, now time.Time, a *splitpin.Attempt, u *splitpin.User, c *splitpin.Credential, m Message) *splitpin.Message {
	return &splitpin.Message{
		Number: number, Project: u.Project, Attempt: a.ID.Number, Sequence: 1,
		Channel: m.Channel, To: u.Identifier, Template: m.Template, Locale: locale(a, u),
		User: u.Number, Credential: c.Number,
		CreatedAt: now, DueAt: now, ExpiresAt: now.Add(announcedFor),
	}
}

// announces fills in what an announcement tells: the address at which the credential can be
// taken back by whoever got the message, for as long as it lives, and what it is. Its error
// is ErrOver where it is gone already.
func (e *Engine) announces(ctx context.Context, m *splitpin.Message) (Told, error) {
	r, err := e.store.Load(ctx, splitpin.Reads{User: m.User, Credentials: true})
	if err != nil {
		return Told{}, fmt.Errorf("loading a credential: %w", err)
	}
	c := byNumber(r.Credentials, m.Credential)
	if c == nil {
		return Told{}, ErrOver
	}
	link, err := e.UndoLink(c)
	return Told{Link: link, Label: c.Label, Device: c.Device, Notice: true}, err
}

// UndoLink returns the address at which a credential can be taken back. Only the person
// who has it may be told.
func (e *Engine) UndoLink(c *splitpin.Credential) (splitpin.Secret, error) {
	token, err := e.undoToken(c)
	if err != nil {
		return "", err
	}
	return splitpin.Secret(strings.TrimSuffix(e.publicURL, "/") + UndoPath + token), nil
}

// An undo token is the key of the credential, its kind and number, the data key's
// generation, the number of the project, and a MAC over them.
const (
	undoSaid  = 32 + 1 + 8 + 4 + 8
	undoBytes = undoSaid + 16
)

var undoKinds = []splitpin.CredentialKind{splitpin.PasskeyCredential, splitpin.SocialCredential, splitpin.BrowserCredential, splitpin.RecoveryCredential}

func (e *Engine) undoToken(c *splitpin.Credential) (string, error) {
	b := make([]byte, 0, undoBytes)
	b = append(b, c.Key[:]...)
	for i, kind := range undoKinds {
		if kind == c.Kind {
			b = append(b, byte(i))
		}
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.Number))
	b = binary.BigEndian.AppendUint32(b, uint32(e.ring.Current(keyring.Codes)))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Project))
	mac, err := e.undoMAC(b)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(b, mac[:16]...)), nil
}

func (e *Engine) undoMAC(b []byte) ([32]byte, error) {
	mac, err := e.ring.MAC(keyring.Codes, int(binary.BigEndian.Uint32(b[41:45])), []byte("undo"), b[:undoSaid])
	if err != nil {
		return mac, fmt.Errorf("deriving a link to undo: %w", err)
	}
	return mac, nil
}

// An Undoable is a credential that somebody may take back.
type Undoable struct {
	Credential *splitpin.Credential
	User       *splitpin.User
}

// LookUndo returns what a token of a link would take back. It changes nothing. Its error
// is ErrUndo.
func (e *Engine) LookUndo(ctx context.Context, p *splitpin.Project, token string) (_ *Undoable, err error) {
	ctx, done := e.observe(ctx, "look_undo")
	defer func() { done(err) }()
	key, number, err := e.parseUndo(p, token)
	if err != nil {
		return nil, err
	}
	r, err := e.store.Load(ctx, splitpin.Reads{Credential: key, Credentials: true})
	if err != nil {
		return nil, fmt.Errorf("loading a credential: %w", err)
	}
	if !undoable(e.moment(), p, r, number) {
		return nil, ErrUndo
	}
	return &Undoable{r.Credential, r.User}, nil
}

// Undo takes back a credential by the token of the link that told of it, and ends every
// session of its user: that which added it is a stranger's, and nobody can tell which of
// them that was, or what else it opened. What was begun or
// proved before adds nothing any more. It may take the last: what the person never added is no way in for
// that person. Its error is ErrUndo.
func (e *Engine) Undo(ctx context.Context, p *splitpin.Project, token string, by Caller) (err error) {
	ctx, done := e.observe(ctx, "undo")
	defer func() { done(err) }()
	now := e.moment()
	key, number, err := e.parseUndo(p, token)
	if err != nil {
		return err
	}
	event, err := e.store.NextNumber(ctx)
	if err != nil {
		return fmt.Errorf("asking for a number: %w", err)
	}
	err = e.store.Change(ctx, splitpin.Reads{Credential: key, Credentials: true, Sessions: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
		if !undoable(now, p, r, number) {
			return splitpin.Writes{}, ErrUndo
		}
		w, err := e.without(event, now, r, r.Credential, 0, by, "credential_undone")
		for _, s := range r.Sessions {
			if s.RevokedAt.IsZero() {
				s.RevokedAt = now
				w.Put = append(w.Put, s)
			}
		}
		r.User.UndoneAt = now
		w.Put = append(w.Put, r.User)
		return w, err
	})
	if err != nil {
		return fmt.Errorf("taking a credential back: %w", err)
	}
	return nil
}

// undoable reports whether a link may still take back the credential that was loaded. The
// only passkey of somebody who must come with one, only for a while: whoever finds an old
// mail about it would need no passkey any more.
func undoable(now time.Time, p *splitpin.Project, r *splitpin.Records, number int64) bool {
	c, u := r.Credential, r.User
	if c == nil || u == nil || c.Number != number {
		return false
	}
	return c.Kind != splitpin.PasskeyCredential || !account.RequiresPasskey(p, u) || now.Sub(c.CreatedAt) <= account.LastPasskeyUndoFor ||
		account.CanDoWithout(now, p, u, c, r.Credentials, false)
}

func (e *Engine) parseUndo(p *splitpin.Project, token string) (key splitpin.CredentialKey, number int64, err error) {
	b, err := undoParts(token)
	if err != nil || undoProject(b) != p.Number {
		return key, 0, ErrUndo
	}
	mac, err := e.undoMAC(b)
	if err != nil || subtle.ConstantTimeCompare(mac[:16], b[undoSaid:]) != 1 {
		return key, 0, ErrUndo
	}
	return splitpin.CredentialKey{Project: p.Number, Kind: undoKinds[b[32]], Key: [32]byte(b[:32])},
		int64(binary.BigEndian.Uint64(b[33:41])), nil
}

func undoParts(token string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != undoBytes || int(b[32]) >= len(undoKinds) {
		return nil, ErrUndo
	}
	return b, nil
}

func undoProject(b []byte) int64 { return int64(binary.BigEndian.Uint64(b[45:undoSaid])) }

// UndoProject finds the project that a token of a link is of, by the token alone: the
// link is short, and leads to the one host of this server. Its error is ErrUndo.
func (e *Engine) UndoProject(token string) (*splitpin.Project, error) {
	b, err := undoParts(token)
	if err != nil {
		return nil, err
	}
	p, err := e.ProjectByNumber(undoProject(b))
	if err != nil {
		return nil, ErrUndo
	}
	if _, _, err := e.parseUndo(p, token); err != nil {
		return nil, err
	}
	return p, nil
}
