package api

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// asJSON holds what is appended against encoding/json.
func asJSON(t *testing.T, v interface{ AppendJSON([]byte) []byte }) {
	t.Helper()
	want, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.AppendJSON([]byte("before ")); string(got) != "before "+string(want) {
		t.Errorf("%T\n got %s\nwant %s", v, got, want)
	}
}

// fill returns a T with something in every field but those that are named. A field of a
// kind that is not known here fails the test, so that a new one is thought of.
func fill[T any](t *testing.T, empty string) T {
	t.Helper()
	var filled T
	v := reflect.ValueOf(&filled).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == empty {
			continue
		}
		switch f := v.Field(i).Addr().Interface().(type) {
		case *string:
			*f = "text of " + name
		case *int:
			*f = 3600
		case *bool:
			*f = true
		case *time.Time:
			*f = time.Date(2026, 3, 1, 12, 0, i, 120_000, time.UTC)
		case **User:
			u := fill[User](t, "")
			*f = &u
		default:
			t.Fatalf("%s is of a type that this test does not know", name)
		}
	}
	return filled
}

func TestAppendJSON(t *testing.T) {
	asJSON(t, User{})
	asJSON(t, Tokens{})
	for _, empty := range append(fields(User{}), "") {
		asJSON(t, fill[User](t, empty))
	}
	for _, empty := range append(fields(Tokens{}), "") {
		asJSON(t, fill[Tokens](t, empty))
	}
}

func fields(v any) (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		names = append(names, f.Name)
	}
	return names
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("ada@example.org", int64(1772366400), int64(123_456_000), 3600)
	for _, c := range []string{"", "<", ">", "&", "\"", "\\", "/", "\x00", "\x1f", "\x7f", "\x80", "\xff", "\u2028", "\ufffd", "é", "😀"} {
		f.Add("a"+c+"b", int64(0), int64(0), -1)
	}
	f.Fuzz(func(t *testing.T, text string, seconds, nanos int64, number int) {
		at := time.Unix(seconds%(1<<37), nanos).UTC() // encoding/json refuses years of five digits
		if at.Year() < 0 || at.Year() > 9999 {
			t.Skip()
		}
		u := User{ID: text, Identifier: text, Kind: text, ClientUserID: text, Locale: text, CreatedAt: at, UpdatedAt: at}
		asJSON(t, u)
		asJSON(t, Tokens{AccessToken: text, IDToken: text, RefreshToken: text, ExpiresIn: number, TokenType: text, AuthMethod: text, User: &u})
	})
}
