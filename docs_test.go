package splitpin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// These tests hold the documents against the tree, so that nobody has to
// remember to.

// files lists the files of the tree with a suffix, without what is fetched or
// built.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "bin" || d.Name() == "testdata" || len(path) > 1 && d.Name()[0] == '.'):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, suffix):
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// firstColumn returns what stands between backquotes in the first cell of each
// row of a document's tables, with the cells after it.
func firstColumn(t *testing.T, path string) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	for line := range strings.Lines(read(t, path)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.TrimSpace(cells[0]) != "" {
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			if rows[name[1]] != nil {
				t.Errorf("%s lists %s twice", path, name[1])
			}
			rows[name[1]] = cells[2:]
		}
	}
	return rows
}

// differ reports what one side has and the other lacks.
func differ[A, B any](t *testing.T, what string, inTree map[string]A, document string, listed map[string]B) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(inTree)) {
		if _, ok := listed[name]; !ok {
			t.Errorf("%s %s is missing in %s", what, name, document)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if _, ok := inTree[name]; !ok {
			t.Errorf("%s names the %s %s, which is not there", document, what, name)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	fence := regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```")
	checked := 0
	for _, path := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, path), ""), -1) {
			target, err := url.Parse(m[1] + m[2])
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if target.Scheme != "" {
				continue
			}
			checked++
			file := path
			if target.Path != "" {
				file = filepath.Join(filepath.Dir(path), filepath.FromSlash(target.Path))
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which is not there", path, target.Path)
			} else if target.Fragment != "" && !anchors(t, file)[target.Fragment] {
				t.Errorf("%s links to #%s of %s, which is no heading there", path, target.Fragment, file)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links found: does this test still see them?", checked)
	}
}

// anchors returns what can follow # in a link to a document: its headings, in
// lower case, with hyphens for spaces and without punctuation.
func anchors(t *testing.T, path string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(read(t, path), -1) {
		plain := regexp.MustCompile(`[^\p{L}\p{N}\- _]`).ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return found
}

// TestErrorCodes holds docs/errors.md against every Error that the program
// declares: its code, and the status that its kind becomes.
func TestErrorCodes(t *testing.T) {
	statuses := map[string]int{"Internal": 500, "Invalid": 400, "Unauthenticated": 401, "Forbidden": 403,
		"NotFound": 404, "Conflict": 409, "TooMany": 429, "Unavailable": 503}
	special := map[string]int{"too_large": 413, "unsupported_media_type": 415, "misdirected": 421, "http_method": 405, "method_not_allowed": 405}

	declared := map[string]int{}
	for _, path := range files(t, ".go") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || !isError(file.Name.Name, literal.Type) {
				return true
			}
			var code, kind string
			for _, element := range literal.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					t.Errorf("%s: an Error without field names", path)
					continue
				}
				switch fmt.Sprint(pair.Key) {
				case "Code":
					text, ok := pair.Value.(*ast.BasicLit)
					if !ok {
						t.Errorf("%s: a code that is not written out", path)
						continue
					}
					code, _ = strconv.Unquote(text.Value)
				case "Kind":
					switch v := pair.Value.(type) {
					case *ast.SelectorExpr:
						kind = v.Sel.Name
					case *ast.Ident:
						kind = v.Name
					}
				}
			}
			status := statuses[kind]
			if special[code] != 0 {
				status = special[code]
			}
			if code == "" || status == 0 {
				t.Errorf("%s: an Error with code %q and kind %q", path, code, kind)
			}
			if other := declared[code]; other != 0 && other != status {
				t.Errorf("the code %s stands for both %d and %d", code, other, status)
			}
			declared[code] = status
			return true
		})
	}
	if len(declared) < 25 {
		t.Fatalf("only %d codes found: does this test still see them?", len(declared))
	}
	listed := firstColumn(t, "docs/errors.md")
	differ(t, "error code", declared, "docs/errors.md", listed)
	for code, cells := range listed {
		if got, want := strings.TrimSpace(cells[0]), strconv.Itoa(declared[code]); declared[code] != 0 && got != want {
			t.Errorf("docs/errors.md gives %s the status %s; it is %s", code, got, want)
		}
	}
}

func isError(pkg string, expr ast.Expr) bool {
	switch e := expr.(type) {
	case *ast.SelectorExpr:
		return fmt.Sprint(e.X) == "splitpin" && e.Sel.Name == "Error"
	case *ast.Ident:
		return pkg == "splitpin" && e.Name == "Error"
	}
	return false
}

// TestWhatPeopleRead holds the words that docs/methods.md puts in quotes against the
// texts of the pages and the errors: people must find there what they read.
func TestWhatPeopleRead(t *testing.T) {
	const page, heading = "docs/methods.md", "## What people read"
	var texts map[string]string
	if err := json.Unmarshal([]byte(read(t, "web/text/en.json")), &texts); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for _, text := range texts {
		said.WriteString(text + "\n")
	}
	for _, path := range files(t, ".go") {
		if !strings.HasSuffix(path, "_test.go") {
			said.WriteString(read(t, path))
		}
	}
	_, table, found := strings.Cut(read(t, page), heading)
	if !found {
		t.Fatalf("%s has no %q", page, heading)
	}
	quotes := regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(table, -1)
	if len(quotes) < 25 {
		t.Errorf("only %d quotes found in %s: does this test still see them?", len(quotes), page)
	}
	for _, q := range quotes {
		if !strings.Contains(said.String(), q[1]) {
			t.Errorf("%s says that people read %q, which nothing says", page, q[1])
		}
	}
	for _, code := range regexp.MustCompile(`(?m)^\|.*\| ([^|]+) \|$`).FindAllStringSubmatch(table, -1) {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(code[1], -1) {
			if name[1] != "code" && !strings.Contains(said.String(), `"`+name[1]+`"`) {
				t.Errorf("%s names the code %s, which is none", page, name[1])
			}
		}
	}
}

// TestMap holds the map of the tree in README.md against the tree.
func TestMap(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]bool{".": true}
	for _, e := range entries {
		if inside, _ := filepath.Glob(e.Name() + "/*"); e.IsDir() && e.Name()[0] != '.' && e.Name() != "bin" && e.Name() != "splitpin-data" && len(inside) > 0 {
			folders[e.Name()+"/"] = true
		}
	}
	_, after, found := strings.Cut(read(t, "README.md"), "## The map of the tree")
	if !found {
		t.Fatal("README.md has no map")
	}
	table, _, _ := strings.Cut(after, "\n## ")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(table, -1) {
		listed[m[1]] = true
	}
	differ(t, "folder", folders, "README.md", listed)
}

// TestDecisions holds the index of the decisions against the decisions, and its
// list of dependencies against what the code imports.
func TestDecisions(t *testing.T) {
	const index = "docs/decisions/README.md"
	text := read(t, index)
	for _, path := range files(t, ".md") {
		if dir, name := filepath.Split(path); dir == "docs/decisions/" && name != "README.md" && !strings.Contains(text, "("+name+")") {
			t.Errorf("%s does not list %s", index, name)
		}
	}

	var modules []string
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+\.\S+/\S+) v\S+`).FindAllStringSubmatch(read(t, "go.mod"), -1) {
		modules = append(modules, m[1])
	}
	// The longest path wins: a module may lie below another.
	slices.SortFunc(modules, func(a, b string) int { return len(b) - len(a) })
	imported := map[string]bool{}
	for _, path := range files(t, ".go") {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			for _, m := range modules {
				if name == m || strings.HasPrefix(name, m+"/") {
					imported[m] = true
					break
				}
			}
		}
	}
	listed := firstColumn(t, index)
	maps.DeleteFunc(listed, func(name string, _ []string) bool { return !strings.Contains(name, "/") }) // npm and Python packages
	differ(t, "dependency", imported, index, listed)
}

