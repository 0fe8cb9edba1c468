package dstack_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// must unwraps what a test's own constant gives.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// report cuts a version 4 quote; offsets as in dstack's dcap-qvl, TDX 1.0 body.
type report struct {
	dstack.TDX
	rtmr3    dstack.Register
	userData [20]byte
}

func parseReport(t testing.TB, quote []byte) report {
	t.Helper()
	if len(quote) < 632 || binary.LittleEndian.Uint16(quote) != 4 {
		t.Fatal("not a version 4 quote")
	}
	register := func(offset int) dstack.Register { return dstack.Register(quote[offset : offset+48]) }
	return report{
		TDX: dstack.TDX{
			MRTD: register(184), RTMR0: register(376), RTMR1: register(424), RTMR2: register(472),
			ConfigID: dstack.ConfigID(register(232)), Owner: register(280), OwnerConfig: register(328),
		},
		rtmr3:    register(520),
		userData: [20]byte(quote[28:48]),
	}
}

const kmsRoot = "3059301306072a8648ce3d020106082a8648ce3d0301070342000419b2457dd9b8aa6446d980f136fff7812ecd6c77740eeb0e28b10d56c0c00028a5b6e59dcea307d583bd1f70769e9c116df2bcfb1758a95d8613e7de1c8482c0"

type liteFixture struct {
	Quote    string `json:"quote"`
	EventLog string `json:"event_log"`
	VMConfig string `json:"vm_config"`
}

func lite(t testing.TB) (fixture liteFixture, quote []byte) {
	t.Helper()
	if err := json.Unmarshal(read(t, "verifier-fixtures/tdx-lite-getquote.json"), &fixture); err != nil {
		t.Fatal(err)
	}
	return fixture, unhex(t, fixture.Quote)
}

