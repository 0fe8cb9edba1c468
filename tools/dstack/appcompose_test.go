package dstack_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

// ours is a document that both readers take; tests replace parts of it.
const ours = `{"allowed_envs":["A","B_2"],"docker_compose_file":"services: {}\n","gateway_enabled":true,"key_provider":"kms",` +
	`"key_provider_id":"","kms_enabled":true,"local_key_provider_enabled":false,"manifest_version":2,"name":"a b-1",` +
	`"no_instance_id":false,"public_logs":false,"public_sysinfo":false,"public_tcbinfo":true,"runner":"docker-compose","secure_time":true}`

func with(t testing.TB, old, replacement string) []byte {
	t.Helper()
	if strings.Count(ours, old) != 1 {
		t.Fatalf("%q stands %d times in the document", old, strings.Count(ours, old))
	}
	return []byte(strings.Replace(ours, old, replacement, 1))
}

func TestAppComposeRefuses(t *testing.T) {
	const v3 = `"manifest_version":"3"`
	tests := []struct {
		name, old, replacement string
		want                   string
		foreign                bool // the tolerant reader refuses it too
	}{
		{"no JSON", ours, `{`, "app-compose: the JSON ends too early", true},
		{"no object", ours, `null`, "app-compose: expected an object, got null", true},
		{"array", ours, `[]`, "app-compose: expected an object", true},
		{"two members", `"name":"a b-1"`, `"name":"a","name":"b"`, `member "name" stands twice`, true},
		{"trailing data", `"secure_time":true}`, `"secure_time":true}{}`, "data after the JSON value", true},
		{"lone surrogate", `"name":"a b-1"`, `"name":"\ud800"`, "surrogate", true},
		{"version missing", `"manifest_version":2,`, ``, "manifest_version: the member is missing", true},
		{"version 3 as number", `"manifest_version":2`, `"manifest_version":3`, `manifest_version: expected 1, 2 or "3", got "3"`, true},
		{"version with zero", `"manifest_version":2`, `"manifest_version":"02"`, `manifest_version: expected 1, 2 or "3"`, true},
		{"version 4", `"manifest_version":2`, `"manifest_version":"4"`, `manifest_version: expected 1, 2 or "3"`, true},
		{"name missing", `"name":"a b-1",`, ``, "name: the member is missing", true},
		{"name a number", `"name":"a b-1"`, `"name":1`, "name: expected a string, got a JSON number", true},
		{"runner unknown", `"docker-compose"`, `"podman"`, `runner: expected docker-compose, nerdctl-compose or bash, got "podman"`, true},
		{"nerdctl in version 2", `"docker-compose"`, `"nerdctl-compose"`, `runner: needs manifest_version "3", got 2`, true},
		{"snapshotter elsewhere", `"secure_time":true`, `"snapshotter":"stargz"`, "snapshotter: only nerdctl-compose has one", true},
		{"scripts in version 2", `"secure_time":true`, `"init_script":["a","b"]`, `init_script: needs manifest_version "3"`, true},
		{"six scripts", `"manifest_version":2`, v3 + `,"init_script":["1","2","3","4","5","6"]`, "init_script: expected at most 5 scripts, got 6", true},
		{"null script", `"manifest_version":2`, v3 + `,"init_script":["1",null]`, "init_script[1]: expected a string, got null", true},
		{"key provider", `"key_provider":"kms"`, `"key_provider":"KMS"`, `key_provider: expected one of [none local kms tpm], got "KMS"`, true},
		{"provider id", `"key_provider_id":""`, `"key_provider_id":"xx"`, "key_provider_id:", true},
		{"boolean text", `"public_logs":false`, `"public_logs":"no"`, "public_logs: expected true or false, got a JSON string", true},
		{"filesystem", `"secure_time":true`, `"storage_fs":"btrfs"`, `storage_fs: expected zfs or ext4, got "btrfs"`, true},
		{"swap text", `"secure_time":true`, `"swap_size":"4X"`, `swap_size: expected a size`, true},
		{"swap overflow", `"secure_time":true`, `"swap_size":"18446744073709551615K"`, `swap_size: expected a size`, true},
		{"swap negative", `"secure_time":true`, `"swap_size":-1`, `swap_size: expected a whole number`, true},
		{"event version", `"secure_time":true`, `"event_log_version":3`, "event_log_version: expected 1 or 2, got 3", true},
		{"port range", `"secure_time":true`, `"port_policy":{"ports":[{"port":70000}]}`, "port_policy.ports[0].port:", true},
		{"port missing", `"secure_time":true`, `"port_policy":{"ports":[{"pp":true}]}`, "port_policy.ports[0].port: the member is missing", true},
		{"requirements in version 2", `"secure_time":true`, `"requirements":{}`, `requirements: needs manifest_version "3"`, true},
		{"requirements unknown", `"manifest_version":2`, v3 + `,"requirements":{"cpu":1}`, `requirements: unknown member "cpu"`, true},
		{"requirements version", `"manifest_version":2`, v3 + `,"requirements":{"os_version":"new"}`, `requirements.os_version: expected a semver requirement`, true},
		{"no platform", `"manifest_version":2`, v3 + `,"requirements":{"platforms":[]}`, `requirements.platforms: expected at least one`, true},
		{"platform", `"manifest_version":2`, v3 + `,"requirements":{"platforms":["tdx"]}`, `requirements.platforms[0]: expected one of`, true},
		{"token hash", `"manifest_version":2`, v3 + `,"requirements":{"launch_token_hash":"00"}`, `requirements.launch_token_hash:`, true},
		{"GPU policy", `"manifest_version":2`, v3 + `,"requirements":{"gpu_policy":{"x":1}}`, `requirements.gpu_policy: unknown member "x"`, true},
		{"volume root", `"secure_time":true`, `"verity_volumes":[{"source":"a","verity_root":"1","target":"/a"}]`, `verity_volumes[0].verity_root:`, true},
		{"volume path", `"secure_time":true`, `"verity_volumes":[{"source":"a","verity_root":"` + strings.Repeat("0", 64) + `","target":"a"}]`,
			`verity_volumes[0].target: expected an absolute path`, true},

		{"unknown member", `"secure_time":true`, `"x_y":1`, `unknown member "x_y"`, false},
		{"case variant", `"secure_time":true`, `"Public_Logs":true`, `unknown member "Public_Logs"`, false},
		{"null", `"secure_time":true`, `"storage_fs":null`, `storage_fs: expected a value, got null`, false},
		{"deprecated", `"secure_time":true`, `"tproxy_enabled":true`, `tproxy_enabled: deprecated; write gateway_enabled`, false},
		{"nested unknown", `"secure_time":true`, `"port_policy":{"x":1}`, `port_policy: unknown member "x"`, false},
		{"name charset", `"name":"a b-1"`, `"name":"a/b"`, `name: expected letters, digits and -_. @~!$^(), got "a/b"`, false},
		{"no compose", `"docker_compose_file":"services: {}\n",`, ``, `docker_compose_file: runner docker-compose needs it`, false},
		{"bash beside compose", `"secure_time":true`, `"bash_script":"ls"`, `bash_script: runner docker-compose does not read it`, false},
		{"compose beside bash", `"docker-compose"`, `"bash"`, `docker_compose_file: runner bash does not read it`, false},
		{"env name", `"B_2"`, `"2B"`, `allowed_envs[1]: expected a name`, false},
		{"env twice", `"B_2"`, `"A"`, `allowed_envs[1]: "A" stands twice`, false},
		{"contradiction", `"kms_enabled":true`, `"kms_enabled":false`, `kms_enabled: expected true, because key_provider is kms`, false},
		{"upper-case id", `"key_provider_id":""`, `"key_provider_id":"AB"`, `key_provider_id: expected lower-case hex`, false},
		{"filesystem case", `"secure_time":true`, `"storage_fs":"ZFS"`, `storage_fs: expected zfs or ext4, got "ZFS"`, false},
		{"port twice", `"secure_time":true`, `"port_policy":{"ports":[{"port":1},{"port":1}]}`, `port_policy.ports[1].port: 1 stands twice`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := with(t, tt.old, tt.replacement)
			_, err := dstack.ParseAppCompose(file)
			var field *dstack.FieldError
			if !errors.As(err, &field) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want a *FieldError with %q", err, tt.want)
			}
			if _, err := dstack.ParseForeignAppCompose(file); (err != nil) != tt.foreign {
				t.Errorf("as a foreign file: %v, want an error: %t", err, tt.foreign)
			}
		})
	}
	if _, err := dstack.ParseAppCompose(append([]byte(ours), bytes.Repeat([]byte(" "), dstack.MaxAppCompose)...)); err == nil {
		t.Error("a file above the limit was accepted")
	}
}

