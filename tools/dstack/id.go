package dstack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

type (
	// ComposeHash is the SHA-256 of an app-compose.json, byte for byte.
	ComposeHash [32]byte
	// ImageHash is dstack's os_image_hash: the SHA-256 of an image's sha256sum.txt.
	ImageHash [32]byte
	// Hash is any other SHA-256 or Keccak-256 value of dstack, such as mr_aggregated.
	Hash [32]byte
	// Register is a TDX measurement register or a digest that goes into one: 48 bytes of SHA-384.
	Register [48]byte
	// ConfigID is TDX's MRCONFIGID as dstack fills it.
	ConfigID [48]byte
	// AppID names an application. It begins as the first 20 bytes of a compose hash and outlives upgrades of the compose file.
	AppID [20]byte
)

// ComposeHashOf hashes an app-compose.json as given.
func ComposeHashOf(file []byte) ComposeHash { return sha256.Sum256(file) }

// AppID is the application that a compose file starts when it is given no other id.
func (h ComposeHash) AppID() AppID { return AppID(h[:len(AppID{})]) }

// InstanceID names one VM of an application. The zero value is the empty id of an application with no_instance_id.
type InstanceID struct {
	id    [20]byte
	given bool
}

// instanceSeed is the length of instance_id_seed (system_setup.rs measure_app_info).
const instanceSeed = 20

// NewInstanceID derives the id as the guest does: SHA-256(seed ‖ app id ‖ binding), cut to 20 bytes. The binding is empty on
// bare metal; on Google's and Amazon's clouds dstack 0.6 adds the SHA-256 of the virtual TPM's key there.
func NewInstanceID(seed []byte, app AppID, binding []byte) (InstanceID, error) {
	if len(seed) != instanceSeed {
		return InstanceID{}, fmt.Errorf("instance id seed: expected %d bytes, got %d", instanceSeed, len(seed))
	}
	if len(binding) != 0 && len(binding) != sha256.Size {
		return InstanceID{}, fmt.Errorf("instance id binding: expected none or %d bytes, got %d", sha256.Size, len(binding))
	}
	h := sha256.New()
	h.Write(seed)
	h.Write(app[:])
	h.Write(binding)
	return InstanceID{id: [20]byte(h.Sum(nil)[:20]), given: true}, nil
}

// instanceIDFrom takes the payload of an instance-id event.
func instanceIDFrom(payload []byte) (InstanceID, error) {
	switch len(payload) {
	case 0:
		return InstanceID{}, nil
	case 20:
		return InstanceID{id: [20]byte(payload), given: true}, nil
	default:
		return InstanceID{}, fmt.Errorf("expected 20 bytes or none, got %d", len(payload))
	}
}

// Bytes returns the 20 bytes, or none.
func (i InstanceID) Bytes() []byte {
	if !i.given {
		return nil
	}
	return i.id[:]
}

// IsEmpty says that the application has no instance id.
func (i InstanceID) IsEmpty() bool { return !i.given }

// IsZero says that nothing was configured: a machine that dstack started without mr_config_id.
func (c ConfigID) IsZero() bool { return c == ConfigID{} }

// ParseComposeHash reads 64 lower-case hex digits.
func ParseComposeHash(s string) (h ComposeHash, err error) {
	return h, decodeID(h[:], "compose hash", s)
}

// ParseImageHash reads 64 lower-case hex digits.
func ParseImageHash(s string) (h ImageHash, err error) { return h, decodeID(h[:], "os image hash", s) }

// ParseHash reads 64 lower-case hex digits.
func ParseHash(s string) (h Hash, err error) { return h, decodeID(h[:], "hash", s) }

// ParseRegister reads 96 lower-case hex digits.
func ParseRegister(s string) (r Register, err error) { return r, decodeID(r[:], "register", s) }

// ParseConfigID reads 96 lower-case hex digits.
func ParseConfigID(s string) (c ConfigID, err error) { return c, decodeID(c[:], "mr_config_id", s) }

// ParseAppID reads 40 lower-case hex digits.
func ParseAppID(s string) (a AppID, err error) { return a, decodeID(a[:], "app id", s) }

// ParseInstanceID reads 40 lower-case hex digits, or the empty text of an application without instance ids.
func ParseInstanceID(s string) (i InstanceID, err error) {
	if s == "" {
		return i, nil
	}
	i.given = true
	return i, decodeID(i.id[:], "instance id", s)
}

func (h ComposeHash) String() string { return hex.EncodeToString(h[:]) }
func (h ImageHash) String() string   { return hex.EncodeToString(h[:]) }
func (h Hash) String() string        { return hex.EncodeToString(h[:]) }
func (r Register) String() string    { return hex.EncodeToString(r[:]) }
func (c ConfigID) String() string    { return hex.EncodeToString(c[:]) }
func (a AppID) String() string       { return hex.EncodeToString(a[:]) }
func (i InstanceID) String() string  { return hex.EncodeToString(i.Bytes()) }

// MarshalText and UnmarshalText give every id its hex form in JSON.

func (h ComposeHash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }
func (h ImageHash) MarshalText() ([]byte, error)   { return []byte(h.String()), nil }
func (h Hash) MarshalText() ([]byte, error)        { return []byte(h.String()), nil }
func (r Register) MarshalText() ([]byte, error)    { return []byte(r.String()), nil }
func (c ConfigID) MarshalText() ([]byte, error)    { return []byte(c.String()), nil }
func (a AppID) MarshalText() ([]byte, error)       { return []byte(a.String()), nil }
func (i InstanceID) MarshalText() ([]byte, error)  { return []byte(i.String()), nil }

func (h *ComposeHash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseComposeHash(string(text))
	return err
}

func (h *ImageHash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseImageHash(string(text))
	return err
}

func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

func (r *Register) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRegister(string(text))
	return err
}

func (c *ConfigID) UnmarshalText(text []byte) (err error) {
	*c, err = ParseConfigID(string(text))
	return err
}

func (a *AppID) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAppID(string(text))
	return err
}

func (i *InstanceID) UnmarshalText(text []byte) (err error) {
	*i, err = ParseInstanceID(string(text))
	return err
}

// decodeID fills id from lower-case hex of exactly its length. dstack itself takes upper case and 0x in places; what it
// writes has neither, and one spelling for each id lets texts be compared.
func decodeID(id []byte, what, s string) error {
	if len(s) != hex.EncodedLen(len(id)) || !isLowerHex(s) {
		clear(id)
		return fmt.Errorf("%s: expected %d lower-case hex digits, got %s", what, hex.EncodedLen(len(id)), shown(s))
	}
	_, err := hex.Decode(id, []byte(s))
	return err
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// decodeBytes takes lower-case hex of any length.
func decodeBytes(s string) ([]byte, error) {
	if !isLowerHex(s) || len(s)%2 != 0 {
		return nil, fmt.Errorf("expected lower-case hex digits in pairs, got %s", shown(s))
	}
	return hex.DecodeString(s)
}

// shown quotes outside text for an error, cut so that a megabyte of garbage does not become a megabyte of log.
func shown(s string) string {
	const limit = 80
	if len(s) > limit {
		return fmt.Sprintf("%q… (%d bytes)", s[:limit], len(s))
	}
	return fmt.Sprintf("%q", s)
}
