package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// Files of log/: proofs that an entry is in a log, and consistency proofs for those who saw the log before.
const (
	ProofSuffix       = ".tlog-proof"
	ConsistencySuffix = ".tlog-consistency"
)

// logProof is a proof of a log of the policy that was verified.
type logProof struct {
	policy   transparency.Policy
	verified *transparency.Verified
	// bundles are the files whose signatures the entry has.
	bundles []string
}

// checkLog asks that enough logs have every signature that counts, and that they are the logs that were seen.
func (v *verification) checkLog(ctx context.Context, f *findings, readers []transparency.Reader, seen *transparency.Memory) {
	if v.report.result(CheckBundles) == NotChecked {
		f.skip("the signatures could not be told apart")
		return
	}
	provers := make(map[string][]transparency.Prover)
	v.follow(ctx, f, readers, seen, provers)
	var proofs []logProof
	for _, name := range slices.Sorted(maps.Keys(v.d.Proofs)) {
		at, data := LogFolder+"/"+name, v.d.Proofs[name]
		switch {
		case strings.HasSuffix(name, ProofSuffix):
			if p, ok := v.checkProof(f, at, data); ok {
				proofs = append(proofs, p)
			}
		case strings.HasSuffix(name, ConsistencySuffix):
			c, err := transparency.ParseConsistency(data)
			if err != nil {
				v.refuseLog(f, at, err)
				continue
			}
			// Which log it is of does not matter: what it proves is compared with signed checkpoints.
			for _, p := range v.policy.Logs {
				provers[p.Origin] = append(provers[p.Origin], c.Prover())
			}
		default:
			f.refuse(CodeLogName, "%s: expected a file that ends with %s or %s, got another one", at, ProofSuffix, ConsistencySuffix)
		}
	}
	if v.policy.RequiredLogs == 0 {
		if len(f.refusals) == 0 {
			f.notAsked("the policy asks for no log")
		}
		return
	}
	for _, p := range proofs {
		v.advance(f, p, seen, provers[p.policy.Origin])
	}
	refused := len(f.refusals) > 0
	for i := range v.report.Signers {
		s := &v.report.Signers[i]
		for _, p := range proofs {
			if slices.Contains(p.bundles, s.Bundle) && !slices.Contains(s.Logs, p.policy.Origin) {
				s.Logs = append(s.Logs, p.policy.Origin)
			}
		}
		// A proof that was refused says more than that it is missing.
		if len(s.Logs) < v.policy.RequiredLogs && !refused {
			f.refuse(CodeLogMissing, "%s: expected the signature of %q in %d logs of the policy, got it in %d", s.Bundle, s.Name, v.policy.RequiredLogs, len(s.Logs))
		}
	}
	for _, n := range v.report.NotCounted {
		if strings.HasPrefix(n.File, LogFolder+"/") && len(f.refusals) > 0 {
			f.refuse(n.Code, "%s: %s", n.File, n.Reason)
		}
	}
	if len(v.report.Signers) == 0 && len(f.refusals) == 0 {
		f.skip("nobody's signature counts")
		return
	}
	f.detail = fmt.Sprintf("%d signatures in %d logs each", len(v.report.Signers), v.policy.RequiredLogs)
}

// checkProof verifies a proof of an entry about this release. One of a log that the policy does not have proves nothing here, and still
// has to be about this release.
func (v *verification) checkProof(f *findings, at string, data []byte) (logProof, bool) {
	proof, err := transparency.ParseProof(data)
	if err != nil {
		v.refuseLog(f, at, err)
		return logProof{}, false
	}
	entry, err := transparency.ParseEntry(proof.Entry)
	if err != nil {
		v.refuseLog(f, at, err)
		return logProof{}, false
	}
	var about []provenance.Bundle
	var files []string
	for _, b := range v.bundles {
		// An entry names the key. A bundle that does not say which one it is made with can not be found there.
		if b.statement == "" && (b.parsed.Certificate != nil || len(b.parsed.Hint) == len(provenance.Key{}.Hint())) {
			about, files = append(about, b.parsed), append(files, BundlesFolder+"/"+b.name)
		}
	}
	positions, err := entry.MatchBundles(v.release.Name, v.release.Version, v.d.Digest, about...)
	if err != nil {
		v.refuseLog(f, at, err)
		return logProof{}, false
	}
	i := slices.IndexFunc(v.policy.Logs, func(p transparency.Policy) bool { return p.Origin == proof.Origin })
	if i < 0 {
		v.report.NotCounted = append(v.report.NotCounted, NotCounted{at, Code(transparency.CodeOrigin), fmt.Sprintf("expected a log of the policy, got %.80q", proof.Origin)})
		return logProof{}, false
	}
	verified, err := transparency.Verify(proof, proof.Entry, v.policy.Logs[i])
	if err != nil {
		v.refuseLog(f, at, err)
		return logProof{}, false
	}
	v.report.Logs = append(v.report.Logs, LogHead{verified.Checkpoint, append([]transparency.Witnessed{}, verified.Witnesses...)})
	// A bundle may name a key that did not make it. So what the log has is told by file, of which only those count that were verified.
	p := logProof{policy: v.policy.Logs[i], verified: verified}
	for _, at := range positions {
		p.bundles = append(p.bundles, files[at])
	}
	return p, true
}

// refuseLog takes an error of package transparency, or of a reader of a log.
func (v *verification) refuseLog(f *findings, at string, err error) {
	var refusal *transparency.Refusal
	if errors.As(err, &refusal) {
		f.refuse(Code(refusal.Code), "%s: %s", at, refusal.Reason)
		return
	}
	f.fault(fmt.Errorf("%s: %w", at, err))
}

// follow asks logs for their heads.
func (v *verification) follow(ctx context.Context, f *findings, readers []transparency.Reader, seen *transparency.Memory, provers map[string][]transparency.Prover) {
	for _, reader := range readers {
		checkpoint, err := reader.Checkpoint(ctx)
		if err != nil {
			f.fault(err)
			return
		}
		origin, _, _ := bytes.Cut(checkpoint, []byte("\n"))
		i := slices.IndexFunc(v.policy.Logs, func(p transparency.Policy) bool { return p.Origin == string(origin) })
		if i < 0 {
			f.refuse(Code(transparency.CodeOrigin), "expected a log of the policy, got %.80q", origin)
			continue
		}
		tree, _, err := transparency.Follow(ctx, seen, v.policy.Logs[i], reader)
		if err != nil {
			v.refuseLog(f, v.policy.Logs[i].Origin, err)
			continue
		}
		provers[v.policy.Logs[i].Origin] = append(provers[v.policy.Logs[i].Origin], tree.Prover(ctx))
	}
}

// advance takes note of the head that a proof shows.
func (v *verification) advance(f *findings, p logProof, seen *transparency.Memory, provers []transparency.Prover) {
	err := seen.Advance(p.policy, p.verified.Checkpoint, provers...)
	var unproven *transparency.UnprovenError
	switch {
	case errors.As(err, &unproven):
		v.unproven = unproven
		f.skip(err.Error())
	case err != nil:
		v.refuseLog(f, p.policy.Origin, err)
	}
}