func TestForeignAppCompose(t *testing.T) {
	a, err := dstack.ParseForeignAppCompose([]byte(`{"manifest_version":"1","name":"x/y","runner":"docker-compose","features":["tproxy-net"],
		"local_key_provider_enabled":true,"docker_config":{},"storage_fs":"EXT4","swap_size":"4G","init_script":"a","docker_compose_file":null,
		"port_policy":{"ports":[{"port":80,"later":1}]},"key_provider_id":"0xAB"}`))
	if err != nil {
		t.Fatal(err)
	}
	if !a.Gateway || a.KeyProvider != dstack.KeyProviderLocal || a.StorageFS != dstack.StorageExt4 || a.SwapSize != 4<<30 ||
		!a.PublicTCBInfo || !a.SecureTime || a.PublicLogs || len(a.InitScripts) != 1 || a.ManifestVersion != 1 ||
		!bytes.Equal(a.KeyProviderID, []byte{0xab}) || !reflect.DeepEqual(a.Ignored, []string{"docker_config"}) {
		t.Errorf("read %+v", a)
	}
}

func TestRender(t *testing.T) {
	measure := true
	token := dstack.Hash{1}
	documents := map[string]*dstack.AppCompose{
		"least": {ManifestVersion: 2, Name: "a b-1", Runner: dstack.RunnerDockerCompose, DockerComposeFile: "services: {}\n", KeyProvider: dstack.KeyProviderKMS,
			Gateway: true, AllowedEnvs: []string{"A", "B_2"}, PublicTCBInfo: true, SecureTime: true, EventVersion: dstack.EventV1},
		"most": {ManifestVersion: 3, Name: "n", Runner: dstack.RunnerNerdctlCompose, DockerComposeFile: "<&>\u2028\x01\"\\", PreLaunchScript: "p", InitScripts: []string{"1", "2"},
			KeyProvider: dstack.KeyProviderLocal, KeyProviderID: bytes.Repeat([]byte{7}, 32), AllowedEnvs: []string{}, PublicLogs: true, NoInstanceID: true,
			StorageFS: dstack.StorageExt4, SwapSize: 1 << 32, PortPolicy: &dstack.PortPolicy{Ports: []dstack.PortRule{{Port: 80, ProxyProtocol: true}}, Restrict: true},
			Snapshotter: "stargz", EventVersion: dstack.EventV2,
			Requirements: &dstack.Requirements{OSVersion: ">=0.6.0, <1", Platforms: []string{"dstack-tdx"}, TDXMeasureACPITables: &measure, LaunchTokenHash: &token,
				GPUPolicy: &dstack.GPUPolicy{AttestGPU: true, Rego: "package policy", AllowDebug: true}},
			VerityVolumes: []dstack.VerityVolume{{Source: "s", Root: dstack.Hash{2}, Target: "/t"}}},
	}
	for name, document := range documents {
		t.Run(name, func(t *testing.T) {
			rendered, err := document.Render()
			if err != nil {
				t.Fatal(err)
			}
			file := rendered.Raw()
			if normal := must(dstack.Normalize(file)); !bytes.Equal(normal, file) {
				t.Errorf("the rendered form is not normal:\n%s\n%s", file, normal)
			}
			if name == "least" && string(file) != ours {
				t.Errorf("rendered\n%s, want\n%s", file, ours)
			}
			if got, want := asJSON(t, rendered), asJSON(t, document); got != want {
				t.Errorf("read again it is\n%s, want\n%s", got, want)
			}
			again := must(rendered.Render())
			if again.Hash() != rendered.Hash() || rendered.Hash() != dstack.ComposeHashOf(file) {
				t.Errorf("hashes differ: %s, %s", again.Hash(), rendered.Hash())
			}
		})
	}
	if _, err := (&dstack.AppCompose{ManifestVersion: 2, Runner: "x"}).Render(); err == nil {
		t.Error("a document that cannot stand was rendered")
	}
}