// fixtures are upstream's three machine states; the values are of the vectors' README.
func fixtures(t testing.TB) []fixture {
	simulator := read(t, "simulator-main/attestation.bin")
	liteAnswer, liteQuote := lite(t)
	kms := dstack.KeyProviderInfo{Kind: dstack.KeyProviderKMS, ID: unhex(t, kmsRoot)}
	image := func(s string) *dstack.ImageHash { h := must(dstack.ParseImageHash(s)); return &h }
	return []fixture{
		{
			name: "simulator v0.5.2", quote: unhex(t, string(read(t, "simulator-v0.5.2/quote.hex"))), log: read(t, "simulator-v0.5.2/eventlog.json"),
			boot: dstack.Boot{
				Version:     dstack.EventV1,
				App:         must(dstack.ParseAppID("ea549f02e1a25fabd1cb788380e033ec5461b2ff")),
				Compose:     must(dstack.ParseComposeHash("ea549f02e1a25fabd1cb788380e033ec5461b2ffe4328d753642cf035452e48b")),
				Instance:    must(dstack.ParseInstanceID("59df8036b824b0aac54f8998b9e1fb2a0cfc5d3a")),
				KeyProvider: kms,
			},
			rtmr3: "6d1a3da994b6611ee602f25f07b41671ece90cd2898689f1ad4448fdf1155e3668736cca4499659caae2d8044070de57",
			all: [2]string{"db69de4e8cd3cfb7431c31b9b3c0919cd4e688e629c15d9e745881f20caf25c8",
				"286261fff4fcaa1e418aa50a7fcbcee70549a7ec70bf22ce9d8bf2711e5a8d64"},
			boottime: [2]string{"6930d5fcad72e580012d8e67b676bcd70a5c9e2aa60f4ca207fb7c4656743e79",
				"9e0a88d0aca3c3ff08e37556e88afbf5c5875725081cc3dd4db9d0e7dd1c17d6"},
			oldDevice: "da2d377e04b7133ec1287a18d465fa44ae9dbb08d929166c6bdb414f38a2acd3",
			configID:  dstack.ErrNoConfigID,
		},
		{
			// Container: 00, kind 00 (TDX), SCALE compact length of two bits' mode 1, then the quote.
			name: "simulator main and v0.5.8", quote: simulator[4 : 4+5010],
			boot: dstack.Boot{
				Version:     dstack.EventV1,
				App:         must(dstack.ParseAppID("5bb4ff9a3837357f19dc176407a5709c62eb6c56")),
				Compose:     must(dstack.ParseComposeHash("c143116fef3940e7f776bfc0919c256232ae5338a6e948c96b711e0b2383483a")),
				Instance:    must(dstack.ParseInstanceID("1691ed1b47506cad7d08834668691d88246f5b1f")),
				Image:       image("e61be43dd1cc6a6f5edefd7c51b608983780839b0000ce60dd99737dcffe09b9"),
				KeyProvider: kms,
				StorageFS:   dstack.StorageZFS,
			},
			rtmr3: "f28a1490ee924e9396c2ccf2d93ad536b83cbe159a1d45024d1fd7acdcc102145efcfcd0cfa209416446c70226affadf",
			all: [2]string{"51ea38f8eee6dc72dbae9b74531ae6d6204295d265dabb4e6c34621a2a1a1197",
				"85334a62c97d0f8bf82d0245d31b539d17a2d7c258e2a13efc928aaea0e107cb"},
			boottime: [2]string{"ef6af583432288c877e412740aa7d8a844a18920ad98e9b1d95d42a07a3044c8",
				"787f9fe525fcb61e81f31a30225a86674412088f2f1b683a421a7e9cbcd40551"},
			oldDevice: "0f344befc7b8349f335507c561d34d09b4466cf77cbc4ce7516a081b77f91ed2",
		},
		{
			name: "tdx-lite", quote: liteQuote, log: []byte(liteAnswer.EventLog),
			boot: dstack.Boot{
				Version:  dstack.EventV1,
				App:      must(dstack.ParseAppID("86b0e55f2fa8e4fb69d890f14f54d5612707646e")),
				Compose:  must(dstack.ParseComposeHash("86b0e55f2fa8e4fb69d890f14f54d5612707646e2573d54e0d2ddaaade77caa9")),
				Instance: must(dstack.ParseInstanceID("050bf89570575fe8fab4cb8f0a62a9e64efe8ead")),
				Image:    image("07a2388c7a6a1b6a646d443f1517990a4ec294471d63146cda9d56972765051d"),
				KeyProvider: dstack.KeyProviderInfo{Kind: dstack.KeyProviderKMS, ID: unhex(t,
					"3059301306072a8648ce3d020106082a8648ce3d030107034200042f71e234d7339a1ceaca09c3c391eb816c533f980adaab34f16ead093ff0ac100d9c03253a3056f6d27735125433180b3e61c54a78f3fd13337869e0051dee06")},
				StorageFS: dstack.StorageZFS,
			},
			rtmr3: "6f24c170d0fd63fc2b1b53202eea47b013978437fa6982cf5e0438ff95c208994aaa0f4ebab2e3a66824b5b56869137e",
			all: [2]string{"118f754a080ecb8527df65656ee4e7e97b891cf488ad6a38886ff0dbca0c8f70",
				"c758fa624b62536ca77504c4c52745e70880220a178a615a859c52f8b101d2ee"},
			boottime: [2]string{"37a91fd6aac229d83a1850be9bf017455d1cf4815e8fcb77332119de7e1a52f7",
				"f4e6117e0fdea4b23b5f32a2a59e7b7b99b64df237a9536fb2cb5ca2a270145e"},
			oldDevice: "633695a28ec6c5829d4cf996bcbd012c7b8df1118d9cbf6207f166768832e902",
		},
	}
}

type fixture struct {
	name          string
	quote, log    []byte
	boot          dstack.Boot
	rtmr3         string
	all, boottime [2]string // mr_system, mr_aggregated
	oldDevice     string
	configID      error // of CheckConfigID
}

