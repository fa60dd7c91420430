package store_test

import (
	"sync"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/storetest"
)

func TestMemory(t *testing.T) {
	var mu sync.Mutex
	data := map[string]*store.Memory{} // by folder
	storetest.Run(t, func(t *testing.T, dir string) splitpin.Store {
		mu.Lock()
		defer mu.Unlock()
		if data[dir] == nil {
			data[dir] = store.NewMemory()
		}
		return data[dir].Open()
	}, func(_ *testing.T, dir string, _ splitpin.Store) func() bool {
		mu.Lock()
		defer mu.Unlock()
		return data[dir].Waits
	})
}
