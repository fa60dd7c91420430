package delivery

import (
	"bufio"
	"bytes"
	"io"
	"net/textproto"
	"strings"
	"testing"
)

// FuzzTransparent holds that content comes back as it went in, by the standard
// library's reader of such content, and that it ends where it ends and nowhere
// before.
func FuzzTransparent(f *testing.F) {
	for _, s := range []string{"", ".", "..\r\n.", "a\r\n.\r\nMAIL FROM:<x>\r\n", "a\n.\nb", "a\r.\rb", "\r\n\r\n", "a\n\r.\n\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		out := transparent(content)
		if body := strings.ReplaceAll(string(out), "\r\n", ""); strings.ContainsAny(body, "\r\n") {
			t.Fatalf("a lone line break in %q", out)
		}
		if i := strings.Index("\r\n"+string(out), "\r\n.\r\n"); i != len(out)-3 {
			t.Fatalf("%q ends at %d of %d", out, i, len(out)-3)
		}
		r := bufio.NewReader(bytes.NewReader(out))
		got, err := io.ReadAll(textproto.NewReader(r).DotReader())
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := io.ReadAll(r); len(left) > 0 {
			t.Fatalf("%q is left", left)
		}
		want := string(content)
		for _, other := range []string{"\r\n", "\r"} {
			want = strings.ReplaceAll(want, other, "\n")
		}
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if string(got) != want {
			t.Fatalf("%q came back as %q", want, got)
		}
	})
}
