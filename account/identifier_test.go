package account

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/splitpin/splitpin"
)

func TestParseIdentifier(t *testing.T) {
	long := strings.Repeat("a", 64)
	tests := []struct {
		raw, want string // want empty: refused
		kind      splitpin.IdentifierKind
	}{
		{"ada@example.org", "ada@example.org", splitpin.Email},
		{" Ada.L+x@EXAMPLE.org\t", "ada.l+x@example.org", splitpin.Email},
		{"o'neil_!#$%&*-/=?^`{|}~@example.org", "o'neil_!#$%&*-/=?^`{|}~@example.org", splitpin.Email},
		{"ada@sub.deep.example.museum", "ada@sub.deep.example.museum", splitpin.Email},
		{"ada@münchen.example", "ada@xn--mnchen-3ya.example", splitpin.Email},
		{"ada@MÜNCHEN.example", "ada@xn--mnchen-3ya.example", splitpin.Email},
		{"ada@xn--mnchen-3ya.example", "ada@xn--mnchen-3ya.example", splitpin.Email},
		{"ada@faß.example", "ada@xn--fa-hia.example", splitpin.Email},
		{"ada@example。org", "ada@example.org", splitpin.Email}, // ideographic full stop
		{"ada@ｅｘａｍｐｌｅ.org", "ada@example.org", splitpin.Email}, // fullwidth letters
		{"ada@exam\u00adple.org", "ada@example.org", splitpin.Email},
		{"ada@аррӏе.example", "ada@xn--80ak6aa92e.example", splitpin.Email}, // Cyrillic stays another domain
		{long + "@example.org", long + "@example.org", splitpin.Email},

		{"@", "", 0}, {"ada@", "", 0}, {"@example.org", "", 0},
		{"ada@example", "", 0}, {"ada@localhost", "", 0},
		{"ada@example.org.", "", 0}, {"ada@.example.org", "", 0}, {"ada@example..org", "", 0},
		{"ada@example.org@evil.example", "", 0}, {"ada@example.org,bob@example.org", "", 0},
		{"Ada <ada@example.org>", "", 0}, {"<ada@example.org>", "", 0}, {"mailto:ada@example.org", "", 0},
		{`"ada lovelace"@example.org`, "", 0}, {`"ada"@example.org`, "", 0}, {`ada\@example.org`, "", 0},
		{"ada lovelace@example.org", "", 0}, {"ada@exa mple.org", "", 0}, {"ada(x)@example.org", "", 0},
		{".ada@example.org", "", 0}, {"ada.@example.org", "", 0}, {"a..b@example.org", "", 0},
		{"ada@192.0.2.1", "", 0}, {"ada@[192.0.2.1]", "", 0}, {"ada@[IPv6:2001:db8::1]", "", 0}, {"ada@2130706433", "", 0},
		{"ada@example.org\r\nBcc: bob@example.org", "", 0}, {"ada\x00@example.org", "", 0}, {"ada@example.org\x00", "", 0},
		{"аda@example.org", "", 0}, // Cyrillic а in the local part
		{"ada＠example.org", "", 0}, {"ada﹫example.org", "", 0},
		{"ada@ex\u202eample.org", "", 0}, {"ada@-example.org", "", 0}, {"ada@exam_ple.org", "", 0},
		{"ada@xn--a.example", "", 0}, // not punycode
		{strings.Repeat("a", 65) + "@example.org", "", 0},
		{"ada@" + strings.Repeat("a", 64) + ".org", "", 0},
		{"ada@" + strings.Repeat("a.", 130) + "org", "", 0},

		{"+4917012345678", "+4917012345678", splitpin.Phone},
		{"+49 (170) 123-456.78", "+4917012345678", splitpin.Phone},
		{"+49 (0) 170 12345678", "+4917012345678", splitpin.Phone},
		{"+1234567", "", 0}, {"+123456789012345", "", 0}, {"+1 202 155 0123", "", 0},
		{"+1234567890123456", "", 0}, {"+123456", "", 0}, {"+0491701234567", "", 0},
		{"+49170x", "", 0}, {"+", "", 0}, {"++4917012345678", "", 0}, {"+٤٩١٧٠١٢٣٤٥٦٧٨", "", 0},
		{"＋4917012345678", "", 0},

		{"ada", "ada", splitpin.OtherName},
		{" Ada Lovelace ", "Ada Lovelace", splitpin.OtherName},
		{"1014", "1014", splitpin.OtherName},
		{"5b1f3a52-0000-4000-8000-000000000001", "5b1f3a52-0000-4000-8000-000000000001", splitpin.OtherName},
		{"e\u0301", "é", splitpin.OtherName},
		{"", "", 0}, {" \t\n", "", 0}, {"a\u200bb", "", 0}, {"a\u202eb", "", 0}, {"a\nb", "", 0}, {"a\x7fb", "", 0},
		{"\ufeffada", "", 0}, {"a\u2028b", "", 0}, {"a\xff", "", 0}, {"a\ufffdb", "", 0},
		{strings.Repeat("x", 254), strings.Repeat("x", 254), splitpin.OtherName},
		{strings.Repeat("x", 255), "", 0}, {strings.Repeat("x", 1<<20), "", 0},
	}
	for _, test := range tests {
		got, kind, err := ParseIdentifier(test.raw)
		switch {
		case test.want == "" && !errors.Is(err, ErrIdentifier):
			t.Errorf("%.60q: got %q, %v; want it refused", test.raw, got, err)
		case test.want != "" && (err != nil || got != test.want || kind != test.kind):
			t.Errorf("%.60q: got %q, %v, %v; want %q, %v", test.raw, got, kind, err, test.want, test.kind)
		}
	}
}

