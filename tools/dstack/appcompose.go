package dstack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Sizes of app-compose.json that guests copy from the host (dstack/dstack-util/src/host_api.rs, by release).
const (
	// MaxAppCompose is what every release takes, 0.5.2 to 0.5.4 being the narrowest: 128 KiB.
	MaxAppCompose = 128 << 10
	// MaxForeignAppCompose is what dstack 0.6.0 takes: 50 MiB.
	MaxForeignAppCompose = 50 << 20
)

// KeyProvider is where an application's keys come from, in the spelling of app-compose.json.
type KeyProvider string

// Key providers (dstack-types/src/lib.rs KeyProviderKind).
const (
	KeyProviderNone  KeyProvider = "none"
	KeyProviderLocal KeyProvider = "local"
	KeyProviderKMS   KeyProvider = "kms"
	KeyProviderTPM   KeyProvider = "tpm" // dstack 0.5.6 and later
)

var keyProviders = []KeyProvider{KeyProviderNone, KeyProviderLocal, KeyProviderKMS, KeyProviderTPM}

// Runners of app-compose.json.
const (
	RunnerDockerCompose  = "docker-compose"
	RunnerNerdctlCompose = "nerdctl-compose" // manifest version 3
	RunnerBash           = "bash"
)

// Filesystems of the data disk, as in storage_fs and in the storage-fs event.
const (
	StorageZFS  = "zfs"
	StorageExt4 = "ext4"
)

// maxInitScripts is dstack-types/src/lib.rs MAX_INIT_SCRIPTS.
const maxInitScripts = 5

// AppCompose is what an app-compose.json says. A member that the file leaves out has dstack's default for it.
type AppCompose struct {
	// ManifestVersion is 1, 2 or 3.
	ManifestVersion int
	Name            string
	Runner          string
	// DockerComposeFile is the text for the compose runners, BashScript that for bash.
	DockerComposeFile string
	BashScript        string
	// PreLaunchScript runs before the containers start, InitScripts before the container engine does.
	PreLaunchScript string
	InitScripts     []string

	KeyProvider KeyProvider
	// KeyProviderID pins the provider: the KMS root CA's public key (DER), or the local provider's MRENCLAVE. Empty pins nothing.
	KeyProviderID []byte
	// Gateway says that dstack's gateway routes to the application.
	Gateway bool
	// AllowedEnvs are the names that encrypted environment variables may have; the guest drops others.
	AllowedEnvs []string

	PublicLogs    bool
	PublicSysinfo bool
	PublicTCBInfo bool
	NoInstanceID  bool
	SecureTime    bool

	// StorageFS is empty where the file says nothing; the guest then takes zfs, or what its kernel command line says.
	StorageFS string
	// SwapSize is in bytes.
	SwapSize   uint64
	PortPolicy *PortPolicy
	// Snapshotter is for nerdctl-compose.
	Snapshotter   string
	EventVersion  EventVersion
	Requirements  *Requirements
	VerityVolumes []VerityVolume

	// Ignored are the members that this package and dstack have no meaning for; only a foreign file has any.
	Ignored []string

	gpuPolicy []byte // requirements.gpu_policy as given, for its hash
	raw       []byte
}

// PortPolicy says which ports the gateway may reach.
type PortPolicy struct {
	Ports    []PortRule
	Restrict bool // restrict_mode: no ports but these
}

// PortRule is one port of a [PortPolicy].
type PortRule struct {
	Port          uint16
	ProxyProtocol bool
}

// Requirements bind the application to an environment; the guest refuses to boot elsewhere. They need manifest version 3.
type Requirements struct {
	OSVersion            string   // semver requirement; empty: any
	Platforms            []string // nil: any
	TDXMeasureACPITables *bool
	LaunchTokenHash      *Hash
	GPUPolicy            *GPUPolicy
}

// GPUPolicy is requirements.gpu_policy.
type GPUPolicy struct {
	AttestGPU                                    bool
	Rego                                         string
	AllowDevtools, AllowDebug, AllowInsecureBoot bool
}

// VerityVolume is a read-only disk that the host attaches.
type VerityVolume struct {
	Source string
	Root   Hash
	Target string
}

