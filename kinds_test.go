package splitpin_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Who asks the audit log for a kind of event finds it in the page about running a server.
func TestKindsOfEventsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("docs/operate/running.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(page), "Kinds are\n")
	list, _, ends := strings.Cut(list, "A kind that does not exist")
	if !found || !ends {
		t.Fatal("docs/operate/running.md has no list of kinds")
	}
	// How an event is made, in one line, and what those of a recovery are called.
	made := regexp.MustCompile(`(?:[aA]udit|audited|noted|[eE]vent|without)\([^"]*"([a-z]+_[a-z_]+)"|AuditEvent\{.*Kind: +"([a-z_]+)"|\bkind :?= "([a-z]+_[a-z]+[a-z])"`)
	seen := map[string]bool{}
	for _, folder := range []string{"account", "cmd", "delivery", "keyring", "project", "signin", "token"} {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range made.FindAllStringSubmatch(string(source), -1) {
				kind := m[1] + m[2] + m[3]
				seen[kind] = true
				if !strings.Contains(list, "`"+kind+"`") {
					t.Errorf("docs/operate/running.md: %s, made in %s, is missing among the kinds", kind, path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d kinds found: does this test still see them?", len(seen))
	}
}
