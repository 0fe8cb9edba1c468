package agentapi

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// Record is what a guest knows of itself at one moment.
type Record struct {
	Release dstack.Release
	// TDX and RTMR3 are the registers.
	TDX   dstack.TDX
	RTMR3 dstack.Register
	// Firmware are the events of RTMR0 to RTMR2, Runtime those of RTMR3.
	Firmware []eventlog.Event
	Runtime  []dstack.RuntimeEvent
	// Boot is what the first events of Runtime say.
	Boot    dstack.Boot
	Compose *dstack.AppCompose
	// VMConfig is what the host says of the machine.
	VMConfig string
	Device   dstack.Hash
	// Vendor and Product name the machine.
	Vendor, Product string
}

// logEntry is TdxEvent (dstack/cc-eventlog/src/tdx.rs).
type logEntry struct {
	Register int    `json:"imr"`
	Type     uint32 `json:"event_type"`
	Digest   string `json:"digest"`
	Name     string `json:"event"`
	Payload  string `json:"event_payload"`
	Version  int    `json:"version,omitempty"`
	Preimage string `json:"preimage,omitempty"`
}

// EventLog is the log in dstack's JSON, without the payloads of RTMR0 to RTMR2. Containers and certificates have it stripped to RTMR3.
func (r *Record) EventLog(strip bool) []byte { return mustMarshal(r.entries(strip)) }

func (r *Record) entries(strip bool) []logEntry {
	list := []logEntry{}
	if !strip {
		for _, e := range r.Firmware {
			list = append(list, logEntry{Register: int(e.Register - eventlog.RTMR0), Type: uint32(e.Type), Digest: e.Digest.String(), Name: e.Name})
		}
	}
	for _, e := range r.Runtime {
		entry := logEntry{
			Register: 3, Type: dstack.RuntimeEventType, Digest: e.Digest().String(), Name: e.Name, Payload: hex.EncodeToString(e.Payload),
		}
		if e.Version == dstack.EventV2 {
			entry.Version, entry.Preimage = 2, hex.EncodeToString(e.Preimage())
		}
		list = append(list, entry)
	}
	return list
}

// mustMarshal is for types that JSON always has a form for.
func mustMarshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func (r *Record) since(release [3]int) bool {
	return slices.Compare([]int{r.Release.Major, r.Release.Minor, r.Release.Patch}, release[:]) >= 0
}

// imageHash is os_image_hash as the guest shows it: from vm_config since 0.5.6, from the event before.
func (r *Record) imageHash() string {
	if !r.since([3]int{0, 5, 6}) {
		if r.Boot.Image == nil {
			return ""
		}
		return r.Boot.Image.String()
	}
	var config struct {
		Image string `json:"os_image_hash"`
	}
	if json.Unmarshal([]byte(r.VMConfig), &config) != nil {
		return ""
	}
	return config.Image
}

// Info is the answer to Info (agent_rpc.proto AppInfo).
type Info struct {
	App             string `json:"app_id"`
	Instance        string `json:"instance_id"`
	Certificate     string `json:"app_cert"`
	TCBInfo         string `json:"tcb_info"`
	Name            string `json:"app_name"`
	Device          string `json:"device_id"`
	MRAggregated    string `json:"mr_aggregated"`
	ImageHash       string `json:"os_image_hash"`
	KeyProviderInfo string `json:"key_provider_info"`
	ComposeHash     string `json:"compose_hash"`
	VMConfig        string `json:"vm_config"`
	Vendor          string `json:"cloud_vendor"`
	Product         string `json:"cloud_product"`
}

type tcbInfo struct {
	MRTD         string     `json:"mrtd"`
	RTMR0        string     `json:"rtmr0"`
	RTMR1        string     `json:"rtmr1"`
	RTMR2        string     `json:"rtmr2"`
	RTMR3        string     `json:"rtmr3"`
	MRAggregated string     `json:"mr_aggregated"`
	ImageHash    string     `json:"os_image_hash"`
	ComposeHash  string     `json:"compose_hash"`
	Device       string     `json:"device_id"`
	EventLog     []logEntry `json:"event_log"`
	AppCompose   string     `json:"app_compose"`
}