// FieldError names the member of an app-compose.json that does not hold.
type FieldError struct {
	// Field is a path such as "requirements.platforms[0]"; it is empty for the document as a whole.
	Field string
	Err   error
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return "app-compose: " + e.Err.Error()
	}
	return "app-compose: " + e.Field + ": " + e.Err.Error()
}

func (e *FieldError) Unwrap() error { return e.Err }

// ParseAppCompose reads an app-compose.json of ours: besides what dstack demands, every member is known, none is deprecated
// or null, none contradicts another, and the file is small enough for every release. The error is a [*FieldError].
func ParseAppCompose(file []byte) (*AppCompose, error) { return parseAppCompose(file, false) }

// ParseForeignAppCompose reads an app-compose.json of somebody else as dstack's guest would: unknown members are ignored
// (and listed in Ignored), deprecated ones count, null is absence. It refuses what the guest refuses, and two members of one
// name. The error is a [*FieldError].
func ParseForeignAppCompose(file []byte) (*AppCompose, error) { return parseAppCompose(file, true) }

func parseAppCompose(file []byte, foreign bool) (*AppCompose, error) {
	limit := MaxAppCompose
	if foreign {
		limit = MaxForeignAppCompose
	}
	if len(file) > limit {
		return nil, &FieldError{Err: fmt.Errorf("expected at most %d bytes, got %d", limit, len(file))}
	}
	o := newObject(file, foreign)
	a := &AppCompose{raw: bytes.Clone(file)}
	a.readWhat(o)
	a.readKeys(o)
	a.readAccess(o)
	a.readMachine(o)
	a.Ignored = o.unknown()
	if o.err() == nil {
		a.check(o)
	}
	if err := o.err(); err != nil {
		return nil, err
	}
	return a, nil
}

// Raw returns the file as it was given, and nothing for a document that was not parsed.
func (a *AppCompose) Raw() []byte { return bytes.Clone(a.raw) }

// Hash is the compose hash of the file as it was given.
func (a *AppCompose) Hash() ComposeHash { return ComposeHashOf(a.raw) }

// readWhat reads what is run.
func (a *AppCompose) readWhat(o *object) {
	a.ManifestVersion = readManifestVersion(o)
	o.need("name", &a.Name)
	o.need("runner", &a.Runner)
	o.read("docker_compose_file", &a.DockerComposeFile)
	o.read("bash_script", &a.BashScript)
	o.read("pre_launch_script", &a.PreLaunchScript)
	a.InitScripts = readInitScripts(o)
	o.read("snapshotter", &a.Snapshotter)
}

// readKeys reads where keys come from. The explicit member wins over the older flags (dstack-types AppCompose::key_provider).
func (a *AppCompose) readKeys(o *object) {
	var kms, local bool
	o.read("kms_enabled", &kms)
	o.read("local_key_provider_enabled", &local)
	a.KeyProvider = KeyProviderNone
	if local {
		a.KeyProvider = KeyProviderLocal
	}
	if kms {
		a.KeyProvider = KeyProviderKMS
	}
	if o.read("key_provider", &a.KeyProvider) {
		if !slices.Contains(keyProviders, a.KeyProvider) {
			o.refuse("key_provider", "expected one of %v, got %s", keyProviders, shown(string(a.KeyProvider)))
		}
		if !o.foreign && kms != (a.KeyProvider == KeyProviderKMS) {
			o.refuse("kms_enabled", "expected %t, because key_provider is %s", !kms, a.KeyProvider)
		}
		if !o.foreign && local != (a.KeyProvider == KeyProviderLocal) {
			o.refuse("local_key_provider_enabled", "expected %t, because key_provider is %s", !local, a.KeyProvider)
		}
	}
	var id string
	if o.read("key_provider_id", &id) && id != "" {
		bytes, err := decodeBytes(id)
		if o.foreign && err != nil {
			bytes, err = hex.DecodeString(strings.TrimPrefix(id, "0x"))
		}
		if err != nil {
			o.refuse("key_provider_id", "%w", err)
		}
		a.KeyProviderID = bytes
	}
}

