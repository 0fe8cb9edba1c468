package dstack_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

func FuzzAppCompose(f *testing.F) {
	f.Add([]byte(ours))
	for _, name := range []string{"simulator-v0.5.2", "simulator-v0.5.8", "simulator-main"} {
		f.Add(read(f, name+"/app-compose.json"))
	}
	f.Add([]byte(`{"manifest_version":"3","name":"n","runner":"nerdctl-compose","requirements":{"gpu_policy":{}},"verity_volumes":[],"swap_size":"4G"}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		a, err := dstack.ParseAppCompose(file)
		if err != nil {
			_, _ = dstack.ParseForeignAppCompose(file)
			return
		}
		if a.Hash() != dstack.ComposeHashOf(file) {
			t.Fatal("the hash is not over the bytes as given")
		}
		if _, err := dstack.ParseForeignAppCompose(file); err != nil {
			t.Fatalf("the strict reader accepts what the tolerant one refuses: %v", err)
		}
		rendered, err := a.Render()
		if err != nil {
			t.Fatalf("rendered again: %v", err)
		}
		again, err := rendered.Render()
		if err != nil || again.Hash() != rendered.Hash() {
			t.Fatalf("rendering is not stable: %v", err)
		}
	})
}

func FuzzNormalize(f *testing.F) {
	f.Add([]byte(ours))
	f.Add([]byte(`{"b":[1,0.5,"\ud83d\ude00\u2028<"],"a":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		normal, err := dstack.Normalize(text)
		if err != nil {
			return
		}
		if again, err := dstack.Normalize(normal); err != nil || !bytes.Equal(again, normal) {
			t.Fatalf("the normal form of %q is %q, %v", normal, again, err)
		}
		var before, after any
		if json.Unmarshal(text, &before) != nil || json.Unmarshal(normal, &after) != nil || asJSON(t, before) != asJSON(t, after) {
			t.Fatalf("the normal form %q of %q says something else", normal, text)
		}
	})
}

func FuzzEventLog(f *testing.F) {
	f.Add(read(f, "simulator-v0.5.2/eventlog.json"))
	fixture, _ := lite(f)
	f.Add([]byte(fixture.EventLog))
	for _, boot := range boots() {
		f.Add(jsonLog(f, must(boot.Events())))
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		events, err := dstack.ParseRuntimeEvents(log)
		if err != nil {
			return
		}
		boot, err := dstack.ParseBoot(events)
		if err != nil {
			return
		}
		all, _, err := boot.RTMR3()
		if err != nil || all != dstack.ReplayRTMR3(events) {
			t.Fatalf("the events of the boot that was read replay to another RTMR3: %v", err)
		}
	})
}

func FuzzTDXMeasurement(f *testing.F) {
	for _, ranges := range []int{1, 4, 20, 64} {
		f.Add(sample(f, 4, "console=ttyS0", ranges > 1, ranges))
	}
	f.Add(sample(f, 3, "", false, 1))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := dstack.ParseTDXMeasurement(file)
		if err != nil {
			return
		}
		if again, err := m.Bytes(); err != nil || !bytes.Equal(again, file) {
			t.Fatalf("written again %x is %x, %v", file, again, err)
		}
	})
}

func FuzzHOBWitness(f *testing.F) {
	f.Add([]byte{0x80, 0x10, 9, 4, 0, 6, 9, 2, 0xb, 2, 0x10, 0x10})
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := dstack.ParseHOBWitness(data)
		if err != nil {
			return
		}
		if again, err := w.Bytes(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("written again %x is %x, %v", data, again, err)
		}
	})
}

func FuzzMRConfig(f *testing.F) {
	f.Add([]byte(`{"compose_hash":"` + zeros + `","init_script_hashes":["` + zeros + `"],"key_provider":"kms","key_provider_id":"00","version":3}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		m, err := dstack.ParseMRConfig(document)
		if err != nil {
			return
		}
		written, err := m.Document()
		if err != nil {
			t.Fatal(err)
		}
		again, err := dstack.ParseMRConfig(written)
		if err != nil || must(again.Document()) == nil {
			t.Fatalf("%s: %v", written, err)
		}
	})
}

func FuzzChecksums(f *testing.F) {
	f.Add([]byte(zeros + "  ovmf.fd\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		sums, err := dstack.ParseChecksums(file)
		if err != nil {
			return
		}
		var again []byte
		for _, s := range sums {
			again = append(again, s.Sum.String()+"  "+s.Name+"\n"...)
		}
		if !bytes.Equal(again, file) {
			t.Fatalf("%q was read as %v", file, sums)
		}
	})
}
