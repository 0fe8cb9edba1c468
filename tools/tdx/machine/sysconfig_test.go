package machine

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

// TestSysConfig reads the machine out of the configuration that dstack's simulator gives to a guest.
func TestSysConfig(t *testing.T) {
	for _, tag := range []string{"v0.5.2", "v0.5.5", "main"} {
		t.Run(tag, func(t *testing.T) {
			data, err := os.ReadFile("testdata/sys-config-" + tag + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var config struct {
				VM string `json:"vm_config"`
			}
			if err := json.Unmarshal(data, &config); err != nil {
				t.Fatal(err)
			}
			got, err := FromVMConfig([]byte(config.VM))
			if err != nil {
				t.Fatal(err)
			}
			want := Default()
			want.QEMU, want.TDX, want.PageAdd = Version{9, 1, 0}, TDXDownstream, OnePass
			if !reflect.DeepEqual(got, want) {
				t.Errorf("machine is\n%+v, want\n%+v", got, want)
			}
		})
	}
}
