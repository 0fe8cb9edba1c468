package eventlog

import (
	"errors"
	"testing"
)

func fuzzBinary(f *testing.F, parse func([]byte) (*Log, error), seeds ...string) {
	for _, s := range seeds {
		f.Add(load(f, s))
	}
	f.Add(append(header(sha384), event(1, 4, 4, make([]byte, 4), sha384)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := parse(data)
		if err != nil {
			var typed *ParseError
			if !errors.As(err, &typed) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		exercise(log)
	})
}

func exercise(log *Log) {
	log.Replay()
	for i := range log.Events {
		log.Events[i].Describe()
		log.Events[i].CheckData()
	}
}

func FuzzCCEL(f *testing.F) {
	fuzzBinary(f, ParseCCEL, "ccel/go-eventlog-CCEL_unpadded.data.bin")
}

func FuzzTPM(f *testing.F) {
	fuzzBinary(f, ParseTPM, "tpm-oracle/qemu10.0.13-ovmf2025.02-gptdisk-uki/binary_bios_measurements")
}

func FuzzDstack(f *testing.F) {
	f.Add(load(f, "dstack/tdx-lite-eventlog.json"))
	f.Add([]byte(`{"event":"app-id","payload":"3q2+7w=="}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if log, err := ParseDstackJSON(data); err == nil {
			exercise(log)
		}
		if log, err := ParseRuntimeLog(data); err == nil {
			exercise(log)
		}
	})
}
