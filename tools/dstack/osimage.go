package dstack

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Names of files in a guest image.
const (
	ChecksumFile       = "sha256sum.txt"
	DigestFile         = "digest.txt"
	TDXMeasurementFile = "measurement.tdx.cbor"
)

// checksumOrder is the order that dstack's image build lists files in; the first four are in every image (os/image).
var checksumOrder = []string{
	"ovmf.fd", "bzImage", "initramfs.cpio.gz", "metadata.json", TDXMeasurementFile, "measurement.snp.cbor", "measurement.gcp.cbor",
	"measurement.aws.cbor", "measurement.aws.replay.json",
}

const mandatoryChecksums = 4

// maxChecksums bounds a checksum file, in bytes; the longest real one has below 1 KiB.
const maxChecksums = 64 << 10

// FileSum is one line of a sha256sum.txt.
type FileSum struct {
	Name string
	Sum  Hash
}

// ImageHashOf is the os_image_hash: the SHA-256 of sha256sum.txt as given.
func ImageHashOf(checksums []byte) ImageHash { return sha256.Sum256(checksums) }

var sumLine = regexp.MustCompile(`^([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)$`)

// ParseChecksums reads a sha256sum.txt in GNU's text form: base names, each once, every line ended. It does not ask which
// files are listed; an image that lists more than another is another image.
func ParseChecksums(file []byte) ([]FileSum, error) {
	if len(file) > maxChecksums {
		return nil, fmt.Errorf("%s: expected at most %d bytes, got %d", ChecksumFile, maxChecksums, len(file))
	}
	if len(file) == 0 || file[len(file)-1] != '\n' {
		return nil, fmt.Errorf("%s: expected lines that end with a line feed, got %s", ChecksumFile, shown(string(file)))
	}
	var sums []FileSum
	for i, line := range strings.Split(strings.TrimSuffix(string(file), "\n"), "\n") {
		m := sumLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%s: line %d: expected 64 lower-case hex digits, two spaces and a file name without a folder, got %s", ChecksumFile, i+1, shown(line))
		}
		if slices.ContainsFunc(sums, func(s FileSum) bool { return s.Name == m[2] }) {
			return nil, fmt.Errorf("%s: line %d: %s stands twice", ChecksumFile, i+1, m[2])
		}
		sum, err := ParseHash(m[1])
		if err != nil {
			return nil, err
		}
		sums = append(sums, FileSum{m[2], sum})
	}
	return sums, nil
}

// WriteChecksums writes the sha256sum.txt of an image, in dstack's order whatever the order given. The first four files of that
// order are needed, and files that dstack does not list are refused: the rootfs is bound by the command line in metadata.json.
func WriteChecksums(sums []FileSum) ([]byte, error) {
	given := make(map[string]Hash)
	for _, s := range sums {
		if !slices.Contains(checksumOrder, s.Name) {
			return nil, fmt.Errorf("%s: expected one of %v, got %s", ChecksumFile, checksumOrder, shown(s.Name))
		}
		if _, twice := given[s.Name]; twice {
			return nil, fmt.Errorf("%s: %s stands twice", ChecksumFile, s.Name)
		}
		given[s.Name] = s.Sum
	}
	var file []byte
	for i, name := range checksumOrder {
		sum, ok := given[name]
		if ok {
			file = fmt.Appendf(file, "%s  %s\n", sum, name)
		} else if i < mandatoryChecksums {
			return nil, fmt.Errorf("%s: %s is missing", ChecksumFile, name)
		}
	}
	return file, nil
}

// ParseDigestFile reads a digest.txt: the os_image_hash and a line feed.
func ParseDigestFile(file []byte) (ImageHash, error) {
	text, ok := strings.CutSuffix(string(file), "\n")
	if !ok {
		return ImageHash{}, fmt.Errorf("%s: expected 64 hex digits and a line feed, got %s", DigestFile, shown(string(file)))
	}
	h, err := ParseImageHash(text)
	if err != nil {
		return ImageHash{}, fmt.Errorf("%s: %w", DigestFile, err)
	}
	return h, nil
}

// WriteDigestFile writes a digest.txt.
func WriteDigestFile(h ImageHash) []byte { return []byte(h.String() + "\n") }

// MeasurementError says that measurement.tdx.cbor is not the one of an image.
type MeasurementError struct {
	What      string
	Want, Got string
}

func (e *MeasurementError) Error() string {
	return fmt.Sprintf("%s: expected %s, got %s", e.What, e.Want, e.Got)
}

// VerifyTDXMeasurement follows the chain of dstack's lite attestation: the checksum file hashes to the image's hash, its one
// line for measurement.tdx.cbor to the measurement, and the measurement is well formed. The checksum file is read by
// sha256sum_entry_hash's rules, as a vm_config may carry less than a whole sha256sum.txt.
func VerifyTDXMeasurement(image ImageHash, checksums, measurement []byte) (*TDXMeasurement, error) {
	if got := ImageHashOf(checksums); got != image {
		return nil, &MeasurementError{"os image hash", image.String(), got.String()}
	}
	want, err := sumOf(checksums, TDXMeasurementFile)
	if err != nil {
		return nil, err
	}
	if got := Hash(sha256.Sum256(measurement)); got != want {
		return nil, &MeasurementError{TDXMeasurementFile, want.String(), got.String()}
	}
	return ParseTDXMeasurement(measurement)
}

// sumOf finds the one line for a name among lines of a hash and a name apart by any space; other lines may say what they like.
func sumOf(checksums []byte, name string) (Hash, error) {
	if len(checksums) > maxChecksums || !utf8.Valid(checksums) {
		return Hash{}, fmt.Errorf("%s: expected at most %d bytes of UTF-8, got %d bytes", ChecksumFile, maxChecksums, len(checksums))
	}
	var found *Hash
	for i, line := range bytes.Split(checksums, []byte("\n")) {
		words := strings.Fields(string(line))
		if len(words) == 0 {
			continue
		}
		if len(words) == 1 {
			return Hash{}, fmt.Errorf("%s: line %d: the file name is missing", ChecksumFile, i+1)
		}
		if words[1] != name {
			continue
		}
		if found != nil {
			return Hash{}, fmt.Errorf("%s: line %d: %s stands twice", ChecksumFile, i+1, name)
		}
		sum, err := ParseHash(words[0])
		if err != nil {
			return Hash{}, fmt.Errorf("%s: line %d: %w", ChecksumFile, i+1, err)
		}
		found = &sum
	}
	if found == nil {
		return Hash{}, errors.New(ChecksumFile + ": there is no line for " + name)
	}
	return *found, nil
}
