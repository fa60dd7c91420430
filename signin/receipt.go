package signin

import (
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
)

// A receipt is the number of a message, the data key's generation, and a MAC over them
// and the channel.
const receiptBytes = 8 + 4 + 16

var receiptLetters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Receipt returns the word by which whoever carries a message over a channel may tell
// later what became of it: 45 lower-case letters and digits. It opens nothing else.
func (e *Engine) Receipt(message int64, over splitpin.Channel) (string, error) {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, receiptBytes), uint64(message))
	b = binary.BigEndian.AppendUint32(b, uint32(e.ring.Current(keyring.Codes)))
	mac, err := e.receiptMAC(b, over)
	if err != nil {
		return "", err
	}
	return receiptLetters.EncodeToString(append(b, mac[:16]...)), nil
}

// ReadReceipt returns the message of a receipt, or false for what is none for that
// channel. It asks no store, so guessing costs nothing.
func (e *Engine) ReadReceipt(receipt string, over splitpin.Channel) (message int64, ok bool) {
	b, err := receiptLetters.DecodeString(receipt)
	if err != nil || len(b) != receiptBytes {
		return 0, false
	}
	mac, err := e.receiptMAC(b, over)
	if err != nil || subtle.ConstantTimeCompare(mac[:16], b[12:]) != 1 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b)), true
}

func (e *Engine) receiptMAC(b []byte, over splitpin.Channel) ([32]byte, error) {
	mac, err := e.ring.MAC(keyring.Codes, int(binary.BigEndian.Uint32(b[8:12])), []byte("receipt"), []byte(over), b[:12])
	if err != nil {
		return mac, fmt.Errorf("deriving a receipt: %w", err)
	}
	return mac, nil
}
