package storetest

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"time"

	"github.com/splitpin/splitpin"
)

// Now is the moment around which the fixtures live.
var Now = time.Date(2026, time.March, 14, 15, 9, 26, 535_897_000, time.UTC)

// Fill sets every field of the struct that record points to, and of what is
// inside it, to a value that is not zero. seed makes the values differ between
// records, and they differ between the fields of one: two columns that were
// swapped do not go unnoticed. New fields of a noun are filled without anybody
// thinking of it. It panics for a type of field that it does not know.
func Fill[R any](record *R, seed int64) *R {
	f := filler{next: seed * 1000}
	f.fill(reflect.ValueOf(record).Elem())
	return record
}

type filler struct{ next int64 }

func (f *filler) fill(v reflect.Value) {
	f.next++
	n := f.next
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(Now.Add(time.Duration(n) * 1_000_001 * time.Microsecond)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprintf("%d: prüfe ' \" %% 漢字", n))
	case reflect.Int8:
		v.SetInt(n%100 + 1)
	case reflect.Int:
		v.SetInt(1<<20 + n)
	case reflect.Int64: // more than a float or 32 bits can hold
		v.SetInt(1<<53 + n)
	case reflect.Uint8:
		v.SetUint(uint64(n%255 + 1))
	case reflect.Uint32: // more than 31 bits
		v.SetUint(1<<31 + uint64(n))
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	default:
		panic(fmt.Sprintf("storetest does not know how to fill a %s", v.Type()))
	}
}

// The fixtures below set every field with Fill, and then those by which records
// find each other. number comes from Store.NextNumber.

// Project returns a project whose ID is made of its number.
func Project(number int64) *splitpin.Project {
	p := Fill(new(splitpin.Project), number)
	p.Number, p.ID = number, fmt.Sprintf("project-%028d", number)
	return p
}

// DataKey returns a data key.
func DataKey(purpose string, generation int) *splitpin.DataKey {
	k := Fill(new(splitpin.DataKey), int64(generation))
	k.Purpose, k.Generation = purpose, generation
	return k
}

// SigningKey returns a key that is gone, as every field is set.
func SigningKey(number, project int64) *splitpin.SigningKey {
	k := Fill(new(splitpin.SigningKey), number)
	k.Number, k.Project = number, project
	return k
}

// User returns a user whose identifier and ids are made of its number.
func User(number, project int64) *splitpin.User {
	u := Fill(new(splitpin.User), number)
	u.Number, u.Project = number, project
	binary.BigEndian.PutUint64(u.ID[:], uint64(number)) // Fill repeats itself
	u.Identifier = fmt.Sprintf("person-%d@example.com", number)
	u.ClientUserID = fmt.Sprintf("client-%d", number)
	return u
}

// Attempt returns an attempt for the user's identifier, proved, denied and
// collected.
func Attempt(number int64, u *splitpin.User) *splitpin.Attempt {
	a := Fill(new(splitpin.Attempt), number)
	a.ID.Number, a.Project, a.Identifier, a.User = number, u.Project, u.Identifier, u.Number
	return a
}

// Grant returns a spent grant of an attempt, for a user.
func Grant(number int64, a *splitpin.Attempt, u *splitpin.User) *splitpin.Grant {
	g := Fill(new(splitpin.Grant), number)
	g.Number, g.Project, g.Attempt, g.User = number, a.Project, a.ID.Number, u.Number
	return g
}

// Guesses returns the guesses for the user's identifier.
func Guesses(u *splitpin.User) *splitpin.Guesses {
	g := Fill(new(splitpin.Guesses), u.Number)
	g.Key = splitpin.GuessesKey(u.Project, u.Identifier)
	return g
}

// Session returns a revoked session of a user.
func Session(number int64, u *splitpin.User) *splitpin.Session {
	s := Fill(new(splitpin.Session), number)
	s.Number, s.Project, s.User = number, u.Project, u.Number
	return s
}

// LiveSession returns a session of a user that lives for a day from Now.
func LiveSession(number int64, u *splitpin.User) *splitpin.Session {
	s := Session(number, u)
	s.RevokedAt = time.Time{}
	s.IdleUntil, s.ExpiresAt = Now.Add(24*time.Hour), Now.Add(24*time.Hour)
	return s
}

// Credential returns a credential of a user that expires after Now. Its key is made of
// its number.
func Credential(number int64, u *splitpin.User) *splitpin.Credential {
	c := Fill(new(splitpin.Credential), number)
	c.Number, c.Project, c.User = number, u.Project, u.Number
	binary.BigEndian.PutUint64(c.Key[:], uint64(number))
	return c
}

// CredentialKey returns what a credential is found by.
func CredentialKey(c *splitpin.Credential) splitpin.CredentialKey {
	return splitpin.CredentialKey{Project: c.Project, Kind: c.Kind, Key: c.Key}
}

// Message returns a message of an attempt, sent and given up.
func Message(number int64, a *splitpin.Attempt) *splitpin.Message {
	m := Fill(new(splitpin.Message), number)
	m.Number, m.Project, m.Attempt, m.To = number, a.Project, a.ID.Number, a.Identifier
	return m
}

// DueMessage returns a message of an attempt that waits to be sent at due and
// expires an hour later.
func DueMessage(number int64, a *splitpin.Attempt, due time.Time) *splitpin.Message {
	m := Message(number, a)
	m.DueAt, m.ExpiresAt = due, due.Add(time.Hour)
	m.SentAt, m.GivenUpAt, m.Tries = time.Time{}, time.Time{}, 0
	return m
}

// AuditEvent returns an event about a user.
func AuditEvent(number int64, u *splitpin.User) *splitpin.AuditEvent {
	e := Fill(new(splitpin.AuditEvent), number)
	e.Number, e.Project, e.User = number, u.Project, u.Number
	return e
}