func TestNormalize(t *testing.T) {
	tests := []struct{ in, want string }{
		{` { "b" : [ 3 , 1.5 ] , "a" : { "z" : null , "A" : true } } `, `{"a":{"A":true,"z":null},"b":[3,1.5]}`},
		{`"<&>\u003c\u2028\u2029\u00e9\/\u0007\b\f\n\r\t\u007f"`, "\"<&><\u2028\u2029é/\\u0007\\b\\f\\n\\r\\t\x7f\""},
		{`"\ud83d\ude00 \\ud800"`, `"😀 \\ud800"`},
		{`9007199254740991`, `9007199254740991`},
		{`0.0001`, `0.0001`},
	}
	for _, tt := range tests {
		got, err := dstack.Normalize([]byte(tt.in))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
	for in, want := range map[string]string{
		`1.0`: "number", `1e3`: "number", `-0`: "number", `-0.0`: "number", `9007199254740992`: "number", `1e-7`: "number", `0.00001`: "number",
		`[{"a":1.50}]`: `[0].a: number`, `NaN`: "malformed", `"\ud800"`: "surrogate", `"\udc00"`: "surrogate", `"\ud800\u0041"`: "surrogate",
		`{"😀":1}`: "Basic Multilingual Plane", `{"a":1,"a":1}`: "stands twice", `1 2`: "data after", ``: "ends too early", "\"\xff\"": "UTF-8",
	} {
		if got, err := dstack.Normalize([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v, want an error with %q", in, got, err, want)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, s := range []string{"", "0x" + strings.Repeat("0", 62), strings.Repeat("A", 64), strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("g", 64)} {
		if _, err := dstack.ParseComposeHash(s); err == nil {
			t.Errorf("compose hash %q was accepted", s)
		}
	}
	if id, err := dstack.ParseInstanceID(""); err != nil || !id.IsEmpty() || id.Bytes() != nil {
		t.Errorf("empty instance id: %v, %v", id, err)
	}
	app := dstack.AppID{1}
	seed := bytes.Repeat([]byte{9}, 20)
	id := must(dstack.NewInstanceID(seed, app, nil))
	// printf '%s' of seed and id through sha256sum, cut to 40 digits.
	if id.String() != instanceOfSeed {
		t.Errorf("instance id is %s, want %s", id, instanceOfSeed)
	}
	if bound := must(dstack.NewInstanceID(seed, app, make([]byte, 32))); bound == id {
		t.Error("the binding does not count")
	}
	if _, err := dstack.NewInstanceID(seed[:19], app, nil); err == nil {
		t.Error("a short seed was accepted")
	}
	if _, err := dstack.NewInstanceID(seed, app, seed); err == nil {
		t.Error("a binding of 20 bytes was accepted")
	}
	if got := must(dstack.ParseComposeHash(strings.Repeat("ab", 32))).AppID().String(); got != strings.Repeat("ab", 20) {
		t.Errorf("app id is %s", got)
	}
}

const instanceOfSeed = "d5f7c823eb30581b838f7ccec8c2696a4e8261ac"