func TestFixtures(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			r := parseReport(t, f.quote)
			if r.rtmr3.String() != f.rtmr3 {
				t.Fatalf("the quote's RTMR3 is %s, want %s", r.rtmr3, f.rtmr3)
			}
			ids, err := r.Identities(f.boot)
			if err != nil {
				t.Fatal(err)
			}
			if ids.RTMR3 != r.rtmr3 {
				t.Errorf("predicted RTMR3 %s, the quote has %s", ids.RTMR3, r.rtmr3)
			}
			if got := [2]string{ids.MRSystem.String(), ids.MRAggregated.String()}; got != f.all {
				t.Errorf("mr_system and mr_aggregated are %v, want %v", got, f.all)
			}
			if got := [2]string{ids.BoottimeMRSystem.String(), ids.BoottimeMRAggregated.String()}; got != f.boottime {
				t.Errorf("at boot time mr_system and mr_aggregated are %v, want %v", got, f.boottime)
			}
			if got := dstack.OldDeviceID(r.userData).String(); got != f.oldDevice {
				t.Errorf("device id until 0.5.5 is %s, want %s", got, f.oldDevice)
			}
			if err := dstack.CheckConfigID(r.ConfigID, f.boot, nil); !errors.Is(err, f.configID) {
				t.Errorf("mr_config_id %s: %v, want %v", r.ConfigID, err, f.configID)
			}
			if f.log == nil {
				return
			}
			events, err := dstack.ParseRuntimeEvents(f.log)
			if err != nil {
				t.Fatal(err)
			}
			if got := dstack.ReplayRTMR3(events); got != r.rtmr3 {
				t.Errorf("the log replays to %s, the quote has %s", got, r.rtmr3)
			}
			boot, err := dstack.ParseBoot(events)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := asJSON(t, boot), asJSON(t, f.boot); got != want {
				t.Errorf("the log says\n%s, want\n%s", got, want)
			}
		})
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The simulator's compose files are not those of its quotes; upstream replaced them (vectors' README, "fixture trap").
func TestSimulatorComposeFiles(t *testing.T) {
	tests := []struct{ file, hash, app string }{
		{"simulator-v0.5.2/app-compose.json", "a88c6d12ab4d525ce49aadf63c9f5bc16b03ddabef426c8de773376504b00d1c", "kvin-nb"},
		{"simulator-v0.5.8/app-compose.json", "5981514cb2c1c16c4c8d9ef04c69bc0efcb75186238a84872e6f858f2d9a6b56", "guest-agent"},
		{"simulator-main/app-compose.json", "65b4e574f16973956908b6359920593c3b7d9f36f38e81a47f996a0c0d5435bb", "guest-agent"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			file := read(t, tt.file)
			a, err := dstack.ParseForeignAppCompose(file)
			if err != nil {
				t.Fatal(err)
			}
			if a.Name != tt.app || a.KeyProvider != dstack.KeyProviderKMS || !a.Gateway || a.ManifestVersion != 2 {
				t.Errorf("read %+v", a)
			}
			if a.Hash().String() != tt.hash || !bytes.Equal(a.Raw(), file) {
				t.Errorf("hash is %s, want %s over the bytes as given", a.Hash(), tt.hash)
			}
			for _, f := range fixtures(t) {
				if f.boot.Compose == a.Hash() {
					t.Errorf("the file is that of %s", f.name)
				}
			}
		})
	}
}

func TestLiteMeasurement(t *testing.T) {
	fixture, _ := lite(t)
	var config struct {
		Image       dstack.ImageHash `json:"os_image_hash"`
		Measurement struct {
			Checksums   string `json:"checksum_file"`
			Measurement string `json:"measurement"`
		} `json:"tdx_measurement"`
	}
	if err := json.Unmarshal([]byte(fixture.VMConfig), &config); err != nil {
		t.Fatal(err)
	}
	checksums := must(base64.StdEncoding.DecodeString(config.Measurement.Checksums))
	file := must(base64.StdEncoding.DecodeString(config.Measurement.Measurement))

	if got := dstack.ImageHashOf(checksums).String(); got != "e6f5cfec20c02e7b97baa213d0f718020b55e040172d90ccbcb946d56c8b09db" {
		t.Errorf("os image hash is %s", got)
	}
	m, err := dstack.VerifyTDXMeasurement(config.Image, checksums, file)
	if err != nil {
		t.Fatal(err)
	}
	if got := must(m.Bytes()); !bytes.Equal(got, file) {
		t.Errorf("written again it is\n%x, want\n%x", got, file)
	}
	_, quote := lite(t)
	if r := parseReport(t, quote); m.MRTDTwoPass != r.MRTD || m.MRTDSinglePass == r.MRTD {
		t.Errorf("MRTD is %s or %s, the quote has the two-pass one, %s", m.MRTDSinglePass, m.MRTDTwoPass, r.MRTD)
	}
	want := must(dstack.NewHOBWitness(dstack.PageRange{Start: 0x809, Count: 2},
		dstack.PageRange{Start: 0x810, Count: 0x10}, dstack.PageRange{Start: 0x80b, Count: 2}, dstack.PageRange{Start: 0x800, Count: 6}))
	if got := hex.EncodeToString(must(want.Bytes())); got != "80100904000609020b021010" {
		t.Errorf("witness of the known sections is %s", got)
	}
	if asJSON(t, m.HOB) != asJSON(t, want) {
		t.Errorf("witness is %+v, want %+v", m.HOB, want)
	}

	other := bytes.Clone(file)
	other[40] ^= 1
	var mismatch *dstack.MeasurementError
	if _, err := dstack.VerifyTDXMeasurement(config.Image, checksums, other); !errors.As(err, &mismatch) || mismatch.What != dstack.TDXMeasurementFile {
		t.Errorf("changed measurement: %v", err)
	}
	if _, err := dstack.VerifyTDXMeasurement(dstack.ImageHash{}, checksums, file); !errors.As(err, &mismatch) || mismatch.What != "os image hash" {
		t.Errorf("other image: %v", err)
	}
}

