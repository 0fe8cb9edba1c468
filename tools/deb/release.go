package deb

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	// MaxRelease bounds an InRelease file, in bytes; trixie's has 140 kB.
	MaxRelease = 16 << 20
	// MaxKeyring bounds a keyring, in bytes.
	MaxKeyring = 16 << 20
	// maxSignatures bounds the signatures of an InRelease file; trixie's has three.
	maxSignatures = 16
	// futureTolerance is how far a suite's Date may lie ahead of the clock, as apt's Acquire::Max-FutureTime.
	futureTolerance = 10 * time.Second
	// releaseTime is the form of Date and Valid-Until.
	releaseTime = "Mon, 2 Jan 2006 15:04:05 UTC"
)

// Release is what an archive says about a suite, in words that a key of the keyring vouches for.
type Release struct {
	// Codename is the suite's own name, such as "trixie"; names such as "stable" move from suite to suite.
	Codename string
	Date     time.Time
	// ValidUntil is zero for suites that say nothing, as released ones do.
	ValidUntil time.Time
	// ByHash says that indices can be asked for by their digest.
	ByHash bool
	// SHA256 is the digest of the InRelease file.
	SHA256 Digest
	// SignedBy are the fingerprints of the primary keys with a good signature, upper-case hexadecimal digits, sorted.
	SignedBy []string

	architectures, components []string
	indices                   map[string]Index
}

// Index is one index file of a suite.
type Index struct {
	// Path is relative to the suite's folder, such as "main/binary-amd64/Packages.xz".
	Path   string
	Size   int64
	SHA256 Digest
}

// ReadKeyring reads OpenPGP public keys, in binary form.
func ReadKeyring(data []byte) (openpgp.EntityList, error) {
	if len(data) > MaxKeyring {
		return nil, fmt.Errorf("keyring: larger than %d bytes", MaxKeyring)
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if len(keys) == 0 {
		return nil, errors.New("keyring: expected OpenPGP keys, got none")
	}
	return keys, nil
}

// OpenRelease verifies an InRelease file and then reads what is signed. At least one signature has to be by a key of the keyring
// that is valid at the time now; signatures of unknown and expired keys count for nothing, and one by a known key that is wrong
// is refused whatever the others say. Whether the suite is current, and the one asked for, [Release.Check] tells.
func OpenRelease(inRelease []byte, keyring openpgp.EntityList, now time.Time) (*Release, error) {
	if len(inRelease) > MaxRelease {
		return nil, refuse(ErrIndex, "InRelease: larger than %d bytes", MaxRelease)
	}
	// What stands around the signed text is not signed, and readers that do not notice were fooled by it (CVE-2018-0501).
	if !bytes.HasPrefix(inRelease, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, refuse(ErrSignature, "InRelease: expected a clear-signed document, it begins with %.40q", inRelease)
	}
	block, rest := clearsign.Decode(inRelease)
	if block == nil {
		return nil, refuse(ErrSignature, "InRelease: malformed clear signature")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, refuse(ErrSignature, "InRelease: data after the signature")
	}
	signers, err := verify(block, keyring, now)
	if err != nil {
		return nil, err
	}
	// Bytes, not Plaintext: space at the end of lines is not signed.
	release, err := parseRelease(strings.ReplaceAll(string(block.Bytes), "\r\n", "\n"))
	if err != nil {
		return nil, refuse(ErrIndex, "InRelease: %v", err)
	}
	release.SHA256 = sha256.Sum256(inRelease)
	release.SignedBy = signers
	return release, nil
}

func verify(block *clearsign.Block, keyring openpgp.EntityList, now time.Time) ([]string, error) {
	config := &packet.Config{Time: func() time.Time { return now }}
	var (
		signers []string
		doubts  []string
	)
	packets := packet.NewOpaqueReader(block.ArmoredSignature.Body)
	for n := 0; ; n++ {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || n == maxSignatures {
			return nil, refuse(ErrSignature, "InRelease: expected at most %d signature packets: %v", maxSignatures, err)
		}
		var one bytes.Buffer
		if err := p.Serialize(&one); err != nil {
			return nil, refuse(ErrSignature, "InRelease: signature %d: %v", n+1, err)
		}
		_, signer, err := openpgp.VerifyDetachedSignature(keyring, bytes.NewReader(block.Bytes), &one, config)
		switch {
		case err == nil:
			signers = append(signers, strings.ToUpper(hex.EncodeToString(signer.PrimaryKey.Fingerprint)))
		case errors.Is(err, pgperrors.ErrUnknownIssuer), errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrSignatureExpired):
			doubts = append(doubts, fmt.Sprintf("signature %d: %v", n+1, err))
		default:
			return nil, refuse(ErrSignature, "InRelease: signature %d: %v", n+1, err)
		}
	}
	if len(signers) == 0 {
		return nil, refuse(ErrSignature, "InRelease: expected a good signature by a key of the keyring, got none (%s)", strings.Join(doubts, "; "))
	}
	slices.Sort(signers)
	return slices.Compact(signers), nil
}

