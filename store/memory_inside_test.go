package store

import (
	"reflect"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/storetest"
)

// Whoever gets a record from a Memory may alter every part of it: a noun that
// grows a slice or a map must be copied deeper.
func TestMemoryCopiesAll(t *testing.T) {
	copiesAll[splitpin.Project](t)
	copiesAll[splitpin.DataKey](t)
	copiesAll[splitpin.SigningKey](t)
	copiesAll[splitpin.User](t)
	copiesAll[splitpin.Attempt](t)
	copiesAll[splitpin.Grant](t)
	copiesAll[splitpin.Guesses](t)
	copiesAll[splitpin.Session](t)
	copiesAll[splitpin.Credential](t)
	copiesAll[splitpin.Message](t)
	copiesAll[splitpin.AuditEvent](t)
}

func copiesAll[R any](t *testing.T) {
	t.Helper()
	r := storetest.Fill(new(R), 1)
	c := copied(r)
	if !reflect.DeepEqual(r, c) {
		t.Errorf("a copied %T differs: %+v, want %+v", r, c, r)
	}
	sharesNothing(t, reflect.TypeFor[R]().Name(), reflect.ValueOf(r).Elem(), reflect.ValueOf(c).Elem())
}

func sharesNothing(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		if a.Type().String() != "*time.Location" && a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared with the copy", path)
		}
	}
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			sharesNothing(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	case reflect.Slice, reflect.Array:
		for i := range a.Len() {
			sharesNothing(t, path+"[]", a.Index(i), b.Index(i))
		}
	case reflect.Map:
		for _, key := range a.MapKeys() {
			sharesNothing(t, path+"[]", a.MapIndex(key), b.MapIndex(key))
		}
	}
}
