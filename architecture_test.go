package splitpin_test

import (
	"errors"
	"go/build"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/splitpin/splitpin"

// mayImport is the rule of this tree: which packages of ours each
// package may import, by its folder. A folder that ends in /... stands for all
// below it. What is not here may not exist: a new package gets its line, and with
// it somebody's thought.
var mayImport = map[string][]string{
	".":           {}, // the nouns
	"api":         {},
	"api/apitest": {"api"},
	"web/...":     {"web/..."},
	"client":      {},
	"sdk":         {"api"}, // tests only

	"keyring": {"."},
	"token":   {".", "keyring"},
	"phone":   {},
	"account": {".", "keyring", "phone"},
	"captcha": {"."},
	"signin":  {".", "account", "keyring", "phone", "token"},
	"project": {".", "account", "keyring", "phone", "signin", "signin/browser", "signin/code", "signin/passkey", "signin/social", "token"}, // it judges what codes, passkeys and providers a project may have

	"phone/internal/...": {"phone/internal/..."}, // makes its table

	"signin/browser":             {".", "signin"},
	"signin/code":                {".", "account", "phone", "signin"},
	"signin/link":                {".", "signin", "signin/code"}, // the same code, and a link
	"signin/passkey":             {".", "signin"},
	"signin/passkey/passkeytest": {},
	"signin/social":              {".", "account", "keyring", "signin"},
	"signin/social/socialtest":   {},
	"signin/signintest":          {".", "keyring", "project", "signin", "signin/code", "store/enginetest", "token"}, // a whole installation, for methods whose answers are fetched

	"store":                 {"."},
	"store/storetest":       {"."},
	"store/postgrestest":    {},
	"store/enginetest":      {"store", "store/postgrestest"},
	"outgoing":              {}, // any server of ours may ask others
	"delivery":              {".", "outgoing", "phone"},
	"delivery/deliverytest": {".", "delivery"},

	"telemetry": {".", "delivery", "server", "server/edge", "signin", "store", "token"}, // it hears of all of them, and none of them knows it

	"server/edge":   {".", "signin", "token"},
	"server/page":   {".", "server/edge", "signin", "signin/browser", "web"},
	"server/cotter": {".", "account", "server/edge", "server/page", "signin", "signin/browser", "signin/passkey", "token", "web"},
	"server":        {".", "account", "api", "delivery", "server/cotter", "server/edge", "server/page", "signin", "signin/passkey", "token", "web"},

	"doctor": {".", "api", "delivery", "keyring", "project", "signin", "store", "token"},

	"cmd/splitpin":      {"*"}, // the one that knows everybody
	"examples/go":       {"examples/go/shop"},
	"examples/go/shop":  {"client"},
	"e2e":               {"*"},
	"bench":             {"*"},
	"simulation":        {"*"}, // the whole server in the place of cmd/splitpin
	"docs/internal/...": {"*"},
}

// mayNotLink are packages that must not come along, not even by way of another:
// whoever imports the left one would carry the right ones into their program.
var mayNotLink = map[string][]string{
	"client":  {module + "/signin", module + "/store", "zombiezen.com/", "modernc.org/", "github.com/wneessen/"},
	"api":     {module},
	"signin":  {"net/http", "database/sql", "zombiezen.com/", "html/template"},
	"account": {"net/http", "database/sql", "zombiezen.com/"},
	"phone":   {"github.com/nyaruka/", "golang.org/x/text"}, // its table was made of them, and spares their start
}

func TestImportsPointOneWay(t *testing.T) {
	folders := map[string]*build.Package{}
	err := filepath.WalkDir(".", func(folder string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil || !d.IsDir():
			return err
		case name == "node_modules" || name == "testdata" || folder != "." && (name[0] == '.' || name[0] == '_'):
			return filepath.SkipDir
		}
		p, err := build.ImportDir(folder, 0)
		var none *build.NoGoError
		if errors.As(err, &none) && len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			return nil
		}
		folders[filepath.ToSlash(folder)] = p
		if none != nil {
			return nil // tests only
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < 15 {
		t.Fatalf("only %d packages were found", len(folders))
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		allowed, known := rule(folder)
		if !known {
			t.Errorf("package %s stands in no line of the table: say what it may import", folder)
			continue
		}
		for _, imported := range folders[folder].Imports {
			ours, isOurs := inModule(imported)
			switch {
			case !isOurs:
				if folder == "." && isForeign(imported) {
					t.Errorf("the nouns import %s; they may import the standard library only", imported)
				}
			case !slices.ContainsFunc(allowed, func(pattern string) bool { return covers(pattern, ours) }):
				t.Errorf("package %s imports %s, against the direction of imports", folder, ours)
			}
		}
	}
	for pattern := range mayImport {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(folders)), func(folder string) bool { return covers(pattern, folder) }) {
			t.Errorf("the table has a line for %s, which is not there", pattern)
		}
	}

	for folder, forbidden := range mayNotLink {
		seen := map[string]bool{}
		var visit func(folder string)
		visit = func(f string) {
			p := folders[f]
			if p == nil || seen[f] {
				return
			}
			seen[f] = true
			for _, imported := range p.Imports {
				for _, bad := range forbidden {
					if imported == bad || strings.HasPrefix(imported, strings.TrimSuffix(bad, "/")+"/") {
						t.Errorf("package %s pulls in %s, by way of %s", folder, imported, f)
					}
				}
				if ours, ok := inModule(imported); ok {
					visit(ours)
				}
			}
		}
		visit(folder)
	}
}

func inModule(imported string) (folder string, ok bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// isForeign reports whether an import path is outside the standard library,
// whose paths have no dot in their first part.
func isForeign(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".")
}

func covers(pattern, folder string) bool {
	root, all := strings.CutSuffix(pattern, "/...")
	return pattern == "*" || pattern == folder || all && (folder == root || strings.HasPrefix(folder, root+"/"))
}

func rule(folder string) (allowed []string, known bool) {
	if allowed, known = mayImport[folder]; known {
		return allowed, true
	}
	for pattern, allowed := range mayImport {
		if pattern != "*" && covers(pattern, folder) {
			return allowed, true
		}
	}
	return nil, false
}