// TestCotterRows holds the tables of proofs against the contract, and against the tests:
// which pages of Cotter's documentation a client for the web, for Node or curl can show
// (section 16), the scenarios with the web SDK (17.1), and the weaknesses of the original
// design (13).
func TestCotterRows(t *testing.T) {
	section := func(path, from string) string {
		_, section, ok := strings.Cut(read(t, path), "\n"+from)
		if !ok {
			t.Fatalf("%s has no section %q", path, from)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		return section
	}
	rows := func(path, from string) map[string]string {
		found := map[string]string{}
		for line := range strings.Lines(section(path, from)) {
			if cells := strings.Split(line, " | "); len(cells) == 3 && strings.HasPrefix(line, "| ") {
				if first := strings.TrimPrefix(cells[0], "| "); strings.Trim(first, "-") != "" {
					found[first] = cells[2]
				}
			}
		}
		return found
	}
	const contract, page = "docs/cotter-contract.md", "docs/cotter.md"
	pages := rows(contract, "## 16. ")
	maps.DeleteFunc(pages, func(_, proof string) bool {
		return !regexp.MustCompile(`(^|[ ,])(W|L|R|N|C)\b`).MatchString(proof)
	})
	scenarios := map[string]string{}
	_, list, _ := strings.Cut(section(contract, "## 17. "), "Scenarios that must stay green: ")
	list, _, _ = strings.Cut(list, ".\n")
	for name := range strings.SplitSeq(list, ", ") {
		scenarios[name] = ""
	}
	weaknesses := rows(contract, "## 13. ")
	delete(weaknesses, "#")

	tests := map[string]bool{}
	for _, path := range files(t, "_test.go") {
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllStringSubmatch(read(t, path), -1) {
			tests[m[1]] = true
		}
	}
	for _, table := range []struct {
		what, section, head string
		rows                map[string]string
		atLeast             int
	}{
		{"page of the documentation", "## What proves it", "Page of the documentation", pages, 25},
		{"scenario", "## Scenarios with the web SDK", "Scenario", scenarios, 19},
		{"weakness", "## Weaknesses of the original", "#", weaknesses, 26},
	} {
		if len(table.rows) < table.atLeast {
			t.Fatalf("only %d of each %s were found in the contract", len(table.rows), table.what)
		}
		listed := rows(page, table.section)
		delete(listed, table.head)
		differ(t, table.what+" of the contract", table.rows, page, listed)
		for row := range listed {
			named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(listed[row], -1)
			if len(named) == 0 && !strings.Contains(line(t, section(page, table.section), row), "not there yet") {
				t.Errorf("%s names no test for %q, and does not say that it is not there yet", page, row)
			}
			for _, m := range named {
				if !tests[m[1]] {
					t.Errorf("%s names %s for %q, which is no test", page, m[1], row)
				}
			}
		}
	}
}

// line returns the row of a table that begins with a cell.
func line(t *testing.T, table, cell string) string {
	t.Helper()
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| "+cell+" | ") {
			return line
		}
	}
	t.Fatalf("no row begins with %q", cell)
	return ""
}