// readAccess reads who may see and set what.
func (a *AppCompose) readAccess(o *object) {
	a.PublicTCBInfo, a.SecureTime = true, true // the two defaults that are not false (lib.rs default_true)
	o.read("public_logs", &a.PublicLogs)
	o.read("public_sysinfo", &a.PublicSysinfo)
	o.read("public_tcbinfo", &a.PublicTCBInfo)
	o.read("no_instance_id", &a.NoInstanceID)
	o.read("secure_time", &a.SecureTime)
	o.read("gateway_enabled", &a.Gateway)
	a.AllowedEnvs = o.texts("allowed_envs")
	if !o.foreign {
		return
	}
	// Deprecated names of the gateway, from when it was called tproxy.
	var tproxy bool
	o.read("tproxy_enabled", &tproxy)
	a.Gateway = a.Gateway || tproxy || slices.Contains(o.texts("features"), "tproxy-net")
}

// readMachine reads what the guest sets up around the application.
func (a *AppCompose) readMachine(o *object) {
	if o.read("storage_fs", &a.StorageFS) && o.foreign {
		a.StorageFS = strings.ToLower(a.StorageFS) // system_setup.rs FsType::from_str
	}
	if o.has("storage_fs") && a.StorageFS != StorageZFS && a.StorageFS != StorageExt4 {
		o.refuse("storage_fs", "expected zfs or ext4, got %s", shown(a.StorageFS))
	}
	a.SwapSize = readSwapSize(o)
	a.EventVersion = EventV1
	if o.read("event_log_version", &a.EventVersion) && a.EventVersion != EventV1 && a.EventVersion != EventV2 {
		o.refuse("event_log_version", "expected 1 or 2, got %d", a.EventVersion)
	}
	if p := o.object("port_policy"); p != nil {
		a.PortPolicy = readPortPolicy(p)
	}
	if r := o.object("requirements"); r != nil {
		a.Requirements = readRequirements(r)
		a.gpuPolicy = r.members["gpu_policy"]
	}
	for _, v := range o.objects("verity_volumes") {
		a.VerityVolumes = append(a.VerityVolumes, readVerityVolume(v))
	}
}

// readManifestVersion takes the numbers 1 and 2, and canonical decimal texts, which is how dstack 0.6 keeps older guests
// from running version 3.
func readManifestVersion(o *object) int {
	var raw json.RawMessage
	if !o.need("manifest_version", &raw) {
		return 0
	}
	switch string(raw) {
	case "1", `"1"`:
		return 1
	case "2", `"2"`:
		return 2
	case `"3"`:
		return 3
	}
	o.refuse("manifest_version", `expected 1, 2 or "3", got %s`, shown(string(raw)))
	return 0
}

// readInitScripts takes one text or an array of up to five.
func readInitScripts(o *object) []string {
	var raw json.RawMessage
	if !o.read("init_script", &raw) {
		return nil
	}
	if raw[0] == '[' {
		return o.texts("init_script")
	}
	var script string
	o.read("init_script", &script)
	return []string{script}
}

var sizePattern = regexp.MustCompile(`^(?:([0-9]+)([KMGTkmgt]?)|0[xX]([0-9a-fA-F]+))$`)

func parseSize(text string) (uint64, bool) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	if m[3] != "" {
		size, err := strconv.ParseUint(m[3], 16, 64)
		return size, err == nil
	}
	size, err := strconv.ParseUint(m[1], 10, 64)
	shift := 0
	if m[2] != "" {
		shift = 10 * (1 + strings.Index("KMGT", strings.ToUpper(m[2])))
	}
	return size << shift, err == nil && size<<shift>>shift == size
}

// readSwapSize takes a number of bytes, or a text as dstack/size-parser does: decimal with a binary suffix, or 0x and hex.
func readSwapSize(o *object) uint64 {
	var raw json.RawMessage
	if !o.read("swap_size", &raw) {
		return 0
	}
	if raw[0] != '"' {
		var size uint64
		o.read("swap_size", &size)
		return size
	}
	var text string
	o.read("swap_size", &text)
	size, ok := parseSize(text)
	if !ok {
		o.refuse("swap_size", "expected a size such as 4294967296, \"4G\" or \"0x1000\", got %s", shown(text))
	}
	return size
}