// Info makes the answer; chain is a certificate of the application with those that vouch for it, in PEM.
func (r *Record) Info(chain []string) (Info, error) {
	mrAggregated := r.TDX.MRAggregated(r.RTMR3).String()
	tcb, err := json.MarshalIndent(tcbInfo{
		MRTD: r.TDX.MRTD.String(), RTMR0: r.TDX.RTMR0.String(), RTMR1: r.TDX.RTMR1.String(), RTMR2: r.TDX.RTMR2.String(), RTMR3: r.RTMR3.String(),
		MRAggregated: mrAggregated, ImageHash: r.imageHash(), ComposeHash: r.Boot.Compose.String(), Device: r.Device.String(),
		EventLog: r.entries(false), AppCompose: string(r.Compose.Raw()),
	}, "", "  ")
	return Info{
		App: r.Boot.App.String(), Instance: r.Boot.Instance.String(), Certificate: strings.Join(chain, "\n"), TCBInfo: string(tcb),
		Name: r.Compose.Name, Device: r.Device.String(), MRAggregated: mrAggregated, ImageHash: r.imageHash(),
		KeyProviderInfo: string(r.Boot.KeyProvider.Payload()), ComposeHash: r.Boot.Compose.String(), VMConfig: r.VMConfig,
		Vendor: r.Vendor, Product: r.Product,
	}, err
}

// Container encodes VersionedAttestation::V0 (dstack/dstack-attest/src/attestation.rs) in SCALE, with the log stripped to RTMR3.
func (r *Record) Container(quote []byte, reportData [64]byte) []byte {
	b := []byte{0, 0} // version 0; platform TDX
	b = appendSCALE(b, quote)
	b = appendCompact(b, len(r.Runtime))
	for _, event := range r.Runtime {
		digest := event.Digest()
		b = binary.LittleEndian.AppendUint32(b, 3)
		b = binary.LittleEndian.AppendUint32(b, dstack.RuntimeEventType)
		b = appendSCALE(b, digest[:])
		b = appendSCALE(b, []byte(event.Name))
		b = appendSCALE(b, event.Payload)
	}
	b = appendCompact(b, len(r.Runtime))
	for _, event := range r.Runtime {
		b = appendSCALE(b, []byte(event.Name))
		b = appendSCALE(b, event.Payload)
	}
	b = append(b, reportData[:]...)
	return appendSCALE(b, []byte(r.VMConfig))
}

// appendSCALE appends bytes after their length, a compact integer.
func appendSCALE(b, data []byte) []byte { return append(appendCompact(b, len(data)), data...) }

// appendCompact appends a SCALE compact integer below 2^30: the two low bits tell how many bytes there are.
func appendCompact(b []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(b, byte(n<<2))
	case n < 1<<14:
		return binary.LittleEndian.AppendUint16(b, uint16(n<<2|1))
	default:
		return binary.LittleEndian.AppendUint32(b, uint32(n<<2|2))
	}
}

// AppInfo is AppInfo of certificates (dstack/dstack-attest/src/attestation.rs): a MessagePack array of eight byte strings.
func (r *Record) AppInfo() []byte {
	mrSystem, mrAggregated := r.TDX.MRSystem(r.Boot.KeyProvider.MRKeyProvider()), r.TDX.MRAggregated(r.RTMR3)
	image, _ := hex.DecodeString(r.imageHash())
	fields := [][]byte{
		r.Boot.App[:], r.Boot.Compose[:], r.Boot.Instance.Bytes(), r.Device[:], mrSystem[:], mrAggregated[:], image, r.Boot.KeyProvider.Payload(),
	}
	b := []byte{0x90 | byte(len(fields))}
	for _, f := range fields {
		if len(f) < 1<<8 {
			b = append(b, 0xc4, byte(len(f))) // bin 8
		} else {
			b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(len(f))) // bin 16
		}
		b = append(b, f...)
	}
	return b
}
