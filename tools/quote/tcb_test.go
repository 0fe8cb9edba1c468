package quote

import (
	"slices"
	"testing"
	"time"
)

// allStatuses are those that Intel's documents can have for a platform.
var allStatuses = []Status{UpToDate, SWHardeningNeeded, ConfigurationNeeded, ConfigurationAndSWHardeningNeeded, OutOfDate, OutOfDateConfigurationNeeded, Revoked}

// TestMerge is the table of convergeTcbStatusWithTdxModuleStatus and convergeTcbStatusWithQeTcbStatus.
func TestMerge(t *testing.T) {
	for _, s := range allStatuses {
		if got := s.merge(UpToDate); got != s {
			t.Errorf("%s and UpToDate: %s", s, got)
		}
		if got := s.merge(Revoked); got != Revoked {
			t.Errorf("%s and Revoked: %s", s, got)
		}
	}
	for s, want := range map[Status]Status{
		UpToDate: OutOfDate, SWHardeningNeeded: OutOfDate, ConfigurationNeeded: OutOfDateConfigurationNeeded,
		ConfigurationAndSWHardeningNeeded: OutOfDateConfigurationNeeded, OutOfDate: OutOfDate,
		OutOfDateConfigurationNeeded: OutOfDateConfigurationNeeded, Revoked: Revoked,
	} {
		if got := s.merge(OutOfDate); got != want {
			t.Errorf("%s and OutOfDate: %s, want %s", s, got, want)
		}
	}
}

// fixture is a platform that is up to date, for tests to lower.
type fixture struct {
	info     tcbInfo
	identity qeIdentity
	platform Platform
	body     Body
	qe       uint16
}

func at(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }

func newFixture() *fixture {
	high, low := platformLevel{pcesvn: 10, level: level{UpToDate, at(2025), nil}}, platformLevel{pcesvn: 5, level: level{OutOfDate, at(2020), []string{"LOW"}}}
	for i := range 16 {
		high.sgx[i] = uint32(i + 1)
	}
	high.tdx = [16]uint32{5, 0, 4}
	f := &fixture{
		info: tcbInfo{
			modules: []module{
				{id: "TDX_03", levels: []enclaveLevel{{3, level{UpToDate, at(2025), nil}}}},
				{id: "TDX_01", levels: []enclaveLevel{{8, level{UpToDate, at(2024), nil}}, {2, level{OutOfDate, at(2021), []string{"MODULE"}}}}},
			},
			levels: []platformLevel{high, low},
		},
		identity: qeIdentity{levels: []enclaveLevel{{4, level{UpToDate, at(2023), nil}}, {2, level{OutOfDate, at(2019), []string{"QE"}}}}},
		platform: Platform{PCESVN: 10, SGXSVNs: [16]uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
		body:     Body{Kind: TD15, TEETCBSVN: [16]byte{8, 1, 4}, TEETCBSVN2: [16]byte{8, 1, 4}},
		qe:       4,
	}
	return f
}

func TestEvaluate(t *testing.T) {
	tests := []struct {
		name       string
		edit       func(*fixture)
		status     Status
		year       int
		advisories []string
	}{
		{"up to date", func(*fixture) {}, UpToDate, 2023, nil},
		{"higher everywhere", func(f *fixture) { f.body.TEETCBSVN = [16]byte{200, 1, 200}; f.platform.PCESVN = 60000; f.qe = 60000 }, UpToDate, 2023, nil},
		{"each SGX component counts", func(f *fixture) { f.platform.SGXSVNs[15]-- }, OutOfDate, 2020, []string{"LOW"}},
		{"PCESVN counts", func(f *fixture) { f.platform.PCESVN = 9 }, OutOfDate, 2020, []string{"LOW"}},
		{"TDX component 2 counts", func(f *fixture) { f.body.TEETCBSVN[2] = 3 }, OutOfDate, 2020, []string{"LOW"}},
		{"TDX component 15 counts", func(f *fixture) { f.info.levels[0].tdx[15] = 1 }, OutOfDate, 2020, []string{"LOW"}},
		{"component 0 is the module's", func(f *fixture) { f.info.levels[0].tdx[0] = 200 }, UpToDate, 2023, nil},
		{"component 1 is the module's", func(f *fixture) { f.info.levels[0].tdx[1] = 2 }, UpToDate, 2023, nil},
		{"without module version, component 0 counts", func(f *fixture) { f.body.TEETCBSVN = [16]byte{4, 0, 4} }, OutOfDate, 2019 + 1, []string{"LOW"}},
		{"without module version", func(f *fixture) { f.body.TEETCBSVN = [16]byte{5, 0, 4} }, UpToDate, 2023, nil},
		{"a larger SVN than a byte is not reached", func(f *fixture) { f.info.levels[0].sgx[0] = 257 }, OutOfDate, 2020, []string{"LOW"}},
		{"no level", func(f *fixture) { f.platform.PCESVN = 4 }, NotSupported, 2023, nil},
		{"no TDX level", func(f *fixture) { f.info.levels = f.info.levels[:1]; f.body.TEETCBSVN[2] = 0 }, NotSupported, 2023, nil},
		{"no module level", func(f *fixture) { f.body.TEETCBSVN[0] = 1 }, NotSupported, 2023, nil},
		{"no QE level", func(f *fixture) { f.qe = 1 }, NotSupported, 2024, nil},
		{"module unknown", func(f *fixture) { f.body.TEETCBSVN[1] = 2 }, TDXModuleMismatch, 1, nil},
		{"module in hex", func(f *fixture) { f.body.TEETCBSVN[1] = 0x0a; f.info.modules[1].id = "TDX_0A" }, UpToDate, 2023, nil},
		{"module of another signer", func(f *fixture) { f.body.MRSIGNERSEAM[47] = 1 }, TDXModuleMismatch, 1, nil},
		{"the matched module's signer", func(f *fixture) { f.body.MRSIGNERSEAM[0] = 1; f.info.modules[1].mrsigner[0] = 1 }, UpToDate, 2023, nil},
		{"not the other module's signer", func(f *fixture) { f.body.MRSIGNERSEAM[0] = 1; f.info.module.mrsigner[0] = 1 }, TDXModuleMismatch, 1, nil},
		{"module attributes", func(f *fixture) { f.body.SEAMAttributes[0] = 1 }, TDXModuleMismatch, 1, nil},
		{"module attributes that TCB info has", func(f *fixture) { f.body.SEAMAttributes[0] = 1; f.info.modules[1].attributes[0] = 1 }, TDXModuleMismatch, 1, nil},
		{"module mismatch stands before all", func(f *fixture) { f.body.TEETCBSVN[1] = 2; f.platform.PCESVN = 0; f.qe = 0 }, TDXModuleMismatch, 1, nil},
		{"QE out of date", func(f *fixture) { f.qe = 3 }, OutOfDate, 2019, []string{"QE"}},
		{"QE and configuration", func(f *fixture) { f.qe = 3; f.info.levels[0].status = ConfigurationNeeded }, OutOfDateConfigurationNeeded, 2019, []string{"QE"}},
		{"QE revoked", func(f *fixture) { f.identity.levels[0].status = Revoked }, Revoked, 2023, nil},
		{"module revoked", func(f *fixture) { f.info.modules[1].levels[0].status = Revoked }, Revoked, 2023, nil},
		{"module revoked and no QE level", func(f *fixture) { f.info.modules[1].levels[0].status = Revoked; f.qe = 0 }, Revoked, 2024, nil},
		{"platform revoked", func(f *fixture) { f.info.levels[0].status = Revoked }, Revoked, 2023, nil},
		{"platform out of date with a current module", func(f *fixture) { f.info.levels[0].status = OutOfDate }, OutOfDate, 2023, nil},
		{"advisories of all", func(f *fixture) {
			f.platform.PCESVN, f.qe, f.body.TEETCBSVN, f.body.TEETCBSVN2 = 5, 2, [16]byte{2, 1, 0}, [16]byte{2, 1, 0}
		}, OutOfDate, 2019, []string{"LOW", "MODULE", "QE"}},
		{"advisories once", func(f *fixture) {
			f.info.levels[0].advisories = []string{"B", "A", "B"}
			f.identity.levels[0].advisories = []string{"A"}
		}, UpToDate, 2023, []string{"A", "B"}},
		// Relaunch.
		{"old module that was updated", func(f *fixture) { f.body.TEETCBSVN[0] = 2 }, TDRelaunchAdvised, 2021, []string{"MODULE"}},
		{"old module, TDX 1.0", func(f *fixture) { f.body.TEETCBSVN[0], f.body.Kind = 2, TD10 }, OutOfDate, 2021, []string{"MODULE"}},
		{"old module, not updated", func(f *fixture) { f.body.TEETCBSVN[0], f.body.TEETCBSVN2[0] = 2, 7 }, OutOfDate, 2021, []string{"MODULE"}},
		{"old module, old loader now", func(f *fixture) { f.body.TEETCBSVN[0], f.body.TEETCBSVN2[2] = 2, 3 }, OutOfDate, 2021, []string{"MODULE"}},
		{"old module, now of another version", func(f *fixture) { f.body.TEETCBSVN[0], f.body.TEETCBSVN2 = 2, [16]byte{3, 3, 4} }, TDRelaunchAdvised, 2021, []string{"MODULE"}},
		{"old module, now of an unknown version", func(f *fixture) { f.body.TEETCBSVN[0], f.body.TEETCBSVN2 = 2, [16]byte{3, 9, 4} }, TDXModuleMismatch, 2021, []string{"MODULE"}},
		{"old module, now without version", func(f *fixture) { f.body.TEETCBSVN[0], f.body.TEETCBSVN2 = 2, [16]byte{5, 0, 4} }, TDRelaunchAdvised, 2021, []string{"MODULE"}},
		{"old module, now without version and old", func(f *fixture) { f.body.TEETCBSVN[0], f.body.TEETCBSVN2 = 2, [16]byte{4, 0, 4} }, OutOfDate, 2021, []string{"MODULE"}},
		{"relaunch and configuration", func(f *fixture) { f.body.TEETCBSVN[0], f.info.levels[0].status = 2, ConfigurationNeeded }, TDRelaunchAdvisedConfigurationNeeded, 2021, []string{"MODULE"}},
		{"relaunch and hardening", func(f *fixture) { f.body.TEETCBSVN[0], f.info.levels[0].status = 2, SWHardeningNeeded }, TDRelaunchAdvised, 2021, []string{"MODULE"}},
		{"no relaunch with an old platform", func(f *fixture) { f.body.TEETCBSVN[0], f.platform.PCESVN = 2, 5 }, OutOfDate, 2020, []string{"LOW", "MODULE"}},
		{"no relaunch with an old QE", func(f *fixture) { f.body.TEETCBSVN[0], f.qe = 2, 2 }, OutOfDate, 2019, []string{"MODULE", "QE"}},
		{"no relaunch with a revoked QE", func(f *fixture) { f.body.TEETCBSVN[0], f.identity.levels[0].status = 2, Revoked }, Revoked, 2021, []string{"MODULE"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture()
			tt.edit(f)
			e := evaluate(&f.info, &f.identity, &f.platform, &f.body, f.qe)
			if e.status != tt.status || !slices.Equal(e.advisories, tt.advisories) {
				t.Errorf("%s with %v, want %s with %v (%s)", e.status, e.advisories, tt.status, tt.advisories, e.parts)
			}
			if e.date.Year() != tt.year {
				t.Errorf("date %v, want %d", e.date, tt.year)
			}
			// Without QE identity or PCK certificate there is a status only where it does not depend on them.
			want := Status("")
			if _, err := f.info.moduleOf(&f.body); err != nil {
				want = TDXModuleMismatch
			}
			if got := evaluate(&f.info, nil, &f.platform, &f.body, f.qe).status; got != want {
				t.Errorf("without QE identity: %q, want %q", got, want)
			}
			if got := evaluate(&f.info, &f.identity, nil, &f.body, f.qe).status; got != want {
				t.Errorf("without platform: %q, want %q", got, want)
			}
		})
	}
}

// TestPolicyAccepts holds that no policy accepts what is never acceptable.
func TestPolicyAccepts(t *testing.T) {
	everything := append(slices.Clone(allStatuses), TDRelaunchAdvised, TDRelaunchAdvisedConfigurationNeeded, NotSupported, TDXModuleMismatch, "", "Unknown")
	for _, s := range everything {
		never := s == Revoked || s == NotSupported || s == TDXModuleMismatch || s == "" || s == "Unknown"
		if (&Policy{}).accepts(s) != (s == UpToDate) {
			t.Errorf("the strictest policy on %q", s)
		}
		if (&Policy{AcceptStatus: everything}).accepts(s) == never {
			t.Errorf("a policy that lists everything accepts %q: %t", s, never)
		}
		if s != UpToDate && (&Policy{AcceptStatus: []Status{s}}).accepts(OutOfDate) != (s == OutOfDate) {
			t.Errorf("a policy for %q accepts OutOfDate", s)
		}
	}
}