func readPortPolicy(o *object) *PortPolicy {
	p := new(PortPolicy)
	o.read("restrict_mode", &p.Restrict)
	for _, rule := range o.objects("ports") {
		var r PortRule
		rule.need("port", &r.Port)
		rule.read("pp", &r.ProxyProtocol)
		rule.unknown()
		p.Ports = append(p.Ports, r)
	}
	o.unknown()
	return p
}

// platforms are the names of TeeVariant (dstack-types/src/lib.rs).
var platforms = []string{"dstack-tdx", "dstack-gcp-tdx", "dstack-amd-sev-snp", "dstack-nitro-enclave", "dstack-aws-nitro-tpm"}

var (
	comparator     = `(?:[\^~=]|[<>]=?)?\s*(?:\*|[0-9]+(?:\.(?:[0-9]+|[*xX])){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)`
	versionPattern = regexp.MustCompile(`^\s*` + comparator + `(?:\s*,\s*` + comparator + `)*\s*$`)
)

func readRequirements(o *object) *Requirements {
	o.closed = true // deny_unknown_fields, in every mode
	r := new(Requirements)
	if o.read("os_version", &r.OSVersion) && !versionPattern.MatchString(r.OSVersion) {
		o.refuse("os_version", "expected a semver requirement such as \">=0.6.0\", got %s", shown(r.OSVersion))
	}
	if o.has("platforms") {
		r.Platforms = o.texts("platforms")
		if len(r.Platforms) == 0 {
			o.refuse("platforms", "expected at least one platform, got none: no machine would boot it")
		}
		for i, name := range r.Platforms {
			if !slices.Contains(platforms, name) {
				o.refuse(fmt.Sprintf("platforms[%d]", i), "expected one of %v, got %s", platforms, shown(name))
			}
		}
	}
	var measure bool
	if o.read("tdx_measure_acpi_tables", &measure) {
		r.TDXMeasureACPITables = &measure
	}
	var token Hash
	if o.read("launch_token_hash", &token) {
		r.LaunchTokenHash = &token
	}
	if p := o.object("gpu_policy"); p != nil {
		r.GPUPolicy = readGPUPolicy(p)
	}
	o.unknown()
	return r
}

func readGPUPolicy(o *object) *GPUPolicy {
	o.closed = true
	p := &GPUPolicy{AttestGPU: true}
	o.read("attest_gpu", &p.AttestGPU)
	o.read("rego", &p.Rego)
	o.read("allow_devtools", &p.AllowDevtools)
	o.read("allow_debug", &p.AllowDebug)
	o.read("allow_insecure_boot", &p.AllowInsecureBoot)
	o.unknown()
	return p
}

func readVerityVolume(o *object) VerityVolume {
	var v VerityVolume
	o.need("source", &v.Source)
	o.need("verity_root", &v.Root)
	if o.need("target", &v.Target) && !strings.HasPrefix(v.Target, "/") {
		o.refuse("target", "expected an absolute path, got %s", shown(v.Target))
	}
	o.unknown()
	return v
}

