package signin_test

import (
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
)

func TestReceipts(t *testing.T) {
	h := newHouse(t)
	receipt, err := h.Engine.Receipt(4711, splitpin.SMSChannel)
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := h.Engine.ReadReceipt(receipt, splitpin.SMSChannel); !ok || n != 4711 || len(receipt) != 45 || strings.Trim(receipt, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		t.Errorf("%q is of message %d, %v", receipt, n, ok)
	}
	other, err := newHouse(t).Engine.Receipt(4711, splitpin.SMSChannel)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{"empty": "", "short": receipt[:40], "long": receipt + "a", "capital letters": strings.ToUpper(receipt), "another number": "b" + receipt[1:],
		"another end": receipt[:20] + "aaaa" + receipt[24:], "of another installation": other} {
		if _, ok := h.Engine.ReadReceipt(bad, splitpin.SMSChannel); ok {
			t.Errorf("%s: %q is taken", name, bad)
		}
	}
	if _, ok := h.Engine.ReadReceipt(receipt, splitpin.WhatsAppChannel); ok {
		t.Error("it is taken for another channel")
	}
}