func parseRelease(text string) (*Release, error) {
	p, err := single(text)
	if err != nil {
		return nil, err
	}
	r := &Release{
		Codename: p.get("Codename"), ByHash: p.get("Acquire-By-Hash") == "yes",
		architectures: strings.Fields(p.get("Architectures")), components: strings.Fields(p.get("Components")),
		indices: make(map[string]Index),
	}
	if !suiteName(r.Codename) {
		return nil, fmt.Errorf("field Codename: expected a name such as trixie, got %.80q", r.Codename)
	}
	if r.Date, err = time.Parse(releaseTime, p.get("Date")); err != nil {
		return nil, fmt.Errorf("field Date: expected a time such as %q, got %.80q", releaseTime, p.get("Date"))
	}
	if until := p.get("Valid-Until"); until != "" {
		if r.ValidUntil, err = time.Parse(releaseTime, until); err != nil {
			return nil, fmt.Errorf("field Valid-Until: expected a time such as %q, got %.80q", releaseTime, until)
		}
	}
	for line := range strings.SplitSeq(p.get("SHA256"), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 {
			return nil, fmt.Errorf("field SHA256: expected digest, size and path, got %.200q", line)
		}
		index := Index{Path: f[2]}
		if index.SHA256, err = ParseDigest(f[0]); err != nil {
			return nil, fmt.Errorf("field SHA256: %w", err)
		}
		if index.Size, err = parseSize(f[1]); err != nil {
			return nil, fmt.Errorf("field SHA256: %s: %w", index.Path, err)
		}
		if path.Clean("/"+index.Path) != "/"+index.Path {
			return nil, fmt.Errorf("field SHA256: expected a path without . and .., got %.200q", index.Path)
		}
		if _, twice := r.indices[index.Path]; twice {
			return nil, fmt.Errorf("field SHA256: %s stands twice", index.Path)
		}
		r.indices[index.Path] = index
	}
	return r, nil
}

// Check refuses a release that is not of the suite, or not valid at the time now. A Valid-Until that has passed is let through
// where expired is true; a Date that has not come yet never is.
func (r *Release) Check(suite string, now time.Time, expired bool) error {
	if r.Codename != suite {
		return refuse(ErrSuite, "InRelease: expected suite %s, got %s", suite, r.Codename)
	}
	if r.Date.After(now.Add(futureTolerance)) {
		return refuse(ErrExpired, "suite %s: its Date %s has not come yet; the clock says %s", suite, r.Date.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if r.Expired(now) && !expired {
		return refuse(ErrExpired, "suite %s: valid until %s, the clock says %s: the mirror is behind; take another, or accept it with --accept-expired",
			suite, r.ValidUntil.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// Expired tells whether Valid-Until has passed.
func (r *Release) Expired(now time.Time) bool {
	return !r.ValidUntil.IsZero() && now.After(r.ValidUntil)
}

// Packages finds the compressed index of a component's packages. Packages of all architectures are in the index of each.
func (r *Release) Packages(component, architecture string) (Index, error) {
	if !slices.Contains(r.architectures, architecture) {
		return Index{}, refuse(ErrSuite, "suite %s has architectures %s, not %s", r.Codename, strings.Join(r.architectures, " "), architecture)
	}
	// The security archive says updates/main, and means main.
	if !slices.ContainsFunc(r.components, func(c string) bool { return strings.TrimPrefix(c, "updates/") == component }) {
		return Index{}, refuse(ErrSuite, "suite %s has components %s, not %s", r.Codename, strings.Join(r.components, " "), component)
	}
	for _, ending := range []string{".xz", ".gz"} {
		if index, found := r.indices[component+"/binary-"+architecture+"/Packages"+ending]; found {
			if index.Size > MaxIndex {
				return Index{}, refuse(ErrSuite, "suite %s: %s: larger than %d bytes", r.Codename, index.Path, MaxIndex)
			}
			return index, nil
		}
	}
	return Index{}, refuse(ErrSuite, "suite %s lists no Packages.xz or Packages.gz of %s for %s", r.Codename, component, architecture)
}

// Open checks the bytes of an index file of packages and decompresses them.
func (i Index) Open(data []byte) (string, error) {
	if sum := sha256.Sum256(data); int64(len(data)) != i.Size || sum != i.SHA256 {
		return "", refuse(ErrContent, "%s: expected %d bytes with sha256 %s, got %d with %s", i.Path, i.Size, i.SHA256, len(data), Digest(sum))
	}
	r, err := decompress(path.Ext(i.Path), data)
	if err != nil {
		return "", refuse(ErrIndex, "%s: %v", i.Path, err)
	}
	var text strings.Builder
	n, err := io.Copy(&text, io.LimitReader(r, MaxIndex+1))
	if err != nil {
		return "", refuse(ErrIndex, "%s: %v", i.Path, err)
	}
	if n > MaxIndex {
		return "", refuse(ErrIndex, "%s: larger than %d bytes", i.Path, MaxIndex)
	}
	return text.String(), nil
}
