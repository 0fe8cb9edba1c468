package dstack

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
)

// TDX holds the values of a TD report that dstack derives identities from.
type TDX struct {
	MRTD, RTMR0, RTMR1, RTMR2 Register
	ConfigID                  ConfigID
	Owner, OwnerConfig        Register // MROWNER and MROWNERCONFIG
}

// MRKeyProvider is the SHA-256 of the key-provider event's payload, or zeros while there is none.
func (k KeyProviderInfo) MRKeyProvider() Hash { return sha256.Sum256(k.Payload()) }

// MRSystem is dstack's name for hardware, image and key provider (attestation.rs decode_mr_tdx_from_quote). keyProvider is
// zero at boot time.
func (t TDX) MRSystem(keyProvider Hash) Hash {
	h := sha256.New()
	for _, r := range []Register{t.MRTD, t.RTMR0, t.RTMR1, t.RTMR2} {
		h.Write(r[:])
	}
	h.Write(keyProvider[:])
	return Hash(h.Sum(nil))
}

// MRAggregated is dstack's name for everything measured, and what authorises a KMS. The last three values of the report count
// only where one of them is not zero.
func (t TDX) MRAggregated(rtmr3 Register) Hash {
	h := sha256.New()
	for _, r := range []Register{t.MRTD, t.RTMR0, t.RTMR1, t.RTMR2, rtmr3} {
		h.Write(r[:])
	}
	if !t.ConfigID.IsZero() || t.Owner != (Register{}) || t.OwnerConfig != (Register{}) {
		h.Write(t.ConfigID[:])
		h.Write(t.Owner[:])
		h.Write(t.OwnerConfig[:])
	}
	return Hash(h.Sum(nil))
}

// Identities are what dstack's KMS and verifier derive from a report and its runtime events.
type Identities struct {
	// MRSystem and MRAggregated count the whole log: what the verifier shows, and what a KMS sees when it releases keys, as the
	// log then ends with boot-mr-done.
	MRSystem     Hash `json:"mr_system"`
	MRAggregated Hash `json:"mr_aggregated"`
	// The boot-time values stop at boot-mr-done and know no key provider: what a KMS sees when it signs a certificate.
	BoottimeMRSystem     Hash `json:"boottime_mr_system"`
	BoottimeMRAggregated Hash `json:"boottime_mr_aggregated"`
	// RTMR3 is the replay of the whole log, BoottimeRTMR3 that up to boot-mr-done.
	RTMR3         Register `json:"rtmr3"`
	BoottimeRTMR3 Register `json:"boottime_rtmr3"`
}

// Identities derives the values of a boot.
func (t TDX) Identities(b Boot) (Identities, error) {
	all, boottime, err := b.RTMR3()
	if err != nil {
		return Identities{}, err
	}
	return Identities{
		MRSystem:             t.MRSystem(b.KeyProvider.MRKeyProvider()),
		MRAggregated:         t.MRAggregated(all),
		BoottimeMRSystem:     t.MRSystem(Hash{}),
		BoottimeMRAggregated: t.MRAggregated(boottime),
		RTMR3:                all,
		BoottimeRTMR3:        boottime,
	}, nil
}

// DeviceID is the SHA-256 of the platform's PPID, 16 bytes of the PCK certificate; dstack 0.5.6 and later. Before a quote is
// verified there is no PPID, and dstack then shows the hash of nothing: pass none to get that value.
func DeviceID(ppid []byte) (Hash, error) {
	if len(ppid) != 0 && len(ppid) != 16 {
		return Hash{}, fmt.Errorf("device id: expected a PPID of 16 bytes or none, got %d bytes", len(ppid))
	}
	return sha256.Sum256(ppid), nil
}

// OldDeviceID is the device id until dstack 0.5.5: the SHA-256 of the user data in a quote's header.
func OldDeviceID(userData [20]byte) Hash { return sha256.Sum256(userData[:]) }

// LaunchTokenHash is requirements.launch_token_hash for a token (dstack-types/src/lib.rs launch_token_hash). The hash is
// public, so the guest refuses tokens below 32 bytes, and so does this.
func LaunchTokenHash(token string) (Hash, error) {
	const shortest = 32 // system_setup.rs LAUNCH_TOKEN_MIN_LEN
	if len(token) < shortest {
		return Hash{}, fmt.Errorf("launch token: expected at least %d bytes, got %d", shortest, len(token))
	}
	return sha256.Sum256([]byte("dstack-launch-token/v1:" + token)), nil
}

// KeyBinding is the report data of a quote that vouches for the key of an RA-TLS certificate, given as DER SubjectPublicKeyInfo
// (dstack-attest/src/attestation.rs QuoteContentType::RaTlsCert).
func KeyBinding(publicKey []byte) [64]byte {
	return sha512.Sum512(append([]byte("ratls-cert:"), publicKey...))
}

// KMSKeyBinding is the report data of the quote that a KMS makes when it generates its root keys: ca is the root CA's public key
// as DER SubjectPublicKeyInfo, k256 the compressed secp256k1 key. The misspelling is dstack's (dstack/kms/src/onboard_service.rs).
func KMSKeyBinding(ca []byte, k256 [33]byte) (data [64]byte) {
	copy(data[:], keccak256(fmt.Appendf(nil, "dstack-kms-genereted-keys-v1:%x;%x;", ca, k256)))
	return data
}
