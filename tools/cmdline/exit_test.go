package cmdline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
)

var errPlain = errors.New("the disk is on fire")

func TestExitCode(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"no error", nil, cmdline.ExitDone},
		{"unmarked", errPlain, cmdline.ExitUnknown},
		{"cancelled", context.Canceled, cmdline.ExitUnknown},
		{"refused", cmdline.Refused(errPlain), cmdline.ExitRefused},
		{"usage", cmdline.Usage(errPlain), cmdline.ExitUsage},
		{"refused, wrapped", fmt.Errorf("while checking: %w", cmdline.Refused(errPlain)), cmdline.ExitRefused},
		{"refused, wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", cmdline.Refused(errPlain))), cmdline.ExitRefused},
		{"usage, joined to a fault", errors.Join(errPlain, cmdline.Usage(errPlain)), cmdline.ExitUsage},
		{"refused, joined before a fault", errors.Join(cmdline.Refused(errPlain), errPlain), cmdline.ExitRefused},
		{"the outer mark counts", cmdline.Usage(fmt.Errorf("again: %w", cmdline.Refused(errPlain))), cmdline.ExitUsage},
		{"faults, joined", errors.Join(errPlain, context.Canceled), cmdline.ExitUnknown},
		{"refused nothing", cmdline.Refused(nil), cmdline.ExitDone},
		{"usage of nothing", cmdline.Usage(nil), cmdline.ExitDone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cmdline.ExitCode(tt.err); got != tt.want {
				t.Errorf("exit code of %v is %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}

// The codes are a contract with scripts; see "Command line" in the design.
func TestExitCodesAreTheDocumentedOnes(t *testing.T) {
	got := []int{cmdline.ExitDone, cmdline.ExitRefused, cmdline.ExitUsage, cmdline.ExitUnknown}
	for want, code := range got {
		if code != want {
			t.Errorf("exit codes are %v, want [0 1 2 3]", got)
			break
		}
	}
}

func TestMarksKeepTheError(t *testing.T) {
	for name, mark := range map[string]func(error) error{"Refused": cmdline.Refused, "Usage": cmdline.Usage} {
		marked := mark(errPlain)
		if marked.Error() != errPlain.Error() {
			t.Errorf("%s changed the text to %q", name, marked)
		}
		if !errors.Is(marked, errPlain) {
			t.Errorf("%s hides the error it marks from errors.Is", name)
		}
	}
}