// What the documents tell somebody to make is there, and so is what continuous
// integration runs.
func TestMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile("`make ([a-z]+)`|(?m:^(?:exec )?make ([a-z]+)(?:$| +#| +&&| +[A-Z]))")
	found := 0
	for _, path := range append(files(t, ".md"), ".ci/run") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range said.FindAllSubmatch(text, -1) {
			found++
			target := string(m[1]) + string(m[2])
			if !regexp.MustCompile(`(?m)^` + target + `:`).Match(makefile) {
				t.Errorf("%s says make %s, and the Makefile has no such target", path, target)
			}
		}
	}
	if found < 15 {
		t.Errorf("found only %d mentions of make", found)
	}
}

// TestBothEngines holds what the Makefile runs on PostgreSQL against the packages whose
// tests open their store by store/enginetest, themselves or by another package. Those of
// package store run on both engines by themselves.
func TestBothEngines(t *testing.T) {
	run := regexp.MustCompile(`TEST_ENGINE=postgres \$\(GO\) test ([^\n]+)`).FindStringSubmatch(read(t, "Makefile"))
	if run == nil {
		t.Fatal("the Makefile runs nothing with TEST_ENGINE=postgres")
	}
	folders := map[string]bool{}
	for _, path := range files(t, ".go") {
		folders[filepath.Dir(path)] = true
	}
	packages := map[string]*build.Package{}
	for folder := range folders {
		p, err := build.ImportDir(folder, 0)
		if none := (*build.NoGoError)(nil); err != nil && !errors.As(err, &none) {
			t.Fatal(err)
		}
		packages[folder] = p
	}
	opens := func(imports []string) bool { return slices.Contains(imports, module+"/store/enginetest") }
	used := 0
	for _, folder := range slices.Sorted(maps.Keys(packages)) {
		tests := slices.Concat(packages[folder].TestImports, packages[folder].XTestImports)
		if folder == "store" || !slices.ContainsFunc(tests, func(path string) bool {
			ours, ok := inModule(path)
			return opens([]string{path}) || ok && opens(packages[ours].Imports)
		}) {
			continue
		}
		used++
		if !slices.ContainsFunc(strings.Fields(run[1]), func(pattern string) bool { return covers(strings.TrimPrefix(pattern, "./"), folder) }) {
			t.Errorf("the tests of %s open their store by store/enginetest, and the Makefile does not run them on PostgreSQL", folder)
		}
	}
	if used < 10 {
		t.Errorf("only %d packages use store/enginetest: does this test still see them?", used)
	}
}

