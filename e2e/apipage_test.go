package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every call of docs/api.md is made as it stands there, one after the other. A refusal,
// and a field that an answer lacks, is a failure.
func TestAPIPage(t *testing.T) {
	d := startDev(t)
	page, err := os.ReadFile(filepath.Join(root, "docs/api.md"))
	if err != nil {
		t.Fatal(err)
	}
	const strict = `set -euo pipefail
curl() { command curl --fail-with-body "$@"; }
jq() { command jq -e "$@"; }
`
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(string(page), -1)
	script := strict
	for i, b := range blocks {
		block := b[1]
		if i == 0 { // where the reader's own server is
			for name, value := range map[string]string{"server": d.url, "project": d.defaultProject(t).id, "inbox": d.inboxToken} {
				line := regexp.MustCompile(`(?m)^` + name + `=\S+`)
				if !line.MatchString(block) {
					t.Fatalf("the page does not begin with %s=", name)
				}
				block = line.ReplaceAllLiteralString(block, name+"="+value)
			}
		}
		script += block
	}
	if len(blocks) < 12 {
		t.Errorf("only %d blocks found: does this test still see them?", len(blocks))
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "g…@example.org") {
		t.Errorf("nobody was told whose account the link is for:\n%s", out)
	}
}