var (
	// namePattern is what dstack-vmm lets a VM be called (dstack/vmm/src/main_service.rs).
	namePattern = regexp.MustCompile(`^[A-Za-z0-9\-_. @~!$^()]+$`)
	// envPattern is what the guest accepts (dstack/dstack-util/src/parse_env_file.rs).
	envPattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// check holds members against each other.
func (a *AppCompose) check(o *object) {
	a.checkVersion(o)
	targets := make(map[string]bool)
	for i, v := range a.VerityVolumes {
		if targets[v.Target] {
			o.refuse(fmt.Sprintf("verity_volumes[%d].target", i), "%s stands twice", shown(v.Target))
		}
		targets[v.Target] = true
	}
	if a.Snapshotter != "" && a.Snapshotter != "overlayfs" && a.Snapshotter != "stargz" {
		o.refuse("snapshotter", "expected overlayfs or stargz, got %s", shown(a.Snapshotter))
	}
	if o.has("snapshotter") && a.Runner != RunnerNerdctlCompose {
		o.refuse("snapshotter", "only %s has one, and runner is %s", RunnerNerdctlCompose, a.Runner)
	}
	if !o.foreign {
		a.checkOurs(o)
	}
}

// checkVersion is system_setup.rs verify_manifest_feature_requirements, and the runners of app-compose.sh.
func (a *AppCompose) checkVersion(o *object) {
	needs3 := func(field string, used bool) {
		if used && a.ManifestVersion < 3 {
			o.refuse(field, `needs manifest_version "3", got %d`, a.ManifestVersion)
		}
	}
	needs3("requirements", a.Requirements != nil)
	needs3("init_script", len(a.InitScripts) > 1)
	needs3("runner", a.Runner == RunnerNerdctlCompose)
	if len(a.InitScripts) > maxInitScripts {
		o.refuse("init_script", "expected at most %d scripts, got %d", maxInitScripts, len(a.InitScripts))
	}
	switch a.Runner {
	case RunnerDockerCompose, RunnerNerdctlCompose, RunnerBash:
	default:
		o.refuse("runner", "expected docker-compose, nerdctl-compose or bash, got %s", shown(a.Runner))
	}
}

// checkOurs refuses what dstack lets pass and would not do what it says.
func (a *AppCompose) checkOurs(o *object) {
	if !namePattern.MatchString(a.Name) {
		o.refuse("name", "expected letters, digits and -_. @~!$^(), got %s", shown(a.Name))
	}
	compose := a.Runner != RunnerBash
	switch {
	case compose && a.DockerComposeFile == "":
		o.refuse("docker_compose_file", "runner %s needs it, got none", a.Runner)
	case !compose && a.DockerComposeFile != "":
		o.refuse("docker_compose_file", "runner %s does not read it", a.Runner)
	case compose && a.BashScript != "":
		o.refuse("bash_script", "runner %s does not read it", a.Runner)
	case !compose && a.BashScript == "":
		o.refuse("bash_script", "runner %s needs it, got none", a.Runner)
	}
	for i, name := range a.AllowedEnvs {
		field := fmt.Sprintf("allowed_envs[%d]", i)
		if !envPattern.MatchString(name) {
			o.refuse(field, "expected a name of letters, digits and _, got %s", shown(name))
		}
		if slices.Contains(a.AllowedEnvs[:i], name) {
			o.refuse(field, "%s stands twice", shown(name))
		}
	}
	if len(a.KeyProviderID) > 0 && (a.KeyProvider == KeyProviderNone || a.KeyProvider == KeyProviderTPM) {
		o.refuse("key_provider_id", "key provider %s has no id to pin", a.KeyProvider)
	}
	if a.PortPolicy != nil {
		seen := make(map[uint16]bool)
		for i, rule := range a.PortPolicy.Ports {
			field := fmt.Sprintf("port_policy.ports[%d].port", i)
			if rule.Port == 0 {
				o.refuse(field, "expected 1 to 65535, got 0")
			}
			if seen[rule.Port] {
				o.refuse(field, "%d stands twice", rule.Port)
			}
			seen[rule.Port] = true
		}
	}
}

// InitScriptHashes are the payloads of the init-script-hash events.
func (a *AppCompose) InitScriptHashes() []Hash {
	var hashes []Hash
	for _, script := range a.InitScripts {
		hashes = append(hashes, sha256.Sum256([]byte(script)))
	}
	return hashes
}

// GPUPolicyHash is the payload of the gpu-policy-hash event of dstack 0.6: the SHA-256 of the canonical form of
// requirements.gpu_policy as given, or of {}. Defaults are not filled in first, so that {"attest_gpu":true} has another hash
// than {} (dstack-types/src/lib.rs gpu_policy_hash).
func (a *AppCompose) GPUPolicyHash() (Hash, error) {
	policy := a.gpuPolicy
	if policy == nil {
		policy = []byte("{}")
	}
	canonical, err := Normalize(policy)
	if err != nil {
		return Hash{}, &FieldError{Field: "requirements.gpu_policy", Err: err}
	}
	return sha256.Sum256(canonical), nil
}

// Render writes the document in the form of [Normalize], without a newline at its end, and parses what it wrote: the result
// is the document that every reader gets, and an error names the member that can not stand in one of ours. Members that
// decide about secrecy are written out even where they have dstack's default.
func (a *AppCompose) Render() (*AppCompose, error) {
	m := map[string]any{
		"manifest_version":           json.Number("2"),
		"name":                       a.Name,
		"runner":                     a.Runner,
		"kms_enabled":                a.KeyProvider == KeyProviderKMS,
		"local_key_provider_enabled": a.KeyProvider == KeyProviderLocal,
		"key_provider":               string(a.KeyProvider),
		"key_provider_id":            hex.EncodeToString(a.KeyProviderID),
		"gateway_enabled":            a.Gateway,
		"allowed_envs":               anyTexts(a.AllowedEnvs),
		"public_logs":                a.PublicLogs,
		"public_sysinfo":             a.PublicSysinfo,
		"public_tcbinfo":             a.PublicTCBInfo,
		"no_instance_id":             a.NoInstanceID,
		"secure_time":                a.SecureTime,
	}
	switch a.ManifestVersion {
	case 1:
		m["manifest_version"] = json.Number("1")
	case 3:
		m["manifest_version"] = "3"
	}
	for name, value := range map[string]string{
		"docker_compose_file": a.DockerComposeFile, "bash_script": a.BashScript, "pre_launch_script": a.PreLaunchScript,
		"storage_fs": a.StorageFS, "snapshotter": a.Snapshotter,
	} {
		if value != "" {
			m[name] = value
		}
	}
	switch len(a.InitScripts) {
	case 0:
	case 1:
		m["init_script"] = a.InitScripts[0] // the form that releases before 0.6 read
	default:
		m["init_script"] = anyTexts(a.InitScripts)
	}
	if a.SwapSize != 0 {
		m["swap_size"] = json.Number(strconv.FormatUint(a.SwapSize, 10))
	}
	if a.EventVersion == EventV2 {
		m["event_log_version"] = json.Number("2")
	}
	if a.PortPolicy != nil {
		m["port_policy"] = a.PortPolicy.members()
	}
	if a.Requirements != nil {
		m["requirements"] = a.Requirements.members()
	}
	if len(a.VerityVolumes) > 0 {
		volumes := []any{}
		for _, v := range a.VerityVolumes {
			volumes = append(volumes, map[string]any{"source": v.Source, "verity_root": v.Root.String(), "target": v.Target})
		}
		m["verity_volumes"] = volumes
	}
	file, err := appendNormal(nil, "", m)
	if err != nil {
		return nil, &FieldError{Err: err}
	}
	return ParseAppCompose(file)
}

func (p *PortPolicy) members() map[string]any {
	ports := []any{}
	for _, rule := range p.Ports {
		ports = append(ports, map[string]any{"port": json.Number(strconv.Itoa(int(rule.Port))), "pp": rule.ProxyProtocol})
	}
	return map[string]any{"ports": ports, "restrict_mode": p.Restrict}
}

func (r *Requirements) members() map[string]any {
	m := map[string]any{}
	if r.OSVersion != "" {
		m["os_version"] = r.OSVersion
	}
	if r.Platforms != nil {
		m["platforms"] = anyTexts(r.Platforms)
	}
	if r.TDXMeasureACPITables != nil {
		m["tdx_measure_acpi_tables"] = *r.TDXMeasureACPITables
	}
	if r.LaunchTokenHash != nil {
		m["launch_token_hash"] = r.LaunchTokenHash.String()
	}
	if p := r.GPUPolicy; p != nil {
		policy := map[string]any{
			"attest_gpu": p.AttestGPU, "allow_devtools": p.AllowDevtools, "allow_debug": p.AllowDebug, "allow_insecure_boot": p.AllowInsecureBoot,
		}
		if p.Rego != "" {
			policy["rego"] = p.Rego
		}
		m["gpu_policy"] = policy
	}
	return m
}

func anyTexts(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}
