package dstack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/dstack/internal/keccak"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// ErrNoConfigID means that mr_config_id is zero: dstack was configured not to set it. The guest lets that pass; nothing of
// the launch is then bound before the guest measures it.
var ErrNoConfigID = errors.New("mr_config_id is zero: the host did not bind the launch")

// ConfigMismatchError says that an mr_config_id is not that of a launch.
type ConfigMismatchError struct {
	What      string // "mr_config_id", or the member of the mr_config document
	Want, Got string
}

func (e *ConfigMismatchError) Error() string {
	return fmt.Sprintf("%s: expected %s, got %s", e.What, e.Want, e.Got)
}

// kindBytes number the key providers in form 2 (mr_config.rs key_provider_kind_byte).
var kindBytes = map[KeyProvider]byte{KeyProviderNone: 0, KeyProviderLocal: 1, KeyProviderKMS: 2, KeyProviderTPM: 3}

// configID puts the form before the 32 bytes and zeros behind.
func configID(form byte, value []byte) (c ConfigID) {
	c[0] = form
	copy(c[1:], value)
	return c
}

// ConfigIDV1 is form 1, for a compose file that pins no key provider: the compose hash itself.
func ConfigIDV1(compose ComposeHash) ConfigID { return configID(1, compose[:]) }

// ConfigIDV2 is form 2, of dstack 0.5 for a compose file that pins its key provider; guests of 0.6 still accept it.
func ConfigIDV2(compose ComposeHash, app AppID, provider KeyProvider, providerID []byte) (ConfigID, error) {
	kind, ok := kindBytes[provider]
	if !ok {
		return ConfigID{}, fmt.Errorf("mr_config_id: key provider: expected one of %v, got %s", keyProviders, shown(string(provider)))
	}
	return configID(2, keccak256(compose[:], app[:], []byte{kind}, providerID)), nil
}

// ConfigIDV3 is form 3, of dstack 0.6 for a compose file that pins its key provider. It is over the exact bytes of the document
// that the host puts in .sys-config.json as mr_config; see [ParseMRConfig].
func ConfigIDV3(document []byte) ConfigID {
	h := sha256.New()
	h.Write([]byte("dstack-mr-config-v3:\x00")) // mr_config.rs MR_CONFIG_V3_DOCUMENT_HASH_DOMAIN
	h.Write(document)
	return configID(3, h.Sum(nil))
}

func keccak256(parts ...[]byte) []byte {
	sum := keccak.Sum256(parts...)
	return sum[:]
}

// MRConfig is the document of form 3. Nil members are not pinned.
type MRConfig struct {
	App           *AppID
	Compose       ComposeHash
	GPUPolicy     *Hash
	InitScripts   []Hash // nil: not pinned; empty: pinned to none
	Instance      *InstanceID
	KeyProvider   KeyProvider
	KeyProviderID []byte
}

// maxMRConfig bounds a document; the longest has about 1 KiB. The file around it may have 32 KiB.
const maxMRConfig = 32 << 10

// ParseMRConfig reads the document of form 3, in canonical form or not: what binds it is its hash.
func ParseMRConfig(document []byte) (*MRConfig, error) {
	if len(document) > maxMRConfig {
		return nil, fmt.Errorf("mr_config: expected at most %d bytes, got %d", maxMRConfig, len(document))
	}
	var members struct {
		App           *AppID       `json:"app_id"`
		Compose       *ComposeHash `json:"compose_hash"`
		GPUPolicy     *Hash        `json:"gpu_policy_hash"`
		InitScripts   *[]*Hash     `json:"init_script_hashes"`
		Instance      *InstanceID  `json:"instance_id"`
		KeyProvider   KeyProvider  `json:"key_provider"`
		KeyProviderID *string      `json:"key_provider_id"`
		Version       *int         `json:"version"`
	}
	if err := strictjson.Unmarshal(document, &members); err != nil {
		return nil, fmt.Errorf("mr_config: %w", err)
	}
	m := &MRConfig{App: members.App, GPUPolicy: members.GPUPolicy, Instance: members.Instance, KeyProvider: members.KeyProvider}
	switch {
	case members.Compose == nil:
		return nil, errors.New("mr_config: compose_hash: the member is missing")
	case !slices.Contains(keyProviders, m.KeyProvider):
		return nil, fmt.Errorf("mr_config: key_provider: expected one of %v, got %s", keyProviders, shown(string(m.KeyProvider)))
	case members.Version != nil && *members.Version != 3:
		return nil, fmt.Errorf("mr_config: version: expected 3, got %d", *members.Version)
	}
	m.Compose = *members.Compose
	if members.InitScripts != nil {
		if len(*members.InitScripts) > maxInitScripts {
			return nil, fmt.Errorf("mr_config: init_script_hashes: expected at most %d, got %d", maxInitScripts, len(*members.InitScripts))
		}
		m.InitScripts = []Hash{}
		for i, h := range *members.InitScripts {
			if h == nil {
				return nil, fmt.Errorf("mr_config: init_script_hashes[%d]: expected a hash, got null", i)
			}
			m.InitScripts = append(m.InitScripts, *h)
		}
	}
	if members.KeyProviderID != nil {
		id, err := decodeBytes(*members.KeyProviderID)
		if err != nil {
			return nil, fmt.Errorf("mr_config: key_provider_id: %w", err)
		}
		m.KeyProviderID = id
	}
	return m, nil
}

