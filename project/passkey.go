package project

import (
	"errors"
	"slices"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin/passkey"
)

// Bounds of the time that a recovery waits: shorter, nobody would hear of it before it
// opens; longer, nobody would wait.
const (
	leastRecoveryDelay = time.Hour
	mostRecoveryDelay  = 30 * 24 * time.Hour
)

// checkPasskeys returns everything that is wrong with how people must come in.
func checkPasskeys(s splitpin.Settings) error {
	var problems []error
	if s.RecoveryDelay != 0 && (s.RecoveryDelay < leastRecoveryDelay || s.RecoveryDelay > mostRecoveryDelay) {
		problems = append(problems, errors.New("recovery-delay: must be between 1h and 720h"))
	}
	offered := len(s.Methods) == 0 || slices.Contains(s.Methods, passkey.Name)
	if s.PasskeyRequired && (!offered || slices.Contains(s.Origins, splitpin.AnyOrigin)) {
		problems = append(problems, errors.New("passkey-required: the project offers no passkeys; offer them with --method passkey, and list the sites instead of *"))
	}
	return errors.Join(problems...)
}
