package store

import (
	"fmt"
	"time"

	"github.com/splitpin/splitpin"
)

// columns visits the columns of one record in the order of its table. One
// implementation binds parameters, another scans results; so a field that is
// saved is also loaded, and from the same column.
//
// Zero values are stored as 0 or as an empty text or blob, never as NULL.
type columns interface {
	Int64(*int64)
	Int(*int) // 32 bits
	Int8(*int8)
	Uint32(*uint32)
	Bool(*bool)
	Text(*string)    // see splitpin.IsText
	Bytes(*[]byte)   // an empty slice comes back as nil
	Fixed([]byte)    // filled in place; all zeros are stored as an empty blob
	Time(*time.Time) // whole microseconds; comes back in UTC
	JSON(any)        // a pointer to what is encoded
}

// checkText refuses what not every engine could keep as it is.
func checkText(s string) error {
	if !splitpin.IsText(s) {
		return splitpin.ErrText
	}
	return nil
}

func checkInt(n int) error {
	if int(int32(n)) != n {
		return fmt.Errorf("%d does not fit a column of 32 bits", n)
	}
	return nil
}

func projectColumns(p *splitpin.Project, c columns) {
	c.Int64(&p.Number)
	c.Text(&p.ID)
	c.Bool(&p.Default)
	c.JSON(&p.Settings)
	c.JSON(&p.Secrets)
	c.Time(&p.CreatedAt)
	c.Time(&p.UpdatedAt)
}

func dataKeyColumns(k *splitpin.DataKey, c columns) {
	c.Text(&k.Purpose)
	c.Int(&k.Generation)
	c.Bytes(&k.Wrapped)
	c.Time(&k.CreatedAt)
}

func signingKeyColumns(k *splitpin.SigningKey, c columns) {
	c.Int64(&k.Number)
	c.Int64(&k.Project)
	c.Text((*string)(&k.Use))
	c.Text(&k.KID)
	c.Bytes(&k.Public)
	c.Bytes(&k.Wrapped)
	c.Int(&k.Generation)
	c.Time(&k.AnnouncedAt)
	c.Time(&k.ActiveAt)
	c.Time(&k.RetiringAt)
	c.Time(&k.GoneAt)
}

func userColumns(u *splitpin.User, c columns) {
	c.Int64(&u.Number)
	c.Fixed(u.ID[:])
	c.Int64(&u.Project)
	c.Text(&u.Identifier)
	c.Int8((*int8)(&u.Kind))
	c.Time(&u.ProvedAt)
	c.Text(&u.ClientUserID)
	c.Text(&u.Locale)
	c.Time(&u.CreatedAt)
	c.Time(&u.UpdatedAt)
	c.Bool(&u.PasskeyRequired)
	c.Time(&u.SeenAt)
	c.Time(&u.UndoneAt)
}

func attemptColumns(a *splitpin.Attempt, c columns) {
	c.Int64(&a.ID.Number)
	c.Fixed(a.ID.Nonce[:])
	c.Int64(&a.Project)
	c.Text((*string)(&a.Purpose))
	c.Text(&a.Method)
	c.Text(&a.Identifier)
	c.Int8((*int8)(&a.Kind))
	c.Fixed(a.Starter[:])
	c.Fixed(a.Challenge[:])
	c.Text(&a.Destination)
	c.Text(&a.Origin)
	c.Text(&a.FormID)
	c.Bytes(&a.Data)
	c.Int(&a.KeyGeneration)
	c.Int(&a.Tries)
	c.Int(&a.MaxTries)
	c.Int(&a.Sends)
	c.Time(&a.NextSendAt)
	c.Text(&a.Device)
	c.Text(&a.Network)
	c.Text(&a.Locale)
	c.Time(&a.CreatedAt)
	c.Time(&a.ExpiresAt)
	c.Time(&a.ProvedAt)
	c.Time(&a.DeniedAt)
	c.Time(&a.CollectedAt)
	c.Int64(&a.User)
	c.Int64(&a.For)
	c.Int64(&a.Session)
	c.Int64(&a.Parent)
	c.Text(&a.ClientState)
	c.Bytes(&a.ClientData)
	c.Bytes(&a.Pending)
	c.Int(&a.LinkTries)
	c.Int((*int)(&a.LinkOpens))
	c.Int64(&a.Credential)
	c.Text((*string)(&a.Link))
	c.Fixed(a.Whose[:])
}

