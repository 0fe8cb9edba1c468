package guest

import (
	"errors"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guest/share"
)

// checkApplication refuses what this guest would not do as the app-compose.json says.
func checkApplication(c *dstack.AppCompose, files share.Files) error {
	for _, refusal := range []struct {
		when   bool
		field  string
		reason string
	}{
		{c.KeyProvider != dstack.KeyProviderNone, "key_provider", fmt.Sprintf("expected none, got %s, which this guest can not ask yet", c.KeyProvider)},
		{len(c.KeyProviderID) > 0, "key_provider_id", "expected none, because there is no key provider to hold to it"},
		{c.Runner != dstack.RunnerDockerCompose, "runner", fmt.Sprintf("expected %s, got %s", dstack.RunnerDockerCompose, c.Runner)},
		{c.PreLaunchScript != "", "pre_launch_script", "expected none: this guest has no shell"},
		{len(c.InitScripts) > 0, "init_script", "expected none: this guest has no shell"},
		{c.BashScript != "", "bash_script", "expected none: this guest has no shell"},
		{c.Gateway, "gateway_enabled", "expected false: this guest can not join a gateway yet"},
		{c.SwapSize != 0, "swap_size", "expected 0: this guest has no encrypted disk yet"},
		{c.StorageFS != "", "storage_fs", "expected none: this guest has no encrypted disk yet, and stores in memory"},
		{len(c.VerityVolumes) > 0, "verity_volumes", "expected none: this guest does not open any yet"},
		{c.Requirements != nil, "requirements", "expected none: dstack " + agentRelease + " has no such member"},
	} {
		if refusal.when {
			return &dstack.FieldError{Field: refusal.field, Err: errors.New(refusal.reason)}
		}
	}
	if _, given := files[share.EncryptedEnv]; given {
		return &share.FileError{Name: share.EncryptedEnv, Err: errors.New("expected none, because without a key provider nobody could have encrypted it")}
	}
	return nil
}
