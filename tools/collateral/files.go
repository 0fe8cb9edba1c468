package collateral

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// member is one part of collateral: its name in a bundle, its file in a directory, and what such a file may have in more than one form.
type member struct {
	name, file string
	of         func(*quote.Collateral) *[]byte
	canonical  func(file []byte) []byte
}

// asSigned leaves a document as it is: each of its bytes is signed.
func asSigned(file []byte) []byte { return file }

// derOfCRL is the list in a file, whichever of its forms it has. A file that is none is left to package quote to refuse by name.
func derOfCRL(file []byte) []byte {
	if der, err := decodeCRL(file); err == nil {
		return der
	}
	return file
}

var members = []member{
	{"tcb_info", "tcb_info.json", func(c *quote.Collateral) *[]byte { return &c.TCBInfo }, asSigned},
	{"tcb_info_issuer_chain", "tcb_info_issuer_chain.pem", func(c *quote.Collateral) *[]byte { return &c.TCBInfoChain }, canonicalPEM},
	{"qe_identity", "qe_identity.json", func(c *quote.Collateral) *[]byte { return &c.QEIdentity }, asSigned},
	{"qe_identity_issuer_chain", "qe_identity_issuer_chain.pem", func(c *quote.Collateral) *[]byte { return &c.QEIdentityChain }, canonicalPEM},
	{"pck_crl", "pck_crl.der", func(c *quote.Collateral) *[]byte { return &c.PCKCRL }, derOfCRL},
	{"pck_crl_issuer_chain", "pck_crl_issuer_chain.pem", func(c *quote.Collateral) *[]byte { return &c.PCKCRLChain }, canonicalPEM},
	{"root_ca_crl", "root_ca_crl.der", func(c *quote.Collateral) *[]byte { return &c.RootCRL }, derOfCRL},
}

// Files are the names of the files of a directory with collateral, with their contents. A missing member has no file.
func Files(c quote.Collateral) map[string][]byte {
	files := make(map[string][]byte, len(members))
	for _, m := range members {
		if data := *m.of(&c); data != nil {
			files[m.file] = data
		}
	}
	return files
}

// ReadDirectory reads the files of a directory that [Files] names. One that is not there is a missing member; one that can not be
// read, is no regular file or exceeds [MaxMember] is an error. Chains may have lines that end with CRLF, blank lines around them, or no line
// feed at the end; revocation lists may be PEM or hex digits, too.
func ReadDirectory(dir string) (quote.Collateral, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return quote.Collateral{}, fmt.Errorf("collateral: %w", err)
	}
	defer root.Close()
	var c quote.Collateral
	for _, m := range members {
		data, err := readFile(root, m.file, MaxMember)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return quote.Collateral{}, fmt.Errorf("collateral: %s: %w", dir, err)
		}
		*m.of(&c) = m.canonical(data)
	}
	return c, nil
}

// SizeError says that a file is larger than collateral can be.
type SizeError struct {
	Name  string
	Limit int64 // bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s: expected at most %d bytes, got more", e.Name, e.Limit)
}

// readFile reads a regular file in a folder, of at most limit bytes. A symbolic link may not lead out of the folder.
func readFile(root *os.Root, name string, limit int64) ([]byte, error) {
	// Opening a named pipe waits for a writer, so its kind comes first.
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: expected a regular file, got %s", name, info.Mode().Type())
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &SizeError{name, limit}
	}
	return data, nil
}

const (
	bundleFormat = "boardroom-collateral/v1"
	// maxBundle bounds a bundle, in bytes: seven members of at most MaxMember would be more, and what they hold is a hundredth.
	maxBundle = 4 << 20
)

// bundle is the JSON form. A member that is not there is told from an empty one, and neither is allowed.
type bundle struct {
	Format          string `json:"format"`
	TCBInfo         string `json:"tcb_info"`
	TCBInfoChain    string `json:"tcb_info_issuer_chain"`
	QEIdentity      string `json:"qe_identity"`
	QEIdentityChain string `json:"qe_identity_issuer_chain"`
	PCKCRL          []byte `json:"pck_crl"`
	PCKCRLChain     string `json:"pck_crl_issuer_chain"`
	RootCRL         []byte `json:"root_ca_crl"`
}

// BundleError says why bytes are not a bundle.
type BundleError struct{ Reason string }

func (e *BundleError) Error() string { return "bundle of collateral: " + e.Reason }

// ReadBundle reads the file of a bundle. The error wraps a [*BundleError] if the file is something else.
func ReadBundle(path string) (quote.Collateral, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return quote.Collateral{}, fmt.Errorf("collateral: %w", err)
	}
	defer root.Close()
	data, err := readFile(root, filepath.Base(path), maxBundle)
	if err != nil {
		return quote.Collateral{}, fmt.Errorf("collateral: %w", err)
	}
	c, err := ParseBundle(data)
	if err != nil {
		return quote.Collateral{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ParseBundle reads a bundle. What its members say is for package quote to judge. The error is a [*BundleError].
func ParseBundle(data []byte) (quote.Collateral, error) {
	if len(data) > maxBundle {
		return quote.Collateral{}, &BundleError{fmt.Sprintf("expected at most %d bytes, got %d", maxBundle, len(data))}
	}
	// A later version may have other members, and is to be refused for its version.
	var all map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &all); err != nil {
		return quote.Collateral{}, &BundleError{err.Error()}
	}
	var b bundle
	raw, is := all["format"]
	if !is {
		return quote.Collateral{}, &BundleError{fmt.Sprintf("format: expected %q, and it is missing", bundleFormat)}
	}
	if json.Unmarshal(raw, &b.Format) != nil || b.Format != bundleFormat {
		return quote.Collateral{}, &BundleError{fmt.Sprintf("format: expected %q, got %s", bundleFormat, shown(raw))}
	}
	if err := strictjson.Unmarshal(data, &b); err != nil {
		return quote.Collateral{}, &BundleError{err.Error()}
	}
	c := quote.Collateral{
		TCBInfo: []byte(b.TCBInfo), TCBInfoChain: []byte(b.TCBInfoChain), QEIdentity: []byte(b.QEIdentity), QEIdentityChain: []byte(b.QEIdentityChain),
		PCKCRL: b.PCKCRL, PCKCRLChain: []byte(b.PCKCRLChain), RootCRL: b.RootCRL,
	}
	for _, m := range members {
		if n := len(*m.of(&c)); n == 0 || n > MaxMember {
			return quote.Collateral{}, &BundleError{fmt.Sprintf("%s: expected 1 to %d bytes, got %d", m.name, MaxMember, n)}
		}
	}
	return c, nil
}

// MarshalBundle writes a bundle. The error is a [*BundleError] if a bundle can not hold the collateral: a member is missing, or is no
// text where one is expected.
func MarshalBundle(c quote.Collateral) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(bundle{
		Format: bundleFormat, TCBInfo: string(c.TCBInfo), TCBInfoChain: string(c.TCBInfoChain), QEIdentity: string(c.QEIdentity),
		QEIdentityChain: string(c.QEIdentityChain), PCKCRL: c.PCKCRL, PCKCRLChain: string(c.PCKCRLChain), RootCRL: c.RootCRL,
	})
	if err != nil {
		return nil, err
	}
	// JSON can not hold what is not UTF-8, and the encoder would replace it.
	again, err := ParseBundle(out.Bytes())
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if !bytes.Equal(*m.of(&c), *m.of(&again)) {
			return nil, &BundleError{m.name + ": expected UTF-8 text, got other bytes"}
		}
	}
	return out.Bytes(), nil
}
