package table

import (
	"os"
	"testing"
)

// The committed tables are those that go generate makes.
func TestTablesAreCurrent(t *testing.T) {
	files, err := Files("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s differs from what go generate makes; run it in folder phone", name)
		}
	}
}