// TestNormalizedMeasurement has the values of an image of dstack's whose firmware fills in the kernel's header, and what trust domains with it
// reported: dstack/verifier/fixtures/tdx-lite-normalized-attestation.json with QEMU 8.2.2, and -qemu-10-2- with 10.2.1, at commit 44dd0fc8.
func TestNormalizedMeasurement(t *testing.T) {
	register := func(text string) dstack.Register { return dstack.Register(must(hex.DecodeString(text))) }
	m := &dstack.TDXMeasurement{
		Version: 4, Normalized: true,
		Cmdline: "console=ttyS0 init=/init panic=1 net.ifnames=0 biosdevname=0 mce=off oops=panic pci=noearly pci=nommconf random.trust_cpu=y " +
			"random.trust_bootloader=n tsc=reliable no-kvmclock dstack.rootfs_hash=d326c73a9df25c2a042dbaf1d38f188ea851b75ab91f0b9fe689fc687c6d4559 " +
			"dstack.rootfs_size=497840128",
		Kernel: register("880962f414e426d3c0a4a41e056f917c7a4bb51b6ec2448a5d4af1b73d372320dd82a677f246e5d6dd5210f33eccaf30"),
		Initrd: register("4fe4f7710134a61d7def357add6ac50bdbfeee5032a4c100375e207216ffe42a3bd5822b24e679f91501fff795b81521"),
		// That of 10.2.1, and that of 8.2.2.
		MRTDSinglePass: register("8ed3f63f8ea0ffcf75332097ba16b02b121d1892fdbf124d8523b45f9d153aaa38f519dcd6f14ff73d0ed5b805134cd4"),
		MRTDTwoPass:    register("78cb3ad79ad26d3217e3d28a42b1a55bab034dfc3478bc910596d36c8f46f17eaf8bbe19f27e9858d01af63d316606fb"),
		HOB: must(dstack.NewHOBWitness(dstack.PageRange{Start: 0x809, Count: 2},
			dstack.PageRange{Start: 0x810, Count: 0x10}, dstack.PageRange{Start: 0x80b, Count: 2}, dstack.PageRange{Start: 0x800, Count: 6})),
	}
	// As the image's sha256sum.txt has it.
	file := must(m.Bytes())
	if got := dstack.Hash(sha256.Sum256(file)).String(); got != "bf2982ca0615462395bb9788dc667d28421a034e0e77909092e96ab54d8d8e69" {
		t.Errorf("written it is\n%q with sha256 %s", file, got)
	}
	again := must(dstack.ParseTDXMeasurement(file))
	replay := func(digests ...dstack.Register) (register dstack.Register) {
		for _, d := range digests {
			register = sha512.Sum384(slices.Concat(register[:], d[:]))
		}
		return register
	}
	action := func(text string) dstack.Register { return sha512.Sum384([]byte(text)) }
	// The same in both quotes.
	if got := replay(again.Kernel, action("Calling EFI Application from Boot Option"), action("\x00\x00\x00\x00"),
		action("Exit Boot Services Invocation"), action("Exit Boot Services Returned with Success"),
	); got != register("60db95c7f164464e5bb3cc38610c23ade2c81b651256f9712ae55aa4c51ca092d0b550999407de966f35cb878f79d200") {
		t.Errorf("RTMR1 is %s", got)
	}
	if got := replay(again.CommandLine, again.Initrd); got != register("f873ce9b6d655985280d538d1da3113b7a5b6335a4d63ba534a21a644dbd89528ea7df4f7b174f2bde1d38bb05793535") {
		t.Errorf("RTMR2 is %s", got)
	}
}