func grantColumns(g *splitpin.Grant, c columns) {
	c.Int64(&g.Number)
	c.Fixed(g.Hash[:])
	c.Int64(&g.Attempt)
	c.Int64(&g.Project)
	c.Int64(&g.User)
	c.Fixed(g.Challenge[:])
	c.Text(&g.Destination)
	c.Text(&g.Origin)
	c.Time(&g.CreatedAt)
	c.Time(&g.ExpiresAt)
	c.Time(&g.SpentAt)
	c.Int64(&g.Session)
}

func guessesColumns(g *splitpin.Guesses, c columns) {
	c.Int64(&g.Key)
	c.Int64(&g.Day)
	c.Fixed(g.Wrong[:])
}

func sessionColumns(s *splitpin.Session, c columns) {
	c.Int64(&s.Number)
	c.Int64(&s.Project)
	c.Int64(&s.User)
	c.Fixed(s.Salt[:])
	c.Int(&s.KeyGeneration)
	c.Uint32(&s.Counter)
	c.Uint32(&s.Older.Counter)
	c.Time(&s.Older.At)
	c.Uint32(&s.Newer.Counter)
	c.Time(&s.Newer.At)
	c.Bool(&s.Static)
	c.Text(&s.AuthMethod)
	c.Time(&s.AuthAt)
	c.Text(&s.Device)
	c.Text(&s.Network)
	c.Text(&s.Origin)
	c.Time(&s.CreatedAt)
	c.Time(&s.UsedAt)
	c.Time(&s.IdleUntil)
	c.Time(&s.ExpiresAt)
	c.Time(&s.RevokedAt)
	c.Int64(&s.Credential)
	c.Text(&s.Claims)
	c.Time(&s.ExchangedAt)
	c.Int64(&s.Proof)
}

func messageColumns(m *splitpin.Message, c columns) {
	c.Int64(&m.Number)
	c.Int64(&m.Project)
	c.Int64(&m.Attempt)
	c.Int(&m.Sequence)
	c.Text((*string)(&m.Channel))
	c.Text(&m.To)
	c.Text(&m.Template)
	c.Text(&m.Locale)
	c.Time(&m.CreatedAt)
	c.Time(&m.ExpiresAt)
	c.Int(&m.Tries)
	c.Time(&m.DueAt)
	c.Time(&m.SentAt)
	c.Time(&m.GivenUpAt)
	c.Text(&m.Reason)
	c.Text((*string)(&m.Fallback))
	c.Int64(&m.Cost)
	c.Time(&m.ReportedAt)
	c.Text(&m.Report)
	c.Int64(&m.User)
	c.Int64(&m.Credential)
}

func credentialColumns(k *splitpin.Credential, c columns) {
	c.Int64(&k.Number)
	c.Int64(&k.Project)
	c.Int64(&k.User)
	c.Text((*string)(&k.Kind))
	c.Fixed(k.Key[:])
	c.Bytes(&k.Data)
	c.Bytes(&k.Sealed)
	c.Int(&k.KeyGeneration)
	c.Text(&k.Label)
	c.Text(&k.Site)
	c.Text(&k.Device)
	c.Int64(&k.Session)
	c.Int64(&k.Proof)
	c.Time(&k.CreatedAt)
	c.Time(&k.UsedAt)
	c.Time(&k.ExpiresAt)
}

func auditEventColumns(e *splitpin.AuditEvent, c columns) {
	c.Int64(&e.Number)
	c.Int64(&e.Project)
	c.Time(&e.At)
	c.Text(&e.Kind)
	c.Fixed(e.Subject[:])
	c.Int64(&e.User)
	c.Int64(&e.Attempt)
	c.Int64(&e.Session)
	c.Text(&e.Network)
	c.Text(&e.Detail)
}
