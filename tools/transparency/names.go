package transparency

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	proofSuffix       = ".tlog-proof"
	consistencySuffix = ".tlog-consistency"
)

// ProofFile is the name of the file of a release's log/ that has the proof of the log with an origin: 16 hexadecimal digits of the
// origin's SHA-256, and the suffix of c2sp.org/tlog-proof.
func ProofFile(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:8]) + proofSuffix
}

// ConsistencyFile is the name of the file that lies beside a proof.
func ConsistencyFile(proofFile string) string {
	return strings.TrimSuffix(proofFile, proofSuffix) + consistencySuffix
}
