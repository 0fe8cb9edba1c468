//go:build simtee

package guest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestSettleAddresses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "randomize_va_space")
	for emulated, want := range map[bool]string{true: "0", false: "2"} {
		if err := os.WriteFile(file, []byte("2"), 0o600); err != nil {
			t.Fatal(err)
		}
		var warned error
		if err := settleAddresses(emulated, file, func(err error) { warned = err }); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("emulated %t: %q (%v), want %q", emulated, got, err, want)
		}
		if errors.Is(warned, errNotRandom) != emulated {
			t.Errorf("emulated %t: warned of %v", emulated, warned)
		}
	}
}