// Document writes the canonical form, which is what dstack-vmm puts in .sys-config.json. An empty key provider id and an
// empty instance id are left out, as there.
func (m *MRConfig) Document() ([]byte, error) {
	members := map[string]any{
		"compose_hash": m.Compose.String(), "key_provider": string(m.KeyProvider), "version": json.Number("3"),
	}
	if m.App != nil {
		members["app_id"] = m.App.String()
	}
	if m.GPUPolicy != nil {
		members["gpu_policy_hash"] = m.GPUPolicy.String()
	}
	if m.InitScripts != nil {
		hashes := []any{}
		for _, h := range m.InitScripts {
			hashes = append(hashes, h.String())
		}
		members["init_script_hashes"] = hashes
	}
	if m.Instance != nil && !m.Instance.IsEmpty() {
		members["instance_id"] = m.Instance.String()
	}
	if len(m.KeyProviderID) > 0 {
		members["key_provider_id"] = hex.EncodeToString(m.KeyProviderID)
	}
	document, err := appendNormal(nil, "", members)
	if err != nil {
		return nil, err
	}
	_, err = ParseMRConfig(document)
	return document, err
}

// ConfigIDFor is the mr_config_id that dstack-vmm of a release gives a launch on bare metal: form 1 where the compose file pins
// no key provider, and otherwise form 2 until 0.5.11 and form 3 after, whose document is returned with it
// (dstack/vmm/src/app/mr_config.rs prepare_mr_config_v3; tag v0.5.8, vmm/src/app/qemu.rs).
func ConfigIDFor(compose *AppCompose, l Launch) (ConfigID, []byte, error) {
	boot, err := PredictBoot(compose, l)
	if err != nil {
		return ConfigID{}, nil, err
	}
	switch {
	case len(compose.KeyProviderID) == 0:
		return ConfigIDV1(boot.Compose), nil, nil
	case l.Release.before(release060):
		id, err := ConfigIDV2(boot.Compose, boot.App, compose.KeyProvider, compose.KeyProviderID)
		return id, nil, err
	}
	m := &MRConfig{
		App: &boot.App, Compose: boot.Compose, Instance: &boot.Instance,
		KeyProvider: compose.KeyProvider, KeyProviderID: compose.KeyProviderID,
	}
	if l.GPUs {
		m.GPUPolicy = boot.GPUPolicy
	}
	if compose.ManifestVersion >= 3 {
		m.InitScripts = append([]Hash{}, boot.InitScripts...) // an empty list says that there are none
	}
	document, err := m.Document()
	return ConfigIDV3(document), document, err
}

// CheckConfigID holds an mr_config_id to a boot, as the guest does (config_id_verifier.rs), except that zero is the error
// [ErrNoConfigID] and not a pass. Form 3 needs the document. Another value is a [*ConfigMismatchError].
func CheckConfigID(id ConfigID, b Boot, document []byte) error {
	if id.IsZero() {
		return ErrNoConfigID
	}
	var want ConfigID
	var err error
	switch id[0] {
	case 1:
		want = ConfigIDV1(b.Compose)
	case 2:
		want, err = ConfigIDV2(b.Compose, b.App, b.KeyProvider.Kind, b.KeyProvider.ID)
	case 3:
		want = ConfigIDV3(document)
		err = checkDocument(document, b)
	default:
		return fmt.Errorf("mr_config_id: expected form 1, 2 or 3 in its first byte, got %d", id[0])
	}
	if err != nil {
		return err
	}
	if id != want {
		return &ConfigMismatchError{"mr_config_id", want.String(), id.String()}
	}
	return nil
}

func checkDocument(document []byte, b Boot) error {
	if len(document) == 0 {
		return errors.New("mr_config_id: form 3 is over the mr_config document, and none was given")
	}
	m, err := ParseMRConfig(document)
	if err != nil {
		return err
	}
	mismatch := func(what string, want, got any) error {
		return &ConfigMismatchError{"mr_config." + what, fmt.Sprint(want), fmt.Sprint(got)}
	}
	switch {
	case m.Compose != b.Compose:
		return mismatch("compose_hash", b.Compose, m.Compose)
	case m.App != nil && *m.App != b.App:
		return mismatch("app_id", b.App, m.App)
	case m.Instance != nil && *m.Instance != b.Instance:
		return mismatch("instance_id", b.Instance, m.Instance)
	case m.KeyProvider != b.KeyProvider.Kind:
		return mismatch("key_provider", b.KeyProvider.Kind, m.KeyProvider)
	case m.KeyProviderID != nil && !bytes.Equal(m.KeyProviderID, b.KeyProvider.ID):
		return mismatch("key_provider_id", hex.EncodeToString(b.KeyProvider.ID), hex.EncodeToString(m.KeyProviderID))
	case m.GPUPolicy != nil && b.GPUPolicy == nil:
		return mismatch("gpu_policy_hash", "none, as the log has no such event", m.GPUPolicy)
	case m.GPUPolicy != nil && *m.GPUPolicy != *b.GPUPolicy:
		return mismatch("gpu_policy_hash", b.GPUPolicy, m.GPUPolicy)
	case m.InitScripts != nil && !slices.Equal(m.InitScripts, b.InitScripts):
		return mismatch("init_script_hashes", b.InitScripts, m.InitScripts)
	}
	return nil
}
