package tilelog

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/internal/filestate"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
)

// AddCosignature adds a witness's signature line to the published checkpoint, in the place of an older one of the same witness. The
// checkpoint has to be that of the policy, which names the witness. No key is needed: whoever reads the log verifies the line.
func AddCosignature(ctx context.Context, dir string, policy transparency.Policy, line string) ([]byte, error) {
	unlock, err := filestate.Lock(ctx, filepath.Join(dir, stateDir, lockFile))
	if err != nil {
		return nil, err
	}
	defer unlock()
	reader, err := logdir.Open(dir)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	checkpoint, err := reader.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndex(checkpoint, []byte("\n\n"))
	if end < 0 {
		return nil, fmt.Errorf("%s: expected a checkpoint with signatures, got something else", dir)
	}
	var cosigned strings.Builder
	cosigned.Write(checkpoint[:end+2])
	name, _, _ := strings.Cut(strings.TrimPrefix(line, "— "), " ")
	for old := range strings.Lines(string(checkpoint[end+2:])) {
		// The same name with another key is another signer; a witness has one line.
		if !sameSigner(old, line) {
			cosigned.WriteString(old)
		}
	}
	cosigned.WriteString(line)
	whole := []byte(cosigned.String())
	if _, witnessed, err := policy.Open(whole); err != nil {
		return nil, err
	} else if len(witnessed) == 0 {
		return nil, fmt.Errorf("cosignature: expected one of a witness of the policy, got one of %.80q", name)
	}
	return whole, filestate.Replace(filepath.Join(dir, transparency.CheckpointPath), whole)
}

// sameSigner compares names and key IDs, the first 4 bytes of signatures.
func sameSigner(a, b string) bool {
	signer := func(line string) string {
		name, signature, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "— "), "\n"), " ")
		raw, err := base64.StdEncoding.DecodeString(signature)
		if err != nil || len(raw) < 4 {
			return line
		}
		return name + " " + string(raw[:4])
	}
	return signer(a) == signer(b)
}
