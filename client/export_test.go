package client

// WaitFetch waits until the key fetch that runs in the background is over.
func (v *Verifier) WaitFetch() {
	v.keys.mu.Lock()
	flight := v.keys.flight
	v.keys.mu.Unlock()
	if flight != nil {
		<-flight
	}
}

// Remembers returns how many tokens are remembered.
func (v *Verifier) Remembers() int {
	v.seen.mu.RLock()
	defer v.seen.mu.RUnlock()
	return len(v.seen.entries)
}

var ParseKeySet = parseKeySet