// check says what holds for whatever is accepted.
func check(t *testing.T, raw string) {
	got, kind, err := ParseIdentifier(raw)
	if err != nil {
		if got != "" || kind != 0 {
			t.Fatalf("%q is refused with the result %q, %v", raw, got, kind)
		}
		return
	}
	if again, kind2, err := ParseIdentifier(got); err != nil || again != got || kind2 != kind {
		t.Fatalf("%q gives %q, and that gives %q, %v, %v", raw, got, again, kind2, err)
	}
	if len(got) > maxIdentifier || got == "" || strings.TrimSpace(got) != got || !utf8.ValidString(got) || !norm.NFC.IsNormalString(got) {
		t.Fatalf("%q gives %q", raw, got)
	}
	for _, r := range got {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			t.Fatalf("%q gives %q, with a character nobody sees", raw, got)
		}
	}
	local, domain, isEmail := strings.Cut(got, "@")
	switch kind {
	case splitpin.Email:
		if !isEmail || local == "" || strings.ToLower(got) != got || !strings.Contains(domain, ".") || strings.ContainsAny(got, " <>,;:\"\\()[]") {
			t.Fatalf("%q gives the address %q", raw, got)
		}
		for i := range len(got) {
			if got[i] <= ' ' || got[i] > '~' {
				t.Fatalf("%q gives the address %q, which is not ASCII", raw, got)
			}
		}
		// What a limit counts is never more than one address of one domain.
		if folded := Fold(got); !strings.HasSuffix(folded, "@"+domain) || Fold(folded) != folded {
			t.Fatalf("%q folds to %q", got, folded)
		}
	case splitpin.Phone:
		if got[0] != '+' || strings.Trim(got[1:], "0123456789") != "" || len(got) > 16 {
			t.Fatalf("%q gives the number %q", raw, got)
		}
	default:
		if isEmail || got[0] == '+' {
			t.Fatalf("%q gives the name %q, which looks like an address or a number", raw, got)
		}
	}
}

func FuzzParseIdentifier(f *testing.F) {
	for _, raw := range []string{"ada@example.org", "ADA@MÜNCHEN.example", "ada@example。org", "+49 170 1234567", "Ada Lovelace", "e\u0301",
		"\u1fef", "a@xn--mnchen-3ya.de", "a@b.0x1", "\u212a", "a@\u0130.example", "a@faß.de", "a@\u05d0.example", "＋1", "a@ab--cd.org"} {
		f.Add(raw)
	}
	f.Fuzz(check)
}

func TestFold(t *testing.T) {
	for identifier, want := range map[string]string{
		"ada@example.org": "ada@example.org", "a.d.a@example.org": "ada@example.org", "ada+news@example.org": "ada@example.org",
		"a.da+x+y@example.org": "ada@example.org", "ada@mail.example.org": "ada@mail.example.org",
		"+4917012345678": "+4917012345678", "ada.l+x": "ada.l+x",
	} {
		if got := Fold(identifier); got != want {
			t.Errorf("%s: got %s, want %s", identifier, got, want)
		}
	}
}