func TestKnownDigests(t *testing.T) {
	tests := []struct {
		event dstack.RuntimeEvent
		want  string
	}{
		{dstack.RuntimeEvent{Name: "app-id", Payload: []byte{0xde, 0xad, 0xbe, 0xef}, Version: dstack.EventV1},
			"67b4be4efed0893cfa2bb1d35dca209ad8348b4c97f980807bcde8b9a0f26398dd0923d6eccb5aa2096d98046da8740f"},
		{dstack.RuntimeEvent{Name: "compose-hash", Payload: []byte{0xab, 0xcd}, Version: dstack.EventV2},
			"9dde1673f544faa94b921825209593ddde08d0baf9cd6990175dffaf3081f1bb10311d56de189491feb33842a050ad7b"},
		{dstack.RuntimeEvent{Name: "system-preparing", Version: dstack.EventV1},
			"f9974020ef507068183313d0ca808e0d1ca9b2d1ad0c61f5784e7157c362c06536f5ddacdad4451693f48fcc72fff624"},
		{dstack.RuntimeEvent{Name: "boot-mr-done", Version: dstack.EventV1},
			"98bd7e6bd3952720b65027fd494834045d06b4a714bf737a06b874638b3ea00ff402f7f583e3e3b05e921c8570433ac6"},
		{dstack.RuntimeEvent{Name: "system-ready", Version: dstack.EventV1},
			"1a76b2a80a0be71eae59f80945d876351a7a3fb8e9fd1ff1cede5734aa84ea11fd72b4edfbb6f04e5a85edd114c751bd"},
	}
	for _, tt := range tests {
		if got := tt.event.Digest().String(); got != tt.want {
			t.Errorf("%s version %d: digest is %s, want %s", tt.event.Name, tt.event.Version, got, tt.want)
		}
	}
}

func TestKnownConfigIDs(t *testing.T) {
	fill := func(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }
	app := dstack.AppID(fill(0x11, 20))
	compose := dstack.ComposeHash(fill(0x22, 32))
	v2, err := dstack.ConfigIDV2(compose, app, dstack.KeyProviderKMS, fill(0x33, 32))
	if want := "027f2ca741da9d356026ab20ca640abf06198829a128817b091bbc9aec1ed97b60" + strings.Repeat("00", 15); err != nil || v2.String() != want {
		t.Errorf("form 2 is %s, %v, want %s", v2, err, want)
	}
	policy := dstack.Hash(fill(0x55, 32))
	instance := must(dstack.ParseInstanceID(strings.Repeat("44", 20)))
	m := &dstack.MRConfig{
		App: &app, Compose: compose, GPUPolicy: &policy, Instance: &instance,
		KeyProvider: dstack.KeyProviderKMS, KeyProviderID: fill(0x33, 32),
	}
	document := must(m.Document())
	if want := `{"app_id":"` + strings.Repeat("11", 20) + `","compose_hash":"` + strings.Repeat("22", 32) + `","gpu_policy_hash":"` +
		strings.Repeat("55", 32) + `","instance_id":"` + strings.Repeat("44", 20) + `","key_provider":"kms","key_provider_id":"` +
		strings.Repeat("33", 32) + `","version":3}`; string(document) != want {
		t.Errorf("document is\n%s, want\n%s", document, want)
	}
	v3 := dstack.ConfigIDV3(document)
	if want := "0390e5cffa571b22c2ca846872d6fb7b071aa1346f1a1f87f72869c47b39d94099" + strings.Repeat("00", 15); v3.String() != want {
		t.Errorf("form 3 is %s, want %s", v3, want)
	}
	again, err := dstack.ParseMRConfig(document)
	if err != nil || asJSON(t, again) != asJSON(t, m) {
		t.Errorf("read again it is %+v, %v, want %+v", again, err, m)
	}
}

func TestKnownHashes(t *testing.T) {
	if got := must(dstack.LaunchTokenHash("unit-test-launch-token-0000000001")).String(); got != "28faa1319055d733ad9651f5ab7689c15b04609846bcd27b3c5bc8df6246f5a3" {
		t.Errorf("launch token hash is %s", got)
	}
	if got := must(dstack.DeviceID(nil)).String(); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("device id before verification is %s", got)
	}
	for policy, want := range map[string]string{
		``:                                       "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
		`,"requirements":{"gpu_policy":{ }}`:     "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
		`,"requirements":{"os_version":"0.6.*"}`: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
		// sha256 of {"attest_gpu":true}: a default that is written out counts.
		`,"requirements":{"gpu_policy":{"attest_gpu" : true}}`: "81f5d3ad40653341232238c4ca656bddddc297d6382ae2ab391e4bb36dd80b66",
	} {
		a, err := dstack.ParseForeignAppCompose([]byte(`{"manifest_version":"3","name":"a","runner":"bash"` + policy + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := must(a.GPUPolicyHash()).String(); got != want {
			t.Errorf("policy %s hashes to %s, want %s", policy, got, want)
		}
	}
}
