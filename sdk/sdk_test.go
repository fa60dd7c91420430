// Package sdk_test holds the TypeScript library against what it speaks for: the
// API description, the error codes, its documentation, and the package as npm
// makes it. How the library behaves is tested in test/, by node's own runner, and
// in a real browser in e2e.
package sdk_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/splitpin/splitpin/api"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// union returns the string literals of a union type of errors.ts.
func union(t *testing.T, name string) []string {
	t.Helper()
	m := regexp.MustCompile(`(?s)export type ` + name + ` =\n(.*?\n)\n`).FindStringSubmatch(read(t, "src/errors.ts"))
	if m == nil {
		t.Fatalf("errors.ts has no type %s", name)
	}
	var codes []string
	for _, c := range regexp.MustCompile(`(?m)^  \| "(\w+)"`).FindAllStringSubmatch(m[1], -1) {
		codes = append(codes, c[1])
	}
	if !slices.IsSorted(codes) {
		t.Errorf("%s is not in order", name)
	}
	return codes
}

// table returns the codes in the first column of a part of a document, with the
// rest of their rows.
func table(text string) map[string]string {
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|(.*)$").FindAllStringSubmatch(text, -1) {
		rows[m[1]] = m[2]
	}
	return rows
}

func differ(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("%s: %s is one too many", what, g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%s: %s is missing", what, w)
		}
	}
}

// The codes that the library knows are those that /v1 can answer with.
func TestServerCodes(t *testing.T) {
	ofV1, _, found := strings.Cut(read(t, "../docs/errors.md"), "\n## Elsewhere")
	if !found {
		t.Fatal("docs/errors.md has no part for what is not of /v1")
	}
	var want []string
	for code, row := range table(ofV1) {
		if !strings.Contains(row, "Cotter's API only") {
			want = append(want, code)
		}
	}
	if len(want) < 25 {
		t.Fatalf("only %d codes found: does this test still see them?", len(want))
	}
	// For backends, which this library is not for.
	want = slices.DeleteFunc(want, func(code string) bool { return code == "user_exists" || code == "invalid_claims" })
	differ(t, "ServerCode of errors.ts", union(t, "ServerCode"), want)
}

// Its own codes stand in its page.
func TestLocalCodes(t *testing.T) {
	differ(t, "the table of docs/sdk.md", slices.Collect(maps.Keys(table(read(t, "../docs/sdk.md")))), union(t, "LocalCode"))
}

// Every interface of shapes.ts is the schema of that name.
func TestShapes(t *testing.T) {
	var description struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(api.Description, &description); err != nil {
		t.Fatal(err)
	}
	interfaces := regexp.MustCompile(`(?ms)^export interface (\w+) \{\n(.*?)^\}`).FindAllStringSubmatch(read(t, "src/shapes.ts"), -1)
	if len(interfaces) < 8 {
		t.Fatalf("only %d interfaces found: does this test still see them?", len(interfaces))
	}
	for _, m := range interfaces {
		schema, ok := description.Components.Schemas[m[1]]
		if !ok {
			t.Errorf("shapes.ts has %s, which is no schema", m[1])
			continue
		}
		var got, want []string
		for _, field := range regexp.MustCompile(`(?m)^  (\w+\??):`).FindAllStringSubmatch(m[2], -1) {
			got = append(got, field[1])
		}
		for field := range schema.Properties {
			if !slices.Contains(schema.Required, field) {
				field += "?"
			}
			want = append(want, field)
		}
		differ(t, m[1]+" of shapes.ts", got, want)
	}
}

// What Problem carries reaches SplitpinError.
func TestProblemIsReadWhole(t *testing.T) {
	var description struct {
		Components struct {
			Schemas struct {
				Problem struct{ Properties map[string]any }
			}
		}
	}
	if err := yaml.Unmarshal(api.Description, &description); err != nil {
		t.Fatal(err)
	}
	source := read(t, filepath.Join("src", "call.ts"))
	for field := range description.Components.Schemas.Problem.Properties {
		switch field {
		case "type", "title", "status": // the code and the answer itself say as much
			continue
		}
		if !strings.Contains(source, "answer?."+field+")") {
			t.Errorf("call.ts does not read %s of a problem", field)
		}
	}
}
