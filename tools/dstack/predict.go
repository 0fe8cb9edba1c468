package dstack

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// Release is a version of dstack's guest image; it decides which events a boot has.
type Release struct{ Major, Minor, Patch int }

var releasePattern = regexp.MustCompile(`^([0-9]{1,5})\.([0-9]{1,5})\.([0-9]{1,5})(?:[.-][0-9A-Za-z.-]+)?$`)

// ParseRelease reads MAJOR.MINOR.PATCH as in an image's metadata.json; a suffix such as ".a1" is left aside, as dstack-vmm does.
func ParseRelease(s string) (Release, error) {
	m := releasePattern.FindStringSubmatch(s)
	if m == nil {
		return Release{}, fmt.Errorf("dstack release: expected a version such as 0.5.11, got %s", shown(s))
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // five digits fit
	}
	return Release{n[0], n[1], n[2]}, nil
}

func (r Release) String() string { return fmt.Sprintf("%d.%d.%d", r.Major, r.Minor, r.Patch) }

func (r Release) before(other Release) bool {
	return slices.Compare([]int{r.Major, r.Minor, r.Patch}, []int{other.Major, other.Minor, other.Patch}) < 0
}

// Releases that changed what is measured.
var (
	release052 = Release{0, 5, 2} // the oldest whose source was read
	release055 = Release{0, 5, 5} // storage-fs
	release056 = Release{0, 5, 6} // key provider tpm
	release060 = Release{0, 6, 0} // GPU policy, init scripts, given app ids; no mr-kms
)

// Launch is what a boot depends on besides the compose file.
type Launch struct {
	Release Release
	// App is the id that the application was given; nil takes that of the compose hash.
	App *AppID
	// Instance is empty exactly for an application with no_instance_id.
	Instance InstanceID
	// KeyProviderID is the provider's id; nil takes the one that the compose file pins.
	KeyProviderID []byte
	// Image is needed with a KMS, which tells it to the guest.
	Image *ImageHash
	// KMSMeasurements are the mr_aggregated of each KMS that was connected to, where dstack 0.5 extends them.
	KMSMeasurements []Hash
	// GPUs says that the machine has some; only the mr_config document of dstack 0.6 depends on it.
	GPUs bool
	// GPUAttestation is the payload that a dstack 0.6 guest with GPUs extends.
	GPUAttestation []byte
}

// PredictBoot tells what a guest of the release extends into RTMR3 when it boots the compose file. The events and the register
// are [Boot.Events] and [Boot.RTMR3]. It refuses a launch that the release would refuse, and one in which a fact is missing.
func PredictBoot(compose *AppCompose, l Launch) (Boot, error) {
	if err := l.check(compose); err != nil {
		return Boot{}, fmt.Errorf("predict RTMR3 with dstack %s: %w", l.Release, err)
	}
	b := Boot{
		Version:         EventV1,
		App:             compose.Hash().AppID(),
		Compose:         compose.Hash(),
		Instance:        l.Instance,
		KMSMeasurements: l.KMSMeasurements,
		KeyProvider:     KeyProviderInfo{Kind: compose.KeyProvider, ID: l.KeyProviderID},
		Image:           l.Image,
	}
	if l.App != nil {
		b.App = *l.App
	}
	if l.KeyProviderID == nil {
		b.KeyProvider.ID = compose.KeyProviderID
	}
	if !l.Release.before(release055) {
		b.StorageFS = compose.StorageFS
		if b.StorageFS == "" {
			b.StorageFS = StorageZFS // unless the kernel command line says dstack.storage_fs=, which no released image does
		}
	}
	if !l.Release.before(release060) {
		policy, err := compose.GPUPolicyHash()
		if err != nil {
			return Boot{}, err
		}
		b.GPUPolicy = &policy
		b.GPUAttestation = l.GPUAttestation
		b.InitScripts = compose.InitScriptHashes()
		b.Version = compose.EventVersion
	}
	return b, b.check()
}

func (l Launch) check(compose *AppCompose) error {
	old := l.Release.before(release060)
	kms := compose.KeyProvider == KeyProviderKMS
	switch {
	case l.Release.before(release052):
		return errors.New("expected release 0.5.2 or later")
	case len(compose.raw) == 0:
		return errors.New("the compose file was not parsed or rendered, so that it has no hash")
	case old && compose.ManifestVersion > 2:
		return fmt.Errorf("manifest_version %d needs release 0.6.0", compose.ManifestVersion)
	case old && compose.EventVersion != EventV1:
		return fmt.Errorf("event_log_version %d needs release 0.6.0", compose.EventVersion)
	case old && l.GPUAttestation != nil:
		return errors.New("GPU attestation events need release 0.6.0")
	case old && l.App != nil && !kms && *l.App != compose.Hash().AppID():
		// Until 0.5.11 the guest takes a given id only where a KMS vouches for it.
		return fmt.Errorf("app id: without a KMS it is that of the compose hash, %s, not %s", compose.Hash().AppID(), l.App)
	case l.Release.before(release056) && compose.KeyProvider == KeyProviderTPM:
		return errors.New("key provider tpm needs release 0.5.6")
	case compose.NoInstanceID != l.Instance.IsEmpty():
		return fmt.Errorf("instance id: expected it empty exactly with no_instance_id, got %q", l.Instance)
	case kms && l.Image == nil:
		return errors.New("os image hash: a KMS tells one, and none was given")
	case l.KeyProviderID != nil && len(compose.KeyProviderID) > 0 && !bytes.Equal(l.KeyProviderID, compose.KeyProviderID):
		return fmt.Errorf("key provider id: the compose file pins %x, got %x", compose.KeyProviderID, l.KeyProviderID)
	case !old && l.KMSMeasurements != nil:
		return fmt.Errorf("%s events are gone since release 0.6.0", eventKMSMeasurement)
	}
	return nil
}
