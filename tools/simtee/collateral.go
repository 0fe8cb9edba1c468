//go:build simtee

package simtee

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Collateral is what is published about the platform. The caller owns the bytes.
func (p *Platform) Collateral() quote.Collateral {
	c := p.collateral
	for _, b := range []*[]byte{&c.TCBInfo, &c.TCBInfoChain, &c.QEIdentity, &c.QEIdentityChain, &c.PCKCRL, &c.PCKCRLChain, &c.RootCRL} {
		*b = bytes.Clone(*b)
	}
	return c
}

// RootPEM is the root certificate, which a verifier has to be given.
func (p *Platform) RootPEM() []byte { return PEM(p.root) }

// PCKChain is the PCK certificate, its CA and the root, in PEM.
func (p *Platform) PCKChain() []byte { return PEM(p.CertificatesDER()...) }

// CertificatesDER is the PCK certificate, its CA and the root, in DER.
func (p *Platform) CertificatesDER() [][]byte {
	return [][]byte{bytes.Clone(p.pck), bytes.Clone(p.pckCA), bytes.Clone(p.root)}
}

// TCBSigningDER is the certificate that signs TCB info and QE identity.
func (p *Platform) TCBSigningDER() []byte { return bytes.Clone(p.tcbSigning) }

// Design is what the platform was built from.
func (p *Platform) Design() Design { return p.design }

// RootFile is the trust root's name in a collateral directory.
const RootFile = "root_ca.pem"

// files names what a collateral directory holds.
func files(c quote.Collateral, root []byte) map[string][]byte {
	return map[string][]byte{
		"tcb_info.json": c.TCBInfo, "tcb_info_issuer_chain.pem": c.TCBInfoChain,
		"qe_identity.json": c.QEIdentity, "qe_identity_issuer_chain.pem": c.QEIdentityChain,
		"pck_crl.der": c.PCKCRL, "pck_crl_issuer_chain.pem": c.PCKCRLChain, "root_ca_crl.der": c.RootCRL, RootFile: root,
	}
}

// ErrOccupied is returned for a place that holds something other than simulated collateral.
var ErrOccupied = errors.New("there is something else than simulated collateral at this place")

// WriteCollateral makes dir a directory of the platform's collateral and its root certificate. It replaces a directory that an
// earlier call made; anything else, save an empty one, is left alone with [ErrOccupied]. The directory is made beside dir and
// renamed, so that dir is never half-written.
func (p *Platform) WriteCollateral(dir string) (err error) {
	contents := files(p.collateral, p.RootPEM())
	if err := checkPlace(dir, contents); err != nil {
		return fmt.Errorf("write collateral to %s: %w", dir, err)
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("write collateral: %w", err)
	}
	work, err := os.MkdirTemp(parent, ".collateral-")
	if err != nil {
		return fmt.Errorf("write collateral: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	fresh, old := filepath.Join(work, "new"), filepath.Join(work, "old")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return fmt.Errorf("write collateral: %w", err)
	}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(fresh, name), content, 0o644); err != nil {
			return fmt.Errorf("write collateral: %w", err)
		}
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write collateral: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		// Put back what was there; if that fails too, both errors are told.
		if back := os.Rename(old, dir); back != nil && !errors.Is(back, fs.ErrNotExist) {
			err = errors.Join(err, back)
		}
		return fmt.Errorf("write collateral: %w", err)
	}
	return nil
}

// checkPlace holds for what does not exist, for an empty directory, and for one that holds nothing but collateral files and a trust
// root other than Intel's: what was fetched is not replaced by what was made up.
func checkPlace(dir string, contents map[string][]byte) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, ours := contents[entry.Name()]; !ours || !entry.Type().IsRegular() {
			return fmt.Errorf("%w: %s", ErrOccupied, entry.Name())
		}
	}
	pem, err := os.ReadFile(filepath.Join(dir, RootFile))
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrOccupied, err)
	}
	root, err := quote.ParseTrustRoot(pem)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrOccupied, RootFile, err)
	}
	if !root.Simulated() {
		return fmt.Errorf("%w: %s is Intel's", ErrOccupied, RootFile)
	}
	return nil
}
