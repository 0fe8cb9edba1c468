//go:build unix

package collateral_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/collateral"
)

// A lock that another process holds does not hold up a caller whose context has ended, and nothing is taken for seen without it.
func TestLockIsGivenUp(t *testing.T) {
	v := newVerifier(t, directory(t, intel2026), in2026)
	f, err := os.OpenFile(filepath.Join(v.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	source := open(t, filepath.Join("testdata", intel2026), v.options)
	got, err := source.Get(ctx, collateral.Target{})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, collateral.ErrState) || len(collateral.Files(got)) > 0 {
		t.Errorf("error is %v with %d members, want ErrState and that of the context", err, len(collateral.Files(got)))
	}
	// It ends with the process that holds it.
	f.Close()
	if _, err := source.Get(t.Context(), collateral.Target{}); err != nil {
		t.Error(err)
	}
}