// TestNamedTests holds the tests that docs/testing.md and docs/cotter.md name against the code.
func TestNamedTests(t *testing.T) {
	there := map[string]bool{}
	for _, path := range files(t, "_test.go") {
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w+)\(`).FindAllStringSubmatch(read(t, path), -1) {
			there[m[1]] = true
		}
	}
	named := 0
	for _, path := range []string{"docs/testing.md", "docs/cotter.md"} {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)").FindAllStringSubmatch(read(t, path), -1) {
			if named++; !there[m[1]] {
				t.Errorf("%s names %s, which is not there", path, m[1])
			}
		}
	}
	if named < 300 {
		t.Errorf("found only %d tests that are named", named)
	}
}

// TestDocFollowsTheCode holds the files and functions that doc.go names against
// the code.
func TestDocFollowsTheCode(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(file.Doc.Text()), " ")
	for _, path := range regexp.MustCompile(`[\w/]+\.(?:go|ts)\b`).FindAllString(text, -1) {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("doc.go names %s, which is not there", path)
		}
	}
	named := regexp.MustCompile(`([\w/]+\.go): (?:(\w+)\.)?(\w+)`).FindAllStringSubmatch(text, -1)
	if len(named) < 15 {
		t.Errorf("only %d functions found in doc.go: does this test still see them?", len(named))
	}
	for _, m := range named {
		declaration := `(?m)^func ` + m[3] + `\(`
		if m[2] != "" {
			declaration = `(?m)^func \((?:\w+ )?\*?` + m[2] + `\) ` + m[3] + `\(`
		}
		if !regexp.MustCompile(declaration).MatchString(read(t, m[1])) {
			t.Errorf("doc.go names %s %s in %s, which is not there", m[2], m[3], m[1])
		}
	}
}

// TestWatching holds the alert rules and the dashboard against the page that lists
// the metrics: they use what is there, with the labels it has.
func TestWatching(t *testing.T) {
	const page, rules, dashboard = "docs/operate/watching.md", "docs/operate/alerts.yaml", "docs/operate/grafana-dashboard.json"
	metrics, alerts := map[string][]string{}, map[string]bool{}
	for name, cells := range firstColumn(t, page) {
		switch {
		case strings.HasPrefix(name, "splitpin_"):
			for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[0], -1) {
				metrics[name] = append(metrics[name], m[1])
			}
			metrics[name] = append(metrics[name], "job", "instance")
			if strings.HasPrefix(strings.TrimSpace(cells[1]), "histogram") {
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					metrics[name+suffix] = append([]string{"le"}, metrics[name]...)
				}
				delete(metrics, name) // nothing has that name alone
			}
		case strings.HasPrefix(name, "Splitpin"):
			alerts[name] = true
		}
	}
	if len(metrics) < 50 {
		t.Fatalf("only %d metrics found: does this test still see them?", len(metrics))
	}

	expressions := map[string][]string{}
	declared := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^      - alert: (\w+)\n        expr: ((?:.*\n)(?: {10}.*\n)*)`).FindAllStringSubmatch(read(t, rules), -1) {
		declared[m[1]] = true
		expressions[rules] = append(expressions[rules], m[2])
	}
	differ(t, "alert", declared, page, alerts)

	var board struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
		Templating struct{ List []struct{ Query string } }
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &board); err != nil {
		t.Fatalf("%s: %v", dashboard, err)
	}
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s: the panel %q shows nothing", dashboard, p.Title)
		}
		for _, target := range p.Targets {
			expressions[dashboard] = append(expressions[dashboard], target.Expr)
		}
	}
	for _, v := range board.Templating.List {
		expressions[dashboard] = append(expressions[dashboard], v.Query)
	}

	shown := map[string]bool{}
	selector := regexp.MustCompile(`\b((?:splitpin|go|process)_\w+)(?:\{([^}]*)\})?`)
	grouping := regexp.MustCompile(`\bby \(([^)]*)\)`)
	for where, list := range expressions {
		if len(list) < 10 {
			t.Errorf("only %d expressions found in %s: does this test still see them?", len(list), where)
		}
		for _, expr := range list {
			labels := []string{}
			for _, m := range selector.FindAllStringSubmatch(expr, -1) {
				known, ok := metrics[m[1]]
				if !ok && strings.HasPrefix(m[1], "splitpin_") {
					t.Errorf("%s asks for %s, which is not there: %s", where, m[1], expr)
				}
				if !ok { // of the runtime
					known = []string{"job", "instance"}
				}
				shown[m[1]] = shown[m[1]] || where == dashboard
				labels = append(labels, known...)
				for _, matcher := range regexp.MustCompile(`(\w+)\s*(?:=|!=|=~|!~)\s*"`).FindAllStringSubmatch(m[2], -1) {
					if !slices.Contains(known, matcher[1]) {
						t.Errorf("%s asks %s for the label %s, which it has not: %s", where, m[1], matcher[1], expr)
					}
				}
			}
			for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
				for label := range strings.SplitSeq(m[1], ",") {
					if !slices.Contains(labels, strings.TrimSpace(label)) {
						t.Errorf("%s groups by %s, which nothing there has: %s", where, label, expr)
					}
				}
			}
		}
	}
	for name := range metrics {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !shown[name] && !shown[base+"_bucket"] && !shown[base+"_sum"] {
			t.Errorf("%s does not show %s", dashboard, name)
		}
	}
}
