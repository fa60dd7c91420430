package main

import (
	"runtime/debug"
	"testing"
)

// The version is the release, else the revision as far as it is known.
func TestVersionOf(t *testing.T) {
	at := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
		{Key: "vcs.time", Value: "2026-03-14T12:00:00Z"}, {Key: "vcs.modified", Value: "false"}}
	changed := []debug.BuildSetting{at[0], at[1], {Key: "vcs.modified", Value: "true"}}
	tests := []struct {
		version  string
		settings []debug.BuildSetting
		want     string
	}{
		{"v1.2.3", at, "v1.2.3"},
		{"v1.2.3+dirty", changed, "v1.2.3+dirty"},
		{"v0.0.0-20260314120000-0123456789ab", at, "revision 0123456789ab of 2026-03-14"},
		{"v0.0.0-20260314120000-0123456789ab+dirty", changed, "revision 0123456789ab of 2026-03-14, modified"},
		{"(devel)", changed, "revision 0123456789ab of 2026-03-14, modified"},
		{"(devel)", at[:1], "revision 0123456789ab"},
		{"(devel)", nil, "of an unknown revision: none was recorded when it was built"},
		{"", nil, "of an unknown revision: none was recorded when it was built"},
	}
	for _, test := range tests {
		if got := versionOf(&debug.BuildInfo{Main: debug.Module{Version: test.version}, Settings: test.settings}); got != test.want {
			t.Errorf("%q built with %v: got %q, want %q", test.version, test.settings, got, test.want)
		}
	}
}
